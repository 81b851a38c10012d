//! The root: one signed message per batch that states the whole log at one revision.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    edit::Kind,
    hash::Hash,
    name::Name,
    revision::{Generation, Revision},
    scope::Feed,
};

/// Most edits that a batch may carry, so that a root stays small and readers can find their own.
pub const EDITS_MAX: usize = 100;

/// State of one feed as a root states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedState {
    /// The feed's last edit.
    pub revision: Revision,
    /// Digest of its entries.
    pub digest: Hash,
}

/// One edit of the batch that a root ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootEdit {
    /// Its revision.
    pub revision: Revision,
    /// The request that it answers.
    pub request_id: String,
    /// What was edited.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// Its generation.
    pub generation: Generation,
}

/// A root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Root {
    /// The last edit of its batch.
    pub revision: Revision,
    /// Every feed that exists.
    pub feeds: BTreeMap<Feed, FeedState>,
    /// The batch's edits; at most [`EDITS_MAX`].
    pub edits: Vec<RootEdit>,
    /// From the second epoch on: the signed opening of its epoch (see [`crate::epoch`]), as it came.
    pub opening: Option<Arc<[u8]>>,
    /// Version of the trust bundle that is in force (see [`crate::trust`]); 0: the one that whoever
    /// reads this was given at its start.
    pub trust: u64,
}

impl Default for Revision {
    fn default() -> Revision {
        Revision::ZERO
    }
}
