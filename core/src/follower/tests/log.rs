//! The log as its readers find it: what a real publisher builds, in positions, read from any of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    super::{Follower, Read},
    lost::Backup,
};
use crate::{
    edit::{Edit, Message, State},
    epoch::Opening,
    event::Event,
    hash::Hash,
    index::{self, Base, Index},
    revision::Revision,
    scope::Feed,
    subject::BusSubject,
};

/// A message and what stands for its signed bytes: its position, so that it can be found again.
pub(super) struct Stored {
    pub(super) message: Message,
    pub(super) signed: Arc<[u8]>,
}

/// The index and base of every feed, split as this log splits them.
pub(super) type Tails = BTreeMap<Feed, (Index, Base)>;

pub(super) struct Log {
    pub(super) state: State,
    /// Every message ever stored, also of a log that was lost.
    stored: Vec<Stored>,
    pub(super) subjects: BTreeMap<BusSubject, Vec<usize>>,
    /// As a replica of the log that was lost would still answer.
    pub(super) lost: Option<BTreeMap<BusSubject, Vec<usize>>>,
    pub(super) tails: Tails,
    pub(super) backups: Vec<Backup>,
    /// What the offline key has signed.
    pub(super) openings: BTreeMap<u64, Opening>,
    tail_max: usize,
}

impl Log {
    /// A log whose bases are rewritten after `tail_max` changes: what 128 do in a year, few do in a
    /// short history. The digests know nothing of that split.
    pub(super) fn with_tails(tail_max: usize) -> Log {
        Log {
            state: State::default(),
            stored: Vec::new(),
            subjects: BTreeMap::new(),
            lost: None,
            tails: BTreeMap::new(),
            backups: Vec::new(),
            openings: BTreeMap::new(),
            tail_max,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.stored.len()
    }

    /// Commits some edits as one batch; answers the positions of its events.
    pub(super) fn commit(&mut self, edits: &[Edit]) -> Vec<usize> {
        let mut messages = Vec::new();
        for edit in edits {
            let batch = self.state.build(edit);
            self.state = batch.next;
            for message in batch.messages {
                self.split(message, &mut messages);
            }
        }
        // One message per subject where only the last says anything: the root ends the batch.
        let mut taken = BTreeSet::new();
        let one_only = |m: &Message| !matches!(m, Message::Event(_) | Message::Intent(_));
        messages.reverse();
        messages.retain(|message| !one_only(message) || taken.insert(message.subject()));
        messages.reverse();
        let events = messages
            .into_iter()
            .filter_map(|message| self.store(message))
            .collect();
        self.back_up();
        events
    }

    pub(super) fn messages(&self) -> impl Iterator<Item = &Message> {
        self.stored.iter().map(|stored| &stored.message)
    }

    /// What stands for the signed opening of an epoch.
    pub(super) fn opening_bytes(epoch: u64) -> Arc<[u8]> {
        Arc::from(epoch.to_be_bytes())
    }

    pub(super) fn store(&mut self, message: Message) -> Option<usize> {
        let at = self.stored.len();
        let is_event = matches!(message, Message::Event(_));
        self.subjects.entry(message.subject()).or_default().push(at);
        self.stored.push(Stored {
            message,
            signed: Arc::from(at.to_be_bytes()),
        });
        is_event.then_some(at)
    }

    /// Splits index and base as this log does.
    fn split(&mut self, message: Message, messages: &mut Vec<Message>) {
        match message {
            Message::Base(base) if !self.tails.contains_key(&base.feed) => {
                let (index, _) = Index::empty(&base.feed, base.revision);
                self.tails.insert(base.feed.clone(), (index, base.clone()));
                messages.push(Message::Base(base));
            }
            Message::Base(_) => {}
            Message::Index(built) => {
                let (index, base) = self.tails.get_mut(&built.feed).expect("a base came first");
                let held = index.revision;
                index.tail.extend(
                    built
                        .tail
                        .into_iter()
                        .filter(|change| change.revision > held),
                );
                index.revision = built.revision;
                if index.tail.len() > self.tail_max {
                    let kept = index.tail.split_off(index.tail.len() - self.tail_max / 2);
                    for change in std::mem::replace(&mut index.tail, kept) {
                        index::change(&mut base.entries, &change);
                        base.revision = change.revision;
                    }
                    index.base_revision = base.revision;
                    index.base_digest = index::digest(&base.feed, &base.entries);
                    messages.push(Message::Base(base.clone()));
                }
                messages.push(Message::Index(index.clone()));
            }
            other => messages.push(other),
        }
    }

    pub(super) fn at(&self, position: usize) -> &Stored {
        &self.stored[position]
    }

    /// The event that stands at a position.
    pub(super) fn event(&self, position: usize) -> (&Event, &Arc<[u8]>) {
        let stored = self.at(position);
        let Message::Event(event) = &stored.message else {
            panic!("no event at {position}")
        };
        (event, &stored.signed)
    }

    /// The position that signed bytes stand for.
    pub(super) fn position(signed: &[u8]) -> usize {
        usize::from_be_bytes(signed.try_into().expect("a position"))
    }

    /// Where a replica that holds `length` messages finds the answer.
    pub(super) fn find(&self, read: &Read, length: usize) -> Option<usize> {
        Self::find_in(&self.subjects, read, length)
    }

    /// Where a replica of the log that was lost finds the answer.
    pub(super) fn find_lost(&self, read: &Read) -> Option<usize> {
        Self::find_in(self.lost.as_ref()?, read, self.len())
    }

    fn find_in(
        subjects: &BTreeMap<BusSubject, Vec<usize>>,
        read: &Read,
        length: usize,
    ) -> Option<usize> {
        let subject = match read {
            Read::Root => BusSubject::Root,
            Read::Index(feed) => BusSubject::Index(feed.clone()),
            Read::Base(feed) => BusSubject::Base(feed.clone()),
            Read::Body(feed, name) => BusSubject::event(feed, name),
        };
        subjects
            .get(&subject)?
            .iter()
            .rev()
            .find(|at| **at < length)
            .copied()
    }

    /// Gives a follower the answer to a read: the message at a position, or that there is none.
    pub(super) fn answer(
        &self,
        follower: &mut Follower,
        read: &Read,
        found: Option<usize>,
        now_ms: u64,
    ) {
        let found = found.map(|at| self.at(at));
        let message = found.map(|stored| &stored.message);
        match (read, message) {
            (Read::Root, Some(Message::Root(root))) => {
                if let Some(opening) = self.opening(root) {
                    follower.on_opening(opening);
                }
                follower.on_root(Some((root.clone(), root_hash(root.revision))));
            }
            (Read::Index(_), Some(Message::Index(index))) => follower.on_index(Some(index.clone())),
            (Read::Base(feed), Some(Message::Base(base))) => {
                follower.on_base(feed, Some(base.clone()));
            }
            (Read::Body(..), Some(Message::Event(event))) => {
                follower.on_body(Some(event), &found.expect("a message").signed, now_ms);
            }
            (_, Some(other)) => panic!("{read:?} was answered by {other:?}"),
            (Read::Root, None) => follower.on_root(None),
            (Read::Index(_), None) => follower.on_index(None),
            (Read::Base(feed), None) => follower.on_base(feed, None),
            (Read::Body(..), None) => follower.on_nothing(read),
        }
    }
}

/// What stands for the hash of the root's payload.
pub(super) fn root_hash(revision: Revision) -> Hash {
    Hash::of(revision.to_string().as_bytes())
}
