//! What this cluster can show of the log, each as a publisher signed it: for a publisher whose log is
//! behind, and for a log that was lost. No I/O.
//!
//! Nothing here is believed on this cluster's word. That is why it is worth showing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use writ_core::{
    ack,
    follower::{Follower, HeldFeed},
    recover::Recall,
    revision::Revision,
    root::Root,
    scope::Feed,
    subject::Sender,
};
use writ_proto::offer::{Offer, OfferedFeed};

/// Recalls that are remembered; a recovery asks a cluster a few times.
const ANSWERED_MAX: usize = 64;

/// Signed messages that show where the log was.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// The newest beat, event or root that is small enough to be shown in a pulse.
    witness: (Revision, Arc<[u8]>),
    /// The root that was read last.
    root: Option<(Root, Arc<[u8]>)>,
    /// The newest event of each feed: it states the feed's digest.
    events: BTreeMap<Feed, (Revision, Arc<[u8]>)>,
    /// The last recalls that were answered, by the time that they were signed: the same again is a replay.
    answered_ms: BTreeSet<u64>,
}

/// What a recall asks of this cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing: the log has all that is here.
    Nothing,
    /// A pulse, soon.
    Pulse,
    /// Everything that is held.
    Offer,
}

impl Evidence {
    /// A beat or an event was believed. Answers whether there is something newer to show.
    pub(crate) fn saw(&mut self, revision: Revision, signed: &Arc<[u8]>) -> bool {
        let is_newer = revision > self.witness.0 && signed.len() <= ack::WITNESS_BYTES_MAX;
        if is_newer {
            self.witness = (revision, signed.clone());
        }
        is_newer
    }

    /// A live event was taken.
    pub(crate) fn saw_event(&mut self, feed: &Feed, revision: Revision, signed: &Arc<[u8]>) {
        let known = self.events.get(feed).map(|(revision, _)| *revision);
        if known.is_none_or(|known| known < revision) {
            self.events.insert(feed.clone(), (revision, signed.clone()));
        }
    }

    /// A root was read and taken.
    pub(crate) fn saw_root(&mut self, root: &Root, signed: &Arc<[u8]>) {
        self.root = Some((root.clone(), signed.clone()));
        self.saw(root.revision, signed);
    }

    pub(crate) fn witness(&self) -> &[u8] {
        &self.witness.1
    }

    /// The root as it was signed, if it is the one that the follower holds.
    pub(crate) fn root_of(&self, follower: &Follower) -> Option<&Arc<[u8]>> {
        let (root, signed) = self.root.as_ref()?;
        let (held, _) = follower.held_at_root()?;
        (held.revision == root.revision).then_some(signed)
    }

    /// What a verified recall asks for.
    pub(crate) fn on_recall(
        &mut self,
        recall: &Recall,
        follower: &Follower,
        sender: &Sender,
    ) -> Answer {
        let held = follower.held_feeds();
        let highest = held.iter().map(|held| held.revision).max();
        let shown = self.witness.0.max(highest.unwrap_or(Revision::ZERO));
        let is_replay = self.answered_ms.contains(&recall.issued_ms)
            || self.answered_ms.len() >= ANSWERED_MAX
                && self.answered_ms.first() > Some(&recall.issued_ms);
        if is_replay || shown <= recall.above {
            return Answer::Nothing;
        }
        if recall.clusters.is_empty() {
            return Answer::Pulse;
        }
        if !recall.clusters.contains(&sender.cluster) {
            return Answer::Nothing;
        }
        self.answered_ms.insert(recall.issued_ms);
        if self.answered_ms.len() > ANSWERED_MAX {
            self.answered_ms.pop_first();
        }
        Answer::Offer
    }

    /// All that is held above what the log has, in parts that the bus carries.
    pub(crate) fn offer(
        &self,
        recall: &Recall,
        follower: &Follower,
        sender: &Sender,
    ) -> Vec<Offer> {
        let is_asked = |feed: &Feed| recall.feeds.is_empty() || recall.feeds.contains(feed);
        let signed_root = self.root_of(follower);
        let stated = follower
            .held_at_root()
            .map(|(_, feeds)| feeds)
            .unwrap_or_default();
        let mut feeds = Vec::new();
        for held in follower.held_feeds() {
            let proven = self.prove(held, &stated, signed_root.is_some());
            feeds.extend(
                proven.filter(|offered| is_asked(&offered.feed) && offered.revision > recall.above),
            );
        }
        let events = follower
            .held_events()
            .filter(|(revision, feed, _)| *revision > recall.above && is_asked(feed))
            .map(|(_, _, signed)| signed.to_vec());
        let root = signed_root
            .map(|signed| signed.to_vec())
            .unwrap_or_default();
        Offer::parts(sender, recall.issued_ms, root, feeds, events)
    }

    /// A feed with the signed message that states its digest, or as the root has it where there is none.
    fn prove(&self, held: HeldFeed, stated: &[HeldFeed], has_root: bool) -> Option<OfferedFeed> {
        let offered = |held: &HeldFeed, proof: &[u8]| OfferedFeed {
            feed: held.feed.clone(),
            revision: held.revision,
            entries: held.entries.as_ref().clone(),
            proof: proof.to_vec(),
            goes_on: false,
        };
        let by_root = stated.iter().find(|of_root| of_root.feed == held.feed);
        let by_root = by_root.filter(|_| has_root);
        match (by_root, self.events.get(&held.feed)) {
            (Some(of_root), _) if of_root.revision == held.revision => Some(offered(of_root, &[])),
            (_, Some((revision, signed))) if *revision == held.revision => {
                Some(offered(&held, signed))
            }
            (Some(of_root), _) => Some(offered(of_root, &[])),
            (None, _) => None,
        }
    }
}
