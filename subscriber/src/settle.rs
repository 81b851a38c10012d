//! One attempt at one policy: observe, plan, record, carry out, record.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use writ_core::model::{Adopt, Enforcement, Object, ObjectRef};
use writ_core::name::PolicyName;
use writ_core::plan::{InventoryItem, Observed, OnDrift, Plan, Reason, Record, Wanted, plan};

use crate::apply::{Effect, Report, execute, failure};
use crate::cluster::{ClusterApi, Error};
use crate::desired::{Desired, desired};
use crate::engine::{Inner, references, stopped};
use crate::inventory::{confirmed, drift_of, intended};
use crate::learn;
use crate::look::{Seen, Subject, look, narrow};
use crate::mirror::{Stage, policy_reference};
use crate::outcome::{Drift, ObjectFailure, Outcome, State};
use crate::permit::{Bounds, Permit};
use crate::preview;
use crate::remember::record_ahead;
use crate::slot::Slot;
use crate::waiting::For;

/// When an observer looks again at what it has seen whole. Watches tell it of what carries our mark;
/// all else costs a read for each object.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(300);

/// How much of a policy an attempt is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part<'a> {
    /// All of it.
    Whole,
    /// One object; the others are confirmed and stay as they are recorded.
    One(&'a ObjectRef),
}

impl Part<'_> {
    pub(crate) fn has(self, reference: &ObjectRef) -> bool {
        match self {
            Part::Whole => true,
            Part::One(one) => one == reference,
        }
    }

    fn is_whole(self) -> bool {
        matches!(self, Part::Whole)
    }
}

/// What an attempt may take for granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// Nothing: every object is read.
    Everything,
    /// What was confirmed and not contradicted since; where that turns out wrong, the attempt is
    /// made again and reads everything.
    Unconfirmed,
}

/// Brings the cluster to what `record` and the slot's content say. What is left is to write the
/// mirror as the slot has it then.
///
/// `record.objects` is the inventory to build on. Under a permit that only observes nothing is
/// written, and the outcome says what would be.
pub(crate) async fn settle<C: ClusterApi>(
    inner: &Inner<C>,
    permit: &Permit,
    policy: &PolicyName,
    slot: &mut Slot,
    record: Record,
    part: Part<'_>,
    reads: Reads,
) -> (Outcome, Vec<Drift>) {
    let bounds = match permit.bounds() {
        Ok(bounds) => bounds,
        Err((reason, message)) => {
            let outcome = stopped(policy, reason, message.to_owned());
            if let Some(record) = &mut slot.record {
                // Looked at again when something may be done: others may have changed it meanwhile.
                record.done = false;
            }
            slot.said = Some((outcome.state, outcome.failures.clone(), 1));
            return (outcome, Vec::new());
        }
    };
    let observing = !permit.is_enforcing();
    let mut attempt = Attempt {
        inner,
        bounds,
        observing,
        policy,
        part,
        outcome: Outcome::unchanged(),
        waits: BTreeSet::new(),
    };
    let (mut failures, drift) = match attempt.run(slot, &record, reads).await {
        Err(Surprise) => {
            let objects = slot
                .record
                .as_ref()
                .map_or_else(Vec::new, |now| now.objects.clone());
            let record = Record {
                objects,
                ..record.clone()
            };
            attempt
                .run(slot, &record, Reads::Everything)
                .await
                .unwrap_or_default()
        }
        Ok(done) => done,
    };
    if part.is_whole() {
        slot.judge_repeated(&mut failures);
        inner.waiting.set(policy, attempt.waits);
    }
    let tried = !failures.iter().any(|failure| {
        let passes = [Reason::Unavailable, Reason::Conflict];
        passes.contains(&failure.reason)
    });
    let mut outcome = attempt.outcome.with_failures(failures);
    // A policy that is gone and of which nothing is here has nothing left to be said or remembered.
    let is_over = record.removed && outcome.is_applied() && slot.mirror.is_none();
    if observing && !is_over {
        let all_known = outcome
            .failures
            .iter()
            .all(|it| it.reason == Reason::Observing);
        outcome.retry_after = all_known.then_some(LOOK_AGAIN_AFTER);
        outcome.state = State::Pending(Reason::Observing);
    }
    outcome.finished_at = SystemTime::now();
    let reports = is_reporting(slot, &record);
    if let Some(record) = &mut slot.record {
        record.done = outcome.is_applied();
        record.tried |= reports && part.is_whole() && tried && !observing;
    }
    let message = outcome
        .failures
        .first()
        .map(|failure| failure.message.clone());
    slot.shown = (Stage::Reached(outcome.state), message);
    slot.said = Some((
        outcome.state,
        outcome.failures.clone(),
        outcome.failures_total,
    ));
    (outcome, drift)
}

fn is_reporting(slot: &Slot, record: &Record) -> bool {
    slot.wanted(record)
        .is_some_and(|content| content.enforcement == Enforcement::Report)
}

/// Something was not as it had been confirmed.
struct Surprise;

type Told = Result<(Vec<ObjectFailure>, Vec<Drift>), Surprise>;

struct Attempt<'a, C> {
    inner: &'a Inner<C>,
    bounds: &'a Bounds,
    observing: bool,
    policy: &'a PolicyName,
    part: Part<'a>,
    outcome: Outcome,
    waits: BTreeSet<For>,
}

