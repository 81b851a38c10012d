//! What a publisher counts and measures: every metric and every label of it, declared here and nowhere else.
//!
//! Labels are closed lists: no name of a policy, a cluster or a person is ever one.

use std::{sync::Arc, time::Duration};

use tonic::Code;
use writ_core::tracker::{Overview, Progress};
use writ_telemetry::{
    Counter, Counters, Gauge, Gauges, Histogram, Histograms, Metrics, label, level,
};

use crate::{answer::Answer, error::EditError, send::Fate};

label! {
    /// What became of an edit that was asked for.
    pub(crate) enum EditOutcome: "outcome" {
        Committed = "committed",
        Unchanged = "unchanged",
        DryRun = "dry_run",
        Invalid = "invalid",
        Denied = "denied",
        Guarded = "guarded",
        Conflict = "conflict",
        NotFound = "not_found",
        Full = "full",
        NotStored = "not_stored",
        Unknown = "unknown",
        Broken = "broken",
        Refused = "refused",
    }
}

label! {
    /// What became of a batch.
    pub(crate) enum BatchOutcome: "outcome" {
        Committed = "committed",
        /// Another publisher's came first, or the log did not take it in time.
        Lost = "lost",
        Refused = "refused",
        Unknown = "unknown",
    }
}

label! {
    /// What became of a message of a cluster.
    pub(crate) enum AckOutcome: "outcome" {
        Taken = "taken",
        NotRegistered = "not_registered",
        Misplaced = "misplaced",
        Older = "older",
        NotBelieved = "not_believed",
    }
}

label! {
    /// Why a cluster refuses an edit: the words of docs/errors that end in a refusal.
    pub(crate) enum Refusal: "reason" {
        ForeignObject = "ForeignObject",
        ClaimedByPolicy = "ClaimedByPolicy",
        CeilingExceeded = "CeilingExceeded",
        CeilingNotEnforced = "CeilingNotEnforced",
        NamespaceMissing = "NamespaceMissing",
        Forbidden = "Forbidden",
        ClusterRefused = "ClusterRefused",
        Invalid = "Invalid",
        InvalidEvent = "InvalidEvent",
        Unsupported = "Unsupported",
        Contended = "Contended",
        RecordUnreadable = "RecordUnreadable",
        LedgerTampered = "LedgerTampered",
        Drifted = "Drifted",
        NotRecovered = "NotRecovered",
        Other = "Other",
    }
}

label! {
    /// Whether a cluster is heard.
    pub(crate) enum Life: "liveness" {
        Live = "live",
        Silent = "silent",
        Unknown = "unknown",
    }
}

label! {
    /// How a policy stands on a live cluster.
    pub(crate) enum Standing: "state" {
        Applied = "applied",
        Pending = "pending",
        Refused = "refused",
    }
}

label! {
    /// Which service of the API.
    pub(crate) enum Service: "service" {
        Policy = "PolicyService",
        Cluster = "ClusterService",
        Ack = "AckService",
        History = "HistoryService",
        Access = "AccessService",
        Trust = "TrustService",
        Identity = "IdentityService",
        Token = "TokenService",
        Audit = "AuditService",
        Other = "other",
    }
}

label! {
    /// How a call ended.
    pub(crate) enum CallOutcome: "outcome" {
        Ok = "ok",
        /// The caller's fault: a wrong request, a guard, something that is not there.
        Rejected = "rejected",
        /// No credential, or no right.
        Denied = "denied",
        /// Too many, or too much.
        Throttled = "throttled",
        /// The publisher, or what it leans on.
        Failed = "failed",
    }
}

label! {
    /// Which stream of the bus.
    pub(crate) enum BusStream: "stream" {
        Log = "log",
        Acks = "acks",
    }
}

/// The meters. Clones share them.
#[derive(Clone)]
pub(crate) struct Meters(Arc<Inner>);

struct Inner {
    edits: Counters<EditOutcome>,
    batches: Counters<BatchOutcome>,
    batch_seconds: Histogram,
    batch_edits: Histogram,
    acks: Counters<AckOutcome>,
    pulses: Counters<AckOutcome>,
    pulses_missed: Counter,
    refusals: Counters<Refusal>,
    received_seconds: Histogram,
    applied_seconds: Histogram,
    calls: Counters<CallOutcome>,
    call_seconds: Histograms<Service>,
    messages_not_believed: Counter,
    clusters: Gauges<Life>,
    clusters_stale: Gauge,
    clusters_observing: Gauge,
    clusters_forked: Gauge,
    policies: Gauges<Standing>,
    revisions_behind: Gauge,
    revision: Gauge,
    epoch: Gauge,
    edits_waiting: Gauge,
    watches: Gauge,
    edits_refused: Gauge,
    bus_copies: Gauges<BusStream>,
    bus_copies_wanted: Gauges<BusStream>,
}

