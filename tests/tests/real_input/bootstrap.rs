//! The roles and bindings that an API server makes for itself, as a person would export them, under
//! names that a policy may hold.

use std::collections::BTreeMap;

use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use writ_core::hash::Hash;
use writ_core::model::{self, Document, Notice};
use writ_subscriber::slot::Content;

use crate::fixture::{Compiled, Fixture, RBAC};

/// Beginning of the new names.
const PREFIX: &str = "real:";
/// Beginning of the labels by which Kubernetes' own roles collect each other's rules; no ceiling lets
/// a policy write them, under any domain.
const AGGREGATE_TO: &str = "rbac.authorization.k8s.io/aggregate-to-";
/// The same between the renamed roles.
const ADDS_TO: &str = "example.com/adds-to-";
const KINDS: [&str; 4] = ["ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding"];

/// How much is renamed beside the objects themselves and the roles that are bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renaming {
    /// The labels that aggregate, so that the new roles collect each other.
    Labels,
    /// The namespaces, so that they can be the policy's own.
    Namespaces,
}

/// What an API server made for itself.
pub(crate) struct Bootstrap(Vec<Value>);

impl Bootstrap {
    /// Exports all of it, with everything that servers add.
    pub(crate) async fn export(fixture: &Fixture) -> Bootstrap {
        let mut objects = Vec::new();
        for kind in KINDS {
            let gvk = GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", kind);
            let of = ApiResource::from_gvk(&gvk);
            let api: Api<DynamicObject> = Api::all_with(fixture.admin.clone(), &of);
            let bootstrapped =
                ListParams::default().labels("kubernetes.io/bootstrapping,!writ.dev/policy");
            for object in api.list(&bootstrapped).await.unwrap() {
                let mut object = serde_json::to_value(object).unwrap();
                object["apiVersion"] = json!(RBAC);
                object["kind"] = json!(kind);
                objects.push(object);
            }
        }
        Bootstrap(objects)
    }

    /// Uid and resource version of each, by kind and name.
    pub(crate) fn states(&self) -> BTreeMap<String, [Value; 2]> {
        let state = |object: &Value| {
            let metadata = &object["metadata"];
            let at = [&object["kind"], &metadata["namespace"], &metadata["name"]];
            let state = [&metadata["uid"], &metadata["resourceVersion"]];
            (at.map(Value::to_string).join(" "), state.map(Clone::clone))
        };
        self.0.iter().map(state).collect()
    }

    /// The rules of a role, whoever filled them in.
    pub(crate) fn rules(&self, cluster_role: &str) -> &Value {
        let is_it = |object: &&Value| {
            object["kind"] == "ClusterRole" && object["metadata"]["name"] == cluster_role
        };
        &self.0.iter().find(is_it).unwrap()["rules"]
    }

    /// All of it under other names, without what no policy may hold: the binding that binds nobody, and
    /// the one of the group that is above RBAC.
    pub(crate) fn renamed(&self, renaming: Renaming) -> Vec<Value> {
        let grants = |object: &&Value| {
            let masters = object["subjects"][0]["name"] == "system:masters";
            object.get("roleRef").is_none() || !(object["subjects"].is_null() || masters)
        };
        let (kept, left): (Vec<&Value>, Vec<&Value>) = self.0.iter().partition(grants);
        let left: Vec<&Value> = left.iter().map(|of| &of["metadata"]["name"]).collect();
        assert_eq!(left, ["cluster-admin", "system:node"], "bindings");
        kept.into_iter()
            .map(|object| rename(object.clone(), renaming))
            .collect()
    }
}

/// The new name of something.
pub(crate) fn new_name(name: &str) -> String {
    format!("{PREFIX}{name}")
}

fn rename(mut object: Value, renaming: Renaming) -> Value {
    let prefixed = |name: &Value| json!(new_name(name.as_str().unwrap()));
    object["metadata"]["name"] = prefixed(&object["metadata"]["name"]);
    if let Some(role) = object.get_mut("roleRef") {
        role["name"] = prefixed(&role["name"]);
    }
    match renaming {
        Renaming::Labels => {
            rename_labels(&mut object["metadata"]["labels"]);
            let selectors = object.pointer_mut("/aggregationRule/clusterRoleSelectors");
            for selector in selectors
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                rename_labels(&mut selector["matchLabels"]);
            }
        }
        Renaming::Namespaces => {
            if let Some(namespace) = object.pointer_mut("/metadata/namespace") {
                *namespace = json!(new_namespace(namespace.as_str().unwrap()));
            }
        }
    }
    object
}

/// The namespace of the policy that stands for one of Kubernetes.
pub(crate) fn new_namespace(name: &str) -> String {
    format!("real-{name}")
}

fn rename_labels(labels: &mut Value) {
    let Some(labels) = labels.as_object_mut() else {
        return;
    };
    let renamed = std::mem::take(labels).into_iter().map(|(key, value)| {
        match key.strip_prefix(AGGREGATE_TO) {
            Some(role) => (format!("{ADDS_TO}{role}"), value),
            None => (key, value),
        }
    });
    *labels = renamed.collect();
}

/// Compiles exported objects as they are into a policy for the whole fleet, and says what was stripped.
pub(crate) fn compile_exported(name: &str, objects: &[Value]) -> (Compiled, Vec<Notice>) {
    let document = json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy", "metadata": {"name": name},
        "spec": {"clusters": {"all": true}, "objects": objects},
    });
    let parsed = model::parse(&document).unwrap_or_else(|refused| panic!("{refused:?}"));
    let Document::Policy(policy) = parsed.document else {
        panic!("not a policy")
    };
    let compiled = policy.compile();
    let content = Content::decode(compiled.bytes()).unwrap();
    let hash = Hash::of(compiled.bytes());
    (Compiled { hash, content }, parsed.notices)
}
