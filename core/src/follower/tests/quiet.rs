//! A quiet time after the faults: what has to be true of every cluster then.

use std::collections::BTreeSet;

use super::{
    super::{Key, Past},
    auditor::Verdict,
    world::World,
};
use crate::scope::Kind;

/// A read takes three answers (index, base, bodies); more passes than that find nothing new.
const QUIET_PASSES_MAX: usize = 12;

impl World {
    /// One beat, and the reads that follow from it.
    fn heal(&mut self, at: usize) {
        self.beat(at);
        for _ in 0..QUIET_PASSES_MAX {
            self.settle(at);
            for read in self.subscribers[at].follower.wanted().into_iter().rev() {
                let found = self.log.find(&read, self.log.len());
                self.subscribers[at].answers.push((read, found));
                self.answer(at, 0);
            }
        }
    }

    /// Answers whether anything is kept of which a recovered log says nothing.
    fn check(&mut self, at: usize) -> bool {
        let registered = self.auditor.is_registered(at);
        let subscriber = &mut self.subscribers[at];
        assert_eq!(subscriber.follower.wanted(), []);
        assert!(
            subscriber.follower.decide().is_empty(),
            "{:?}",
            subscriber.follower.decide()
        );
        let exceptions = subscriber.follower.summary().exceptions;
        let kept = exceptions
            .into_iter()
            .filter(|exception| exception.reason == "NotRecovered")
            .map(|exception| (exception.kind, exception.name))
            .collect::<BTreeSet<Key>>();
        assert!(kept.is_empty() || self.counts.restored > 0);
        assert_eq!(self.auditor.difference(at, &kept), None);
        if !registered {
            return !kept.is_empty();
        }
        let summary = subscriber.follower.summary();
        let last = self.auditor.last(at);
        let policies = last.iter().filter(|((kind, _), _)| *kind == Kind::Policy);
        let in_force = policies
            .clone()
            .filter(|(key, v)| matches!(v, Verdict::InForce(_)) && !kept.contains(*key))
            .count();
        let refused = policies
            .filter(|(key, verdict)| **verdict == Verdict::Unknown && !kept.contains(*key))
            .count();
        assert_eq!(summary.revision, self.log.state.revision());
        assert_eq!(
            summary.counts.refused, refused as u32,
            "{:?}",
            summary.exceptions
        );
        assert_eq!(summary.counts.applied, in_force as u32);
        let mut exceptions = summary.exceptions.clone();
        exceptions.retain(|exception| exception.reason != "NotRecovered");
        assert_eq!(exceptions.len(), refused, "{exceptions:?}");
        // What was begun before a refusal stays as far as it came.
        let finished = |(key, (past, _)): (&Key, &(Past, _))| {
            past.done
                || kept.contains(key)
                || matches!(last.get(key), Some(Verdict::Unknown | Verdict::Lost))
        };
        assert!(subscriber.records.iter().all(finished));
        self.counts.refused += refused;
        !kept.is_empty()
    }

    /// Some random steps, then a quiet time, after which every cluster is as the log says; then a
    /// restart and a replay of everything, which change nothing.
    pub(super) fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
        }
        self.faults = false;
        self.recover();
        for at in 0..self.subscribers.len() {
            while !self.subscribers[at].answers.is_empty() {
                self.answer_any(at);
                self.settle(at);
            }
            while !self.subscribers[at].live.is_empty() {
                self.deliver(at);
                self.settle(at);
            }
            self.heal(at);
            let keeps = self.check(at);
            let before = (self.counts.applied, self.counts.removed);
            let finished = self.subscribers[at]
                .records
                .values()
                .all(|(past, _)| past.done);
            self.restart(at);
            for position in self.sent.clone() {
                self.hear(at, position);
                self.settle(at);
            }
            self.heal(at);
            self.check(at);
            let after = (self.counts.applied, self.counts.removed);
            // A start takes the content of the own entry back where the recovered log has a word only.
            assert!(
                !finished || keeps || before == after,
                "acted without a cause"
            );
        }
    }
}
