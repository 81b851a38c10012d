//! What an edit does, and where.

use kube::api::ListParams;
use serde_json::json;
use writ_proto::v1::{AckState, DeleteRequest};

use crate::harness::{PROD, STAGE, namespace, policy, role, run, wait_for};

#[test]
fn an_edit_reaches_the_clusters_that_it_is_for_and_no_other() {
    run(async |fleet| {
        let manifest = json!({
            "apiVersion": "writ.dev/v1alpha1",
            "kind": "ClusterPolicy",
            "metadata": {"name": "only-stage"},
            "spec": {
                "clusters": {"stages": ["stage"]},
                "objects": [role("ClusterRole", "only-stage", None, &["get"])],
                "grants": [{"name": "devs", "subjects": [{"group": "devs"}], "clusterRole": "only-stage", "clusterWide": true}],
            },
        });
        let edit = fleet.apply_on(&manifest, &[STAGE]).await;
        assert_eq!(edit.target_count, 1);
        assert!(fleet.line(&edit, PROD).await.is_none());
        let bindings = fleet.objects(STAGE, "ClusterRoleBinding", "");
        let binding = bindings.get("writ:only-stage:devs").await.unwrap();
        let labels = binding.metadata.labels.unwrap();
        assert_eq!(labels["writ.dev/managed"], "true");
        assert_eq!(labels["writ.dev/policy"], "only-stage");
        let elsewhere = fleet.objects(PROD, "ClusterPolicy", "");
        assert!(elsewhere.get_opt("only-stage").await.unwrap().is_none());
        let managed = ListParams::default().labels("writ.dev/managed=true");
        let there = fleet
            .objects(PROD, "ClusterRoleBinding", "")
            .list(&managed)
            .await
            .unwrap();
        assert!(
            there
                .items
                .iter()
                .all(|b| b.metadata.name.as_deref() != Some("writ:only-stage:devs"))
        );
    });
}

#[test]
fn what_leaves_the_policy_is_pruned_but_never_a_namespace() {
    run(async |fleet| {
        let grants = json!([{"name": "devs", "subjects": [{"user": "eve"}], "role": "reader", "namespaces": ["pruned"]}]);
        let objects = json!([
            namespace("pruned"),
            role("Role", "reader", Some("pruned"), &["get"])
        ]);
        fleet
            .apply_on(&policy("pruned", PROD, objects, grants), &[PROD])
            .await;
        let bindings = fleet.objects(PROD, "RoleBinding", "pruned");
        assert!(
            bindings
                .get_opt("writ:pruned:devs")
                .await
                .unwrap()
                .is_some()
        );

        let objects = json!([role("ClusterRole", "pruned-rest", None, &["get"])]);
        fleet
            .apply_on(&policy("pruned", PROD, objects, json!([])), &[PROD])
            .await;
        // "Applied" is said only after what left was confirmed gone: nothing is waited for here.
        assert!(
            bindings
                .get_opt("writ:pruned:devs")
                .await
                .unwrap()
                .is_none()
        );
        assert!(
            fleet
                .objects(PROD, "Role", "pruned")
                .get_opt("reader")
                .await
                .unwrap()
                .is_none()
        );
        assert!(
            fleet
                .objects(PROD, "Namespace", "")
                .get_opt("pruned")
                .await
                .unwrap()
                .is_some()
        );

        let request = DeleteRequest {
            name: "pruned".into(),
            ..Default::default()
        };
        let edit = fleet.policies().delete(request).await.unwrap().into_inner();
        fleet.expect(&edit, PROD, AckState::Applied).await;
        let roles = fleet.objects(PROD, "ClusterRole", "");
        assert!(roles.get_opt("pruned-rest").await.unwrap().is_none());
        assert!(
            fleet
                .objects(PROD, "Namespace", "")
                .get_opt("pruned")
                .await
                .unwrap()
                .is_some()
        );
    });
}

#[test]
fn a_namespace_that_comes_later_makes_its_objects_wait_and_heal() {
    run(async |fleet| {
        let objects = json!([role("Role", "reader", Some("comes-later"), &["get"])]);
        let edit = fleet
            .apply(&policy("waits", PROD, objects, json!([])))
            .await;
        let line = wait_for("the cluster says what it waits for", async || {
            fleet
                .line(&edit, PROD)
                .await
                .filter(|line| line.reason == "NamespaceMissing")
        })
        .await;
        assert_eq!(
            line.state(),
            AckState::Pending,
            "waiting is not refused, and not applied"
        );
        fleet
            .apply_on(
                &policy("brings", PROD, json!([namespace("comes-later")]), json!([])),
                &[PROD],
            )
            .await;
        fleet.expect(&edit, PROD, AckState::Applied).await;
    });
}

#[test]
fn a_changed_role_is_rebound_and_the_binding_keeps_its_name() {
    run(async |fleet| {
        let grants = |role: &str| json!([{"name": "who", "subjects": [{"user": "mallory"}], "clusterRole": role, "clusterWide": true}]);
        let operator = || json!([role("ClusterRole", "rebound-operator", None, &["patch"])]);
        for bound in ["view", "rebound-operator"] {
            fleet
                .apply_on(&policy("rebound", PROD, operator(), grants(bound)), &[PROD])
                .await;
        }
        let bindings = fleet.objects(PROD, "ClusterRoleBinding", "");
        let binding = bindings.get("writ:rebound:who").await.unwrap();
        assert_eq!(binding.data["roleRef"]["name"], "rebound-operator");
        let left = bindings
            .list(&ListParams::default().labels("writ.dev/policy=rebound"))
            .await;
        assert_eq!(left.unwrap().items.len(), 1, "no temporary binding is left");
    });
}

#[test]
fn every_cluster_lists_the_registry() {
    run(async |fleet| {
        for cluster in [PROD, STAGE] {
            let clusters = fleet.objects(cluster, "Cluster", "");
            wait_for("both entries are listed", async || {
                let found = clusters.list(&ListParams::default()).await.unwrap();
                (found.items.len() == 2).then_some(())
            })
            .await;
            let entry = clusters.get(PROD).await.unwrap();
            assert_eq!(entry.data["spec"]["region"], "eu");
            assert!(
                entry.data["spec"]["endpoint"]
                    .as_str()
                    .unwrap()
                    .starts_with("https://")
            );
        }
    });
}
