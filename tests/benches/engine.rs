//! How fast one cluster is brought to a policy, beside the same requests sent raw; and how fast drift
//! goes away. On a real kube-apiserver, with the subscriber's own token and ceiling.
//!
//! `cargo bench -p writ-tests --bench engine`. Both sides run in turn in one process; only ratios mean
//! anything on a shared machine.

#[path = "../tests/subscriber/fixture.rs"]
#[allow(dead_code)]
mod fixture;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{Api, DeleteParams, ListParams, WatchEvent, WatchParams};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use writ_core::model::Object;
use writ_core::plan::{Phase, marked};
use writ_subscriber::cluster::{ClusterApi, Expect};
use writ_subscriber::drift;
use writ_subscriber::observe::CALLS_AT_ONCE_MAX;

use crate::fixture::{Compiled, Fixture, RBAC, compile, policy, target};

/// Objects of the large policy.
const OBJECTS: usize = 1_000;
/// First applies of each side.
const ROUNDS: usize = 5;
/// Objects deleted by hand.
const DELETIONS: usize = 50;

#[tokio::main]
async fn main() {
    let fixture = Fixture::start().await;
    println!(
        "first apply of {OBJECTS} objects, {ROUNDS} rounds in turn, {CALLS_AT_ONCE_MAX} at once"
    );
    let (mut raw, mut engine) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Who goes first changes, so that what grows (etcd, caches) favours neither.
        if round % 2 == 0 {
            raw.push(send_raw(&fixture, &format!("raw{round}")).await);
            engine.push(bring(&fixture, &format!("big{round}")).await);
        } else {
            engine.push(bring(&fixture, &format!("big{round}")).await);
            raw.push(send_raw(&fixture, &format!("raw{round}")).await);
        }
    }
    let ratio = median(&engine).as_secs_f64() / median(&raw).as_secs_f64();
    println!("  raw PATCHes  {}", spread(&raw));
    println!("  the engine   {}", spread(&engine));
    println!("  ratio of medians {ratio:.2} (limit 1.50)");
    change_one(&fixture).await;
    repair(&fixture).await;
}

/// The large policy under names of its own: ten namespaces with accounts, roles and bindings.
fn large(name: &str, changed: bool) -> Compiled {
    let mut objects = Vec::new();
    for space in 0..10 {
        let namespace = format!("{name}-{space}");
        objects.push(
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        );
        for number in 0..9 {
            let metadata = json!({"name": format!("bot-{number}"), "namespace": namespace});
            objects
                .push(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}));
        }
        for number in 0..45 {
            let metadata = json!({"name": format!("role-{number}"), "namespace": namespace});
            let verb = if changed && (space, number) == (4, 7) {
                "list"
            } else {
                "get"
            };
            let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": [verb]}]);
            objects.push(
                json!({"apiVersion": RBAC, "kind": "Role", "metadata": metadata, "rules": rules}),
            );
            let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": format!("role-{number}")});
            let subjects = json!([{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "oidc:team"}]);
            objects.push(json!({"apiVersion": RBAC, "kind": "RoleBinding", "metadata": metadata, "roleRef": role, "subjects": subjects}));
        }
    }
    assert_eq!(objects.len(), OBJECTS);
    compile(name, Value::Array(objects), json!([]))
}

async fn send_raw(fixture: &Fixture, name: &str) -> Duration {
    let compiled = large(name, false);
    let mut waves: BTreeMap<Phase, Vec<Object>> = BTreeMap::new();
    for object in compiled.content.objects.iter().cloned() {
        waves
            .entry(Phase::applies(&object.reference.kind))
            .or_default()
            .push(object);
    }
    let policy = policy(name);
    let since = Instant::now();
    for objects in waves.into_values() {
        futures::stream::iter(objects)
            .map(|object| {
                let (api, policy) = (fixture.api.clone(), policy.clone());
                async move {
                    let content = marked(&policy, &object.content);
                    api.apply(&object.reference, &content, Expect::New)
                        .await
                        .unwrap();
                }
            })
            .buffer_unordered(CALLS_AT_ONCE_MAX)
            .collect::<Vec<()>>()
            .await;
    }
    since.elapsed()
}

