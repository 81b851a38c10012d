//! Bindings and the roles that they name.

use serde_json::{Value, json};

use crate::model::{Object, ObjectRef};

const API_GROUP: &str = "rbac.authorization.k8s.io";

/// The role that a binding names; `None` for what is no binding.
pub fn role_of(object: &Object) -> Option<ObjectRef> {
    let binding = &object.reference;
    if !matches!(binding.kind.as_str(), "RoleBinding" | "ClusterRoleBinding") {
        return None;
    }
    let role = object.content.get("roleRef")?;
    let (kind, name) = (role["kind"].as_str()?, role["name"].as_str()?);
    let namespace = binding.namespace.clone().filter(|_| kind == "Role");
    Some(ObjectRef {
        api_version: binding.api_version.clone(),
        kind: kind.to_owned(),
        namespace,
        name: name.to_owned(),
    })
}

/// Whether a binding names another role than it should, which no update can change.
pub(super) fn role_changed(found: &Value, wanted: &Value) -> bool {
    match (found.get("roleRef"), wanted.get("roleRef")) {
        (Some(found), Some(wanted)) => ["kind", "name"].iter().any(|key| found[key] != wanted[key]),
        _ => false,
    }
}

/// The binding that was found, with those of its subjects alone that the wanted one has too. `None`
/// if none leaves, unless it is to be sent anyway.
pub(super) fn narrowed(found: &Value, wanted: &Value, anyway: bool) -> Option<Value> {
    let subjects = |binding: &Value| binding["subjects"].as_array().cloned().unwrap_or_default();
    let stay: Vec<Value> = subjects(wanted).iter().map(identity).collect();
    let had = subjects(found);
    let kept: Vec<Value> = had
        .iter()
        .filter(|subject| stay.contains(&identity(subject)))
        .cloned()
        .collect();
    if kept.len() == had.len() && !anyway {
        return None;
    }
    let mut content = wanted.clone();
    content["roleRef"] = found["roleRef"].clone();
    content["subjects"] = kept.into();
    Some(content)
}

/// Who a subject is, whether or not the server has filled in its group.
fn identity(subject: &Value) -> Value {
    let group = match subject["kind"].as_str() {
        Some("ServiceAccount") => "",
        _ => API_GROUP,
    };
    let given = subject["apiGroup"]
        .as_str()
        .filter(|given| !given.is_empty());
    json!([
        subject["kind"],
        given.unwrap_or(group),
        subject["namespace"],
        subject["name"],
    ])
}
