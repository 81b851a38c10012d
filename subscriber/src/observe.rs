//! Reads what a plan needs to know of the cluster. Writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use writ_core::model::ObjectRef;
use writ_core::plan::{NamespaceState, Observed, ObservedObject};

use crate::cluster::{ClusterApi, Error, ErrorKind};
use crate::resource::NAMESPACES;

/// Calls that one policy has open at once. More only wait in the API server's own fair queue.
pub const CALLS_AT_ONCE_MAX: usize = 16;

/// What an attempt has to know.
pub(crate) struct Questions {
    /// The objects that it is about.
    pub(crate) objects: BTreeSet<ObjectRef>,
    /// Of them, what is known without reading.
    pub(crate) known: BTreeMap<ObjectRef, ObservedObject>,
    /// Roles that may not exist.
    pub(crate) roles: BTreeSet<ObjectRef>,
    /// Namespaces that were seen to take objects. Should one be gone by now, the API server says so.
    pub(crate) active: BTreeSet<String>,
}

/// What was read, and what could not be.
pub(crate) struct Observation {
    pub(crate) observed: Observed,
    pub(crate) failures: BTreeMap<ObjectRef, Error>,
}

/// Reads the objects of which nothing is known, roles, and the namespaces of what is not there.
pub(crate) async fn observe<C: ClusterApi>(api: &C, questions: Questions) -> Observation {
    let Questions {
        objects: wanted,
        known,
        roles,
        active,
    } = questions;
    let unknown = wanted.iter().filter(|at| !known.contains_key(at)).cloned();
    let ((read, mut failures), (found_roles, unread_roles)) =
        futures::join!(read_all(api, unknown.collect()), read_all(api, roles));
    for (role, error) in unread_roles {
        tracing::debug!(%role, error = &error as &dyn std::error::Error, "role not read");
    }
    let mut objects: BTreeMap<_, _> = known
        .into_iter()
        .map(|(reference, object)| (reference, Some(object)))
        .collect();
    objects.extend(read);

    let needed: BTreeSet<&str> = objects
        .iter()
        .filter(|(_, found)| found.is_none())
        .filter_map(|(reference, _)| reference.namespace.as_deref())
        .collect();
    let (active, unsure): (BTreeSet<&str>, BTreeSet<&str>) =
        needed.into_iter().partition(|name| active.contains(*name));
    let mut namespaces: BTreeMap<String, NamespaceState> = active
        .into_iter()
        .map(|name| (name.to_owned(), NamespaceState::Active))
        .collect();
    let (found, unread): (BTreeSet<_>, BTreeSet<_>) = unsure
        .into_iter()
        .map(|name| NAMESPACES.reference(None, name))
        .partition(|namespace| objects.contains_key(namespace));
    let (others, unreadable) = read_all(api, unread).await;
    failures.extend(unreadable);
    let asked = found
        .iter()
        .map(|namespace| (namespace, &objects[namespace]))
        .chain(&others)
        .map(|(namespace, found)| (namespace.name.clone(), namespace_state(found.as_ref())));
    namespaces.extend(asked);
    let roles = found_roles
        .into_iter()
        .map(|(at, found)| (at, found.is_some()));
    let observed = Observed {
        roles: roles.collect(),
        objects,
        namespaces,
        ..Observed::default()
    };
    Observation { observed, failures }
}

type Read = (
    BTreeMap<ObjectRef, Option<ObservedObject>>,
    BTreeMap<ObjectRef, Error>,
);

async fn read_all<C: ClusterApi>(api: &C, references: BTreeSet<ObjectRef>) -> Read {
    let mut answers = futures::stream::iter(references)
        .map(|reference| async {
            let answer = read(api, &reference).await;
            (reference, answer)
        })
        .buffer_unordered(CALLS_AT_ONCE_MAX);
    let mut result = Read::default();
    while let Some((reference, answer)) = answers.next().await {
        match answer {
            Ok(found) => drop(result.0.insert(reference, found)),
            Err(error) => drop(result.1.insert(reference, error)),
        }
    }
    result
}

async fn read<C: ClusterApi>(
    api: &C,
    reference: &ObjectRef,
) -> Result<Option<ObservedObject>, Error> {
    let Some(content) = api.get(reference).await? else {
        return Ok(None);
    };
    let message = "the answer has no uid or resource version";
    let unusable = || Error::new(ErrorKind::Unavailable, "get", reference, message);
    ObservedObject::read(content).ok_or_else(unusable).map(Some)
}

fn namespace_state(found: Option<&ObservedObject>) -> NamespaceState {
    match found {
        None => NamespaceState::Missing,
        Some(namespace) if namespace.terminating => NamespaceState::Terminating,
        Some(_) => NamespaceState::Active,
    }
}
