//! A real cluster with the subscriber's account in it, and short words for what tests do to it.

use std::time::{Duration, Instant};

use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tempfile::TempDir;
use writ_core::hash::Hash;
use writ_core::model::{self, Document, ObjectRef};
use writ_core::name::PolicyName;
use writ_core::revision::{Generation, Revision};
use writ_sandbox::cluster::Cluster;
use writ_sandbox::kubernetes::Kubernetes;
use writ_sandbox::parts::Parts;
use writ_sandbox::process::Launcher;
use writ_sandbox::progress::Progress;
use writ_subscriber::cluster::ClusterApi;
use writ_subscriber::connect::{self, Access};
use writ_subscriber::engine::{Engine, Target};
use writ_subscriber::kube_api::KubeApi;
use writ_subscriber::resource;
use writ_subscriber::slot::Content;

pub(crate) const RBAC: &str = "rbac.authorization.k8s.io/v1";
/// Everything that is waited for takes seconds; this is for a machine that does much else.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// One real cluster. What the subscriber does, it does with its ServiceAccount's token.
pub(crate) struct Fixture {
    pub(crate) admin: kube::Client,
    pub(crate) api: KubeApi,
    // Dropped in this order: the cluster's processes, etcd, their files.
    _cluster: Cluster,
    _kubernetes: Kubernetes,
    _folder: TempDir,
}

impl Fixture {
    pub(crate) async fn start() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::find(&Progress::stderr()).await.unwrap();
        let launcher = Launcher::writ(env!("CARGO_BIN_EXE_writ-under-test").into());
        let kubernetes = Kubernetes::start(&launcher, &parts, folder.path())
            .await
            .unwrap();
        let cluster = kubernetes.cluster("eu-prod-1", 1).await.unwrap();
        let access = Access::Token {
            server: cluster.endpoints().next().unwrap().to_owned(),
            ca_file: cluster.authority_file().to_owned(),
            token_file: cluster.token_file().to_owned(),
        };
        let api = KubeApi::new(connect::client(&access).await.unwrap());
        let admin = cluster.client().clone();
        Fixture {
            admin,
            api,
            _cluster: cluster,
            _kubernetes: kubernetes,
            _folder: folder,
        }
    }

    /// An engine that has read what the cluster keeps.
    pub(crate) async fn engine(&self) -> Engine<KubeApi> {
        let engine = Engine::new(self.api.clone());
        let loaded = engine.load().await.unwrap();
        assert!(loaded.unreadable.is_empty(), "{loaded:?}");
        engine
    }

    fn kind(&self, at: &ObjectRef) -> Api<DynamicObject> {
        let known = resource::of(at).unwrap();
        let kind = ApiResource {
            group: known.group().to_owned(),
            version: known.version().to_owned(),
            api_version: known.api_version.to_owned(),
            kind: known.kind.to_owned(),
            plural: known.plural.to_owned(),
        };
        match &at.namespace {
            Some(namespace) => Api::namespaced_with(self.admin.clone(), namespace, &kind),
            None => Api::all_with(self.admin.clone(), &kind),
        }
    }

    pub(crate) async fn get(&self, at: &ObjectRef) -> Option<Value> {
        let found = self.kind(at).get_opt(&at.name).await.unwrap();
        found.map(|object| serde_json::to_value(object).unwrap())
    }

    pub(crate) async fn create(&self, at: &ObjectRef, content: &Value) {
        let object = serde_json::from_value(content.clone()).unwrap();
        self.kind(at)
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
    }

    pub(crate) async fn delete(&self, at: &ObjectRef) {
        self.kind(at)
            .delete(&at.name, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Gives the subscriber's account further rights, as a cluster's owner does.
    pub(crate) async fn allow(&self, name: &str, rules: Value) {
        let group = "rbac.authorization.k8s.io";
        let role = json!({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules});
        let binding = json!({
            "apiVersion": RBAC,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "namespace": "writ-system", "name": "writ-subscriber"}],
        });
        self.create(&at("ClusterRole", None, name), &role).await;
        self.create(&at("ClusterRoleBinding", None, name), &binding)
            .await;
    }

    /// A namespace made by hand.
    pub(crate) async fn namespace(&self, name: &str, labels: Value) {
        let metadata = json!({"name": name, "labels": labels});
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata});
        self.create(&at("Namespace", None, name), &namespace).await;
    }

    /// The cluster's owner lets Writ write aggregated ClusterRoles, which the default does not; waits
    /// until that is in force.
    pub(crate) async fn allow_aggregation(&self) {
        let ceiling = resource::POLICY_CEILINGS.reference(None, "default");
        self.edit(&ceiling, json!({"spec": {"allowAggregation": true}}))
            .await;
        let at = at("ClusterRole", None, "aggregated");
        let asked = json!({
            "apiVersion": RBAC, "kind": "ClusterRole",
            "metadata": {"name": at.name, "labels": {"writ.dev/policy": "asked"}},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]},
        });
        until("aggregation is allowed", async || {
            self.api.dry_run(&at, &asked).await.is_ok()
        })
        .await;
    }

    /// A change by hand, under another field manager.
    pub(crate) async fn edit(&self, at: &ObjectRef, patch: Value) {
        let by_hand = PatchParams::apply("by-hand");
        self.kind(at)
            .patch(&at.name, &by_hand, &Patch::Merge(patch))
            .await
            .unwrap();
    }
}

