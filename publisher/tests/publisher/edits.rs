//! Edits: what is committed, what is refused, and how that is said.

use tonic::Code;
use tonic_types::StatusExt as _;
use writ_proto::v1;

use crate::{
    fake::{add, apply, cluster, delete, policy},
    fleet::Fleet,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_applied_policy_is_read_back_at_its_revision_with_its_targets() {
    let fleet = Fleet::start().await;
    fleet
        .clusters()
        .add(add(&cluster("eu-prod-1")))
        .await
        .unwrap();
    let mut request = tonic::Request::new(apply(&policy("payments", "devs")));
    request.get_mut().reason = "they asked".into();
    let answer = fleet.policies().apply(request).await.unwrap().into_inner();
    assert_eq!((answer.name.as_str(), answer.generation), ("payments", 1));
    assert_eq!(
        answer.revision,
        Some(v1::Revision {
            epoch: 1,
            number: 2
        })
    );
    assert_eq!((answer.target_count, answer.unchanged), (1, false));

    let request = v1::GetRequest {
        name: "payments".into(),
        at_least: answer.revision,
        at_least_generation: 1,
    };
    let got = fleet.policies().get(request).await.unwrap().into_inner();
    let found = got.policy.unwrap();
    assert_eq!(found.targets, ["eu-prod-1"]);
    assert_eq!(
        (found.author.as_str(), found.reason.as_str()),
        ("mtls:sandbox-admin", "they asked")
    );
    assert_eq!(
        (found.clusters.as_str(), found.scopes),
        ("regions eu", vec!["eu.all".to_owned()])
    );
    let manifest: serde_json::Value = serde_json::from_str(&found.manifest).unwrap();
    assert_eq!(manifest, policy("payments", "devs"));
    assert_eq!(got.as_of.unwrap().publisher, "publisher-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_content_is_no_edit_and_another_base_is_refused_with_the_current_one() {
    let fleet = Fleet::start().await;
    let mut policies = fleet.policies();
    let first = policies
        .apply(apply(&policy("payments", "devs")))
        .await
        .unwrap()
        .into_inner();
    let again = policies
        .apply(apply(&policy("payments", "devs")))
        .await
        .unwrap()
        .into_inner();
    assert!(again.unchanged);
    assert_eq!((again.generation, again.revision), (1, first.revision));

    let mut request = apply(&policy("payments", "others"));
    request.base_generation = Some(1);
    let second = policies.apply(request.clone()).await.unwrap().into_inner();
    assert_eq!(second.generation, 2);
    request.manifest = policy("payments", "third").to_string();
    let refused = policies.apply(request.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted);
    assert!(
        refused.message().contains("payments is at generation 2"),
        "{}",
        refused.message()
    );
    request.base_generation = Some(0);
    assert_eq!(
        policies.apply(request).await.unwrap_err().code(),
        Code::Aborted
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_document_is_refused_with_every_field_and_nothing_is_stored() {
    let fleet = Fleet::start().await;
    let mut bad = policy("payments", "devs");
    bad["spec"]["clusters"] = serde_json::json!({});
    bad["spec"]["grants"][0]["subjects"] = serde_json::json!([]);
    let refused = fleet.policies().apply(apply(&bad)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let details = refused.get_error_details();
    let violations = &details.bad_request().unwrap().field_violations;
    let fields: Vec<&str> = violations
        .iter()
        .map(|found| found.field.as_str())
        .collect();
    assert_eq!(fields, ["spec.clusters", "spec.grants[0].subjects"]);

    let wrong_service = fleet
        .clusters()
        .apply(apply(&policy("payments", "devs")))
        .await;
    assert_eq!(wrong_service.unwrap_err().code(), Code::InvalidArgument);
    let not_json = v1::ApplyRequest {
        manifest: "{".into(),
        ..Default::default()
    };
    assert_eq!(
        fleet.policies().apply(not_json).await.unwrap_err().code(),
        Code::InvalidArgument
    );
    let listed = fleet
        .policies()
        .list(v1::ListRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert!(listed.policies.is_empty());
    assert_eq!(listed.as_of.unwrap().revision.unwrap().number, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_stores_nothing_and_says_what_would_be() {
    let fleet = Fleet::start().await;
    fleet
        .clusters()
        .add(add(&cluster("eu-prod-1")))
        .await
        .unwrap();
    let mut request = apply(&policy("payments", "devs"));
    request.dry_run = true;
    let answer = fleet.policies().apply(request).await.unwrap().into_inner();
    assert!(answer.dry_run && !answer.unchanged);
    assert_eq!((answer.generation, answer.target_count), (0, 1));
    let request = v1::GetRequest {
        name: "payments".into(),
        ..Default::default()
    };
    assert_eq!(
        fleet.policies().get(request).await.unwrap_err().code(),
        Code::NotFound
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_gets_the_same_answer_even_from_a_publisher_that_was_started_later() {
    let mut fleet = Fleet::start().await;
    let mut request = apply(&policy("payments", "devs"));
    request.request_id = "req-1".into();
    let first = fleet
        .policies()
        .apply(request.clone())
        .await
        .unwrap()
        .into_inner();
    fleet
        .policies()
        .apply(apply(&policy("payments", "others")))
        .await
        .unwrap();
    fleet.restart_publisher().await;

    let again = fleet
        .policies()
        .apply(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((again.generation, again.revision), (1, first.revision));
    request.manifest = policy("payments", "third").to_string();
    let refused = fleet.policies().apply(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    assert!(
        refused.message().contains("payments@1"),
        "{}",
        refused.message()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_name_is_gone_and_its_generations_go_on() {
    let fleet = Fleet::start().await;
    let mut policies = fleet.policies();
    policies
        .apply(apply(&policy("payments", "devs")))
        .await
        .unwrap();
    let gone = policies
        .delete(delete("payments"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(gone.generation, 2);
    let request = v1::GetRequest {
        name: "payments".into(),
        at_least: gone.revision,
        at_least_generation: 2,
    };
    assert_eq!(
        policies.get(request).await.unwrap_err().code(),
        Code::NotFound
    );
    assert_eq!(
        policies
            .delete(delete("payments"))
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );

    let mut anew = apply(&policy("payments", "devs"));
    anew.base_generation = Some(0);
    let anew = policies.apply(anew).await.unwrap().into_inner();
    assert_eq!((anew.generation, anew.unchanged), (3, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_does_not_move_unless_it_is_removed_first() {
    let fleet = Fleet::start().await;
    let mut clusters = fleet.clusters();
    clusters.add(add(&cluster("eu-prod-1"))).await.unwrap();
    let mut moved = cluster("eu-prod-1");
    moved["spec"]["stage"] = "stage".into();
    let refused = clusters.apply(apply(&moved)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().contains("delete the cluster"),
        "{}",
        refused.message()
    );
    clusters.remove(delete("eu-prod-1")).await.unwrap();
    let answer = clusters.add(add(&moved)).await.unwrap().into_inner();
    assert_eq!(answer.edit.unwrap().generation, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_that_come_at_once_are_all_committed_each_with_its_own_revision() {
    const EDITS: u64 = 40;
    let fleet = Fleet::start().await;
    let edits = (0..EDITS).map(|number| {
        let mut policies = fleet.policies();
        let name = format!("p{}", number % 4);
        tokio::spawn(async move {
            let request = apply(&policy(&name, &format!("group-{number}")));
            policies
                .apply(request)
                .await
                .unwrap()
                .into_inner()
                .revision
                .unwrap()
                .number
        })
    });
    let mut revisions = Vec::new();
    for edit in edits.collect::<Vec<_>>() {
        revisions.push(edit.await.unwrap());
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=EDITS).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_the_registry_lacks_are_allowed_and_said() {
    let fleet = Fleet::start().await;
    let mut listed = policy("payments", "devs");
    listed["spec"]["clusters"] = serde_json::json!({"names": ["eu-prod-9"]});
    let answer = fleet
        .policies()
        .apply(apply(&listed))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.unknown_clusters, ["eu-prod-9"]);
    assert_eq!(answer.target_count, 0);
}
