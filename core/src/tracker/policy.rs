//! How far one edit of one policy has come, cluster by cluster.

use std::collections::VecDeque;

use super::{Committed, GENERATIONS_MAX, Liveness, Tracker, cluster::Member};
use crate::{
    ack::{self, AckedEdit, Exception, Failure},
    model::{Cluster, ClusterSelector, Mode, Phase},
    name::{ClusterName, Name, PolicyName, Region, Stage},
    revision::{Generation, Revision},
    scope::{Feed, Kind},
    tracker::Now,
};

/// The reason of every line of a cluster for which two speak.
pub const IDENTITY_FORKED: &str = "IdentityForked";

/// How far an edit has come on one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// The cluster has not said that it applied the edit.
    Pending,
    /// It said so.
    Applied,
    /// It said no.
    Refused,
    /// It says nothing at all; what it said before is not shown as if it still held.
    Silent,
}

/// Why a cluster is counted where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Membership {
    /// A target of the edit.
    Target,
    /// Selected, and no target: it joined after the edit was committed.
    Later,
    /// A target that was taken out of the registry since.
    Left,
    /// Selected, or a target once, and only observes now: nothing is applied there.
    Observing,
    /// Selected, or a target once, and not enrolled (any more).
    Unenrolled,
    /// It is to give back everything, and leave.
    Draining,
    /// Its keys are revoked: what it does is not known.
    CutOff,
}

/// The columns of a status; `applied + pending + refused + silent = target`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Targets that are active and enforce.
    pub target: u32,
    /// Of those: applied.
    pub applied: u32,
    /// Of those: pending.
    pub pending: u32,
    /// Of those: refused.
    pub refused: u32,
    /// Of those: silent.
    pub silent: u32,
    /// Joined after the edit.
    pub later: u32,
    /// Left the registry since.
    pub left: u32,
    /// Only observe.
    pub observing: u32,
    /// Not enrolled, draining or cut off.
    pub aside: u32,
    /// Of the pending: received, and at work.
    pub received: u32,
}

impl Counts {
    pub(super) fn of(lines: impl Iterator<Item = (Membership, State, Option<u64>)>) -> Counts {
        let mut counts = Counts::default();
        for (membership, state, received_ms) in lines {
            match membership {
                Membership::Later => counts.later += 1,
                Membership::Left => counts.left += 1,
                Membership::Observing => counts.observing += 1,
                Membership::Unenrolled | Membership::Draining | Membership::CutOff => {
                    counts.aside += 1;
                }
                Membership::Target => {
                    counts.target += 1;
                    match state {
                        State::Pending => {
                            counts.pending += 1;
                            counts.received += u32::from(received_ms.is_some());
                        }
                        State::Applied => counts.applied += 1,
                        State::Refused => counts.refused += 1,
                        State::Silent => counts.silent += 1,
                    }
                }
            }
        }
        counts
    }

    /// Whether every target has applied it.
    pub fn is_reached(&self) -> bool {
        self.applied == self.target
    }
}

/// One cluster's answer to one edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterLine {
    /// The cluster.
    pub cluster: ClusterName,
    /// Where it is (was, if it left); nothing where that is not known any more.
    pub place: Option<(Region, Stage)>,
    /// How far the edit has come.
    pub state: State,
    /// In which column it counts.
    pub membership: Membership,
    /// Machine-readable; empty unless the cluster named one.
    pub reason: String,
    /// For people; empty like `reason`.
    pub message: String,
    /// When the cluster had received it, by the cluster's clock.
    pub received_ms: Option<u64>,
    /// When everything was confirmed, by the cluster's clock.
    pub applied_ms: Option<u64>,
    /// Whether it gives signs of life.
    pub liveness: Liveness,
    /// The generation that it says it holds in force.
    pub generation_held: Option<Generation>,
    /// The last generation that it said to have applied in full, as far as its last ack tells.
    pub last_applied: Option<Generation>,
    /// Objects that are not as wanted.
    pub failures: Vec<Failure>,
}

/// How far an edit of a policy has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyStatus {
    /// The policy.
    pub name: PolicyName,
    /// The edit, counted per name.
    pub generation: Generation,
    /// The edit.
    pub revision: Revision,
    /// When it was committed, milliseconds since the Unix epoch.
    pub committed_ms: u64,
    /// Whether it took the policy away.
    pub is_deleted: bool,
    /// The policy's last generation.
    pub latest_generation: Generation,
    /// The columns.
    pub counts: Counts,
    /// A line per cluster, by name.
    pub clusters: Vec<ClusterLine>,
}

