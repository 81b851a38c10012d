//! One attempt at one policy: observe, plan, record, carry out, record.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use writ_core::model::{Object, ObjectRef};
use writ_core::name::PolicyName;
use writ_core::plan::{InventoryItem, Observed, Plan, Record, content_hash, plan};

use crate::apply::{Effect, Report, execute, failure};
use crate::cluster::{ClusterApi, Error, ErrorKind, Expect};
use crate::confirmed::Confirmed;
use crate::engine::{Inner, references};
use crate::inventory::{confirmed, covers, drift_of, intended};
use crate::mirror::{MIRROR_BYTES_MAX, PolicyMirror, Stage, policy_reference};
use crate::observe::{Observation, observe};
use crate::outcome::{Drift, ObjectFailure, Outcome};
use crate::slot::{Slot, WrittenMirror};

/// How much of a policy an attempt is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part<'a> {
    /// All of it.
    Whole,
    /// One object; the others are confirmed and stay as they are recorded.
    One(&'a ObjectRef),
}

impl Part<'_> {
    fn has(self, reference: &ObjectRef) -> bool {
        match self {
            Part::Whole => true,
            Part::One(one) => one == reference,
        }
    }
}

/// Brings the cluster to what `record` and the slot's content say. What is left is to write the
/// mirror as the slot has it then.
///
/// `record.objects` is the inventory to build on; `record.done` says that this is a check of what
/// was confirmed before: everything is read, and every step that it takes is drift.
pub(crate) async fn settle<C: ClusterApi>(
    inner: &Inner<C>,
    policy: &PolicyName,
    slot: &mut Slot,
    record: Record,
    part: Part<'_>,
    reads: Reads,
) -> (Outcome, Vec<Drift>) {
    let mut attempt = Attempt {
        inner,
        policy,
        part,
        outcome: Outcome::unchanged(),
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
    if matches!(part, Part::Whole) {
        slot.judge_repeated(&mut failures);
    }
    let mut outcome = attempt.outcome.with_failures(failures);
    outcome.finished_at = SystemTime::now();
    if let Some(record) = &mut slot.record {
        record.done = outcome.is_applied();
    }
    let message = outcome
        .failures
        .first()
        .map(|failure| failure.message.clone());
    slot.shown = (Stage::Reached(outcome.state), message);
    (outcome, drift)
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

/// Something was not as it had been confirmed.
struct Surprise;

struct Attempt<'a, C> {
    inner: &'a Inner<C>,
    policy: &'a PolicyName,
    part: Part<'a>,
    outcome: Outcome,
}

impl<C: ClusterApi> Attempt<'_, C> {
    async fn run(
        &mut self,
        slot: &mut Slot,
        record: &Record,
        reads: Reads,
    ) -> Result<(Vec<ObjectFailure>, Vec<Drift>), Surprise> {
        let Inner {
            api,
            slots,
            confirmed: known,
        } = self.inner;
        let all = match &slot.content {
            Some(content) if !record.removed => content.objects.clone(),
            _ => Vec::new(),
        };
        let claims = slots.claim(self.policy, all.iter().map(|object| &object.reference));
        let (desired, inventory) = narrow(&all, &record.objects, self.part);
        let trusted = match reads {
            Reads::Everything => BTreeMap::new(),
            Reads::Unconfirmed => known.of(self.policy, &desired, &inventory),
        };
        let assumed: BTreeSet<ObjectRef> = trusted.keys().cloned().collect();
        let wanted = desired.iter().map(|object| &object.reference);
        let wanted = references(wanted.chain(inventory.iter().map(|item| &item.reference)));
        let Observation {
            mut observed,
            failures: unread,
        } = observe(api, &wanted, trusted).await;
        observed.claims = claims;
        let made = plan(self.policy, &desired, &inventory, &observed);
        let drift = if record.done {
            drift_of(&made, &observed)
        } else {
            Vec::new()
        };

        let objects = intended(&record.objects, &made);
        let ahead = Record {
            done: false,
            objects,
            ..record.clone()
        };
        if !made.waves.is_empty()
            && let Err(error) = self.record_ahead(slot, &ahead).await
        {
            // Nothing was touched, so nothing of the attempt is remembered as ours.
            slot.record = Some(record.clone());
            return Ok((vec![failure(policy_reference(self.policy), &error)], drift));
        }

        let report = execute(api, self.policy, &made).await;
        let objects = confirmed(&ahead.objects, &made, &report);
        note(known, &made, &observed, &assumed, &report);
        let kept = objects.iter().map(|item| &item.reference);
        let kept = references(kept.chain(all.iter().map(|object| &object.reference)));
        slots.keep_claims(self.policy, &kept);
        slot.record = Some(Record { objects, ..ahead });
        self.outcome.writes += report.effects.len();
        let released = report
            .effects
            .iter()
            .filter(|(_, effect)| *effect == Effect::Released);
        self.outcome
            .orphaned
            .extend(released.map(|(reference, _)| reference.clone()));
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
        Ok((failures_of(&made, &unread, &report), drift))
    }

    /// Writes into the cluster where this attempt goes and what it may touch, unless that is there.
    async fn record_ahead(&mut self, slot: &mut Slot, ahead: &Record) -> Result<(), Error> {
        slot.record = Some(ahead.clone());
        if slot
            .mirror
            .as_ref()
            .is_some_and(|written| covers(&written.stored, ahead))
        {
            return Ok(());
        }
        slot.shown = (Stage::Underway, None);
        write_mirror(&self.inner.api, self.policy, slot).await?;
        self.outcome.recorded_at = Some(SystemTime::now());
        Ok(())
    }
}

