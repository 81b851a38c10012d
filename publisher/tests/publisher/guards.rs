//! The guards: what is right in itself, and refused because of what is in force.

use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt as _;
use writ_proto::v1;

use crate::{
    fake::{add, apply, cluster, delete, policy},
    fleet::Fleet,
};

fn with(mut document: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    document.pointer_mut(parent).unwrap()[key] = value;
    document
}

fn preconditions(status: &tonic::Status) -> Vec<(String, String, String)> {
    let details = status.get_error_details();
    let violations = &details.precondition_failure().unwrap().violations;
    violations
        .iter()
        .map(|v| (v.r#type.clone(), v.subject.clone(), v.description.clone()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_policy_is_neither_deleted_nor_narrowed_until_that_is_cleared() {
    let fleet = Fleet::start().await;
    let registered = add(&cluster("eu-prod-1"));
    fleet.clusters().add(registered).await.unwrap();
    let mut policies = fleet.policies();
    let protected = with(
        policy("payments", "devs"),
        "/spec/deletionProtection",
        json!(true),
    );
    policies.apply(apply(&protected)).await.unwrap();

    let refused = policies.delete(delete("payments")).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let of = |text: &str| ("DELETION_PROTECTION".into(), "payments".into(), text.into());
    assert_eq!(
        preconditions(&refused),
        [
            of("cluster eu-prod-1"),
            of("ClusterRoleBinding writ:payments:readers")
        ]
    );
    assert!(
        refused.message().contains("clear deletionProtection first"),
        "{refused}"
    );

    let elsewhere = with(
        protected.clone(),
        "/spec/clusters",
        json!({"regions": ["us"]}),
    );
    // Clearing and narrowing in one edit is what protection is against.
    let at_once = with(elsewhere.clone(), "/spec/deletionProtection", json!(false));
    let other = with(
        protected.clone(),
        "/spec/grants/0/subjects",
        json!([{"group": "ops"}]),
    );
    for (document, lost) in [
        (&elsewhere, "cluster eu-prod-1"),
        (&at_once, "cluster eu-prod-1"),
        (
            &other,
            "Group devs in ClusterRoleBinding writ:payments:readers",
        ),
    ] {
        let mut dry = apply(document);
        dry.dry_run = true;
        for request in [dry, apply(document)] {
            let refused = policies.apply(request).await.unwrap_err();
            assert_eq!(preconditions(&refused), [of(lost)]);
        }
    }
    let both = json!([{"group": "devs"}, {"group": "ops"}]);
    let wider = with(protected, "/spec/grants/0/subjects", both);
    policies.apply(apply(&wider)).await.unwrap();
    let cleared = with(wider, "/spec/deletionProtection", json!(false));
    policies.apply(apply(&cleared)).await.unwrap();
    policies.apply(apply(&at_once)).await.unwrap();
    policies.delete(delete("payments")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_has_one_policy_on_every_registered_cluster() {
    let fleet = Fleet::start().await;
    let registered = add(&cluster("eu-prod-1"));
    fleet.clusters().add(registered).await.unwrap();
    let mut policies = fleet.policies();
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shared"}});
    let holding = |name: &str, clusters: Value| {
        let document = with(policy(name, "devs"), "/spec/objects", json!([object]));
        apply(&with(document, "/spec/clusters", clusters))
    };
    let everywhere = || holding("first", json!({"all": true}));
    policies.apply(everywhere()).await.unwrap();

    let second = || holding("second", json!({"regions": ["eu"]}));
    let refused = policies.apply(second()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let claimed = (
        "CLAIMED_BY_POLICY".into(),
        "first".into(),
        "Namespace shared".into(),
    );
    assert_eq!(preconditions(&refused), [claimed]);
    assert!(refused.message().contains("cluster eu-prod-1"), "{refused}");

    // Where no registered cluster is for both, both may hold it; a cluster that comes later decides.
    policies
        .apply(holding("second", json!({"regions": ["us"]})))
        .await
        .unwrap();
    policies
        .apply(holding(
            "first",
            json!({"all": true, "exclude": {"regions": ["eu"]}}),
        ))
        .await
        .unwrap();
    policies.apply(second()).await.unwrap();
    // The same policy again claims nothing from itself.
    assert!(
        policies
            .apply(second())
            .await
            .unwrap()
            .into_inner()
            .unchanged
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_observes_is_listed_and_no_edit_waits_for_it() {
    let fleet = Fleet::start().await;
    let observing = with(cluster("eu-prod-1"), "/spec/mode", json!("observe"));
    let mut clusters = fleet.clusters();
    clusters.add(add(&observing)).await.unwrap();
    let mut policies = fleet.policies();
    let answer = policies
        .apply(apply(&policy("payments", "devs")))
        .await
        .unwrap();
    assert_eq!(answer.into_inner().target_count, 0);
    let counts = counts(&fleet).await;
    assert_eq!((counts.target, counts.observing, counts.later), (0, 1, 0));

    // To enforce is an edit like any other, and later edits are for the cluster.
    let enforcing = clusters.apply(apply(&cluster("eu-prod-1"))).await.unwrap();
    assert_eq!(enforcing.into_inner().generation, 2);
    let answer = policies
        .apply(apply(&policy("payments", "others")))
        .await
        .unwrap();
    assert_eq!(answer.into_inner().target_count, 1);
}

async fn counts(fleet: &Fleet) -> v1::Counts {
    let status = crate::acks::status(fleet, "payments").await;
    status.counts.unwrap()
}
