//! Whether one cluster speaks with one voice: the chain of its acks, and the runs that speak for it.
//!
//! Every ack names its counter and the hash of the ack before it, and every message the run ("boot") of
//! the subscriber that made it. One subscriber runs at a time in a cluster, so of one run there is one
//! ack of a counter, each continues the one before, and a run that another one took over from is silent
//! for ever. Where that does not hold, two hold the cluster's keys: a copy of the cluster, or a thief.
//!
//! What raises no alarm: acks that were lost or evicted; an ack that is told again; a restart; a cluster
//! that was put back from a backup and goes on from an older ack, or begins anew, because that is another
//! run, and the old one does not speak again. What does, though nobody cheats: a machine that is put back
//! *with its running memory*, which goes on as the same run.
//!
//! Holds: once forked, always forked, until the cluster's keys are others.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use crate::hash::Hash;

/// Acks of the run that speaks that are remembered: as many as the log keeps.
const LINKS_MAX: usize = 64;
/// Runs that were taken over from and are remembered.
const RUNS_MAX: usize = 64;

/// What an ack says of its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Counts acks over all runs.
    pub counter: u64,
    /// Hash of the ack before it.
    pub previous: Hash,
    /// Hash of its own payload.
    pub hash: Hash,
    /// The run that made it.
    pub boot_id: String,
    /// When, by the cluster's clock.
    pub sent_ms: u64,
}

/// Two speak for one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fork {
    /// Two acks of one counter, by one run.
    Counter(u64),
    /// An ack does not continue the one before it, of the same run.
    Ancestor(u64),
    /// A run speaks again after another one took over.
    TwoRuns {
        /// The one that had ended.
        old: String,
        /// The one that had begun.
        new: String,
    },
}

impl fmt::Display for Fork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fork::Counter(counter) => {
                write!(f, "two different acks have the number {counter}")
            }
            Fork::Ancestor(counter) => write!(
                f,
                "ack {counter} does not continue the one before it that was heard here"
            ),
            Fork::TwoRuns { old, new } => write!(
                f,
                "run {old} of the subscriber speaks again after run {new} took over"
            ),
        }
    }
}

/// The chain of one cluster, as far as it was heard.
#[derive(Debug, Clone, Default)]
pub(super) struct Chain {
    /// The run that speaks.
    boot_id: Option<String>,
    /// When it last spoke, by its own clock.
    sent_ms: u64,
    /// Its last acks, by counter.
    links: BTreeMap<u64, Seen>,
    /// Runs that another one took over from.
    over: BTreeSet<String>,
    fork: Option<Fork>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    hash: Hash,
    previous: Hash,
}

impl Chain {
    /// Why the cluster's word is not one voice, if so.
    pub(super) fn fork(&self) -> Option<&Fork> {
        self.fork.as_ref()
    }

    /// Takes an ack, whose signature was verified. Answers a fork that it shows and that was not known.
    pub(super) fn link(&mut self, link: &Link) -> Option<Fork> {
        if self.speak(&link.boot_id, link.sent_ms).is_some() {
            return self.fork.clone();
        }
        if self.fork.is_some() || self.boot_id.as_ref() != Some(&link.boot_id) {
            // A run of the past that is told again.
            return None;
        }
        let seen = Seen {
            hash: link.hash,
            previous: link.previous,
        };
        if self
            .links
            .get(&link.counter)
            .is_some_and(|known| known.hash != link.hash)
        {
            return self.raise(Fork::Counter(link.counter));
        }
        let before = link
            .counter
            .checked_sub(1)
            .and_then(|at| self.links.get(&at));
        if before.is_some_and(|before| before.hash != link.previous) {
            return self.raise(Fork::Ancestor(link.counter));
        }
        let after = link
            .counter
            .checked_add(1)
            .and_then(|at| self.links.get(&at));
        if after.is_some_and(|after| after.previous != link.hash) {
            return self.raise(Fork::Ancestor(link.counter + 1));
        }
        self.links.insert(link.counter, seen);
        if self.links.len() > LINKS_MAX {
            self.links.pop_first();
        }
        None
    }

    /// A run says something, an ack or a pulse, and when. What is older than the last word of the run that
    /// speaks now is told again, by whoever kept it, and shows nothing.
    pub(super) fn speak(&mut self, boot_id: &str, sent_ms: u64) -> Option<Fork> {
        if self.boot_id.as_deref() == Some(boot_id) {
            self.sent_ms = sent_ms.max(self.sent_ms);
            return None;
        }
        if self.boot_id.is_some() && sent_ms <= self.sent_ms {
            return None;
        }
        if self.over.contains(boot_id) {
            return self.raise(Fork::TwoRuns {
                old: boot_id.to_owned(),
                new: self.boot_id.clone().unwrap_or_default(),
            });
        }
        if let Some(old) = self.boot_id.replace(boot_id.to_owned()) {
            self.over.insert(old);
            if self.over.len() > RUNS_MAX {
                self.over.pop_first();
            }
        }
        // Its acks go on from wherever the cluster's own memory was.
        self.links.clear();
        self.sent_ms = sent_ms;
        None
    }

