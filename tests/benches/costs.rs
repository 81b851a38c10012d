//! What each write of an edit costs an API server, in processor time: on a shared machine that is
//! steadier than how long it takes.
//!
//! `cargo bench -p writ-tests --bench costs`.

#[path = "../tests/subscriber/fixture.rs"]
#[allow(dead_code)]
mod fixture;

use std::time::Instant;

use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use writ_core::plan::{FIELD_MANAGER, marked};
use writ_subscriber::cluster::{ClusterApi, Expect};

use crate::fixture::{Fixture, RBAC, at, compile, mirror, policy, target};

/// Writes of each kind.
const WRITES: u64 = 200;
/// Kernel ticks a second, by which processor time is counted.
const TICKS_PER_S: f64 = 100.0;

#[tokio::main]
async fn main() {
    let fixture = Fixture::start().await;
    for objects in [4, 50] {
        println!("a policy of {objects} objects, of which one changes {WRITES} times");
        edits(&fixture, objects).await;
        mirrors(&fixture).await;
    }
    println!("one Role");
    roles(&fixture).await;
}

/// Whole edits, as the engine carries them out.
async fn edits(fixture: &Fixture, objects: u64) {
    let engine = fixture.engine().await;
    let cost = Cost::start();
    for number in 1..=WRITES {
        let content = compile("cost", content(objects, number), json!([]));
        let edit = target("cost", objects * 1_000 + number, Some(content));
        let outcome = engine.bring(edit).await;
        assert!(outcome.is_applied(), "{outcome:?}");
    }
    cost.tell("an edit: record, object, now and then that it is done");
    engine.close_all().await;
}

/// The record alone, both ways.
async fn mirrors(fixture: &Fixture) {
    let reference = mirror("cost");
    let found = fixture.get(&reference).await.unwrap();
    let mut bare = found.clone();
    bare["metadata"] = json!({"name": reference.name, "labels": found["metadata"]["labels"]});

    let mut next = bare.clone();
    next["metadata"]["managedFields"] = json!([{}]);
    next["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"].clone();
    let cost = Cost::start();
    for generation in 1..=WRITES {
        next["status"]["generation"] = generation.into();
        let written = fixture.api.replace(&reference, &next).await.unwrap();
        next["metadata"]["resourceVersion"] = written.resource_version.into();
    }
    cost.tell("its record, by a whole update");

    let cost = Cost::start();
    for generation in 1..=WRITES {
        bare["status"]["generation"] = generation.into();
        let own = Expect::Own;
        fixture.api.apply(&reference, &bare, own).await.unwrap();
    }
    cost.tell("its record, by server-side apply");
}

/// One object, under the ceiling and as somebody whom it does not concern.
async fn roles(fixture: &Fixture) {
    let reference = at("Role", Some("pay"), "role-0");
    let role = |number| marked(&policy("cost"), &content(1, number)[1]);
    let cost = Cost::start();
    for number in 1..=WRITES {
        let content = role(number);
        let own = Expect::Own;
        fixture.api.apply(&reference, &content, own).await.unwrap();
    }
    cost.tell("by the subscriber, under the ceiling");

    let kind = ApiResource {
        group: "rbac.authorization.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: RBAC.to_owned(),
        kind: "Role".to_owned(),
        plural: "roles".to_owned(),
    };
    let roles: Api<DynamicObject> = Api::namespaced_with(fixture.admin.clone(), "pay", &kind);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let cost = Cost::start();
    for number in 1..=WRITES {
        let patch = Patch::Apply(role(number));
        roles.patch("role-0", &params, &patch).await.unwrap();
    }
    cost.tell("by an administrator, whom no ceiling concerns");
}

/// A namespace and roles in it, the first of which is another with each number.
fn content(objects: u64, number: u64) -> Value {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "pay"}});
    let roles = (0..objects).map(|role| {
        let verb = if role == 0 && number.is_multiple_of(2) {
            "list"
        } else {
            "get"
        };
        json!({
            "apiVersion": RBAC, "kind": "Role",
            "metadata": {"name": format!("role-{role}"), "namespace": "pay"},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": [verb]}],
        })
    });
    std::iter::once(namespace).chain(roles).collect()
}

/// Processor time of the servers since a moment.
struct Cost {
    since: Instant,
    ticks: [u64; 2],
}

impl Cost {
    fn start() -> Cost {
        Cost {
            since: Instant::now(),
            ticks: ticks(),
        }
    }

    /// Prints the share of one write.
    fn tell(self, what: &str) {
        let each = |all: f64| all * 1_000.0 / WRITES as f64;
        let took = each(self.since.elapsed().as_secs_f64());
        let [api_server, etcd] = ticks();
        let share = |now: u64, before: u64| each((now - before) as f64 / TICKS_PER_S);
        println!(
            "  {what:<58} API server {:5.2} ms   etcd {:5.2} ms   took {took:5.2} ms",
            share(api_server, self.ticks[0]),
            share(etcd, self.ticks[1]),
        );
    }
}

/// What the API server and the etcd that this process started have used.
fn ticks() -> [u64; 2] {
    let mut used = [0; 2];
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(process.path().join("stat")) else {
            continue;
        };
        // pid (name) state parent …: the name may hold anything.
        let Some((head, tail)) = stat.rsplit_once(')') else {
            continue;
        };
        let fields: Vec<&str> = tail.split_whitespace().collect();
        if fields[1] != std::process::id().to_string() {
            continue;
        }
        let time = |at: usize| fields[at].parse::<u64>().unwrap();
        for (used, name) in used.iter_mut().zip(["(kube-apiserver", "(etcd"]) {
            *used += if head.ends_with(name) {
                time(11) + time(12)
            } else {
                0
            };
        }
    }
    used
}
