//! The subscriber's follower: what a cluster believes of the log, and what it should do about it.
//!
//! Flow: live events, answers to reads and beats go in; [`Follower::wanted`] says what to read next,
//! [`Follower::decide`] what to apply, remove or forget. The numbers in comments are the rules of
//! `docs/ARCHITECTURE.md`, "How a subscriber stays true".
//! Guarantees: never acts on an older state than it has seen; absence removes only at a consistent
//! cut; a lost message is found by the next beat.
//! Assumes: everything given to it was verified, under the subject that it names.
//! Never does I/O, never reads a clock: `now_ms` is the caller's.

mod before;
mod decide;
mod epochs;
mod held;
mod offer;
mod read;
mod report;
mod word;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use self::{before::Younger, held::Held, read::Open};
pub use self::{
    before::{BYGONES_KEPT_MAX, Before},
    decide::{Action, Cut, Past},
    offer::HeldFeed,
    read::Read,
    report::{Standing, Summary},
    word::{Content, Document, Refusal, Word},
};
use crate::{
    beat::{Beat, LastBeats},
    epoch::{self, Opening},
    event::Event,
    guard::{Guard, stands},
    hash::Hash,
    model::ClusterIdentity,
    name::Name,
    revision::Revision,
    root::Root,
    scope::{Feed, Kind},
};

/// One name of one kind.
pub type Key = (Kind, Name);

/// Why a message changed nothing. A closed set, for counters and acks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ignored {
    /// It is for a scope that the cluster does not listen to.
    ForeignScope,
    /// It is not above what was seen.
    Older,
    /// The same revision of the same name was seen with other bytes: somebody signs two truths.
    Conflicting,
    /// It is of an epoch that the offline key has not opened, as far as is known here (9).
    Unopened,
}

impl Ignored {
    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Ignored::ForeignScope => "foreign_scope",
            Ignored::Older => "older",
            Ignored::Conflicting => "conflicting",
            Ignored::Unopened => "unopened",
        }
    }
}

/// A beat in force.
#[derive(Debug, Clone, Copy)]
struct BeatHeld {
    revision: Revision,
    root: Hash,
    expires_at_ms: u64,
}

/// The state machine.
#[derive(Debug)]
pub struct Follower {
    identity: ClusterIdentity,
    seen: BTreeMap<Feed, Revision>,
    /// As much of it as the cluster keeps.
    kept: BTreeMap<Feed, Revision>,
    held: BTreeMap<Feed, Held>,
    open: BTreeMap<Feed, Open>,
    words: BTreeMap<Key, Word>,
    /// Of a name whose word is refused: the last one before that was not.
    accepted: BTreeMap<Key, Word>,
    /// What the own registry entry said last.
    own_before: Option<Content>,
    past: BTreeMap<Key, Past>,
    standings: BTreeMap<Key, Standing>,
    /// What is being carried out.
    under_way: BTreeSet<Key>,
    root: Option<Arc<Root>>,
    root_hash: Option<Hash>,
    beat: Option<BeatHeld>,
    last_beats: LastBeats,
    cut: Option<Cut>,
    /// Live messages may have been lost since the root was read.
    gap: bool,
    /// The highest epoch that is believed (9).
    epoch: u64,
    /// A higher one was heard of, and how often the root is still asked whether it was opened.
    epoch_heard: Option<(u64, u32)>,
    /// Its opening, where it has come in this run.
    opening: Option<Opening>,
    /// Lists of earlier epochs that were younger than what this one was recovered from (9).
    younger: BTreeMap<Feed, Younger>,
    /// Reads about what a recovered log does not list, in vain since the last beat.
    unanswered: BTreeSet<Read>,
}

impl Follower {
    /// A follower of a cluster that knows nothing yet but where it listens.
    pub fn new(identity: ClusterIdentity) -> Follower {
        let feeds = Feed::listened_by(&identity.region, &identity.stage);
        Follower {
            identity,
            seen: feeds
                .iter()
                .map(|feed| (feed.clone(), Revision::ZERO))
                .collect(),
            kept: BTreeMap::new(),
            held: feeds
                .into_iter()
                .map(|feed| (feed, Held::default()))
                .collect(),
            open: BTreeMap::new(),
            words: BTreeMap::new(),
            accepted: BTreeMap::new(),
            own_before: None,
            past: BTreeMap::new(),
            standings: BTreeMap::new(),
            under_way: BTreeSet::new(),
            root: None,
            root_hash: None,
            beat: None,
            last_beats: LastBeats::default(),
            cut: None,
            gap: false,
            epoch: epoch::FIRST,
            epoch_heard: None,
            opening: None,
            younger: BTreeMap::new(),
            unanswered: BTreeSet::new(),
        }
    }

