//! What the ceiling costs a write. Measured, not asserted: run it by name, on a quiet machine.

use std::time::{Duration, Instant};

use serde_json::json;
use writ_core::model::ObjectRef;
use writ_subscriber::cluster::{ClusterApi, Expect};
use writ_subscriber::kube_api::KubeApi;

use crate::guard::api;
use crate::kubectl::Fixture;

const WRITES: usize = 300;

fn reference(kind: &str, name: String) -> ObjectRef {
    ObjectRef {
        api_version: "rbac.authorization.k8s.io/v1".to_owned(),
        kind: kind.to_owned(),
        namespace: None,
        name,
    }
}

/// Times of creations of a kind, sorted.
async fn times(api: &KubeApi, kind: &str, round: &str) -> Vec<Duration> {
    let mut times = Vec::with_capacity(WRITES);
    for number in 0..WRITES {
        let at = reference(kind, format!("cost-{round}-{number}"));
        let mut content = json!({
            "apiVersion": at.api_version, "kind": kind,
            "metadata": {"name": at.name, "labels": {"writ.dev/policy": "cost"}},
        });
        if kind == "ClusterRole" {
            content["rules"] = json!([
                {"apiGroups": ["", "apps"], "resources": ["pods", "deployments"], "verbs": ["get", "patch"]},
                {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
            ]);
        } else {
            let group = "rbac.authorization.k8s.io";
            content["roleRef"] = json!({"apiGroup": group, "kind": "ClusterRole", "name": "view"});
            content["subjects"] = json!([{"kind": "Group", "apiGroup": group, "name": "devs"}]);
        }
        let started = Instant::now();
        api.apply(&at, &content, Expect::New).await.unwrap();
        times.push(started.elapsed());
    }
    times.sort();
    times
}

/// ClusterRoles of others, each a parameter of two policies.
fn foreign() -> Vec<serde_json::Value> {
    let role = |number: usize| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "rules": [],
            "metadata": {"name": format!("foreign-{number}")},
        })
    };
    (0..200).map(role).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn what_the_ceiling_costs_a_write() {
    let fixture = Fixture::start().await;
    let api = api(&fixture).await;
    for round in [
        "with-1",
        "without-1",
        "with-2",
        "without-2",
        "with-3-foreign-200",
    ] {
        if round.ends_with("foreign-200") {
            fixture.create(&foreign()).await;
        }
        if round.starts_with("without") {
            let delete = ["delete", "validatingadmissionpolicybinding", "--all"];
            fixture.admin(&delete, None).await;
        } else {
            fixture.deploy("ceiling.yaml").await;
        }
        // API servers take changes up once a second.
        tokio::time::sleep(Duration::from_secs(3)).await;
        for kind in ["ClusterRole", "ClusterRoleBinding"] {
            let times = times(&api, kind, round).await;
            let at = |share: usize| times[WRITES * share / 100].as_micros() as f64 / 1000.0;
            println!("{round} {kind}: p50 {:.2} ms, p90 {:.2} ms", at(50), at(90));
        }
    }
}
