//! Epochs: what makes a new beginning of the log believable.
//!
//! A revision's epoch goes up only when the log was lost or restored. Whoever holds a publisher's key
//! could write a root of any epoch; only an [`Opening`] signed by the offline key makes an epoch one
//! that followers go to. It travels inside every root of its epoch, so that whoever was away finds it
//! where it looks first.

use std::{collections::BTreeMap, fmt, str::FromStr};

use crate::{
    hash::{FieldHasher, Hash},
    revision::Revision,
    root::{FeedState, Root},
    scope::Feed,
};

/// The epoch that needs no opening.
pub const FIRST: u64 = 1;

/// The offline key's word that an epoch begins with one certain root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The epoch's first root.
    pub revision: Revision,
    /// [`digest`] of the feeds that this root states: one opening can't begin two histories.
    pub feeds: Hash,
    /// When it was signed, milliseconds since the Unix epoch; for people.
    pub opened_ms: u64,
}

impl Opening {
    /// The opening of the epoch that a root is to begin.
    pub fn of(root: &Root, opened_ms: u64) -> Opening {
        Opening {
            revision: root.revision,
            feeds: digest(&root.feeds),
            opened_ms,
        }
    }

    /// Whether a root belongs to the epoch that this opens: not before its beginning, and where it is
    /// the beginning, exactly the one that was signed.
    pub fn admits(&self, root: &Root) -> bool {
        root.revision.epoch == self.revision.epoch
            && (root.revision > self.revision
                || root.revision == self.revision && digest(&root.feeds) == self.feeds)
    }
}

/// Digest of the feeds that a root states.
pub fn digest(feeds: &BTreeMap<Feed, FeedState>) -> Hash {
    let mut hasher = FieldHasher::new("writ opening v1");
    hasher.number(feeds.len() as u64);
    for (feed, state) in feeds {
        hasher.field(feed.to_string().as_bytes());
        hasher.number(state.revision.epoch);
        hasher.number(state.revision.number);
        hasher.field(&state.digest.0);
    }
    hasher.finish()
}

/// The epochs that an offline key has ever signed an opening for, as its holder keeps them: one line
/// an epoch, in a file beside the key. A log can forget an epoch, this must not: the same epoch opened
/// twice would give one revision to two edits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record(BTreeMap<u64, String>);

/// The text is not a record of epochs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A line does not begin with an epoch above the one before it.
    #[error("line {0} does not begin with an epoch above the one of the line before")]
    Line(usize),
    /// Nothing is in it.
    #[error(
        "it holds no epoch; the record of a log that was never recovered is the one line {FIRST:?}"
    )]
    Empty,
}

impl Record {
    /// The record of a log that was never recovered.
    pub fn new() -> Record {
        Record(BTreeMap::from([(FIRST, String::new())]))
    }

    /// The highest epoch that was ever opened.
    pub fn highest(&self) -> u64 {
        self.0.keys().next_back().copied().unwrap_or(FIRST)
    }

    /// Takes the next epoch: above every one recorded, and above `heard`, the highest that anybody
    /// speaks of. To be stored before anything is signed.
    pub fn take(&mut self, heard: u64, note: &str) -> u64 {
        let epoch = self.highest().max(heard).max(FIRST) + 1;
        self.0.insert(epoch, note.replace(['\n', '\r'], " "));
        epoch
    }
}

impl Default for Record {
    fn default() -> Record {
        Record::new()
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (epoch, note) in &self.0 {
            writeln!(f, "{}", format!("{epoch} {note}").trim_end())?;
        }
        Ok(())
    }
}

impl FromStr for Record {
    type Err = RecordError;

    fn from_str(text: &str) -> Result<Record, RecordError> {
        let mut record = Record(BTreeMap::new());
        for (at, line) in text.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let (epoch, note) = line.split_once(' ').unwrap_or((line, ""));
            let epoch: u64 = epoch.parse().map_err(|_| RecordError::Line(at + 1))?;
            if epoch < FIRST || !record.0.is_empty() && epoch <= record.highest() {
                return Err(RecordError::Line(at + 1));
            }
            record.0.insert(epoch, note.to_owned());
        }
        if record.0.is_empty() {
            return Err(RecordError::Empty);
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(number: u64, digest: &[u8]) -> Root {
        let revision = Revision { epoch: 2, number };
        let state = FeedState {
            revision,
            digest: Hash::of(digest),
        };
        Root {
            revision,
            feeds: BTreeMap::from([("policy.eu.prod".parse().unwrap(), state)]),
            ..Root::default()
        }
    }

    #[test]
    fn an_opening_admits_the_root_that_was_signed_and_what_comes_after_it() {
        let opening = Opening::of(&root(70, b"a"), 5);
        assert!(opening.admits(&root(70, b"a")) && opening.admits(&root(71, b"b")));
        assert!(!opening.admits(&root(70, b"b")), "another beginning");
        assert!(!opening.admits(&root(69, b"a")), "before the beginning");
        let mut other = root(71, b"a");
        other.revision.epoch = 3;
        assert!(!opening.admits(&other), "another epoch");
    }

    #[test]
    fn an_epoch_is_taken_once_and_above_all_that_is_recorded_or_heard_of() {
        let mut record = Record::new();
        assert_eq!(record.take(1, "lost\nlog"), 2);
        assert_eq!(record.take(1, ""), 3);
        assert_eq!(record.take(7, "heard of 7"), 8);
        let text = record.to_string();
        assert_eq!(text, "1\n2 lost log\n3\n8 heard of 7\n");
        assert_eq!(text.parse::<Record>().unwrap(), record);
    }

    #[test]
    fn a_record_that_was_damaged_is_an_error_and_not_a_first_epoch() {
        assert_eq!("".parse::<Record>(), Err(RecordError::Empty));
        for bad in ["0", "1\nx", "2\n1", "1\n1"] {
            assert!(
                matches!(bad.parse::<Record>(), Err(RecordError::Line(_))),
                "{bad}"
            );
        }
    }
}
