//! From the compiled form, which clusters hold, back to a document that a person could have written.
//!
//! Bindings that were made from grants become grants again; reason and deletion protection never
//! travelled and are lost.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::model::{self, Document};

/// The name under which a grant's bindings stand: `writ:<policy>:<grant>`.
const GRANT_PREFIX: &str = "writ:";

/// A document that compiles to these very objects; nothing where this build knows none.
pub fn manifest(compiled: &Value) -> Option<(Value, Document)> {
    let mut document = compiled.clone();
    let name = compiled["metadata"]["name"].as_str()?.to_owned();
    if let Some(objects) = document["spec"].get_mut("objects") {
        let all = objects.as_array_mut()?;
        let prefix = format!("{GRANT_PREFIX}{name}:");
        let (bindings, others): (Vec<Value>, Vec<Value>) = all
            .drain(..)
            .partition(|object| grant_of(object, &prefix).is_some());
        *objects = others.into();
        let grants = grants(&bindings, &prefix)?;
        if !grants.is_empty() {
            let spec = document["spec"].as_object_mut()?;
            let listed = spec.entry("grants").or_insert_with(|| json!([]));
            listed.as_array_mut()?.extend(grants);
        }
    }
    let parsed = model::parse(&document).ok()?.document;
    let bytes = match &parsed {
        Document::Cluster(cluster) => cluster.compile().into_bytes(),
        Document::Policy(policy) => policy.compile().into_bytes(),
        Document::Record(_) => return None,
    };
    let again: Value = serde_json::from_slice(&bytes).ok()?;
    (again == *compiled).then_some((document, parsed))
}

fn grant_of<'a>(object: &'a Value, prefix: &str) -> Option<&'a str> {
    let is_binding = matches!(
        object["kind"].as_str(),
        Some("RoleBinding" | "ClusterRoleBinding")
    );
    let name = object["metadata"]["name"].as_str()?;
    name.strip_prefix(prefix).filter(|_| is_binding)
}

/// One grant for all bindings of a name.
fn grants(bindings: &[Value], prefix: &str) -> Option<Vec<Value>> {
    let mut grants: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for binding in bindings {
        let name = grant_of(binding, prefix)?;
        let grant = grants.entry(name).or_default();
        grant.insert("name".into(), name.into());
        let role = match binding["roleRef"]["kind"].as_str()? {
            "ClusterRole" => "clusterRole",
            _ => "role",
        };
        grant.insert(role.into(), binding["roleRef"]["name"].clone());
        let subjects: Option<Vec<Value>> = binding["subjects"]
            .as_array()?
            .iter()
            .map(subject)
            .collect();
        grant.insert("subjects".into(), subjects?.into());
        match binding["metadata"]["namespace"].as_str() {
            None => drop(grant.insert("clusterWide".into(), true.into())),
            Some(namespace) => {
                let listed = grant.entry("namespaces").or_insert_with(|| json!([]));
                listed.as_array_mut()?.push(namespace.into());
            }
        }
    }
    Some(grants.into_values().map(Value::Object).collect())
}

fn subject(subject: &Value) -> Option<Value> {
    let name = subject["name"].as_str()?;
    Some(match subject["kind"].as_str()? {
        "User" => json!({"user": name}),
        "Group" => json!({"group": name}),
        _ => json!({"serviceAccount": format!("{}/{name}", subject["namespace"].as_str()?)}),
    })
}
