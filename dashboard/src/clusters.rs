//! The clusters as they are shown: each judged once when its line comes, and summed up once for all who look.
//!
//! Each has a number that it keeps, and the place of its last change, so that a tab is sent what changed since its own.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};

use writ_proto::v1::{self, AckState};

use crate::words::{Life, State};

/// Clusters that a line of attention names.
pub(crate) const NAMED_MAX: usize = 6;

/// A cluster as pages see it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) line: v1::FleetLine,
    pub(crate) state: State,
    pub(crate) life: Life,
}

impl Seen {
    pub(crate) fn of(line: v1::FleetLine) -> Seen {
        Seen {
            state: State::of_cluster(&line),
            life: Life::of(&line),
            line,
        }
    }

    /// Worst first; then by name.
    fn rank(&self) -> (u8, State, &str) {
        (self.life.rank(), self.state, &self.line.cluster)
    }

    pub(crate) fn needs_attention(&self) -> bool {
        self.life.needs_attention() || self.state.needs_attention()
    }
}

/// A name, whether it is there or was.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) name: Arc<str>,
    /// The place of its last change.
    at: u64,
    /// Nothing where it left.
    pub(crate) seen: Option<Arc<Seen>>,
}

/// All of them. Clones share what did not change.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clusters {
    numbers: Arc<HashMap<Arc<str>, usize>>,
    slots: Vec<Slot>,
    newest: u64,
    digest: OnceLock<Arc<Digest>>,
}

impl Clusters {
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Seen>> {
        self.slots.get(*self.numbers.get(name)?)?.seen.as_ref()
    }

    /// The place of the last change of a cluster; 0 where it never was.
    pub(crate) fn place_of(&self, name: &str) -> u64 {
        let number = self.numbers.get(name);
        number.map_or(0, |number| self.slots[*number].at)
    }

    /// Takes a line.
    pub(crate) fn put(&mut self, line: v1::FleetLine) {
        let number = match self.numbers.get(line.cluster.as_str()) {
            Some(number) => *number,
            None => {
                let name: Arc<str> = line.cluster.as_str().into();
                Arc::make_mut(&mut self.numbers).insert(name.clone(), self.slots.len());
                self.slots.push(Slot {
                    name,
                    at: 0,
                    seen: None,
                });
                self.slots.len() - 1
            }
        };
        self.set(number, Some(Arc::new(Seen::of(line))));
    }

    /// Takes a cluster away.
    pub(crate) fn remove(&mut self, name: &str) {
        if let Some(number) = self.numbers.get(name) {
            self.set(*number, None);
        }
    }

    fn set(&mut self, number: usize, seen: Option<Arc<Seen>>) {
        self.newest += 1;
        self.digest = OnceLock::new();
        let slot = &mut self.slots[number];
        slot.at = self.newest;
        slot.seen = seen;
    }

    /// What changed after a place, each with its number.
    pub(crate) fn since(&self, place: u64) -> impl Iterator<Item = (usize, &Slot)> {
        let all = self.slots.iter().enumerate();
        all.filter(move |(_, slot)| slot.at > place)
    }

    /// The place of the newest change.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// The sums, made by the first who asks.
    pub(crate) fn digest(&self) -> Arc<Digest> {
        let made = || {
            Arc::new(Digest::of(
                self.slots.iter().filter_map(|slot| slot.seen.clone()),
            ))
        };
        self.digest.get_or_init(made).clone()
    }
}

/// The clusters of one region and stage in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) count: usize,
    pub(crate) to_look_at: usize,
    /// By the place of the state and of the life in their lists.
    pub(crate) states: [usize; State::ALL.len()],
    pub(crate) lives: [usize; Life::ALL.len()],
    /// States of those that are not silent: what a silent one said last may hold no more.
    pub(crate) heard: [usize; State::ALL.len()],
}

impl Sums {
    pub(crate) fn add(&mut self, one: &Seen) {
        self.count += 1;
        self.to_look_at += usize::from(one.needs_attention());
        self.states[one.state as usize] += 1;
        self.lives[one.life as usize] += 1;
        self.heard[one.state as usize] += usize::from(!one.life.is_hatched());
    }
}

