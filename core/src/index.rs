//! Indexes: per feed, the list of what is in force, as a base and the changes since.
//!
//! The split into base and tail is for the wire only (an edit rewrites a small tail instead of a
//! thousand entries); the digest is over the entries and knows nothing of it.

use std::collections::BTreeMap;

use crate::{
    hash::{FieldHasher, Hash},
    name::Name,
    revision::{Generation, Revision},
    scope::Feed,
};

/// Changes in an index message before its base is rewritten: bounds what an edit writes and what a
/// reader that missed little reads (about 16 KiB).
pub const TAIL_LENGTH_MAX: usize = 128;
/// The newest changes, which stay in the tail when the base is rewritten, so that a reader can go back
/// from a newer index to the root that it holds.
pub const TAIL_LENGTH_KEPT: usize = 64;

/// How long the tails of a log's indexes become. The digests know nothing of it, so that those who write
/// one log need not agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TailLengths {
    /// More changes make the base be rewritten; at most [`TAIL_LENGTH_MAX`].
    pub max: usize,
    /// The newest of them, which stay in the tail then.
    pub kept: usize,
}

impl Default for TailLengths {
    fn default() -> TailLengths {
        TailLengths {
            max: TAIL_LENGTH_MAX,
            kept: TAIL_LENGTH_KEPT,
        }
    }
}

/// What is in force of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// For people.
    pub generation: Generation,
    /// The edit.
    pub revision: Revision,
    /// Hash of the event's body.
    pub hash: Hash,
}

/// Everything in force in a feed.
pub type Entries = BTreeMap<Name, Entry>;

/// One change of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What changed.
    pub name: Name,
    /// By which edit.
    pub revision: Revision,
    /// What is in force since; nothing where the name left the feed.
    pub entry: Option<Entry>,
}

/// The stored index message of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Which feed.
    pub feed: Feed,
    /// Its last edit.
    pub revision: Revision,
    /// Revision of the base that the tail continues.
    pub base_revision: Revision,
    /// Digest of that base.
    pub base_digest: Hash,
    /// Changes since, oldest first; at most [`TAIL_LENGTH_MAX`].
    pub tail: Vec<Change>,
}

/// The stored base of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Which feed.
    pub feed: Feed,
    /// The last edit that it contains.
    pub revision: Revision,
    /// All that was in force then.
    pub entries: Entries,
}

/// Digest of a feed's entries: SHA-256 over a domain string, kind, scope and the name-sorted,
/// length-prefixed (name, generation, revision, hash).
pub fn digest(feed: &Feed, entries: &Entries) -> Hash {
    let mut hasher = FieldHasher::new("writ index v1");
    hasher.field(feed.kind.as_str().as_bytes());
    hasher.field(feed.scope.to_string().as_bytes());
    hasher.number(entries.len() as u64);
    for (name, entry) in entries {
        hasher.field(name.as_str().as_bytes());
        hasher.number(entry.generation.0);
        hasher.number(entry.revision.epoch);
        hasher.number(entry.revision.number);
        hasher.field(&entry.hash.0);
    }
    hasher.finish()
}

/// Applies one change to some entries.
pub fn change(entries: &mut Entries, change: &Change) {
    match change.entry {
        Some(entry) => entries.insert(change.name.clone(), entry),
        None => entries.remove(&change.name),
    };
}

impl Index {
    /// The empty index of a feed, and its empty base: what a new cluster must find, because nothing
    /// found is never read as empty.
    pub fn empty(feed: &Feed, revision: Revision) -> (Index, Base) {
        let base = Base {
            feed: feed.clone(),
            revision,
            entries: Entries::new(),
        };
        (Index::over(&base, revision, Vec::new()), base)
    }

    fn over(base: &Base, revision: Revision, tail: Vec<Change>) -> Index {
        let base_digest = digest(&base.feed, &base.entries);
        Index {
            feed: base.feed.clone(),
            revision,
            base_revision: base.revision,
            base_digest,
            tail,
        }
    }

    /// Whether this is the base that the tail continues.
    pub fn continues(&self, base: &Base) -> bool {
        self.feed == base.feed
            && self.base_revision == base.revision
            && self.base_digest == digest(&base.feed, &base.entries)
    }

    /// The states that base and tail stand for, oldest first: the base's, then one per change.
    pub fn states(&self, base: &Base) -> Vec<(Revision, Entries)> {
        let mut states = vec![(base.revision, base.entries.clone())];
        for step in &self.tail {
            let mut entries = states[states.len() - 1].1.clone();
            change(&mut entries, step);
            states.push((step.revision, entries));
        }
        // An index may be newer than its last change: it was written empty.
        if let Some(last) = states.last_mut().filter(|last| last.0 < self.revision) {
            last.0 = self.revision;
        }
        states
    }

