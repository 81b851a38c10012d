//! Policies and clusters of the registry, as tables, JSON and YAML.
//!
//! YAML is the documents as they were submitted, so that `get -o yaml`, an editor and `apply -f`
//! make a round; JSON is the view, with what the publisher knows besides.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use writ_proto::v1;

use super::json::{AsOf, Document, Liveness, Revision, manifest};
use super::table::{Table, Tone};
use super::words;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct List<T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<AsOf>,
    items: Vec<T>,
}

/// A policy in JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicyView {
    name: String,
    generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<Revision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    committed_at: Option<String>,
    author: String,
    reason: String,
    request_id: String,
    clusters: String,
    target_count: u32,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    targets: Vec<String>,
    scopes: Vec<String>,
    object_count: u32,
    grant_count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<Value>,
}

/// An entry of the registry in JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClusterView {
    name: String,
    generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<Revision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    committed_at: Option<String>,
    author: String,
    reason: String,
    request_id: String,
    region: String,
    stage: String,
    labels: BTreeMap<String, String>,
    endpoint: String,
    mode: String,
    phase: String,
    fingerprint: String,
    waiting: Vec<String>,
    refused_requests: Vec<String>,
    liveness: Liveness,
    #[serde(skip_serializing_if = "Option::is_none")]
    applied_revision: Option<Revision>,
    #[serde(skip_serializing_if = "String::is_empty")]
    subscriber_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    kubernetes_version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<Value>,
}

/// The table of policies.
pub(crate) fn policy_table(policies: &[v1::Policy], as_of: Option<&v1::AsOf>, wide: bool) -> Table {
    let cells = |policy: &v1::Policy| {
        [
            policy.name.clone(),
            policy.generation.to_string(),
            policy.clusters.clone(),
            policy.target_count.to_string(),
            policy.object_count.to_string(),
            policy.grant_count.to_string(),
            words::age(policy.committed_at.as_ref(), as_of),
        ]
    };
    if !wide {
        let mut table = Table::new([
            "NAME", "GEN", "CLUSTERS", "TARGET", "OBJECTS", "GRANTS", "AGE",
        ]);
        policies
            .iter()
            .for_each(|policy| table.row(Tone::Plain, cells(policy)));
        return table;
    }
    let mut table = Table::new([
        "NAME", "GEN", "CLUSTERS", "TARGET", "OBJECTS", "GRANTS", "AGE", "REVISION", "SCOPES",
        "AUTHOR", "REASON",
    ]);
    for policy in policies {
        let [name, generation, clusters, target, objects, grants, age] = cells(policy);
        let revision = words::revision(policy.revision.as_ref());
        let scopes = policy.scopes.join(",");
        let (author, reason) = (policy.author.clone(), policy.reason.clone());
        let row = [
            name, generation, clusters, target, objects, grants, age, revision, scopes, author,
            reason,
        ];
        table.row(Tone::Plain, row);
    }
    table
}

/// The table of the registry.
pub(crate) fn cluster_table(
    clusters: &[v1::Cluster],
    as_of: Option<&v1::AsOf>,
    wide: bool,
) -> Table {
    let tone = |cluster: &v1::Cluster| match words::liveness_state(cluster.liveness.as_ref()) {
        "live" => Tone::Plain,
        _ => Tone::Silent,
    };
    let cells = |cluster: &v1::Cluster| {
        [
            cluster.name.clone(),
            cluster.region.clone(),
            cluster.stage.clone(),
            cluster.mode.clone(),
            standing(cluster, as_of),
            words::revision(cluster.applied_revision.as_ref()),
            words::age(cluster.committed_at.as_ref(), as_of),
        ]
    };
    if !wide {
        let mut table = Table::new([
            "NAME", "REGION", "STAGE", "MODE", "STATE", "REVISION", "AGE",
        ]);
        clusters
            .iter()
            .for_each(|cluster| table.row(tone(cluster), cells(cluster)));
        return table;
    }
    let mut table = Table::new([
        "NAME",
        "REGION",
        "STAGE",
        "MODE",
        "STATE",
        "REVISION",
        "AGE",
        "GEN",
        "ENDPOINT",
        "KUBERNETES",
        "SUBSCRIBER",
        "LABELS",
    ]);
    for cluster in clusters {
        let [name, region, stage, mode, state, applied, age] = cells(cluster);
        let generation = cluster.generation.to_string();
        let endpoint = cluster.endpoint.clone();
        let (kubernetes, subscriber) = (
            cluster.kubernetes_version.clone(),
            cluster.subscriber_version.clone(),
        );
        let labels = labels(cluster);
        let row = [
            name, region, stage, mode, state, applied, age, generation, endpoint, kubernetes,
            subscriber, labels,
        ];
        table.row(tone(cluster), row);
    }
    table
}

