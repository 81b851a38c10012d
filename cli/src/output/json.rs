//! The JSON that scripts lean on.
//!
//! Owns the shapes of `-o json`, apiVersion `cli.writ.dev/v1alpha1`. Promises that fields are added
//! and never renamed or taken away within a version. What is not known is left out, never guessed.

use serde::Serialize;
use serde_json::Value;
use writ_proto::v1;

use super::words;

/// The version of these shapes.
pub(crate) const API_VERSION: &str = "cli.writ.dev/v1alpha1";

/// A document: its version, its kind, and what is in it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document<T> {
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    content: T,
}

impl<T: Serialize> Document<T> {
    pub(crate) fn new(kind: &'static str, content: T) -> Self {
        Self {
            api_version: API_VERSION,
            kind,
            content,
        }
    }

    /// Indented, for reading.
    pub(crate) fn pretty(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// On one line, for following.
    pub(crate) fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// As YAML, without a newline at the end.
    pub(crate) fn yaml(&self) -> String {
        serde_saphyr::to_string(self)
            .unwrap_or_default()
            .trim_end()
            .to_owned()
    }
}

/// A place in the log.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Revision {
    epoch: u64,
    number: u64,
}

impl Revision {
    pub(crate) fn from_proto(revision: Option<&v1::Revision>) -> Option<Self> {
        revision.map(|revision| Self {
            epoch: revision.epoch,
            number: revision.number,
        })
    }
}

/// Who answered, when, and from what.
#[derive(Debug, Serialize)]
pub(crate) struct AsOf {
    publisher: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<Revision>,
    /// Why the publisher takes no edits; left out where it takes them.
    #[serde(rename = "editsRefused", skip_serializing_if = "String::is_empty")]
    edits_refused: String,
}

impl AsOf {
    pub(crate) fn from_proto(as_of: Option<&v1::AsOf>) -> Option<Self> {
        as_of.map(|as_of| Self {
            publisher: as_of.publisher.clone(),
            time: words::instant(as_of.time.as_ref()),
            revision: Revision::from_proto(as_of.revision.as_ref()),
            edits_refused: as_of.edits_refused.clone(),
        })
    }
}

/// Whether a cluster is heard.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Liveness {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_heard: Option<String>,
}

impl Liveness {
    pub(crate) fn from_proto(liveness: Option<&v1::Liveness>) -> Self {
        Self {
            state: words::liveness_state(liveness),
            since: liveness.and_then(|liveness| words::instant(liveness.since.as_ref())),
            last_heard: liveness.and_then(|liveness| words::instant(liveness.last_heard.as_ref())),
        }
    }
}

/// An object that is not as it should be, or was not.
#[derive(Debug, Serialize)]
pub(crate) struct FailingObject {
    object: String,
    reason: String,
    message: String,
}

impl FailingObject {
    pub(crate) fn list(all: &[v1::FailingObject]) -> Vec<Self> {
        let each = all.iter().map(|one| Self {
            object: one.object.clone(),
            reason: one.reason.clone(),
            message: one.message.clone(),
        });
        each.collect()
    }
}

/// A number that counts from 1, if there is one.
pub(crate) fn known(number: u64) -> Option<u64> {
    Some(number).filter(|number| *number > 0)
}

/// What a command did, document by document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Edits {
    /// Nothing was stored because the command said so.
    pub(crate) dry_run: bool,
    /// In the order in which they were sent; those that were not sent come last.
    pub(crate) items: Vec<Edit>,
}

/// What became of one edit.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Edit {
    /// `Cluster` or `ClusterPolicy`.
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    /// `created`, `changed`, `unchanged`, `deleted`, `failed`, `unknown` (sent, no answer),
    /// `notSent`.
    pub(crate) outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) generation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) revision: Option<Revision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target_count: Option<u32>,
    /// How many subjects have less access somewhere afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) losing_subject_count: Option<u32>,
    /// The number to repeat with --confirm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) confirm_number: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request_id: Option<String>,
    /// Where it stood in the input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) place: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// What was stripped or normalised: `field: message`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notices: Vec<String>,
    /// Names that the policy lists and the registry does not have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) unknown_clusters: Vec<String>,
    /// What the clusters said, where that was waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<Value>,
}

/// A manifest as a value; as a text where it is none.
pub(crate) fn manifest(text: &str) -> Option<Value> {
    if text.is_empty() {
        return None;
    }
    Some(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_carry_version_and_kind_first() {
        let document = Document::new(
            "EditList",
            Edits {
                dry_run: true,
                items: Vec::new(),
            },
        );
        assert_eq!(
            document.line(),
            r#"{"apiVersion":"cli.writ.dev/v1alpha1","kind":"EditList","dryRun":true,"items":[]}"#
        );
    }
}