/// Sums by region and stage.
pub(crate) type Boxes = BTreeMap<(String, String), Sums>;

/// Counts the clusters of each region and stage.
pub(crate) fn boxes<'a>(all: impl Iterator<Item = &'a Arc<Seen>>) -> Boxes {
    let mut boxes = Boxes::new();
    for one in all {
        let place = (one.line.region.clone(), one.line.stage.clone());
        boxes.entry(place).or_default().add(one);
    }
    boxes
}

/// How many, and the first of them.
#[derive(Debug, Clone)]
pub(crate) struct Group<T> {
    pub(crate) count: usize,
    pub(crate) first: Vec<T>,
}

impl<T> Default for Group<T> {
    fn default() -> Group<T> {
        Group {
            count: 0,
            first: Vec::new(),
        }
    }
}

impl<T> Group<T> {
    fn add(&mut self, one: impl FnOnce() -> T) {
        self.count += 1;
        if self.first.len() < NAMED_MAX {
            self.first.push(one());
        }
    }
}

/// How bad, and the reason's word.
type Why = (State, String);

/// A cluster, and which of its exceptions.
type Refusal = (Arc<Seen>, usize);

/// What pages say of all clusters.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    /// Worst first.
    pub(crate) order: Vec<Arc<Seen>>,
    pub(crate) sums: Sums,
    pub(crate) boxes: Boxes,
    /// Who is not heard as usual.
    pub(crate) lives: BTreeMap<Life, Group<Arc<Seen>>>,
    /// What is refused, by its reason.
    pub(crate) reasons: Vec<(Why, Group<Refusal>)>,
}

impl Digest {
    fn of(all: impl Iterator<Item = Arc<Seen>>) -> Digest {
        let mut digest = Digest {
            order: all.collect(),
            ..Digest::default()
        };
        digest
            .order
            .sort_unstable_by(|one, other| one.rank().cmp(&other.rank()));
        digest.boxes = boxes(digest.order.iter());
        let mut reasons: BTreeMap<Why, Group<Refusal>> = BTreeMap::new();
        for one in &digest.order {
            digest.sums.add(one);
            if one.life.needs_attention() {
                let of_life = digest.lives.entry(one.life).or_default();
                of_life.add(|| one.clone());
            }
            for (place, line) in one.line.exceptions.iter().enumerate() {
                if line.state() == AckState::Refused {
                    let key = (State::of_line(line), line.reason.clone());
                    reasons.entry(key).or_default().add(|| (one.clone(), place));
                }
            }
        }
        digest.reasons = reasons.into_iter().collect();
        digest
            .reasons
            .sort_by_key(|((state, _), of)| (*state, std::cmp::Reverse(of.count)));
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, applied: u32) -> v1::FleetLine {
        v1::FleetLine {
            cluster: name.into(),
            region: "eu".into(),
            stage: "prod".into(),
            counts: Some(v1::Counts {
                target: 1,
                applied,
                pending: 1 - applied,
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn a_cluster_keeps_its_number_and_only_what_changed_is_told() {
        let mut clusters = Clusters::default();
        for name in ["a", "b", "c"] {
            clusters.put(line(name, 0));
        }
        let place = clusters.newest();
        let before = clusters.clone();
        clusters.put(line("b", 1));
        clusters.remove("c");
        let changed: Vec<(usize, bool)> = clusters
            .since(place)
            .map(|(number, slot)| (number, slot.seen.is_some()))
            .collect();
        assert_eq!(changed, [(1, true), (2, false)]);
        assert_eq!(clusters.digest().sums.count, 2);
        assert_eq!(before.digest().sums.count, 3);
        // Worst first: b has applied what a has not.
        let order = clusters.digest().order.clone();
        let order: Vec<&str> = order.iter().map(|one| one.line.cluster.as_str()).collect();
        assert_eq!(order, ["a", "b"]);
    }
}