/// How a cluster stands: by its phase, and where that says nothing, by its signs of life.
pub(crate) fn standing(cluster: &v1::Cluster, as_of: Option<&v1::AsOf>) -> String {
    let liveness = words::liveness(cluster.liveness.as_ref(), as_of);
    match cluster.phase.as_str() {
        "pending" if !cluster.waiting.is_empty() => {
            format!("waits for approval: {}", cluster.waiting.join(", "))
        }
        "pending" => match cluster.refused.last() {
            Some(refused) => format!("not enrolled; refused: {refused}"),
            None => "not enrolled".to_owned(),
        },
        "draining" if words::liveness_state(cluster.liveness.as_ref()) == "silent" => {
            format!("left with access, {liveness}")
        }
        "draining" => format!("draining, {liveness}"),
        "cutOff" => "cut off".to_owned(),
        _ => liveness,
    }
}

pub(crate) fn labels(cluster: &v1::Cluster) -> String {
    let sorted: BTreeMap<_, _> = cluster.labels.iter().collect();
    sorted
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(",")
}

/// Policies as JSON shows them.
pub(crate) fn policy_views(policies: &[v1::Policy]) -> Vec<PolicyView> {
    policies
        .iter()
        .map(|policy| PolicyView {
            name: policy.name.clone(),
            generation: policy.generation,
            revision: Revision::from_proto(policy.revision.as_ref()),
            committed_at: words::instant(policy.committed_at.as_ref()),
            author: policy.author.clone(),
            reason: policy.reason.clone(),
            request_id: policy.request_id.clone(),
            clusters: policy.clusters.clone(),
            target_count: policy.target_count,
            targets: policy.targets.clone(),
            scopes: policy.scopes.clone(),
            object_count: policy.object_count,
            grant_count: policy.grant_count,
            manifest: manifest(&policy.manifest),
        })
        .collect()
}

/// `-o json` of policies.
pub(crate) fn policy_json(policies: &[v1::Policy], as_of: Option<&v1::AsOf>) -> String {
    Document::new(
        "PolicyList",
        List {
            as_of: AsOf::from_proto(as_of),
            items: policy_views(policies),
        },
    )
    .pretty()
}

/// Entries of the registry as JSON shows them.
pub(crate) fn cluster_views(clusters: &[v1::Cluster]) -> Vec<ClusterView> {
    clusters
        .iter()
        .map(|cluster| ClusterView {
            name: cluster.name.clone(),
            generation: cluster.generation,
            revision: Revision::from_proto(cluster.revision.as_ref()),
            committed_at: words::instant(cluster.committed_at.as_ref()),
            author: cluster.author.clone(),
            reason: cluster.reason.clone(),
            request_id: cluster.request_id.clone(),
            region: cluster.region.clone(),
            stage: cluster.stage.clone(),
            labels: cluster
                .labels
                .iter()
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            endpoint: cluster.endpoint.clone(),
            mode: cluster.mode.clone(),
            phase: cluster.phase.clone(),
            fingerprint: cluster.fingerprint.clone(),
            waiting: cluster.waiting.clone(),
            refused_requests: cluster.refused.clone(),
            liveness: Liveness::from_proto(cluster.liveness.as_ref()),
            applied_revision: Revision::from_proto(cluster.applied_revision.as_ref()),
            subscriber_version: cluster.subscriber_version.clone(),
            kubernetes_version: cluster.kubernetes_version.clone(),
            manifest: manifest(&cluster.manifest),
        })
        .collect()
}

/// `-o json` of the registry.
pub(crate) fn cluster_json(clusters: &[v1::Cluster], as_of: Option<&v1::AsOf>) -> String {
    Document::new(
        "ClusterList",
        List {
            as_of: AsOf::from_proto(as_of),
            items: cluster_views(clusters),
        },
    )
    .pretty()
}

