//! The ceiling's check over the table of objects that the API server is tested with too.

mod documents;

use serde_json::{Value, json};

use super::{Ceiling, Error};
use crate::model::{Object, ObjectRef};
use documents::{cases, ceiling_named, default_document};

#[test]
fn every_object_of_the_table_gets_its_answer() {
    for case in cases() {
        let answer = ceiling_named(&case.under).check(&case.object);
        let message = answer.err().map(|violation| violation.to_string());
        assert_eq!(message, case.refused, "{}", case.name);
    }
}

#[test]
fn the_table_has_refused_and_passing_objects_of_every_kind() {
    for kind in [
        "Namespace",
        "ServiceAccount",
        "Role",
        "ClusterRole",
        "RoleBinding",
        "ClusterRoleBinding",
    ] {
        for refused in [false, true] {
            let found = cases().into_iter().any(|case| {
                case.object.reference.kind == kind && case.refused.is_some() == refused
            });
            assert!(found, "{kind}, refused: {refused}");
        }
    }
}

#[test]
fn kinds_that_limit_writ_itself_are_above_every_ceiling() {
    let open = ceiling_named("open");
    for (api_version, kind, is_allowed) in [
        ("v1", "Secret", false),
        ("v1", "ConfigMap", true),
        ("writ.dev/v1alpha1", "PolicyCeiling", false),
        ("writ.dev/v1alpha1", "ClusterPolicy", true),
        (
            "admissionregistration.k8s.io/v1",
            "ValidatingAdmissionPolicy",
            false,
        ),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition", false),
        ("certificates.k8s.io/v1", "CertificateSigningRequest", false),
        ("example.com/v1", "Secret", true),
    ] {
        let manifest = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}});
        let answer = open.check(&documents::object(manifest));
        assert_eq!(
            answer.is_ok(),
            is_allowed,
            "{api_version} {kind}: {answer:?}"
        );
    }
}

#[test]
fn the_hash_follows_the_spec_and_nothing_else() {
    let document = default_document();
    let hash = |document: &Value| Ceiling::parse(document).unwrap().hash();
    let before = hash(&document);
    let mut touched = document.clone();
    touched["metadata"]["resourceVersion"] = "7".into();
    assert_eq!(hash(&touched), before);
    touched["spec"]["allowAggregation"] = true.into();
    assert_ne!(hash(&touched), before);
}

#[test]
fn a_field_that_is_missing_unknown_or_of_another_type_is_refused_by_its_name() {
    let refused = |change: fn(&mut Value)| -> Error {
        let mut document = default_document();
        change(&mut document);
        Ceiling::parse(&document).unwrap_err()
    };
    let missing = refused(|document| {
        document["spec"]
            .as_object_mut()
            .unwrap()
            .remove("deniedVerbs");
    });
    assert_eq!(missing.to_string(), "spec.deniedVerbs: is missing");
    let unknown = refused(|document| document["spec"]["deniedPods"] = json!([]));
    assert_eq!(unknown.field, "spec.deniedPods");
    let mistyped = refused(|document| document["spec"]["allowAggregation"] = "yes".into());
    assert_eq!(mistyped.field, "spec.allowAggregation");
    let pattern = refused(|document| document["spec"]["deniedUsers"] = json!(["a", "b*c"]));
    assert_eq!(pattern.field, "spec.deniedUsers[1]");
    let level = refused(|document| document["spec"]["podSecurityMinimum"] = "low".into());
    assert_eq!(level.field, "spec.podSecurityMinimum");
    let adoptable = refused(|document| document["spec"]["adoptable"] = json!([{"kind": "Role"}]));
    assert_eq!(adoptable.field, "spec.adoptable");
    let other = refused(|document| document["metadata"]["name"] = "other".into());
    assert_eq!(other.to_string(), "metadata.name: must be default");
}

#[test]
fn what_may_be_adopted_is_named_exactly() {
    let open = ceiling_named("open");
    let reference = |kind: &str, namespace: Option<&str>, name: &str| ObjectRef {
        api_version: "rbac.authorization.k8s.io/v1".to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    };
    assert!(open.allows_adoption(&reference("ClusterRole", None, "old-reader")));
    assert!(open.allows_adoption(&reference("Role", Some("payments"), "old-reader")));
    assert!(!open.allows_adoption(&reference("Role", Some("orders"), "old-reader")));
    assert!(!open.allows_adoption(&reference("ClusterRole", None, "old-reader-2")));
    assert!(!ceiling_named("default").allows_adoption(&reference(
        "ClusterRole",
        None,
        "old-reader"
    )));
}

#[test]
fn protected_namespaces_are_forbidden_and_writs_own_always() {
    let (default, open) = (ceiling_named("default"), ceiling_named("open"));
    assert!(default.forbids_namespace("kube-system") && default.forbids_namespace("default"));
    assert!(!default.forbids_namespace("payments") && !open.forbids_namespace("kube-system"));
    assert!(default.forbids_namespace("writ-system") && open.forbids_namespace("writ-system"));
}
