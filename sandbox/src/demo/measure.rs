//! How fast an edit is, beside the limit: one PATCH to each API server, side by side, in the same run.
//!
//! Both are seen by the same watches, one on each cluster, so that the figures can be compared. They
//! are figures of this machine, where the whole fleet shares the cores.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::{StreamExt, future::try_join_all};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams, WatchEvent, WatchParams},
};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    Error,
    policies::{self},
    told,
};
use crate::fleet::Fleet;

/// How long one round may take.
const ROUND_LIMIT: Duration = Duration::from_secs(30);
/// The label under which both bindings are watched.
const LABEL: &str = "demo";
const DIRECT: &str = "demo-direct";
const POLICY: &str = "demo-speed";
const GRANT: &str = "writ:demo-speed:who";

/// Times of one kind of change, in the order of the rounds.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    clusters: usize,
    visible: Vec<Duration>,
    answered: Vec<Duration>,
    patched: Vec<Duration>,
}

impl Measured {
    /// Prints p50 and p90 of each.
    pub(super) fn tell(mut self) -> Result<(), Error> {
        let clusters = self.clusters;
        let row = |what: String, times: &mut Vec<Duration>| {
            times.sort();
            let at = |share: usize| told::ms(times[(times.len() - 1) * share / 100]);
            told::aside(format!("{what:<58} p50 {:>7}   p90 {:>7}", at(50), at(90)))
        };
        row(
            format!("one PATCH to each of {clusters} API servers, until visible on all"),
            &mut self.patched,
        )?;
        row(
            format!("an edit, until visible on all {clusters}"),
            &mut self.visible,
        )?;
        row(
            format!("an edit, until the last of {clusters} acknowledgements"),
            &mut self.answered,
        )?;
        Ok(())
    }
}

/// The subjects that the watched bindings of a cluster name, by binding.
type Seen = BTreeMap<String, String>;

pub(super) async fn run(
    fleet: &Fleet,
    api: &policies::Api,
    rounds: u32,
) -> Result<Measured, Error> {
    let clusters: Vec<(String, Client)> = fleet
        .clusters()
        .map(|c| (c.name().to_owned(), c.client().clone()))
        .collect();
    let failed = |name: &str| {
        let name = name.to_owned();
        move |cause| Error::ApiServer(name, Box::new(cause))
    };
    let mut watches = Vec::new();
    for (name, client) in &clusters {
        let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
        let first: ClusterRoleBinding = read(direct("nobody"))?;
        bindings
            .create(&PostParams::default(), &first)
            .await
            .map_err(failed(name))?;
        let (seen_in, seen) = watch::channel(Seen::new());
        watches.push((name.clone(), seen));
        tokio::spawn(see(bindings, seen_in));
    }
    let mut measured = Measured {
        clusters: clusters.len(),
        ..Measured::default()
    };
    // The first round warms up and does not count.
    for round in 0..=rounds {
        let who = format!("user-{round}");
        let since = Instant::now();
        try_join_all(clusters.iter().map(async |(name, client)| {
            let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
            let patch = Patch::Merge(json!({ "subjects": subjects(&who) }));
            bindings
                .patch(DIRECT, &PatchParams::default(), &patch)
                .await
                .map_err(failed(name))
        }))
        .await?;
        let patched = until_seen(&watches, DIRECT, &who, since).await?;

        let submitted = api.apply(&policy(&who), "the demo measures").await?;
        let visible = until_seen(&watches, GRANT, &who, submitted.since);
        let (visible, answered) =
            tokio::try_join!(visible, api.until_applied(&submitted, |_| Ok(())))?;
        if round > 0 {
            measured.patched.push(patched);
            measured.visible.push(visible);
            measured.answered.push(answered);
        }
    }
    Ok(measured)
}

/// Keeps what a cluster's watch says until nobody looks any more.
async fn see(bindings: Api<ClusterRoleBinding>, seen: watch::Sender<Seen>) {
    let mut version = "0".to_owned();
    while !seen.is_closed() {
        let Ok(stream) = bindings.watch(&WatchParams::default(), &version).await else {
            continue;
        };
        let mut stream = Box::pin(stream);
        while let Some(event) = stream.next().await {
            let (Ok(WatchEvent::Added(binding)) | Ok(WatchEvent::Modified(binding))) = event else {
                continue;
            };
            version = binding.metadata.resource_version.clone().unwrap_or(version);
            let name = binding.metadata.name.unwrap_or_default();
            let who = binding
                .subjects
                .and_then(|subjects| Some(subjects.first()?.name.clone()));
            if [DIRECT, GRANT].contains(&name.as_str()) {
                seen.send_modify(|seen| {
                    seen.insert(name, who.unwrap_or_default());
                });
            }
        }
    }
}

async fn until_seen(
    watches: &[(String, watch::Receiver<Seen>)],
    binding: &str,
    who: &str,
    since: Instant,
) -> Result<Duration, Error> {
    let all = watches.iter().map(async |(name, seen)| {
        let mut seen = seen.clone();
        let there = seen.wait_for(|seen| seen.get(binding).is_some_and(|found| found == who));
        match tokio::time::timeout(ROUND_LIMIT, there).await {
            Ok(Ok(_)) => Ok(since.elapsed()),
            _ => Err(Error::Untrue(format!("{binding} names {who} on {name}"))),
        }
    });
    Ok(try_join_all(all)
        .await?
        .into_iter()
        .max()
        .unwrap_or_default())
}

fn subjects(who: &str) -> Value {
    json!([{"kind": "User", "name": who, "apiGroup": "rbac.authorization.k8s.io"}])
}

fn direct(who: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": DIRECT, "labels": {LABEL: "direct"}},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": subjects(who),
    })
}

fn read(value: Value) -> Result<ClusterRoleBinding, Error> {
    serde_json::from_value(value).map_err(|cause| Error::Example("a binding", Box::new(cause)))
}

fn policy(who: &str) -> Value {
    json!({
        "apiVersion": "writ.dev/v1alpha1",
        "kind": "ClusterPolicy",
        "metadata": {"name": POLICY},
        "spec": {
            "clusters": {"all": true},
            "grants": [{"name": "who", "subjects": [{"user": who}], "clusterRole": "view", "clusterWide": true}],
        },
    })
}
