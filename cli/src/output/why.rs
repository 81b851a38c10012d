//! Why a cluster is not good: the judgement, and how it is told.
//!
//! Promises that a cluster which is not heard is never called good, whatever it said before, and
//! that the advice is that of the reasons' pages. The counts are the publisher's, never counted
//! again here.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use writ_proto::v1;

use super::json::{AsOf, Document, Liveness};
use super::table::clean;
use super::{status, words};
use crate::exit::Exit;

mod advice;
mod drift;
mod phase;

use advice::Advice;
use drift::Drift;

/// Policies told one by one; beyond that a person asks for JSON.
const POLICIES_SHOWN_MAX: usize = 20;

/// Objects that an acknowledgement names.
const FAILING_NAMED_MAX: usize = 8;

/// What Writ says where it would write and may only look.
const OBSERVING: &str = "Observing";

/// Of a cluster for which two speak.
const IDENTITY_FORKED: &str = "IdentityForked";

/// A cluster as it stands, or one policy of it.
#[derive(Debug)]
pub(crate) struct Finding {
    cluster: v1::ClusterStatus,
    as_of: Option<v1::AsOf>,
    /// `payments@42`, if only that was asked for.
    about: Option<String>,
}

/// How it stands, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Refused,
    Pending,
    Silent,
    /// It only observes, and something would be done.
    WouldChange,
    Good,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Verdict::Refused => "refused",
            Verdict::Pending => "pending",
            Verdict::Silent => "silent",
            Verdict::WouldChange => "wouldChange",
            Verdict::Good => "good",
        }
    }
}

impl Finding {
    /// Of a cluster; with a policy, of that policy's line there alone.
    pub(crate) fn new(
        mut cluster: v1::ClusterStatus,
        as_of: Option<v1::AsOf>,
        policy: Option<(v1::PolicyStatus, v1::ClusterLine)>,
    ) -> Self {
        let about = policy.map(|(policy, line)| {
            let about = format!("{}@{}", policy.policy, policy.generation);
            narrow(&mut cluster, policy, line);
            about
        });
        Self {
            cluster,
            as_of,
            about,
        }
    }

    /// The code to end with: 5, then 4, then 6, then 3.
    pub(crate) fn exit(&self) -> Exit {
        match self.verdict() {
            Verdict::Refused => Exit::Refused,
            Verdict::Pending => Exit::TimedOut,
            Verdict::Silent => Exit::Silent,
            Verdict::WouldChange => Exit::Differs,
            Verdict::Good => Exit::Done,
        }
    }

    fn verdict(&self) -> Verdict {
        let counts = self.counts();
        let heard = words::liveness_state(self.cluster.liveness.as_ref());
        match self.cluster.phase.as_str() {
            // Waiting does not help.
            "cutOff" => return Verdict::Refused,
            "draining" if heard == "silent" => return Verdict::Silent,
            "pending" | "draining" => return Verdict::Pending,
            _ => {}
        }
        if counts.refused > 0 || self.is_forked() {
            Verdict::Refused
        } else if counts.pending > self.count(is_observing) {
            Verdict::Pending
        } else if counts.silent > 0 || heard == "silent" {
            Verdict::Silent
        } else if heard != "live" {
            Verdict::Pending
        } else if self.would_change() > 0 {
            Verdict::WouldChange
        } else {
            Verdict::Good
        }
    }

    fn counts(&self) -> v1::Counts {
        self.cluster.counts.unwrap_or_default()
    }

    /// Two hold its keys.
    fn is_forked(&self) -> bool {
        !self.cluster.forked.is_empty()
    }

    fn observes(&self) -> bool {
        self.cluster.mode == "observe"
    }

    /// Policies of an observing cluster that Writ would do something about.
    fn would_change(&self) -> u32 {
        self.count(|line| is_observing(line) && !is_settled(line))
    }

