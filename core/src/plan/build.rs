//! The planner.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::compare::holds;
use super::marks::marked;
use super::observed::{Observed, ObservedObject};
use super::order::Phase;
use super::owner::{Found, Owner};
use super::reason::Reason;
use super::record::InventoryItem;
use super::roles::{narrowed, role_changed};
use super::step::{Action, Change, Held, Kept, Plan, Step, Wave, temporary_reference};
use crate::hash::Hash;
use crate::model::{Adopt, Object, ObjectRef, Removal};
use crate::name::PolicyName;

/// What a policy wants of a cluster.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Which policy.
    pub policy: &'a PolicyName,
    /// What the cluster is to hold, grants among it as bindings; nothing for a policy that is gone.
    pub objects: &'a [Object],
    /// What happens to what is recorded and not wanted any more.
    pub removal: Removal,
    /// Whether foreign objects are taken over where their owner agrees.
    pub adopt: Adopt,
    /// What happens to what others changed.
    pub drift: OnDrift,
}

/// What happens to an object that was confirmed and that others changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDrift {
    /// It is put back.
    PutBack,
    /// It is reported as [`Reason::Drifted`] and left.
    Report,
}

/// What the cluster's owner allows.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// Why an object must not be written, for people; `None` if it may.
    pub forbids: &'a dyn Fn(&Object) -> Option<String>,
    /// Whether an object may be taken over that does not say so itself.
    pub adoptable: &'a dyn Fn(&ObjectRef) -> bool,
}

impl Limits<'_> {
    /// Everything may be written, and nothing taken over but what says so itself.
    pub const NONE: Limits<'static> = Limits {
        forbids: &|_| None,
        adoptable: &|_| false,
    };
}

/// Plans the way from what is there to what is wanted.
pub fn plan(
    wanted: &Wanted<'_>,
    inventory: &[InventoryItem],
    observed: &Observed,
    limits: &Limits<'_>,
) -> Plan {
    let mut builder = Builder {
        wanted,
        observed,
        limits,
        objects: wanted
            .objects
            .iter()
            .map(|object| (&object.reference, object))
            .collect(),
        plan: Plan::default(),
        waves: BTreeMap::new(),
        not_ours: BTreeSet::new(),
    };
    let items: BTreeMap<&ObjectRef, &InventoryItem> = inventory
        .iter()
        .map(|item| (&item.reference, item))
        .collect();
    // In the order in which objects are applied: what becomes of a role is known when the bindings
    // to it are looked at.
    let mut objects: Vec<&Object> = builder.objects.values().copied().collect();
    objects.sort_by_key(|object| Phase::applies(&object.reference.kind));
    for object in objects {
        builder.bring(object, items.get(&object.reference).copied());
    }
    for (reference, item) in &items {
        if !builder.objects.contains_key(reference) {
            let was_replaced = items.contains_key(&temporary_reference(reference));
            builder.remove(reference, item, was_replaced);
        }
    }
    builder.keep_stand_ins();
    builder.finish()
}

/// Hash of an object's content as it is sent for that policy.
pub fn content_hash(content: &Value) -> Hash {
    // A JSON value always has a canonical form: its keys are text and its numbers finite.
    Hash::of(&serde_json_canonicalizer::to_vec(content).unwrap_or_default())
}

pub(super) struct Builder<'a> {
    pub(super) wanted: &'a Wanted<'a>,
    pub(super) observed: &'a Observed,
    pub(super) limits: &'a Limits<'a>,
    pub(super) objects: BTreeMap<&'a ObjectRef, &'a Object>,
    pub(super) plan: Plan,
    pub(super) waves: BTreeMap<Phase, Vec<Step>>,
    /// Wanted objects whose place somebody else's object has.
    pub(super) not_ours: BTreeSet<&'a ObjectRef>,
}

impl<'a> Builder<'a> {
    fn bring(&mut self, object: &'a Object, item: Option<&'a InventoryItem>) {
        let reference = &object.reference;
        if let Some(other) = self.observed.claims.get(reference)
            && other != self.wanted.policy
        {
            let message = format!("belongs to policy {other}");
            return self.disown(reference, item, Reason::ClaimedByPolicy, message);
        }
        if let Some(message) = (self.limits.forbids)(object) {
            return self.hold(reference, Reason::CeilingExceeded, message);
        }
        match self.observed.objects.get(reference) {
            None => self.hold_unread(reference),
            Some(None) => self.make(object, item),
            Some(Some(found)) => self.keep(object, item, found),
        }
    }

    /// There is none yet, or none any more.
    fn make(&mut self, object: &Object, item: Option<&InventoryItem>) {
        let reference = &object.reference;
        let content = marked(self.wanted.policy, &object.content);
        let undoes = was_confirmed(item, &content).then_some(Change::Deleted);
        if let Some(change) = undoes
            && self.leaves(reference, change, None)
        {
            return;
        }
        let problem = self
            .namespace_problem(reference)
            .or_else(|| self.role_problem(object));
        match problem {
            Some((reason, message)) => self.hold(reference, reason, message),
            None => self.step(reference, Action::Create { content }, undoes),
        }
    }

