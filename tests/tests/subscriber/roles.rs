//! Bindings whose role comes from elsewhere, and roles that change.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use writ_core::plan::Reason;
use writ_subscriber::outcome::State;

use crate::drift::Watch;
use crate::fixture::{Compiled, Fixture, RBAC, at, compile, policy, target, until};

fn binds(user: &str, role: &str) -> Compiled {
    let grant = json!({"name": "g", "subjects": [{"user": user}], "clusterRole": role, "clusterWide": true});
    compile("binds", json!([]), json!([grant]))
}

fn role(name: &str) -> Value {
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]);
    json!({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_waits_for_the_role_of_another_policy_and_heals() {
    let fixture = Fixture::start().await;
    let engine = fixture.engine().await;
    let outcome = engine
        .bring(target("binds", 1, Some(binds("bob", "shared"))))
        .await;
    assert_eq!(
        outcome.state,
        State::Pending(Reason::RoleMissing),
        "{outcome:?}"
    );
    assert_eq!(outcome.writes, 0);
    let binding = at("ClusterRoleBinding", None, "writ:binds:g");
    assert!(fixture.get(&binding).await.is_none());

    let mut watch = Watch::start(&fixture, engine.clone()).await;
    let brings = compile("brings", json!([role("shared")]), json!([]));
    assert!(
        engine
            .bring(target("brings", 2, Some(brings)))
            .await
            .is_applied()
    );
    let healed = watch
        .until("the binding heals", |repair| {
            repair.policy == policy("binds") && repair.outcome.is_applied()
        })
        .await;
    assert_eq!(healed.outcome.writes, 1);
    assert!(fixture.get(&binding).await.is_some());

    // The role goes: the binding stays, and says what it waits for.
    assert!(engine.bring(target("brings", 3, None)).await.is_applied());
    let checked = engine.retry(&policy("binds")).await.unwrap();
    assert_eq!(checked.outcome.state, State::Pending(Reason::RoleMissing));
    assert!(fixture.get(&binding).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_loses_access_before_the_role_changes_and_who_stays_keeps_it() {
    let fixture = Fixture::start().await;
    let engine = fixture.engine().await;
    let grant = |users: [&str; 2], bound: &str| {
        let subjects = users.map(|user| json!({"user": user}));
        let grant =
            json!({"name": "g", "subjects": subjects, "clusterRole": bound, "clusterWide": true});
        compile("binds", json!([role("one"), role("two")]), json!([grant]))
    };
    let first = grant(["stays", "leaves"], "one");
    assert!(
        engine
            .bring(target("binds", 1, Some(first)))
            .await
            .is_applied()
    );
    let reviews = Api::<SubjectAccessReview>::all(fixture.admin.clone());
    let may = async |user: &str| {
        let review: SubjectAccessReview = serde_json::from_value(json!({"spec": {
            "user": user,
            "resourceAttributes": {"verb": "get", "resource": "pods"},
        }}))
        .unwrap();
        let answer = reviews
            .create(&PostParams::default(), &review)
            .await
            .unwrap();
        answer.status.is_some_and(|status| status.allowed)
    };
    until("both have access", async || {
        may("stays").await && may("leaves").await
    })
    .await;

    let done = Arc::new(AtomicBool::new(false));
    let (denied, asked, regained) = (
        AtomicUsize::new(0),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let ask = async {
        let mut lost = false;
        while !done.load(Ordering::SeqCst) {
            denied.fetch_add(usize::from(!may("stays").await), Ordering::SeqCst);
            let allowed = may("leaves").await;
            regained.fetch_add(usize::from(lost && allowed), Ordering::SeqCst);
            lost |= !allowed;
            asked.fetch_add(1, Ordering::SeqCst);
        }
        lost
    };
    let change = async {
        let second = grant(["stays", "comes"], "two");
        let outcome = engine.bring(target("binds", 2, Some(second))).await;
        done.store(true, Ordering::SeqCst);
        outcome
    };
    let (lost, outcome) = tokio::join!(ask, change);
    assert!(outcome.is_applied(), "{outcome:?}");
    assert!(lost, "access was gone before the change was over");
    assert_eq!(denied.load(Ordering::SeqCst), 0, "of {asked:?} questions");
    assert_eq!(regained.load(Ordering::SeqCst), 0);
    assert!(may("comes").await);
}
