//! Generations, revisions and reads.

use serde_json::json;
use tonic::Code;
use writ_proto::v1::{ApplyRequest, GetRequest, Revision};

use crate::harness::{PROD, policy, role, run};

#[test]
fn a_base_generation_that_is_not_current_is_refused_and_the_current_one_named() {
    run(async |fleet| {
        let manifest = |verb: &str| {
            let objects = json!([role("ClusterRole", "based", None, &[verb])]);
            policy("based", PROD, objects, json!([])).to_string()
        };
        let edit = async |verb: &str, base: u64| {
            let request = ApplyRequest {
                manifest: manifest(verb),
                base_generation: Some(base),
                ..Default::default()
            };
            fleet.policies().apply(request).await
        };
        assert_eq!(edit("get", 0).await.unwrap().into_inner().generation, 1);
        assert_eq!(edit("list", 1).await.unwrap().into_inner().generation, 2);
        let refused = edit("watch", 1).await.unwrap_err();
        assert_eq!(refused.code(), Code::Aborted);
        assert!(refused.message().contains('2'), "{}", refused.message());
    });
}

#[test]
fn a_read_is_never_older_than_it_asks_for() {
    run(async |fleet| {
        let objects = json!([role("ClusterRole", "read-back", None, &["get"])]);
        let edit = fleet
            .apply(&policy("read-back", PROD, objects, json!([])))
            .await;
        let get = async |at_least: Option<Revision>| {
            let request = GetRequest {
                name: "read-back".into(),
                at_least,
                at_least_generation: 0,
            };
            fleet.policies().get(request).await
        };
        let found = get(edit.revision)
            .await
            .unwrap()
            .into_inner()
            .policy
            .unwrap();
        assert_eq!(found.generation, edit.generation);
        let far = Revision {
            epoch: 1,
            number: 1_000_000,
        };
        assert_eq!(get(Some(far)).await.unwrap_err().code(), Code::Unavailable);
    });
}