/// The edits of one policy.
#[derive(Debug, Clone, Default)]
pub(super) struct Policy {
    /// By revision, oldest first; at most [`GENERATIONS_MAX`].
    edits: VecDeque<Committed>,
    /// What the last one selects.
    selector: Option<ClusterSelector>,
}

impl Policy {
    pub(super) fn push(&mut self, edit: Committed, selector: Option<ClusterSelector>) {
        let at = self
            .edits
            .partition_point(|held| held.revision < edit.revision);
        if self
            .edits
            .get(at)
            .is_some_and(|held| held.revision == edit.revision)
        {
            return;
        }
        if at == self.edits.len() {
            self.selector = selector;
        }
        self.edits.insert(at, edit);
        if self.edits.len() > GENERATIONS_MAX {
            self.edits.pop_front();
        }
    }

    pub(super) fn find(&self, generation: Option<Generation>) -> Option<&Committed> {
        match generation {
            None => self.edits.back(),
            Some(wanted) => self.edits.iter().find(|edit| edit.generation == wanted),
        }
    }

    pub(super) fn latest(&self) -> Generation {
        self.edits
            .back()
            .map(|edit| edit.generation)
            .unwrap_or_default()
    }

    pub(super) fn selects(&self, entry: &Cluster) -> bool {
        self.selector
            .as_ref()
            .is_some_and(|selector| selector.matches(&entry.identity()))
    }
}

/// A line per target, later joiner and observer, by name.
pub(super) fn lines(
    tracker: &Tracker,
    policy: &Policy,
    edit: &Committed,
    now: Now,
) -> Vec<ClusterLine> {
    let name = PolicyName::from(&edit.name);
    let mut lines = Vec::new();
    for target in &edit.targets {
        let member = tracker.members.get(target);
        let entry = member.and_then(|member| member.entry.as_ref());
        match (member, entry, tracker.liveness(target, now)) {
            (Some(member), Some(entry), Some(liveness)) => {
                let membership = membership(entry, Membership::Target);
                lines.push(line(member, &name, edit, liveness, membership));
            }
            _ => lines.push(left(target)),
        }
    }
    for (cluster, member) in &tracker.members {
        let Some(entry) = &member.entry else { continue };
        if edit.targets.contains(cluster) || !policy.selects(entry) {
            continue;
        }
        if let Some(liveness) = tracker.liveness(cluster, now) {
            let membership = membership(entry, Membership::Later);
            lines.push(line(member, &name, edit, liveness, membership));
        }
    }
    lines.sort_by(|a, b| a.cluster.cmp(&b.cluster));
    lines
}

/// Where a cluster counts: one that observes, or does not belong to the fleet (yet, or any more), counts
/// apart, whether it was a target or not.
fn membership(entry: &Cluster, enforcing: Membership) -> Membership {
    match (entry.phase, entry.mode) {
        (Phase::Pending, _) => Membership::Unenrolled,
        (Phase::Draining, _) => Membership::Draining,
        (Phase::CutOff, _) => Membership::CutOff,
        (Phase::Active, Mode::Observe) => Membership::Observing,
        (Phase::Active, Mode::Enforce) => enforcing,
    }
}

fn left(cluster: &ClusterName) -> ClusterLine {
    ClusterLine {
        cluster: cluster.clone(),
        place: None,
        state: State::Pending,
        membership: Membership::Left,
        reason: String::new(),
        message: String::new(),
        received_ms: None,
        applied_ms: None,
        liveness: Liveness::Unknown {
            last_heard_ms: None,
        },
        generation_held: None,
        last_applied: None,
        failures: Vec::new(),
    }
}

