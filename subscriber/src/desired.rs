//! What a policy wants of this cluster now: its objects, and the bindings of grants that select
//! namespaces by label.
//!
//! Never takes a namespace for gone or for unlabelled because nothing was heard of it: before a
//! binding leaves for that, the namespace itself is read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use writ_core::model::limits::EXPANDED_OBJECTS_MAX;
use writ_core::model::{Object, ObjectRef};
use writ_core::name::PolicyName;
use writ_core::plan::{InventoryItem, NamespaceState};

use crate::cluster::{ClusterApi, Error, ErrorKind};
use crate::mirror::policy_reference;
use crate::namespaces::{All, Namespaces, Seen};
use crate::observe::CALLS_AT_ONCE_MAX;
use crate::resource::NAMESPACES;
use crate::slot::Content;

/// What is wanted.
#[derive(Debug, Default)]
pub(crate) struct Desired {
    pub(crate) objects: Arc<[Object]>,
    /// Recorded bindings of which it could not be found out, with what people read.
    pub(crate) undecided: BTreeMap<ObjectRef, String>,
    /// Namespaces that were seen to take objects.
    pub(crate) active: BTreeSet<String>,
    /// Why the namespaces are not known. Then the policy is not applied, whatever else is.
    pub(crate) unlisted: Option<Error>,
}

/// Finds out what a policy wants of this cluster.
pub(crate) async fn desired<C: ClusterApi>(
    api: &C,
    namespaces: &Namespaces,
    policy: &PolicyName,
    content: &Content,
    recorded: &[InventoryItem],
) -> Result<Desired, Error> {
    if content.grants.is_empty() {
        let objects = Arc::clone(&content.objects);
        return Ok(Desired {
            objects,
            ..Desired::default()
        });
    }
    let selection = Selection { policy, content };
    let (mut all, is_live) = match namespaces.all() {
        Some(all) => (all, false),
        None => match list(api).await {
            Ok(all) => (all, true),
            Err(error) => return Ok(selection.unknown(recorded, error)),
        },
    };
    let mut undecided = BTreeMap::new();
    if !is_live {
        let leaving = selection.leaving(&all, recorded);
        for (binding, answer) in look_up(api, leaving).await {
            let name = binding.namespace.clone().unwrap_or_default();
            match answer {
                // For this attempt only: what the watch knows changes with its own events, which tell
                // every policy that is concerned.
                Ok(Some(seen)) => drop(all.insert(name, seen)),
                Ok(None) => drop(all.remove(&name)),
                Err(error) => {
                    let message = format!("namespace {name} could not be read: {}", error.message);
                    undecided.insert(binding, message);
                }
            }
        }
    }
    let objects = selection.expand(&all);
    if objects.len() > EXPANDED_OBJECTS_MAX {
        let message = format!(
            "{} objects with the bindings in selected namespaces, the limit is \
             {EXPANDED_OBJECTS_MAX}",
            objects.len()
        );
        let mirror = policy_reference(policy);
        return Err(Error::new(ErrorKind::Invalid, "expand", mirror, message));
    }
    undecided.retain(|at, _| !objects.iter().any(|object| object.reference == *at));
    let active = all
        .into_iter()
        .filter(|(_, seen)| seen.state() == NamespaceState::Active);
    Ok(Desired {
        objects: objects.into(),
        undecided,
        active: active.map(|(name, _)| name).collect(),
        unlisted: None,
    })
}

struct Selection<'a> {
    policy: &'a PolicyName,
    content: &'a Content,
}

impl Selection<'_> {
    /// All objects, sorted.
    fn expand(&self, all: &All) -> Vec<Object> {
        let mut objects = self.content.objects.to_vec();
        let takes = |(_, seen): &(&String, &Seen)| seen.state() == NamespaceState::Active;
        for (name, seen) in all.iter().filter(takes) {
            let grants = self.content.grants.iter();
            let holding = grants.filter(|grant| grant.matches(&seen.labels));
            objects.extend(holding.map(|grant| grant.binding(self.policy, name)));
        }
        objects.sort_by(|a, b| a.reference.cmp(&b.reference));
        objects.dedup_by(|a, b| a.reference == b.reference);
        objects
    }

    /// Recorded bindings of selecting grants.
    fn recorded(&self, recorded: &[InventoryItem]) -> BTreeSet<ObjectRef> {
        // A grant's bindings have the same name in every namespace.
        let grants = self.content.grants.iter();
        let bindings: Vec<ObjectRef> = grants
            .map(|grant| grant.binding(self.policy, "any").reference)
            .collect();
        let of_grant = |at: &&ObjectRef| {
            let mut bindings = bindings.iter();
            at.namespace.is_some() && bindings.any(|b| (&b.kind, &b.name) == (&at.kind, &at.name))
        };
        let items = recorded.iter().map(|item| &item.reference);
        items.filter(of_grant).cloned().collect()
    }

    /// Recorded bindings that these namespaces do not call for any more.
    fn leaving(&self, all: &All, recorded: &[InventoryItem]) -> BTreeSet<ObjectRef> {
        let mut leaving = self.recorded(recorded);
        for object in self.expand(all) {
            leaving.remove(&object.reference);
        }
        leaving
    }

    /// What is known when the namespaces are not: everything else.
    fn unknown(&self, recorded: &[InventoryItem], error: Error) -> Desired {
        let message = format!("the namespaces could not be listed: {}", error.message);
        let bindings = self.recorded(recorded).into_iter();
        Desired {
            objects: Arc::clone(&self.content.objects),
            undecided: bindings.map(|at| (at, message.clone())).collect(),
            active: BTreeSet::new(),
            unlisted: Some(error),
        }
    }
}

async fn list<C: ClusterApi>(api: &C) -> Result<All, Error> {
    let listed = api.list(NAMESPACES).await?;
    let named = listed.iter().filter_map(|namespace| {
        let name = namespace["metadata"]["name"].as_str()?;
        Some((name.to_owned(), Seen::read(namespace)))
    });
    Ok(named.collect())
}

type LookedUp = Vec<(ObjectRef, Result<Option<Seen>, Error>)>;

/// Reads the namespaces of some bindings.
async fn look_up<C: ClusterApi>(api: &C, bindings: BTreeSet<ObjectRef>) -> LookedUp {
    futures::stream::iter(bindings)
        .map(|binding| async {
            let name = binding.namespace.as_deref().unwrap_or_default();
            let answer = api.get(&NAMESPACES.reference(None, name)).await;
            let seen = answer.map(|found| found.as_ref().map(Seen::read));
            (binding, seen)
        })
        .buffer_unordered(CALLS_AT_ONCE_MAX)
        .collect()
        .await
}
