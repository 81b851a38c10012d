//! From the core's types to the API's messages. No I/O, no decisions.

use std::collections::BTreeMap;

use prost_types::Timestamp;
use serde_json::Value;
use writ_core::{
    ack::{AckedEdit, Failure},
    edit::Intent,
    enrol::Fingerprint,
    model::{Cluster, ClusterPolicy, Notice},
    revision::{Generation, Revision},
    tracker::{
        ClusterLine, ClusterStatus, Counts, Liveness, Membership, PolicyLine, PolicyStatus, State,
    },
};
use writ_proto::v1;

use crate::{answer::Answer, render::Rendered};

/// A moment, from milliseconds since the Unix epoch.
pub(crate) fn time(ms: u64) -> Timestamp {
    let seconds = i64::try_from(ms / 1_000).unwrap_or(i64::MAX);
    // Below a thousand million, which fits.
    let nanos = i32::try_from((ms % 1_000) * 1_000_000).unwrap_or(0);
    Timestamp { seconds, nanos }
}

pub(crate) fn revision(revision: Revision) -> v1::Revision {
    v1::Revision {
        epoch: revision.epoch,
        number: revision.number,
    }
}

/// A revision as clients give it; without an epoch it is of the first.
pub(crate) fn to_revision(given: &v1::Revision) -> Revision {
    if given.number == 0 && given.epoch == 0 {
        return Revision::ZERO;
    }
    Revision {
        epoch: given.epoch.max(1),
        number: given.number,
    }
}

pub(crate) fn edit_response(answer: Answer) -> v1::EditResponse {
    let notice = |notice: Notice| v1::Notice {
        field: notice.field,
        message: notice.message,
    };
    v1::EditResponse {
        name: answer.name,
        generation: answer.generation.0,
        revision: (answer.revision > Revision::ZERO).then(|| revision(answer.revision)),
        unchanged: answer.unchanged,
        notices: answer.notices.into_iter().map(notice).collect(),
        target_count: count(answer.target_count),
        unknown_clusters: answer.unknown_clusters,
        dry_run: answer.dry_run,
        request_id: answer.request_id,
        losing_subject_count: answer.weighed.losing_count,
        confirm_number: answer.weighed.confirm.as_ref().map_or(0, |of| of.number),
        confirm_reasons: answer
            .weighed
            .confirm
            .map(|of| of.reasons)
            .unwrap_or_default(),
        approval_stage: answer
            .weighed
            .approval
            .map(|of| of.to_string())
            .unwrap_or_default(),
        proposed: answer.proposed,
        overridden: answer.weighed.overridden,
    }
}

/// How much of an entry is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// A line of a list.
    Line,
    /// A line with its manifest.
    Manifest,
    /// Everything.
    All,
}

fn manifest(intent: &Intent, detail: Detail) -> String {
    match detail {
        Detail::Line => String::new(),
        Detail::Manifest | Detail::All => intent.manifest.clone().unwrap_or_default(),
    }
}

pub(crate) fn policy(intent: &Intent, policy: &ClusterPolicy, detail: Detail) -> v1::Policy {
    let targets = if detail == Detail::All {
        intent.targets.clone()
    } else {
        vec![]
    };
    v1::Policy {
        name: intent.name.to_string(),
        generation: intent.generation.0,
        revision: Some(revision(intent.revision)),
        manifest: manifest(intent, detail),
        committed_at: Some(time(intent.committed_ms)),
        author: intent.author.clone(),
        reason: intent.reason.clone(),
        request_id: intent.request_id.clone(),
        labels: labels(&policy.labels),
        clusters: selector_words(intent),
        object_count: count(policy.objects.len()),
        grant_count: count(policy.grants.len()),
        targets,
        target_count: count(intent.targets.len()),
        scopes: intent.scopes.iter().map(ToString::to_string).collect(),
    }
}

