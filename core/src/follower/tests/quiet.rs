//! A quiet time after the faults: what has to be true of every cluster then.

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

    fn check(&mut self, at: usize) {
        let registered = self.auditor.is_registered(at);
        let subscriber = &mut self.subscribers[at];
        assert_eq!(subscriber.follower.wanted(), []);
        assert!(
            subscriber.follower.decide().is_empty(),
            "{:?}",
            subscriber.follower.decide()
        );
        assert_eq!(self.auditor.difference(at), None);
        if !registered {
            return;
        }
        let summary = subscriber.follower.summary();
        let last = self.auditor.last(at);
        let policies = last.iter().filter(|((kind, _), _)| *kind == Kind::Policy);
        let in_force = policies
            .clone()
            .filter(|(_, v)| matches!(v, Verdict::InForce(_)))
            .count();
        let refused = policies
            .filter(|(_, verdict)| **verdict == Verdict::Unknown)
            .count();
        assert_eq!(summary.revision, self.log.state.revision());
        assert_eq!(
            summary.counts.refused, refused as u32,
            "{:?}",
            summary.exceptions
        );
        assert_eq!(summary.counts.applied, in_force as u32);
        assert_eq!(
            summary.exceptions.len(),
            refused,
            "{:?}",
            summary.exceptions
        );
        // What was begun before a refusal stays as far as it came.
        let finished = |(key, (past, _)): (&Key, &(Past, _))| {
            past.done || last.get(key) == Some(&Verdict::Unknown)
        };
        assert!(subscriber.records.iter().all(finished));
        self.counts.refused += refused;
    }

    /// Some random steps, then a quiet time, after which every cluster is as the log says; then a
    /// restart and a replay of everything, which change nothing.
    pub(super) fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
        }
        self.faults = false;
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
            self.check(at);
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
            assert!(!finished || before == after, "acted without a cause");
        }
    }
}
