//! The model against a real API server: what the publisher accepts, it accepts, and what is refused as
//! it would refuse it, it refuses.

use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};
use tempfile::TempDir;
use writ_core::model::{self, Document, quantities_equal};
use writ_sandbox::cluster::Cluster;
use writ_sandbox::kubernetes::Kubernetes;
use writ_sandbox::parts::Parts;
use writ_sandbox::process::Launcher;
use writ_sandbox::progress::Progress;
use writ_tests::policies::Policies;

/// Policies that are shown to the API server, some seven objects each.
const POLICIES: u64 = 150;

/// One API server, asked by its administrator.
struct Server {
    client: kube::Client,
    // Dropped in this order: the cluster's processes, etcd, their files.
    _cluster: Cluster,
    _kubernetes: Kubernetes,
    _folder: TempDir,
}

impl Server {
    async fn start() -> Server {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::find(&Progress::stderr()).await.unwrap();
        let launcher = Launcher::writ(env!("CARGO_BIN_EXE_writ-under-test").into());
        let kubernetes = Kubernetes::start(&launcher, &parts, folder.path());
        let kubernetes = kubernetes.await.unwrap();
        let cluster = kubernetes.cluster("eu-prod-1", 1).await.unwrap();
        Server {
            client: cluster.client().clone(),
            _cluster: cluster,
            _kubernetes: kubernetes,
            _folder: folder,
        }
    }

