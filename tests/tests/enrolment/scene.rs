//! A fleet of one real cluster, and what people do to it.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Output, Stdio},
};

use k8s_openapi::api::{
    core::v1::{ConfigMap, Secret},
    rbac::v1::ClusterRole,
};
use kube::Api;
use serde_json::{Value, json};
use writ_core::name::ClusterName;
use writ_sandbox::{
    fleet::{Fleet, FleetOptions, Periods},
    process::Launcher,
};

use crate::WRIT;

pub(crate) const NAME: &str = "eu-prod-1";

pub(crate) fn name() -> ClusterName {
    ClusterName::parse(NAME).unwrap()
}

/// The cluster has joined by its manifest.
pub(crate) async fn start(periods: Periods) -> Fleet {
    let launcher = Launcher::writ(PathBuf::from(WRIT));
    let (regions, stages) = (vec!["eu".parse().unwrap()], vec!["prod".parse().unwrap()]);
    let mut options = FleetOptions::new(launcher, regions, stages);
    options.periods = periods;
    let fleet = Fleet::start(options).await.unwrap();
    eprintln!("state and logs: {}", fleet.dir().display());
    fleet
}

/// What the cluster keeps in a Secret of Writ's.
pub(crate) async fn secret(fleet: &Fleet, secret: &str) -> BTreeMap<String, String> {
    let client = fleet.cluster(&name()).unwrap().client().clone();
    let kept = Api::<Secret>::namespaced(client, "writ-system");
    let kept = kept.get(secret).await.unwrap().data.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    kept.into_iter()
        .map(|(name, bytes)| (name, text(bytes.0)))
        .collect()
}

/// What the cluster itself says of its enrolment.
pub(crate) async fn own_word(fleet: &Fleet) -> String {
    let client = fleet.cluster(&name()).unwrap().client().clone();
    let state = Api::<ConfigMap>::namespaced(client, "writ-system");
    let state = state.get("writ-state").await.unwrap();
    state
        .data
        .unwrap_or_default()
        .remove("enrolment")
        .unwrap_or_default()
}

pub(crate) async fn writ(fleet: &Fleet, line: &[&str]) -> Output {
    tokio::process::Command::new(WRIT)
        .args(line)
        .env("WRIT_FLEET", fleet.fleet_file())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap()
}

pub(crate) async fn entry(fleet: &Fleet) -> Option<Value> {
    let said = writ(fleet, &["get", "clusters", NAME, "-o", "json"]).await;
    let said: Value = serde_json::from_slice(&said.stdout).ok()?;
    said["items"].get(0).cloned()
}

pub(crate) async fn role(fleet: &Fleet, policy: &str) -> Option<ClusterRole> {
    let client = fleet.cluster(&name()).unwrap().client().clone();
    Api::<ClusterRole>::all(client)
        .get_opt(policy)
        .await
        .unwrap()
}

pub(crate) async fn apply(fleet: &Fleet, policy: &str) -> Output {
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
