//! The mirrors of registry entries: so that `kubectl get wcl` in any cluster lists the fleet that
//! this cluster may see, and so that its own entry survives a restart without the log.

use std::collections::BTreeMap;

use writ_core::hash::Hash;
use writ_core::model::ObjectRef;
use writ_core::name::ClusterName;
use writ_core::plan::content_hash;

use crate::cluster::{self, ClusterApi, Expect, Identity};
use crate::drift::Event;
use crate::mirror::{ClusterMirror, Unreadable, cluster_reference};
use crate::resource::CLUSTERS;

/// Mirrors of other clusters that are written. 10,000 cost an API server 257 MiB.
pub const CLUSTER_MIRRORS_MAX: usize = 1_000;

/// The mirrors of registry entries in this cluster.
pub struct Registry<C> {
    api: C,
    own: ClusterName,
    kept: BTreeMap<ClusterName, Kept>,
    /// Nothing is written where the subscriber only observes, or the ceiling is not in force.
    may_write: bool,
}

struct Kept {
    mirror: ClusterMirror,
    sent: Option<Hash>,
    uid: String,
    resource_version: String,
}

impl Kept {
    /// Whether it was to be written and could not be.
    fn is_late(&self) -> bool {
        self.sent.is_none() && !self.mirror.document.is_null()
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
    /// There are [`CLUSTER_MIRRORS_MAX`] already; the entry is only in the log.
    TooMany,
    /// Nothing may be written now; it is written when that changes.
    Later,
}

/// The mirrors that were found, and the names of those that cannot be read.
pub type Found = (Vec<ClusterMirror>, Vec<(String, Unreadable)>);

impl<C: ClusterApi> Registry<C> {
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
            may_write: true,
        };
        Ok((registry, (mirrors, unreadable)))
    }

    /// Says whether mirrors may be written from now on, and writes those that had to wait.
    pub async fn permit(&mut self, may_write: bool) -> Result<(), cluster::Error> {
        self.may_write = may_write;
        if !may_write {
            return Ok(());
        }
        let late = self.kept.values().filter(|kept| kept.is_late());
        for mirror in late.map(|kept| kept.mirror.clone()).collect::<Vec<_>>() {
            self.write(mirror).await?;
        }
        Ok(())
    }

    /// Writes a mirror, unless it already says that.
    pub async fn write(&mut self, mirror: ClusterMirror) -> Result<Mirrored, cluster::Error> {
        let name = mirror.name.clone();
        let known = self.kept.get(&name);
        if known.is_none() && name != self.own && self.kept.len() >= CLUSTER_MIRRORS_MAX {
            return Ok(Mirrored::TooMany);
        }
        if !self.may_write {
            let (uid, resource_version) = known.map_or_else(Default::default, |kept| {
                (kept.uid.clone(), kept.resource_version.clone())
            });
            let waiting = Kept {
                mirror,
                sent: None,
                uid,
                resource_version,
            };
            self.kept.insert(name, waiting);
            return Ok(Mirrored::Later);
        }
        let content = mirror.render();
        let sent = Some(content_hash(&content));
        if known.is_some_and(|kept| kept.sent == sent) {
            return Ok(Mirrored::Written);
        }
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
            },
        );
        Ok(Mirrored::Written)
    }

    /// Deletes the mirror of an entry that left the registry. Only ever called for a name that the
    /// log says is gone.
    pub async fn remove(&mut self, name: &ClusterName) -> Result<(), cluster::Error> {
        if let Some(kept) = self.kept.get(name).filter(|kept| !kept.uid.is_empty()) {
            if !self.may_write {
                let (at, message) = (cluster_reference(name), "nothing may be written now");
                return Err(cluster::Error::new(
                    cluster::ErrorKind::Unavailable,
                    "delete",
                    at,
                    message,
                ));
            }
            let identity = Identity {
                uid: &kept.uid,
                resource_version: &kept.resource_version,
            };
            self.api.delete(&cluster_reference(name), identity).await?;
        }
        self.kept.remove(name);
        Ok(())
    }

    /// Puts back what a watch saw changed by others. A mirror whose content was not written since
    /// the start is left: its spec was not verified.
    pub async fn handle(&mut self, event: &Event) -> Result<(), cluster::Error> {
        if !self.may_write {
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
        (kept.sent.is_some() && !same).then_some(name)
    }
}
