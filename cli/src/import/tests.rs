//! What is kept, what is left out, and that the publisher takes what comes of it.

use std::collections::BTreeSet;

use serde_json::json;
use writ_core::model;

use super::*;
use crate::input::{documents, files::Text};

fn object(kind: &str, namespace: &str, name: &str) -> Value {
    let api_version = match kind {
        "NetworkPolicy" => "networking.k8s.io/v1",
        kind if kind.contains("Role") => "rbac.authorization.k8s.io/v1",
        _ => "v1",
    };
    let mut object = json!({
        "apiVersion": api_version, "kind": kind,
        "metadata": {
            "name": name, "uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{"manager": "kubectl"}],
        },
    });
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = namespace.into();
    }
    object
}

fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    object.pointer_mut(parent).unwrap()[key] = value;
    object
}

fn labelled(object: Value, key: &str, value: &str) -> Value {
    with(object, "/metadata/labels", json!({key: value}))
}

fn role(kind: &str, namespace: &str, name: &str) -> Value {
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]);
    with(object(kind, namespace, name), "/rules", rules)
}

fn binding(namespace: &str, name: &str, role: &str) -> Value {
    let kind = if namespace.is_empty() {
        "ClusterRoleBinding"
    } else {
        "RoleBinding"
    };
    let group = "rbac.authorization.k8s.io";
    let reference = json!({"apiGroup": group, "kind": "ClusterRole", "name": role});
    let subjects = json!([{"apiGroup": group, "kind": "Group", "name": "devs"}]);
    let binding = with(object(kind, namespace, name), "/roleRef", reference);
    with(binding, "/subjects", subjects)
}

fn import(objects: Vec<Value>) -> (Vec<Value>, Imported) {
    let mut imported = Imported::sort(objects);
    let policies = policies::pack("eu-prod-1", &mut imported);
    (policies, imported)
}

/// The documents as `apply` reads them and the publisher checks them. Until the format has a field
/// or kind of this version, it may be refused as not supported yet, and as nothing else.
fn check(policies: &[Value]) {
    let content = policies::yaml("ctx", "eu-prod-1", policies).unwrap();
    let texts = [Text {
        file: "f".into(),
        content,
    }];
    let (documents, problems) = documents::parse(&texts);
    assert_eq!(problems, []);
    let read: Vec<_> = documents
        .into_iter()
        .map(|document| document.value)
        .collect();
    assert_eq!(read, policies, "YAML says what was meant");
    for policy in policies {
        let later =
            |violation: &model::Violation| violation.message.ends_with("is not supported yet");
        match model::parse(policy) {
            Ok(parsed) => assert_eq!(parsed.notices, [], "nothing is left to strip"),
            Err(violations) => assert!(violations.iter().all(later), "{violations:?}"),
        }
        let mut never = policy.clone();
        never["spec"]["adopt"] = "never".into();
        if let Err(violations) = model::parse(&never) {
            assert!(violations.iter().all(later), "{violations:?}");
        }
    }
}