    /// A server-side apply as strict as it gets. Namespaces stay, so that others can be in them.
    async fn apply(&self, object: &Value) -> Result<Value, kube::Error> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let (api_version, kind) = (text("/apiVersion").unwrap(), text("/kind").unwrap());
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let of = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> = match text("/metadata/namespace") {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &of),
            None => Api::all_with(self.client.clone(), &of),
        };
        let mut params = PatchParams::apply("writ").validation_strict();
        params.dry_run = kind != "Namespace";
        let name = text("/metadata/name").unwrap();
        let applied = api.patch(name, &params, &Patch::Apply(object)).await?;
        Ok(serde_json::to_value(applied).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_publisher_accepts_the_api_server_accepts() {
    let server = Server::start().await;
    for seed in 0..POLICIES {
        let value = Policies::of(seed).next(&format!("p{seed}"));
        let Document::Policy(policy) = model::parse(&value).unwrap().document else {
            panic!("seed {seed}: a policy was made");
        };
        let compiled = policy.compile();
        let compiled = model::CompiledPolicy::decode(compiled.bytes()).unwrap();
        let bindings = compiled.grants.iter();
        let bindings = bindings.map(|grant| grant.binding(&compiled.name, &format!("p{seed}-a")));
        for object in compiled.objects.iter().cloned().chain(bindings) {
            let applied = server.apply(&object.content).await;
            applied.unwrap_or_else(|error| panic!("seed {seed}: {}: {error}", object.reference));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_for_the_api_server_it_refuses_and_quantities_are_as_it_keeps_them() {
    let server = Server::start().await;
    for (kind, spec) in neighbours() {
        let api_version = match kind {
            "NetworkPolicy" => "networking.k8s.io/v1",
            _ => "v1",
        };
        let object = json!({
            "apiVersion": api_version, "kind": kind,
            "metadata": {"name": "x", "namespace": "default"}, "spec": spec,
        });
        assert!(
            model::parse(&policy_with(&object)).is_err(),
            "accepted here: {object}"
        );
        let answer = server.apply(&object).await;
        assert!(answer.is_err(), "accepted there: {object}");
    }

    let written = [
        "1024Mi",
        "0.5",
        "1e3",
        "12e2",
        "1500m",
        "0.001",
        "1000000k",
        "1.5Gi",
        "+7",
        "007",
        "3E",
        "1000000n",
        "2000000u",
        ".5",
        "5.",
        "9223372036854775807",
    ];
    // What it would not keep as it was written is refused.
    assert_eq!(kept(&server, "0.0001").await.unwrap(), "1m");
    assert!(model::parse(&of_quota("0.0001").1).is_err());
    for text in written {
        let kept = kept(&server, text).await.unwrap();
        assert!(model::parse(&of_quota(text).1).is_ok(), "{text}");
        assert!(quantities_equal(text, &kept), "{text} is kept as {kept}");
    }
}

fn policy_with(object: &Value) -> Value {
    json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy", "metadata": {"name": "x"},
        "spec": {"clusters": {"all": true}, "objects": [object]},
    })
}

/// A quota of that much, and a policy with it.
fn of_quota(text: &str) -> (Value, Value) {
    let object = json!({
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "x", "namespace": "default"},
        "spec": {"hard": {"requests.memory": text}},
    });
    let policy = policy_with(&object);
    (object, policy)
}

/// How the API server keeps a quantity.
async fn kept(server: &Server, text: &str) -> Option<String> {
    let kept = server.apply(&of_quota(text).0).await.ok()?;
    let kept = kept["spec"]["hard"]["requests.memory"].as_str();
    kept.map(str::to_owned)
}

/// Specs that both refuse, by kind.
fn neighbours() -> Vec<(&'static str, Value)> {
    let container = |mut limit: Value| {
        limit["type"] = json!("Container");
        ("LimitRange", json!({"limits": [limit]}))
    };
    let quota = |spec: Value| ("ResourceQuota", spec);
    let port = |port: Value| {
        (
            "NetworkPolicy",
            json!({"podSelector": {}, "ingress": [{"ports": [port]}]}),
        )
    };
    let peer = |peer: Value| {
        (
            "NetworkPolicy",
            json!({"podSelector": {}, "egress": [{"to": [peer]}]}),
        )
    };
    let scope = |name: &str, operator: &str, values: Value| {
        let expression = json!({"scopeName": name, "operator": operator, "values": values});
        quota(json!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [expression]}}))
    };
    vec![
        quota(json!({"soft": {}})),
        quota(json!({"hard": {"cpus": "1"}})),
        quota(json!({"hard": {"storage": "1"}})),
        quota(json!({"hard": {"cpu": "1x"}})),
        quota(json!({"hard": {"cpu": "-1"}})),
        quota(json!({"hard": {"pods": "1500m"}})),
        quota(json!({"hard": {"count/jobs.batch": "0.5"}})),
        quota(json!({"hard": {"pods": "1"}, "scopes": ["Best"]})),
        quota(json!({"hard": {"pods": "1"}, "scopes": ["Terminating", "NotTerminating"]})),
        quota(json!({"hard": {"cpu": "1"}, "scopes": ["BestEffort"]})),
        quota(json!({"hard": {"secrets": "1"}, "scopes": ["Terminating"]})),
        quota(json!({"hard": {"ephemeral-storage": "1"}, "scopes": ["Terminating"]})),
        scope("PriorityClass", "In", json!([])),
        scope("PriorityClass", "Exists", json!(["a"])),
        scope("BestEffort", "DoesNotExist", json!([])),
        scope("Pods", "Exists", json!([])),
        ("LimitRange", json!({"limits": [{"type": "Node"}]})),
        (
            "LimitRange",
            json!({"limits": [{"type": "Pod"}, {"type": "Pod"}]}),
        ),
        (
            "LimitRange",
            json!({"limits": [{"type": "Pod", "default": {"cpu": "1"}}]}),
        ),
        (
            "LimitRange",
            json!({"limits": [{"type": "PersistentVolumeClaim", "max": {"cpu": "1"}}]}),
        ),
        container(json!({"max": {"storage": "1"}})),
        container(json!({"min": {"cpu": "2"}, "max": {"cpu": "1999m"}})),
        container(json!({"defaultRequest": {"cpu": "2"}, "default": {"cpu": "1"}})),
        container(json!({"default": {"memory": "1025Mi"}, "max": {"memory": "1Gi"}})),
        container(json!({"maxLimitRequestRatio": {"cpu": "0.9"}})),
        container(json!({
            "min": {"cpu": "1"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "2.1"},
        })),
        container(json!({
            "default": {"hugepages-2Mi": "4Mi"}, "defaultRequest": {"hugepages-2Mi": "2Mi"},
        })),
        (
            "NetworkPolicy",
            json!({"podSelector": {}, "policyTypes": ["ingress"]}),
        ),
        port(json!({"protocol": "tcp", "port": 1})),
        port(json!({"port": 65_536})),
        port(json!({"port": "80"})),
        port(json!({"port": "a-very-long-name"})),
        port(json!({"endPort": 80})),
        port(json!({"port": "dns", "endPort": 80})),
        port(json!({"port": 81, "endPort": 80})),
        peer(json!({})),
        peer(json!({"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}})),
        peer(json!({"ipBlock": {"cidr": "10.0.0.0"}})),
        peer(json!({"ipBlock": {"cidr": "10.0.0.0/33"}})),
        peer(json!({"ipBlock": {"cidr": "10.0.0.1/8"}})),
        peer(json!({"ipBlock": {"cidr": "010.0.0.0/8"}})),
        peer(json!({"ipBlock": {"cidr": "::ffff:10.0.0.0/104"}})),
        peer(json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}})),
        peer(json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}})),
    ]
}
