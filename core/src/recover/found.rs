//! What the clusters hold of a lost log, as far as publishers signed it.

use std::collections::{BTreeMap, BTreeSet};

use super::Key;
use crate::{
    epoch::{Opening, Recovered},
    event::Event,
    hash::Hash,
    index::{self, Entries},
    name::{Region, Stage},
    revision::Revision,
    root::Root,
    scope::Feed,
};

/// A signed message that states what a feed held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// A root, which states the digests of all feeds.
    Root(Root),
    /// An event, which states the digest of its feed after its edit.
    Event(Event),
}

impl Proof {
    fn states(&self, feed: &Feed, revision: Revision) -> Option<Hash> {
        match self {
            Proof::Root(root) => {
                let stated = root.feeds.get(feed).filter(|s| s.revision == revision);
                stated.map(|stated| stated.digest)
            }
            Proof::Event(event) => {
                let is_of = event.feed == *feed && event.revision == revision;
                is_of.then_some(event.digest)
            }
        }
    }
}

/// The entries that a cluster says a feed had are not those that a publisher signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what {holder} says that feed {feed} held at revision {revision} is proven by nothing")]
pub struct Unproven {
    /// Who said so.
    pub holder: String,
    /// Of which feed.
    pub feed: Feed,
    /// At which revision.
    pub revision: Revision,
}

/// One state of a feed.
#[derive(Debug, Clone)]
pub(super) struct FeedFound {
    pub(super) revision: Revision,
    pub(super) entries: Entries,
    pub(super) holders: BTreeSet<String>,
}

/// An event, and who has it.
#[derive(Debug, Clone)]
pub(super) struct EventFound {
    pub(super) event: Event,
    pub(super) holders: BTreeSet<String>,
}

/// Everything that was found, each in its highest state.
#[derive(Debug, Clone, Default)]
pub struct Found {
    pub(super) events: BTreeMap<Key, EventFound>,
    pub(super) feeds: BTreeMap<Feed, FeedFound>,
    /// Feeds that somebody listens to, whether anything is known of them or not.
    pub(super) listened: BTreeSet<Feed>,
    /// What the openings that were seen say that their epochs were recovered from.
    pub(super) openings: BTreeMap<u64, Recovered>,
    /// The highest revision that anything found is of.
    pub highest: Revision,
    /// Everybody who showed something.
    pub holders: BTreeSet<String>,
}

impl Found {
    /// Takes a verified event. It has to be of an epoch that was opened.
    pub fn event(&mut self, holder: &str, event: Event) {
        self.highest = self.highest.max(event.revision);
        self.holders.insert(holder.to_owned());
        let key = (event.feed.kind.into(), event.name.clone());
        let rank = |event: &Event| (event.revision, event.body.is_some());
        match self.events.get_mut(&key) {
            Some(known) if rank(&known.event) > rank(&event) => {}
            Some(known) if rank(&known.event) == rank(&event) => {
                known.holders.insert(holder.to_owned());
            }
            _ => {
                let holders = BTreeSet::from([holder.to_owned()]);
                self.events.insert(key, EventFound { event, holders });
            }
        }
    }

    /// Takes what a feed held, with the signed message that proves it.
    ///
    /// # Errors
    /// [`Unproven`]: nothing is taken.
    pub fn feed(
        &mut self,
        holder: &str,
        feed: &Feed,
        revision: Revision,
        entries: Entries,
        proof: &Proof,
    ) -> Result<(), Unproven> {
        if proof.states(feed, revision) != Some(index::digest(feed, &entries)) {
            return Err(Unproven {
                holder: holder.to_owned(),
                feed: feed.clone(),
                revision,
            });
        }
        self.highest = self.highest.max(revision);
        self.holders.insert(holder.to_owned());
        match self.feeds.get_mut(feed) {
            Some(known) if known.revision > revision => {}
            Some(known) if known.revision == revision => {
                known.holders.insert(holder.to_owned());
            }
            _ => {
                let holders = BTreeSet::from([holder.to_owned()]);
                let found = FeedFound {
                    revision,
                    entries,
                    holders,
                };
                self.feeds.insert(feed.clone(), found);
            }
        }
        Ok(())
    }

    /// Takes an opening that the offline key signed, of the log or of what was offered: the next one goes
    /// on from it.
    pub fn opening(&mut self, opening: &Opening) {
        if let Some(recovered) = &opening.recovered {
            let epoch = opening.revision.epoch;
            self.openings.insert(epoch, recovered.clone());
        }
    }

    /// Somebody was heard who listens there: its feeds have to exist, if only to be empty.
    pub fn listener(&mut self, region: &Region, stage: &Stage) {
        self.listened.extend(Feed::listened_by(region, stage));
    }

    /// The highest proven state of a feed.
    pub fn feed_revision(&self, feed: &Feed) -> Option<Revision> {
        self.feeds.get(feed).map(|found| found.revision)
    }

    /// The names that a feed lists by an edit above what the log has, and of which no event is at hand:
    /// another cluster may have it.
    pub fn missing(&self, feed: &Feed, above: Revision) -> Vec<Key> {
        let Some(found) = self.feeds.get(feed) else {
            return Vec::new();
        };
        let is_missing = |(name, revision): &(Key, Revision)| {
            *revision > above
                && self
                    .events
                    .get(name)
                    .is_none_or(|known| known.event.revision < *revision)
        };
        found
            .entries
            .iter()
            .map(|(name, entry)| ((feed.kind.into(), name.clone()), entry.revision))
            .filter(is_missing)
            .map(|(key, _)| key)
            .collect()
    }
}
