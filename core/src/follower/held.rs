//! The index states of one feed that a follower holds, oldest first.
//!
//! More than the newest is kept so that a root that was read before the last live events can still be
//! met (5).

use std::{collections::VecDeque, sync::Arc};

use crate::{
    event::Event,
    hash::Hash,
    index::{self, Change, Entries, Entry},
    revision::Revision,
    scope::Feed,
};

/// Index states kept of each feed. As long as the tail that stays in an index message.
const STATES_MAX: usize = index::TAIL_LENGTH_KEPT;

/// One state of a feed.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) revision: Revision,
    pub(super) digest: Hash,
    pub(super) entries: Arc<Entries>,
}

/// The states held.
#[derive(Debug, Clone, Default)]
pub(super) struct Held(VecDeque<State>);

impl Held {
    pub(super) fn newest(&self) -> Option<&State> {
        self.0.back()
    }

    pub(super) fn at(&self, revision: Revision) -> Option<&State> {
        self.0.iter().rev().find(|state| state.revision == revision)
    }

    /// Rule 2: where an event continues the newest state and its digest comes out, that is the new
    /// state, without a read. Otherwise the feed stays behind what was seen, and is read.
    pub(super) fn advance(&mut self, event: &Event, entry: Option<Entry>) {
        let Some(newest) = self.newest() else { return };
        let mut entries = Entries::clone(&newest.entries);
        let step = Change {
            name: event.name.clone(),
            revision: event.revision,
            entry,
        };
        index::change(&mut entries, &step);
        if index::digest(&event.feed, &entries) == event.digest {
            self.push(State {
                revision: event.revision,
                digest: event.digest,
                entries: Arc::new(entries),
            });
        }
    }

    /// Holds states that were read, oldest first; what is below the newest held is left out.
    pub(super) fn take(&mut self, feed: &Feed, states: Vec<(Revision, Entries)>) {
        let skip = states.len().saturating_sub(STATES_MAX);
        for (revision, entries) in states.into_iter().skip(skip) {
            if self
                .newest()
                .is_some_and(|newest| revision < newest.revision)
            {
                continue;
            }
            let digest = index::digest(feed, &entries);
            self.push(State {
                revision,
                digest,
                entries: Arc::new(entries),
            });
        }
    }

    fn push(&mut self, state: State) {
        self.0.retain(|held| held.revision != state.revision);
        self.0.push_back(state);
        if self.0.len() > STATES_MAX {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revision::{Generation, Revision};

    fn feed() -> Feed {
        "policy.eu.prod".parse().unwrap()
    }

    fn at(number: u64) -> Revision {
        Revision { epoch: 1, number }
    }

    fn states(numbers: std::ops::RangeInclusive<u64>) -> Vec<(Revision, Entries)> {
        let state = |number| {
            let entry = Entry {
                generation: Generation(number),
                revision: at(number),
                hash: Hash::of(b"a"),
            };
            let name = crate::name::Name::parse("a").unwrap();
            (at(number), Entries::from([(name, entry)]))
        };
        numbers.map(state).collect()
    }

    #[test]
    fn the_last_states_are_held_and_no_more_however_they_come() {
        let last = 3 * STATES_MAX as u64;
        let (mut one_by_one, mut at_once) = (Held::default(), Held::default());
        for state in states(1..=last) {
            one_by_one.take(&feed(), vec![state]);
        }
        at_once.take(&feed(), states(1..=last));
        for held in [one_by_one, at_once] {
            assert_eq!(held.0.len(), STATES_MAX);
            assert_eq!(held.newest().unwrap().revision, at(last));
            let oldest = last - STATES_MAX as u64 + 1;
            for number in oldest..=last {
                assert_eq!(held.at(at(number)).unwrap().revision, at(number));
            }
            assert!(held.at(at(oldest - 1)).is_none());
        }
    }
}
