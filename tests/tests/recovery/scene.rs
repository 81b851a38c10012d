//! A fleet of one test, and what is done to its log.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::{Value, json};
use tokio::process::Command;
use tonic::{Status, transport::Channel};
use writ_bus::{
    accounts,
    connection::{FirstConnect, Login, Options},
    identity::Credentials,
    live::{self, Signal},
};
use writ_core::subject::BusSubject;
use writ_proto::v1::{
    AckState, ApplyRequest, EditResponse, PolicyVersion, StatusRequest, StatusResponse,
    ack_service_client::AckServiceClient, policy_service_client::PolicyServiceClient,
    status_request::Of,
};
use writ_sandbox::{
    fleet::{Fleet, FleetOptions},
    process::Launcher,
};
use writ_tests::wait::within;

/// How long anything may take; these machines are shared.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);
const POLL_PERIOD: Duration = Duration::from_millis(20);
const RBAC: &str = "rbac.authorization.k8s.io/v1";

pub(crate) const CLUSTERS: [&str; 2] = ["eu-prod-1", "eu-stage-1"];

/// Clusters of two regions, the first of which is behind a leaf node.
pub(crate) const CLUSTERS_OF_TWO: [&str; 2] = ["eu-prod-1", "us-prod-1"];

pub(crate) struct Scene {
    pub(crate) fleet: Fleet,
    clusters: [&'static str; 2],
    backups: tempfile::TempDir,
}

impl Scene {
    pub(crate) async fn start() -> Scene {
        let launcher = Launcher::writ(PathBuf::from(env!("CARGO_BIN_EXE_writ-under-test")));
        let stages = vec!["prod".parse().unwrap(), "stage".parse().unwrap()];
        let options = FleetOptions::new(launcher, vec!["eu".parse().unwrap()], stages);
        Scene::of(options, CLUSTERS).await
    }

    /// Two regions, of which eu has a leaf node.
    pub(crate) async fn start_with_a_leaf() -> Scene {
        let launcher = Launcher::writ(PathBuf::from(env!("CARGO_BIN_EXE_writ-under-test")));
        let regions = vec!["eu".parse().unwrap(), "us".parse().unwrap()];
        let options = FleetOptions {
            leafs: true,
            leafless: vec!["us".parse().unwrap()],
            ..FleetOptions::new(launcher, regions, vec!["prod".parse().unwrap()])
        };
        Scene::of(options, CLUSTERS_OF_TWO).await
    }

    async fn of(options: FleetOptions, clusters: [&'static str; 2]) -> Scene {
        let fleet = Fleet::start(options).await.unwrap();
        eprintln!("state and logs: {}", fleet.dir().display());
        Scene {
            fleet,
            clusters,
            backups: tempfile::tempdir().unwrap(),
        }
    }

    fn channel(&self) -> Channel {
        self.fleet.channel().unwrap()
    }

    pub(crate) async fn try_apply(&self, manifest: &Value) -> Result<EditResponse, Status> {
        let request = ApplyRequest {
            manifest: manifest.to_string(),
            ..Default::default()
        };
        let mut policies = PolicyServiceClient::new(self.channel());
        policies
            .apply(request)
            .await
            .map(|answer| answer.into_inner())
    }

    /// Applies a policy and waits until its clusters have it.
    pub(crate) async fn apply(&self, manifest: &Value) -> EditResponse {
        let edit = self.try_apply(manifest).await.unwrap();
        self.applied(&edit).await;
        edit
    }

    pub(crate) async fn delete(&self, name: &str) -> EditResponse {
        let request = writ_proto::v1::DeleteRequest {
            name: name.to_owned(),
            ..Default::default()
        };
        let mut policies = PolicyServiceClient::new(self.channel());
        let edit = policies.delete(request).await.unwrap().into_inner();
        self.applied(&edit).await;
        edit
    }

    async fn applied(&self, edit: &EditResponse) {
        let what = format!("{}@{} is applied everywhere", edit.name, edit.generation);
        wait_for(&what, async || {
            let of = Of::Policy(PolicyVersion {
                name: edit.name.clone(),
                generation: edit.generation,
            });
            let status = self.try_status(of).await.ok()?;
            let lines = &status.policies.first()?.clusters;
            let applied = lines
                .iter()
                .filter(|line| line.state() == AckState::Applied);
            // Targets are fixed in the edit: those that it is for.
            (!lines.is_empty() && applied.count() == lines.len()).then_some(())
        })
        .await;
    }

    pub(crate) async fn try_status(&self, of: Of) -> Result<StatusResponse, Status> {
        let mut acks = AckServiceClient::new(self.channel());
        let request = StatusRequest {
            of: Some(of),
            ..Default::default()
        };
        acks.get_status(request)
            .await
            .map(|answer| answer.into_inner())
    }

    /// Who a cluster is on the bus, as it keeps it.
    pub(crate) async fn bus_credentials(&self, cluster: &str) -> Credentials {
        let cluster = self.fleet.cluster(&cluster.parse().unwrap()).unwrap();
        let secrets: Api<Secret> = Api::namespaced(cluster.client().clone(), "writ-system");
        let kept = secrets.get("writ-keys").await.unwrap().data.unwrap();
        Credentials::parse(str::from_utf8(&kept["bus.creds"].0).unwrap()).unwrap()
    }

    /// The verbs of a ClusterRole in a cluster; nothing where there is none.
    pub(crate) async fn verbs(&self, cluster: &str, name: &str) -> Option<Value> {
        let client = self
            .fleet
            .cluster(&cluster.parse().unwrap())
            .unwrap()
            .client()
            .clone();
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(
            "rbac.authorization.k8s.io",
            "v1",
            "ClusterRole",
        ));
        let roles: Api<DynamicObject> = Api::all_with(client, &resource);
        let found = roles.get_opt(name).await.unwrap()?;
        Some(found.data["rules"][0]["verbs"].clone())
    }