/// Asks until the answer is yes.
pub(crate) async fn until(what: &str, check: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !check().await {
        assert!(Instant::now() < deadline, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A reference to an object of a kind that the subscriber knows.
pub(crate) fn at(kind: &str, namespace: Option<&str>, name: &str) -> ObjectRef {
    let known = resource::watched()
        .chain([resource::CONFIG_MAPS])
        .find(|known| known.kind == kind)
        .unwrap();
    known.reference(namespace, name)
}

/// A policy's mirror.
pub(crate) fn mirror(policy: &str) -> ObjectRef {
    at("ClusterPolicy", None, policy)
}

pub(crate) fn policy(name: &str) -> PolicyName {
    PolicyName::parse(name).unwrap()
}

/// A verified policy with its hash, as the follower would hand it over.
#[derive(Clone)]
pub(crate) struct Compiled {
    pub(crate) hash: Hash,
    pub(crate) content: Content,
}

/// Compiles a policy for the whole fleet.
pub(crate) fn compile(name: &str, objects: Value, grants: Value) -> Compiled {
    compile_spec(name, json!({"objects": objects, "grants": grants}))
}

/// Compiles a policy for the whole fleet from the rest of its spec.
pub(crate) fn compile_spec(name: &str, mut spec: Value) -> Compiled {
    spec["clusters"] = json!({"all": true});
    let document = json!({
        "apiVersion": "writ.dev/v1alpha1",
        "kind": "ClusterPolicy",
        "metadata": {"name": name},
        "spec": spec,
    });
    let parsed = model::parse(&document).unwrap_or_else(|refused| panic!("{refused:?}"));
    let Document::Policy(policy) = parsed.document else {
        panic!("not a policy")
    };
    let compiled = policy.compile();
    let content = Content::decode(compiled.bytes()).unwrap();
    Compiled {
        hash: Hash::of(compiled.bytes()),
        content,
    }
}

/// A team's namespace with an account, two roles and a binding of one of them to a user.
pub(crate) fn team(role: &str, user: &str) -> Compiled {
    let rules = |verbs: Value| json!([{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}]);
    let role_of = |name: &str, verbs: Value| {
        let metadata = json!({"name": name, "namespace": "payments"});
        json!({"apiVersion": RBAC, "kind": "Role", "metadata": metadata, "rules": rules(verbs)})
    };
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    compile(
        "team",
        json!([
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "payments", "labels": labels}},
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bot", "namespace": "payments"}},
            role_of("reader", json!(["get"])),
            role_of("writer", json!(["get", "create"])),
        ]),
        json!([{
            "name": "owners",
            "subjects": [{"user": user}, {"serviceAccount": "payments/bot"}],
            "role": role,
            "namespaces": ["payments"],
        }]),
    )
}

/// The binding of [`team`].
pub(crate) fn owners() -> ObjectRef {
    at("RoleBinding", Some("payments"), "writ:team:owners")
}

/// The state of a policy at a revision; `None` removes it.
pub(crate) fn target(name: &str, number: u64, document: Option<Compiled>) -> Target {
    let revision = Revision { epoch: 1, number };
    let (hash, content) = match document {
        Some(document) => (document.hash, Some(document.content)),
        None => (Hash::of(b"tombstone"), None),
    };
    Target {
        policy: policy(name),
        as_of: revision,
        word: revision,
        generation: Generation(number),
        hash,
        feed: "policy.all.all".parse().unwrap(),
        signed: format!("signed {number}").into_bytes(),
        content,
    }
}
