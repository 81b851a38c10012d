//! The documents of the tests, and the short form in which the table writes objects. The tests
//! against a real API server use this file too, so it names types by the module around it.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Ceiling, Object, ObjectRef};

const CASES: &str = include_str!("cases.yaml");
pub(super) const OPEN: &str = include_str!("open.yaml");
const DEFAULT: &str = include_str!("../../../../deploy/ceiling.yaml");

pub(super) struct Case {
    pub(super) name: String,
    pub(super) under: String,
    pub(super) refused: Option<String>,
    pub(super) object: Object,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    #[serde(default)]
    under: Option<String>,
    #[serde(default)]
    refused: Option<String>,
    object: Value,
}

pub(super) fn cases() -> Vec<Case> {
    let rows: Vec<Row> = serde_saphyr::from_str(CASES).unwrap();
    let case = |row: Row| Case {
        name: row.name,
        under: row.under.unwrap_or_else(|| "default".to_owned()),
        refused: row.refused,
        object: object(expand(row.object)),
    };
    rows.into_iter().map(case).collect()
}

/// The `PolicyCeiling` that is installed.
pub(super) fn default_document() -> Value {
    let documents: Vec<Value> = serde_saphyr::from_multiple(DEFAULT).unwrap();
    let is_ceiling = |document: &Value| document["kind"] == "PolicyCeiling";
    documents.into_iter().find(is_ceiling).unwrap()
}

pub(super) fn ceiling_named(name: &str) -> Ceiling {
    let document = match name {
        "default" => default_document(),
        "open" => serde_saphyr::from_str(OPEN).unwrap(),
        other => panic!("no ceiling is called {other}"),
    };
    Ceiling::parse(&document).unwrap()
}

pub(super) fn object(content: Value) -> Object {
    let text = |pointer: &str| Some(content.pointer(pointer)?.as_str()?.to_owned());
    let reference = ObjectRef {
        api_version: text("/apiVersion").unwrap(),
        kind: text("/kind").unwrap(),
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name").unwrap(),
    };
    Object { reference, content }
}

/// From a row's short form to a manifest.
fn expand(row: Value) -> Value {
    let kind = row["kind"].as_str().unwrap();
    let is_core = ["Namespace", "ServiceAccount"].contains(&kind);
    let is_namespaced = ["ServiceAccount", "Role", "RoleBinding"].contains(&kind);
    let api_version = if is_core {
        "v1"
    } else {
        "rbac.authorization.k8s.io/v1"
    };
    let mut manifest = json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": row["name"], "labels": row["labels"]},
    });
    if is_namespaced {
        let namespace = row["namespace"].as_str().unwrap_or("payments");
        manifest["metadata"]["namespace"] = namespace.into();
    }
    for key in ["rules", "aggregationRule"] {
        if let Some(value) = row.get(key) {
            manifest[key] = value.clone();
        }
    }
    if let Some((kind, name)) = row["role"].as_str().and_then(|role| role.split_once('/')) {
        let group = "rbac.authorization.k8s.io";
        manifest["roleRef"] = json!({"apiGroup": group, "kind": kind, "name": name});
    }
    if let Some(subjects) = row["subjects"].as_array() {
        manifest["subjects"] = subjects.iter().map(subject).collect();
    }
    manifest
}

fn subject(short: &Value) -> Value {
    let (kind, name) = short.as_str().unwrap().split_once(' ').unwrap();
    match (kind, name.split_once('/')) {
        ("ServiceAccount", Some((namespace, name))) => {
            json!({"kind": kind, "namespace": namespace, "name": name})
        }
        _ => json!({"kind": kind, "name": name, "apiGroup": "rbac.authorization.k8s.io"}),
    }
}
