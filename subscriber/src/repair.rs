//! Keeps the cluster at what it was brought to: looks at what a watch saw, and puts back what others
//! changed. Part of the engine; the promises are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use writ_core::model::{ObjectRef, SelectorGrant};
use writ_core::name::PolicyName;
use writ_core::plan::NamespaceState;

use crate::cluster::ClusterApi;
use crate::drift::Event;
use crate::engine::Engine;
use crate::mirror::policy_reference;
use crate::namespaces::{Seen, Turn};
use crate::outcome::Repair;
use crate::resource::{CLUSTER_POLICIES, NAMESPACES, Resource, WRIT_API_VERSION};
use crate::settle::{Part, Reads, settle};
use crate::slot::{Said, Slot};
use crate::waiting::For;

/// What is to be looked at.
enum Sight {
    One(ObjectRef, Option<String>),
    All(Resource, BTreeMap<ObjectRef, String>),
}

impl<C: ClusterApi> Engine<C> {
    /// Checks every object of a policy, and goes on with what is not done. `None` if there is
    /// nothing that could be checked: the policy or its content is not known, or it is gone.
    pub async fn retry(&self, policy: &PolicyName) -> Option<Repair> {
        let mut slot = self.inner.slots.find(policy)?.lock_owned().await;
        let repair = self
            .repair(policy, &mut slot, Part::Whole, Reads::Everything)
            .await;
        self.close_record(policy, slot).await;
        repair
    }

    /// Answers what a watch saw. Own writes cost nothing; a change by others is put back, and what
    /// waited for it goes on.
    ///
    /// What namespaces are like is noted before this returns, the rest is the future's: events may be
    /// answered side by side, but the last one of a namespace has to be the one that counts.
    pub fn handle(&self, event: Event) -> impl Future<Output = Vec<Repair>> + Send + use<C> {
        let namespaces = &self.inner.namespaces;
        let (turns, sight) = match event {
            Event::Touched {
                reference,
                resource_version,
            } => (Vec::new(), Sight::One(reference, resource_version)),
            Event::Namespace {
                name,
                resource_version,
                seen,
            } => {
                let turn = namespaces.see(&name, seen);
                let reference = NAMESPACES.reference(None, &name);
                let sight = Sight::One(reference, resource_version);
                (turn.into_iter().collect(), sight)
            }
            Event::Namespaces { all, present } => {
                (namespaces.list(all), Sight::All(NAMESPACES, present))
            }
            Event::Listed { resource, present } => (Vec::new(), Sight::All(resource, present)),
        };
        let engine = self.clone();
        async move {
            let mut repairs = match sight {
                Sight::One(reference, version) => engine.touched(reference, version).await,
                Sight::All(resource, present) => engine.listed(resource, present).await,
            };
            repairs.extend(engine.turned(turns).await);
            repairs
        }
    }

    async fn listed(
        &self,
        resource: Resource,
        mut present: BTreeMap<ObjectRef, String>,
    ) -> Vec<Repair> {
        let ours = match resource == CLUSTER_POLICIES {
            true => self
                .inner
                .slots
                .policies()
                .iter()
                .map(policy_reference)
                .collect(),
            false => self.inner.slots.claimed(resource),
        };
        let mut repairs = Vec::new();
        for reference in ours {
            let resource_version = present.remove(&reference);
            repairs.extend(self.touched(reference, resource_version).await);
        }
        repairs
    }

    async fn touched(&self, reference: ObjectRef, resource_version: Option<String>) -> Vec<Repair> {
        let version = resource_version.as_deref();
        let mut repairs = self.role_seen(&reference, version.is_some()).await;
        if self.inner.confirmed.meets(&reference, version) {
            return repairs;
        }
        if reference.api_version == WRIT_API_VERSION {
            self.put_back_mirror(&reference, version).await;
        } else if let Some(policy) = self.inner.slots.owner(&reference) {
            repairs.extend(self.check(&policy, &reference, version).await);
        }
        repairs
    }

    /// A role came, changed or went.
    async fn role_seen(&self, role: &ObjectRef, is_there: bool) -> Vec<Repair> {
        if !matches!(role.kind.as_str(), "Role" | "ClusterRole") {
            return Vec::new();
        }
        if !is_there {
            self.inner.roles.doubt(role);
            return Vec::new();
        }
        let waiting = self.inner.waiting.of(&For::Role(role.clone()));
        self.go_on(waiting.into_iter().collect()).await
    }

