//! What a document that somebody submits has to do with keys and phase: nothing.

use serde_json::{Map, Value, json};

use crate::model::{Cluster, Enrolment, Phase, TokenKey, Violation};

/// The fields of `spec` that the fleet itself owns.
const OWNED: [&str; 3] = ["phase", "keys", "enrolment"];

/// A submitted entry with the keys, the phase and the enrolment that are in force; those of a cluster
/// that is new where there is none.
///
/// # Errors
/// The fields that it states otherwise than they are in force.
pub fn carry(
    submitted: &Cluster,
    manifest: &Value,
    in_force: Option<&Cluster>,
) -> Result<Cluster, Vec<Violation>> {
    let wanted = Cluster {
        phase: in_force.map_or(Phase::Pending, |entry| entry.phase),
        keys: in_force.and_then(|entry| entry.keys.clone()),
        enrolment: in_force.and_then(|entry| entry.enrolment.clone()),
        ..submitted.clone()
    };
    let differs = |key: &str| match key {
        "phase" => submitted.phase != wanted.phase,
        "keys" => submitted.keys != wanted.keys,
        _ => submitted.enrolment != wanted.enrolment,
    };
    let stated = OWNED
        .iter()
        .filter(|key| !manifest["spec"][**key].is_null());
    let violations: Vec<Violation> = stated
        .filter(|key| differs(key))
        .map(|key| Violation {
            field: format!("spec.{key}"),
            message: "is not changed by applying a document: leave it out, or state what is in force; `writ cluster add|approve|cut-off|remove|reenrol` change it".to_owned(),
        })
        .collect();
    match violations.is_empty() {
        true => Ok(wanted),
        false => Err(violations),
    }
}

/// A new entry, as the fleet's own command makes it. Keys that it states were made known to whoever
/// adds it: the cluster is active with them.
pub fn add(submitted: &Cluster, token: Option<TokenKey>) -> Cluster {
    let phase = match submitted.keys {
        Some(_) => Phase::Active,
        None => Phase::Pending,
    };
    let out = token.filter(|_| submitted.keys.is_none());
    Cluster {
        phase,
        enrolment: out.map(|token| Enrolment {
            token: Some(token),
            approved: None,
        }),
        ..submitted.clone()
    }
}

/// A manifest with the owned fields as an entry has them.
pub fn with_fields(manifest: &Value, entry: &Cluster) -> Value {
    let mut manifest = submitted(manifest);
    let Some(spec) = manifest.get_mut("spec").and_then(Value::as_object_mut) else {
        return manifest;
    };
    spec.insert("phase".to_owned(), entry.phase.as_str().into());
    if let Some(keys) = &entry.keys {
        let keys = json!({"bus": keys.bus, "ack": keys.ack});
        spec.insert("keys".to_owned(), keys);
    }
    if let Some(enrolment) = &entry.enrolment {
        spec.insert("enrolment".to_owned(), enrolment.to_json());
    }
    manifest
}

/// A manifest without the owned fields: what a person submitted of it.
pub fn submitted(manifest: &Value) -> Value {
    let mut manifest = manifest.clone();
    let spec: Option<&mut Map<_, _>> = manifest.get_mut("spec").and_then(Value::as_object_mut);
    if let Some(spec) = spec {
        spec.retain(|key, _| !OWNED.contains(&key.as_str()));
    }
    manifest
}
