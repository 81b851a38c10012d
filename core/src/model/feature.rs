//! Features: what a document uses that not every subscriber can do. An event names those that it needs
//! (`requires`), and a subscriber without one of them refuses the event and says which: a refusal to be
//! upgraded from, where doing without would do something else than what was meant.
//!
//! What the first version could do needs no name, so that its events stay as they are.

use super::choice::{Adopt, Enforcement, Mode, Removal};
use super::document::Document;
use super::kind::ObjectKind;
use super::object::Object;
use super::policy::ClusterPolicy;

/// `adopt` other than `never`.
const ADOPT: &str = "adopt";
/// ConfigMaps, and every kind whose body is not checked.
const FURTHER_KINDS: &str = "further-kinds";
/// Grants with a `namespaceSelector`.
const NAMESPACE_SELECTOR: &str = "namespace-selector";
/// NetworkPolicies.
const NETWORK_POLICIES: &str = "network-policies";
/// `mode: observe`.
const OBSERVE: &str = "observe";
/// `removal: orphan`.
const ORPHAN: &str = "orphan";
/// ResourceQuotas and LimitRanges.
const QUOTAS: &str = "quotas";
/// Namespaces that are deleted with their policy.
const REMOVED_NAMESPACES: &str = "removed-namespaces";
/// `enforcement: report`.
const REPORT: &str = "report";

/// All features that this build has, sorted.
pub const FEATURES: [&str; 9] = [
    ADOPT,
    FURTHER_KINDS,
    NAMESPACE_SELECTOR,
    NETWORK_POLICIES,
    OBSERVE,
    ORPHAN,
    QUOTAS,
    REMOVED_NAMESPACES,
    REPORT,
];

impl Document {
    /// The features that a subscriber needs for this document, sorted.
    pub fn requires(&self) -> Vec<String> {
        let needs = |feature: &str| match self {
            Document::Cluster(cluster) => feature == OBSERVE && cluster.mode == Mode::Observe,
            Document::Policy(policy) => policy_needs(policy, feature),
            Document::Record(_) => false,
        };
        let needed = FEATURES.into_iter().filter(|feature| needs(feature));
        needed.map(str::to_owned).collect()
    }
}

fn policy_needs(policy: &ClusterPolicy, feature: &str) -> bool {
    match feature {
        ADOPT => policy.adopt != Adopt::Never,
        ORPHAN => policy.removal == Removal::Orphan,
        REPORT => policy.enforcement == Enforcement::Report,
        NAMESPACE_SELECTOR => !policy.selector_grants().is_empty(),
        _ => policy
            .objects
            .iter()
            .any(|object| object_needs(object, feature)),
    }
}

fn object_needs(object: &Object, feature: &str) -> bool {
    let of = &object.reference;
    match ObjectKind::find(&of.api_version, &of.kind) {
        None | Some(ObjectKind::ConfigMap) => feature == FURTHER_KINDS,
        Some(ObjectKind::LimitRange | ObjectKind::ResourceQuota) => feature == QUOTAS,
        Some(ObjectKind::NetworkPolicy) => feature == NETWORK_POLICIES,
        Some(ObjectKind::Namespace) => {
            feature == REMOVED_NAMESPACES && object.may_be_deleted_with_policy()
        }
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::parse;

    fn requires(spec: Value) -> Vec<String> {
        let value = json!({
            "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy",
            "metadata": {"name": "a"}, "spec": spec,
        });
        parse(&value).unwrap().document.requires()
    }

    #[test]
    fn a_document_requires_what_it_uses_and_nothing_else() {
        let object = |api_version: &str, kind: &str, annotations: Value| {
            json!({
                "apiVersion": api_version, "kind": kind,
                "metadata": {"name": "a", "annotations": annotations},
            })
        };
        let plain = object("v1", "Namespace", json!({}));
        assert_eq!(
            requires(json!({"clusters": {"all": true}, "objects": [plain]})),
            [""; 0]
        );
        let all = json!({
            "clusters": {"all": true},
            "enforcement": "report", "removal": "orphan", "adopt": "ifIdentical",
            "objects": [
                object("v1", "Namespace", json!({"writ.dev/removal": "delete"})),
                object("example.com/v1", "Widget", json!({})),
            ],
            "grants": [{
                "name": "g", "subjects": [{"user": "a"}], "clusterRole": "view",
                "namespaceSelector": {"matchLabels": {"team": "a"}},
            }],
        });
        assert_eq!(
            requires(all),
            [
                ADOPT,
                FURTHER_KINDS,
                NAMESPACE_SELECTOR,
                ORPHAN,
                REMOVED_NAMESPACES,
                REPORT
            ]
        );
        assert!(FEATURES.is_sorted());
    }
}