impl Meters {
    /// The meters, and what they are read by.
    pub(crate) fn declare() -> (Meters, Metrics) {
        let mut all = Metrics::new("writ_publisher");
        let inner = Inner {
            edits: all.counters("edits", "Edits that were asked for, by what became of them"),
            batches: all.counters("batches", "Batches sent to the log, by what became of them; all but the committed ones are tried again or answered"),
            batch_seconds: all.seconds("batch", "Time from sealing a batch until its outcome was definite"),
            batch_edits: all.sizes("batch_edits", "Edits in a committed batch"),
            acks: all.counters("acks", "Acknowledgements of clusters, by what became of them"),
            pulses: all.counters("pulses", "Signs of life of clusters, by what became of them"),
            pulses_missed: all.counter("pulses_missed", "Signs of life that did not come, counted when the next one did"),
            refusals: all.counters("refusals", "Edits that a cluster refused, by reason"),
            received_seconds: all.seconds("received", "Time from an edit's commit until a cluster had received it, by that cluster's clock"),
            applied_seconds: all.seconds("applied", "Time from an edit's commit until a cluster had confirmed every object, by that cluster's clock"),
            calls: all.counters("calls", "Calls of the API, by how they ended"),
            call_seconds: all.seconds_by("call", "Time of a call until its answer began, by service"),
            messages_not_believed: all.counter("messages_not_believed", "Messages on the bus that did not verify or did not fit"),
            clusters: all.gauges("clusters", "Registered clusters, by whether they are heard"),
            clusters_stale: all.gauge("clusters_stale", "Live clusters that hear no beat"),
            clusters_observing: all.gauge("clusters_observing", "Clusters that only observe"),
            clusters_forked: all.gauge("clusters_forked", "Clusters for which two speak"),
            policies: all.gauges("policies", "Policies on live clusters, by the clusters' own count"),
            revisions_behind: all.gauge("revisions_behind", "Edits between the newest and the one that the slowest live cluster has reached"),
            revision: all.gauge("revision", "The newest edit that was read back from the log, within its epoch"),
            epoch: all.gauge("epoch", "The log's epoch"),
            edits_waiting: all.gauge("edits_waiting", "Edits that wait for their place in a batch"),
            watches: all.gauge("watches", "Open streams of status"),
            edits_refused: all.gauge("edits_refused", "1 while no edit is taken, whatever it says: the log is not believed, or behind"),
            bus_copies: all.gauges("bus_copies", "Copies of a stream that are up to date, its leader's included"),
            bus_copies_wanted: all.gauges("bus_copies_wanted", "Copies that a stream is set to have"),
        };
        (Meters(Arc::new(inner)), all)
    }

    pub(crate) fn edit(&self, is_dry_run: bool, result: &Result<Answer, EditError>) {
        self.0.edits.count(edit_outcome(is_dry_run, result));
    }

    pub(crate) fn batch(&self, fate: &Fate, edits: usize, took: Duration) {
        self.0.batch_seconds.observe(took.as_secs_f64());
        let outcome = match fate {
            Fate::Committed => {
                self.0
                    .batch_edits
                    .observe(f64::from(u32::try_from(edits).unwrap_or(u32::MAX)));
                BatchOutcome::Committed
            }
            Fate::Lost => BatchOutcome::Lost,
            Fate::Refused(_) => BatchOutcome::Refused,
            Fate::Unknown => BatchOutcome::Unknown,
        };
        self.0.batches.count(outcome);
    }

    pub(crate) fn ack(&self, outcome: AckOutcome) {
        self.0.acks.count(outcome);
    }

    pub(crate) fn pulse(&self, outcome: AckOutcome) {
        self.0.pulses.count(outcome);
    }

    pub(crate) fn pulses_missed(&self, count: u64) {
        self.0.pulses_missed.inc_by(count);
    }

    pub(crate) fn progress(&self, news: &[Progress]) {
        let seconds = |ms: u64| Duration::from_millis(ms).as_secs_f64();
        for one in news {
            if let Some(ms) = one.received_after_ms {
                self.0.received_seconds.observe(seconds(ms));
            }
            if let Some(ms) = one.applied_after_ms {
                self.0.applied_seconds.observe(seconds(ms));
            }
            if let Some((reason, _)) = &one.refused {
                let reason = Refusal::of(reason).unwrap_or(Refusal::Other);
                self.0.refusals.count(reason);
            }
        }
    }

    /// A call ended, or began to answer.
    pub(crate) fn call(&self, path: &str, code: Code, took: Duration) {
        self.0.calls.count(call_outcome(code));
        self.0
            .call_seconds
            .observe(service(path), took.as_secs_f64());
    }

    pub(crate) fn not_believed(&self) {
        self.0.messages_not_believed.inc();
    }

    pub(crate) fn overview(&self, of: &Overview) {
        let inner = &self.0;
        inner.clusters.set(Life::Live, of.live);
        inner.clusters.set(Life::Silent, of.silent);
        inner.clusters.set(Life::Unknown, of.unknown);
        inner.clusters_stale.set(of.stale.into());
        inner.clusters_observing.set(of.observing.into());
        inner.clusters_forked.set(of.forked.into());
        inner.policies.set(Standing::Applied, of.applied);
        inner.policies.set(Standing::Pending, of.pending);
        inner.policies.set(Standing::Refused, of.refused);
        inner.revisions_behind.set(level(of.revisions_behind));
    }

