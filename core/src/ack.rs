//! Acks and pulses: how a cluster says what it holds, in its own signed words.
//!
//! Acks follow changes (an edit, a drift), pulses follow time. Without pulses "silent since" could not
//! be known; without acks nobody would know what arrived.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    hash::Hash,
    name::Name,
    revision::{Generation, Revision},
    root::FeedState,
    scope::{Feed, Kind},
    subject::Sender,
};

/// Most exceptions listed in an ack; the total is said beside them.
pub const EXCEPTIONS_MAX: usize = 50;
/// Most recent edits listed in an ack.
pub const EDITS_MAX: usize = 16;
/// Most failing objects listed for an edit.
pub const FAILURES_MAX: usize = 8;
/// Largest witness: a beat is some 300 bytes; an event that is larger waits for the next beat.
pub const WITNESS_BYTES_MAX: usize = 8 * 1024;
/// Longest reason text that an ack carries, in bytes.
pub const MESSAGE_LENGTH_MAX_BYTES: usize = 512;

/// Where a policy stands on a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Verified, admitted and written into the cluster's mirror; not all objects are confirmed.
    Received,
    /// The API server confirmed every object, and that every object that left is gone.
    Applied,
    /// It will not be applied as it is; the last good state stays.
    Refused,
}

/// One object that is not as wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The object, as `RoleBinding payments/writ:team:owners`.
    pub object: String,
    /// Machine-readable reason (see `docs/errors`).
    pub reason: String,
    /// For people: what is wrong and what to do.
    pub message: String,
}

/// A policy or cluster entry that is not applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// The generation that is not applied.
    pub generation: Generation,
    /// The edit.
    pub revision: Revision,
    /// Where it stands.
    pub state: State,
    /// Machine-readable reason.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// One recent edit as the cluster met it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AckedEdit {
    /// What was edited.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// Its generation.
    pub generation: Generation,
    /// The edit.
    pub revision: Revision,
    /// Where it stands.
    pub state: State,
    /// Whether the edit took the name away from this cluster.
    pub removed: bool,
    /// Whether this tells of a repair of what was changed by hand, not of the edit itself.
    pub drift: bool,
    /// When the event was verified and admitted, milliseconds since the Unix epoch.
    pub received_ms: u64,
    /// When the last object was confirmed; 0 while it is not.
    pub applied_ms: u64,
    /// At most [`FAILURES_MAX`] objects that are not as wanted.
    pub failures: Vec<Failure>,
}

/// How many policies stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Confirmed in full.
    pub applied: u32,
    /// Received, not confirmed in full.
    pub pending: u32,
    /// Refused.
    pub refused: u32,
}

/// An ack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// The cluster that speaks.
    pub sender: Sender,
    /// The root that all feeds were last equal to.
    pub revision: Revision,
    /// What is held of each feed, everything in it applied but for the exceptions.
    pub feeds: BTreeMap<Feed, FeedState>,
    /// Policies by state.
    pub counts: Counts,
    /// What is not applied; at most [`EXCEPTIONS_MAX`].
    pub exceptions: Vec<Exception>,
    /// How many exceptions there are in all.
    pub exceptions_total: u32,
    /// The newest edits, newest last; at most [`EDITS_MAX`].
    pub edits: Vec<AckedEdit>,
    /// Messages that were refused since the start (not verified, not parsed, foreign scope, older).
    pub refused_messages: u64,
    /// Identity of this run of the subscriber.
    pub boot_id: String,
    /// How often the subscriber was started in this cluster.
    pub boot: u64,
    /// Counts acks over all runs.
    pub counter: u64,
    /// Hash of the previous ack's payload; all zero for the first.
    pub previous: Hash,
    /// When it was made, milliseconds since the Unix epoch.
    pub sent_ms: u64,
    /// The newest that a publisher signed and this cluster holds, a beat or an event, as it came: what
    /// shows a publisher that its log is behind (9). Empty: none yet.
    pub witness: Vec<u8>,
}

/// A sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulse {
    /// The cluster that speaks.
    pub sender: Sender,
    /// The root that all feeds were last equal to.
    pub revision: Revision,
    /// What is held of each feed.
    pub feeds: BTreeMap<Feed, FeedState>,
    /// Policies by state.
    pub counts: Counts,
    /// Counter of the last ack, so that a lost one is seen.
    pub ack_counter: u64,
    /// Version of the subscriber.
    pub version: String,
    /// Version of the cluster's API server.
    pub kubernetes_version: String,
    /// Whether no beat is in force: the cluster may be behind without knowing.
    pub stale: bool,
    /// The cluster's clock, milliseconds since the Unix epoch.
    pub sent_ms: u64,
    /// Identity of this run of the subscriber.
    pub boot_id: String,
    /// Period after which the next pulse is to be expected, in milliseconds.
    pub period_ms: u64,
    /// Hash of the ceiling that the API server was seen to enforce; `None`: nothing is written.
    pub ceiling: Option<Hash>,
    /// Whether the subscriber only observes, as it understood its registry entry.
    pub observing: bool,
    /// As in an [`Ack`].
    pub witness: Vec<u8>,
    /// Whether what is not applied is just what the ack of that counter says, so that only the position
    /// may be another.
    pub as_acked: bool,
}
