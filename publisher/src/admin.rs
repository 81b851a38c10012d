//! What a publisher shows of itself beside the API: gauges that are read off its state, and a dump of that state.
//!
//! Never shows a secret, and no document: who may read those is judged by the API.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};
use writ_bus::{
    Client,
    streams::{self, Stream},
};
use writ_core::{
    edit::Kind,
    tracker::{Liveness, Now, Tracker},
};
use writ_telemetry::describe;

use crate::{
    follow,
    metrics::{BusStream, Meters},
    view::View,
};

/// How often the copies of the streams are counted: a lost server shows within two scrapes.
const COPIES_PERIOD: Duration = Duration::from_secs(30);

/// Counts the copies of the streams, for ever.
pub(crate) async fn watch_copies(client: Client, meters: Meters) -> Result<(), follow::Error> {
    let mut times = interval(COPIES_PERIOD);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        times.tick().await;
        for (stream, label) in [
            (Stream::Log, BusStream::Log),
            (Stream::Acks, BusStream::Acks),
        ] {
            match streams::copies(&client, stream).await {
                Ok(copies) => meters.bus(label, copies.current, copies.wanted),
                Err(error) => {
                    meters.no_copies(label);
                    tracing::debug!("copies are not counted: {}", describe(&error));
                }
            }
        }
    }
}

/// The state of a publisher, for support.
pub(crate) fn dump(publisher: &str, view: &View, tracker: &Tracker, now: Now) -> Value {
    let overview = tracker.overview(now);
    let clusters: Vec<Value> = view
        .clusters()
        .filter_map(|cluster| tracker.cluster_status(&cluster.name, now))
        .map(|status| {
            json!({
                "name": status.name.as_str(),
                "liveness": liveness(status.liveness),
                "observes": status.observes,
                "reached": status.revision.map(|revision| revision.to_string()),
                "subscriber": status.subscriber_version,
                "kubernetes": status.kubernetes_version,
                "clockSkewMs": status.clock_skew_ms,
                "bootId": status.boot_id,
                "applied": status.counts.applied,
                "pending": status.counts.pending,
                "refused": status.counts.refused,
                "forked": status.fork.map(|fork| fork.to_string()),
            })
        })
        .collect();
    json!({
        "publisher": publisher,
        "version": env!("CARGO_PKG_VERSION"),
        "wallClockMs": now.wall_ms,
        "upMs": now.monotonic_ms,
        "log": {
            "revision": view.revision().to_string(),
            "rootSequence": view.root_sequence,
            "rootHash": view.root_hash.map(|hash| hash.to_string()),
            "editsRefused": view.broken.as_ref().map(ToString::to_string),
        },
        "documents": {
            "policies": view.documents_after(Kind::Policy, None).count(),
            "clusters": view.documents_after(Kind::Cluster, None).count(),
            "access": view.documents_after(Kind::Access, None).count(),
            "tokens": view.documents_after(Kind::Token, None).count(),
            "proposals": view.documents_after(Kind::Proposal, None).count(),
        },
        "fleet": {
            "live": overview.live,
            "silent": overview.silent,
            "notHeardYet": overview.unknown,
            "stale": overview.stale,
            "observing": overview.observing,
            "forked": overview.forked,
            "revisionsBehind": overview.revisions_behind,
        },
        "clusters": clusters,
    })
}

fn liveness(of: Liveness) -> Value {
    match of {
        Liveness::Live { last_heard_ms } => json!({"state": "live", "lastHeardMs": last_heard_ms}),
        Liveness::Unknown { last_heard_ms } => {
            json!({"state": "not heard yet", "lastHeardMs": last_heard_ms})
        }
        Liveness::Silent {
            since_ms,
            last_heard_ms,
        } => json!({"state": "silent", "sinceMs": since_ms, "lastHeardMs": last_heard_ms}),
    }
}