    /// Something has that name.
    fn keep(
        &mut self,
        object: &'a Object,
        item: Option<&'a InventoryItem>,
        found: &'a ObservedObject,
    ) {
        let reference = &object.reference;
        if !self.is_ours(object, item, found) {
            return;
        }
        if found.terminating {
            let reason = match is_namespace(reference) {
                true => Reason::NamespaceTerminating,
                false => Reason::Finalizing,
            };
            return self.hold(reference, reason, "is being deleted".to_owned());
        }
        let content = marked(self.wanted.policy, &object.content);
        let rebound = role_changed(&found.content, &content);
        if let Some((reason, message)) = self.role_problem(object) {
            self.hold(reference, reason, message);
            return self.narrow(reference, found, &content);
        }
        let confirmed = was_confirmed(item, &content);
        let same = !rebound && holds(reference, &found.content, &content);
        let known = item.and_then(|item| item.uid.as_deref()) == Some(found.uid.as_str());
        // What was not confirmed with this content is sent even when the object contains it: only
        // that takes away fields that an older content had and this one has not.
        if same && confirmed && (known || self.wanted.drift == OnDrift::Report) {
            return self.plan.unchanged.push(Kept {
                reference: reference.clone(),
                uid: found.uid.clone(),
            });
        }
        let change = if rebound {
            Change::Rebound
        } else {
            Change::Changed
        };
        if confirmed && self.leaves(reference, change, found.last_manager()) {
            return;
        }
        let undoes = confirmed.then_some(change);
        let action = self.write(found, content, rebound);
        self.step(reference, action, undoes);
    }

    /// A binding that waits for its role loses the subjects that leave all the same: the role may
    /// come back under them.
    fn narrow(&mut self, reference: &ObjectRef, found: &ObservedObject, content: &Value) {
        if let Some(content) = narrowed(&found.content, content, false) {
            let uid = found.uid.clone();
            self.step(reference, Action::Update { uid, content }, None);
        }
    }

    fn write(&self, found: &ObservedObject, content: Value, rebound: bool) -> Action {
        let uid = found.uid.clone();
        if !rebound {
            return Action::Update { uid, content };
        }
        let marked = found.policy() == Some(self.wanted.policy.as_str());
        Action::Replace {
            uid,
            resource_version: found.resource_version.clone(),
            // Before it is deleted it carries our marks: see `Action::Delete`.
            narrowed: narrowed(&found.content, &content, !marked),
            content,
        }
    }

    fn is_ours(
        &mut self,
        object: &'a Object,
        item: Option<&'a InventoryItem>,
        found: &'a ObservedObject,
    ) -> bool {
        let reference = &object.reference;
        let (policy, wanted) = (self.wanted.policy, &object.content);
        let whose = Found {
            policy,
            reference,
            wanted,
            item,
            object: found,
        };
        let (reason, message) = match whose.owner(self.wanted.adopt, self.limits) {
            Owner::Us => return true,
            Owner::Policy(other) => {
                let message = format!("carries the mark of policy {other}");
                (Reason::ClaimedByPolicy, message)
            }
            Owner::Foreign => {
                let why = whose.why_foreign(self.wanted.adopt);
                let message = format!("exists already and was not written by this policy{why}");
                (Reason::ForeignObject, message)
            }
        };
        self.disown(reference, item, reason, message);
        false
    }

    /// Another's object has the place of a wanted one: what was recorded of it says nothing any more.
    fn disown(
        &mut self,
        reference: &'a ObjectRef,
        item: Option<&InventoryItem>,
        reason: Reason,
        message: String,
    ) {
        self.not_ours.insert(reference);
        if item.is_some() {
            self.plan.dropped.push(reference.clone());
        }
        self.hold(reference, reason, message);
    }

    /// Whether what somebody did to a confirmed object is left as it is.
    fn leaves(&mut self, reference: &ObjectRef, change: Change, manager: Option<&str>) -> bool {
        if self.wanted.drift == OnDrift::Report {
            let by = manager.map_or_else(String::new, |manager| format!(" by {manager}"));
            self.leave(reference, Reason::Drifted, format!("{change}{by}"), change);
            return true;
        }
        if let Some(message) = self.observed.contended.get(reference) {
            self.leave(reference, Reason::Contended, message.clone(), change);
            return true;
        }
        false
    }

    pub(super) fn hold_unread(&mut self, reference: &ObjectRef) {
        self.hold(
            reference,
            Reason::Unavailable,
            "could not be read".to_owned(),
        );
    }

    pub(super) fn hold(&mut self, reference: &ObjectRef, reason: Reason, message: String) {
        self.plan.held.push(Held {
            reference: reference.clone(),
            reason,
            message,
            leaves: None,
        });
    }

    fn leave(&mut self, reference: &ObjectRef, reason: Reason, message: String, change: Change) {
        self.plan.held.push(Held {
            reference: reference.clone(),
            reason,
            message,
            leaves: Some(change),
        });
    }

    fn step(&mut self, reference: &ObjectRef, action: Action, undoes: Option<Change>) {
        self.step_in(Phase::applies(&reference.kind), reference, action, undoes);
    }

    pub(super) fn step_in(
        &mut self,
        phase: Phase,
        reference: &ObjectRef,
        action: Action,
        undoes: Option<Change>,
    ) {
        let step = Step {
            reference: reference.clone(),
            action,
            undoes,
        };
        self.waves.entry(phase).or_default().push(step);
    }

    fn keep_stand_ins(&mut self) {
        let open = self.plan.open_stand_ins();
        self.plan.dropped.retain(|at| !open.contains(at));
    }

    fn finish(self) -> Plan {
        let waves = self
            .waves
            .into_iter()
            .map(|(phase, mut steps)| {
                steps.sort_by(|a, b| a.reference.cmp(&b.reference));
                Wave { phase, steps }
            })
            .collect();
        Plan { waves, ..self.plan }
    }
}

/// Whether this content was confirmed for this object before, so that what differs now is somebody
/// else's doing.
fn was_confirmed(item: Option<&InventoryItem>, content: &Value) -> bool {
    item.is_some_and(|item| item.uid.is_some() && item.content == Some(content_hash(content)))
}

pub(super) fn is_namespace(reference: &ObjectRef) -> bool {
    reference.kind == "Namespace" && reference.api_version == "v1"
}
