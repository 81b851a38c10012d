//! Following a status until a condition is decided.
//!
//! Owns when waiting ends and which exit that is. Promises to survive a publisher that restarts (it
//! asks again until the time is over) and to end early where waiting cannot help. Is sent what changed,
//! and judges the whole. Never prints.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};
use writ_proto::status::merge;
use writ_proto::v1;
use writ_proto::v1::status_request::Of;

use crate::connect::Fleet;
use crate::error::{Answer, Error};
use crate::exit::Exit;

/// After the first refusal the other clusters, who are at work on the same edit, get this long to
/// answer too.
const REFUSAL_GRACE: Duration = Duration::from_secs(2);
/// How long the first status of a policy may take where the time is over already.
const FIRST_STATUS_TIME_MIN: Duration = Duration::from_millis(50);
/// Between two tries to follow again.
const FOLLOW_AGAIN_DELAY: Duration = Duration::from_millis(250);

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Goal {
    pub(crate) level: GoalLevel,
    /// A silent cluster is no reason for another exit than 0.
    pub(crate) allow_silent: bool,
}

/// How far an edit should have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GoalLevel {
    Received,
    Applied,
    /// The edit is a deletion, and it is applied.
    Deleted,
}

/// How it ended for one policy.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) exit: Exit,
    /// The last status that was seen; none if the publisher never answered.
    pub(crate) status: Option<v1::PolicyStatus>,
}

/// How one status stands to the goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Not decided: there are live clusters that may still answer.
    Open,
    /// Somebody refused, and others are still at work.
    Refusing,
    /// Decided.
    Over(Exit),
}

fn judge(goal: Goal, policy: &v1::PolicyStatus) -> Verdict {
    let counts = policy.counts.unwrap_or_default();
    if goal.level == GoalLevel::Deleted && !policy.deleted {
        return Verdict::Open;
    }
    let missing = match goal.level {
        GoalLevel::Received => counts.pending.saturating_sub(counts.received),
        GoalLevel::Applied | GoalLevel::Deleted => counts.pending,
    };
    match (counts.refused, missing, counts.silent) {
        (1.., 0, _) => Verdict::Over(Exit::Refused),
        (1.., _, _) => Verdict::Refusing,
        (0, 1.., _) => Verdict::Open,
        (0, 0, 1..) if !goal.allow_silent => Verdict::Over(Exit::Silent),
        (0, 0, _) => Verdict::Over(Exit::Done),
    }
}

/// Follows one policy until the goal is decided or the time is over, but for one status at least: where
/// the time is over before, a policy may still be found where it should be. `seen` is called with every
/// status.
pub(crate) async fn until(
    fleet: &Fleet,
    policy: v1::PolicyVersion,
    at_least: Option<v1::Revision>,
    goal: Goal,
    deadline: Instant,
    mut seen: impl FnMut(&v1::PolicyStatus),
) -> Result<Outcome, Error> {
    let deadline = deadline.max(Instant::now() + FIRST_STATUS_TIME_MIN);
    let what = format!(
        "the status of clusterpolicy/{} cannot be followed",
        policy.name
    );
    let request = v1::StatusRequest {
        of: Some(Of::Policy(policy)),
        at_least,
        changes: true,
    };
    // Until when, and which exit that is.
    let end = |refused_since: Option<Instant>| match refused_since {
        Some(since) => (deadline.min(since + REFUSAL_GRACE), Exit::Refused),
        None => (deadline, Exit::TimedOut),
    };
    let mut acks = fleet.acks.clone();
    let mut status = None;
    let mut refused_since: Option<Instant> = None;
    loop {
        let (limit, over) = end(refused_since);
        let answer = match timeout_at(limit, acks.watch_status(request.clone())).await {
            Err(_) => return Ok(Outcome { exit: over, status }),
            Ok(Ok(response)) => {
                let mut stream = response.into_inner();
                // Each stream begins with a whole status. The last one of the stream before stands until then.
                let mut told = None;
                let ended = loop {
                    let (limit, over) = end(refused_since);
                    let next = match timeout_at(limit, stream.message()).await {
                        Err(_) => {
                            let status = only(told).or(status);
                            return Ok(Outcome { exit: over, status });
                        }
                        Ok(Ok(Some(next))) => next,
                        Ok(Ok(None)) => break None,
                        Ok(Err(error)) => break Some(error),
                    };
                    // What cannot be gone on with is asked for anew.
                    if merge(&mut told, next).is_err() {
                        break None;
                    }
                    let Some(policy) = told.as_ref().and_then(|told| told.policies.first()) else {
                        continue;
                    };
                    seen(policy);
                    match judge(goal, policy) {
                        Verdict::Over(exit) => {
                            let status = only(told);
                            return Ok(Outcome { exit, status });
                        }
                        Verdict::Refusing => refused_since = refused_since.or(Some(Instant::now())),
                        Verdict::Open => refused_since = None,
                    }
                };
                status = only(told).or(status);
                ended
            }
            Ok(Err(error)) => Some(error),
        };
        if let Some(answer) = answer
            .map(|status| Answer::from_status(&status))
            .filter(|answer| !answer.is_transient())
        {
            return Err(Error::Call { what, answer });
        }
        sleep_until(deadline.min(Instant::now() + FOLLOW_AGAIN_DELAY)).await;
    }
}

