//! What was changed by hand is put back.

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::harness::{PROD, policy, role, run, wait_for};

#[test]
fn a_deleted_a_changed_and_an_unmarked_object_are_put_back() {
    run(async |fleet| {
        let grants = json!([{"name": "who", "subjects": [{"user": "trent"}], "clusterRole": "drifts", "clusterWide": true}]);
        let objects = json!([role("ClusterRole", "drifts", None, &["get"])]);
        fleet
            .apply_on(&policy("drifts", PROD, objects, grants), &[PROD])
            .await;
        let bindings = fleet.objects(PROD, "ClusterRoleBinding", "");
        let roles = fleet.objects(PROD, "ClusterRole", "");

        let before = bindings.get("writ:drifts:who").await.unwrap().metadata.uid;
        bindings
            .delete("writ:drifts:who", &DeleteParams::default())
            .await
            .unwrap();
        wait_for("the binding is back", async || {
            bindings
                .get_opt("writ:drifts:who")
                .await
                .unwrap()
                .filter(|b| b.metadata.uid != before)
        })
        .await;

        let verbs = json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "delete"]}]});
        roles
            .patch("drifts", &PatchParams::default(), &Patch::Merge(verbs))
            .await
            .unwrap();
        wait_for("the rules are back", async || {
            let found = roles.get("drifts").await.unwrap();
            (found.data["rules"][0]["verbs"] == json!(["get"])).then_some(())
        })
        .await;

        // Without its mark the object leaves the selector of the watch; it is looked up all the same.
        let unmarked =
            json!({"metadata": {"labels": {"writ.dev/managed": null, "writ.dev/policy": null}}});
        roles
            .patch("drifts", &PatchParams::default(), &Patch::Merge(unmarked))
            .await
            .unwrap();
        wait_for("the marks are back", async || {
            let labels = roles
                .get("drifts")
                .await
                .unwrap()
                .metadata
                .labels
                .unwrap_or_default();
            labels.contains_key("writ.dev/managed").then_some(())
        })
        .await;
    });
}