#[test]
fn there_is_a_policy_for_each_namespace_and_one_for_what_is_cluster_wide() {
    let objects = vec![
        binding("payments", "devs", "view"),
        object("Namespace", "", "payments"),
        role("ClusterRole", "", "reader"),
        role("Role", "ci", "reader"),
        object("ServiceAccount", "payments", "bot"),
    ];
    let (policies, imported) = import(objects.clone());
    let names: Vec<_> = policies
        .iter()
        .map(|policy| policy["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["eu-prod-1", "eu-prod-1--ci", "eu-prod-1--payments"]);
    let of = |index: usize| {
        let objects = policies[index]["spec"]["objects"].as_array().unwrap();
        objects.iter().map(kinds::display).collect::<Vec<_>>()
    };
    assert_eq!(of(0), ["ClusterRole reader"]);
    assert_eq!(of(1), ["Role ci/reader"]);
    assert_eq!(
        of(2),
        [
            "Namespace payments",
            "ServiceAccount payments/bot",
            "RoleBinding payments/devs"
        ]
    );
    assert!(imported.left.is_empty());
    check(&policies);
    let (again, _) = import(objects.into_iter().rev().collect());
    assert_eq!(again, policies, "in whichever order kubectl gave them");
}

#[test]
fn what_servers_and_controllers_own_is_no_part_of_a_policy() {
    let labels = json!({"kubernetes.io/metadata.name": "payments", "team": "yes"});
    let mut namespace = with(
        object("Namespace", "", "payments"),
        "/metadata/labels",
        labels,
    );
    namespace["spec"] = json!({"finalizers": ["kubernetes"]});
    namespace["status"] = json!({"phase": "Active"});
    namespace["metadata"]["annotations"] = json!({
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "writ.dev/adoptable": "true",
        "note": "0755",
    });
    let account = with(
        object("ServiceAccount", "payments", "bot"),
        "/secrets",
        json!([{"name": "bot-token-x7k2p"}]),
    );
    let aggregated = with(
        role("ClusterRole", "", "all"),
        "/aggregationRule",
        json!({"clusterRoleSelectors": [{"matchLabels": {"x": "y"}}]}),
    );
    let (policies, _) = import(vec![namespace, account, aggregated]);
    assert_eq!(
        policies[1]["spec"]["objects"],
        json!([
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {
                "name": "payments", "labels": {"team": "yes"}, "annotations": {"note": "0755"},
            }},
            {"apiVersion": "v1", "kind": "ServiceAccount",
             "metadata": {"name": "bot", "namespace": "payments"}},
        ])
    );
    assert_eq!(policies[0]["spec"]["objects"][0]["rules"], Value::Null);
    check(&policies);
}

#[test]
fn each_thing_that_is_not_a_persons_is_left_out_for_its_reason() {
    let owner = json!([{"kind": "Deployment", "name": "x"}]);
    let subscriber =
        json!([{"kind": "ServiceAccount", "name": "writ-subscriber", "namespace": "writ-system"}]);
    let cases = [
        (
            labelled(
                role("ClusterRole", "", "view"),
                "kubernetes.io/bootstrapping",
                "rbac-defaults",
            ),
            Left::Kubernetes,
        ),
        (role("Role", "ops", "system:x"), Left::Kubernetes),
        (binding("", "kubeadm:get-nodes", "x"), Left::Kubernetes),
        (object("Namespace", "", "default"), Left::Kubernetes),
        (object("ServiceAccount", "ops", "default"), Left::Kubernetes),
        (
            object("Namespace", "", "kube-system"),
            Left::KubernetesNamespace,
        ),
        (role("Role", "kube-public", "x"), Left::KubernetesNamespace),
        (
            with(
                role("Role", "ops", "owned"),
                "/metadata/ownerReferences",
                owner,
            ),
            Left::Owned,
        ),
        (
            labelled(
                role("Role", "ops", "helm"),
                "app.kubernetes.io/managed-by",
                "Helm",
            ),
            Left::OtherManager,
        ),
        (
            labelled(role("Role", "ops", "ours"), "writ.dev/managed", "true"),
            Left::Writ,
        ),
        (role("ClusterRole", "", "writ-subscriber"), Left::Writ),
        (binding("ops", "writ:p:g", "view"), Left::Writ),
        (binding("", "x", "writ-subscriber"), Left::Writ),
        (
            with(binding("", "y", "view"), "/subjects", subscriber),
            Left::Writ,
        ),
        (
            with(
                object("Namespace", "", "going"),
                "/metadata/deletionTimestamp",
                json!("2026-01-01T00:00:00Z"),
            ),
            Left::Deleting,
        ),
        (
            with(binding("ops", "empty", "view"), "/subjects", json!([])),
            Left::NoSubjects,
        ),
        (binding("", "basic", "system:discovery"), Left::SystemRole),
        (
            with(
                role("Role", "ops", "huge"),
                "/metadata/annotations",
                json!({"x": "y".repeat(300_000)}),
            ),
            Left::TooLarge,
        ),
    ];
    for (object, reason) in cases {
        let name = kinds::display(&object);
        let (policies, imported) = import(vec![object]);
        assert_eq!(policies, [] as [Value; 0], "{name}");
        assert_eq!(imported.left, BTreeMap::from([(reason, vec![name])]));
    }
}

#[test]
fn policies_are_split_at_the_publishers_limits() {
    assert_eq!(policies::OBJECTS_MAX, model::limits::OBJECTS_MAX);
    assert_eq!(
        policies::SIZE_MAX_BYTES,
        model::limits::COMPILED_SIZE_MAX_BYTES
    );
    assert_eq!(left::ENTRIES_MAX, model::limits::ENTRIES_MAX);
    let many = (0..1_200).map(|n| object("ServiceAccount", "big", &format!("a{n:04}")));
    let long = "x".repeat(2_000);
    let large = (0..400).map(|n| {
        let role = role("Role", "big", &format!("r{n:03}"));
        with(role, "/metadata/annotations", json!({"note": long}))
    });
    let (policies, imported) = import(many.chain(large).collect());
    let count = |policy: &Value| policy["spec"]["objects"].as_array().unwrap().len();
    assert_eq!(policies.iter().map(count).sum::<usize>(), 1_600);
    assert!(imported.left.is_empty());
    assert!(policies.iter().all(|policy| count(policy) <= 1_000));
    assert!((5..=6).contains(&policies.len()), "{}", policies.len());
    assert_eq!(policies[1]["metadata"]["name"], "eu-prod-1--big---2");
    check(&policies);
}

#[test]
fn names_are_labels_and_differ_however_long_their_parts_are() {
    let long = "n".repeat(62);
    let objects = ["a", "b"].map(|end| role("Role", &format!("{long}{end}"), "reader"));
    let (policies, _) = import(objects.to_vec());
    let names: BTreeSet<_> = policies
        .iter()
        .map(|policy| policy["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), 2);
    assert!(names.iter().all(|name| name.len() <= NAME_LENGTH_MAX));
    check(&policies);
}

#[test]
fn texts_that_yaml_could_take_for_something_else_stay_texts() {
    let words = [
        "yes",
        "no",
        "on",
        "0755",
        "1e3",
        "null",
        "~",
        "2026-01-01",
        "",
        "a: b",
        "x\ny",
        "#",
    ];
    let annotations: serde_json::Map<_, _> = words
        .iter()
        .enumerate()
        .map(|(n, word)| (format!("k{n}"), Value::from(*word)))
        .collect();
    let object = with(
        object("ServiceAccount", "ops", "bot"),
        "/metadata/annotations",
        annotations.into(),
    );
    check(&import(vec![object]).0);
}

#[test]
fn a_context_that_is_no_name_asks_for_one() {
    let args = |context: &str, cluster: Option<&str>| Import {
        context: context.into(),
        kubeconfig: None,
        namespaces: vec![],
        selector: None,
        cluster: cluster.map(str::to_owned),
        verbose: false,
        output: crate::args::ImportOutput::Yaml,
    };
    assert_eq!(cluster_name(&args("kind-a", None)).unwrap(), "kind-a");
    let arn = "arn:aws:eks:eu-west-1:1:cluster/a";
    assert_eq!(cluster_name(&args(arn, Some("a"))).unwrap(), "a");
    let error = cluster_name(&args(arn, None)).unwrap_err();
    assert_eq!(error.exit(), Exit::Usage);
    assert!(error.to_string().contains("--cluster NAME"), "{error}");
}
