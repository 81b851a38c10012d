//! The marks on our objects.
//!
//! A mark alone proves nothing: whoever may write the object can set it. It counts together with
//! the inventory. Marks say who, never which generation, so that an unchanged object stays
//! untouched when its policy changes.

use serde_json::{Map, Value};

use crate::name::PolicyName;

/// Our name in `metadata.managedFields`.
pub const FIELD_MANAGER: &str = "writ";
/// Label on everything that Writ wrote; the selector of the drift watch.
pub const MANAGED: &str = "writ.dev/managed";
/// Label that names the policy.
pub const POLICY: &str = "writ.dev/policy";
/// The label by which people and tools tell who manages an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Annotation on an object that left its policy and stayed: its uid. A policy may take such an
/// object back, which one made by somebody else never allows.
pub const RELEASED: &str = "writ.dev/released";

/// Annotation by which the owner of an object lets Writ take it over, where the policy asks to.
pub const ADOPTABLE: &str = "writ.dev/adoptable";

/// Annotation by which a policy says that a Namespace is deleted with it.
pub const REMOVAL: &str = "writ.dev/removal";

/// Whether an object's content says that it may be deleted although it is a Namespace.
pub fn is_deletable(content: &Value) -> bool {
    content["kind"] == "Namespace" && content["metadata"]["annotations"][REMOVAL] == "delete"
}

/// The content to send: with our marks, and without what must not be sent.
pub fn marked(policy: &PolicyName, content: &Value) -> Value {
    let mut content = content.clone();
    if let Some(object) = content.as_object_mut() {
        let labels = child(child(object, "metadata"), "labels");
        labels.insert(MANAGED.to_owned(), "true".into());
        labels.insert(POLICY.to_owned(), policy.as_str().into());
        labels.insert(MANAGED_BY.to_owned(), FIELD_MANAGER.into());
        // The aggregation controller owns the rules of an aggregated ClusterRole; even `rules: []`
        // would empty the role until that controller has filled it again.
        if object
            .get("aggregationRule")
            .is_some_and(|rule| !rule.is_null())
        {
            object.remove("rules");
        }
    }
    content
}

/// What an object says, with our marks and without what the server owns.
pub fn remarked(policy: &PolicyName, observed: &Value) -> Value {
    let mut content = observed.clone();
    if let Some(object) = content.as_object_mut() {
        object.remove("status");
        child(object, "metadata").retain(|key, _| SENT_METADATA.contains(&key.as_str()));
    }
    marked(policy, &content)
}

/// The metadata that an apply may send.
const SENT_METADATA: [&str; 4] = ["name", "namespace", "labels", "annotations"];

/// The value of [`RELEASED`] for an object of that uid. It names the object, so a copy of the
/// manifest under another uid is not taken for ours.
pub fn released_value(uid: &str) -> String {
    uid.to_owned()
}

/// The object under a key, made if it is not there.
fn child<'a>(parent: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let value = parent
        .entry(key)
        .or_insert_with(|| Value::Object(Map::new()));
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}
