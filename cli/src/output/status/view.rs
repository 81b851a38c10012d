//! A status as JSON and YAML.
//!
//! Says the same as the table and more; the names of the fields are part of the contract of `-o
//! json`.

use serde::Serialize;
use serde_json::Value;
use writ_proto::v1;

use super::super::json::{AsOf, Document, FailingObject, Liveness, Revision, known};
use super::super::words;

/// The answer for scripts.
pub(crate) fn json(status: &v1::StatusResponse) -> Document<impl Serialize> {
    Document::new(
        "Status",
        StatusView {
            as_of: AsOf::from_proto(status.as_of.as_ref()),
            policies: status.policies.iter().map(PolicyView::from_proto).collect(),
            cluster: status.cluster.as_ref().map(ClusterView::from_proto),
        },
    )
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusView {
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<AsOf>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    policies: Vec<PolicyView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<ClusterView>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CountsView {
    target: u32,
    applied: u32,
    pending: u32,
    received: u32,
    refused: u32,
    silent: u32,
    later: u32,
    left: u32,
    observing: u32,
    aside: u32,
}

impl CountsView {
    fn from_proto(counts: Option<&v1::Counts>) -> Self {
        let counts = counts.copied().unwrap_or_default();
        Self {
            target: counts.target,
            applied: counts.applied,
            pending: counts.pending,
            received: counts.received,
            refused: counts.refused,
            silent: counts.silent,
            later: counts.later,
            left: counts.left,
            observing: counts.observing,
            aside: counts.aside,
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PolicyView {
    policy: String,
    generation: u64,
    latest_generation: u64,
    deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<Revision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    committed_at: Option<String>,
    counts: CountsView,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    clusters: Vec<LineView>,
}

impl PolicyView {
    fn from_proto(policy: &v1::PolicyStatus) -> Self {
        Self {
            policy: policy.policy.clone(),
            generation: policy.generation,
            latest_generation: policy.latest_generation,
            deleted: policy.deleted,
            revision: Revision::from_proto(policy.revision.as_ref()),
            committed_at: words::instant(policy.committed_at.as_ref()),
            counts: CountsView::from_proto(policy.counts.as_ref()),
            clusters: policy.clusters.iter().map(LineView::from_cluster).collect(),
        }
    }
}

/// One cluster's answer to one policy: seen from the policy it names the cluster, from the cluster
/// the policy.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct LineView {
    #[serde(skip_serializing_if = "String::is_empty")]
    cluster: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    region: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    stage: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    policy: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    state: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    membership: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    received_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    applied_at: Option<String>,
    generation_held: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_applied_generation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    liveness: Option<Liveness>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failing: Vec<FailingObject>,
}

impl LineView {
    fn from_cluster(line: &v1::ClusterLine) -> Self {
        Self {
            cluster: line.cluster.clone(),
            region: line.region.clone(),
            stage: line.stage.clone(),
            state: words::ack_state(line.state()),
            membership: match words::membership(line.membership()) {
                "" => "target",
                other => other,
            },
            reason: line.reason.clone(),
            message: line.message.clone(),
            received_at: words::instant(line.received_at.as_ref()),
            applied_at: words::instant(line.applied_at.as_ref()),
            generation_held: line.generation_held,
            last_applied_generation: known(line.last_applied_generation),
            liveness: Some(Liveness::from_proto(line.liveness.as_ref())),
            failing: FailingObject::list(&line.failing),
            ..Self::default()
        }
    }

    fn from_policy(line: &v1::PolicyLine) -> Self {
        Self {
            policy: line.policy.clone(),
            generation: Some(line.generation),
            state: words::ack_state(line.state()),
            reason: line.reason.clone(),
            message: line.message.clone(),
            received_at: words::instant(line.received_at.as_ref()),
            generation_held: line.generation_held,
            last_applied_generation: known(line.last_applied_generation),
            failing: FailingObject::list(&line.failing),
            ..Self::default()
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterView {
    cluster: String,
    region: String,
    stage: String,
    mode: String,
    liveness: Liveness,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<Revision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acked_at: Option<String>,
    counts: CountsView,
    exceptions: Vec<LineView>,
    #[serde(skip_serializing_if = "String::is_empty")]
    subscriber_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    kubernetes_version: String,
    clock_skew_ms: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    boot_id: String,
    /// SHA-256 of the ceiling that the cluster's API server was seen to enforce.
    #[serde(skip_serializing_if = "String::is_empty")]
    ceiling: String,
}

impl ClusterView {
    fn from_proto(cluster: &v1::ClusterStatus) -> Self {
        Self {
            cluster: cluster.cluster.clone(),
            region: cluster.region.clone(),
            stage: cluster.stage.clone(),
            mode: cluster.mode.clone(),
            liveness: Liveness::from_proto(cluster.liveness.as_ref()),
            revision: Revision::from_proto(cluster.revision.as_ref()),
            acked_at: words::instant(cluster.acked_at.as_ref()),
            counts: CountsView::from_proto(cluster.counts.as_ref()),
            exceptions: cluster
                .exceptions
                .iter()
                .map(LineView::from_policy)
                .collect(),
            subscriber_version: cluster.subscriber_version.clone(),
            kubernetes_version: cluster.kubernetes_version.clone(),
            clock_skew_ms: cluster.clock_skew_ms,
            boot_id: cluster.boot_id.clone(),
            ceiling: cluster.ceiling.clone(),
        }
    }
}

/// One policy on one cluster for scripts, as part of something else.
pub(crate) fn line_value(line: &v1::PolicyLine) -> Value {
    serde_json::to_value(LineView::from_policy(line)).unwrap_or_default()
}

/// The columns for scripts, as part of something else.
pub(crate) fn counts_value(counts: &v1::Counts) -> Value {
    serde_json::to_value(CountsView::from_proto(Some(counts))).unwrap_or_default()
}

/// One policy's status for scripts, as part of something else.
pub(crate) fn policy_value(policy: &v1::PolicyStatus) -> Value {
    serde_json::to_value(PolicyView::from_proto(policy)).unwrap_or_default()
}
