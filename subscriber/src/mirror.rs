//! The mirrors: what the log says, as objects of this cluster that people can read, with what the
//! subscriber has to remember of it.
//!
//! A policy's mirror holds spec, signed bytes and record in one object, so that one server-side
//! apply writes them together. Only what is signed is ever believed again after a restart; the spec
//! is there for people. Does no I/O.

use data_encoding::BASE64;
use k8s_openapi::jiff;
use serde_json::{Map, Value, json};
use writ_core::name::{ClusterName, PolicyName};
use writ_core::plan::{FIELD_MANAGER, MANAGED, MANAGED_BY, Reason, Record};
use writ_core::revision::{Generation, Revision};

use crate::outcome::State;
use crate::resource::{CLUSTER_POLICIES, CLUSTERS, WRIT_API_VERSION};

/// Largest mirror that is written. etcd refuses 1.5 MiB, and server-side apply adds managed fields.
pub const MIRROR_BYTES_MAX: usize = 1_300_000;

/// What a mirror says about its policy in the column STATE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Steps are being carried out.
    Underway,
    /// The result of the last attempt.
    Reached(State),
}

/// A policy's mirror.
#[derive(Debug, Clone)]
pub(crate) struct PolicyMirror<'a> {
    /// The compiled policy; `None` once it is to be gone.
    pub(crate) document: Option<&'a Value>,
    pub(crate) record: &'a Record,
    pub(crate) signed: &'a [u8],
    pub(crate) stage: Stage,
    pub(crate) message: Option<&'a str>,
    pub(crate) turned: &'a Turned,
}

/// Since when every object has been confirmed, or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turned {
    pub(crate) applied: bool,
    /// RFC 3339, in seconds.
    pub(crate) at: String,
}

impl Turned {
    pub(crate) fn now(applied: bool) -> Turned {
        let at = format!("{:.0}", jiff::Timestamp::now());
        Turned { applied, at }
    }

    /// What a mirror says of it.
    pub(crate) fn read(mirror: &Value) -> Option<Turned> {
        let conditions = mirror.pointer("/status/conditions")?.as_array()?;
        let condition = conditions.iter().find(|it| it["type"] == APPLIED)?;
        Some(Turned {
            applied: condition["status"] == "True",
            at: condition["lastTransitionTime"].as_str()?.to_owned(),
        })
    }
}

/// The one condition of a mirror.
const APPLIED: &str = "Applied";
/// Its reason when it is true.
const CONFIRMED: &str = "EveryObjectConfirmed";
/// Its reason while steps are being carried out.
const UNDERWAY: &str = "Underway";

impl PolicyMirror<'_> {
    /// The object to apply.
    pub(crate) fn render(&self, policy: &PolicyName) -> Value {
        let record = self.record;
        let state = match (self.stage, record.removed) {
            (Stage::Underway, false) => "Applying",
            (Stage::Underway, true) => "Removing",
            (Stage::Reached(State::Applied), true) => "Removed",
            (Stage::Reached(state), _) => state.as_str(),
        };
        let mut status = json!({
            "state": state,
            "generation": record.generation,
            "revision": record.word.to_string(),
            "signed": BASE64.encode(self.signed),
            "record": record,
        });
        if let Stage::Reached(State::Pending(reason) | State::Refused(reason)) = self.stage {
            status["reason"] = reason.as_str().into();
        }
        if let Some(message) = self.message {
            status["message"] = message.into();
        }
        status["conditions"] = json!([self.condition()]);
        render("ClusterPolicy", policy.as_str(), self.document, status)
    }

    fn condition(&self) -> Value {
        let reason = match self.stage {
            Stage::Underway => UNDERWAY,
            Stage::Reached(state) => state.reason().map_or(CONFIRMED, Reason::as_str),
        };
        json!({
            "type": APPLIED,
            // No `observedGeneration`: kubectl compares it with the mirror's own generation, which
            // every write counts up, and would wait for good.
            "status": if self.turned.applied { "True" } else { "False" },
            "lastTransitionTime": self.turned.at,
            "reason": reason,
            "message": self.message.unwrap_or_default(),
        })
    }
}

