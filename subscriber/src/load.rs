//! What the cluster kept about each policy, read at the start. Part of the engine.

use writ_core::hash::Hash;
use writ_core::name::PolicyName;
use writ_core::plan::Record;

use crate::cluster::{self, ClusterApi};
use crate::engine::Engine;
use crate::mirror;
use crate::resource::CLUSTER_POLICIES;
use crate::slot::{Content, Slot, WrittenMirror};

/// What was found in the cluster at the start.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Policies with a readable record.
    pub policies: Vec<LoadedPolicy>,
    /// Mirrors that cannot be read, with the reason. Their objects are left alone, and `bring`
    /// refuses them until a person has deleted or mended the mirror.
    pub unreadable: Vec<(String, mirror::Unreadable)>,
}

/// A policy as its mirror has it. Nothing of it is believed but the signed bytes, once verified.
#[derive(Debug, Clone)]
pub struct LoadedPolicy {
    /// Which policy.
    pub policy: PolicyName,
    /// What it was last brought to.
    pub record: Record,
    /// The signed envelope of the event, to be verified and given back by [`Engine::restore`].
    pub signed: Vec<u8>,
}

/// The verified content that was given back is not the recorded one.
#[derive(Debug, thiserror::Error)]
#[error("the content of policy {0} is not the one that its record names")]
pub struct NotRecorded(PolicyName);

impl<C: ClusterApi> Engine<C> {
    /// Reads all mirrors. Until the content of a policy was verified again and given to
    /// [`restore`](Self::restore) or [`bring`](Self::bring), its objects are not repaired.
    pub async fn load(&self) -> Result<Loaded, cluster::Error> {
        let mut loaded = Loaded::default();
        for found in self.inner.api.list(CLUSTER_POLICIES).await? {
            match mirror::read_policy(&found) {
                Ok(stored) => {
                    let slot = self.inner.slots.open(&stored.policy);
                    let mut slot = slot.lock().await;
                    let items = stored.record.objects.iter().map(|item| &item.reference);
                    self.inner.slots.claim(&stored.policy, items);
                    let text = |key: &str| {
                        found["metadata"][key]
                            .as_str()
                            .unwrap_or_default()
                            .to_owned()
                    };
                    *slot = Slot {
                        shown: (
                            mirror::stage_of(&found, &stored.record),
                            mirror::message_of(&found),
                        ),
                        record: Some(stored.record.clone()),
                        signed: stored.signed.clone(),
                        mirror: Some(WrittenMirror {
                            sent: None,
                            uid: text("uid"),
                            resource_version: text("resourceVersion"),
                            stored: stored.record.clone(),
                            shown: None,
                        }),
                        ..Slot::default()
                    };
                    let mirror::StoredPolicy {
                        policy,
                        record,
                        signed,
                    } = stored;
                    loaded.policies.push(LoadedPolicy {
                        policy,
                        record,
                        signed,
                    });
                }
                Err(cause) => {
                    let name = found["metadata"]["name"].as_str().unwrap_or_default();
                    if let Ok(policy) = PolicyName::parse(name) {
                        let slot = self.inner.slots.open(&policy);
                        slot.lock().await.unreadable = Some(cause.to_string());
                    }
                    loaded.unreadable.push((name.to_owned(), cause));
                }
            }
        }
        Ok(loaded)
    }

    /// Gives back the verified content of a policy's record after a start, so that its objects are
    /// repaired even while the log cannot be reached.
    pub async fn restore(
        &self,
        policy: &PolicyName,
        hash: Hash,
        content: Content,
    ) -> Result<(), NotRecorded> {
        let refuse = || NotRecorded(policy.clone());
        let slot = self.inner.slots.find(policy).ok_or_else(refuse)?;
        let mut slot = slot.lock().await;
        match &slot.record {
            Some(record) if record.hash == hash && !record.removed => {
                self.inner.slots.select(policy, Some(&content));
                slot.content = Some(content);
                Ok(())
            }
            _ => Err(refuse()),
        }
    }
}
