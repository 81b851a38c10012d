//! The edit as submitted: the part of the log that publishers read and people ask for.

use std::collections::BTreeSet;

use super::Kind;
use crate::{
    name::Name,
    revision::{Generation, Revision},
    scope::Scope,
};

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
}
