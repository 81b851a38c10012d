//! The whole way: a real cluster, the manifest, the process of the applied Deployment.

use std::{
    path::PathBuf,
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use k8s_openapi::api::{
    core::v1::{ConfigMap, Secret},
    rbac::v1::ClusterRole,
};
use kube::Api;
use serde_json::{Value, json};
use writ_core::name::ClusterName;
use writ_sandbox::{
    fleet::{Fleet, FleetOptions},
    process::Launcher,
};
use writ_tests::hub::until;

use crate::WRIT;

const NAME: &str = "eu-prod-1";

fn name() -> ClusterName {
    ClusterName::parse(NAME).unwrap()
}

async fn writ(fleet: &Fleet, line: &[&str]) -> Output {
    tokio::process::Command::new(WRIT)
        .args(line)
        .env("WRIT_FLEET", fleet.fleet_file())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap()
}

async fn entry(fleet: &Fleet) -> Option<Value> {
    let said = writ(fleet, &["get", "clusters", NAME, "-o", "json"]).await;
    let said: Value = serde_json::from_slice(&said.stdout).ok()?;
    said["items"].get(0).cloned()
}

async fn role(fleet: &Fleet, policy: &str) -> Option<ClusterRole> {
    let client = fleet.cluster(&name()).unwrap().client().clone();
    Api::<ClusterRole>::all(client)
        .get_opt(policy)
        .await
        .unwrap()
}

async fn apply(fleet: &Fleet, policy: &str) -> Output {
    let document = json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy",
        "metadata": {"name": policy},
        "spec": {"clusters": {"all": true}, "objects": [{
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": policy},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
        }]},
    });
    let file = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
    std::fs::write(file.path(), document.to_string()).unwrap();
    let path = file.path().to_str().unwrap();
    writ(fleet, &["apply", "-f", path, "--wait", "--timeout", "60s"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_joins_by_its_manifest_is_rebuilt_in_place_and_leaves_by_itself() {
    let launcher = Launcher::writ(PathBuf::from(WRIT));
    let begun = Instant::now();
    let place = (vec!["eu".parse().unwrap()], vec!["prod".parse().unwrap()]);
    let mut fleet = Fleet::start(FleetOptions::new(launcher, place.0, place.1))
        .await
        .unwrap();
    eprintln!(
        "started after {:?}, in {}",
        begun.elapsed(),
        fleet.dir().display()
    );
    let client = fleet.cluster(&name()).unwrap().client().clone();
    let secrets = Api::<Secret>::namespaced(client.clone(), "writ-system");
    let kept = secrets.get("writ-keys").await.unwrap().data.unwrap();
    let kept: Vec<&str> = kept.keys().map(String::as_str).collect();
    assert_eq!(kept, ["ack.seed", "bus.creds", "bus.seed"]);
    let first = entry(&fleet).await.unwrap();
    assert_eq!(first["phase"], "active");
    let state = Api::<ConfigMap>::namespaced(client, "writ-system");
    let state = state.get("writ-state").await.unwrap().data.unwrap();
    assert_eq!(state["enrolment"], "active");
    let said = apply(&fleet, "one").await;
    assert!(said.status.success(), "{said:?}");

    // Somebody took its keys: they are revoked, and it makes others, in the same process.
    let at = Instant::now();
    let said = writ(
        &fleet,
        &["cluster", "reenrol", NAME, "--nats-url", fleet.bus_url()],
    )
    .await;
    assert!(said.status.success(), "{said:?}");
    let manifest = String::from_utf8(said.stdout).unwrap();
    fleet
        .cluster(&name())
        .unwrap()
        .apply(&manifest)
        .await
        .unwrap();
    let anew = until("it is enrolled anew", async || {
        entry(&fleet)
            .await
            .filter(|entry| entry["phase"] == "active")
    })
    .await;
    eprintln!("enrolled anew after {:?}", at.elapsed());
    assert_ne!(anew["fingerprint"], first["fingerprint"]);
    let said = apply(&fleet, "two").await;
    assert!(said.status.success(), "{said:?}");
    assert!(role(&fleet, "one").await.is_some() && role(&fleet, "two").await.is_some());

    // It is away while it is told to leave: nobody waits for it, and it is shown for what it is.
    fleet.kill_subscriber(&name()).await.unwrap();
    until("it is silent", async || {
        let entry = entry(&fleet).await?;
        (entry["liveness"]["state"] == "silent").then_some(())
    })
    .await;
    let at = Instant::now();
    let said = writ(&fleet, &["cluster", "remove", NAME, "--withdraw"]).await;
    assert_eq!(said.status.code(), Some(6), "{said:?}");
    assert!(at.elapsed() < Duration::from_secs(20));
    let told = String::from_utf8(said.stderr).unwrap();
    assert!(told.contains("left with access"), "{told}");
    let listed = writ(&fleet, &["get", "clusters"]).await;
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("left with access"), "{listed}");

    let at = Instant::now();
    fleet.spawn_subscriber(&name()).await.unwrap();
    until("it has left", async || {
        entry(&fleet).await.is_none().then_some(())
    })
    .await;
    eprintln!("gave everything back after {:?}", at.elapsed());
    assert!(role(&fleet, "one").await.is_none() && role(&fleet, "two").await.is_none());
    fleet.stop().await.unwrap();
}
