//! Reads what a plan needs to know of the cluster. Writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use writ_core::model::ObjectRef;
use writ_core::plan::{NamespaceState, Observed, ObservedObject};

use crate::cluster::{ClusterApi, Error, ErrorKind};
use crate::resource::POLICY_KINDS;

/// Calls that one policy has open at once. More only wait in the API server's own fair queue.
pub const CALLS_AT_ONCE_MAX: usize = 16;

/// What was read, and what could not be.
pub(crate) struct Observation {
    pub(crate) observed: Observed,
    pub(crate) failures: BTreeMap<ObjectRef, Error>,
}

/// Reads the objects of which nothing is known, and the namespaces of those that are not there.
pub(crate) async fn observe<C: ClusterApi>(
    api: &C,
    wanted: &BTreeSet<ObjectRef>,
    known: BTreeMap<ObjectRef, ObservedObject>,
) -> Observation {
    let unknown = wanted
        .iter()
        .filter(|reference| !known.contains_key(reference))
        .cloned();
    let (read, mut failures) = read_all(api, unknown.collect()).await;
    let mut objects: BTreeMap<_, _> = known
        .into_iter()
        .map(|(reference, object)| (reference, Some(object)))
        .collect();
    objects.extend(read);

    let needed: BTreeSet<ObjectRef> = objects
        .iter()
        .filter(|(_, found)| found.is_none())
        .filter_map(|(reference, _)| reference.namespace.as_deref())
        .map(|name| POLICY_KINDS[0].reference(None, name))
        .collect();
    let (found, unread): (BTreeSet<_>, BTreeSet<_>) = needed
        .into_iter()
        .partition(|namespace| objects.contains_key(namespace));
    let (others, unreadable) = read_all(api, unread).await;
    failures.extend(unreadable);
    let namespaces = found
        .iter()
        .map(|namespace| (namespace, &objects[namespace]))
        .chain(&others)
        .map(|(namespace, found)| (namespace.name.clone(), namespace_state(found.as_ref())))
        .collect();
    let observed = Observed {
        objects,
        namespaces,
        claims: BTreeMap::new(),
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