/// Writes a policy's mirror as the slot has it, unless it was written like that before.
pub(crate) async fn write_mirror<C: ClusterApi>(
    api: &C,
    policy: &PolicyName,
    slot: &mut Slot,
) -> Result<(), Error> {
    let Some(record) = &slot.record else {
        return Ok(());
    };
    if slot.desired().is_none() {
        // Nothing is known yet but what the mirror itself says.
        return Ok(());
    }
    let mirror = PolicyMirror {
        document: slot.content.as_ref().map(|content| &content.document),
        record,
        signed: &slot.signed,
        stage: slot.shown.0,
        message: slot.shown.1.as_deref(),
    }
    .render(policy);
    let sent = Some(content_hash(&mirror));
    if slot
        .mirror
        .as_ref()
        .is_some_and(|written| written.sent == sent)
    {
        return Ok(());
    }
    let reference = policy_reference(policy);
    let size = mirror.to_string().len();
    if size > MIRROR_BYTES_MAX {
        let message = format!("the mirror has {size} bytes, the limit is {MIRROR_BYTES_MAX}");
        return Err(Error::new(ErrorKind::Invalid, "apply", &reference, message));
    }
    let written = api.apply(&reference, &mirror, Expect::Own).await?;
    let (uid, resource_version) = (written.uid, written.resource_version);
    slot.mirror = Some(WrittenMirror {
        sent,
        uid,
        resource_version,
        stored: record.clone(),
    });
    Ok(())
}

fn narrow(
    desired: &[Object],
    items: &[InventoryItem],
    part: Part<'_>,
) -> (Vec<Object>, Vec<InventoryItem>) {
    (
        desired
            .iter()
            .filter(|object| part.has(&object.reference))
            .cloned()
            .collect(),
        items
            .iter()
            .filter(|item| part.has(&item.reference))
            .cloned()
            .collect(),
    )
}

/// Notes what the API server said about each object.
fn note(
    known: &Confirmed,
    plan: &Plan,
    observed: &Observed,
    assumed: &BTreeSet<ObjectRef>,
    report: &Report,
) {
    for kept in plan
        .unchanged
        .iter()
        .filter(|kept| !assumed.contains(&kept.reference))
    {
        if let Some(Some(found)) = observed.objects.get(&kept.reference) {
            known.note(&kept.reference, &found.resource_version, &found.content);
        }
    }
    for reference in plan
        .dropped
        .iter()
        .chain(plan.held.iter().map(|held| &held.reference))
    {
        known.doubt(reference);
    }
    for (reference, effect) in &report.effects {
        match effect {
            Effect::Present {
                resource_version,
                sent,
                ..
            } => {
                known.note(reference, resource_version, sent);
            }
            Effect::Absent | Effect::Released => known.doubt(reference),
        }
    }
    for (reference, _) in &report.failures {
        known.doubt(reference);
    }
}

fn failures_of(
    plan: &Plan,
    unread: &BTreeMap<ObjectRef, Error>,
    report: &Report,
) -> Vec<ObjectFailure> {
    let held = plan
        .held
        .iter()
        .map(|held| match unread.get(&held.reference) {
            Some(error) => failure(held.reference.clone(), error),
            None => ObjectFailure {
                reference: held.reference.clone(),
                reason: held.reason,
                message: held.message.clone(),
            },
        });
    let failed = report
        .failures
        .iter()
        .map(|(at, error)| failure(at.clone(), error));
    held.chain(failed).collect()
}
