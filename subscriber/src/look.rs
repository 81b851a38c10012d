//! What an attempt has to know before it plans: what is read, what is taken for granted, and what is
//! left alone for now. Writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use writ_core::model::{Object, ObjectRef};
use writ_core::name::PolicyName;
use writ_core::plan::{InventoryItem, NamespaceState, Observed, role_of};

use crate::cluster::{ClusterApi, Error};
use crate::engine::{Inner, references};
use crate::namespaces::Namespaces;
use crate::observe::{Observation, Questions, observe};
use crate::settle::{Part, Reads};

/// What was read, and what of it was taken for granted.
pub(crate) struct Seen {
    pub(crate) observed: Observed,
    pub(crate) unread: BTreeMap<ObjectRef, Error>,
    pub(crate) assumed: BTreeSet<ObjectRef>,
}

/// What an attempt is about.
pub(crate) struct Subject<'a> {
    pub(crate) policy: &'a PolicyName,
    /// The wanted objects that it is about.
    pub(crate) objects: &'a [Object],
    /// All that the policy wants.
    pub(crate) all: &'a [Object],
    /// The recorded objects that it is about.
    pub(crate) inventory: &'a [InventoryItem],
}

/// Reads what is not known. `active` are namespaces that were just seen to take objects.
pub(crate) async fn look<C: ClusterApi>(
    inner: &Inner<C>,
    subject: Subject<'_>,
    mut active: BTreeSet<String>,
    reads: Reads,
) -> Seen {
    let Inner {
        api,
        confirmed,
        roles,
        ..
    } = inner;
    let Subject {
        policy,
        objects,
        all,
        inventory,
    } = subject;
    let known = match reads {
        Reads::Everything => BTreeMap::new(),
        Reads::Unconfirmed => confirmed.of(policy, objects, inventory),
    };
    let assumed: BTreeSet<ObjectRef> = known.keys().cloned().collect();
    let wanted = objects.iter().map(|object| &object.reference);
    let own: BTreeSet<&ObjectRef> = all.iter().map(|object| &object.reference).collect();
    let (sure, unsure): (BTreeSet<_>, BTreeSet<_>) = objects
        .iter()
        .filter_map(role_of)
        .filter(|role| !own.contains(role))
        .partition(|role| confirmed.has(role) || roles.has(role));
    active.extend(seen_active(&inner.namespaces, objects));
    let questions = Questions {
        objects: references(wanted.chain(inventory.iter().map(|item| &item.reference))),
        known,
        roles: unsure,
        active,
    };
    let Observation {
        mut observed,
        failures,
    } = observe(api, questions).await;
    for (role, _) in observed.roles.iter().filter(|(_, is_there)| **is_there) {
        roles.note(role);
    }
    observed
        .roles
        .extend(sure.into_iter().map(|role| (role, true)));
    let (contention, now_ms) = inner.contention();
    observed.contended = observed
        .objects
        .keys()
        .filter_map(|at| Some((at.clone(), contention.holds(at, now_ms)?)))
        .collect();
    Seen {
        observed,
        unread: failures,
        assumed,
    }
}

/// Namespaces of these objects that the watch saw take objects.
fn seen_active(namespaces: &Namespaces, objects: &[Object]) -> BTreeSet<String> {
    let names: BTreeSet<&str> = objects
        .iter()
        .filter_map(|object| object.reference.namespace.as_deref())
        .collect();
    let is_active = |name: &&str| {
        let seen = namespaces.get(name);
        seen.is_some_and(|seen| seen.state() == NamespaceState::Active)
    };
    names
        .into_iter()
        .filter(is_active)
        .map(str::to_owned)
        .collect()
}

/// The part of a policy that an attempt is about.
pub(crate) fn narrow(
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
