//! What is wrong is refused with its place, before anything is stored.

use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt;
use writ_proto::v1::{ApplyRequest, StatusRequest, status_request::Of};

use crate::harness::{PROD, Shared, policy, role, run};

async fn refused(fleet: &Shared, manifest: String) -> Vec<(String, String)> {
    let request = ApplyRequest {
        manifest,
        ..Default::default()
    };
    let status = fleet.policies().apply(request).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_details_bad_request().unwrap();
    details
        .field_violations
        .into_iter()
        .map(|v| (v.field, v.description))
        .collect()
}

#[test]
fn each_bad_manifest_is_refused_at_its_field_and_nothing_is_stored() {
    run(async |fleet| {
        let with = |pointer: &str, value: Value| {
            let objects = json!([role("ClusterRole", "never", None, &["get"])]);
            let mut manifest = policy("bad-input", PROD, objects, json!([]));
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            manifest.pointer_mut(parent).unwrap()[key] = value;
            manifest.to_string()
        };
        let role_twice = json!([
            role("ClusterRole", "a", None, &["get"]),
            role("ClusterRole", "a", None, &["get"])
        ]);
        let many: Vec<Value> = (0..1001)
            .map(|n| role("ClusterRole", &format!("r{n}"), None, &["get"]))
            .collect();
        let large: Vec<Value> = (0..900)
            .map(|n| {
                role(
                    "ClusterRole",
                    &format!("{}{n}", "r".repeat(200)),
                    None,
                    &["get"],
                )
            })
            .collect();
        for (manifest, field) in [
            (with("/metadata/name", json!("Not_A_Name")), "metadata.name"),
            (with("/spec/surprise", json!(1)), "spec.surprise"),
            (with("/spec/clusters", json!({})), "spec.clusters"),
            (with("/spec/clusters", Value::Null), "spec.clusters"),
            (
                with("/spec/clusters", json!({"regions": ["all"]})),
                "spec.clusters.regions[0]",
            ),
            (with("/spec/removal", json!("destroy")), "spec.removal"),
            (
                with(
                    "/spec/objects",
                    json!([{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}]),
                ),
                "spec.objects[0].kind",
            ),
            (with("/spec/objects", role_twice), "spec.objects[1]"),
            (with("/spec/objects", json!(many)), "spec.objects"),
            (with("/spec/objects", json!(large)), "spec"),
            ("{not json".to_owned(), ""),
        ] {
            let violations = refused(fleet, manifest).await;
            let found = violations.iter().any(|(at, _)| at.starts_with(field));
            assert!(found, "a violation at {field:?}: {violations:?}");
            assert!(violations.iter().all(|(_, text)| !text.is_empty()));
        }
        let request = StatusRequest {
            of: Some(Of::AllPolicies(Default::default())),
            ..Default::default()
        };
        let status = fleet.acks().get_status(request).await.unwrap().into_inner();
        assert!(
            status
                .policies
                .iter()
                .all(|policy| policy.policy != "bad-input")
        );
    });
}