/// A policy's mirror as it was found at the start.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StoredPolicy {
    pub(crate) policy: PolicyName,
    pub(crate) record: Record,
    pub(crate) signed: Vec<u8>,
}

/// Why a mirror says nothing that can be used.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The name is not one that Writ gives.
    #[error("the name is not a label")]
    Name(#[source] writ_core::name::Error),
    /// The status lacks a field.
    #[error("status.{0} is missing")]
    Missing(&'static str),
    /// The record has another form.
    #[error("status.record cannot be read")]
    Record(#[source] serde_json::Error),
    /// The signed bytes are not base64.
    #[error("status.signed is not base64")]
    Signed(#[source] data_encoding::DecodeError),
    /// The revision is none.
    #[error("status.revision is not a revision")]
    Revision(#[source] std::num::ParseIntError),
}

/// Reads a policy's mirror; what is not signed counts only for ownership and for order.
pub(crate) fn read_policy(mirror: &Value) -> Result<StoredPolicy, Unreadable> {
    let policy = PolicyName::parse(name_of(mirror)).map_err(Unreadable::Name)?;
    let record = mirror
        .pointer("/status/record")
        .ok_or(Unreadable::Missing("record"))?;
    let record = serde_json::from_value(record.clone()).map_err(Unreadable::Record)?;
    Ok(StoredPolicy {
        policy,
        record,
        signed: signed_of(mirror)?,
    })
}

/// What a mirror showed of its policy's state.
pub(crate) fn stage_of(mirror: &Value, record: &Record) -> Stage {
    let reason = mirror
        .pointer("/status/reason")
        .and_then(Value::as_str)
        .and_then(Reason::parse);
    match (record.done, reason) {
        (true, _) => Stage::Reached(State::Applied),
        (false, None) => Stage::Underway,
        (false, Some(reason)) if reason.is_transient() => Stage::Reached(State::Pending(reason)),
        (false, Some(reason)) => Stage::Reached(State::Refused(reason)),
    }
}

/// The message that a mirror showed.
pub(crate) fn message_of(mirror: &Value) -> Option<String> {
    mirror
        .pointer("/status/message")
        .and_then(Value::as_str)
        .map(str::to_owned)
}

/// A registry entry's mirror.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterMirror {
    /// Whose entry.
    pub name: ClusterName,
    /// The compiled entry, as it was signed: `{apiVersion, kind, metadata, spec}`. Empty when read
    /// back: only the signed bytes are believed.
    pub document: Value,
    /// The signed envelope of the event.
    pub signed: Vec<u8>,
    /// The edit that it is the word of.
    pub revision: Revision,
    /// The entry's generation after that edit.
    pub generation: Generation,
}

impl ClusterMirror {
    /// The object to apply. It carries no sign of life: ten thousand of them changing every few
    /// seconds would cost more than all the rest.
    pub(crate) fn render(&self) -> Value {
        let phase = self.document.pointer("/spec/phase").and_then(Value::as_str);
        let phase = match phase {
            Some("pending") => "Pending",
            Some("draining") => "Draining",
            Some("cutOff") => "CutOff",
            _ => "Active",
        };
        let status = json!({
            "phase": phase,
            "generation": self.generation,
            "revision": self.revision.to_string(),
            "signed": BASE64.encode(&self.signed),
        });
        render("Cluster", self.name.as_str(), Some(&self.document), status)
    }

    /// Reads a mirror back.
    pub(crate) fn read(mirror: &Value) -> Result<ClusterMirror, Unreadable> {
        let name = ClusterName::parse(name_of(mirror)).map_err(Unreadable::Name)?;
        let revision = mirror.pointer("/status/revision").and_then(Value::as_str);
        let revision = revision.ok_or(Unreadable::Missing("revision"))?;
        let generation = mirror.pointer("/status/generation").and_then(Value::as_u64);
        Ok(ClusterMirror {
            name,
            document: Value::Null,
            signed: signed_of(mirror)?,
            revision: revision.parse().map_err(Unreadable::Revision)?,
            generation: Generation(generation.ok_or(Unreadable::Missing("generation"))?),
        })
    }
}

fn render(kind: &str, name: &str, document: Option<&Value>, status: Value) -> Value {
    let labels = document.and_then(|document| document.pointer("/metadata/labels"));
    let mut labels: Map<String, Value> = labels
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    labels.insert(MANAGED.to_owned(), "true".into());
    labels.insert(MANAGED_BY.to_owned(), FIELD_MANAGER.into());
    let mut mirror = json!({
        "apiVersion": WRIT_API_VERSION,
        "kind": kind,
        "metadata": {"name": name, "labels": labels},
        "status": status,
    });
    if let Some(spec) = document.and_then(|document| document.get("spec")) {
        mirror["spec"] = spec.clone();
    }
    mirror
}

fn name_of(mirror: &Value) -> &str {
    mirror
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn signed_of(mirror: &Value) -> Result<Vec<u8>, Unreadable> {
    let signed = mirror.pointer("/status/signed").and_then(Value::as_str);
    let signed = signed.ok_or(Unreadable::Missing("signed"))?;
    BASE64.decode(signed.as_bytes()).map_err(Unreadable::Signed)
}

/// The reference of a policy's mirror.
pub(crate) fn policy_reference(policy: &PolicyName) -> writ_core::model::ObjectRef {
    CLUSTER_POLICIES.reference(None, policy.as_str())
}

/// The reference of a registry entry's mirror.
pub(crate) fn cluster_reference(cluster: &ClusterName) -> writ_core::model::ObjectRef {
    CLUSTERS.reference(None, cluster.as_str())
}

#[cfg(test)]
mod tests {
    use writ_core::hash::Hash;

    use super::*;

    fn record() -> Record {
        Record {
            as_of: "12".parse().unwrap(),
            word: "11".parse().unwrap(),
            generation: Generation(3),
            hash: Hash::of(b"body"),
            feed: "policy.eu.prod".parse().unwrap(),
            removed: false,
            done: false,
            tried: false,
            removal: writ_core::model::Removal::Prune,
            objects: Vec::new(),
        }
    }

    #[test]
    fn a_policys_mirror_reads_back_as_it_was_written() {
        let policy = PolicyName::parse("payments").unwrap();
        let document = json!({"metadata": {"labels": {"team": "a"}}, "spec": {"objects": []}});
        let record = record();
        let stage = Stage::Reached(State::Refused(Reason::ForeignObject));
        let mirror = PolicyMirror {
            document: Some(&document),
            record: &record,
            signed: b"envelope",
            stage,
            message: Some("Role payments/reader exists"),
            turned: &Turned::now(false),
        }
        .render(&policy);
        assert_eq!(mirror["spec"], document["spec"]);
        assert_eq!(mirror["metadata"]["labels"]["team"], "a");
        assert_eq!(mirror["status"]["state"], "Refused");
        assert_eq!(mirror["status"]["reason"], "ForeignObject");
        let condition = &mirror["status"]["conditions"][0];
        assert_eq!(condition["status"], "False");
        assert_eq!(condition["reason"], "ForeignObject");
        assert_eq!(condition.get("observedGeneration"), None);
        assert!(Turned::read(&mirror).is_some_and(|turned| !turned.applied));
        let read = read_policy(&mirror).unwrap();
        assert_eq!(
            read,
            StoredPolicy {
                policy,
                record,
                signed: b"envelope".to_vec()
            }
        );
    }

    #[test]
    fn a_mirror_that_was_tampered_with_is_an_error_and_not_an_absent_one() {
        let policy = PolicyName::parse("payments").unwrap();
        let record = record();
        let mirror = PolicyMirror {
            document: None,
            record: &record,
            signed: b"envelope",
            stage: Stage::Underway,
            message: None,
            turned: &Turned::now(false),
        }
        .render(&policy);
        for (pointer, value) in [
            ("/status", json!({})),
            ("/status/record/asOf", json!("12")),
            ("/status/signed", json!("***")),
            ("/metadata/name", json!("a.b")),
        ] {
            let mut changed = mirror.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            assert!(read_policy(&changed).is_err(), "{pointer}");
        }
    }
}
