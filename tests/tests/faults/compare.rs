//! What a cluster has to hold by a manifest, and what it holds; and what is nobody's business.

use std::collections::BTreeMap;

use kube::api::{DynamicObject, ListParams};
use serde_json::{Value, json};

use crate::harness::Shared;

/// The kinds of the tests' policies that are compared. Namespaces stay when their policy goes.
const KINDS: [&str; 4] = ["ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding"];

/// By kind, namespace and name: what matters of an object.
pub(crate) type Objects = BTreeMap<String, Value>;

fn key(kind: &str, namespace: &str, name: &str) -> String {
    format!("{kind} {namespace}/{name}")
}

/// What a manifest of the tests asks for, worked out without Writ.
pub(crate) fn expected(manifest: &Value) -> Objects {
    let mut objects = Objects::new();
    let policy = manifest["metadata"]["name"].as_str().unwrap_or_default();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for object in list(&manifest["spec"]["objects"]) {
        let text = |pointer| object.pointer(pointer).and_then(Value::as_str);
        let kind = text("/kind").unwrap();
        if KINDS.contains(&kind) {
            let namespace = text("/metadata/namespace").unwrap_or_default();
            let key = key(kind, namespace, text("/metadata/name").unwrap());
            objects.insert(key, object["rules"].clone());
        }
    }
    for grant in list(&manifest["spec"]["grants"]) {
        let name = format!("writ:{policy}:{}", grant["name"].as_str().unwrap());
        let role = match grant["role"].as_str() {
            Some(role) => format!("Role {role}"),
            None => format!("ClusterRole {}", grant["clusterRole"].as_str().unwrap()),
        };
        let groups: Vec<Value> = list(&grant["subjects"])
            .into_iter()
            .map(|subject| subject["group"].clone())
            .collect();
        let binding = json!({"role": role, "groups": groups});
        if grant["clusterWide"] == true {
            objects.insert(key("ClusterRoleBinding", "", &name), binding.clone());
        }
        for namespace in list(&grant["namespaces"]) {
            let namespace = namespace.as_str().unwrap();
            objects.insert(key("RoleBinding", namespace, &name), binding.clone());
        }
    }
    objects
}

/// What carries the mark of a policy in a cluster; `None`: it can't be read.
pub(crate) async fn actual(fleet: &Shared, cluster: &str, policy: &str) -> Option<Objects> {
    let of = ListParams::default().labels(&format!("writ.dev/policy={policy}"));
    let mut objects = Objects::new();
    for kind in KINDS {
        for object in fleet.objects(cluster, kind, "").list(&of).await.ok()? {
            let namespace = object.metadata.namespace.clone().unwrap_or_default();
            let name = object.metadata.name.clone().unwrap_or_default();
            objects.insert(key(kind, &namespace, &name), essence(&object));
        }
    }
    Some(objects)
}

fn essence(object: &DynamicObject) -> Value {
    let Some(role) = object.data.get("roleRef") else {
        return object.data["rules"].clone();
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let role = format!("{} {}", text(&role["kind"]), text(&role["name"]));
    let subjects = object.data["subjects"].as_array();
    let groups: Vec<Value> = subjects
        .into_iter()
        .flatten()
        .map(|subject| subject["name"].clone())
        .collect();
    json!({"role": role, "groups": groups})
}

/// Everything of these kinds that is not Writ's, with what changes whenever it is written.
pub(crate) async fn foreign(fleet: &Shared, cluster: &str) -> BTreeMap<String, (String, String)> {
    let others = ListParams::default().labels("!writ.dev/managed");
    let mut found = BTreeMap::new();
    for kind in KINDS {
        let listed = fleet.objects(cluster, kind, "").list(&others).await;
        for object in listed.unwrap() {
            let meta = object.metadata;
            let key = key(
                kind,
                &meta.namespace.unwrap_or_default(),
                &meta.name.unwrap_or_default(),
            );
            let version = meta.resource_version.unwrap_or_default();
            found.insert(key, (meta.uid.unwrap_or_default(), version));
        }
    }
    found
}
