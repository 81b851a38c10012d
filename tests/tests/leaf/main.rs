//! A real cluster behind a leaf node, with everything: publisher, hub, link, leaf, subscriber, API
//! server. The link is cut, and the mirror is left behind. Then, without a cluster's API, a hub of three.

mod three;

use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kube::api::{Api, ApiResource, DeleteParams, DynamicObject};
use serde_json::{Value, json};
use writ_bus::{Options, accounts, connection::FirstConnect, mirror};
use writ_core::name::{ClusterName, Region};
use writ_proto::v1::{ApplyRequest, policy_service_client::PolicyServiceClient};
use writ_sandbox::{
    fleet::{Fleet, FleetOptions},
    process::Launcher,
};

/// How long anything may take; these machines are shared.
const LIMIT: Duration = Duration::from_secs(60);

/// What heals behind a leaf converges within this.
const CONVERGENCE_LIMIT: Duration = Duration::from_secs(20);

const CLUSTER: &str = "eu-prod-1";

/// The executable under test.
const WRIT: &str = env!("CARGO_BIN_EXE_writ-under-test");

async fn start() -> Fleet {
    let launcher = Launcher::writ(PathBuf::from(WRIT));
    let mut options = FleetOptions::new(launcher, vec![region()], vec!["prod".parse().unwrap()]);
    options.leafs = true;
    Fleet::start(options).await.unwrap()
}

fn region() -> Region {
    "eu".parse().unwrap()
}

fn cluster() -> ClusterName {
    CLUSTER.parse().unwrap()
}

async fn apply(fleet: &Fleet, name: &str, verbs: &[&str]) {
    let manifest = json!({
        "apiVersion": "writ.dev/v1alpha1",
        "kind": "ClusterPolicy",
        "metadata": {"name": name},
        "spec": {"clusters": {"all": true}, "objects": [{
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}],
        }]},
    });
    let channel = fleet.channel().unwrap();
    let request = ApplyRequest {
        manifest: manifest.to_string(),
        ..Default::default()
    };
    PolicyServiceClient::new(channel)
        .apply(request)
        .await
        .unwrap();
}

fn objects(
    fleet: &Fleet,
    group: &str,
    version: &str,
    kind: &str,
    plural: &str,
) -> Api<DynamicObject> {
    let resource = ApiResource {
        group: group.into(),
        version: version.into(),
        api_version: format!("{group}/{version}"),
        kind: kind.into(),
        plural: plural.into(),
    };
    Api::all_with(
        fleet.cluster(&cluster()).unwrap().client().clone(),
        &resource,
    )
}

fn roles(fleet: &Fleet) -> Api<DynamicObject> {
    objects(
        fleet,
        "rbac.authorization.k8s.io",
        "v1",
        "ClusterRole",
        "clusterroles",
    )
}

async fn verbs(fleet: &Fleet, name: &str) -> Option<Value> {
    let role = roles(fleet).get_opt(name).await.unwrap()?;
    Some(role.data["rules"][0]["verbs"].clone())
}

/// Waits until a role is as it should be; how long that took.
async fn until_role(fleet: &Fleet, name: &str, expected: &[&str], limit: Duration) -> Duration {
    let expected = json!(expected);
    until(&format!("{name} is {expected}"), limit, async || {
        verbs(fleet, name).await == Some(expected.clone())
    })
    .await
}

async fn until(what: &str, limit: Duration, holds: impl AsyncFn() -> bool) -> Duration {
    let since = Instant::now();
    while !holds().await {
        assert!(since.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    since.elapsed()
}

fn run<F: Future<Output = Fleet>>(test: F) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        test.await.stop().await.unwrap();
    });
}

#[test]
fn a_cluster_behind_a_leaf_restarts_and_replays_while_the_hub_is_away() {
    run(async {
        let mut fleet = start().await;
        apply(&fleet, "leafed", &["get"]).await;
        until_role(&fleet, "leafed", &["get"], LIMIT).await;

        fleet.leaf(&region()).unwrap().link().cut();
        apply(&fleet, "leafed", &["list"]).await;
        fleet.kill_subscriber(&cluster()).await.unwrap();
        // What it kept of the policy is lost with its mirror there: only the log can say what it was.
        let mirrors = objects(
            &fleet,
            "writ.dev",
            "v1alpha1",
            "ClusterPolicy",
            "clusterpolicies",
        );
        let gone = DeleteParams::default();
        mirrors.delete("leafed", &gone).await.unwrap();
        roles(&fleet).delete("leafed", &gone).await.unwrap();
        fleet.spawn_subscriber(&cluster()).await.unwrap();
        let replayed = until_role(&fleet, "leafed", &["get"], LIMIT).await;

        fleet.leaf(&region()).unwrap().link().mend();
        let healed = until_role(&fleet, "leafed", &["list"], CONVERGENCE_LIMIT).await;
        eprintln!(
            "replayed from the mirror after {replayed:?}; converged {healed:?} after the link was back"
        );
        apply(&fleet, "leafed", &["watch"]).await;
        until_role(&fleet, "leafed", &["watch"], LIMIT).await;
        fleet
    });
}

#[test]
fn where_the_mirror_is_behind_the_beat_the_hub_is_read() {
    run(async {
        let mut fleet = start().await;
        apply(&fleet, "leafed", &["get"]).await;
        until_role(&fleet, "leafed", &["get"], LIMIT).await;

        // The mirror stays where it is, while beats still come through the link.
        let seed = std::fs::read_to_string(fleet.dir().join("keys/installer.seed")).unwrap();
        let hub = writ_bus::connect(Options {
            url: fleet.bus_url().to_owned(),
            seed,
            inbox: accounts::INSTALLER_INBOX.to_owned(),
            name: "test".to_owned(),
            first_connect: FirstConnect::Now,
        })
        .await
        .unwrap();
        mirror::remove_feed(&hub, &region()).await.unwrap();
        fleet.kill_subscriber(&cluster()).await.unwrap();
        apply(&fleet, "leafed", &["list"]).await;
        apply(&fleet, "leafed-too", &["get"]).await;
        fleet.start_subscriber(&cluster()).await.unwrap();
        let behind = until_role(&fleet, "leafed", &["list"], CONVERGENCE_LIMIT).await;
        until_role(&fleet, "leafed-too", &["get"], CONVERGENCE_LIMIT).await;
        eprintln!("read from the hub within {behind:?}");
        fleet
    });
}
