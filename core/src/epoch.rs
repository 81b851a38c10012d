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
/// Most epochs of which an opening names a feed's lists: it stands in every root of its epoch, and a
/// cluster that was away for more recoveries than that is none that a fleet waits for.
pub const EPOCHS_STATED_MAX: usize = 8;
/// Most feeds that an opening names, some 200 KB: a root is 1 MB at most. One that is left out counts as
/// recovered from the log's list, which is the older one.
pub const FEEDS_STATED_MAX: usize = 4_096;

/// The offline key's word that an epoch begins with one certain root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The epoch's first root.
    pub revision: Revision,
    /// [`digest`] of the feeds that this root states: one opening can't begin two histories.
    pub feeds: Hash,
    /// When it was signed, milliseconds since the Unix epoch; for people.
    pub opened_ms: u64,
    /// What the epoch was recovered from. An opening that says nothing of it has no list be younger.
    pub recovered: Option<Recovered>,
}

/// The newest lists that an epoch was recovered from, by their revisions: of each feed one of each
/// epoch, in their order. Whoever held a younger one knows of removals that the epoch does not.
///
/// Of epochs below the first revision of a feed nothing is said. [`Revision::ZERO`] is that of no list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Those of the log, which are those of every feed that is not named.
    pub log: Vec<Revision>,
    /// The feeds that were recovered from other lists; at most [`FEEDS_STATED_MAX`].
    pub feeds: BTreeMap<Feed, Vec<Revision>>,
}

impl Recovered {
    /// The revisions of a feed.
    pub fn of(&self, feed: &Feed) -> &[Revision] {
        self.feeds.get(feed).unwrap_or(&self.log)
    }

    /// Whether a list of that revision is younger than what the epoch was recovered from.
    pub fn is_outrun(&self, feed: &Feed, list: Revision) -> bool {
        let stated = self.of(feed);
        match stated.iter().find(|stated| stated.epoch == list.epoch) {
            Some(stated) => list > *stated,
            // Nothing of that epoch was at hand.
            None => stated.first().is_some_and(|first| list.epoch > first.epoch),
        }
    }
}

/// A list that is the newest one at hand, after those that the opening of its own epoch names.
pub fn lists(earlier: &[Revision], newest: Revision) -> Vec<Revision> {
    let mut lists: Vec<Revision> = earlier.to_vec();
    lists.retain(|list| list.epoch < newest.epoch);
    lists.push(newest);
    let skip = lists.len().saturating_sub(EPOCHS_STATED_MAX);
    lists.split_off(skip)
}

impl Opening {
    /// The opening of the epoch that a root is to begin.
    pub fn of(root: &Root, opened_ms: u64) -> Opening {
        Opening {
            revision: root.revision,
            feeds: digest(&root.feeds),
            opened_ms,
            recovered: None,
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
    fn a_list_is_younger_than_what_was_at_hand_of_its_own_epoch() {
        let at = |epoch, number| Revision { epoch, number };
        let (own, other, none): (Feed, Feed, Feed) = (
            "policy.eu.prod".parse().unwrap(),
            "policy.us.prod".parse().unwrap(),
            "policy.eu.all".parse().unwrap(),
        );
        let recovered = Recovered {
            log: vec![at(2, 40), at(4, 60)],
            feeds: BTreeMap::from([
                (own.clone(), vec![at(2, 45), at(4, 60)]),
                (none.clone(), vec![Revision::ZERO]),
            ]),
        };
        let is_outrun = |feed: &Feed, epoch, number| recovered.is_outrun(feed, at(epoch, number));
        assert!(!is_outrun(&own, 2, 45) && is_outrun(&own, 2, 46));
        assert!(!is_outrun(&other, 2, 40) && is_outrun(&other, 2, 41));
        assert!(!is_outrun(&own, 4, 60) && is_outrun(&own, 4, 61));
        assert!(is_outrun(&own, 3, 1), "nothing of the third was at hand");
        assert!(!is_outrun(&own, 1, 99), "nothing is said of the first");
        assert!(is_outrun(&none, 1, 1), "there was no list at all");
    }

    #[test]
    fn the_lists_of_an_epoch_go_on_from_those_of_the_one_before_and_are_bounded() {
        let at = |epoch| Revision { epoch, number: 9 };
        assert_eq!(lists(&[], at(1)), [at(1)]);
        assert_eq!(lists(&[at(1), at(3)], at(3)), [at(1), at(3)]);
        let many: Vec<Revision> = (1..20).map(at).collect();
        assert_eq!(lists(&many, at(20)).len(), EPOCHS_STATED_MAX);
        assert_eq!(lists(&many, at(20)).last(), Some(&at(20)));
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
