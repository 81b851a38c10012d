//! Guards that a simulation takes out, to see that something breaks without each: one at a time, or with
//! the one that stands behind it.
//!
//! In every build without the cargo feature `mutations`, [`stands`] is the constant `true`, and nothing
//! can take a guard out. With the feature, a thread takes some out for itself alone; no argument, file,
//! variable or message reaches that switch.

/// A guard of the protocol. The numbers are the rules of `docs/ARCHITECTURE.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Guard {
    /// 2: an event at or below what was seen of its feed counts for nothing.
    Seen,
    /// 2: of one name the highest revision counts.
    NewestWord,
    /// 2: an index below what was seen is no answer.
    IndexBelowSeen,
    /// 2: an index that fell below what was seen while it was being read is not held.
    OpenBelowSeen,
    /// 3: a body older than its index entry is no answer.
    LateBody,
    /// 3: a base that the index does not name is no answer.
    LateBase,
    /// 4: what was seen survives a restart.
    KeptSeen,
    /// 4: the last cut survives a restart.
    KeptCut,
    /// 4: nothing that rests on an older state than the record is acted upon.
    AsOf,
    /// 4: the record is written before the first write or delete.
    RecordAhead,
    /// 5: absence removes only at a cut.
    Cut,
    /// 5: the states of a cut have the digests that the root says.
    Digest,
    /// 5: a tombstone that names one of our scopes waits for a cut.
    TombstoneScopes,
    /// 5: a removal is remembered until a cut at or above it.
    RemovalMemory,
    /// 6: labels are judged at a cut, with that cut's own entry.
    Labels,
    /// 8: a beat above the root held makes the root be read.
    BeatAhead,
    /// 9: what a younger list of this cluster had no more is not taken from a recovered log.
    Bygone,
    /// A signature is checked.
    Signature,
    /// What is neither recorded nor marked as ours is foreign.
    Ownership,
}

/// Whether a guard is in force.
#[cfg(not(feature = "mutations"))]
#[inline(always)]
pub const fn stands(_: Guard) -> bool {
    true
}

#[cfg(feature = "mutations")]
pub use self::mutations::{stands, take_out};

#[cfg(feature = "mutations")]
mod mutations {
    use std::cell::Cell;

    use super::Guard;

    thread_local! {
        /// A bit for each guard that is out.
        static OUT: Cell<u32> = const { Cell::new(0) };
    }

    /// Whether a guard is in force on this thread.
    pub fn stands(guard: Guard) -> bool {
        OUT.get() & bit(guard) == 0
    }

    /// Takes guards out on this thread, in place of those that were out.
    pub fn take_out(guards: &[Guard]) {
        OUT.set(guards.iter().fold(0, |out, guard| out | bit(*guard)));
    }

    fn bit(guard: Guard) -> u32 {
        1 << guard as u32
    }
}
