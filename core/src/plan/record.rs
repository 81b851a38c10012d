//! What a cluster keeps about one policy: the state that it was brought to, and what it wrote.
//!
//! The record is written before the first write or delete for the policy and again after the last,
//! so a process killed anywhere in between finds out what it may have done.

use serde::{Deserialize, Serialize};

use crate::guard::{Guard, stands};
use crate::hash::Hash;
use crate::model::{ObjectRef, Removal};
use crate::revision::{Generation, Revision};
use crate::scope::Feed;

/// What one policy was last brought to in this cluster, or is being brought to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The log state that this rests on. Nothing that rests on an older one is acted upon.
    pub as_of: Revision,
    /// The edit that this is the word of.
    pub word: Revision,
    /// The policy's generation after that edit.
    pub generation: Generation,
    /// Hash of the event's body: the same hash means the same content.
    pub hash: Hash,
    /// The feed by which the event came; at least [`word`](Self::word) was seen of it.
    #[serde(with = "feed_text")]
    pub feed: Feed,
    /// The policy is to be gone from this cluster.
    pub removed: bool,
    /// Every object was confirmed. While false, the objects are those that may be there.
    pub done: bool,
    /// Every object was tried since this edit came, so that what differs from now on is somebody
    /// else's doing. Kept only for policies that report drift and do not put it back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tried: bool,
    /// What happens to objects that leave the policy: a tombstone does not say it. A record of an
    /// older subscriber has none and means `prune`.
    #[serde(default, skip_serializing_if = "is_prune")]
    pub removal: Removal,
    /// The objects that are ours, sorted.
    pub objects: Vec<InventoryItem>,
}

impl Record {
    /// Whether acting as of that log state would be a step back (rule 4).
    pub fn is_newer_than(&self, as_of: Revision) -> bool {
        as_of < self.as_of && stands(Guard::AsOf)
    }

    /// Whether the cluster already holds that: confirmed, and the same content or equally gone.
    pub fn holds(&self, removed: bool, hash: Hash) -> bool {
        self.done && self.removed == removed && (removed || self.hash == hash)
    }

    /// The inventory entry of an object.
    pub fn item(&self, reference: &ObjectRef) -> Option<&InventoryItem> {
        self.objects
            .iter()
            .find(|item| item.reference == *reference)
    }
}

/// One object that we wrote, or were about to write.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InventoryItem {
    /// Which object; flat in the mirror, as Kubernetes users expect a reference.
    #[serde(flatten)]
    pub reference: ObjectRef,
    /// Its uid as the API server answered; `None` when no answer came, or none was waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Hash of the content that the API server last confirmed; `None` before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Hash>,
    /// A Namespace that is deleted when it leaves the policy, as the policy itself said.
    #[serde(default, skip_serializing_if = "is_false")]
    pub deletable: bool,
}

impl InventoryItem {
    /// An object that is about to be written.
    pub fn intended(reference: ObjectRef) -> InventoryItem {
        InventoryItem {
            reference,
            uid: None,
            content: None,
            deletable: false,
        }
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_prune(removal: &Removal) -> bool {
    *removal == Removal::Prune
}

/// A feed as `policy.eu.prod`.
mod feed_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::scope::Feed;

    pub(super) fn serialize<S: Serializer>(feed: &Feed, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(feed)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Feed, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}
