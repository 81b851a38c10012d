//! The compiled form: the same bytes for the same policy, and what decoding refuses.

use super::super::{CompiledCluster, CompiledPolicy, DecodeError};
use super::*;

fn compile(document: &Value) -> Vec<u8> {
    parse_policy(document).compile().into_bytes()
}

fn decoded(value: &Value) -> Result<CompiledPolicy, DecodeError> {
    CompiledPolicy::decode(value.to_string().as_bytes())
}

#[test]
fn grants_become_bindings_with_lasting_names_among_sorted_objects() {
    let compiled = parse_policy(&policy_document()).compile();
    let policy = CompiledPolicy::decode(compiled.bytes()).unwrap();
    let references: Vec<String> = policy
        .objects
        .iter()
        .map(|object| object.reference.to_string())
        .collect();
    assert_eq!(
        references,
        [
            "Namespace payments",
            "ServiceAccount payments/bot",
            "Role payments/reader",
            "ClusterRoleBinding writ:team-payments:auditors",
            "RoleBinding ledger/writ:team-payments:owners",
            "RoleBinding payments/readers",
            "RoleBinding payments/writ:team-payments:bot",
            "RoleBinding payments/writ:team-payments:owners",
        ]
    );
    assert_eq!(compiled.object_count(), references.len());
    assert_eq!(
        policy.objects[4].content,
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": "writ:team-payments:owners", "namespace": "ledger"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit",
            },
            "subjects": [
                {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice@example.com"},
                {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "oidc:payments-devs"},
            ],
        })
    );
}

#[test]
fn the_order_of_a_document_does_not_change_the_bytes() {
    let expected = compile(&policy_document());
    let mut document = policy_document();
    let spec = &mut document["spec"];
    for list in [
        "/objects",
        "/grants",
        "/grants/2/subjects",
        "/clusters/regions",
    ] {
        spec.pointer_mut(list)
            .unwrap()
            .as_array_mut()
            .unwrap()
            .reverse();
    }
    assert_eq!(compile(&document), expected);
}

#[test]
fn the_reason_is_no_part_of_the_compiled_form_and_a_subject_is() {
    let expected = compile(&policy_document());
    assert_eq!(
        compile(&set(policy_document(), "/spec/reason", json!("another"))),
        expected
    );
    assert!(
        !String::from_utf8(expected.clone())
            .unwrap()
            .contains("first version")
    );
    let other = json!([{"user": "bob@example.com"}]);
    assert_ne!(
        compile(&set(policy_document(), "/spec/grants/0/subjects", other)),
        expected
    );
}

#[test]
fn what_was_compiled_decodes_to_what_was_parsed() {
    let policy = parse_policy(&policy_document());
    let bytes = policy.compile().into_bytes();
    let decoded = CompiledPolicy::decode(&bytes).unwrap();
    assert_eq!(
        (&decoded.name, &decoded.labels),
        (&policy.name, &policy.labels)
    );
    assert_eq!(decoded.clusters, policy.clusters);
    let again: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(serde_json_canonicalizer::to_vec(&again).unwrap(), bytes);

    let cluster = parse_cluster(&cluster_document());
    let decoded = CompiledCluster::decode(cluster.compile().bytes()).unwrap();
    assert_eq!(decoded.cluster, cluster);
}

#[test]
fn decoding_refuses_what_this_version_does_not_know_and_what_parsing_refuses() {
    let good: Value = serde_json::from_slice(&compile(&policy_document())).unwrap();
    decoded(&good).unwrap();
    for (value, message) in [
        (
            set(good.clone(), "/spec/newField", json!(1)),
            "spec.newField: unknown field",
        ),
        (
            set(
                good.clone(),
                "/spec/grants",
                json!([{
                    "name": "g", "subjects": [{"user": "a"}], "clusterRole": "view",
                    "namespaces": ["a"],
                }]),
            ),
            "spec.grants[0].namespaces: unknown field",
        ),
        (
            set(good.clone(), "/spec/removal", json!("keep")),
            "unknown value",
        ),
        (
            set(good.clone(), "/spec/clusters", json!({})),
            "the whole fleet is said",
        ),
        (
            set(good.clone(), "/metadata/name", json!("other")),
            "made from grants",
        ),
        (
            set(good.clone(), "/spec/objects/0/metadata/uid", json!("1")),
            "unknown field",
        ),
        (
            set(
                good.clone(),
                "/spec/objects/0/metadata/name",
                json!("writ-system"),
            ),
            "subscriber",
        ),
        (
            set(good.clone(), "/kind", json!("Cluster")),
            "kind: must be ClusterPolicy here",
        ),
    ] {
        let error = decoded(&value).unwrap_err();
        assert!(matches!(error, DecodeError::Refused(_)));
        assert!(
            error.to_string().contains(message),
            "wanted {message:?}, found {error}"
        );
    }
}

