//! Histories that are led: what is as rare by chance as it is in a fleet comes in a part of them, step by step,
//! while everything else goes wrong as ever. One that does not get there in time goes on like any other.
//!
//! In both a policy is put into the scope of one cluster alone, and deleted once it is in force there; the cluster
//! removes and forgets it. Then
//! - the log is put back from a backup that has the policy, and recovered without that cluster; or
//! - the subscriber is killed and the policy made anew, its live message is lost, and one replica of three lags since
//!   before the deletion: who starts may read an index of now and a body of then.

use std::collections::BTreeSet;

use writ_core::{
    edit::{Change, Kind},
    scope::Scope,
    subject::BusSubject,
};

use super::{PUBLISHERS, STEPS, World};
use crate::{
    auditor::Verdict,
    documents::{self, CLUSTERS, Made, POLICIES},
    shared::Fault,
};

/// Of a thousand histories with a restored log so many are led, and so many of the others.
const LED_PERMILLE: [usize; 2] = [500, 250];
/// The step at which a history is led, and how many it is given.
const BEGIN: u64 = STEPS / 6;
const STEPS_MAX: u64 = STEPS / 2;
/// Steps after which an edit that did not come through is asked for again: who was to make it was killed.
const AGAIN_STEPS: u64 = 30;
/// For how long the replica lags.
const LAG_MS: u64 = 4_000;

/// What a history is led to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Led {
    aim: Aim,
    pub(super) cluster: usize,
    policy: &'static str,
    part: Part,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aim {
    Restored,
    MadeAnew,
}

/// Where it is. Edits are asked for at a step.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// Nothing yet.
    Open,
    /// An edit puts the policy into the scope of that cluster alone.
    Put { id: u64, at: u64 },
    /// It was in force there with a log of so many batches and messages, and is deleted.
    Deleted { then: (usize, u64), at: u64 },
    /// The log does not know that it is removed and forgotten there.
    Restored,
    /// It is made anew.
    Anew { id: u64, at: u64 },
}

impl World {
    /// Draws whether this history is led.
    pub(super) fn draw_lead(&mut self) {
        let mut shared = self.shared.lock();
        let (aim, permille) = match self.restores {
            true => (Aim::Restored, LED_PERMILLE[0]),
            false => (Aim::MadeAnew, LED_PERMILLE[1]),
        };
        if shared.chance.permille(permille) {
            self.led = Some(Led {
                aim,
                cluster: shared.chance.below(CLUSTERS.len()),
                policy: shared.chance.pick(&POLICIES),
                part: Part::Open,
            });
        }
    }

    /// Whether an edit would be in the way: nobody else edits that policy meanwhile.
    pub(super) fn is_in_the_way(&self, made: &Made) -> bool {
        let is_of = |led: Led| made.edit.name.as_str() == led.policy;
        self.steps >= BEGIN && self.led.is_some_and(is_of)
    }

    /// Whether the log is not to be restored by chance.
    pub(super) fn is_led_to_restore(&self) -> bool {
        let is_open = |led: Led| led.aim == Aim::Restored && !matches!(led.part, Part::Restored);
        self.led.is_some_and(is_open) && self.steps < BEGIN + STEPS_MAX
    }

    /// Whether a live message does not reach a cluster.
    pub(super) fn is_led_past(&self, cluster: usize, subject: &BusSubject) -> bool {
        let is_of = |led: Led| {
            matches!(led.part, Part::Anew { .. })
                && led.cluster == cluster
                && matches!(subject, BusSubject::Live { name, .. } if name.as_str() == led.policy)
        };
        self.led.is_some_and(is_of)
    }

