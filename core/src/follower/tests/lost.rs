//! A log that is put back from a backup under running clusters, and recovered from what they hold.

use std::collections::BTreeSet;

use super::{
    super::Follower,
    log::{Log, Tails},
    world::World,
};
use crate::{
    edit::{Message, State},
    epoch::Opening,
    index::{Base, Index},
    recover::{Copy, Found, Plan, Proof},
    root::Root,
};

/// A log as it was after one batch.
pub(super) struct Backup {
    length: usize,
    state: State,
    tails: Tails,
}

impl Log {
    /// Remembers the log as it is now.
    pub(super) fn back_up(&mut self) {
        self.backups.push(Backup {
            length: self.len(),
            state: self.state.clone(),
            tails: self.tails.clone(),
        });
    }

    /// The log is put back from a backup some batches old; readers may still meet the lost one.
    pub(super) fn restore(&mut self, batches: usize) {
        let at = self.backups.len().saturating_sub(1 + batches);
        self.backups.truncate(at + 1);
        let Some(backup) = self.backups.last() else {
            return;
        };
        self.state = backup.state.clone();
        self.tails = backup.tails.clone();
        let length = backup.length;
        self.lost = Some(self.subjects.clone());
        for positions in self.subjects.values_mut() {
            positions.retain(|at| *at < length);
        }
    }

    /// What is left of it, as `recover` reads it.
    pub(super) fn copy(&self) -> Copy {
        let positions = self.subjects.values().flatten();
        let messages = positions.map(|at| self.at(*at).message.clone());
        let opened: BTreeSet<u64> = self.openings.keys().copied().collect();
        Copy::read(messages, &opened)
    }

    /// What a cluster shows of what it holds, with the signed messages that prove it.
    pub(super) fn offer(&self, holder: &str, follower: &Follower, found: &mut Found) {
        for (_, _, signed) in follower.held_events() {
            found.event(holder, self.event(Log::position(signed)).0.clone());
        }
        for held in follower.held_feeds() {
            let proof = self.messages().find_map(|message| match message {
                Message::Root(root) => {
                    let stated = root.feeds.get(&held.feed)?;
                    ((stated.revision, stated.digest) == (held.revision, held.digest))
                        .then(|| Proof::Root(root.clone()))
                }
                Message::Event(event) => ((&event.feed, event.revision, event.digest)
                    == (&held.feed, held.revision, held.digest))
                    .then(|| Proof::Event(event.clone())),
                _ => None,
            });
            let entries = held.entries.as_ref().clone();
            let proof = proof.expect("what is held was signed");
            found
                .feed(holder, &held.feed, held.revision, entries, &proof)
                .expect("it is proven");
        }
    }

    /// Every opening that the offline key has signed.
    pub(super) fn state_openings(&self, found: &mut Found) {
        self.openings
            .values()
            .for_each(|opening| found.opening(opening));
    }

    /// Says everything again in a new epoch; answers the positions of its events.
    pub(super) fn recover(&mut self, plan: &Plan, epoch: u64) -> Vec<usize> {
        let recovery = plan.build(epoch, 0);
        self.state.admit(&recovery.opening);
        self.openings.insert(epoch, recovery.opening);
        let mut events = Vec::new();
        for message in recovery.messages {
            self.state
                .follow(message.clone())
                .expect("it waits for its root");
            match &message {
                Message::Base(base) => self.restart_tail(base),
                Message::Index(index) => self.restart_index(index),
                _ => {}
            }
            events.extend(self.store(message));
        }
        let root = Root {
            opening: Some(Log::opening_bytes(epoch)),
            ..recovery.root
        };
        self.state
            .follow(Message::Root(root.clone()))
            .expect("it fits");
        self.store(Message::Root(root));
        self.back_up();
        events
    }

    fn restart_tail(&mut self, base: &Base) {
        let (index, _) = Index::empty(&base.feed, base.revision);
        self.tails.insert(base.feed.clone(), (index, base.clone()));
    }

    fn restart_index(&mut self, index: &Index) {
        if let Some((known, _)) = self.tails.get_mut(&index.feed) {
            *known = index.clone();
        }
    }

    /// The opening that bytes in a root stand for.
    pub(super) fn opening(&self, root: &Root) -> Option<&Opening> {
        root.opening
            .as_ref()
            .and_then(|_| self.openings.get(&root.revision.epoch))
    }
}

impl World {
    /// The log is lost, and put back from a backup; no edit is made on it until it is recovered.
    pub(super) fn lose_log(&mut self) {
        if !self.is_frozen {
            let batches = self.chance.below(6);
            self.log.restore(batches);
            self.is_frozen = true;
            self.counts.restored += 1;
        }
    }

    /// Recovers from what is left and from the clusters that can be reached.
    pub(super) fn recover(&mut self) {
        if !self.is_frozen {
            return;
        }
        let mut found = Found::default();
        for at in 0..self.subscribers.len() {
            let identity = &self.subscribers[at].identity;
            // Acks tell of every cluster.
            found.listener(&identity.region, &identity.stage);
            if self.chance.percent(70) {
                let subscriber = &self.subscribers[at];
                self.log
                    .offer("a cluster", &subscriber.follower, &mut found);
            }
        }
        self.log.state_openings(&mut found);
        let plan = Plan::make(&self.log.copy(), &found);
        self.epoch += 1;
        for at in self.log.recover(&plan, self.epoch) {
            self.send(at);
        }
        self.counts.lost_names += plan.unknown_count();
        self.auditor.recovered(&plan);
        self.is_frozen = false;
        self.beats.push(self.log.state.revision());
    }
}
