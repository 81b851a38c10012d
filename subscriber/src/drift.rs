//! Watches what others do to our objects: metadata only, one watch per kind, by our label. Namespaces
//! are watched all of them, because grants select by their labels.
//!
//! The watch only says where to look. A label taken off reads as a deletion and a deletion may be
//! our own, so the object itself is always looked up by who handles the event.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kube::api::{ApiResource, DynamicObject};
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use rand::RngExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use writ_core::model::ObjectRef;
use writ_core::plan::MANAGED;

use crate::namespaces::{All, Seen};
use crate::resource::{self, NAMESPACES, Resource, watched};

/// Events waiting to be handled. A full queue holds the watches back; nothing is lost, because a
/// watch that falls too far behind is started again with a list.
pub const EVENTS_WAITING_MAX: usize = 1024;
/// Each kind is listed again after this time, give or take a fifth: a watch can end silently.
pub const RELIST_PERIOD_S: u64 = 600;

/// Something that others may have done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An object came, changed, went, or lost our label.
    Touched {
        /// Which object.
        reference: ObjectRef,
        /// Its state now; `None` if it is gone or lost our label.
        resource_version: Option<String>,
    },
    /// All objects of a kind that carry our label: at the start, and now and then. What is ours and
    /// not in it was deleted or lost its label.
    Listed {
        /// Which kind.
        resource: Resource,
        /// The state of each object.
        present: BTreeMap<ObjectRef, String>,
    },
    /// A namespace came, changed or went, whether or not it is ours: grants select by its labels.
    Namespace {
        /// Its name.
        name: String,
        /// Its state now; `None` if it is gone.
        resource_version: Option<String>,
        /// What it is like now; `None` if it is gone.
        seen: Option<Seen>,
    },
    /// All namespaces: at the start, and now and then.
    Namespaces {
        /// What they are like.
        all: All,
        /// The state of each.
        present: BTreeMap<ObjectRef, String>,
    },
}

/// Watches all kinds until it is shut down or nobody takes the events any more; further kinds from
/// when a policy holds one. The first `Listed` of each kind says that its watch stands. Failures are
/// logged and tried again with backoff.
pub async fn watch(client: kube::Client, events: mpsc::Sender<Event>, shutdown: CancellationToken) {
    let follow_kind = |resource| follow(client.clone(), resource, events.clone());
    let mut watches: FuturesUnordered<_> = watched().map(follow_kind).collect();
    let mut further = resource::further();
    let mut begun = 0;
    loop {
        let more: Vec<Resource> = further.borrow_and_update()[begun..].to_vec();
        begun += more.len();
        watches.extend(more.into_iter().map(follow_kind));
        tokio::select! {
            () = shutdown.cancelled() => return,
            ended = watches.next() => if ended.is_none() { return },
            changed = further.changed() => if changed.is_err() { return },
        }
    }
}

async fn follow(client: kube::Client, resource: Resource, events: mpsc::Sender<Event>) {
    let kind = ApiResource {
        group: resource.group().to_owned(),
        version: resource.version().to_owned(),
        api_version: resource.api_version.to_owned(),
        kind: resource.kind.to_owned(),
        plural: resource.plural.to_owned(),
    };
    while !events.is_closed() {
        let api = kube::Api::<PartialObjectMeta<DynamicObject>>::all_with(client.clone(), &kind);
        let period = relist_period();
        // The end of the time is the normal way out: the next round begins with a list.
        let _ = tokio::time::timeout(period, follow_once(api, resource, &events)).await;
    }
}

async fn follow_once(
    api: kube::Api<PartialObjectMeta<DynamicObject>>,
    resource: Resource,
    events: &mpsc::Sender<Event>,
) {
    let config = match resource == NAMESPACES {
        // All of them, for their labels.
        true => watcher::Config::default(),
        false => watcher::Config::default().labels(&format!("{MANAGED}=true")),
    };
    let stream = watcher(api, config).default_backoff();
    let mut stream = std::pin::pin!(stream);
    let mut listed = Vec::new();
    while let Some(next) = stream.next().await {
        let event = match next {
            Ok(watcher::Event::Init) => {
                listed.clear();
                continue;
            }
            Ok(watcher::Event::InitApply(object)) => {
                listed.extend(Met::read(resource, &object));
                continue;
            }
            Ok(watcher::Event::InitDone) => Some(Met::listed(resource, listed.drain(..))),
            Ok(watcher::Event::Apply(object)) => {
                Met::read(resource, &object).map(|met| met.touched(true))
            }
            Ok(watcher::Event::Delete(object)) => {
                Met::read(resource, &object).map(|met| met.touched(false))
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(kind = resource.kind, error, "watch interrupted");
                continue;
            }
        };
        if let Some(event) = event
            && events.send(event).await.is_err()
        {
            return;
        }
    }
}

/// An object that a watch met.
struct Met {
    reference: ObjectRef,
    version: Option<String>,
    /// What a namespace is like; nothing of other kinds.
    seen: Option<Seen>,
}

impl Met {
    fn read(resource: Resource, object: &PartialObjectMeta<DynamicObject>) -> Option<Met> {
        let metadata = &object.metadata;
        let name = metadata.name.as_deref()?;
        let seen = (resource == NAMESPACES).then(|| Seen {
            labels: metadata.labels.clone().unwrap_or_default(),
            terminating: metadata.deletion_timestamp.is_some(),
        });
        Some(Met {
            reference: resource.reference(metadata.namespace.as_deref(), name),
            version: metadata.resource_version.clone(),
            seen,
        })
    }

    fn touched(self, is_there: bool) -> Event {
        let resource_version = self.version.filter(|_| is_there);
        match self.seen {
            Some(seen) => Event::Namespace {
                name: self.reference.name,
                resource_version,
                seen: is_there.then_some(seen),
            },
            None => Event::Touched {
                reference: self.reference,
                resource_version,
            },
        }
    }

    fn listed(resource: Resource, met: impl Iterator<Item = Met>) -> Event {
        let (mut all, mut present) = (All::new(), BTreeMap::new());
        for Met {
            reference,
            version,
            seen,
        } in met
        {
            all.extend(seen.map(|seen| (reference.name.clone(), seen)));
            present.extend(version.map(|version| (reference, version)));
        }
        match resource == NAMESPACES {
            true => Event::Namespaces { all, present },
            false => Event::Listed { resource, present },
        }
    }
}

/// Spread, so that a fleet that was started together does not list together.
fn relist_period() -> Duration {
    let fifth = RELIST_PERIOD_S / 5;
    Duration::from_secs(rand::rng().random_range(RELIST_PERIOD_S - fifth..=RELIST_PERIOD_S + fifth))
}