    /// Takes back what the cluster kept of an earlier run: the highest revision seen of a feed (4).
    pub fn restore_seen(&mut self, feed: &Feed, revision: Revision) {
        if stands(Guard::KeptSeen) {
            self.raise_seen(feed, revision);
        }
        self.on_kept(&BTreeMap::from([(feed.clone(), revision)]));
    }

    /// The cluster keeps what was seen up to there: a restart would give it back.
    pub fn on_kept(&mut self, seen: &BTreeMap<Feed, Revision>) {
        for (feed, revision) in seen {
            let kept = self.kept.entry(feed.clone()).or_default();
            *kept = (*kept).max(*revision);
        }
    }

    /// Takes back what the cluster kept of one name: what it was brought to, and the event with its
    /// signed bytes, if it could be verified again (4). Without it, what is there stays as it is until
    /// the log was read: a damaged memory removes nothing.
    pub fn restore(&mut self, key: Key, past: Past, event: Option<(&Event, &Arc<[u8]>)>) {
        let word = match event.filter(|_| !past.removed) {
            Some((event, signed)) => Word::read(event, signed, 0),
            None => Word::remember(&past),
        };
        self.raise_seen(&past.feed, past.word);
        self.learn(&key, word);
        self.past.insert(key, past);
    }

    /// Takes back the event of the cluster's own registry entry, verified again: an observer keeps it
    /// although it has no mirrors, and what the mirrors say may be older (4).
    pub fn restore_own(&mut self, event: &Event, signed: &Arc<[u8]>) {
        let key = (event.feed.kind, event.name.clone());
        if key == (Kind::Cluster, Name::from(&self.identity.name)) {
            self.raise_seen(&event.feed, event.revision);
            let mut word = Word::read(event, signed, 0);
            word.kept = true;
            self.learn(&key, word);
        }
    }

    /// Takes back a record that says "to be gone" without a publisher's word for it: what the record
    /// lists stays until a cut says the same. Whoever may write a mirror must not remove by it.
    pub fn restore_unproven(&mut self, key: Key, past: Past) {
        let open = Past {
            removed: false,
            ..past.clone()
        };
        self.learn(&key, Word::remember(&open));
        self.past.insert(key, past);
    }

    /// Live messages may have been lost: the root is read at once instead of at the next beat.
    pub fn on_gap(&mut self) {
        self.gap = true;
        self.unanswered.clear();
    }

    /// The highest revision seen of each feed: to be kept in the cluster.
    pub fn seen(&self) -> &BTreeMap<Feed, Revision> {
        &self.seen
    }

    /// What is known of a name.
    pub fn word(&self, key: &Key) -> Option<&Word> {
        self.words.get(key)
    }

    /// The root that all own feeds were last equal to.
    pub fn cut(&self) -> Option<&Cut> {
        self.cut.as_ref()
    }

    /// Takes a live event.
    ///
    /// # Errors
    /// [`Ignored`]: nothing changed.
    pub fn on_event(
        &mut self,
        event: &Event,
        signed: &Arc<[u8]>,
        now_ms: u64,
    ) -> Result<(), Ignored> {
        let Some(held) = self.held.get(&event.feed) else {
            return Err(Ignored::ForeignScope);
        };
        self.check_epoch(event.revision)?;
        if self.conflicts(event) {
            return Err(Ignored::Conflicting);
        }
        let seen = self.seen[&event.feed];
        let newest = held.newest();
        let continues = newest.is_some_and(|state| state.revision == event.previous);
        let at_or_below = |revision: Revision| event.revision <= revision;
        // Rule 2: above the index held, and above all that was seen unless it continues that index.
        let is_older = newest.is_some_and(|state| at_or_below(state.revision))
            || (at_or_below(seen) && !continues);
        if is_older && stands(Guard::Seen) {
            return Err(Ignored::Older);
        }
        self.raise_seen(&event.feed, event.revision);
        let word = Word::read(event, signed, now_ms);
        let entry = word.entry();
        self.learn(&(event.feed.kind, event.name.clone()), word);
        if continues && let Some(held) = self.held.get_mut(&event.feed) {
            held.advance(event, entry);
        }
        self.close_around(event);
        Ok(())
    }

