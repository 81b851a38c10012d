//! What to read next, and what answers mean.
//!
//! A feed is read in up to three steps: its index; the base, where the tail does not continue what is
//! held; the bodies that differ. Only then its new state is held. Any answer may come from a replica
//! that lags, so an answer that is too old is no answer, and is asked for again.

use std::sync::Arc;

use super::{Follower, word::Word};
use crate::{
    event::Event,
    guard::{Guard, stands},
    hash::Hash,
    index::{Base, Entries, Index},
    name::Name,
    revision::Revision,
    root::Root,
    scope::{Feed, Kind},
};

/// Something to read from the log: one Direct Get.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Read {
    /// `writ.root`
    Root,
    /// `writ.index.…`
    Index(Feed),
    /// `writ.base.…`
    Base(Feed),
    /// `writ.event.…`
    Body(Feed, Name),
}

/// A feed that is being read.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) index: Index,
    /// What base and tail stand for, oldest first, once the base is there.
    pub(super) states: Option<Vec<(Revision, Entries)>>,
}

impl Follower {
    /// What to read now. Asking again is harmless: the answer is the same until something goes in.
    pub fn wanted(&self) -> Vec<Read> {
        let mut reads = Vec::new();
        let (mut urgent, mut later) = (Vec::new(), Vec::new());
        for (feed, held) in &self.held {
            if self.open.contains_key(feed) {
                self.want_rest(feed, &mut reads);
                continue;
            }
            let stated = self.root.as_ref().and_then(|root| root.feeds.get(feed));
            let wanted = stated.map_or(Revision::ZERO, |stated| stated.revision);
            let (held, digest) = held
                .newest()
                .map_or((Revision::ZERO, None), |s| (s.revision, Some(s.digest)));
            let differs = held == wanted && digest.is_some() && digest != stated.map(|s| s.digest);
            if held < wanted || differs {
                urgent.push(Read::Index(feed.clone()));
            } else if held == Revision::ZERO || held < self.seen[feed] {
                later.push(Read::Index(feed.clone()));
            }
        }
        // First what the root at hand needs for a cut; only then what is newer than it.
        if urgent.is_empty() && reads.is_empty() {
            reads.append(&mut later);
            reads.append(&mut self.want_unlisted());
            if self.root_is_behind() {
                reads.push(Read::Root);
            }
        }
        // What the root at hand needs may be there no more, in another epoch.
        if self.epoch_heard.is_some() && !reads.contains(&Read::Root) {
            reads.push(Read::Root);
        }
        reads.append(&mut urgent);
        reads
    }

    fn want_rest(&self, feed: &Feed, reads: &mut Vec<Read>) {
        let Some(open) = self.open.get(feed) else {
            return;
        };
        match open.states.as_deref().and_then(<[_]>::last) {
            None => reads.push(Read::Base(feed.clone())),
            Some((_, entries)) => reads.extend(
                entries
                    .iter()
                    .filter(|(name, entry)| !self.has(feed.kind, name, entry.revision, entry.hash))
                    .map(|(name, _)| Read::Body(feed.clone(), name.clone())),
            ),
        }
    }

    /// Whether the body of an index entry is at hand, or a newer word on the name (3).
    fn has(&self, kind: Kind, name: &Name, revision: Revision, hash: Hash) -> bool {
        self.words.get(&(kind, name.clone())).is_some_and(|word| {
            word.revision > revision
                // Of another epoch it is the same content in another edit, perhaps in other scopes.
                || word.revision.epoch == revision.epoch
                    && word
                        .content
                        .as_ref()
                        .is_some_and(|content| content.hash == hash)
        })
    }

    /// Rule 8, and 6: the root is read when a beat is ahead of it, and at once when a label selector
    /// waits for a cut.
    fn root_is_behind(&self) -> bool {
        let Some(root) = &self.root else { return true };
        let held = |revision| {
            self.cut
                .as_ref()
                .is_some_and(|cut| cut.revision >= revision)
        };
        self.gap
            || self
                .beat
                .is_some_and(|beat| beat.revision > root.revision && stands(Guard::BeatAhead))
            || self.words.values().any(|word| {
                (word.needs_labels() || self.waits_for_cut(word)) && !held(word.revision)
            })
            || self.own_entry().is_some_and(|own| !held(own.revision))
    }

    /// A tombstone in one scope of a name that is still in another of ours.
    fn waits_for_cut(&self, word: &Word) -> bool {
        word.content.is_none() && word.scopes.iter().any(|scope| self.listens_to(scope))
    }

    /// Takes the root, or that there is none, which says nothing (7).
    pub fn on_root(&mut self, root: Option<(Root, Hash)>) {
        let Some((root, hash)) = root else { return };
        self.gap = false;
        self.answer_epoch(&root);
        if self.admits(&root)
            && self
                .root
                .as_ref()
                .is_none_or(|held| held.revision <= root.revision)
        {
            self.root = Some(Arc::new(root));
            self.root_hash = Some(hash);
        }
    }

