//! What a subscriber counts and measures: every metric and every label of it, declared here and nowhere else.
//!
//! Labels are closed lists: no name of a policy or an object is ever one.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Value, json};
use writ_core::{
    ack::State,
    follower::{Follower, Standing, Summary},
};
use writ_telemetry::{Admin, Counter, Counters, Gauge, Histogram, Metrics, label, level};

use crate::work::Done;

label! {
    /// How an attempt at a policy or a registry entry ended.
    pub(crate) enum Attempt: "outcome" {
        Applied = "applied",
        Pending = "pending",
        Refused = "refused",
    }
}

label! {
    /// Why something is not as wanted: the words of docs/errors.
    pub(crate) enum Why: "reason" {
        ForeignObject = "ForeignObject",
        ClaimedByPolicy = "ClaimedByPolicy",
        CeilingExceeded = "CeilingExceeded",
        CeilingNotEnforced = "CeilingNotEnforced",
        NamespaceMissing = "NamespaceMissing",
        NamespaceTerminating = "NamespaceTerminating",
        RoleMissing = "RoleMissing",
        Finalizing = "Finalizing",
        Forbidden = "Forbidden",
        ClusterRefused = "ClusterRefused",
        Invalid = "Invalid",
        Unsupported = "Unsupported",
        Contended = "Contended",
        Conflict = "Conflict",
        Unavailable = "Unavailable",
        Older = "Older",
        RecordUnreadable = "RecordUnreadable",
        LedgerTampered = "LedgerTampered",
        Drifted = "Drifted",
        Observing = "Observing",
        Other = "Other",
    }
}

label! {
    /// Why a message of the bus changed nothing.
    pub(crate) enum Unheard: "reason" {
        TooLarge = "too_large",
        NotAnEnvelope = "not_an_envelope",
        NotVerified = "not_verified",
        KeyRetired = "key_retired",
        NotDecoded = "not_decoded",
        ForeignScope = "foreign_scope",
        Older = "older",
        Conflicting = "conflicting",
        Unopened = "unopened",
        EpochNotOpened = "epoch_not_opened",
        Other = "other",
    }
}

/// The meters. Clones share them.
#[derive(Clone)]
pub(crate) struct Meters(Arc<Inner>);

struct Inner {
    attempts: Counters<Attempt>,
    not_applied: Counters<Why>,
    apply_seconds: Histogram,
    plan_writes: Histogram,
    repairs: Counter,
    messages_ignored: Counters<Unheard>,
    pulses: Counter,
    beats_missed: Counter,
    gaps: Counter,
    acks_waiting: Gauge,
    attempts_waiting: Gauge,
    revisions_behind: Gauge,
    revision: Gauge,
    stale: Gauge,
    ceiling_enforced: Gauge,
    /// What is shown of the state; the loop replaces it.
    state: Mutex<Value>,
}

impl Meters {
    /// The meters, and what they are read by.
    pub(crate) fn declare() -> (Meters, Metrics) {
        let mut all = Metrics::new("writ_subscriber");
        let inner = Inner {
            attempts: all.counters(
                "attempts",
                "Attempts at a policy or a registry entry, by how they ended",
            ),
            not_applied: all.counters(
                "not_applied",
                "Attempts that ended pending or refused, by reason",
            ),
            apply_seconds: all.seconds(
                "apply",
                "Time from hearing of an edit until every object was confirmed",
            ),
            plan_writes: all.sizes(
                "plan_writes",
                "Writes and deletions of an attempt that the API server confirmed",
            ),
            repairs: all.counter(
                "repairs",
                "Times that something which others had changed was found",
            ),
            messages_ignored: all.counters(
                "messages_ignored",
                "Messages that changed nothing, by why; older ones are the usual duplicates",
            ),
            pulses: all.counter("pulses", "Signs of life given"),
            beats_missed: all.counter(
                "beats_missed",
                "Times that no beat came before the last one expired",
            ),
            gaps: all.counter(
                "gaps",
                "Times that live messages may have been lost, so that the log was read",
            ),
            acks_waiting: all.gauge(
                "acks_waiting",
                "Acknowledgements that are made and not stored yet",
            ),
            attempts_waiting: all.gauge(
                "attempts_under_way",
                "Policies and registry entries that are being brought",
            ),
            revisions_behind: all.gauge(
                "revisions_behind",
                "Edits between the newest that a beat told of and what this cluster holds",
            ),
            revision: all.gauge(
                "revision",
                "The newest edit that this cluster holds all feeds of, within its epoch",
            ),
            stale: all.gauge("stale", "1 while no beat is in force"),
            ceiling_enforced: all.gauge(
                "ceiling_enforced",
                "1 while the API server was seen to enforce a ceiling",
            ),
            state: Mutex::new(Value::Null),
        };
        (Meters(Arc::new(inner)), all)
    }

