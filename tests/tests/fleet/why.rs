//! `writ why` tells what really holds on a cluster, and ends by it.

use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use writ_proto::v1::AckState;

use crate::harness::{PROD, STAGE, policy, role, run};

#[test]
fn a_refusal_is_explained_with_what_was_applied_before_and_mended_is_good() {
    run(async |fleet| {
        let own = role("ClusterRole", "why-own", None, &["get"]);
        let before = policy("why-refused", PROD, json!([own]), json!([]));
        let before = fleet.apply_on(&before, &[PROD]).await;
        let roles = fleet.objects(PROD, "ClusterRole", "");
        let foreign = role("ClusterRole", "why-foreign", None, &["list"]);
        let foreign = serde_json::from_value(foreign).unwrap();
        roles
            .create(&PostParams::default(), &foreign)
            .await
            .unwrap();
        let objects = json!([own, role("ClusterRole", "why-foreign", None, &["get"])]);
        let edit = fleet
            .apply(&policy("why-refused", PROD, objects, json!([])))
            .await;
        fleet.expect(&edit, PROD, AckState::Refused).await;

        let said = fleet.writ(&["why", PROD, "why-refused"]).await;
        assert_eq!(said.status.code(), Some(5), "{said:?}");
        let text = String::from_utf8(said.stdout).unwrap();
        for part in [
            format!(
                "why-refused@{} on {PROD} is NOT good: refused; live",
                edit.generation
            ),
            "ForeignObject".to_owned(),
            "ClusterRole why-foreign: ".to_owned(),
            format!("last applied in full: @{}", before.generation),
            "Do one of:".to_owned(),
            "More: writ explain ForeignObject".to_owned(),
        ] {
            assert!(text.contains(&part), "{part}: {text}");
        }
        let whole = fleet.writ(&["why", PROD, "-o", "json"]).await;
        assert_eq!(whole.status.code(), Some(5), "{whole:?}");
        let whole: Value = serde_json::from_slice(&whole.stdout).unwrap();
        assert_eq!(
            (&whole["good"], &whole["verdict"]),
            (&json!(false), &json!("refused"))
        );

        let gone = DeleteParams::default();
        roles.delete("why-foreign", &gone).await.unwrap();
        fleet.expect(&edit, PROD, AckState::Applied).await;
        let said = fleet.writ(&["why", PROD, "why-refused"]).await;
        assert_eq!(said.status.code(), Some(0), "{said:?}");
    });
}

#[test]
fn a_policy_that_is_not_for_the_cluster_and_a_cluster_that_is_none_are_errors() {
    run(async |fleet| {
        let own = role("ClusterRole", "why-elsewhere", None, &["get"]);
        let manifest = policy("why-elsewhere", PROD, json!([own]), json!([]));
        fleet.apply_on(&manifest, &[PROD]).await;
        for (line, part) in [
            (["why", STAGE, "why-elsewhere"], "is not for cluster"),
            (
                ["why", "no-such-cluster", "why-elsewhere"],
                "is not for cluster",
            ),
            (["why", STAGE, "no-such-policy"], "not found"),
        ] {
            let said = fleet.writ(&line).await;
            assert_eq!(said.status.code(), Some(1), "{said:?}");
            let told = String::from_utf8_lossy(&said.stderr).into_owned();
            assert!(told.contains(part), "{told}");
        }
    });
}