/// An edit without its document.
pub(crate) fn edit(intent: &Intent, kind: v1::EditKind) -> v1::Edit {
    v1::Edit {
        generation: intent.generation.0,
        revision: Some(revision(intent.revision)),
        kind: kind.into(),
        committed_at: Some(time(intent.committed_ms)),
        author: intent.author.clone(),
        reason: intent.reason.clone(),
        inlet: intent.inlet.clone(),
        request_id: intent.request_id.clone(),
        targets: intent.targets.clone(),
        scopes: intent.scopes.iter().map(ToString::to_string).collect(),
    }
}

pub(crate) fn rendered(intent: &Intent, rendered: Rendered) -> v1::RenderedPolicy {
    let object = |(wave, object): (u32, writ_core::model::Object)| v1::RenderedObject {
        manifest: object.content.to_string(),
        wave,
    };
    let grant = |(name, namespaces)| v1::RenderedGrant { name, namespaces };
    v1::RenderedPolicy {
        name: intent.name.to_string(),
        generation: intent.generation.0,
        revision: Some(revision(intent.revision)),
        objects: rendered.objects.into_iter().map(object).collect(),
        grants: rendered.grants.into_iter().map(grant).collect(),
    }
}

pub(crate) fn cluster(
    intent: &Intent,
    cluster: &Cluster,
    status: Option<&ClusterStatus>,
    detail: Detail,
) -> v1::Cluster {
    v1::Cluster {
        name: intent.name.to_string(),
        generation: intent.generation.0,
        revision: Some(revision(intent.revision)),
        manifest: manifest(intent, detail),
        committed_at: Some(time(intent.committed_ms)),
        author: intent.author.clone(),
        reason: intent.reason.clone(),
        request_id: intent.request_id.clone(),
        labels: labels(&cluster.labels),
        region: cluster.region.to_string(),
        stage: cluster.stage.to_string(),
        endpoint: cluster.endpoint.clone().unwrap_or_default(),
        mode: cluster.mode.as_str().to_owned(),
        liveness: status.map(|status| liveness(status.liveness)),
        applied_revision: status.and_then(|status| status.revision).map(revision),
        subscriber_version: status
            .map(|s| s.subscriber_version.clone())
            .unwrap_or_default(),
        kubernetes_version: status
            .map(|s| s.kubernetes_version.clone())
            .unwrap_or_default(),
        phase: cluster.phase.as_str().to_owned(),
        waiting: Vec::new(),
        refused: Vec::new(),
        fingerprint: cluster.keys.as_ref().map_or_else(String::new, |keys| {
            Fingerprint::of(&cluster.name, keys).to_string()
        }),
    }
}

