//! The mirrors of registry entries: so that `kubectl get wcl` in any cluster lists the fleet that
//! this cluster may see, and so that its own entry survives a restart without the log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use writ_core::hash::Hash;
use writ_core::model::ObjectRef;
use writ_core::name::ClusterName;
use writ_core::plan::{ObservedObject, contains, content_hash};

use crate::cluster::{self, ClusterApi, ErrorKind, Expect, Identity};
use crate::drift::Event;
use crate::mirror::{ClusterMirror, Unreadable, cluster_reference};
use crate::resource::CLUSTERS;

/// Mirrors of other clusters that are written where nobody asked for more. 10,000 cost an API server
/// 257 MiB.
pub const CLUSTER_MIRRORS_MAX: usize = 1_000;

/// The mirrors of registry entries in this cluster.
pub struct Registry<C> {
    api: C,
    own: ClusterName,
    kept: BTreeMap<ClusterName, Kept>,
    permission: Permission,
    mirrors_max: usize,
}

/// Whether mirrors may be written. Not before somebody says so, and nothing where the subscriber only
/// observes, or the ceiling is not in force. It is set without waiting for a write that is under way.
#[derive(Debug, Clone, Default)]
pub struct Permission(Arc<AtomicBool>);

impl Permission {
    /// Says whether mirrors may be written from now on.
    pub fn set(&self, may_write: bool) {
        self.0.store(may_write, Ordering::Release);
    }

    fn is_given(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

struct Kept {
    mirror: ClusterMirror,
    sent: Option<Hash>,
    uid: String,
    resource_version: String,
    /// The mirror as it was found at the start, until what it should say is known.
    found: Value,
    /// Its entry left the registry, and it is to be deleted.
    is_leaving: bool,
}

impl Kept {
    /// Whether it was to be written and could not be.
    fn is_late(&self) -> bool {
        self.sent.is_none() && !self.mirror.document.is_null() && !self.is_leaving
    }
}

/// Whether a watch saw a mirror of a registry entry, and nothing else.
pub(crate) fn is_about(event: &Event) -> bool {
    match event {
        Event::Touched { reference, .. } => is_entry(reference),
        Event::Listed { resource, .. } => *resource == CLUSTERS,
        Event::Namespace { .. } | Event::Namespaces { .. } => false,
    }
}

fn is_entry(at: &ObjectRef) -> bool {
    (at.api_version.as_str(), at.kind.as_str()) == (CLUSTERS.api_version, CLUSTERS.kind)
}

/// What became of a mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mirrored {
    /// It says what was asked for.
    Written,
    /// There are as many as may be already; the entry is only in the log.
    TooMany,
    /// Nothing may be written now; it is written when that changes.
    Later,
}

/// The mirrors that were found, and the names of those that cannot be read.
pub type Found = (Vec<ClusterMirror>, Vec<(String, Unreadable)>);

impl<C: ClusterApi> Registry<C> {
    /// Says how many mirrors may be written, the cluster's own beside them.
    pub fn show_at_most(&mut self, mirrors_max: usize) {
        self.mirrors_max = mirrors_max;
    }

