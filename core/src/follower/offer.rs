//! What a cluster keeps of the log for its next start, and offers to a log that was lost.

use std::{collections::BTreeMap, sync::Arc};

use super::{Follower, read::Open};
use crate::{
    guard::{Guard, stands},
    hash::Hash,
    index::{self, Entries, Index},
    revision::Revision,
    root::Root,
    scope::Feed,
};

/// One state of a feed that is held. Whether it is true, a signed root or event with that digest says.
#[derive(Debug, Clone)]
pub struct HeldFeed {
    /// Which feed.
    pub feed: Feed,
    /// Its last edit.
    pub revision: Revision,
    /// Digest of the entries.
    pub digest: Hash,
    /// What was in force then.
    pub entries: Arc<Entries>,
}

impl Follower {
    /// The newest state held of each feed; where none is held yet, the one that bodies are missing of.
    pub fn held_feeds(&self) -> Vec<HeldFeed> {
        let newest = |(feed, held): (&Feed, &super::held::Held)| match held.newest() {
            Some(state) => Some(HeldFeed {
                feed: feed.clone(),
                revision: state.revision,
                digest: state.digest,
                entries: state.entries.clone(),
            }),
            None => self.open_feed(feed),
        };
        self.held.iter().filter_map(newest).collect()
    }

    /// The root last read, and the feeds as it states them, as far as they are held.
    pub fn held_at_root(&self) -> Option<(&Root, Vec<HeldFeed>)> {
        let root = self.root.as_deref()?;
        let stated = |(feed, held): (&Feed, &super::held::Held)| {
            let stated = root.feeds.get(feed)?;
            let Some(state) = held.at(stated.revision) else {
                return self.open_feed(feed).filter(|open| {
                    (open.revision, open.digest) == (stated.revision, stated.digest)
                });
            };
            (state.digest == stated.digest).then(|| HeldFeed {
                feed: feed.clone(),
                revision: state.revision,
                digest: state.digest,
                entries: state.entries.clone(),
            })
        };
        Some((root, self.held.iter().filter_map(stated).collect()))
    }

    fn open_feed(&self, feed: &Feed) -> Option<HeldFeed> {
        let (revision, entries) = self.open.get(feed)?.states.as_deref()?.last()?;
        Some(HeldFeed {
            feed: feed.clone(),
            revision: *revision,
            digest: index::digest(feed, entries),
            entries: Arc::new(entries.clone()),
        })
    }

    /// The signed events of all that is known to be in force, also where it is not for this cluster,
    /// with their revisions and feeds.
    pub fn held_events(&self) -> impl Iterator<Item = (Revision, &Feed, &Arc<[u8]>)> {
        self.words.values().filter_map(|word| {
            let content = word.content.as_ref()?;
            Some((word.revision, &word.feed, &content.signed))
        })
    }

    /// Takes back the root and the feeds that an earlier run held (4). The root was verified again, its
    /// epoch was opened ([`Follower::on_opening`]); the entries are believed where their digest is the
    /// one that the root states. So a cluster that missed nothing reads the root and finds it equal.
    /// To be called after what was seen and all names were restored.
    pub fn restore_root(&mut self, root: Root, hash: Hash, feeds: BTreeMap<Feed, Entries>) {
        if !self.admits(&root) || self.root.is_some() || !stands(Guard::KeptCut) {
            return;
        }
        for (feed, entries) in feeds {
            let own = self.held.contains_key(&feed);
            let stated = root.feeds.get(&feed).filter(|_| own);
            let Some(stated) = stated.filter(|s| s.digest == index::digest(&feed, &entries)) else {
                continue;
            };
            self.raise_seen(&feed, stated.revision);
            let states = vec![(stated.revision, entries)];
            // Behind what was seen it would let replayed events continue it (2) whose names were removed
            // and forgotten since.
            if stated.revision < self.seen[&feed] {
                continue;
            }
            let index = Index {
                feed: feed.clone(),
                revision: stated.revision,
                base_revision: stated.revision,
                base_digest: stated.digest,
                tail: Vec::new(),
            };
            let states = Some(states);
            self.open.insert(feed.clone(), Open { index, states });
            self.close(&feed);
        }
        self.root = Some(Arc::new(root));
        self.root_hash = Some(hash);
        self.gap = true;
    }
}
