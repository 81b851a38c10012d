//! Keeps the cluster at what it was brought to: looks at what a watch saw, and puts back what others
//! changed. Part of the engine; the promises are the same.

use writ_core::model::ObjectRef;
use writ_core::name::PolicyName;

use crate::cluster::ClusterApi;
use crate::drift::Event;
use crate::engine::Engine;
use crate::mirror::policy_reference;
use crate::outcome::Repair;
use crate::resource::{CLUSTER_POLICIES, WRIT_API_VERSION};
use crate::settle::{Part, Reads, settle};
use crate::slot::Slot;

impl<C: ClusterApi> Engine<C> {
    /// Checks every object of a policy, and goes on with what is not done. `None` if there is
    /// nothing that could be checked: the policy or its content is not known, or it is gone.
    pub async fn retry(&self, policy: &PolicyName) -> Option<Repair> {
        let mut slot = self.inner.slots.find(policy)?.lock_owned().await;
        let repair = self.repair(policy, &mut slot, Part::Whole).await;
        self.close_record(policy, slot).await;
        repair
    }

    /// Answers what a watch saw. Own writes cost nothing; a change by others is put back.
    pub async fn handle(&self, event: Event) -> Vec<Repair> {
        let touched: Vec<(ObjectRef, Option<String>)> = match event {
            Event::Touched {
                reference,
                resource_version,
            } => vec![(reference, resource_version)],
            Event::Listed {
                resource,
                mut present,
            } => {
                let mut kinds = self.inner.slots.claimed(resource.kind);
                if resource == CLUSTER_POLICIES {
                    kinds = self
                        .inner
                        .slots
                        .policies()
                        .iter()
                        .map(policy_reference)
                        .collect();
                }
                kinds
                    .into_iter()
                    .map(|at| (at.clone(), present.remove(&at)))
                    .collect()
            }
        };
        let mut repairs = Vec::new();
        for (reference, resource_version) in touched {
            if self
                .inner
                .confirmed
                .meets(&reference, resource_version.as_deref())
            {
                continue;
            }
            if reference.api_version == WRIT_API_VERSION {
                self.put_back_mirror(&reference, resource_version.as_deref())
                    .await;
            } else if let Some(policy) = self.inner.slots.owner(&reference) {
                repairs.extend(
                    self.check(&policy, &reference, resource_version.as_deref())
                        .await,
                );
            }
        }
        repairs
    }

    /// Checks one object that somebody may have changed.
    async fn check(
        &self,
        policy: &PolicyName,
        reference: &ObjectRef,
        resource_version: Option<&str>,
    ) -> Option<Repair> {
        let mut slot = self.inner.slots.find(policy)?.lock_owned().await;
        // Looked at only now: an attempt that was under way has noted its own writes.
        if self.inner.confirmed.meets(reference, resource_version) {
            return None;
        }
        let desired = slot
            .desired()?
            .iter()
            .any(|object| object.reference == *reference);
        if !desired && slot.record.as_ref()?.item(reference).is_none() {
            return None;
        }
        let was_done = slot.record.as_ref().is_some_and(|record| record.done);
        let repair = self.repair_around(policy, &mut slot, reference).await;
        self.close_record(policy, slot).await;
        // What was pending and is applied now is news, although nobody drifted.
        repair
            .filter(|repair| !was_done || !repair.drift.is_empty() || !repair.outcome.is_applied())
    }

    async fn repair_around(
        &self,
        policy: &PolicyName,
        slot: &mut Slot,
        reference: &ObjectRef,
    ) -> Option<Repair> {
        let repair = self.repair(policy, slot, Part::One(reference)).await?;
        let gone = repair
            .drift
            .iter()
            .any(|drift| drift.reference.kind == "Namespace");
        if gone && repair.outcome.is_applied() {
            // What lived in the namespace went with it.
            let rest = self.repair(policy, slot, Part::Whole).await?;
            let drift = [repair.drift, rest.drift].concat();
            return Some(Repair { drift, ..rest });
        }
        Some(repair)
    }

    async fn repair(&self, policy: &PolicyName, slot: &mut Slot, part: Part<'_>) -> Option<Repair> {
        let record = slot.record.clone()?;
        slot.desired()?;
        if record.removed && record.done {
            return None;
        }
        let part = if record.done { part } else { Part::Whole };
        let reads = Reads::Everything;
        let (outcome, drift) = settle(&self.inner, policy, slot, record, part, reads).await;
        let outcome = outcome.with_record(slot.record.as_ref());
        Some(Repair {
            policy: policy.clone(),
            outcome,
            drift,
        })
    }

    /// A mirror is put back as it was. It is ours alone, and a person's change to it must not
    /// change what is remembered.
    async fn put_back_mirror(&self, reference: &ObjectRef, resource_version: Option<&str>) {
        let policy = match PolicyName::parse(&reference.name) {
            Ok(policy) if reference.kind == CLUSTER_POLICIES.kind => policy,
            _ => return,
        };
        let Some(slot) = self.inner.slots.find(&policy) else {
            return;
        };
        let mut slot = slot.lock_owned().await;
        if slot.unreadable.is_some() && resource_version.is_none() {
            // Deleted by whoever looked at it. What it may have listed is foreign from now on.
            if let Ok(None) = self.inner.api.get(reference).await {
                *slot = Slot::default();
            }
            return;
        }
        if slot.unreadable.is_some() || slot.desired().is_none() {
            return;
        }
        let known = slot
            .mirror
            .as_ref()
            .map(|written| written.resource_version.as_str());
        let changed = resource_version.is_none() || known != resource_version;
        if let Some(written) = slot.mirror.as_mut().filter(|_| changed) {
            // Not known any more what it says: it is written whatever was sent last.
            written.sent = None;
        }
        self.close_record(&policy, slot).await;
    }
}
