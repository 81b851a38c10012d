//! From an object of a live cluster to a manifest that a person could have written.
//!
//! Drops what servers and controllers own; keeps everything else as it is.

use serde_json::{Map, Value};

use super::kinds;

/// What of `metadata` is a person's.
const METADATA: [&str; 4] = ["name", "namespace", "labels", "annotations"];

/// The object without what nobody wrote.
pub(super) fn clean(mut object: Value) -> Value {
    drop_nulls(&mut object);
    let (kind, name) = (
        kinds::kind(&object).to_owned(),
        kinds::name(&object).to_owned(),
    );
    let Value::Object(map) = &mut object else {
        return object;
    };
    map.remove("status");
    match kind.as_str() {
        // Its finalizers alone are in it.
        "Namespace" => drop(map.remove("spec")),
        // The aggregation controller fills them.
        "ClusterRole" if map.contains_key("aggregationRule") => drop(map.remove("rules")),
        "ServiceAccount" => {
            drop_generated(map, "secrets", &name);
            drop_generated(map, "imagePullSecrets", &name);
        }
        _ => {}
    }
    if let Some(Value::Object(metadata)) = map.get_mut("metadata") {
        metadata.retain(|key, _| METADATA.contains(&key.as_str()));
        retain(metadata, "labels", |key| {
            key != "kubernetes.io/metadata.name"
        });
        retain(metadata, "annotations", |key| {
            key != "kubectl.kubernetes.io/last-applied-configuration"
        });
    }
    object
}

/// Writ's own marks are the cluster owner's word to Writ, no content of a policy.
fn retain(metadata: &mut Map<String, Value>, field: &str, keeps: impl Fn(&str) -> bool) {
    let Some(Value::Object(entries)) = metadata.get_mut(field) else {
        return;
    };
    entries.retain(|key, _| keeps(key) && !key.starts_with("writ.dev/"));
    if entries.is_empty() {
        metadata.remove(field);
    }
}

/// Token and registry secrets that controllers of older clusters made for an account.
fn drop_generated(account: &mut Map<String, Value>, field: &str, name: &str) {
    let Some(Value::Array(secrets)) = account.get_mut(field) else {
        return;
    };
    let prefixes = [format!("{name}-token-"), format!("{name}-dockercfg-")];
    secrets.retain(|secret| {
        let secret = secret["name"].as_str().unwrap_or_default();
        !prefixes
            .iter()
            .any(|prefix| secret.starts_with(prefix.as_str()))
    });
    if secrets.is_empty() {
        account.remove(field);
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, item| !item.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
