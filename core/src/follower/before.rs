//! Rule 9: what this cluster held before an epoch, where the epoch was recovered from older lists.
//!
//! A removal that was carried out is forgotten at a cut; from then on nothing but the feed's list tells of it.
//! So where that list is younger than the one that the opening names, a name that it lacks is not taken from
//! what the recovered log says again, until it is edited anew ("bygone"). Nothing is removed by this.
//! While the new list is not held yet, the old one is remembered; then the names that it lacks, which are few.

use std::collections::{BTreeMap, BTreeSet};

use super::{Follower, Key, Word};
use crate::{
    epoch::Opening,
    guard::{Guard, stands},
    name::Name,
    revision::{Generation, Revision},
    scope::{Feed, Kind},
};

/// Most bygone names of a feed that a cluster keeps, 20 KB at most beside its last ack. Of more it keeps
/// only which list was younger.
pub const BYGONES_KEPT_MAX: usize = 256;

/// What is kept of a list that was younger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    /// Its revision.
    pub revision: Revision,
    /// The names that it lacked and the epoch has, in the generations in which they are not taken; nothing:
    /// they are not known yet.
    pub bygone: Option<BTreeMap<Name, Generation>>,
}

/// What a list that was younger had.
#[derive(Debug, Clone)]
enum Names {
    /// These names.
    Had(BTreeSet<Name>),
    /// It is not at hand: of its names only those are known that are here.
    Recorded,
    /// All of the epoch's but these.
    Lacked(BTreeMap<Name, Generation>),
}

/// A list that was younger than what the epoch was recovered from.
#[derive(Debug, Clone)]
pub(super) struct Younger {
    revision: Revision,
    names: Names,
}

impl Follower {
    /// The lists of earlier epochs that are to be kept, so that a restart takes nothing back either.
    pub fn before(&self) -> BTreeMap<Feed, Before> {
        let before = |(feed, younger): (&Feed, &Younger)| {
            let bygone = match &younger.names {
                Names::Lacked(names) if names.len() <= BYGONES_KEPT_MAX => Some(names.clone()),
                _ => None,
            };
            let revision = younger.revision;
            (feed.clone(), Before { revision, bygone })
        };
        self.younger.iter().map(before).collect()
    }

    /// Takes back what the cluster kept of them (4); with what was seen, before all else.
    pub fn restore_before(&mut self, feed: &Feed, before: Before) {
        let names = before.bygone.map_or(Names::Recorded, Names::Lacked);
        let revision = before.revision;
        if self.held.contains_key(feed) {
            self.younger
                .insert(feed.clone(), Younger { revision, names });
        }
    }

    /// Looks which lists are younger than those that an epoch was recovered from.
    pub(super) fn look_back(&mut self, opening: &Opening) {
        let Some(recovered) = &opening.recovered else {
            let is_known = |younger: &Younger| !matches!(younger.names, Names::Recorded);
            self.younger.retain(|_, younger| is_known(younger));
            return;
        };
        let feeds: Vec<Feed> = self.held.keys().cloned().collect();
        for feed in feeds {
            let list = self.list_before(&feed, opening.revision.epoch);
            let known = self.younger.remove(&feed);
            let is_outrun = |list: &Younger| recovered.is_outrun(&feed, list.revision);
            let list = list.filter(is_outrun).or_else(|| known.filter(is_outrun));
            if let Some(list) = list {
                self.younger.insert(feed, list);
            }
        }
    }

    /// The newest that is known of a feed in an epoch before.
    fn list_before(&self, feed: &Feed, epoch: u64) -> Option<Younger> {
        let is_before = |at: Revision| at != Revision::ZERO && at.epoch < epoch;
        let held = self.held[feed].newest();
        if let Some(state) = held.filter(|state| is_before(state.revision)) {
            let takes = |name: &&Name| {
                let key = (feed.kind, (*name).clone());
                let generation = state.entries[*name].generation;
                let younger = self.younger.get(feed);
                younger.is_none_or(|younger| !self.lacks(younger, &key, generation))
            };
            let names = state.entries.keys().filter(takes).cloned().collect();
            return Some(Younger {
                revision: state.revision,
                names: Names::Had(names),
            });
        }
        let (seen, kept) = (self.seen.get(feed), self.kept.get(feed));
        let known = seen.into_iter().chain(kept).copied();
        known
            .filter(|at| is_before(*at))
            .max()
            .map(|revision| Younger {
                revision,
                names: Names::Recorded,
            })
    }

    fn lacks(&self, younger: &Younger, key: &Key, generation: Generation) -> bool {
        match &younger.names {
            Names::Had(names) => !names.contains(&key.1),
            Names::Recorded => self.past.get(key).is_none_or(|past| past.removed),
            Names::Lacked(names) => names.get(&key.1).is_some_and(|of| generation <= *of),
        }
    }

    /// Whether the recovered log says a name again that a younger list of this cluster had no more.
    pub(super) fn is_bygone(&self, key: &Key, word: &Word) -> bool {
        let feed = |scope: &crate::scope::Scope| Feed {
            kind: key.0,
            scope: scope.clone(),
        };
        word.content.is_some()
            && word.revision.epoch == self.epoch
            && self.is_recovered(word.revision)
            && !self.is_listed_no_more(key, word)
            && word.scopes.iter().map(feed).any(|feed| {
                let younger = self.younger.get(&feed);
                younger.is_some_and(|younger| self.lacks(younger, key, word.generation))
            })
            && stands(Guard::Bygone)
    }

    /// Something of a later epoch is known of a feed, by a record or an event, and its opening is not at
    /// hand since the start: until it is, what was seen before counts as younger.
    pub(super) fn suspect(&mut self, feed: &Feed, seen: Revision) {
        if self.opening.is_none() && seen != Revision::ZERO {
            let younger = Younger {
                revision: seen,
                names: Names::Recorded,
            };
            self.younger.entry(feed.clone()).or_insert(younger);
        }
    }

    /// The epoch's list of a feed is held: what the younger one lacked of it is known by name now.
    pub(super) fn settle_before(&mut self, feed: &Feed) {
        let (Some(younger), Some(state)) = (self.younger.get(feed), self.held[feed].newest())
        else {
            return;
        };
        if state.revision.epoch != self.epoch || self.opening.is_none() {
            return;
        }
        let listed = state.entries.iter().map(|(name, entry)| {
            let key: (Kind, Name) = (feed.kind, name.clone());
            (key, entry.revision, entry.generation)
        });
        // The list may be without a name again that the cut, which is older, still has.
        let is_of = |(key, word): &(&Key, &Word)| {
            key.0 == feed.kind && word.content.is_some() && word.scopes.contains(&feed.scope)
        };
        let said = self.words.iter().filter(is_of);
        let said = said.map(|(key, word)| (key.clone(), word.revision, word.generation));
        let mut lacked = BTreeMap::new();
        for (key, revision, generation) in listed.chain(said) {
            if self.is_recovered(revision) && self.lacks(younger, &key, generation) {
                lacked.insert(key.1, generation);
            }
        }
        let revision = younger.revision;
        match lacked.is_empty() {
            true => drop(self.younger.remove(feed)),
            false => {
                let names = Names::Lacked(lacked);
                self.younger
                    .insert(feed.clone(), Younger { revision, names });
            }
        }
    }
}
