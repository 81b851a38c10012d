//! The beat: a publisher's signed statement of where the log is, and which of those that were heard says
//! anything new. A beat that is sent again says nothing of now.

use std::collections::BTreeMap;

use crate::{hash::Hash, revision::Revision};

/// How far two clocks may be apart, in milliseconds: what Kerberos allows, and every machine that follows
/// a time server is well within. For so long a beat that was kept by somebody can pass for a new one to
/// who has just started.
pub const SKEW_MS_MAX: u64 = 5 * 60 * 1000;

/// Publishers of whom the last beat is remembered: many more than a fleet has.
const PUBLISHERS_MAX: usize = 64;

/// One beat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beat {
    /// The log's revision.
    pub revision: Revision,
    /// Hash of the root's payload.
    pub root: Hash,
    /// When it was signed, milliseconds since the Unix epoch: of one place in the log and one publisher,
    /// later beats have later times. Its age is measured on the hearer's own monotonic clock, and this
    /// only bounds it.
    pub issued_ms: u64,
    /// For how long it says that the log is served, in milliseconds.
    pub expires_after_ms: u64,
    /// Name of the publisher.
    pub publisher: String,
}

impl Beat {
    /// Until when it is in force at most, by the wall clock of whoever hears it.
    pub fn ends_ms(&self) -> u64 {
        let lives_ms = self.expires_after_ms.saturating_add(SKEW_MS_MAX);
        self.issued_ms.saturating_add(lives_ms)
    }
}

/// The last beat of each publisher.
#[derive(Debug, Clone, Default)]
pub struct LastBeats(BTreeMap<String, (Revision, u64)>);

impl LastBeats {
    /// Takes a beat, and says whether it is newer than all that were taken of its publisher: of a later
    /// place in the log, or of the same and issued later. The place counts first, so that a publisher
    /// whose clock was set back is heard again with the next edit.
    pub fn take(&mut self, beat: &Beat) -> bool {
        let this = (beat.revision, beat.issued_ms);
        if self
            .0
            .get(&beat.publisher)
            .is_some_and(|last| this <= *last)
        {
            return false;
        }
        self.0.insert(beat.publisher.clone(), this);
        if self.0.len() > PUBLISHERS_MAX {
            let oldest = self.0.iter().min_by_key(|(_, last)| **last);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                self.0.remove(&name);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(publisher: &str, number: u64, issued_ms: u64) -> Beat {
        Beat {
            revision: Revision { epoch: 1, number },
            root: Hash::of(b""),
            issued_ms,
            expires_after_ms: 30_000,
            publisher: publisher.to_owned(),
        }
    }

    #[test]
    fn a_beat_is_new_once_and_what_was_said_before_it_never_again() {
        let mut last = LastBeats::default();
        assert!(last.take(&beat("a", 7, 1_000)));
        assert!(!last.take(&beat("a", 7, 1_000)), "sent again");
        assert!(!last.take(&beat("a", 7, 999)));
        assert!(!last.take(&beat("a", 6, 2_000)));
        assert!(last.take(&beat("a", 7, 1_001)));
        assert!(last.take(&beat("b", 7, 10)), "another's clock");
        assert!(last.take(&beat("a", 8, 5)), "its clock was set back");
        assert!(!last.take(&beat("a", 7, 9_000)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut last = LastBeats::default();
        for number in 0..200 {
            assert!(last.take(&beat(&format!("p{number}"), number, 1)));
        }
        assert_eq!(last.0.len(), PUBLISHERS_MAX);
        assert!(!last.take(&beat("p199", 199, 1)));
    }
}
