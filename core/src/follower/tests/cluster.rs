//! What a cluster does about what its follower decides, with an API that fails before, midway and
//! after, and what it may truthfully say of it.

use std::collections::btree_map::Entry;

use super::{
    super::{Action, Key, Standing},
    edits::POLICIES,
    world::World,
};
use crate::{ack::State, name::Name, scope::Kind};

impl World {
    /// Starts what was decided, one action per name at a time, and ends some of it.
    pub(super) fn settle(&mut self, at: usize) {
        let subscriber = &mut self.subscribers[at];
        if subscriber.seen != *subscriber.follower.seen() {
            subscriber.seen.clone_from(subscriber.follower.seen());
            subscriber.before = subscriber.follower.before();
            subscriber.follower.on_kept(&subscriber.seen);
        }
        let own = (Kind::Cluster, Name::from(&subscriber.identity.name));
        for action in subscriber.follower.decide() {
            if matches!(&action, Action::Apply { key, .. } if key.0 == Kind::Policy) {
                let own = subscriber.follower.word(&own);
                assert!(
                    own.is_some_and(|own| own.content.is_some()),
                    "before its own entry"
                );
            }
            if let Entry::Vacant(entry) = subscriber.works.entry(action.key().clone()) {
                entry.insert(action);
            }
        }
        let keys: Vec<Key> = subscriber.works.keys().cloned().collect();
        for key in keys {
            if !self.faults || self.chance.percent(self.pace) {
                let action = self.subscribers[at].works.remove(&key);
                action
                    .into_iter()
                    .for_each(|action| self.carry_out(at, action));
            }
        }
        self.check_standings(at);
    }

    /// As the cluster's API lets it: it fails before the record, before the first object, or midway.
    fn carry_out(&mut self, at: usize, action: Action) {
        let fails = |world: &mut World, percent| {
            let fails = world.faults && world.chance.percent(percent);
            world.counts.failed += usize::from(fails);
            fails
        };
        if fails(self, 3) {
            return;
        }
        let (key, mut past, signed) = match action {
            Action::Forget { key } => {
                self.subscribers[at].records.remove(&key);
                self.subscribers[at].follower.on_forgotten(&key);
                self.counts.forgotten += 1;
                return;
            }
            Action::Apply {
                key, past, signed, ..
            } => (key, past, Some(signed)),
            Action::Remove { key, past } => (key, past, None),
        };
        self.subscribers[at]
            .records
            .insert(key.clone(), (past.clone(), signed.clone()));
        let pending = Standing {
            state: State::Received,
            ..Standing::applied()
        };
        if fails(self, 10) {
            self.subscribers[at]
                .follower
                .on_brought(&key, past, pending);
            return;
        }
        self.auditor
            .acted(at, &key, past.hash)
            .unwrap_or_else(|what| panic!("{what}"));
        if self.faults && self.chance.percent(1) {
            self.restart(at);
            return;
        }
        if fails(self, 15) {
            self.subscribers[at]
                .follower
                .on_brought(&key, past, pending);
            return;
        }
        past.done = true;
        self.counts.applied += usize::from(!past.removed);
        self.counts.removed += usize::from(past.removed);
        self.subscribers[at]
            .records
            .insert(key.clone(), (past.clone(), signed));
        self.subscribers[at]
            .follower
            .on_brought(&key, past, Standing::applied());
    }

    /// "Applied" is said only of what is there.
    fn check_standings(&self, at: usize) {
        let subscriber = &self.subscribers[at];
        for name in POLICIES {
            let key = (Kind::Policy, Name::parse(name).expect("a name"));
            let Some(word) = subscriber.follower.word(&key) else {
                continue;
            };
            let standing = subscriber.follower.standing(&key);
            if standing.is_some_and(|standing| standing.state == State::Applied) {
                let said = word.content.as_ref().map(|content| content.hash);
                assert_eq!(
                    said,
                    self.auditor.actual(at, &key),
                    "{name} is said to be applied"
                );
            }
        }
    }
}
