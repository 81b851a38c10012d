//! The shared fleet, and what every test needs of it.

use std::{
    future::Future,
    path::PathBuf,
    process::{Output, Stdio},
    sync::LazyLock,
    time::Duration,
};

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject},
};
use serde_json::{Value, json};
use tokio::{
    process::Command,
    runtime::Runtime,
    sync::{Mutex, OnceCell},
};
use tonic::transport::Channel;
use writ_proto::v1::{
    AckState, ApplyRequest, ClusterLine, ClusterStatus, EditResponse, PolicyVersion, StatusRequest,
    ack_service_client::AckServiceClient, policy_service_client::PolicyServiceClient,
    status_request::Of,
};
use writ_sandbox::{
    fleet::{Fleet, FleetOptions},
    process::Launcher,
};
use writ_tests::wait::within;

use self::collector::Collector;

// Below this one, so that whoever uses the harness has it.
#[path = "collector.rs"]
pub(crate) mod collector;

/// How long anything may take; these machines are shared.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
const POLL_PERIOD: Duration = Duration::from_millis(20);

pub(crate) const PROD: &str = "eu-prod-1";
pub(crate) const STAGE: &str = "eu-stage-1";

// One runtime for all tests: connections belong to the runtime that made them.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static SHARED: OnceCell<Shared> = OnceCell::const_new();

/// The fleet and clients of it.
pub(crate) struct Shared {
    /// Locked only by tests that stop and start processes.
    pub(crate) fleet: Mutex<Fleet>,
    pub(crate) dir: PathBuf,
    pub(crate) bus_url: String,
    /// Where the spans of all processes go.
    pub(crate) collector: Collector,
    channel: Channel,
    clients: std::sync::Mutex<Vec<(String, Client)>>,
}

/// Runs a test on the shared fleet. The fleet's processes die with this process; its folder, which
/// holds all logs, is named where a test fails.
pub(crate) fn run<F: Future<Output = ()>>(test: impl FnOnce(&'static Shared) -> F) {
    RUNTIME.block_on(async {
        let shared = SHARED.get_or_init(start).await;
        eprintln!("state and logs: {}", shared.dir.display());
        test(shared).await;
    });
}

async fn start() -> Shared {
    let collector = Collector::start().await;
    let launcher = Launcher::writ(PathBuf::from(env!("CARGO_BIN_EXE_writ-under-test")))
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())
        .variable("OTEL_BSP_SCHEDULE_DELAY", "200");
    let region = vec!["eu".parse().unwrap()];
    let stages = vec!["prod".parse().unwrap(), "stage".parse().unwrap()];
    let fleet = Fleet::start(FleetOptions::new(launcher, region, stages))
        .await
        .unwrap();
    Shared {
        dir: fleet.dir().to_owned(),
        bus_url: fleet.bus_url().to_owned(),
        collector,
        channel: fleet.channel().unwrap(),
        clients: std::sync::Mutex::new(
            fleet
                .clusters()
                .map(|c| (c.name().to_owned(), c.client().clone()))
                .collect(),
        ),
        fleet: Mutex::new(fleet),
    }
}

impl Shared {
    pub(crate) fn client(&self, cluster: &str) -> Client {
        self.clients
            .lock()
            .unwrap()
            .iter()
            .find(|(name, _)| name == cluster)
            .unwrap()
            .1
            .clone()
    }

    /// One more cluster, for a test that does to it what others could not bear.
    pub(crate) async fn join(&self) -> String {
        let (region, stage) = ("eu".parse().unwrap(), "prod".parse().unwrap());
        let mut fleet = self.fleet.lock().await;
        let name = fleet.add_cluster(&region, &stage).await.unwrap();
        let client = fleet.cluster(&name).unwrap().client().clone();
        let own = (name.to_string(), client);
        self.clients.lock().unwrap().push(own);
        name.to_string()
    }

    /// Ends a cluster's subscriber, does something, and starts it again.
    pub(crate) async fn while_away(&self, cluster: &str, deed: impl Future<Output = ()>) {
        let name = cluster.parse().unwrap();
        let mut fleet = self.fleet.lock().await;
        fleet.kill_subscriber(&name).await.unwrap();
        deed.await;
        fleet.start_subscriber(&name).await.unwrap();
    }

    /// Registers a cluster as it is, in another mode.
    /// What the command line told people beside.
    pub(crate) async fn set_mode(&self, cluster: &str, mode: &str) -> String {
        let said = self.writ(&["get", "clusters", cluster, "-o", "yaml"]).await;
        let text = String::from_utf8(said.stdout).unwrap();
        let mut manifest: Value = serde_saphyr::from_str(&text).unwrap();
        manifest["spec"]["mode"] = mode.into();
        let file = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
        std::fs::write(file.path(), manifest.to_string()).unwrap();
        let path = file.path().to_str().unwrap();
        let said = self.writ(&["apply", "-f", path]).await;
        assert!(said.status.success(), "{said:?}");
        String::from_utf8(said.stderr).unwrap()
    }

    /// What a cluster says of itself.
    pub(crate) async fn cluster_status(&self, cluster: &str) -> ClusterStatus {
        let request = StatusRequest {
            of: Some(Of::Cluster(cluster.to_owned())),
            ..Default::default()
        };
        let status = self.acks().get_status(request).await.unwrap().into_inner();
        status.cluster.unwrap()
    }

    /// Where the sandbox keeps the publisher's bus identity.
    pub(crate) fn publisher_credentials(&self) -> PathBuf {
        self.dir.join("keys/publisher-1.creds")
    }

