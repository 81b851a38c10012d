//! What the cluster kept of the log, taken back at the start.
//!
//! Only what is signed by a publisher and verifies again counts: a forged mirror is never acted upon,
//! and drift is repaired even while the bus is away. An entry that does not verify counts as missing,
//! loudly: its objects stay ours and stay as they are, and what it says is read from the log again.

use std::sync::Arc;

use writ_core::{
    ack::Failure,
    envelope::Keyring,
    event::{Body, Event},
    follower::{Follower, Key, Past, Standing},
    name::{ClusterName, Name},
    plan::Reason,
    revision::{Generation, Revision},
    root::Root,
    scope::Kind,
    subject::BusSubject,
};

use crate::{
    cluster::{ClusterApi, Error},
    cut::Cut,
    engine::{Engine, Loaded, LoadedPolicy},
    evidence::Evidence,
    mirror::ClusterMirror,
    registry::Registry,
    report::Told,
    slot::Content,
    verify::Gate,
    work::past_of,
};

/// What was taken back beside what the follower and the engine hold now.
pub(crate) struct Recalled<C> {
    pub(crate) registry: Registry<C>,
    /// Entries that somebody changed while no subscriber was there to put them back.
    pub(crate) tampered: Vec<Tampered>,
}

/// An entry whose signed bytes do not verify, or are not those of its record.
#[derive(Debug)]
pub(crate) struct Tampered {
    key: Key,
    generation: Generation,
}

impl Tampered {
    fn report(key: Key, generation: Generation) -> Tampered {
        tracing::error!(
            kind = key.0.as_str(),
            name = %key.1,
            reason = Reason::LedgerTampered.as_str(),
            "the signed event kept in the cluster does not verify: it counts as missing and is read from the log again"
        );
        Tampered { key, generation }
    }

    pub(crate) fn standing(&self) -> Standing {
        let object = match self.key.0 {
            Kind::Policy => format!("ClusterPolicy {}", self.key.1),
            Kind::Cluster => format!("Cluster {}", self.key.1),
        };
        let message = "its signed event did not verify at the start; read from the log again";
        let reason = Reason::LedgerTampered.as_str().to_owned();
        Standing {
            failures: vec![Failure {
                object,
                reason: reason.clone(),
                message: message.to_owned(),
            }],
            ..Standing::refused(reason, message.to_owned())
        }
    }

    /// As the next ack tells it: somebody did this to the cluster, no edit did.
    pub(crate) fn told<'a>(&'a self, standing: &'a Standing, now_ms: u64) -> Told<'a> {
        Told {
            key: &self.key,
            generation: self.generation,
            revision: Revision::ZERO,
            removed: false,
            drift: true,
            standing,
            received_ms: now_ms,
            applied_ms: 0,
        }
    }
}

/// Takes back the cluster's own registry entry, which is kept beside the mirrors.
pub(crate) fn recall_own(
    gate: &mut Gate,
    follower: &mut Follower,
    own: &ClusterName,
    signed: &[u8],
) {
    let key = (Kind::Cluster, Name::from(own));
    match open(gate, signed, &key) {
        Some((event, bytes)) => follower.restore_own(&event, &bytes),
        None => tracing::error!("the own registry entry kept in writ-state does not verify"),
    }
}

/// Takes back the root and the feeds that an earlier run agreed with. Answers the root's revision.
/// To be called after everything else was taken back.
pub(crate) fn recall_cut(
    gate: &mut Gate,
    follower: &mut Follower,
    evidence: &mut Evidence,
    offline: &Keyring,
    cut: Cut,
) -> Revision {
    let Some((root, signed)) = gate.open::<Root>(&BusSubject::Root, &cut.root) else {
        return Revision::ZERO;
    };
    match writ_proto::log::open_opening(&root.value, offline) {
        Ok(Some(opening)) => follower.on_opening(&opening),
        Ok(None) => {}
        Err(_) => return Revision::ZERO,
    }
    // What can't be read is read from the log.
    let feeds = cut.feeds.iter().filter_map(|(feed, bytes)| {
        let entries = writ_proto::offer::entries_from_bytes(bytes).ok()?;
        Some((feed.clone(), entries))
    });
    let revision = root.value.revision;
    follower.restore_root(root.value.clone(), root.hash, feeds.collect());
    evidence.saw_root(&root.value, &signed);
    revision
}