fn labels(labels: &BTreeMap<String, String>) -> std::collections::HashMap<String, String> {
    labels
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The selector as a person would say it, from the document.
fn selector_words(intent: &Intent) -> String {
    let document: Value = intent
        .manifest
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    document
        .pointer("/spec/clusters")
        .map(words)
        .unwrap_or_default()
}

fn words(selector: &Value) -> String {
    let Some(fields) = selector.as_object() else {
        return String::new();
    };
    let mut parts = Vec::new();
    for key in [
        "all",
        "regions",
        "stages",
        "names",
        "matchLabels",
        "matchExpressions",
        "exclude",
    ] {
        let Some(value) = fields.get(key) else {
            continue;
        };
        parts.push(match (key, value) {
            ("all", Value::Bool(true)) => "all".to_owned(),
            ("exclude", value) => format!("except {}", words(value)),
            ("matchLabels", Value::Object(labels)) => {
                let label = |(key, value): (&String, &Value)| format!("{key}={}", plain(value));
                format!(
                    "labels {}",
                    labels.iter().map(label).collect::<Vec<_>>().join(", ")
                )
            }
            (_, Value::Array(values)) if key != "matchExpressions" => {
                format!(
                    "{key} {}",
                    values.iter().map(plain).collect::<Vec<_>>().join(", ")
                )
            }
            ("matchExpressions", Value::Array(values)) => format!("{} expressions", values.len()),
            _ => continue,
        });
    }
    parts.join("; ")
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

pub(crate) fn liveness(of: Liveness) -> v1::Liveness {
    use v1::liveness::State;
    let (state, since_ms, last_heard_ms) = match of {
        Liveness::Unknown { last_heard_ms } => (State::Unspecified, None, last_heard_ms),
        Liveness::Live { last_heard_ms } => (State::Live, None, Some(last_heard_ms)),
        Liveness::Silent {
            since_ms,
            last_heard_ms,
        } => (State::Silent, Some(since_ms), last_heard_ms),
    };
    v1::Liveness {
        state: state.into(),
        since: since_ms.map(time),
        last_heard: last_heard_ms.map(time),
    }
}

/// A policy's status, with the lines that it has.
pub(crate) fn policy_status(status: PolicyStatus) -> v1::PolicyStatus {
    v1::PolicyStatus {
        policy: status.name.to_string(),
        generation: status.generation.0,
        revision: Some(revision(status.revision)),
        committed_at: Some(time(status.committed_ms)),
        deleted: status.is_deleted,
        latest_generation: status.latest_generation.0,
        counts: Some(counts(status.counts)),
        spread: Some(v1::Spread {
            p50_ms: status.spread.p50_ms,
            p90_ms: status.spread.p90_ms,
            p99_ms: status.spread.p99_ms,
            last_ms: status.spread.last_ms,
        }),
        clusters: status.clusters.into_iter().map(cluster_line).collect(),
        is_change: false,
        removed: Vec::new(),
    }
}

fn counts(of: Counts) -> v1::Counts {
    v1::Counts {
        target: of.target,
        applied: of.applied,
        pending: of.pending,
        refused: of.refused,
        silent: of.silent,
        later: of.later,
        left: of.left,
        observing: of.observing,
        received: of.received,
        aside: of.aside,
    }
}

fn state(state: State) -> i32 {
    (match state {
        State::Pending => v1::AckState::Pending,
        State::Applied => v1::AckState::Applied,
        State::Refused => v1::AckState::Refused,
        State::Silent => v1::AckState::Silent,
    })
    .into()
}

fn cluster_line(line: ClusterLine) -> v1::ClusterLine {
    let membership = match line.membership {
        Membership::Target => v1::Membership::Target,
        Membership::Later => v1::Membership::Later,
        Membership::Left => v1::Membership::Left,
        Membership::Observing => v1::Membership::Observing,
        Membership::Unenrolled => v1::Membership::Unenrolled,
        Membership::Draining => v1::Membership::Draining,
        Membership::CutOff => v1::Membership::CutOff,
    };
    let (region, stage) = place(line.place);
    v1::ClusterLine {
        cluster: line.cluster.to_string(),
        region,
        stage,
        state: state(line.state),
        membership: membership.into(),
        reason: line.reason,
        message: line.message,
        received_at: line.received_ms.map(time),
        applied_at: line.applied_ms.map(time),
        liveness: Some(liveness(line.liveness)),
        generation_held: line.generation_held.map_or(0, |Generation(number)| number),
        failing: line.failures.into_iter().map(failing).collect(),
        last_applied_generation: line.last_applied.unwrap_or_default().0,
    }
}

fn place(place: Option<(writ_core::name::Region, writ_core::name::Stage)>) -> (String, String) {
    place
        .map(|(region, stage)| (region.to_string(), stage.to_string()))
        .unwrap_or_default()
}

pub(crate) fn failing(failure: Failure) -> v1::FailingObject {
    v1::FailingObject {
        object: failure.object,
        reason: failure.reason,
        message: failure.message,
    }
}

pub(crate) fn cluster_status(status: ClusterStatus) -> v1::ClusterStatus {
    let (region, stage) = place(status.place);
    v1::ClusterStatus {
        cluster: status.name.to_string(),
        region,
        stage,
        mode: if status.observes {
            "observe"
        } else {
            "enforce"
        }
        .to_owned(),
        liveness: Some(liveness(status.liveness)),
        revision: status.revision.map(revision),
        acked_at: status.acked_ms.map(time),
        counts: Some(counts(status.counts)),
        exceptions: status.exceptions.into_iter().map(policy_line).collect(),
        subscriber_version: status.subscriber_version,
        kubernetes_version: status.kubernetes_version,
        clock_skew_ms: status.clock_skew_ms,
        boot_id: status.boot_id,
        ceiling: status
            .ceiling
            .map_or_else(String::new, |hash| hash.to_string()),
        drift: status.drift.into_iter().map(drift_line).collect(),
        forked: status
            .fork
            .map_or_else(String::new, |fork| fork.to_string()),
        phase: status.phase.as_str().to_owned(),
        waiting: Vec::new(),
        refused_requests: Vec::new(),
    }
}

/// Exceptions that a line of the fleet names.
const FLEET_EXCEPTIONS_MAX: usize = 8;

/// A cluster in short.
pub(crate) fn fleet_line(status: ClusterStatus) -> v1::FleetLine {
    let (is_stale, said) = (status.is_stale, status.said);
    let mut full = cluster_status(status);
    if let Some(liveness) = &mut full.liveness
        && liveness.state() == v1::liveness::State::Live
    {
        // Each sign of life would change the line.
        liveness.last_heard = None;
    }
    full.exceptions
        .retain(|line| line.state() != v1::AckState::Silent);
    full.exceptions
        .sort_by_key(|line| line.state() != v1::AckState::Refused);
    full.exceptions.truncate(FLEET_EXCEPTIONS_MAX);
    for line in &mut full.exceptions {
        line.failing.clear();
    }
    v1::FleetLine {
        cluster: full.cluster,
        region: full.region,
        stage: full.stage,
        mode: full.mode,
        liveness: full.liveness,
        stale: is_stale,
        forked: full.forked,
        counts: full.counts,
        said_applied: said.applied,
        said_pending: said.pending,
        said_refused: said.refused,
        revision: full.revision,
        exceptions: full.exceptions,
        subscriber_version: full.subscriber_version,
        phase: full.phase,
    }
}

fn drift_line(edit: AckedEdit) -> v1::DriftLine {
    v1::DriftLine {
        policy: edit.name.to_string(),
        generation: edit.generation.0,
        seen_at: Some(time(edit.received_ms)),
        repaired_at: (edit.applied_ms > 0).then(|| time(edit.applied_ms)),
        objects: edit.failures.into_iter().map(failing).collect(),
    }
}

fn policy_line(line: PolicyLine) -> v1::PolicyLine {
    v1::PolicyLine {
        policy: line.policy.to_string(),
        generation: line.generation.0,
        generation_held: line.generation_held.map_or(0, |Generation(number)| number),
        state: state(line.state),
        reason: line.reason,
        message: line.message,
        failing: line.failures.into_iter().map(failing).collect(),
        received_at: line.received_ms.map(time),
        last_applied_generation: line.last_applied.unwrap_or_default().0,
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_selector_is_said_as_a_person_would() {
        for (selector, said) in [
            (json!({"all": true}), "all"),
            (
                json!({"regions": ["eu", "us"], "stages": ["prod"]}),
                "regions eu, us; stages prod",
            ),
            (
                json!({"matchLabels": {"provider": "aws"}, "exclude": {"names": ["us-prod-7"]}}),
                "labels provider=aws; except names us-prod-7",
            ),
            (json!({}), ""),
        ] {
            assert_eq!(words(&selector), said);
        }
    }

    #[test]
    fn a_moment_keeps_its_milliseconds() {
        assert_eq!(
            time(1_700_000_000_042),
            Timestamp {
                seconds: 1_700_000_000,
                nanos: 42_000_000
            }
        );
    }

    #[test]
    fn a_revision_without_an_epoch_is_of_the_first_and_none_asks_for_nothing() {
        let at = |epoch, number| to_revision(&v1::Revision { epoch, number });
        assert_eq!(at(0, 0), Revision::ZERO);
        assert_eq!(
            at(0, 7),
            Revision {
                epoch: 1,
                number: 7
            }
        );
        assert_eq!(
            at(2, 7),
            Revision {
                epoch: 2,
                number: 7
            }
        );
    }

    #[test]
    fn a_silent_cluster_says_since_when() {
        let said = liveness(Liveness::Silent {
            since_ms: 5_000,
            last_heard_ms: None,
        });
        assert_eq!(said.state(), v1::liveness::State::Silent);
        assert_eq!(said.since, Some(time(5_000)));
        assert_eq!(said.last_heard, None);
    }
}
