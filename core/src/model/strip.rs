//! Drops what servers own from what `kubectl get -o yaml` prints, and says so, so that manifests of a
//! live cluster work unchanged. Never drops what a person could have meant.

use serde_json::{Map, Value};

use super::report::Report;

/// Fields of `metadata` that the API server sets.
const SERVER_METADATA: [&str; 9] = [
    "uid",
    "resourceVersion",
    "managedFields",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "ownerReferences",
    "selfLink",
];

/// Where client-side `kubectl apply` keeps what it sent last.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The label by which the API server names each Namespace.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Removes nulls, which the Kubernetes API takes for absent, from every map.
pub(super) fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, item| !item.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Strips a document or an object that stands at `path` (empty for a document).
pub(super) fn strip(value: &mut Value, path: &str, report: &mut Report) {
    let Value::Object(map) = value else { return };
    let at = |rest: &str| {
        if path.is_empty() {
            rest.to_owned()
        } else {
            format!("{path}.{rest}")
        }
    };
    if map.remove("status").is_some() {
        report.note(at("status"), "dropped: the server sets it");
    }
    if map.get("kind").and_then(Value::as_str) == Some("Namespace") {
        strip_namespace(map, &at, report);
    }
    let Some(Value::Object(metadata)) = map.get_mut("metadata") else {
        return;
    };
    for key in SERVER_METADATA {
        if metadata.remove(key).is_some() {
            report.note(
                at(&format!("metadata.{key}")),
                "dropped: the server sets it",
            );
        }
    }
    if remove_entry(metadata, "annotations", LAST_APPLIED) {
        let field = at(&format!("metadata.annotations[{LAST_APPLIED}]"));
        report.note(field, "dropped: it belongs to kubectl");
    }
}

/// Drops the rules of an aggregated ClusterRole: the aggregation controller fills them.
pub(super) fn strip_aggregated_rules(value: &mut Value, path: &str, report: &mut Report) {
    let Value::Object(map) = value else { return };
    let is_aggregated = map.get("kind").and_then(Value::as_str) == Some("ClusterRole")
        && map.contains_key("aggregationRule");
    if is_aggregated && map.remove("rules").is_some() {
        let message = "dropped: the aggregation controller fills the rules beside aggregationRule";
        report.note(format!("{path}.rules"), message);
    }
}

fn strip_namespace(map: &mut Map<String, Value>, at: &dyn Fn(&str) -> String, report: &mut Report) {
    if let Some(Value::Object(spec)) = map.get_mut("spec") {
        if spec.remove("finalizers").is_some() {
            report.note(at("spec.finalizers"), "dropped: the server sets it");
        }
        if spec.is_empty() {
            map.remove("spec");
        }
    }
    let Some(Value::Object(metadata)) = map.get_mut("metadata") else {
        return;
    };
    let name = metadata.get("name").cloned();
    let label = metadata
        .get("labels")
        .and_then(|labels| labels.get(NAMESPACE_NAME_LABEL))
        .cloned();
    // Another value than the name is not the server's: it stays and is refused with the labels.
    if label.is_some() && label == name && remove_entry(metadata, "labels", NAMESPACE_NAME_LABEL) {
        let field = at(&format!("metadata.labels[{NAMESPACE_NAME_LABEL}]"));
        report.note(field, "dropped: the server sets it");
    }
}

/// Removes an entry of a map, and the map itself when nothing else is in it.
fn remove_entry(metadata: &mut Map<String, Value>, field: &str, key: &str) -> bool {
    let Some(Value::Object(entries)) = metadata.get_mut(field) else {
        return false;
    };
    let was_there = entries.remove(key).is_some();
    if was_there && entries.is_empty() {
        metadata.remove(field);
    }
    was_there
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_live_cluster_prints_is_cleaned_and_every_dropped_field_is_named() {
        let mut value = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {
                "name": "payments", "uid": "1", "resourceVersion": "2", "creationTimestamp": null,
                "labels": {"kubernetes.io/metadata.name": "payments"},
                "annotations": {LAST_APPLIED: "{}", "example.com/note": "kept"},
            },
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        });
        let mut report = Report::default();
        drop_nulls(&mut value);
        strip(&mut value, "spec.objects[0]", &mut report);
        let expected = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "payments", "annotations": {"example.com/note": "kept"}},
        });
        assert_eq!(value, expected);
        let fields: Vec<String> = report
            .finish()
            .unwrap()
            .into_iter()
            .map(|notice| notice.field)
            .collect();
        assert_eq!(
            fields,
            [
                "spec.objects[0].status",
                "spec.objects[0].spec.finalizers",
                "spec.objects[0].metadata.labels[kubernetes.io/metadata.name]",
                "spec.objects[0].metadata.uid",
                "spec.objects[0].metadata.resourceVersion",
                "spec.objects[0].metadata.annotations[kubectl.kubernetes.io/last-applied-configuration]",
            ]
        );
    }
}