    /// Goes on with what this history is led to.
    pub(super) fn lead(&mut self) {
        let Some(led) = self.led.filter(|_| self.steps >= BEGIN) else {
            return;
        };
        let is_restored = matches!(led.part, Part::Restored);
        if led.aim == Aim::Restored && !is_restored && !self.restores {
            // It did not get there in time, and was restored as by chance.
            return self.end_lead(true);
        }
        let part = match led.part {
            Part::Open => {
                let (id, at) = self.put_alone(led);
                Some(Part::Put { id, at })
            }
            Part::Put { id, at } => self.delete_where_in_force(led, id, at),
            Part::Deleted { then, at } => self.go_on_where_forgotten(led, then, at),
            Part::Restored => {
                let run = self.clusters[led.cluster].run.as_ref();
                let cut = run.and_then(|run| run.follower().cut());
                let newest = self.opened.last();
                let is_held = |epoch: u64| newest.is_some_and(|newest| epoch >= *newest);
                return self.end_lead(cut.is_some_and(|cut| is_held(cut.revision.epoch)));
            }
            Part::Anew { id, at } => {
                let is_over = self.steps > at + AGAIN_STEPS;
                return self.end_lead(is_over || self.is_there(led, id));
            }
        };
        if let Some(part) = part {
            self.led = Some(Led { part, ..led });
        }
    }

    fn end_lead(&mut self, is_over: bool) {
        if is_over {
            self.led = None;
        }
    }

    /// Asks for the edit; answers its number and the step.
    fn put_alone(&mut self, led: Led) -> (u64, u64) {
        let (name, (region, stage)) = CLUSTERS[led.cluster];
        let scope: Scope = format!("{region}.{stage}").parse().expect("a scope");
        self.ids += 1;
        let selector = serde_json::json!({"names": [name]});
        let mut made = documents::policy(led.policy, &selector, 0, self.ids);
        if let Change::Put { scopes, .. } = &mut made.edit.change {
            *scopes = BTreeSet::from([scope]);
        }
        for publisher in &mut self.publishers {
            let is_other = |made: &Made| made.edit.name.as_str() != led.policy;
            publisher.waiting.retain(is_other);
        }
        self.ask(made);
        (self.ids, self.steps)
    }

    /// Whether an edit is in force in its cluster, and something of it there.
    fn is_there(&self, led: Led, id: u64) -> bool {
        self.is_last(led, id) && self.clusters[led.cluster].left_of(led.policy).is_some()
    }

    fn is_last(&self, led: Led, id: u64) -> bool {
        let last = self.shared.lock().auditor.last(led.cluster, led.policy);
        matches!(last, Some(Verdict::InForce(last)) if last == id)
    }

    fn delete_where_in_force(&mut self, led: Led, id: u64, at: u64) -> Option<Part> {
        if self.is_there(led, id) {
            let then = (self.log.batches.len(), self.log.len());
            return Some(self.delete(led, then));
        }
        let is_lost = !self.is_last(led, id) && self.steps > at + AGAIN_STEPS;
        is_lost.then(|| {
            let (id, at) = self.put_alone(led);
            Part::Put { id, at }
        })
    }

    fn delete(&mut self, led: Led, then: (usize, u64)) -> Part {
        self.ids += 1;
        self.ask(documents::delete(Kind::Policy, led.policy, self.ids));
        let at = self.steps;
        Part::Deleted { then, at }
    }

    fn go_on_where_forgotten(&mut self, led: Led, then: (usize, u64), at: u64) -> Option<Part> {
        let last = self.shared.lock().auditor.last(led.cluster, led.policy);
        if last.is_some() || self.clusters[led.cluster].knows(led.policy) {
            let is_lost = last.is_some() && self.steps > at + AGAIN_STEPS;
            return is_lost.then(|| self.delete(led, then));
        }
        Some(match led.aim {
            Aim::Restored => {
                self.restores = false;
                self.restore(then.0);
                Part::Restored
            }
            Aim::MadeAnew => {
                let cluster = &mut self.clusters[led.cluster];
                cluster.one_lags = (then.1, self.now_ms + LAG_MS);
                // The next process has no cut but the one that is kept.
                self.shared.lock().note(Fault::SubscriberKilled);
                cluster.kill();
                let (id, at) = self.put_alone(led);
                Part::Anew { id, at }
            }
        })
    }

    /// Has any publisher make an edit.
    fn ask(&mut self, made: Made) {
        let at = self.shared.lock().chance.below(PUBLISHERS);
        self.publishers[at].waiting.push_back(made);
    }
}