impl<C: ClusterApi> Attempt<'_, C> {
    async fn run(&mut self, slot: &mut Slot, record: &Record, reads: Reads) -> Told {
        let Inner { api, slots, .. } = self.inner;
        let wanted_here = match slot.wanted(record) {
            Some(content) => {
                let namespaces = &self.inner.namespaces;
                let recorded = &record.objects;
                desired(api, namespaces, self.policy, content, recorded).await
            }
            None => Ok(Desired::default()),
        };
        let here = match wanted_here {
            Ok(here) => here,
            Err(error) => return Ok(self.nothing_done(slot, record, &error)),
        };
        let all = &here.objects;
        let claims = slots.claim(self.policy, all.iter().map(|object| &object.reference));
        let (objects, inventory) = narrow(all, &record.objects, self.part);
        let subject = Subject {
            policy: self.policy,
            objects: &objects,
            all,
            inventory: &inventory,
        };
        let seen = look(self.inner, subject, here.active.clone(), reads).await;
        let Seen {
            mut observed,
            unread,
            assumed,
        } = seen;
        observed.claims = claims;
        observed.undecided = here.undecided;
        let made = self.plan(slot, record, &objects, &inventory, &observed);
        let mut drift = drift_of(&made, &observed, !self.observing);
        let mut unlisted: Vec<ObjectFailure> = here
            .unlisted
            .iter()
            .map(|error| failure(policy_reference(self.policy), error))
            .collect();

        if self.observing {
            slot.record = Some(Record {
                done: false,
                ..record.clone()
            });
            let kept = record.objects.iter().map(|item| &item.reference);
            let kept = references(kept.chain(all.iter().map(|object| &object.reference)));
            slots.keep_claims(self.policy, &kept);
            unlisted.extend(learn::failures_of(&made, &unread, &Report::default()));
            unlisted.extend(preview::steps(&made));
            return Ok((unlisted, drift));
        }
        let ahead = Record {
            done: false,
            objects: intended(&record.objects, &made),
            ..record.clone()
        };
        // A removal with nothing to delete is recorded all the same before it is said: the record of what
        // was begun before would have the next process go on with that.
        let ends = |stored: &Record| record.removed && !stored.removed;
        let ends = slot.mirror.as_ref().is_some_and(|it| ends(&it.stored))
            || record.removed && slot.is_in_doubt;
        if !made.waves.is_empty() || ends {
            match record_ahead(api, self.policy, slot, &ahead).await {
                Ok(at) => self.outcome.recorded_at = at.or(self.outcome.recorded_at),
                Err(error) => return Ok(self.nothing_done(slot, record, &error)),
            }
        }

        let report = execute(api, &self.inner.permits, self.policy, &made).await;
        let objects = confirmed(&ahead.objects, &made, &report);
        learn::confirm(&self.inner.confirmed, &made, &observed, &assumed, &report);
        self.learn(&made, &observed, &report);
        let kept = objects.iter().map(|item| &item.reference);
        let kept = references(kept.chain(all.iter().map(|object| &object.reference)));
        slots.keep_claims(self.policy, &kept);
        slot.record = Some(Record { objects, ..ahead });
        if report
            .failures
            .iter()
            .any(|(reference, _)| assumed.contains(reference))
        {
            return Err(Surprise);
        }
        let errors = unread
            .values()
            .chain(report.failures.iter().map(|(_, error)| error));
        self.outcome.retry_after = errors.filter_map(|error| error.retry_after).max();
        for drift in &mut drift {
            drift.put_back &= !report.failures.iter().any(|(at, _)| *at == drift.reference);
        }
        let failures = learn::failures_of(&made, &unread, &report);
        self.waits = learn::waits_of(&failures, all);
        unlisted.extend(failures);
        Ok((unlisted, drift))
    }

    fn plan(
        &self,
        slot: &Slot,
        record: &Record,
        objects: &[Object],
        inventory: &[InventoryItem],
        observed: &Observed,
    ) -> Plan {
        let adopt = slot
            .wanted(record)
            .map_or(Adopt::Never, |content| content.adopt);
        let drift = match is_reporting(slot, record) && record.tried {
            true => OnDrift::Report,
            false => OnDrift::PutBack,
        };
        let wanted = Wanted {
            policy: self.policy,
            objects,
            removal: record.removal,
            adopt,
            drift,
        };
        plan(&wanted, inventory, observed, &self.bounds.limits())
    }

    /// Nothing was touched, so nothing of the attempt is remembered as ours.
    fn nothing_done(
        &self,
        slot: &mut Slot,
        record: &Record,
        error: &Error,
    ) -> (Vec<ObjectFailure>, Vec<Drift>) {
        slot.record = Some(record.clone());
        let failed = failure(policy_reference(self.policy), error);
        (vec![failed], Vec::new())
    }

    /// Notes put-backs for the next fight, and what is no longer ours.
    fn learn(&mut self, made: &Plan, observed: &Observed, report: &Report) {
        let (mut contention, now_ms) = self.inner.contention();
        let undone: BTreeMap<&ObjectRef, _> = made
            .steps()
            .filter(|step| step.undoes.is_some())
            .map(|step| {
                let found = observed.objects.get(&step.reference);
                (&step.reference, found.and_then(Option::as_ref))
            })
            .collect();
        self.outcome.writes += report.effects.len();
        for (reference, effect) in &report.effects {
            match (effect, undone.get(reference)) {
                (Effect::Present { .. }, Some(found)) => {
                    let manager = found.and_then(|found| found.last_manager());
                    contention.note(reference, manager, now_ms);
                }
                (Effect::Released, _) => {
                    contention.forget(reference);
                    self.outcome.orphaned.push(reference.clone());
                }
                (Effect::Absent { .. }, None) => {
                    contention.forget(reference);
                    self.inner.roles.doubt(reference);
                }
                _ => {}
            }
        }
    }
}