    pub(crate) fn policies(&self) -> PolicyServiceClient<Channel> {
        PolicyServiceClient::new(self.channel.clone())
    }

    pub(crate) fn acks(&self) -> AckServiceClient<Channel> {
        AckServiceClient::new(self.channel.clone())
    }

    /// Runs the command line as a person does who sourced the fleet's `env`.
    pub(crate) async fn writ(&self, line: &[&str]) -> Output {
        self.command(line).await.output().await.unwrap()
    }

    /// The same, not started yet.
    pub(crate) async fn command(&self, line: &[&str]) -> Command {
        let (kubeconfig, fleet_file) = {
            let fleet = self.fleet.lock().await;
            (fleet.kubeconfig_file(), fleet.fleet_file())
        };
        let path = std::env::var("PATH").unwrap_or_default();
        let programs = self.dir.join("bin");
        let mut command = Command::new(env!("CARGO_BIN_EXE_writ-under-test"));
        command
            .args(line)
            .env("KUBECONFIG", kubeconfig)
            .env("WRIT_FLEET", fleet_file)
            .env_remove("TRACEPARENT")
            .env("PATH", format!("{}:{path}", programs.display()))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Submits a policy that must be accepted.
    pub(crate) async fn apply(&self, manifest: &Value) -> EditResponse {
        let request = ApplyRequest {
            manifest: manifest.to_string(),
            ..Default::default()
        };
        self.policies().apply(request).await.unwrap().into_inner()
    }

    /// Where an edit stands on a cluster.
    pub(crate) async fn line(&self, edit: &EditResponse, cluster: &str) -> Option<ClusterLine> {
        let of = Of::Policy(PolicyVersion {
            name: edit.name.clone(),
            generation: edit.generation,
        });
        let request = StatusRequest {
            of: Some(of),
            at_least: edit.revision,
            ..Default::default()
        };
        let status = self.acks().get_status(request).await.unwrap().into_inner();
        status
            .policies
            .into_iter()
            .flat_map(|p| p.clusters)
            .find(|line| line.cluster == cluster)
    }

    /// Waits until an edit stands so on a cluster.
    pub(crate) async fn expect(
        &self,
        edit: &EditResponse,
        cluster: &str,
        state: AckState,
    ) -> ClusterLine {
        let what = format!(
            "{}@{} is {state:?} on {cluster}",
            edit.name, edit.generation
        );
        wait_for(&what, async || {
            self.line(edit, cluster)
                .await
                .filter(|line| line.state() == state)
        })
        .await
    }

    /// Submits a policy and waits until a cluster has applied it.
    pub(crate) async fn apply_on(&self, manifest: &Value, clusters: &[&str]) -> EditResponse {
        let edit = self.apply(manifest).await;
        for cluster in clusters {
            self.expect(&edit, cluster, AckState::Applied).await;
        }
        edit
    }

    /// The objects of a kind of a cluster, as its administrator sees them.
    pub(crate) fn objects(&self, cluster: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let (api_version, plural) = match kind {
            "Namespace" => ("v1", "namespaces"),
            "ServiceAccount" => ("v1", "serviceaccounts"),
            "ResourceQuota" => ("v1", "resourcequotas"),
            "NetworkPolicy" => ("networking.k8s.io/v1", "networkpolicies"),
            "Role" => (RBAC, "roles"),
            "RoleBinding" => (RBAC, "rolebindings"),
            "ClusterRole" => (RBAC, "clusterroles"),
            "ClusterRoleBinding" => (RBAC, "clusterrolebindings"),
            "Cluster" => ("writ.dev/v1alpha1", "clusters"),
            "ClusterPolicy" => ("writ.dev/v1alpha1", "clusterpolicies"),
            "PolicyCeiling" => ("writ.dev/v1alpha1", "policyceilings"),
            "ValidatingAdmissionPolicyBinding" => (
                "admissionregistration.k8s.io/v1",
                "validatingadmissionpolicybindings",
            ),
            other => panic!("{other} is not known to the harness"),
        };
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let resource = ApiResource {
            group: group.into(),
            version: version.into(),
            api_version: api_version.into(),
            kind: kind.into(),
            plural: plural.into(),
        };
        match namespace {
            "" => Api::all_with(self.client(cluster), &resource),
            namespace => Api::namespaced_with(self.client(cluster), namespace, &resource),
        }
    }
}

const RBAC: &str = "rbac.authorization.k8s.io/v1";

/// Waits for a condition, with a deadline.
pub(crate) async fn wait_for<T>(what: &str, condition: impl AsyncFn() -> Option<T>) -> T {
    within(LIMIT, POLL_PERIOD, what, condition).await
}

/// A policy for one cluster.
pub(crate) fn policy(name: &str, cluster: &str, objects: Value, grants: Value) -> Value {
    json!({
        "apiVersion": "writ.dev/v1alpha1",
        "kind": "ClusterPolicy",
        "metadata": {"name": name},
        "spec": {"clusters": {"names": [cluster]}, "objects": objects, "grants": grants},
    })
}

pub(crate) fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

pub(crate) fn role(kind: &str, name: &str, namespace: Option<&str>, verbs: &[&str]) -> Value {
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}]);
    let mut role =
        json!({"apiVersion": RBAC, "kind": kind, "metadata": {"name": name}, "rules": rules});
    if let Some(namespace) = namespace {
        role["metadata"]["namespace"] = namespace.into();
    }
    role
}