    fn raise(&mut self, fork: Fork) -> Option<Fork> {
        if self.fork.is_some() {
            return None;
        }
        self.fork = Some(fork);
        self.fork.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> Hash {
        Hash::of(text.as_bytes())
    }

    /// An ack of a run; its content is its name, that of the one before is named too.
    fn link(boot_id: &str, counter: u64, previous: &str, own: &str) -> Link {
        Link {
            counter,
            previous: hash(previous),
            hash: hash(own),
            boot_id: boot_id.to_owned(),
            sent_ms: counter * 10,
        }
    }

    fn at(link: Link, sent_ms: u64) -> Link {
        Link { sent_ms, ..link }
    }

    fn chain(links: &[Link]) -> Chain {
        let mut chain = Chain::default();
        for link in links {
            assert_eq!(chain.link(link), None, "{link:?}");
        }
        chain
    }

    #[test]
    fn restarts_repetitions_and_lost_acks_are_one_voice() {
        let (one, two) = (link("a", 1, "", "1"), link("a", 2, "1", "2"));
        let mut chain = chain(&[
            one.clone(),
            two.clone(),
            two.clone(),
            link("a", 7, "6", "7"),
            link("b", 8, "7", "8"),
            link("b", 9, "8", "9"),
        ]);
        // What was stored or is sent again by whoever kept it.
        for old in [one, two, link("a", 7, "6", "7")] {
            assert_eq!(chain.link(&old), None);
        }
        assert_eq!(chain.speak("a", 70), None, "an old pulse");
        assert_eq!(chain.speak("b", 95), None);
        assert_eq!(chain.fork(), None);
    }

    #[test]
    fn a_cluster_from_a_backup_goes_on_from_an_older_ack_without_an_alarm() {
        let mut chain = chain(&[
            link("a", 1, "", "1"),
            link("a", 2, "1", "2"),
            link("a", 3, "2", "3"),
            // The backup knew ack 1.
            at(link("b", 2, "1", "2 again"), 50),
            at(link("b", 3, "2 again", "3 again"), 60),
            // And one that kept nothing.
            at(link("c", 1, "", "anew"), 70),
        ]);
        assert_eq!(chain.fork(), None);
        assert_eq!(chain.link(&at(link("c", 2, "anew", "more"), 80)), None);
    }

    #[test]
    fn two_acks_of_one_counter_and_one_run_are_a_fork() {
        let mut chain = chain(&[link("a", 1, "", "1"), link("a", 2, "1", "2")]);
        let fork = chain.link(&at(link("a", 2, "1", "other"), 25));
        assert_eq!(fork, Some(Fork::Counter(2)));
        assert_eq!(chain.link(&link("a", 3, "2", "3")), None, "told once");
        assert!(chain.fork().is_some());
    }

    #[test]
    fn an_ack_that_goes_on_from_another_ancestor_is_a_fork() {
        let mut after = chain(&[link("a", 1, "", "1"), link("a", 2, "1", "2")]);
        let fork = after.link(&link("a", 3, "other", "3"));
        assert_eq!(fork, Some(Fork::Ancestor(3)));
        // Also where the one in between is only told later.
        let mut late = chain(&[link("a", 1, "", "1"), link("a", 3, "2", "3")]);
        let fork = late.link(&at(link("a", 2, "1", "other"), 35));
        assert_eq!(fork, Some(Fork::Ancestor(3)));
    }

    #[test]
    fn a_run_that_speaks_again_after_it_was_taken_over_from_is_a_fork() {
        let mut by_ack = chain(&[link("a", 1, "", "1"), at(link("b", 2, "1", "2"), 20)]);
        let fork = by_ack.link(&at(link("a", 2, "1", "other"), 21));
        assert!(matches!(fork, Some(Fork::TwoRuns { .. })), "{fork:?}");
        let mut by_pulse = chain(&[link("a", 1, "", "1"), at(link("b", 2, "1", "2"), 20)]);
        let fork = by_pulse.speak("a", 21).unwrap().to_string();
        assert!(fork.contains("run a") && fork.contains("run b"), "{fork}");
    }
}
