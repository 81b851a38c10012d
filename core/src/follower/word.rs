//! What one edit says about one name.

use std::{collections::BTreeSet, sync::Arc};

use super::Past;
use crate::{
    event::{Body, Event},
    hash::Hash,
    index::Entry,
    model::{CompiledCluster, CompiledPolicy},
    revision::{Generation, Revision},
    scope::{Feed, Kind, Scope},
};

/// The newest that is known of a name.
#[derive(Debug, Clone)]
pub struct Word {
    /// The edit.
    pub revision: Revision,
    /// The edit, counted per name.
    pub generation: Generation,
    /// The feed by which it came.
    pub feed: Feed,
    /// The scopes that the name is in since.
    pub scopes: BTreeSet<Scope>,
    /// What it became; nothing for a tombstone.
    pub content: Option<Content>,
    /// When it came, in the caller's milliseconds.
    pub received_ms: u64,
    /// Made from a record, not from an event: what was signed then is not at hand.
    pub(super) remembered: bool,
    /// The own registry entry as the cluster keeps it beside the mirrors, for its mode. Whether it is in
    /// force still, only a cut tells.
    pub(super) kept: bool,
}

/// What a name became.
#[derive(Debug, Clone)]
pub struct Content {
    /// Hash of the event's body.
    pub hash: Hash,
    /// The signed event as it came.
    pub signed: Arc<[u8]>,
    /// What it says, or why it can't be acted on.
    pub document: Result<Document, Refusal>,
}

/// A decoded document.
#[derive(Debug, Clone)]
pub enum Document {
    /// A policy.
    Policy {
        /// As it is acted on.
        policy: Arc<CompiledPolicy>,
        /// As it was signed, for the mirror: JSON text, a twentieth of what it takes parsed.
        compiled: Arc<str>,
    },
    /// A registry entry.
    Cluster {
        /// As it is acted on.
        entry: Arc<CompiledCluster>,
        /// As it was signed, for the mirror: JSON text.
        compiled: Arc<str>,
    },
}

/// Why a verified event is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Machine-readable.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

impl Word {
    /// Reads a verified event. What can't be acted on stays as a refusal: it is known, and named in
    /// the ack, and the last good state stays in force.
    pub(super) fn read(event: &Event, signed: &Arc<[u8]>, received_ms: u64) -> Word {
        let content = event.body.as_deref().map(|body| Content {
            hash: Hash::of(body),
            signed: signed.clone(),
            document: read_document(event, body),
        });
        Word {
            revision: event.revision,
            generation: event.generation,
            feed: event.feed.clone(),
            scopes: event.scopes.clone(),
            content,
            received_ms,
            remembered: false,
            kept: false,
        }
    }

    /// The word of a name of which only the record is left. A removal goes on at once; anything else
    /// is as a tombstone in one scope of a name that may still be in force: only a cut can tell.
    pub(super) fn remember(past: &Past) -> Word {
        let scopes = (!past.removed)
            .then(|| past.feed.scope.clone())
            .into_iter()
            .collect();
        Word {
            revision: past.word,
            generation: past.generation,
            feed: past.feed.clone(),
            scopes,
            content: None,
            received_ms: 0,
            remembered: true,
            kept: false,
        }
    }

    /// Whether it can't be acted on.
    pub(super) fn is_refused(&self) -> bool {
        let content = self.content.as_ref();
        content.is_some_and(|content| content.document.is_err())
    }

    /// Whether it is all that is left of a name, and does not say that it is to be gone.
    pub(super) fn is_unproven(&self) -> bool {
        self.remembered && !self.scopes.is_empty()
    }

    /// As an index lists it.
    pub(super) fn entry(&self) -> Option<Entry> {
        let content = self.content.as_ref()?;
        Some(Entry {
            generation: self.generation,
            revision: self.revision,
            hash: content.hash,
        })
    }

    /// Whether only a cut can say if it is for this cluster (6).
    pub(super) fn needs_labels(&self) -> bool {
        matches!(
            self.content.as_ref().map(|content| &content.document),
            Some(Ok(Document::Policy { policy, .. })) if policy.clusters.needs_labels()
        )
    }
}

fn read_document(event: &Event, body: &[u8]) -> Result<Document, Refusal> {
    event.check_supported().map_err(|error| Refusal {
        reason: "Unsupported",
        message: error.to_string(),
    })?;
    let invalid = |message: String| Refusal {
        reason: "InvalidEvent",
        message,
    };
    let body = Body::decode(event, body).map_err(|error| invalid(error.to_string()))?;
    let compiled: Arc<str> = body.object.to_string().into();
    Ok(match event.feed.kind {
        Kind::Policy => {
            let policy =
                CompiledPolicy::decode(compiled.as_bytes()).map_err(|e| invalid(e.to_string()))?;
            Document::Policy {
                policy: Arc::new(policy),
                compiled,
            }
        }
        Kind::Cluster => {
            let entry =
                CompiledCluster::decode(compiled.as_bytes()).map_err(|e| invalid(e.to_string()))?;
            Document::Cluster {
                entry: Arc::new(entry),
                compiled,
            }
        }
    })
}