/// The status of the one policy that was asked for.
fn only(told: Option<v1::StatusResponse>) -> Option<v1::PolicyStatus> {
    told.and_then(|told| told.policies.into_iter().next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(level: GoalLevel, allow_silent: bool, counts: v1::Counts) -> Verdict {
        judge(
            Goal {
                level,
                allow_silent,
            },
            &v1::PolicyStatus {
                counts: Some(counts),
                ..Default::default()
            },
        )
    }

    fn counts(applied: u32, pending: u32, refused: u32, silent: u32) -> v1::Counts {
        let target = applied + pending + refused + silent;
        v1::Counts {
            target,
            applied,
            pending,
            refused,
            silent,
            ..Default::default()
        }
    }

    #[test]
    fn done_is_said_when_every_target_applied() {
        assert_eq!(
            verdict(GoalLevel::Applied, false, counts(6, 0, 0, 0)),
            Verdict::Over(Exit::Done)
        );
        assert_eq!(
            verdict(GoalLevel::Applied, false, counts(5, 1, 0, 0)),
            Verdict::Open
        );
        assert_eq!(
            verdict(GoalLevel::Applied, false, counts(0, 0, 0, 0)),
            Verdict::Over(Exit::Done)
        );
    }

    #[test]
    fn a_refusal_waits_only_for_those_at_work() {
        assert_eq!(
            verdict(GoalLevel::Applied, false, counts(4, 1, 1, 0)),
            Verdict::Refusing
        );
        assert_eq!(
            verdict(GoalLevel::Applied, true, counts(4, 0, 1, 1)),
            Verdict::Over(Exit::Refused)
        );
    }

    #[test]
    fn silence_is_an_exit_of_its_own_unless_allowed() {
        assert_eq!(
            verdict(GoalLevel::Applied, false, counts(5, 0, 0, 1)),
            Verdict::Over(Exit::Silent)
        );
        assert_eq!(
            verdict(GoalLevel::Applied, true, counts(5, 0, 0, 1)),
            Verdict::Over(Exit::Done)
        );
        assert_eq!(
            verdict(GoalLevel::Applied, false, counts(4, 1, 0, 1)),
            Verdict::Open
        );
    }

    #[test]
    fn received_is_less_than_applied() {
        let at_work = v1::Counts {
            received: 2,
            ..counts(4, 2, 0, 0)
        };
        assert_eq!(
            verdict(GoalLevel::Received, false, at_work),
            Verdict::Over(Exit::Done)
        );
        assert_eq!(verdict(GoalLevel::Applied, false, at_work), Verdict::Open);
    }

    #[test]
    fn deleted_needs_a_deletion() {
        assert_eq!(
            verdict(GoalLevel::Deleted, false, counts(6, 0, 0, 0)),
            Verdict::Open
        );
        let gone = v1::PolicyStatus {
            deleted: true,
            counts: Some(counts(6, 0, 0, 0)),
            ..Default::default()
        };
        let goal = Goal {
            level: GoalLevel::Deleted,
            allow_silent: false,
        };
        assert_eq!(judge(goal, &gone), Verdict::Over(Exit::Done));
    }
}