    /// Namespaces came, changed their labels, or went: grants that select by them follow, and what
    /// waited for one goes on.
    async fn turned(&self, turns: Vec<Turn>) -> Vec<Repair> {
        let mut concerned = BTreeSet::new();
        for turn in turns {
            let takes = |seen: &Option<Seen>| {
                seen.clone()
                    .filter(|seen| seen.state() == NamespaceState::Active)
            };
            let (before, after) = (takes(&turn.before), takes(&turn.after));
            let holds = |grant: &SelectorGrant, seen: &Option<Seen>| {
                seen.as_ref()
                    .is_some_and(|seen| grant.matches(&seen.labels))
            };
            concerned.extend(
                self.inner
                    .slots
                    .selecting(|grant| holds(grant, &before) != holds(grant, &after)),
            );
            if after.is_some() {
                concerned.extend(self.inner.waiting.of(&For::Namespace(turn.name)));
            }
        }
        self.go_on(concerned).await
    }

    /// Goes on with some policies, side by side.
    async fn go_on(&self, policies: BTreeSet<PolicyName>) -> Vec<Repair> {
        let attempts: Vec<_> = policies
            .into_iter()
            .map(|policy| async move {
                let mut slot = self.inner.slots.find(&policy)?.lock_owned().await;
                let (part, reads) = (Part::Whole, Reads::Unconfirmed);
                let said = slot.said.clone();
                let repair = self.repair(&policy, &mut slot, part, reads).await;
                let repair = repair.filter(|repair| is_news(repair, said.as_ref(), &slot));
                self.close_record(&policy, slot).await;
                repair
            })
            .collect();
        let repairs = futures::future::join_all(attempts).await;
        repairs.into_iter().flatten().collect()
    }

    /// Checks one object that somebody may have changed.
    async fn check(
        &self,
        policy: &PolicyName,
        reference: &ObjectRef,
        resource_version: Option<&str>,
    ) -> Option<Repair> {
        let glance = self.inner.glances.begin(reference)?;
        let mut slot = self.inner.slots.find(policy)?.lock_owned().await;
        let is_more = glance.look();
        if is_more {
            // What further news said of it is not known here, and an attempt that was under way may have
            // confirmed since what that news is about.
            self.inner.confirmed.doubt(reference);
        } else if self.inner.confirmed.meets(reference, resource_version) {
            // Looked at only now: an attempt that was under way has noted its own writes.
            return None;
        }
        let record = slot.record.as_ref()?;
        let wanted = slot.wanted(record).is_some_and(|content| {
            let mut objects = content.objects.iter();
            objects.any(|object| object.reference == *reference)
        });
        let recorded = record.item(reference).is_some();
        if !slot.is_known() || !(wanted || recorded) {
            return None;
        }
        let said = slot.said.clone();
        let repair = self.repair_around(policy, &mut slot, reference).await;
        let repair = repair.filter(|repair| is_news(repair, said.as_ref(), &slot));
        self.close_record(policy, slot).await;
        repair
    }

    async fn repair_around(
        &self,
        policy: &PolicyName,
        slot: &mut Slot,
        reference: &ObjectRef,
    ) -> Option<Repair> {
        let one = Part::One(reference);
        let repair = self.repair(policy, slot, one, Reads::Unconfirmed).await?;
        let gone = repair
            .drift
            .iter()
            .any(|drift| drift.reference.kind == "Namespace");
        if gone && repair.outcome.is_applied() {
            // What lived in the namespace went with it.
            let rest = self
                .repair(policy, slot, Part::Whole, Reads::Everything)
                .await?;
            let drift = [repair.drift, rest.drift].concat();
            return Some(Repair { drift, ..rest });
        }
        Some(repair)
    }

    async fn repair(
        &self,
        policy: &PolicyName,
        slot: &mut Slot,
        part: Part<'_>,
        reads: Reads,
    ) -> Option<Repair> {
        let record = slot.record.clone().filter(|_| slot.is_known())?;
        if record.removed && record.done {
            return None;
        }
        let part = if record.done { part } else { Part::Whole };
        let permit = self.inner.permits.get();
        let (outcome, drift) =
            settle(&self.inner, &permit, policy, slot, record, part, reads).await;
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
        if slot.unreadable.is_some() || !slot.is_known() || !self.may_write() {
            return;
        }
        let known = slot
            .mirror
            .as_ref()
            .map(|written| written.resource_version.as_str());
        let changed = resource_version.is_none() || known != resource_version;
        if !changed && slot.close_after.is_some() {
            // The own write that an attempt began with: what it reached is written soon.
            return;
        }
        if let Some(written) = slot.mirror.as_mut().filter(|_| changed) {
            // Not known any more what it says: it is written whatever was sent last.
            written.sent = None;
        }
        self.close_record(&policy, slot).await;
    }
}

/// Whether anybody has to hear of it: something was written, or the policy stands otherwise than was
/// said before. A look that finds all as it was is no news, however bad that is.
fn is_news(repair: &Repair, said: Option<&Said>, slot: &Slot) -> bool {
    let put_back = repair.drift.iter().any(|drift| drift.put_back);
    put_back || repair.outcome.writes > 0 || said != slot.said.as_ref()
}

#[cfg(test)]
mod tests;