#[test]
fn decoding_refuses_bytes_that_are_no_document() {
    assert!(matches!(
        CompiledPolicy::decode(b"{"),
        Err(DecodeError::ReadJson(_))
    ));
    assert!(matches!(
        CompiledPolicy::decode(b"[]"),
        Err(DecodeError::Refused(_))
    ));
    assert!(matches!(
        CompiledCluster::decode(b"\xff"),
        Err(DecodeError::ReadJson(_))
    ));
    let large = vec![b' '; 256 * 1024 + 1];
    assert!(matches!(
        CompiledPolicy::decode(&large),
        Err(DecodeError::TooLarge(_))
    ));
    let cluster = parse_cluster(&cluster_document()).compile();
    assert!(CompiledPolicy::decode(cluster.bytes()).is_err());
}

#[test]
fn a_refusal_lists_a_few_violations_and_counts_the_rest() {
    let value = json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy", "metadata": {"name": "a"},
        "spec": {"clusters": {"all": true}, "a": 1, "b": 1, "c": 1, "d": 1, "e": 1},
    });
    let text = decoded(&value).unwrap_err().to_string();
    assert!(text.ends_with("; and 2 more"), "{text}");
}

#[test]
fn a_policy_that_uses_nothing_new_has_the_bytes_that_it_always_had() {
    let document = json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy", "metadata": {"name": "a"},
        "spec": {
            "clusters": {"stages": ["prod"]},
            "grants": [{
                "name": "g", "subjects": [{"user": "u"}], "clusterRole": "view",
                "namespaces": ["n"],
            }],
        },
    });
    let expected = concat!(
        r#"{"apiVersion":"writ.dev/v1alpha1","kind":"ClusterPolicy","metadata":{"name":"a"},"#,
        r#""spec":{"adopt":"never","clusters":{"stages":["prod"]},"enforcement":"correct","#,
        r#""objects":[{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","#,
        r#""metadata":{"name":"writ:a:g","namespace":"n"},"#,
        r#""roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"view"},"#,
        r#""subjects":[{"apiGroup":"rbac.authorization.k8s.io","kind":"User","name":"u"}]}],"#,
        r#""removal":"prune"}}"#,
    );
    assert_eq!(String::from_utf8(compile(&document)).unwrap(), expected);
    let policy = parse_policy(&document);
    assert!(Document::Policy(policy).requires().is_empty());
}

#[test]
fn a_grant_with_a_namespace_selector_travels_as_it_is_and_binds_as_others_do() {
    let grant = json!({
        "name": "later", "subjects": [{"serviceAccount": "ci/bot"}, {"group": "g"}],
        "role": "reader", "namespaceSelector": {
            "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["b", "a"]}],
            "matchLabels": {"team": "payments"},
        },
    });
    let document = set(policy_document(), "/spec/grants/-", grant);
    let policy = CompiledPolicy::decode(&compile(&document)).unwrap();
    let [grant] = &policy.grants[..] else {
        panic!("{:?}", policy.grants);
    };
    let labels = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    let name = "kubernetes.io/metadata.name";
    assert!(grant.matches(&labels(&[("team", "payments"), (name, "ledger")])));
    assert!(!grant.matches(&labels(&[("team", "payments"), ("tier", "a")])));
    assert!(!grant.matches(&labels(&[("team", "payments"), (name, "writ-system")])));
    assert!(!grant.matches(&labels(&[])));

    let binding = grant.binding(&policy.name, "ledger");
    let reference = binding.reference.to_string();
    assert_eq!(reference, "RoleBinding ledger/writ:team-payments:later");
    assert_eq!(binding.content["roleRef"]["kind"], "Role");
    let fixed = set(document, "/spec/grants/3/namespaceSelector", Value::Null);
    let fixed = set(fixed, "/spec/grants/3/namespaces", json!(["ledger"]));
    let fixed = CompiledPolicy::decode(&compile(&fixed)).unwrap();
    assert!(fixed.objects.contains(&binding));
}
