//! What a real cluster has, as policies: complete, accepted, and the same on another cluster.

use std::process::Output;

use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};
use writ_core::model;

use crate::harness::{PROD, STAGE, Shared, namespace, role, run};

const NAMESPACE: &str = "imported";
const ADOPTED: &str = "import-adopts";

async fn import(fleet: &Shared, more: &[&str]) -> Output {
    let line = [&["import", "--context", PROD], more].concat();
    let output = fleet.writ(&line).await;
    assert!(output.status.success(), "{output:?}");
    output
}

fn documents(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    serde_saphyr::from_multiple(&text).unwrap()
}

/// As it is on a cluster that has nothing of it: nothing is there to be adopted.
fn never_adopting(mut document: Value) -> Value {
    assert_eq!(document["spec"]["adopt"], "ifIdentical");
    document["spec"]["adopt"] = "never".into();
    document
}

async fn create(fleet: &Shared, object: Value) {
    let (kind, place) = (
        object["kind"].as_str().unwrap(),
        object["metadata"]["namespace"].as_str().unwrap_or_default(),
    );
    let api = fleet.objects(PROD, kind, place);
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
}

/// With its owner's consent.
fn adoptable(mut object: Value) -> Value {
    object["metadata"]["annotations"]["writ.dev/adoptable"] = "true".into();
    object
}

fn account(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": {"note": "yes"}},
    })
}

fn binding() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "devs", "namespace": NAMESPACE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "bot", "namespace": NAMESPACE}, {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "devs"}],
    })
}

#[test]
fn a_namespace_is_imported_twice_alike_and_applies_to_another_cluster() {
    run(async |fleet| {
        let objects = [
            namespace(NAMESPACE),
            account("bot"),
            role("Role", "reader", Some(NAMESPACE), &["get", "list"]),
            binding(),
        ];
        for object in objects {
            create(fleet, object).await;
        }
        let line = ["--namespace", NAMESPACE, "--cluster", STAGE, "-v"];
        let first = import(fleet, &line).await;
        let told = String::from_utf8_lossy(&first.stderr).into_owned();
        assert!(told.contains("4 in 1 policies"), "{told}");
        assert_eq!(import(fleet, &line).await.stdout, first.stdout);

        let mut found = documents(&first);
        let document = never_adopting(found.pop().unwrap());
        assert_eq!(found, [] as [Value; 0], "one namespace is one policy");
        model::parse(&document).unwrap();
        fleet.apply_on(&document, &[STAGE]).await;
        for (kind, place, name) in [
            ("Namespace", "", NAMESPACE),
            ("ServiceAccount", NAMESPACE, "bot"),
            ("Role", NAMESPACE, "reader"),
            ("RoleBinding", NAMESPACE, "devs"),
        ] {
            let [there, here] = [PROD, STAGE].map(|cluster| fleet.objects(cluster, kind, place));
            let (there, here) = (
                there.get(name).await.unwrap(),
                here.get(name).await.unwrap(),
            );
            for field in ["rules", "roleRef", "subjects"] {
                assert_eq!(there.data.get(field), here.data.get(field), "{kind} {name}");
            }
            assert_eq!(there.metadata.annotations, here.metadata.annotations);
        }

        // There it is Writ's now, and is not imported again.
        let line = ["import", "--context", STAGE, "--namespace", NAMESPACE];
        let again = fleet.writ(&line).await;
        assert!(again.status.success(), "{again:?}");
        assert_eq!(documents(&again), [] as [Value; 0]);
    });
}

#[test]
fn what_its_owner_agrees_to_is_adopted_on_the_same_cluster_without_a_change() {
    run(async |fleet| {
        let objects = [
            namespace(ADOPTED),
            role("Role", "reader", Some(ADOPTED), &["get"]),
            json!({
                "apiVersion": "v1", "kind": "ResourceQuota",
                "metadata": {"name": "team", "namespace": ADOPTED},
                "spec": {"hard": {"pods": "10", "requests.memory": "1024Mi"}},
            }),
            json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": {"name": "closed", "namespace": ADOPTED},
                "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
            }),
        ];
        for object in objects {
            create(fleet, adoptable(object)).await;
        }
        let quotas = fleet.objects(PROD, "ResourceQuota", ADOPTED);
        let before = quotas.get("team").await.unwrap();

        let found = documents(&import(fleet, &["--namespace", ADOPTED]).await);
        assert_eq!(found.len(), 1);
        fleet.apply_on(&found[0], &[PROD]).await;
        let after = quotas.get("team").await.unwrap();
        assert_eq!(before.data["spec"], after.data["spec"]);
        assert_eq!(
            before.metadata.uid, after.metadata.uid,
            "it was not made anew"
        );
        assert_eq!(after.metadata.labels.unwrap()["writ.dev/managed"], "true");
        let again = documents(&import(fleet, &["--namespace", ADOPTED]).await);
        assert_eq!(again, [] as [Value; 0], "it is Writ's now");
    });
}

#[test]
fn a_whole_cluster_is_imported_without_what_kubernetes_and_writ_made() {
    run(async |fleet| {
        create(
            fleet,
            role("ClusterRole", "imported-reader", None, &["get"]),
        )
        .await;
        let documents = documents(&import(fleet, &["--cluster", STAGE]).await);
        let objects = documents
            .iter()
            .flat_map(|document| document["spec"]["objects"].as_array().unwrap());
        let names: Vec<_> = objects
            .map(|object| object["metadata"]["name"].as_str().unwrap())
            .collect();
        assert!(names.contains(&"imported-reader"), "{names:?}");
        for name in [
            "cluster-admin",
            "view",
            "default",
            "kube-system",
            "writ-system",
        ] {
            assert!(!names.contains(&name), "{name}: {names:?}");
        }
        assert!(!names.iter().any(|name| name.starts_with("system:")));
        for document in documents {
            let document = never_adopting(document);
            assert!(model::parse(&document).is_ok(), "{document}");
        }
    });
}

#[test]
fn what_kubectl_cannot_read_is_an_error_and_prints_no_policy() {
    run(async |fleet| {
        for line in [
            ["import", "--context", "no-such-context", "--cluster", "x"],
            [
                "import",
                "--context",
                PROD,
                "--namespace",
                "no-such-namespace",
            ],
        ] {
            let output = fleet.writ(&line).await;
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            assert!(output.stdout.is_empty(), "{output:?}");
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(told.contains("no-such-"), "{told}");
        }
    });
}
