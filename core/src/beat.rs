//! The beat: a publisher's signed statement of where the log is.

use crate::{hash::Hash, revision::Revision};

/// One beat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// The log's revision.
    pub revision: Revision,
    /// Hash of the root's payload.
    pub root: Hash,
    /// When it was signed, milliseconds since the Unix epoch. Only bounds skew: a subscriber measures
    /// age on its own monotonic clock.
    pub issued_ms: u64,
    /// For how long it says that the log is served, in milliseconds.
    pub expires_after_ms: u64,
    /// Name of the publisher.
    pub publisher: String,
}
