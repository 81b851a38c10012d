//! A cluster that does what it is told, and the objects that the tests put into it.

mod generated;
mod limits;
mod owner;
mod removal;
mod roles;
mod rules;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::model::{Adopt, Object, ObjectRef, Removal};
use crate::name::PolicyName;

const RBAC: &str = "rbac.authorization.k8s.io/v1";

fn policy() -> PolicyName {
    PolicyName::parse("payments").unwrap()
}

fn reference(kind: &str, namespace: Option<&str>, name: &str) -> ObjectRef {
    let core = matches!(
        kind,
        "Namespace" | "ServiceAccount" | "LimitRange" | "ResourceQuota" | "ConfigMap"
    );
    ObjectRef {
        api_version: if core { "v1" } else { RBAC }.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    }
}

fn object(reference: ObjectRef, rest: Value) -> Object {
    let mut content = json!({
        "apiVersion": reference.api_version,
        "kind": reference.kind,
        "metadata": {"name": reference.name},
    });
    if let Some(namespace) = &reference.namespace {
        content["metadata"]["namespace"] = namespace.as_str().into();
    }
    content
        .as_object_mut()
        .unwrap()
        .extend(rest.as_object().unwrap().clone());
    Object { reference, content }
}

fn namespace() -> Object {
    object(reference("Namespace", None, "payments"), json!({}))
}

fn account() -> Object {
    object(
        reference("ServiceAccount", Some("payments"), "bot"),
        json!({}),
    )
}

fn role() -> Object {
    named_role("reader")
}

fn named_role(name: &str) -> Object {
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]);
    object(
        reference("Role", Some("payments"), name),
        json!({"rules": rules}),
    )
}

fn binding(role: &str) -> Object {
    let api_group = "rbac.authorization.k8s.io";
    object(
        reference("RoleBinding", Some("payments"), "writ:payments:owners"),
        json!({
            "roleRef": {"apiGroup": api_group, "kind": "Role", "name": role},
            "subjects": [{"kind": "User", "name": "bob", "apiGroup": api_group}],
        }),
    )
}

fn wanted<'a>(policy: &'a PolicyName, objects: &'a [Object]) -> Wanted<'a> {
    Wanted {
        policy,
        objects,
        removal: Removal::Prune,
        adopt: Adopt::Never,
        drift: OnDrift::PutBack,
    }
}

fn team() -> Vec<Object> {
    vec![binding("reader"), role(), account(), namespace()]
}

/// A cluster that does what it is told: just enough to see a plan's effect.
#[derive(Default)]
struct Cluster {
    objects: BTreeMap<ObjectRef, Value>,
    inventory: Vec<InventoryItem>,
    writes: u64,
}

impl Cluster {
    fn with(desired: &[Object]) -> Cluster {
        let mut cluster = Cluster::default();
        cluster.bring(desired);
        cluster
    }

    fn put(&mut self, reference: &ObjectRef, mut content: Value) -> String {
        self.writes += 1;
        let known = self
            .objects
            .get(reference)
            .map(|old| old["metadata"]["uid"].clone());
        let uid = known.unwrap_or_else(|| format!("uid-{}", self.writes).into());
        content["metadata"]["uid"] = uid.clone();
        content["metadata"]["resourceVersion"] = self.writes.to_string().into();
        self.objects.insert(reference.clone(), content);
        uid.as_str().unwrap().to_owned()
    }

    fn observe(&self, desired: &[Object]) -> Observed {
        let items = self.inventory.iter().map(|item| &item.reference);
        let objects = desired
            .iter()
            .map(|object| &object.reference)
            .chain(items)
            .map(|at| {
                (
                    at.clone(),
                    self.objects.get(at).cloned().and_then(ObservedObject::read),
                )
            });
        let present = self.objects.contains_key(&namespace().reference);
        let state = if present {
            NamespaceState::Active
        } else {
            NamespaceState::Missing
        };
        Observed {
            objects: objects.collect(),
            namespaces: BTreeMap::from([("payments".to_owned(), state)]),
            roles: desired
                .iter()
                .filter_map(role_of)
                .map(|role| {
                    let is_there = self.objects.contains_key(&role);
                    (role, is_there)
                })
                .collect(),
            ..Observed::default()
        }
    }

    fn plan(&self, desired: &[Object]) -> Plan {
        self.plan_as(&wanted(&policy(), desired))
    }

    fn plan_as(&self, wanted: &Wanted<'_>) -> Plan {
        let observed = self.observe(wanted.objects);
        plan(wanted, &self.inventory, &observed, &Limits::NONE)
    }

    fn bring(&mut self, desired: &[Object]) -> Plan {
        self.bring_as(&wanted(&policy(), desired))
    }

    fn bring_as(&mut self, wanted: &Wanted<'_>) -> Plan {
        let made = self.plan_as(wanted);
        self.carry_out(&made);
        made
    }

    fn carry_out(&mut self, made: &Plan) {
        for Step {
            reference, action, ..
        } in made.steps().cloned()
        {
            self.inventory.retain(|item| item.reference != reference);
            match action {
                Action::Create { content } | Action::Update { content, .. } => {
                    self.record(reference, content);
                }
                Action::Replace { content, .. } => {
                    self.objects.remove(&reference);
                    self.record(reference, content);
                }
                Action::Delete { .. } => drop(self.objects.remove(&reference)),
                Action::Release { uid, .. } => {
                    let object = self.objects.get_mut(&reference).unwrap();
                    object["metadata"]["labels"] = json!({});
                    object["metadata"]["annotations"] = json!({RELEASED: released_value(&uid)});
                }
            }
        }
        self.inventory
            .retain(|item| !made.dropped.contains(&item.reference));
    }

    fn record(&mut self, reference: ObjectRef, content: Value) {
        let hash = content_hash(&content);
        let deletable = is_deletable(&content);
        let uid = Some(self.put(&reference, content));
        self.inventory.push(InventoryItem {
            uid,
            content: Some(hash),
            deletable,
            ..InventoryItem::intended(reference)
        });
    }

    fn edit(&mut self, at: &ObjectRef) -> &mut Value {
        self.objects.get_mut(at).unwrap()
    }
}

fn phases(plan: &Plan) -> Vec<Phase> {
    plan.waves.iter().map(|wave| wave.phase).collect()
}

fn reasons(plan: &Plan) -> Vec<(String, Reason)> {
    plan.held
        .iter()
        .map(|held| (held.reference.name.clone(), held.reason))
        .collect()
}