    pub(crate) fn log(&self, revision: writ_core::revision::Revision, are_edits_refused: bool) {
        self.0.revision.set(level(revision.number));
        self.0.epoch.set(level(revision.epoch));
        self.0.edits_refused.set(are_edits_refused.into());
    }

    pub(crate) fn queues(&self, edits_waiting: usize, watches: usize) {
        self.0.edits_waiting.set(level(edits_waiting));
        self.0.watches.set(level(watches));
    }

    /// Nobody said how many there are, which is not the same as enough.
    pub(crate) fn no_copies(&self, stream: BusStream) {
        self.0.bus_copies.set(stream, 0);
    }

    pub(crate) fn bus(&self, stream: BusStream, current: usize, wanted: usize) {
        self.0.bus_copies.set(stream, current);
        self.0.bus_copies_wanted.set(stream, wanted);
    }
}

fn edit_outcome(is_dry_run: bool, result: &Result<Answer, EditError>) -> EditOutcome {
    let error = match result {
        Ok(_) if is_dry_run => return EditOutcome::DryRun,
        Ok(answer) if answer.unchanged => return EditOutcome::Unchanged,
        Ok(_) => return EditOutcome::Committed,
        Err(error) => error,
    };
    match error {
        EditError::Invalid(_) | EditError::TooLarge(_) => EditOutcome::Invalid,
        EditError::Denied(_) | EditError::NotBreakGlass => EditOutcome::Denied,
        EditError::NotFound { .. } => EditOutcome::NotFound,
        EditError::BaseMoved { .. } | EditError::RequestIdTaken { .. } => EditOutcome::Conflict,
        EditError::Full | EditError::TooMany { .. } => EditOutcome::Full,
        EditError::Broken(_) => EditOutcome::Broken,
        EditError::NotStored | EditError::Behind(_) => EditOutcome::NotStored,
        EditError::Unknown { .. } | EditError::CutOff { .. } => EditOutcome::Unknown,
        EditError::Refused { .. } | EditError::Bus(_) => EditOutcome::Refused,
        _ => EditOutcome::Guarded,
    }
}

fn call_outcome(code: Code) -> CallOutcome {
    match code {
        Code::Ok => CallOutcome::Ok,
        Code::Unauthenticated | Code::PermissionDenied => CallOutcome::Denied,
        Code::ResourceExhausted => CallOutcome::Throttled,
        Code::Unavailable
        | Code::Unknown
        | Code::Internal
        | Code::DeadlineExceeded
        | Code::DataLoss => CallOutcome::Failed,
        _ => CallOutcome::Rejected,
    }
}

/// `/writ.v1.PolicyService/Apply` is the policies'.
fn service(path: &str) -> Service {
    let found = path
        .strip_prefix("/writ.v1.")
        .and_then(|rest| Service::of(rest.split('/').next()?));
    found.unwrap_or(Service::Other)
}

impl From<&writ_core::tracker::Refused> for AckOutcome {
    fn from(refused: &writ_core::tracker::Refused) -> AckOutcome {
        AckOutcome::of(refused.category()).unwrap_or(AckOutcome::NotBelieved)
    }
}

/// The names of all series of a publisher, for whoever checks what is built on them.
pub fn metric_names() -> std::collections::BTreeSet<String> {
    writ_telemetry::names(&Meters::declare().1.text())
}

#[cfg(test)]
mod tests {
    use writ_core::{
        name::PolicyName,
        revision::{Generation, Revision},
    };

    use super::*;

    #[test]
    fn a_calls_service_is_read_off_its_path_and_never_grows_the_list() {
        assert_eq!(service("/writ.v1.PolicyService/Apply"), Service::Policy);
        assert_eq!(service("/writ.v1.Whatever/Apply"), Service::Other);
        assert_eq!(service("/grpc.health.v1.Health/Check"), Service::Other);
        assert_eq!(service("nonsense"), Service::Other);
    }

    #[test]
    fn a_reason_that_a_newer_subscriber_names_is_counted_as_another() {
        let (meters, metrics) = Meters::declare();
        for reason in ["ForeignObject", "NotInventedYet"] {
            meters.progress(&[Progress {
                policy: PolicyName::parse("p").unwrap(),
                generation: Generation(1),
                revision: Revision::ZERO,
                removed: false,
                received_after_ms: None,
                applied_after_ms: None,
                refused: Some((reason.to_owned(), String::new())),
            }]);
        }
        let text = metrics.text();
        assert!(
            text.contains("writ_publisher_refusals_total{reason=\"ForeignObject\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("writ_publisher_refusals_total{reason=\"Other\"} 1"),
            "{text}"
        );
    }

    #[test]
    fn all_names_are_as_reviewed() {
        let names: Vec<String> = metric_names().into_iter().collect();
        let reviewed = include_str!("metrics_reviewed.txt");
        let names = names.join("\n") + "\n";
        assert_eq!(names, reviewed, "review the change, then write it down");
    }
}
