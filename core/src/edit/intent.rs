//! The edit as submitted: the part of the log that publishers read and people ask for.

use std::collections::BTreeSet;

use super::Kind;
use crate::{
    enrol::Revoked,
    name::Name,
    revision::{Generation, Revision},
    scope::Scope,
};

/// The inlet of what was said again when the log was recovered. Its time is that of the recovery.
pub const RECOVERED: &str = "recover";

/// The inlet of a name of which the recovered log says only that something newer existed.
pub const RECOVERED_UNKNOWN: &str = "recover-unknown";

/// An edit as submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// What was edited.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// The edit.
    pub revision: Revision,
    /// The edit, counted per name.
    pub generation: Generation,
    /// The caller's id of the request.
    pub request_id: String,
    /// The document as submitted, JSON; nothing: the name was deleted.
    pub manifest: Option<String>,
    /// The scopes that the name is in since.
    pub scopes: BTreeSet<Scope>,
    /// Who asked.
    pub author: String,
    /// Why.
    pub reason: String,
    /// Through which inlet.
    pub inlet: String,
    /// When, milliseconds since the Unix epoch.
    pub committed_ms: u64,
    /// The clusters that the edit is for, sorted; fixed when it committed.
    pub targets: Vec<String>,
    /// Of a cluster: keys that were its own, and that the bus must not take any more. Kept over its
    /// removal.
    pub revoked: Vec<Revoked>,
}

impl Intent {
    /// Whether it says again what was in a log that was lost.
    pub fn is_recovered(&self) -> bool {
        self.inlet == RECOVERED || self.is_unknown()
    }

    /// Whether it stands for an edit that is not to be found: it has no manifest, and is no deletion.
    pub fn is_unknown(&self) -> bool {
        self.inlet == RECOVERED_UNKNOWN
    }
}