    /// Takes a feed's index. Nothing there is never "empty" (7); one below the highest seen is no
    /// answer (2).
    pub fn on_index(&mut self, index: Option<Index>) {
        let Some(index) = index else { return };
        if !self.is_open(index.revision) {
            return;
        }
        let Some(held) = self.held.get(&index.feed) else {
            return;
        };
        if index.revision < self.seen[&index.feed] && stands(Guard::IndexBelowSeen) {
            return;
        }
        // The base is not needed where the tail goes on from a state that is held: a cluster that
        // missed one edit reads one small message.
        // Not from a state that the root contradicts, though.
        let stated = self
            .root
            .as_ref()
            .and_then(|root| root.feeds.get(&index.feed));
        let fits = |newest: &&super::held::State| {
            stated.is_none_or(|s| s.revision != newest.revision || s.digest == newest.digest)
        };
        let states = held
            .newest()
            .filter(fits)
            .and_then(|newest| continue_from(&index, newest));
        let feed = index.feed.clone();
        self.raise_seen(&feed, index.revision);
        self.open.insert(feed.clone(), Open { index, states });
        self.close(&feed);
    }

    /// Takes a feed's base. One that the index does not name is no answer (3): the index is read again.
    pub fn on_base(&mut self, feed: &Feed, base: Option<Base>) {
        let Some(open) = self.open.get_mut(feed) else {
            return;
        };
        let Some(base) = base else { return };
        if open.index.continues(&base) || !stands(Guard::LateBase) {
            open.states = Some(open.index.states(&base));
            self.close(feed);
        } else {
            self.open.remove(feed);
        }
    }

    /// Takes a stored event. One older than its index entry is no answer (3); a newer one raises what
    /// was seen, so that the index is read again. Where no entry is open any longer the answer came
    /// late, and counts only if it is newer than all that was seen.
    pub fn on_body(&mut self, event: Option<&Event>, signed: &Arc<[u8]>, now_ms: u64) {
        let Some(event) = event.filter(|event| self.held.contains_key(&event.feed)) else {
            return;
        };
        let key = (event.feed.kind, event.name.clone());
        if !self.is_open(event.revision) {
            self.on_nothing(&Read::Body(event.feed.clone(), event.name.clone()));
            return;
        }
        let entry = self
            .open
            .get(&event.feed)
            .and_then(|open| open.states.as_deref()?.last()?.1.get(&event.name));
        let is_old = match entry {
            Some(entry) => event.revision < entry.revision,
            None => event.revision <= self.seen[&event.feed] && !self.is_unaccounted(&key),
        };
        if is_old && stands(Guard::LateBody) {
            return;
        }
        self.raise_seen(&event.feed, event.revision);
        let word = Word::read(event, signed, now_ms);
        self.learn(&key, word);
        self.on_nothing(&Read::Body(event.feed.clone(), event.name.clone()));
        self.close_around(event);
    }

    /// A read failed or was no answer: what is open of its feed starts again from the index.
    pub fn on_read_failed(&mut self, read: &Read) {
        if let Read::Base(feed) | Read::Body(feed, _) = read {
            self.open.remove(feed);
        }
    }

    /// Closes what an event may have been the last missing part of: its own feed, and every other one
    /// that lists its name.
    pub(super) fn close_around(&mut self, event: &Event) {
        let lists = |open: &Open| {
            let newest = open.states.as_deref().and_then(<[_]>::last);
            newest.is_some_and(|(_, entries)| entries.contains_key(&event.name))
        };
        let around = |(feed, open): &(&Feed, &Open)| {
            **feed == event.feed || (feed.kind == event.feed.kind && lists(open))
        };
        let feeds: Vec<Feed> = self
            .open
            .iter()
            .filter(around)
            .map(|(feed, _)| feed.clone())
            .collect();
        for feed in &feeds {
            self.close(feed);
        }
    }

    /// Holds the states of a feed once all their bodies are there, unless something newer was seen
    /// meanwhile; then the index is read again.
    pub(super) fn close(&mut self, feed: &Feed) {
        let mut missing = Vec::new();
        let Some(open) = self.open.get(feed) else {
            return;
        };
        if open.index.revision < self.seen[feed] && stands(Guard::OpenBelowSeen) {
            self.open.remove(feed);
            return;
        }
        if open.states.is_none() {
            return;
        }
        self.want_rest(feed, &mut missing);
        if missing.is_empty()
            && let Some(open) = self.open.remove(feed)
            && let (Some(states), Some(held)) = (open.states, self.held.get_mut(feed))
        {
            held.take(feed, states);
            self.settle_before(feed);
        }
    }
}

/// The states of an index from one that is held, if its tail goes on from there.
fn continue_from(index: &Index, held: &super::held::State) -> Option<Vec<(Revision, Entries)>> {
    if held.revision == index.revision {
        return Some(vec![(held.revision, Entries::clone(&held.entries))]);
    }
    let starts = held.revision == index.base_revision
        || index
            .tail
            .iter()
            .any(|change| change.revision == held.revision);
    if !starts {
        return None;
    }
    let base = Base {
        feed: index.feed.clone(),
        revision: held.revision,
        entries: Entries::clone(&held.entries),
    };
    let tail = index
        .tail
        .iter()
        .filter(|change| change.revision > held.revision);
    let rest = Index {
        tail: tail.cloned().collect(),
        ..index.clone()
    };
    Some(rest.states(&base))
}
