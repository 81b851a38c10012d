//! What a cluster keeps of the log for its next start, and offers to a log that was lost.

use std::{collections::BTreeMap, sync::Arc};

use super::{Follower, read::Open};
use crate::{
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
    /// The newest state held of each feed.
    pub fn held_feeds(&self) -> Vec<HeldFeed> {
        let newest = |(feed, held): (&Feed, &super::held::Held)| {
            let state = held.newest()?;
            Some(HeldFeed {
                feed: feed.clone(),
                revision: state.revision,
                digest: state.digest,
                entries: state.entries.clone(),
            })
        };
        self.held.iter().filter_map(newest).collect()
    }

    /// The root last read, and the feeds as it states them, as far as they are held.
    pub fn held_at_root(&self) -> Option<(&Root, Vec<HeldFeed>)> {
        let root = self.root.as_deref()?;
        let stated = |(feed, held): (&Feed, &super::held::Held)| {
            let stated = root.feeds.get(feed)?;
            let state = held.at(stated.revision)?;
            (state.digest == stated.digest).then(|| HeldFeed {
                feed: feed.clone(),
                revision: state.revision,
                digest: state.digest,
                entries: state.entries.clone(),
            })
        };
        Some((root, self.held.iter().filter_map(stated).collect()))
    }

    /// The signed events of all that is known to be in force, also where it is not for this cluster.
    pub fn held_events(&self) -> impl Iterator<Item = &Arc<[u8]>> {
        let contents = self.words.values().filter_map(|word| word.content.as_ref());
        contents.map(|content| &content.signed)
    }

    /// Takes back the root and the feeds that an earlier run held (4). The root was verified again, its
    /// epoch was opened ([`Follower::on_opening`]); the entries are believed where their digest is the
    /// one that the root states. So a cluster that missed nothing reads the root and finds it equal.
    /// To be called after what was seen and all names were restored.
    pub fn restore_root(&mut self, root: Root, hash: Hash, feeds: BTreeMap<Feed, Entries>) {
        if !self.admits(&root) || self.root.is_some() {
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