    /// Waits until a cluster has no mirror of a policy any more: a removal is forgotten.
    pub(crate) async fn forgotten(&self, cluster: &str, policy: &str) {
        let cluster = self.fleet.cluster(&cluster.parse().unwrap()).unwrap();
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(
            "writ.dev",
            "v1alpha1",
            "ClusterPolicy",
        ));
        let mirrors: Api<DynamicObject> = Api::all_with(cluster.client().clone(), &resource);
        wait_for("a removal is forgotten", async || {
            let found = mirrors.get_opt(policy).await.ok()?;
            found.is_none().then_some(())
        })
        .await;
    }

    /// Checks what is in force in every cluster: a name and its verbs, or that it is gone.
    pub(crate) async fn check(&self, wanted: &[(&str, Option<&str>)]) {
        for cluster in self.clusters {
            for (name, verb) in wanted {
                let verbs = verb.map(|verb| json!([verb]));
                assert_eq!(
                    self.verbs(cluster, name).await,
                    verbs,
                    "{name} in {cluster}"
                );
            }
        }
    }

    /// Stops the bus, does something to its store, and starts it again.
    pub(crate) async fn while_stopped(&mut self, deed: impl FnOnce(&Path, &Path)) {
        self.while_stopped_without(None, deed).await;
    }

    /// The same while one cluster is away.
    pub(crate) async fn while_stopped_without(
        &mut self,
        away: Option<&str>,
        deed: impl FnOnce(&Path, &Path),
    ) {
        self.fleet.stop_bus().await;
        deed(&self.fleet.store_folder(), self.backups.path());
        self.fleet.start_bus().await.unwrap();
        self.all_heard(away).await;
    }

    /// Reads and listens as the publisher may.
    pub(crate) async fn bus(&self) -> writ_bus::Client {
        let options = Options {
            url: self.fleet.bus_url().to_owned(),
            login: Login::File(self.fleet.dir().join("keys/publisher-1.creds")),
            inbox: accounts::publisher_inbox(&"publisher-1".parse().unwrap()),
            name: "test".to_owned(),
            first_connect: FirstConnect::Now,
        };
        writ_bus::connect(options).await.unwrap()
    }

    /// Waits until every cluster speaks on the bus again. A publisher that starts earlier hears of no
    /// newer log from anybody, and takes edits: whoever restores one waits for this, too.
    async fn all_heard(&self, away: Option<&str>) {
        let client = self.bus().await;
        let mut live = live::listen_as_publisher(&client).await.unwrap();
        let mut silent = self.clusters.to_vec();
        silent.retain(|cluster| Some(*cluster) != away);
        let heard = async {
            while !silent.is_empty() {
                if let Signal::Message { subject, .. } = live.next().await.unwrap()
                    && let BusSubject::Pulse(sender) = subject
                {
                    silent.retain(|cluster| sender.cluster.as_str() != *cluster);
                }
            }
        };
        tokio::time::timeout(LIMIT, heard)
            .await
            .expect("every cluster is heard");
    }

