//! Reads what a plan needs to know of the cluster. Writes nothing.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use writ_core::model::ObjectRef;
use writ_core::plan::{NamespaceState, Observed, ObservedObject};

use crate::cluster::{ClusterApi, Error, ErrorKind};
use crate::resource::{self, FURTHER_KINDS_MAX, Found, NAMESPACES};

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
    let unserved = find_kinds(api, &wanted).await;
    let unknown = wanted
        .iter()
        .filter(|at| !known.contains_key(at) && !unserved.contains_key(at))
        .cloned();
    let ((read, mut failures), (found_roles, unread_roles)) =
        futures::join!(read_all(api, unknown.collect()), read_all(api, roles));
    failures.extend(unserved);
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

/// Finds out how further kinds are served, which are watched from then on. Says which objects are of
/// a kind that cannot be reached, and why.
async fn find_kinds<C: ClusterApi>(
    api: &C,
    wanted: &BTreeSet<ObjectRef>,
) -> BTreeMap<ObjectRef, Error> {
    let mut unserved = BTreeMap::new();
    let mut asked: BTreeMap<(&str, &str), Option<(ErrorKind, String)>> = BTreeMap::new();
    for at in wanted {
        let kind = (at.api_version.as_str(), at.kind.as_str());
        let found = match asked.entry(kind) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(place) => place.insert(match resource::is_watched(at) {
                true => None,
                false => find_kind(api, at).await,
            }),
        };
        let problem = found.clone().or_else(|| {
            let message = "the kind has no namespaces, or its objects need one";
            let fits = resource::of(at).is_some();
            (!fits).then(|| (ErrorKind::Invalid, message.to_owned()))
        });
        if let Some((kind, message)) = problem {
            unserved.insert(
                at.clone(),
                Error::new(kind, "find the kind of", at, message),
            );
        }
    }
    unserved
}

async fn find_kind<C: ClusterApi>(api: &C, at: &ObjectRef) -> Option<(ErrorKind, String)> {
    let found = match resource::of(at) {
        Some(known) => Found::from(known),
        None => match api.find_kind(at).await {
            Ok(Some(found)) => found,
            Ok(None) => {
                let message = format!("{} {} is not served here", at.api_version, at.kind);
                return Some((ErrorKind::NotServed, message));
            }
            Err(error) => return Some((error.kind, error.message)),
        },
    };
    let message = || format!("more than {FURTHER_KINDS_MAX} further kinds");
    (!resource::keep(&found)).then(|| (ErrorKind::NotServed, message()))
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