/// Reads all mirrors and gives what verifies to the follower and the engine.
pub(crate) async fn recall<C: ClusterApi + Clone>(
    gate: &mut Gate,
    follower: &mut Follower,
    engine: &Engine<C>,
    api: C,
    own: &ClusterName,
) -> Result<Recalled<C>, Error> {
    let (mut registry, (clusters, unreadable)) = Registry::load(api, own.clone()).await?;
    for (name, cause) in unreadable {
        let error = &cause as &dyn std::error::Error;
        tracing::warn!(
            name,
            error,
            "registry mirror can't be read; it is written anew from the log"
        );
    }
    let mut tampered = recall_clusters(gate, follower, &mut registry, clusters);
    let Loaded {
        policies,
        unreadable,
    } = engine.load().await?;
    for (name, cause) in &unreadable {
        let error = cause as &dyn std::error::Error;
        tracing::error!(
            name,
            error,
            "policy mirror can't be read: its objects are left alone until it is mended or deleted"
        );
    }
    for policy in policies {
        tampered.extend(recall_policy(gate, follower, engine, policy).await);
    }
    Ok(Recalled { registry, tampered })
}

fn recall_clusters<C: ClusterApi>(
    gate: &mut Gate,
    follower: &mut Follower,
    registry: &mut Registry<C>,
    mirrors: Vec<ClusterMirror>,
) -> Vec<Tampered> {
    let mut tampered = Vec::new();
    for mirror in mirrors {
        let key = (Kind::Cluster, Name::from(&mirror.name));
        let Some((event, bytes)) = open(gate, &mirror.signed, &key) else {
            if gate.is_of_revoked(&mirror.signed) {
                continue;
            }
            tampered.push(Tampered::report(key, mirror.generation));
            continue;
        };
        if let Some(body) = body_of(&event) {
            registry.believe(&mirror.name, body.object);
        }
        let past = Past {
            as_of: event.revision,
            word: event.revision,
            generation: event.generation,
            feed: event.feed.clone(),
            hash: event.hash(),
            removed: false,
            done: true,
        };
        follower.restore(key, past, Some((&event, &bytes)));
    }
    tampered
}

async fn recall_policy<C: ClusterApi>(
    gate: &mut Gate,
    follower: &mut Follower,
    engine: &Engine<C>,
    loaded: LoadedPolicy,
) -> Option<Tampered> {
    let LoadedPolicy {
        policy,
        record,
        signed,
    } = loaded;
    let key = (Kind::Policy, Name::from(&policy));
    let opened = open(gate, &signed, &key)
        .filter(|(event, _)| record.removed || event.hash() == Some(record.hash));
    let Some((event, bytes)) = opened else {
        let past = past_of(&engine.distrust(&policy).await?);
        follower.restore(key.clone(), past, None);
        if gate.is_of_revoked(&signed) {
            tracing::info!(%policy, "what is kept was signed by a key that is revoked: it is read from the log again");
            return None;
        }
        return Some(Tampered::report(key, record.generation));
    };
    if record.removed {
        // The signed event is this edit's tombstone, or, where absence at a cut removes, still the
        // last content: then the record alone says that it is to go, and anybody could have.
        match event.hash().is_none() && event.revision == record.word {
            true => follower.restore(key, past_of(&record), None),
            false => follower.restore_unproven(key, past_of(&record)),
        }
        return None;
    }
    if let Some(content) = content_of(&event)
        && let Err(error) = engine.restore(&policy, record.hash, content).await
    {
        tracing::warn!(%policy, "{error}");
    }
    follower.restore(key, past_of(&record), Some((&event, &bytes)));
    None
}

/// Verifies signed bytes that a mirror kept, under the subject that they themselves name.
fn open(gate: &mut Gate, signed: &[u8], key: &Key) -> Option<(Event, Arc<[u8]>)> {
    let feed = writ_proto::log::claimed_subject(signed)?;
    let subject = BusSubject::parse(&feed).ok()?;
    let (event, bytes) = gate.open::<Event>(&subject, signed)?;
    let fits = (event.value.feed.kind, &event.value.name) == (key.0, &key.1);
    fits.then_some((event.value, bytes))
}

fn body_of(event: &Event) -> Option<Body> {
    Body::decode(event, event.body.as_deref()?).ok()
}

fn content_of(event: &Event) -> Option<Content> {
    let body = body_of(event)?;
    Content::decode(body.object.to_string().as_bytes()).ok()
}
