//! Access rules, guards and proposals over the API and a real log. What rights do is judged in the
//! publisher's own tests and the core's; here it is seen that records are kept as everything else.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use serde_json::{Value, json};
use tonic::{Code, Response, Streaming};
use tonic_types::StatusExt as _;
use writ_proto::v1::{
    self, access_service_client::AccessServiceClient, ack_service_client::AckServiceClient,
    policy_service_client::PolicyServiceClient, token_service_client::TokenServiceClient,
};

use crate::{
    fake::{add, apply, cluster, delete, policy},
    fleet::{Fleet, Line},
};

fn document(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec,
    })
}

fn administrator(name: &str) -> Value {
    let subjects = json!([{"user": format!("oidc:{name}")}]);
    document(
        "AccessRule",
        name,
        json!({"subjects": subjects, "role": "administrator"}),
    )
}

/// The token of somebody who has no other way to say who they are.
pub(crate) async fn token(fleet: &Fleet, name: &str) -> String {
    let request = v1::CreateTokenRequest {
        name: name.to_owned(),
        lifetime_s: 600,
        ..Default::default()
    };
    let made = TokenServiceClient::new(fleet.channel())
        .create_token(request)
        .await;
    made.unwrap().into_inner().token
}

/// The way of whoever has a token.
fn line(fleet: &Fleet, token: &str) -> Line {
    fleet.channel_of(&fleet.api.nobody(""), Some(token))
}

/// Alice and bob edit what goes to eu.
fn editors() -> Value {
    document(
        "AccessRule",
        "editors",
        json!({
            "subjects": [{"user": "token:alice"}, {"user": "token:bob"}], "role": "editor", "regions": ["eu"],
            "mayGrant": {"clusterRoles": ["view"], "clusterWide": true, "subjects": {"groups": ["devs"]}},
        }),
    )
}

fn get(name: &str, generation: u64) -> v1::GetRequest {
    v1::GetRequest {
        name: name.to_owned(),
        at_least_generation: generation,
        ..Default::default()
    }
}