    /// Whether the same name, revision and feed was seen with another body.
    fn conflicts(&self, event: &Event) -> bool {
        let word = self.words.get(&(event.feed.kind, event.name.clone()));
        word.is_some_and(|word| {
            word.revision == event.revision
                && word.feed == event.feed
                && !word.remembered
                && word.content.as_ref().map(|content| content.hash) != event.hash()
        })
    }

    /// Takes a beat (8). Its age is measured from `now_ms`, which only goes forward, and is that of the
    /// wall clock as it was when it began to.
    ///
    /// # Errors
    /// [`Ignored`]: it is below what is held, of the same revision with another root, one that was heard
    /// before, or of an epoch that is not open.
    pub fn on_beat(&mut self, beat: &Beat, now_ms: u64) -> Result<(), Ignored> {
        if let Err(why) = self.check_epoch(beat.revision) {
            // Nothing else is believed of the beat.
            if why == Ignored::Unopened {
                self.hear_epoch(beat.revision.epoch);
            }
            return Err(why);
        }
        let held = self.beat.map(|held| (held.revision, held.root));
        let root = self
            .root
            .as_ref()
            .map(|root| root.revision)
            .zip(self.root_hash);
        let mut known = held.into_iter().chain(root);
        if known.any(|(revision, _)| beat.revision < revision) {
            return Err(Ignored::Older);
        }
        let differs = |(revision, root)| beat.revision == revision && beat.root != root;
        if held.into_iter().chain(root).any(differs) {
            return Err(Ignored::Conflicting);
        }
        // Somebody who withholds what is new could repeat it for ever, and nobody would be stale.
        if !self.last_beats.take(beat) {
            return Err(Ignored::Older);
        }
        self.unanswered.clear();
        let expires_at_ms = now_ms.saturating_add(beat.expires_after_ms);
        let expires_at_ms = expires_at_ms.min(beat.ends_ms());
        self.beat = Some(BeatHeld {
            revision: beat.revision,
            root: beat.root,
            expires_at_ms,
        });
        Ok(())
    }

    /// Whether no beat is in force: the cluster may be behind without knowing. Enforcement goes on.
    pub fn is_stale(&self, now_ms: u64) -> bool {
        self.beat.is_none_or(|beat| now_ms > beat.expires_at_ms)
    }

    /// Where the log is, by the newest beat that was taken, in force or not.
    pub fn told(&self) -> Option<Revision> {
        self.beat.map(|beat| beat.revision)
    }

    fn raise_seen(&mut self, feed: &Feed, revision: Revision) {
        if let Some(seen) = self.seen.get_mut(feed) {
            let before = *seen;
            *seen = revision.max(before);
            if before.epoch < revision.epoch {
                self.suspect(feed, before);
            }
            self.raise_epoch(revision.epoch);
        }
    }

    /// Rule 2: revisions order all that is said about one name, in whichever scope. Of one edit, what
    /// puts the name somewhere counts before the tombstone in a scope that it left.
    fn learn(&mut self, key: &Key, word: Word) {
        let rank = |word: &Word| (word.revision, word.content.is_some());
        if self
            .words
            .get(key)
            .is_none_or(|known| rank(known) < rank(&word) || !stands(Guard::NewestWord))
        {
            if key.0 == Kind::Cluster && key.1 == Name::from(&self.identity.name) {
                self.own_before = word.content.clone().or(self.own_before.take());
            }
            let is_refused = word.is_refused();
            let before = self.words.insert(key.clone(), word);
            if !is_refused {
                self.accepted.remove(key);
            } else if let Some(before) = before.filter(|before| !before.is_refused()) {
                self.accepted.insert(key.clone(), before);
            }
        }
    }
}

#[cfg(test)]
mod tests;