    /// The newest state only.
    pub fn newest(&self, base: &Base) -> Entries {
        let mut entries = base.entries.clone();
        for step in &self.tail {
            change(&mut entries, step);
        }
        entries
    }

    /// Takes one more change.
    pub fn push(&mut self, step: Change) {
        self.revision = step.revision;
        self.tail.push(step);
    }

    /// Rewrites the base where the tail is too long: the index over the new base, and that base. The
    /// changes after the revision `since`, where the last root stood, stay in the tail however many
    /// they are, so that a reader who holds that root can go back to it.
    pub fn fold(
        &self,
        base: &Base,
        since: Revision,
        lengths: TailLengths,
    ) -> Option<(Index, Base)> {
        if self.tail.len() <= lengths.max {
            return None;
        }
        let is_new = |step: &&Change| step.revision > since;
        let kept = self.tail.iter().filter(is_new).count().max(lengths.kept);
        let (folded, tail) = self.tail.split_at(self.tail.len().saturating_sub(kept));
        let mut base = base.clone();
        for step in folded {
            change(&mut base.entries, step);
            base.revision = step.revision;
        }
        Some((Index::over(&base, self.revision, tail.to_vec()), base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed() -> Feed {
        "policy.eu.prod".parse().unwrap()
    }

    fn at(number: u64) -> Revision {
        Revision { epoch: 1, number }
    }

    fn step(number: u64) -> Change {
        let name = Name::parse(&format!("p{}", number % 7)).unwrap();
        let entry = Entry {
            generation: Generation(number),
            revision: at(number),
            hash: Hash::of(&number.to_be_bytes()),
        };
        Change {
            name,
            revision: at(number),
            entry: (!number.is_multiple_of(5)).then_some(entry),
        }
    }

    #[test]
    fn base_and_tail_stand_for_the_same_entries_however_they_are_split() {
        let (mut index, mut base) = Index::empty(&feed(), at(0));
        let mut entries = Entries::new();
        let mut rewritten = 0;
        for number in 1..=500 {
            change(&mut entries, &step(number));
            index.push(step(number));
            if let Some(folded) = index.fold(&base, at(number - 1), TailLengths::default()) {
                rewritten += 1;
                (index, base) = folded;
            }
            assert!(index.continues(&base) && index.tail.len() <= TAIL_LENGTH_MAX);
            assert_eq!(
                digest(&feed(), &index.newest(&base)),
                digest(&feed(), &entries)
            );
        }
        assert!(rewritten > 3, "the base was never rewritten");
        assert!(index.tail.len() >= TAIL_LENGTH_KEPT);
    }

    #[test]
    fn a_newer_index_can_be_taken_back_to_an_older_state() {
        let (mut index, base) = Index::empty(&feed(), at(0));
        for number in 1..=20 {
            index.push(step(number));
        }
        let states = index.states(&base);
        assert_eq!(states.len(), 21);
        let mut entries = Entries::new();
        for number in 1..=10 {
            change(&mut entries, &step(number));
        }
        assert_eq!(states[10], (at(10), entries));
    }

    #[test]
    fn however_many_changes_one_batch_makes_the_root_before_it_can_be_gone_back_to() {
        let (mut index, base) = Index::empty(&feed(), at(0));
        for number in 1..=TAIL_LENGTH_MAX as u64 {
            index.push(step(number));
        }
        let root = (index.revision, index.newest(&base));
        for number in 1..=crate::root::EDITS_MAX as u64 {
            index.push(step(root.0.number + number));
        }
        let newest = index.newest(&base);
        let (index, base) = index.fold(&base, root.0, TailLengths::default()).unwrap();
        assert!(index.tail.len() <= TAIL_LENGTH_MAX && index.continues(&base));
        assert_eq!(index.newest(&base), newest);
        assert!(index.states(&base).contains(&root));
    }

    #[test]
    fn a_base_that_the_index_does_not_name_is_not_continued() {
        let (index, base) = Index::empty(&feed(), at(0));
        let mut other = base.clone();
        change(&mut other.entries, &step(1));
        assert!(index.continues(&base) && !index.continues(&other));
        let elsewhere = Base {
            feed: "policy.us.prod".parse().unwrap(),
            ..base
        };
        assert!(!index.continues(&elsewhere));
    }

    #[test]
    fn the_digest_tells_feeds_names_and_revisions_apart() {
        let mut entries = Entries::new();
        change(&mut entries, &step(1));
        let here = digest(&feed(), &entries);
        assert_ne!(here, digest(&"policy.eu.all".parse().unwrap(), &entries));
        assert_ne!(here, digest(&"cluster.eu.prod".parse().unwrap(), &entries));
        assert_ne!(here, digest(&feed(), &Entries::new()));
        for entry in entries.values_mut() {
            entry.revision = at(2);
        }
        assert_ne!(here, digest(&feed(), &entries));
    }
}
