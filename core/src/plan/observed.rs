//! What was read from the cluster before planning.

use std::collections::BTreeMap;

use serde_json::Value;

use super::marks;
use crate::model::ObjectRef;
use crate::name::PolicyName;

/// What was found of a policy's objects, desired and recorded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// By reference: the object, or `None` where the API server said that there is none. A
    /// reference that is missing here could not be read, and nothing is done about it.
    pub objects: BTreeMap<ObjectRef, Option<ObservedObject>>,
    /// Every namespace that the desired objects live in; missing here: it could not be read.
    pub namespaces: BTreeMap<String, NamespaceState>,
    /// Objects that are in the inventory of another policy of this cluster.
    pub claims: BTreeMap<ObjectRef, PolicyName>,
    /// Whether the roles exist that bindings name and the policy does not bring; missing here: it
    /// could not be read.
    pub roles: BTreeMap<ObjectRef, bool>,
    /// Objects that others keep rewriting and that are left alone for now, with what people read.
    pub contended: BTreeMap<ObjectRef, String>,
    /// Recorded objects of which it is not known whether the policy wants them, with what people
    /// read. They are not removed.
    pub undecided: BTreeMap<ObjectRef, String>,
}

/// Whether a namespace takes objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamespaceState {
    /// There is none of that name.
    Missing,
    /// It takes objects.
    Active,
    /// It is going away and refuses new objects.
    Terminating,
}

/// An object as the API server answered.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedObject {
    /// Which object of that name it is.
    pub uid: String,
    /// Which state of it.
    pub resource_version: String,
    /// Somebody deleted it, and a finalizer holds it.
    pub terminating: bool,
    /// The content as it was answered.
    pub content: Value,
}

impl ObservedObject {
    /// Takes an API server's answer; `None` if it has no uid or resource version.
    pub fn read(content: Value) -> Option<ObservedObject> {
        let metadata = content.get("metadata")?;
        let text = |key: &str| metadata.get(key)?.as_str().map(str::to_owned);
        let phase = content.pointer("/status/phase").and_then(Value::as_str);
        Some(ObservedObject {
            uid: text("uid")?,
            resource_version: text("resourceVersion")?,
            terminating: metadata
                .get("deletionTimestamp")
                .is_some_and(|at| !at.is_null())
                || phase == Some("Terminating"),
            content,
        })
    }

    /// The policy whose mark it carries, if it is marked as managed by Writ at all.
    pub fn policy(&self) -> Option<&str> {
        let label = |key| self.metadata("labels", key);
        label(marks::MANAGED).filter(|managed| *managed == "true")?;
        label(marks::POLICY)
    }

    /// Whether Writ created this very object and left it behind.
    pub fn is_released(&self) -> bool {
        self.metadata("annotations", marks::RELEASED)
            .is_some_and(|value| value == marks::released_value(&self.uid))
    }

    /// Whether its owner lets Writ take it over.
    pub fn is_adoptable(&self) -> bool {
        self.metadata("annotations", marks::ADOPTABLE) == Some("true")
    }

    /// Whether we ever wrote it, by what the API server itself notes: an inventory entry alone must not
    /// be enough to take an object without our mark away.
    pub fn was_written(&self) -> bool {
        let entries = self.content.pointer("/metadata/managedFields");
        let entries = entries.and_then(Value::as_array);
        entries.is_some_and(|all| {
            let mut all = all.iter();
            all.any(|entry| entry["manager"] == marks::FIELD_MANAGER)
        })
    }

    /// The field manager that wrote last besides us. Times are RFC 3339 in UTC, so text order is
    /// time order.
    pub fn last_manager(&self) -> Option<&str> {
        let entries = self
            .content
            .pointer("/metadata/managedFields")?
            .as_array()?;
        entries
            .iter()
            .filter(|entry| entry["manager"] != marks::FIELD_MANAGER)
            .max_by_key(|entry| entry["time"].as_str().unwrap_or_default())
            .and_then(|entry| entry["manager"].as_str())
    }

    fn metadata(&self, map: &str, key: &str) -> Option<&str> {
        self.content.get("metadata")?.get(map)?.get(key)?.as_str()
    }
}