    /// Tries to edit until it is refused for good; answers how long that took and why. None of the
    /// tries may succeed.
    pub(crate) async fn refused(&self) -> (Duration, Status) {
        let since = Instant::now();
        let refusal = wait_for("an edit is refused", async || {
            match self.try_apply(&role("forbidden", "get")).await {
                Ok(edit) => panic!("an edit was made on a lost log: {edit:?}"),
                Err(status) if status.code() == tonic::Code::FailedPrecondition => Some(status),
                Err(_) => None,
            }
        })
        .await;
        (since.elapsed(), refusal)
    }

    /// Runs the command line; its exit code, and all that it says.
    pub(crate) async fn writ(&self, line: &[&str]) -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_writ-under-test"))
            .args(line)
            .env("WRIT_FLEET", self.fleet.fleet_file())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        eprintln!("--- writ {line:?}: {:?}\n{said}---", output.status.code());
        (output.status.code(), said)
    }

    /// Runs `writ backup` or `writ restore` as the bus's installer.
    pub(crate) async fn files(&self, verb: &str, folder: &str) {
        let seed = self.fleet.dir().join("keys/installer.creds");
        let folder = self.backups.path().join(folder);
        let line = [
            verb,
            "--nats-url",
            self.fleet.bus_url(),
            "--nats-credentials-file",
            seed.to_str().unwrap(),
            folder.to_str().unwrap(),
        ];
        assert_eq!(self.writ(&line).await.0, Some(0));
    }

    /// Starts the bus with nothing in it and restores a backup to it.
    pub(crate) async fn restore(&mut self, folder: &str) {
        self.fleet.stop_bus().await;
        fs::remove_dir_all(self.fleet.store_folder()).unwrap();
        self.fleet.start_bus_bare().await.unwrap();
        self.files("restore", folder).await;
    }

    /// Runs `writ recover`.
    pub(crate) async fn recover(&self, more: &[&str]) -> (Option<i32>, String) {
        let keys = self.fleet.dir().join("keys");
        let output: Output = Command::new(env!("CARGO_BIN_EXE_writ-under-test"))
            .arg("recover")
            .args(["--nats-url", self.fleet.bus_url(), "--listen-s", "4"])
            .arg("--nats-credentials-file")
            .arg(keys.join("publisher-1.creds"))
            .arg("--signing-key-file")
            .arg(keys.join("publisher-1.signing"))
            .arg("--trust-file")
            .arg(keys.join("trust"))
            .arg("--epochs-file")
            .arg(keys.join("offline.epochs"))
            .args(more)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        eprintln!(
            "--- writ recover {more:?}: {:?}\n{said}{errors}---",
            output.status.code()
        );
        (output.status.code(), format!("{said}{errors}"))
    }

    /// Recovers, as an operator does who has read the plan.
    pub(crate) async fn recover_confirmed(&self, names: usize) -> String {
        let key = self.fleet.dir().join("keys/offline.signing");
        let key = key.to_str().unwrap();
        let names = names.to_string();
        let (code, said) = self
            .recover(&["--confirm", &names, "--offline-key-file", key])
            .await;
        assert_eq!(code, Some(0));
        said
    }

    /// Waits until both clusters say that they are in an epoch, and answers how long that took.
    pub(crate) async fn converged(&self, epoch: u64) -> Duration {
        let since = Instant::now();
        for cluster in self.clusters {
            let what = format!("{cluster} is in epoch {epoch}");
            wait_for(&what, async || {
                let status = self
                    .try_status(Of::Cluster(cluster.to_owned()))
                    .await
                    .ok()?;
                let cluster = status.cluster?;
                let counts = cluster.counts.unwrap_or_default();
                let is_there = cluster.revision?.epoch == epoch;
                (is_there && counts.pending + counts.refused == 0).then_some(())
            })
            .await;
        }
        since.elapsed()
    }
}

/// The number that a plan asks to be confirmed.
pub(crate) fn number_of(said: &str) -> usize {
    let (_, rest) = said.split_once("--confirm ").expect("a number to confirm");
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

/// A policy of one ClusterRole for the region eu: both clusters of one region.
pub(crate) fn role(name: &str, verb: &str) -> Value {
    role_in(name, verb, &["eu"])
}

/// The same for some regions.
pub(crate) fn role_in(name: &str, verb: &str, regions: &[&str]) -> Value {
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": [verb]}]);
    json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy", "metadata": {"name": name},
        "spec": {
            "clusters": {"regions": regions},
            "objects": [{"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}],
        },
    })
}

pub(crate) async fn wait_for<T>(what: &str, condition: impl AsyncFn() -> Option<T>) -> T {
    within(LIMIT, POLL_PERIOD, what, condition).await
}