async fn bring(fixture: &Fixture, name: &str) -> Duration {
    let (engine, target) = (
        fixture.engine().await,
        target(name, 1, Some(large(name, false))),
    );
    let since = Instant::now();
    let outcome = engine.bring(target).await;
    let took = since.elapsed();
    assert!(outcome.is_applied(), "{outcome:?}");
    took
}

/// One object of the large policy changes.
async fn change_one(fixture: &Fixture) {
    let engine = fixture.engine().await;
    let first = engine
        .bring(target("big0", 2, Some(large("big0", true))))
        .await;
    assert!(first.is_applied(), "{first:?}");
    let since = Instant::now();
    let second = engine
        .bring(target("big0", 3, Some(large("big0", false))))
        .await;
    let took = since.elapsed();
    assert!(second.is_applied(), "{second:?}");
    println!(
        "one of {OBJECTS} objects changed: {} write of an object, {took:.1?}",
        second.writes
    );
}

/// Bindings are deleted by hand, each once, since the engine yields to whoever insists; how long until
/// a watch sees each back.
async fn repair(fixture: &Fixture) {
    let engine = fixture.engine().await;
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "drifting"}});
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]);
    let metadata = json!({"name": "reader", "namespace": "drifting"});
    let role = json!({"apiVersion": RBAC, "kind": "Role", "metadata": metadata, "rules": rules});
    let grants = (0..DELETIONS).map(|number| {
        let subjects = json!([{"user": format!("user-{number}")}]);
        json!({"name": format!("g{number}"), "subjects": subjects, "role": "reader", "namespaces": ["drifting"]})
    });
    let drifting = compile("drifting", json!([namespace, role]), grants.collect());
    let outcome = engine.bring(target("drifting", 1, Some(drifting))).await;
    assert!(outcome.is_applied(), "{outcome:?}");
    let (events_in, mut events) = mpsc::channel(drift::EVENTS_WAITING_MAX);
    let stop = CancellationToken::new();
    let client = fixture.api.client().clone();
    tokio::spawn(drift::watch(client, events_in, stop.clone()));
    let repairing = engine.clone();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            let engine = repairing.clone();
            tokio::spawn(async move { engine.handle(event).await });
        }
    });
    let bindings = Api::<RoleBinding>::namespaced(fixture.admin.clone(), "drifting");
    let listed = bindings.list(&ListParams::default()).await.unwrap();
    let version = listed.metadata.resource_version.unwrap();
    let watched = WatchParams::default();
    let mut seen = bindings.watch(&watched, &version).await.unwrap().boxed();
    let mut took = Vec::new();
    for binding in listed.items {
        let name = binding.metadata.name.unwrap();
        // The last repair's record is written first: what is measured is one change by itself.
        engine.close_all().await;
        let gone = DeleteParams::default();
        bindings.delete(&name, &gone).await.unwrap();
        let mut gone_at = None;
        loop {
            match seen.next().await.unwrap().unwrap() {
                WatchEvent::Deleted(_) => gone_at = Some(Instant::now()),
                WatchEvent::Added(_) => break,
                _ => {}
            }
        }
        took.push(gone_at.unwrap().elapsed());
    }
    stop.cancel();
    println!(
        "drift put back, from the deletion to the creation as a watch sees them: {}",
        spread(&took)
    );
}

fn median(times: &[Duration]) -> Duration {
    at(times, 50)
}

fn at(times: &[Duration], percent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[(sorted.len() - 1) * percent / 100]
}

fn spread(times: &[Duration]) -> String {
    format!(
        "p50 {:.1?}  p90 {:.1?}  (n={})",
        at(times, 50),
        at(times, 90),
        times.len()
    )
}