#[tokio::test]
async fn rules_are_kept_as_everything_else_and_survive_the_publisher() {
    let mut fleet = Fleet::start().await;
    let mut access = AccessServiceClient::new(fleet.channel());
    let made = access
        .apply(apply(&administrator("root")))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (made.name.as_str(), made.generation, made.target_count),
        ("root", 1, 0)
    );
    let again = access
        .apply(apply(&administrator("root")))
        .await
        .unwrap()
        .into_inner();
    assert!(again.unchanged);
    let same = v1::ApplyRequest {
        request_id: "r-1".into(),
        ..apply(&administrator("other"))
    };
    let first = access.apply(same.clone()).await.unwrap().into_inner();
    let second = access.apply(same).await.unwrap().into_inner();
    assert_eq!(
        (first.generation, first.revision),
        (second.generation, second.revision)
    );
    let stale = v1::ApplyRequest {
        base_generation: Some(7),
        ..apply(&administrator("other"))
    };
    assert_eq!(access.apply(stale).await.unwrap_err().code(), Code::Aborted);
    let wrong = document(
        "AccessRule",
        "x",
        json!({"subjects": [{"user": "alice"}], "role": "viewer"}),
    );
    let refused = access.apply(apply(&wrong)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let details = refused.get_error_details();
    assert_eq!(
        details.bad_request().unwrap().field_violations[0].field,
        "spec.subjects[0].user"
    );
    access.delete(delete("other")).await.unwrap();
    let last = access.delete(delete("root")).await.unwrap_err();
    assert_eq!(last.code(), Code::FailedPrecondition);
    let details = last.get_error_details();
    assert_eq!(
        details.precondition_failure().unwrap().violations[0].r#type,
        "LAST_ADMINISTRATOR"
    );

    fleet.restart_publisher().await;
    let mut access = AccessServiceClient::new(fleet.channel());
    let listed = access
        .list(v1::ListRequest::default())
        .await
        .unwrap()
        .into_inner();
    let names: Vec<&str> = listed.documents.iter().map(|of| of.name.as_str()).collect();
    assert_eq!(names, ["root"]);
    assert_eq!(listed.documents[0].subjects, "user oidc:root");
    let request = v1::ListEditsRequest {
        kind: v1::EntryKind::Access.into(),
        name: "other".into(),
        ..Default::default()
    };
    let edits = fleet
        .history()
        .list_edits(request)
        .await
        .unwrap()
        .into_inner()
        .edits;
    let kinds: Vec<v1::EditKind> = edits.iter().map(v1::Edit::kind).collect();
    assert_eq!(kinds, [v1::EditKind::Created, v1::EditKind::Deleted]);
    // No cluster hears of it, and no policy is one.
    let policies = fleet
        .policies()
        .list(v1::ListRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert!(policies.policies.is_empty());
    let misled = fleet
        .policies()
        .apply(apply(&administrator("root")))
        .await
        .unwrap_err();
    assert!(
        misled.message().contains("AccessService"),
        "{}",
        misled.message()
    );
}

#[tokio::test]
async fn a_large_edit_is_made_with_its_number_only() {
    let fleet = Fleet::start().await;
    let rules = document(
        "StageRules",
        "prod",
        json!({"stage": "prod", "confirmAboveClusters": 1, "confirmAboveSubjects": 0}),
    );
    let mut access = AccessServiceClient::new(fleet.channel());
    access.apply(apply(&rules)).await.unwrap();
    for name in ["eu-prod-1", "eu-prod-2"] {
        fleet.clusters().add(add(&cluster(name))).await.unwrap();
    }
    let mut policies = fleet.policies();
    let dry = v1::ApplyRequest {
        dry_run: true,
        ..apply(&policy("payments", "devs"))
    };
    let told = policies.apply(dry).await.unwrap().into_inner();
    assert_eq!(
        (
            told.target_count,
            told.losing_subject_count,
            told.confirm_number
        ),
        (2, 0, 2)
    );
    assert_eq!(
        told.confirm_reasons,
        ["it reaches 2 clusters of stage prod (more than 1)"]
    );
    let refused = policies
        .apply(apply(&policy("payments", "devs")))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let details = refused.get_error_details();
    let asked = &details.precondition_failure().unwrap().violations[0];
    assert_eq!(
        (asked.r#type.as_str(), asked.subject.as_str()),
        ("CONFIRM", "2")
    );
    let confirmed = v1::ApplyRequest {
        confirm: 2,
        ..apply(&policy("payments", "devs"))
    };
    assert_eq!(
        policies
            .apply(confirmed)
            .await
            .unwrap()
            .into_inner()
            .generation,
        1
    );
    // Somebody loses access.
    let dry = v1::DeleteRequest {
        dry_run: true,
        ..delete("payments")
    };
    let told = policies.delete(dry).await.unwrap().into_inner();
    assert_eq!((told.losing_subject_count, told.confirm_number), (1, 2));
    let gone = v1::DeleteRequest {
        confirm: 2,
        ..delete("payments")
    };
    assert_eq!(
        policies
            .delete(gone)
            .await
            .unwrap()
            .into_inner()
            .losing_subject_count,
        1
    );
}

#[tokio::test]
async fn an_edit_waits_for_a_second_person_and_an_approval_lands_once() {
    let mut fleet = Fleet::start().await;
    let rules = document(
        "StageRules",
        "prod",
        json!({"stage": "prod", "requireApproval": true}),
    );
    let mut access = AccessServiceClient::new(fleet.channel());
    access.apply(apply(&rules)).await.unwrap();
    access.apply(apply(&editors())).await.unwrap();
    let (alice, bob) = (token(&fleet, "alice").await, token(&fleet, "bob").await);
    let manifest = policy("payments", "devs");
    let direct = fleet.policies().apply(apply(&manifest)).await.unwrap_err();
    let details = direct.get_error_details();
    assert_eq!(
        details.precondition_failure().unwrap().violations[0].r#type,
        "APPROVAL"
    );
    let propose = v1::ApplyRequest {
        propose: true,
        reason: "why".into(),
        ..apply(&manifest)
    };
    let proposed = PolicyServiceClient::new(line(&fleet, &alice))
        .apply(propose)
        .await
        .unwrap()
        .into_inner();
    assert!(proposed.proposed);
    assert_eq!(
        fleet
            .policies()
            .get(get("payments", 0))
            .await
            .unwrap_err()
            .code(),
        Code::NotFound
    );

    // It waits in the log, not in the publisher.
    fleet.restart_publisher().await;
    let mut access = AccessServiceClient::new(fleet.channel());
    let waiting = access
        .get_proposal(get("payments", 1))
        .await
        .unwrap()
        .into_inner();
    let waiting = waiting.proposal.unwrap();
    assert_eq!(
        (waiting.state.as_str(), waiting.base_generation),
        ("open", 0)
    );
    assert_eq!(waiting.author, "token:alice");
    let approve = v1::ApproveRequest {
        name: "payments".into(),
        generation: 1,
        request_id: "a-1".into(),
        ..Default::default()
    };
    let own = AccessServiceClient::new(line(&fleet, &alice))
        .approve(approve.clone())
        .await
        .unwrap_err();
    assert_eq!(own.code(), Code::PermissionDenied, "{}", own.message());
    let blind = v1::ApproveRequest {
        generation: 0,
        ..approve.clone()
    };
    assert_eq!(
        AccessServiceClient::new(line(&fleet, &bob))
            .approve(blind)
            .await
            .unwrap_err()
            .code(),
        Code::InvalidArgument
    );
    let first = AccessServiceClient::new(line(&fleet, &bob))
        .approve(approve.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!((first.name.as_str(), first.generation), ("payments", 1));
    let second = AccessServiceClient::new(line(&fleet, &bob))
        .approve(approve)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (first.generation, first.revision),
        (second.generation, second.revision)
    );
    let made = fleet
        .policies()
        .get(get("payments", 1))
        .await
        .unwrap()
        .into_inner();
    let made = made.policy.unwrap();
    assert_eq!(made.author, "token:alice");
    assert_eq!(made.reason, "why; approved by token:bob");
    let left = access
        .list_proposals(v1::ListRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert!(left.proposals.is_empty());

    // One that is rejected is gone as well.
    let propose = v1::DeleteRequest {
        propose: true,
        ..delete("payments")
    };
    PolicyServiceClient::new(line(&fleet, &alice))
        .delete(propose)
        .await
        .unwrap();
    AccessServiceClient::new(line(&fleet, &bob))
        .reject(delete("payments"))
        .await
        .unwrap();
    let again = AccessServiceClient::new(line(&fleet, &bob))
        .reject(delete("payments"))
        .await
        .unwrap_err();
    assert_eq!(again.code(), Code::NotFound);
    assert!(fleet.policies().get(get("payments", 0)).await.is_ok());
}

#[tokio::test]
async fn a_bearer_makes_and_sees_what_their_rule_reaches() {
    let fleet = Fleet::start().await;
    let mut access = AccessServiceClient::new(fleet.channel());
    let alice = token(&fleet, "alice").await;
    let mut policies = PolicyServiceClient::new(line(&fleet, &alice));
    // Without a rule there is nothing.
    let list = v1::ListRequest::default;
    assert_eq!(
        policies.list(list()).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    let refused = policies
        .apply(apply(&policy("mine", "devs")))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    access.apply(apply(&editors())).await.unwrap();
    for (name, region) in [("eu-prod-1", "eu"), ("us-prod-1", "us")] {
        let mut entry = cluster(name);
        entry["spec"]["region"] = region.into();
        fleet.clusters().add(add(&entry)).await.unwrap();
    }
    let mut of_us = policy("of-us", "devs");
    of_us["spec"]["clusters"]["regions"] = json!(["us"]);
    fleet.policies().apply(apply(&of_us)).await.unwrap();
    assert_eq!(
        policies
            .apply(apply(&policy("mine", "devs")))
            .await
            .unwrap()
            .into_inner()
            .generation,
        1
    );
    for outside in [policy("mine", "root"), of_us.clone()] {
        let refused = policies.apply(apply(&outside)).await.unwrap_err();
        assert_eq!(
            refused.code(),
            Code::PermissionDenied,
            "{}",
            refused.message()
        );
        assert!(
            refused.message().contains("rule editors (editor)"),
            "{}",
            refused.message()
        );
    }
    let seen = policies.list(list()).await.unwrap().into_inner().policies;
    let seen: Vec<&str> = seen.iter().map(|of| of.name.as_str()).collect();
    assert_eq!(seen, ["mine"]);
    let hidden = policies.get(get("of-us", 0)).await.unwrap_err();
    assert_eq!(hidden.code(), Code::NotFound);
    let told = fleet.acks().watch_happenings(all_happenings()).await;
    assert_eq!(
        happened(told.unwrap()).await,
        ["eu-prod-1", "mine", "of-us", "us-prod-1"]
    );
    let mut acks = AckServiceClient::new(line(&fleet, &alice));
    let told = acks.watch_happenings(all_happenings()).await;
    let heard = happened(told.unwrap()).await;
    assert_eq!(heard, ["eu-prod-1", "mine"]);
    // Of a policy for both regions, the other one is not even counted.
    let mut both = policy("both", "devs");
    both["spec"]["clusters"]["regions"] = json!(["eu", "us"]);
    let edit = fleet.policies().apply(apply(&both)).await.unwrap();
    let at_least = edit.into_inner().revision;
    let one = v1::status_request::Of::Policy(v1::PolicyVersion {
        name: "both".into(),
        generation: 0,
    });
    for of in [Some(one), None] {
        let request = v1::StatusRequest {
            of,
            at_least,
            ..Default::default()
        };
        let bounded = acks.get_status(request.clone()).await.unwrap();
        let whole = fleet.acks().get_status(request.clone()).await.unwrap();
        for (told, targets) in [(bounded, 1), (whole, 2)] {
            let mut named = told.get_ref().policies.iter();
            let both = named.find(|of| of.policy == "both").unwrap();
            assert_eq!(both.counts.unwrap().target, targets, "{request:?}");
        }
    }
    // What governs is an administrator's to edit, and a rule that goes is gone at once.
    let own = AccessServiceClient::new(line(&fleet, &alice))
        .apply(apply(&administrator("alice")))
        .await;
    assert_eq!(own.unwrap_err().code(), Code::PermissionDenied);
    access.delete(delete("editors")).await.unwrap();
    let refused = policies.delete(delete("mine")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = acks.watch_happenings(all_happenings());
    assert_eq!(refused.await.unwrap_err().code(), Code::PermissionDenied);
}

fn all_happenings() -> v1::HappeningsRequest {
    v1::HappeningsRequest {
        last: 1_000,
        only_last: true,
        ..Default::default()
    }
}

/// What somebody hears of: the names of policies and clusters, each once.
async fn happened(told: Response<Streaming<v1::HappeningsResponse>>) -> Vec<String> {
    let told: Vec<_> = told.into_inner().collect().await;
    let happenings = told
        .into_iter()
        .flat_map(|answer| answer.unwrap().happenings);
    let names = happenings.map(|one| format!("{}{}", one.policy, one.cluster));
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

#[tokio::test]
async fn a_list_of_access_is_narrowed_to_a_region_a_stage_and_labels() {
    let fleet = Fleet::start().await;
    let mut access = AccessServiceClient::new(fleet.channel());
    let rule = |name: &str, bounds: Value| {
        let mut rule = document("AccessRule", name, bounds);
        rule["spec"]["subjects"] = json!([{"user": "oidc:ann"}]);
        rule["spec"]["role"] = "viewer".into();
        rule["metadata"]["labels"] = json!({"of": name});
        rule
    };
    for rule in [
        administrator("root"),
        rule("eu-prod", json!({"regions": ["eu"], "stages": ["prod"]})),
        rule("us-any", json!({"regions": ["us"]})),
        document("StageRules", "prod-rules", json!({"stage": "prod"})),
    ] {
        access.apply(apply(&rule)).await.unwrap();
    }
    let mut listed = async |request: v1::ListRequest| -> Vec<String> {
        let page = access.list(request).await.unwrap().into_inner();
        page.documents.into_iter().map(|of| of.name).collect()
    };
    let of = |region: &str, stage: &str| v1::ListRequest {
        region: region.into(),
        stage: stage.into(),
        ..Default::default()
    };
    assert_eq!(
        listed(of("", "")).await,
        ["eu-prod", "prod-rules", "root", "us-any"]
    );
    assert_eq!(
        listed(of("eu", "")).await,
        ["eu-prod", "prod-rules", "root"]
    );
    assert_eq!(listed(of("", "dev")).await, ["root", "us-any"]);
    assert_eq!(
        listed(of("us", "prod")).await,
        ["prod-rules", "root", "us-any"]
    );
    let labelled = v1::ListRequest {
        match_labels: [("of".to_owned(), "us-any".to_owned())].into(),
        ..Default::default()
    };
    assert_eq!(listed(labelled).await, ["us-any"]);
    let wrong = access.list(of("EU!", "")).await.unwrap_err();
    assert_eq!(wrong.code(), Code::InvalidArgument);
}
