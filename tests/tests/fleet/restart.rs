//! A cluster that was away ends like one that was there.

use serde_json::json;
use writ_proto::v1::{AckState, DeleteRequest};

use crate::harness::{STAGE, policy, role, run};

#[test]
fn a_cluster_that_was_away_during_changes_and_deletions_ends_like_one_that_was_there() {
    run(async |fleet| {
        let of = |name: &str, verbs: &[&str]| {
            policy(
                name,
                STAGE,
                json!([role("ClusterRole", name, None, verbs)]),
                json!([]),
            )
        };
        for name in ["away-stays", "away-changes", "away-goes"] {
            fleet.apply_on(&of(name, &["get"]), &[STAGE]).await;
        }
        let cluster = STAGE.parse().unwrap();
        fleet
            .fleet
            .lock()
            .await
            .kill_subscriber(&cluster)
            .await
            .unwrap();

        let changed = fleet.apply(&of("away-changes", &["list"])).await;
        let request = DeleteRequest {
            name: "away-goes".into(),
            ..Default::default()
        };
        let deleted = fleet.policies().delete(request).await.unwrap().into_inner();
        let added = fleet.apply(&of("away-comes", &["get"])).await;
        let roles = fleet.objects(STAGE, "ClusterRole", "");
        assert!(
            roles.get_opt("away-goes").await.unwrap().is_some(),
            "nobody is there to remove it"
        );

        fleet
            .fleet
            .lock()
            .await
            .start_subscriber(&cluster)
            .await
            .unwrap();
        for edit in [&changed, &deleted, &added] {
            fleet.expect(edit, STAGE, AckState::Applied).await;
        }
        assert!(roles.get_opt("away-goes").await.unwrap().is_none());
        assert!(roles.get_opt("away-stays").await.unwrap().is_some());
        assert_eq!(
            roles.get("away-changes").await.unwrap().data["rules"][0]["verbs"],
            json!(["list"])
        );
        assert!(roles.get_opt("away-comes").await.unwrap().is_some());
    });
}
