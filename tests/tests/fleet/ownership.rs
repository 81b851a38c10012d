//! Nothing foreign is touched.

use kube::api::PostParams;
use serde_json::json;
use writ_proto::v1::AckState;

use crate::harness::{PROD, policy, role, run};

#[test]
fn a_foreign_object_is_refused_and_stays_as_it_is() {
    run(async |fleet| {
        let roles = fleet.objects(PROD, "ClusterRole", "");
        let mut foreign = role("ClusterRole", "foreign-role", None, &["list"]);
        // Marks can be forged by whoever may write the object; they alone make nothing ours.
        foreign["metadata"]["labels"] =
            json!({"writ.dev/managed": "true", "writ.dev/policy": "takes-foreign"});
        let foreign = serde_json::from_value(foreign).unwrap();
        let before = roles
            .create(&PostParams::default(), &foreign)
            .await
            .unwrap();

        let objects = json!([
            role("ClusterRole", "foreign-role", None, &["get"]),
            role("ClusterRole", "own-role", None, &["get"]),
        ]);
        let edit = fleet
            .apply(&policy("takes-foreign", PROD, objects, json!([])))
            .await;
        let line = fleet.expect(&edit, PROD, AckState::Refused).await;
        assert_eq!(line.reason, "ForeignObject");
        assert!(line.message.contains("foreign-role"), "{}", line.message);
        let after = roles.get("foreign-role").await.unwrap();
        assert_eq!(
            after.metadata.resource_version,
            before.metadata.resource_version
        );

        // Out of the policy again, it is not removed either.
        let objects = json!([role("ClusterRole", "own-role", None, &["get"])]);
        fleet
            .apply_on(&policy("takes-foreign", PROD, objects, json!([])), &[PROD])
            .await;
        let after = roles.get("foreign-role").await.unwrap();
        assert_eq!(after.metadata.uid, before.metadata.uid);
    });
}