/// What a registered cluster says of one edit.
pub(super) fn line(
    member: &Member,
    policy: &PolicyName,
    edit: &Committed,
    liveness: Liveness,
    membership: Membership,
) -> ClusterLine {
    let mut line = left(&member.name);
    line.place = member.place();
    line.membership = membership;
    line.liveness = liveness;
    if let Some(said) = &member.ack {
        let name = Name::from(policy);
        let exception = said
            .exceptions
            .iter()
            .find(|exception| exception.kind == Kind::Policy && exception.name == name);
        let newest = said
            .edits
            .iter()
            .filter(|acked| acked.kind == Kind::Policy && acked.name == name)
            .max_by_key(|acked| (acked.revision, acked.applied_ms.max(acked.received_ms)));
        let reached = member.reaches(edit);
        line.state = state(edit, exception, newest, reached, said.exceptions_total);
        // The times of the edit itself: a later drift of the same edit tells other times.
        let own = said.edits.iter().find(|acked| {
            acked.kind == Kind::Policy
                && acked.name == name
                && acked.revision == edit.revision
                && !acked.drift
        });
        line.received_ms = own.map(|own| own.received_ms).filter(|at| *at > 0);
        line.applied_ms = own.map(|own| own.applied_ms).filter(|at| *at > 0);
        if line.state != State::Applied {
            line.applied_ms = None;
        }
        if let Some(exception) = exception.filter(|exception| exception.revision >= edit.revision) {
            line.reason = exception.reason.clone();
            line.message = exception.message.clone();
        }
        if let Some(newest) = newest.filter(|newest| newest.revision >= edit.revision) {
            line.received_ms = line
                .received_ms
                .or(Some(newest.received_ms))
                .filter(|at| *at > 0);
            if line.state != State::Applied {
                line.failures = newest.failures.clone();
            }
        }
        line.generation_held = held(edit, exception, newest, line.state);
        line.last_applied = line
            .generation_held
            .or_else(|| last_applied(&said.edits, &name));
    }
    // Whose word it is, nobody knows: it says nothing of the cluster.
    if let Some(fork) = member.chain.fork() {
        line.state = State::Refused;
        line.applied_ms = None;
        line.reason = IDENTITY_FORKED.to_owned();
        line.message = format!("two hold this cluster's keys: {fork}");
    }
    if liveness.is_silent() {
        line.state = State::Silent;
    }
    line
}

/// What the cluster's last word says of an edit.
fn state(
    edit: &Committed,
    exception: Option<&Exception>,
    newest: Option<&AckedEdit>,
    reached: bool,
    exceptions_total: u32,
) -> State {
    if let Some(exception) = exception {
        return match exception.state {
            // Only a refusal of this edit or a later one: of an older one it says nothing yet.
            ack::State::Refused if exception.revision >= edit.revision => State::Refused,
            _ => State::Pending,
        };
    }
    if let Some(newest) = newest.filter(|newest| newest.revision >= edit.revision) {
        return match newest.state {
            ack::State::Applied => State::Applied,
            ack::State::Received => State::Pending,
            ack::State::Refused => State::Refused,
        };
    }
    // With more exceptions than an ack lists, not being listed says nothing.
    let all_listed = exceptions_total as usize <= ack::EXCEPTIONS_MAX;
    if reached && all_listed {
        State::Applied
    } else {
        State::Pending
    }
}

fn held(
    edit: &Committed,
    exception: Option<&Exception>,
    newest: Option<&AckedEdit>,
    state: State,
) -> Option<Generation> {
    let said = newest
        .filter(|newest| newest.state == ack::State::Applied && !newest.removed)
        .map(|newest| newest.generation);
    match (state, exception) {
        (State::Applied, _) if matches!(edit.subject, super::Subject::Policy(None)) => None,
        (State::Applied, _) => said.max(Some(edit.generation)),
        (_, Some(_)) => None,
        _ => said,
    }
}

/// The last edit of a name that was applied in full, of those that an ack lists.
fn last_applied(edits: &[AckedEdit], name: &Name) -> Option<Generation> {
    edits
        .iter()
        .filter(|acked| acked.kind == Kind::Policy && acked.name == *name)
        .filter(|acked| acked.state == ack::State::Applied)
        .max_by_key(|acked| acked.revision)
        .filter(|acked| !acked.removed)
        .map(|acked| acked.generation)
}

impl Member {
    /// Whether the cluster has gone past an edit in every feed by which it would hear of it.
    fn reaches(&self, edit: &Committed) -> bool {
        if self.reach.revision >= edit.revision {
            return true;
        }
        let Some((region, stage)) = self.place() else {
            return false;
        };
        let mut own = edit
            .scopes
            .iter()
            .filter(|scope| scope.covers(&region, &stage))
            .map(|scope| Feed {
                kind: Kind::Policy,
                scope: scope.clone(),
            })
            .peekable();
        own.peek().is_some()
            && own.all(|feed| {
                self.reach
                    .feeds
                    .get(&feed)
                    .is_some_and(|state| state.revision >= edit.revision)
            })
    }
}