    fn count(&self, is_counted: impl Fn(&v1::PolicyLine) -> bool) -> u32 {
        let lines = self.cluster.exceptions.iter();
        let count = lines.filter(|line| is_counted(line)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// What there is to tell of: of a silent cluster only what it had a reason for.
    fn told(&self) -> Vec<&v1::PolicyLine> {
        let mut lines: Vec<_> = self.cluster.exceptions.iter().collect();
        lines.retain(|line| line.state() != v1::AckState::Silent || !line.reason.is_empty());
        lines.retain(|line| !(is_observing(line) && is_settled(line)));
        lines.sort_by_key(|line| match line.state() {
            v1::AckState::Refused => 0,
            v1::AckState::Pending => 1,
            _ => 2,
        });
        lines
    }

    /// As people read it. Without a newline at the end.
    pub(crate) fn text(&self) -> String {
        if let Some(text) = phase::text(&self.cluster) {
            return text;
        }
        let mut text = self.headline();
        let told = self.told();
        if self.verdict() == Verdict::Silent && !told.is_empty() {
            text.push_str("\n  Before it fell silent it had said:");
        }
        for line in told.iter().take(POLICIES_SHOWN_MAX) {
            text.push_str(&self.policy(line));
        }
        if told.len() > POLICIES_SHOWN_MAX {
            let (more, name) = (told.len() - POLICIES_SHOWN_MAX, &self.cluster.cluster);
            text.push_str(&format!(
                "\n  … and {more} more: writ why {name} -o json has all"
            ));
        }
        text.push_str(&drift::text(&self.cluster.drift, self.as_of.as_ref()));
        let advice = self.advice();
        for one in &advice {
            text.push_str(&one.text(advice.len() > 1));
        }
        text
    }

    fn headline(&self) -> String {
        let name = match &self.about {
            None => self.cluster.cluster.clone(),
            Some(policy) => format!("{policy} on {}", self.cluster.cluster),
        };
        let heard = self.heard();
        let counts = self.counts();
        let verdict = self.verdict();
        let of = if self.about.is_some() {
            String::new()
        } else {
            format!(" of {}", policies(counts.target))
        };
        match verdict {
            Verdict::Good | Verdict::WouldChange if self.observes() => {
                let would = match (self.would_change(), &self.about) {
                    (0, _) => "nothing would be changed".to_owned(),
                    (_, Some(_)) => "it would be changed".to_owned(),
                    (count, None) => format!("{count}{of} would change it"),
                };
                format!("{name} only observes: {would}; {heard}")
            }
            Verdict::Good if counts.target == 0 => {
                format!("{name} is good: no policy is for it; {heard}")
            }
            Verdict::Good => {
                let applied = match &self.about {
                    Some(_) => "applied".to_owned(),
                    None => format!("{}{of} applied", counts.applied),
                };
                format!("{name} is good: {applied}; {heard}")
            }
            Verdict::Silent => {
                format!("{name} is NOT good: {heard}; what it holds now is not known")
            }
            _ if self.is_forked() => {
                let forked = clean(&self.cluster.forked);
                format!("{name} is NOT good: two hold its keys: {forked}; {heard}")
            }
            _ => {
                let columns = [(counts.refused, "refused"), (counts.pending, "pending")];
                let columns = columns.iter().filter(|(count, _)| *count > 0);
                let parts: Vec<String> = columns
                    .map(|(count, word)| match &self.about {
                        Some(_) => (*word).to_owned(),
                        None => format!("{count} {word}"),
                    })
                    .collect();
                match parts.is_empty() {
                    true => format!("{name} is NOT good: {heard}"),
                    false => {
                        let (parts, behind) = (parts.join(", "), self.behind());
                        format!("{name} is NOT good: {parts}{of}; {heard}{behind}")
                    }
                }
            }
        }
    }

    fn heard(&self) -> String {
        let liveness = self.cluster.liveness.as_ref();
        let said = words::liveness(liveness, self.as_of.as_ref());
        let last = liveness.and_then(|liveness| liveness.last_heard.as_ref());
        match words::age(last, self.as_of.as_ref()) {
            age if age.is_empty() => said,
            age => format!("{said} (last heard {age} ago)"),
        }
    }

    /// How many generations the worst policy is behind, where that is known.
    fn behind(&self) -> String {
        let lines = self.cluster.exceptions.iter();
        match lines.filter_map(generations_behind).max() {
            None => String::new(),
            Some(1) => ", 1 generation behind".to_owned(),
            Some(count) => format!(", up to {count} generations behind"),
        }
    }

    fn policy(&self, line: &v1::PolicyLine) -> String {
        let state = match line.state() {
            _ if is_observing(line) => "would change",
            other => words::ack_state(other),
        };
        let mut text = format!("\n  {}@{}  {state}", clean(&line.policy), line.generation);
        let received = words::age(line.received_at.as_ref(), self.as_of.as_ref());
        if !received.is_empty() {
            text.push_str(&format!(", received {received} ago"));
        }
        if !line.reason.is_empty() {
            text.push_str(&format!("  {}", clean(&line.reason)));
        }
        // The policy's message is usually its first object's.
        let is_said = |object: &v1::FailingObject| {
            !object.message.is_empty() && line.message.contains(&object.message)
        };
        if !line.message.is_empty() && !line.failing.iter().any(is_said) {
            text.push_str(&format!("\n     {}", clean(&line.message)));
        }
        for failing in &line.failing {
            let (object, message) = (clean(&failing.object), clean(&failing.message));
            let reason = match failing.reason == line.reason {
                true => String::new(),
                false => format!("{}: ", clean(&failing.reason)),
            };
            text.push_str(&format!("\n     {object}: {reason}{message}"));
        }
        if line.failing.len() >= FAILING_NAMED_MAX {
            let more = format!("\n     … perhaps more: at most {FAILING_NAMED_MAX} are named");
            text.push_str(&more);
        }
        if generations_behind(line).is_some() {
            let last = line.last_applied_generation;
            text.push_str(&format!("\n     last applied in full: @{last}"));
        }
        text
    }

    /// What to do, a piece for each reason, in the order in which they are told.
    fn advice(&self) -> Vec<Advice> {
        let cluster = &self.cluster.cluster;
        if self.verdict() == Verdict::Silent {
            return vec![Advice::silent(cluster)];
        }
        let mut order = Vec::new();
        let mut policies: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        if self.is_forked() {
            order.push(IDENTITY_FORKED);
            policies.entry(IDENTITY_FORKED).or_default();
        }
        for line in self.told() {
            let own = match line.reason.as_str() {
                "" => "Waiting",
                reason => reason,
            };
            let objects = line.failing.iter().map(|object| object.reason.as_str());
            for reason in std::iter::once(own).chain(objects) {
                if !policies.contains_key(reason) {
                    order.push(reason);
                }
                policies.entry(reason).or_default().insert(&line.policy);
            }
        }
        if order.is_empty() && self.verdict() == Verdict::Pending {
            return vec![Advice::silent(cluster)];
        }
        order
            .into_iter()
            .filter_map(|reason| Advice::of(reason, cluster, &policies[reason]))
            .collect()
    }

    /// As scripts read it.
    pub(crate) fn json(&self) -> Document<impl Serialize> {
        let lines = self.cluster.exceptions.iter();
        let view = View {
            as_of: AsOf::from_proto(self.as_of.as_ref()),
            cluster: self.cluster.cluster.clone(),
            policy: self.about.clone(),
            good: self.verdict() == Verdict::Good,
            verdict: self.verdict().word(),
            mode: self.cluster.mode.clone(),
            liveness: Liveness::from_proto(self.cluster.liveness.as_ref()),
            counts: status::counts_value(&self.counts()),
            policies: lines.map(status::line_value).collect(),
            drift: self.cluster.drift.iter().map(Drift::of).collect(),
            advice: self.advice(),
        };
        Document::new("Why", view)
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<AsOf>,
    cluster: String,
    /// Only this one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    good: bool,
    /// `good`, `refused`, `pending`, `silent`, `wouldChange`.
    verdict: &'static str,
    mode: String,
    liveness: Liveness,
    counts: Value,
    /// Those that are not applied.
    policies: Vec<Value>,
    /// What was changed by hand lately, newest last.
    drift: Vec<Drift>,
    advice: Vec<Advice>,
}

fn policies(count: u32) -> String {
    match count {
        1 => "1 policy".to_owned(),
        count => format!("{count} policies"),
    }
}

/// It is planned and not done, since the cluster only observes.
fn is_observing(line: &v1::PolicyLine) -> bool {
    line.state() == v1::AckState::Pending && line.reason == OBSERVING
}

/// An observing cluster never calls a policy applied; without a word on an object there is nothing
/// to do.
fn is_settled(line: &v1::PolicyLine) -> bool {
    line.message.is_empty() && line.failing.is_empty()
}

fn generations_behind(line: &v1::PolicyLine) -> Option<u64> {
    let last = Some(line.last_applied_generation).filter(|last| *last > 0)?;
    line.generation
        .checked_sub(last)
        .filter(|behind| *behind > 0)
}

/// Makes a cluster's status that of one policy on it.
fn narrow(cluster: &mut v1::ClusterStatus, policy: v1::PolicyStatus, line: v1::ClusterLine) {
    let mut counts = v1::Counts {
        target: 1,
        ..Default::default()
    };
    match line.state() {
        v1::AckState::Applied => counts.applied = 1,
        v1::AckState::Refused => counts.refused = 1,
        v1::AckState::Silent => counts.silent = 1,
        v1::AckState::Pending | v1::AckState::Unspecified => counts.pending = 1,
    }
    cluster.counts = Some(counts);
    cluster.liveness = line.liveness;
    cluster.drift.retain(|drift| drift.policy == policy.policy);
    cluster.exceptions = match line.state() {
        v1::AckState::Applied => Vec::new(),
        _ => vec![v1::PolicyLine {
            policy: policy.policy,
            generation: policy.generation,
            generation_held: line.generation_held,
            state: line.state,
            reason: line.reason,
            message: line.message,
            failing: line.failing,
            received_at: line.received_at,
            last_applied_generation: line.last_applied_generation,
        }],
    };
}

#[cfg(test)]
mod tests;
