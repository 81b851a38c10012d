//! What a cluster was told to hold: the compiled objects of a policy, and of the grants that select
//! namespaces the bindings that can be known here. No I/O.
//!
//! Never guesses at a cluster's namespaces: such a grant is expanded for the namespaces that are
//! themselves rendered, and named, so that nobody takes what is shown for all of it.

use std::collections::BTreeMap;

use writ_core::{
    model::{CompiledPolicy, Object, limits::EXPANDED_OBJECTS_MAX},
    plan::Phase,
};

/// The label that every API server sets on a namespace.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Most namespaces that one cluster's policies may declare here; a bound on what a read holds.
pub(crate) const NAMESPACES_MAX: usize = 20_000;

/// The rendered namespaces with their labels.
pub(crate) type Namespaces = BTreeMap<String, BTreeMap<String, String>>;

/// A policy as one cluster was told it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rendered {
    /// In the order in which they are applied, each with its wave.
    pub(crate) objects: Vec<(u32, Object)>,
    /// Grants that select namespaces, each with the rendered namespaces that it selects.
    pub(crate) grants: Vec<(String, Vec<String>)>,
}

/// Why a policy can't be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("over {EXPANDED_OBJECTS_MAX} objects with the bindings in selected namespaces")]
pub(crate) struct TooMany;

/// Adds the namespaces that a policy declares.
pub(crate) fn add_namespaces(policy: &CompiledPolicy, namespaces: &mut Namespaces) {
    for object in policy.objects.iter() {
        if object.reference.kind != "Namespace" {
            continue;
        }
        let name = object.reference.name.clone();
        let given = object.content["metadata"]["labels"].as_object();
        let mut labels: BTreeMap<String, String> = given
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect();
        labels.insert(NAMESPACE_NAME_LABEL.to_owned(), name.clone());
        namespaces.insert(name, labels);
    }
}

/// Renders a policy.
pub(crate) fn render(
    policy: &CompiledPolicy,
    namespaces: &Namespaces,
) -> Result<Rendered, TooMany> {
    let mut objects = policy.objects.to_vec();
    let mut grants = Vec::new();
    for grant in policy.grants.iter() {
        let selected: Vec<String> = namespaces
            .iter()
            .filter(|(_, labels)| grant.matches(labels))
            .map(|(name, _)| name.clone())
            .collect();
        if objects.len() + selected.len() > EXPANDED_OBJECTS_MAX {
            return Err(TooMany);
        }
        objects.extend(
            selected
                .iter()
                .map(|name| grant.binding(&policy.name, name)),
        );
        grants.push((grant.name.clone(), selected));
    }
    objects.sort_by(|a, b| a.reference.cmp(&b.reference));
    objects.dedup_by(|a, b| a.reference == b.reference);
    let mut objects: Vec<(u32, Object)> = objects
        .into_iter()
        .map(|object| (wave(&object), object))
        .collect();
    objects.sort_by_key(|(wave, _)| *wave);
    Ok(Rendered { objects, grants })
}

/// As a subscriber's plan orders what it applies.
fn wave(object: &Object) -> u32 {
    Phase::applies(&object.reference.kind) as u32
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use writ_core::model::{self, Document};

    use super::*;

    fn policy(name: &str, spec: serde_json::Value) -> CompiledPolicy {
        let document = json!({
            "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy",
            "metadata": {"name": name}, "spec": spec,
        });
        let Document::Policy(policy) = model::parse(&document).unwrap().document else {
            panic!("a policy")
        };
        CompiledPolicy::decode(policy.compile().bytes()).unwrap()
    }

    #[test]
    fn a_selecting_grant_is_expanded_for_rendered_namespaces_and_named() {
        let team = policy(
            "team",
            json!({
                "clusters": {"all": true},
                "objects": [
                    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "pay", "labels": {"team": "pay"}}},
                    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}},
                ],
            }),
        );
        let bot = policy(
            "bot",
            json!({
                "clusters": {"all": true},
                "grants": [{
                    "name": "deploy", "subjects": [{"group": "ci"}], "clusterRole": "edit",
                    "namespaceSelector": {"matchLabels": {"team": "pay"}},
                }],
            }),
        );
        let mut namespaces = Namespaces::new();
        add_namespaces(&team, &mut namespaces);
        add_namespaces(&bot, &mut namespaces);
        let rendered = render(&bot, &namespaces).unwrap();
        assert_eq!(
            rendered.grants,
            [("deploy".to_owned(), vec!["pay".to_owned()])]
        );
        let binding = &rendered.objects[0].1.reference;
        assert_eq!(
            (binding.kind.as_str(), binding.namespace.as_deref()),
            ("RoleBinding", Some("pay"))
        );
        let alone = render(&bot, &Namespaces::new()).unwrap();
        assert_eq!(alone.grants, [("deploy".to_owned(), vec![])]);
        assert!(alone.objects.is_empty());
    }

    #[test]
    fn what_others_lean_on_is_in_an_earlier_wave() {
        let team = policy(
            "team",
            json!({
                "clusters": {"all": true},
                "objects": [
                    {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
                     "metadata": {"name": "a", "namespace": "pay"}, "rules": []},
                    {"apiVersion": "v1", "kind": "ServiceAccount",
                     "metadata": {"name": "bot", "namespace": "pay"}},
                    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "pay"}},
                ],
                "grants": [{"name": "g", "subjects": [{"group": "x"}], "role": "a", "namespaces": ["pay"]}],
            }),
        );
        let rendered = render(&team, &Namespaces::new()).unwrap();
        let kinds: Vec<&str> = rendered
            .objects
            .iter()
            .map(|(_, object)| object.reference.kind.as_str())
            .collect();
        assert_eq!(
            kinds,
            ["Namespace", "ServiceAccount", "Role", "RoleBinding"]
        );
    }
}