/// The submitted documents as a YAML stream, each under a comment that names what it is.
pub(crate) fn yaml<'a>(documents: impl Iterator<Item = (String, &'a str)>) -> String {
    let mut text = String::new();
    for (title, json) in documents {
        let body = manifest(json)
            .and_then(|value| serde_saphyr::to_string(&value).ok())
            .unwrap_or_default();
        text.push_str(&format!("---\n# {title}\n{}\n", body.trim_end()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_of() -> v1::AsOf {
        v1::AsOf {
            publisher: "publisher-1".into(),
            time: Some(prost_types::Timestamp {
                seconds: 1_000,
                nanos: 0,
            }),
            edits_refused: String::new(),
            revision: Some(v1::Revision {
                epoch: 1,
                number: 12,
            }),
        }
    }

    fn policy() -> v1::Policy {
        v1::Policy {
            name: "payments".into(),
            generation: 42,
            revision: Some(v1::Revision { epoch: 1, number: 11 }),
            manifest: r#"{"apiVersion":"writ.dev/v1alpha1","kind":"ClusterPolicy","metadata":{"name":"payments"},"spec":{"x":"no"}}"#.into(),
            committed_at: Some(prost_types::Timestamp { seconds: 640, nanos: 0 }),
            author: "unauthenticated:ann".into(),
            clusters: "regions eu, us; stages prod".into(),
            object_count: 3,
            grant_count: 1,
            target_count: 2,
            scopes: vec!["eu.prod".into(), "us.prod".into()],
            ..Default::default()
        }
    }

    #[test]
    fn policies_as_a_table() {
        assert_eq!(
            policy_table(&[policy()], Some(&as_of()), false).render(false),
            "NAME      GEN  CLUSTERS                     TARGET  OBJECTS  GRANTS  AGE\n\
             payments  42   regions eu, us; stages prod  2       3        1       6m"
        );
        let wide = policy_table(&[policy()], Some(&as_of()), true).render(false);
        assert!(
            wide.ends_with("6m   11        eu.prod,us.prod  unauthenticated:ann  -"),
            "{wide}"
        );
    }

    #[test]
    fn clusters_as_a_table_show_who_is_silent() {
        let cluster = v1::Cluster {
            name: "eu-prod-1".into(),
            region: "eu".into(),
            stage: "prod".into(),
            mode: "enforce".into(),
            liveness: Some(v1::Liveness {
                state: v1::liveness::State::Silent.into(),
                since: Some(prost_types::Timestamp {
                    seconds: 820,
                    nanos: 0,
                }),
                last_heard: Some(prost_types::Timestamp {
                    seconds: 815,
                    nanos: 0,
                }),
            }),
            committed_at: Some(prost_types::Timestamp {
                seconds: 400,
                nanos: 0,
            }),
            ..Default::default()
        };
        assert_eq!(
            cluster_table(&[cluster], Some(&as_of()), false).render(false),
            "NAME       REGION  STAGE  MODE     STATE      REVISION  AGE\n\
             eu-prod-1  eu      prod   enforce  silent 3m  -         10m"
        );
    }

    #[test]
    fn json_carries_version_kind_and_the_manifest_as_a_value() {
        let value: Value = serde_json::from_str(&policy_json(&[policy()], Some(&as_of()))).unwrap();
        assert_eq!(value["apiVersion"], "cli.writ.dev/v1alpha1");
        assert_eq!(value["kind"], "PolicyList");
        assert_eq!(value["asOf"]["revision"]["number"], 12);
        assert_eq!(value["items"][0]["manifest"]["kind"], "ClusterPolicy");
        assert_eq!(value["items"][0]["generation"], 42);
    }

    #[test]
    fn yaml_is_what_apply_takes() {
        let policy = policy();
        let text = yaml(
            [(
                "clusterpolicy/payments@42".to_owned(),
                policy.manifest.as_str(),
            )]
            .into_iter(),
        );
        assert!(
            text.starts_with("---\n# clusterpolicy/payments@42\napiVersion: writ.dev/v1alpha1\n"),
            "{text}"
        );
        let texts = [crate::input::files::Text {
            file: "f".into(),
            content: text,
        }];
        let (documents, problems) = crate::input::documents::parse(&texts);
        assert_eq!(problems, []);
        assert_eq!(documents[0].value["spec"]["x"], "no");
    }
}
