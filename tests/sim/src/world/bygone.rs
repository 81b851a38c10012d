//! What only one cluster knows: a policy for it alone is removed there and forgotten, then the log is put back
//! from a backup that has the policy, and recovered without that cluster.
//!
//! Such a history is as rare by chance as it is in a fleet. Here a part of the restored ones are led there, step by
//! step, while everything else goes wrong as ever; one that does not get there in time is restored like others.

use std::collections::BTreeSet;

use writ_core::{
    edit::{Change, Kind},
    scope::Scope,
};

use super::{PUBLISHERS, STEPS, World};
use crate::{
    auditor::Verdict,
    documents::{self, CLUSTERS, Made, POLICIES},
};

/// Of a thousand histories with a restored log, so many are led.
const LED_PERMILLE: usize = 500;
/// The step at which a history is led, and how many it is given.
const BEGIN: u64 = STEPS / 6;
const STEPS_MAX: u64 = STEPS / 2;
/// Steps after which an edit that did not come through is asked for again: who was to make it was killed.
const AGAIN_STEPS: u64 = 30;

/// What a history is led to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bygone {
    pub(super) cluster: usize,
    policy: &'static str,
    part: Part,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    /// Nothing yet.
    Open,
    /// An edit puts the policy into the scope of that cluster alone, asked for at that step.
    Put { id: u64, at: u64 },
    /// It was in force there and the backup with so many batches was taken; now it is deleted, asked for at that
    /// step.
    Deleted { batches: usize, at: u64 },
    /// It is removed and forgotten there, and the log does not know.
    Forgotten,
}

impl World {
    /// Begins to lead this history, if it is one of those.
    pub(super) fn draw_bygone(&mut self) {
        let mut shared = self.shared.lock();
        if self.restores && shared.chance.permille(LED_PERMILLE) {
            self.bygone = Some(Bygone {
                cluster: shared.chance.below(CLUSTERS.len()),
                policy: shared.chance.pick(&POLICIES),
                part: Part::Open,
            });
        }
    }

    /// Whether an edit would end what a history is led to: nobody else edits that policy until its cluster holds
    /// the recovered log.
    pub(super) fn is_in_the_way(&self, made: &Made) -> bool {
        let is_of = |bygone: Bygone| made.edit.name.as_str() == bygone.policy;
        self.steps >= BEGIN && self.bygone.is_some_and(is_of)
    }

    /// Whether the log is not to be restored by chance.
    pub(super) fn is_led(&self) -> bool {
        let is_open = |bygone: Bygone| !matches!(bygone.part, Part::Forgotten);
        self.bygone.is_some_and(is_open) && self.steps < BEGIN + STEPS_MAX
    }

    /// Goes on with what this history is led to.
    pub(super) fn lead(&mut self) {
        let Some(bygone) = self.bygone.filter(|_| self.steps >= BEGIN) else {
            return;
        };
        let part = match bygone.part {
            Part::Open => Some(self.put_alone(bygone)),
            Part::Put { id, at } => self.delete_where_in_force(bygone, id, at),
            Part::Deleted { batches, at } => self.restore_where_forgotten(bygone, batches, at),
            Part::Forgotten => {
                let run = self.clusters[bygone.cluster].run.as_ref();
                let cut = run.and_then(|run| run.follower().cut());
                let newest = self.opened.last();
                if cut.is_some_and(|cut| newest.is_some_and(|newest| cut.revision.epoch >= *newest))
                {
                    self.bygone = None;
                }
                return;
            }
        };
        if let Some(part) = part {
            self.bygone = Some(Bygone { part, ..bygone });
        }
    }

    fn put_alone(&mut self, bygone: Bygone) -> Part {
        let (name, (region, stage)) = CLUSTERS[bygone.cluster];
        let scope: Scope = format!("{region}.{stage}").parse().expect("a scope");
        self.ids += 1;
        let selector = serde_json::json!({"names": [name]});
        let mut made = documents::policy(bygone.policy, &selector, 0, self.ids);
        if let Change::Put { scopes, .. } = &mut made.edit.change {
            *scopes = BTreeSet::from([scope]);
        }
        for publisher in &mut self.publishers {
            publisher
                .waiting
                .retain(|made| made.edit.name.as_str() != bygone.policy);
        }
        let id = self.ask(made);
        Part::Put { id, at: self.steps }
    }

    fn delete_where_in_force(&mut self, bygone: Bygone, id: u64, at: u64) -> Option<Part> {
        let is_there = self.clusters[bygone.cluster]
            .left_of(bygone.policy)
            .is_some();
        let last = self
            .shared
            .lock()
            .auditor
            .last(bygone.cluster, bygone.policy);
        let is_last = matches!(last, Some(Verdict::InForce(last)) if last == id);
        if !is_there || !is_last {
            let is_lost = !is_last && self.steps > at + AGAIN_STEPS;
            return is_lost.then(|| self.put_alone(bygone));
        }
        Some(self.delete(bygone, self.log.batches.len()))
    }

    fn delete(&mut self, bygone: Bygone, batches: usize) -> Part {
        self.ids += 1;
        self.ask(documents::delete(Kind::Policy, bygone.policy, self.ids));
        Part::Deleted {
            batches,
            at: self.steps,
        }
    }

    fn restore_where_forgotten(&mut self, bygone: Bygone, batches: usize, at: u64) -> Option<Part> {
        let is_in_force = self
            .shared
            .lock()
            .auditor
            .last(bygone.cluster, bygone.policy)
            .is_some();
        if is_in_force || self.clusters[bygone.cluster].knows(bygone.policy) {
            let is_lost = is_in_force && self.steps > at + AGAIN_STEPS;
            return is_lost.then(|| self.delete(bygone, batches));
        }
        self.restores = false;
        self.restore(batches);
        Some(Part::Forgotten)
    }

    /// Has any publisher make an edit.
    fn ask(&mut self, made: Made) -> u64 {
        let at = self.shared.lock().chance.below(PUBLISHERS);
        let id = made.id;
        self.publishers[at].waiting.push_back(made);
        id
    }
}
