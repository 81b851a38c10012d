//! What is left of the log, message by message.

use std::collections::{BTreeMap, BTreeSet};

use super::Key;
use crate::{
    edit::{Intent, Message},
    epoch,
    event::Event,
    index::{self, Base, Entries, Index},
    revision::Revision,
    root::Root,
    scope::Feed,
    subject::BusSubject,
};

/// The log up to its newest root of an open epoch. What an interrupted recovery left behind it stands
/// in an epoch that nobody opened, and is passed over.
#[derive(Debug, Clone, Default)]
pub struct Copy {
    /// The newest root; nothing: the log is empty.
    pub root: Option<Root>,
    pub(super) intents: BTreeMap<Key, Intent>,
    /// The newest event of each name in each feed, tombstones included.
    pub(super) events: BTreeMap<Key, BTreeMap<Feed, Event>>,
    /// The feeds that are as the root states them.
    pub(super) feeds: BTreeMap<Feed, (Revision, Entries)>,
    /// The feeds that are not: their index or base is missing, or another one.
    pub damaged: Vec<Feed>,
    /// The highest epoch that any message is of, opened or not.
    pub epoch_heard: u64,
}

impl Copy {
    /// Reads the log's messages, each verified, in any order. `opened`: the epochs for which an opening
    /// by the offline key was seen; the first needs none.
    pub fn read(messages: impl IntoIterator<Item = Message>, opened: &BTreeSet<u64>) -> Copy {
        let is_open = |epoch: u64| epoch <= epoch::FIRST || opened.contains(&epoch);
        let mut newest: BTreeMap<BusSubject, Message> = BTreeMap::new();
        let mut copy = Copy::default();
        for message in messages {
            let at = message.revision();
            copy.epoch_heard = copy.epoch_heard.max(at.epoch);
            if !is_open(at.epoch) {
                continue;
            }
            let subject = message.subject();
            if newest
                .get(&subject)
                .is_none_or(|known| known.revision() <= at)
            {
                newest.insert(subject, message);
            }
        }
        let Some(Message::Root(root)) = newest.remove(&BusSubject::Root) else {
            return copy;
        };
        let (mut indexes, mut bases) = (BTreeMap::new(), BTreeMap::new());
        for message in newest.into_values() {
            match message {
                Message::Intent(intent) => {
                    copy.intents
                        .insert((intent.kind, intent.name.clone()), intent);
                }
                Message::Event(event) => {
                    let key = (event.feed.kind.into(), event.name.clone());
                    let feeds = copy.events.entry(key).or_default();
                    feeds.insert(event.feed.clone(), event);
                }
                Message::Index(index) => drop(indexes.insert(index.feed.clone(), index)),
                Message::Base(base) => drop(bases.insert(base.feed.clone(), base)),
                Message::Root(_) => {}
            }
        }
        for (feed, stated) in &root.feeds {
            let entries = entries(indexes.get(feed), bases.get(feed));
            match entries.filter(|entries| index::digest(feed, entries) == stated.digest) {
                Some(entries) => drop(copy.feeds.insert(feed.clone(), (stated.revision, entries))),
                None => copy.damaged.push(feed.clone()),
            }
        }
        copy.root = Some(root);
        copy
    }

    /// The root's revision; [`Revision::ZERO`] for an empty log.
    pub fn revision(&self) -> Revision {
        self.root
            .as_ref()
            .map_or(Revision::ZERO, |root| root.revision)
    }

    /// The names that the log tells of.
    pub fn names(&self) -> impl Iterator<Item = &Key> {
        self.intents.keys()
    }
}

fn entries(index: Option<&Index>, base: Option<&Base>) -> Option<Entries> {
    let (index, base) = (index?, base?);
    index.continues(base).then(|| index.newest(base))
}