    /// Shows them, and the state, where this process shows itself.
    pub(crate) fn show(&self, admin: &Admin) {
        let meters = self.clone();
        admin.show(Box::new(|| {}), Box::new(move || meters.state().clone()));
    }

    /// An attempt ended that had heard of its edit at `received_ms`; 0: long ago.
    pub(crate) fn done(&self, done: &Done, received_ms: u64) {
        if done.past.is_none() || !done.told {
            return;
        }
        self.standing(&done.standing);
        self.0
            .plan_writes
            .observe(f64::from(u32::try_from(done.writes).unwrap_or(u32::MAX)));
        if received_ms > 0 && done.applied_ms >= received_ms {
            let took_ms = done.applied_ms - received_ms;
            let took = std::time::Duration::from_millis(took_ms);
            self.0.apply_seconds.observe(took.as_secs_f64());
        }
    }

    fn standing(&self, standing: &Standing) {
        let attempt = match standing.state {
            State::Applied => Attempt::Applied,
            State::Received => Attempt::Pending,
            State::Refused => Attempt::Refused,
        };
        self.0.attempts.count(attempt);
        if standing.state != State::Applied {
            let why = Why::of(&standing.reason).unwrap_or(Why::Other);
            self.0.not_applied.count(why);
        }
    }

    pub(crate) fn repaired(&self, drifted: usize) {
        self.0.repairs.inc_by(drifted as u64);
    }

    pub(crate) fn gap(&self) {
        self.0.gaps.inc();
    }

    pub(crate) fn pulse(&self, stale: bool, was_stale: bool) {
        self.0.pulses.inc();
        self.0.stale.set(stale.into());
        if stale && !was_stale {
            self.0.beats_missed.inc();
        }
    }

    pub(crate) fn ceiling(&self, is_enforced: bool) {
        self.0.ceiling_enforced.set(is_enforced.into());
    }

    /// What the gate has counted since the start.
    pub(crate) fn ignored(&self, counts: &BTreeMap<&'static str, u64>) {
        for (category, count) in counts {
            let label = Unheard::of(category).unwrap_or(Unheard::Other);
            let known = self.0.messages_ignored.get(label);
            self.0
                .messages_ignored
                .add(label, count.saturating_sub(known));
        }
    }

    /// Where the loop stands.
    pub(crate) fn looped(&self, follower: &Follower, under_way: usize, acks_waiting: usize) {
        let held = follower.cut().map(|cut| cut.revision).unwrap_or_default();
        let told = follower.told().unwrap_or(held);
        let behind = match told.epoch == held.epoch {
            true => told.number.saturating_sub(held.number),
            false => told.number,
        };
        self.0.revision.set(level(held.number));
        self.0.revisions_behind.set(level(behind));
        self.0.attempts_waiting.set(level(under_way));
        self.0.acks_waiting.set(level(acks_waiting));
    }

    /// The state, for support.
    pub(crate) fn remember(
        &self,
        follower: &Follower,
        summary: &Summary,
        cluster: &str,
        boot: u64,
    ) {
        let exceptions: Vec<Value> = summary
            .exceptions
            .iter()
            .map(|one| {
                json!({
                    "name": one.name.as_str(),
                    "generation": one.generation.0,
                    "reason": one.reason,
                    "message": one.message,
                })
            })
            .collect();
        *self.state() = json!({
            "cluster": cluster,
            "version": env!("CARGO_PKG_VERSION"),
            "boot": boot,
            "holds": follower.cut().map(|cut| cut.revision.to_string()),
            "beat": follower.told().map(|revision| revision.to_string()),
            "policies": {
                "applied": summary.counts.applied,
                "pending": summary.counts.pending,
                "refused": summary.counts.refused,
            },
            "exceptions": exceptions,
        });
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Value> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names of all series of a subscriber, for whoever checks what is built on them.
pub fn metric_names() -> std::collections::BTreeSet<String> {
    writ_telemetry::names(&Meters::declare().1.text())
}

#[cfg(test)]
mod tests {
    use writ_core::plan::Reason;

    use super::*;

    #[test]
    fn every_reason_of_a_plan_is_a_label() {
        for reason in Reason::ALL {
            assert!(Why::of(reason.as_str()).is_some(), "{}", reason.as_str());
        }
    }

    #[test]
    fn all_names_are_as_reviewed() {
        let names: Vec<String> = metric_names().into_iter().collect();
        let reviewed = include_str!("metrics_reviewed.txt");
        let names = names.join("\n") + "\n";
        assert_eq!(names, reviewed, "review the change, then write it down");
    }
}