    /// Reads all mirrors. Nothing of them is to be believed but the signed bytes, once verified.
    pub async fn load(api: C, own: ClusterName) -> Result<(Registry<C>, Found), cluster::Error> {
        let (mut mirrors, mut unreadable, mut kept) = (Vec::new(), Vec::new(), BTreeMap::new());
        for found in api.list(CLUSTERS).await? {
            let text = |key: &str| {
                found["metadata"][key]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            match ClusterMirror::read(&found) {
                Ok(mirror) => {
                    let (uid, resource_version) = (text("uid"), text("resourceVersion"));
                    let entry = Kept {
                        mirror: mirror.clone(),
                        sent: None,
                        uid,
                        resource_version,
                        found,
                        is_leaving: false,
                    };
                    kept.insert(mirror.name.clone(), entry);
                    mirrors.push(mirror);
                }
                Err(cause) => unreadable.push((text("name"), cause)),
            }
        }
        let registry = Registry {
            api,
            own,
            kept,
            permission: Permission::default(),
            mirrors_max: CLUSTER_MIRRORS_MAX,
        };
        Ok((registry, (mirrors, unreadable)))
    }

    /// By which it is said whether mirrors may be written.
    pub fn permission(&self) -> Permission {
        self.permission.clone()
    }

    /// Says what a mirror that was found should say, by its verified event. Where it says otherwise it
    /// is late.
    pub fn believe(&mut self, name: &ClusterName, document: Value) {
        let Some(kept) = self.kept.get_mut(name) else {
            return;
        };
        kept.mirror.document = document;
        let (found, content) = (kept.found.take(), kept.mirror.render());
        let parts = ["/metadata/labels", "/spec", "/status"];
        let says = |part: &str| match (found.pointer(part), content.pointer(part)) {
            (Some(found), Some(content)) => contains(found, content),
            (None, Some(_)) => false,
            (_, None) => true,
        };
        kept.sent = parts.into_iter().all(says).then(|| content_hash(&content));
    }

    /// Writes the mirrors that had to wait; one that fails does not keep the others.
    pub async fn write_late(&mut self) -> Result<(), cluster::Error> {
        let late = self.kept.values().filter(|kept| kept.is_late());
        let mut result = Ok(());
        for mirror in late.map(|kept| kept.mirror.clone()).collect::<Vec<_>>() {
            result = self.write(mirror).await.map(drop).and(result);
        }
        result
    }

    /// Writes a mirror, unless it already says that.
    pub async fn write(&mut self, mirror: ClusterMirror) -> Result<Mirrored, cluster::Error> {
        let name = mirror.name.clone();
        let known = self.kept.get(&name);
        if known.is_none() && name != self.own && self.kept.len() >= self.mirrors_max {
            return Ok(Mirrored::TooMany);
        }
        if !self.permission.is_given() {
            let (uid, resource_version) = known.map_or_else(Default::default, |kept| {
                (kept.uid.clone(), kept.resource_version.clone())
            });
            let waiting = Kept {
                mirror,
                sent: None,
                uid,
                resource_version,
                found: Value::Null,
                is_leaving: false,
            };
            self.kept.insert(name, waiting);
            return Ok(Mirrored::Later);
        }
        let content = mirror.render();
        let sent = Some(content_hash(&content));
        if known.is_some_and(|kept| kept.sent == sent) {
            return Ok(Mirrored::Written);
        }
        // Until an answer comes it may be there or not: what is put back from now on is this, and nothing
        // older.
        let (uid, resource_version) = known.map_or_else(Default::default, |kept| {
            (kept.uid.clone(), kept.resource_version.clone())
        });
        let begun = Kept {
            mirror: mirror.clone(),
            sent: None,
            uid,
            resource_version,
            found: Value::Null,
            is_leaving: false,
        };
        self.kept.insert(name.clone(), begun);
        let written = self
            .api
            .apply(&cluster_reference(&name), &content, Expect::Own)
            .await?;
        let (uid, resource_version) = (written.uid, written.resource_version);
        self.kept.insert(
            name,
            Kept {
                mirror,
                sent,
                uid,
                resource_version,
                found: Value::Null,
                is_leaving: false,
            },
        );
        Ok(Mirrored::Written)
    }

    /// Deletes the mirror of an entry that left the registry. Only ever called for a name that the
    /// log says is gone.
    pub async fn remove(&mut self, name: &ClusterName) -> Result<(), cluster::Error> {
        let at = cluster_reference(name);
        if let Some(kept) = self.kept.get_mut(name) {
            // The answer may be lost: what a watch then tells of is no change to be put back.
            kept.is_leaving = true;
        }
        if let Some(kept) = self.kept.get(name) {
            let may_write = self.permission.is_given();
            if !kept.uid.is_empty() && !may_write {
                return Err(cluster::Error::new(
                    cluster::ErrorKind::Unavailable,
                    "delete",
                    at,
                    "nothing may be written now",
                ));
            }
            if !kept.uid.is_empty() {
                self.delete(&at, &kept.uid, &kept.resource_version).await?;
            } else if may_write
                && let Some(now) = self.api.get(&at).await?.and_then(ObservedObject::read)
            {
                // Written, and the answer was lost.
                self.delete(&at, &now.uid, &now.resource_version).await?;
            }
        }
        self.kept.remove(name);
        Ok(())
    }

    /// Deletes a mirror, whatever a person made of it meanwhile.
    async fn delete(&self, at: &ObjectRef, uid: &str, version: &str) -> Result<(), cluster::Error> {
        let identity = |resource_version| Identity {
            uid,
            resource_version,
        };
        let conflict = match self.api.delete(at, identity(version)).await {
            Err(error) if error.kind == ErrorKind::Conflict => error,
            result => return result.map(drop),
        };
        let now = self.api.get(at).await?.and_then(ObservedObject::read);
        match now {
            None => Ok(()),
            Some(now) if now.uid == uid => {
                let identity = identity(now.resource_version.as_str());
                self.api.delete(at, identity).await.map(drop)
            }
            Some(_) => Err(conflict),
        }
    }

    /// Puts back what a watch saw changed by others, and writes what could not be written before. A
    /// mirror of which no verified event is known is left.
    pub async fn handle(&mut self, event: &Event) -> Result<(), cluster::Error> {
        if !self.permission.is_given() {
            return Ok(());
        }
        let changed: Vec<ClusterName> = match event {
            Event::Touched {
                reference,
                resource_version,
            } => self
                .changed(reference, resource_version.as_deref())
                .into_iter()
                .collect(),
            Event::Listed { resource, present } if *resource == CLUSTERS => self
                .kept
                .keys()
                .filter_map(|name| {
                    let reference = cluster_reference(name);
                    self.changed(&reference, present.get(&reference).map(String::as_str))
                })
                .collect(),
            Event::Listed { .. } | Event::Namespace { .. } | Event::Namespaces { .. } => Vec::new(),
        };
        for name in changed {
            let Some(kept) = self.kept.get_mut(&name) else {
                continue;
            };
            kept.sent = None;
            let mirror = kept.mirror.clone();
            self.write(mirror).await?;
        }
        Ok(())
    }

    fn changed(
        &self,
        reference: &ObjectRef,
        resource_version: Option<&str>,
    ) -> Option<ClusterName> {
        if !is_entry(reference) {
            return None;
        }
        let name = ClusterName::parse(&reference.name).ok()?;
        let kept = self.kept.get(&name)?;
        let same = resource_version == Some(kept.resource_version.as_str());
        let is_changed = kept.is_late() || (kept.sent.is_some() && !same);
        (is_changed && !kept.is_leaving).then_some(name)
    }
}

#[cfg(test)]
mod tests;
