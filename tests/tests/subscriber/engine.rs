//! A policy's life in a real cluster, done with the rights of the subscriber's own account.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use writ_core::plan::{Reason, temporary_reference};
use writ_subscriber::cluster::{ClusterApi, ErrorKind, Expect, Identity};
use writ_subscriber::outcome::State;
use writ_subscriber::state::{self, StateStore};

use crate::fixture::{Fixture, RBAC, at, compile, mirror, owners, policy, target, team, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_applied_edited_removed_and_taken_back() {
    let fixture = Fixture::start().await;
    let engine = fixture.engine().await;

    let first = engine
        .bring(target("team", 1, Some(team("reader", "bob"))))
        .await;
    assert_eq!(
        (first.state, first.writes),
        (State::Applied, 5),
        "{first:?}"
    );
    let labels = fixture.get(&owners()).await.unwrap()["metadata"]["labels"].clone();
    assert_eq!(labels["writ.dev/managed"], "true");
    assert_eq!(labels["writ.dev/policy"], "team");
    assert_eq!(labels["app.kubernetes.io/managed-by"], "writ");

    let again = engine
        .bring(target("team", 2, Some(team("reader", "bob"))))
        .await;
    assert_eq!(
        (again.state, again.writes, again.recorded_at),
        (State::Applied, 0, None)
    );
    let edit = engine
        .bring(target("team", 3, Some(team("reader", "carl"))))
        .await;
    assert_eq!((edit.state, edit.writes), (State::Applied, 1), "{edit:?}");
    assert_eq!(
        fixture.get(&owners()).await.unwrap()["subjects"][0]["name"],
        "carl"
    );
    let older = engine
        .bring(target("team", 2, Some(team("reader", "eve"))))
        .await;
    assert_eq!(older.state, State::Refused(Reason::Older));
    assert_eq!(
        fixture.get(&owners()).await.unwrap()["subjects"][0]["name"],
        "carl"
    );

    // What was confirmed before is gone, and nobody watched.
    fixture.delete(&owners()).await;
    let surprise = engine
        .bring(target("team", 4, Some(team("reader", "bob"))))
        .await;
    assert!(surprise.is_applied(), "{surprise:?}");
    assert_eq!(
        fixture.get(&owners()).await.unwrap()["subjects"][0]["name"],
        "bob"
    );

    let writer = at("Role", Some("payments"), "writer");
    fixture
        .edit(
            &writer,
            json!({"metadata": {"finalizers": ["example.com/hold"]}}),
        )
        .await;
    let removal = engine.bring(target("team", 5, None)).await;
    assert_eq!(
        removal.state,
        State::Pending(Reason::Finalizing),
        "{removal:?}"
    );
    assert!(
        fixture.get(&owners()).await.is_none(),
        "the binding goes first"
    );
    fixture
        .edit(&writer, json!({"metadata": {"finalizers": null}}))
        .await;
    let repaired = engine.retry(&policy("team")).await.unwrap();
    assert!(repaired.outcome.is_applied(), "{repaired:?}");

    let namespace = fixture
        .get(&at("Namespace", None, "payments"))
        .await
        .unwrap();
    let labels = &namespace["metadata"]["labels"];
    assert_eq!(
        labels["writ.dev/policy"],
        Value::Null,
        "the namespace stays, without our labels"
    );
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
    assert_eq!(
        fixture.get(&mirror("team")).await.unwrap()["status"]["state"],
        "Removed"
    );
    let older = engine
        .bring(target("team", 4, Some(team("reader", "eve"))))
        .await;
    assert_eq!(
        older.state,
        State::Refused(Reason::Older),
        "a removal is remembered"
    );
    engine.forget(&policy("team")).await.unwrap();
    assert!(fixture.get(&mirror("team")).await.is_none());

    let back = engine
        .bring(target("team", 6, Some(team("reader", "bob"))))
        .await;
    assert!(
        back.is_applied(),
        "what was left behind is taken back: {back:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_role_replaces_a_binding_without_a_moment_of_denial() {
    let fixture = Fixture::start().await;
    let engine = fixture.engine().await;
    assert!(
        engine
            .bring(target("team", 1, Some(team("reader", "bob"))))
            .await
            .is_applied()
    );
    let reviews = Api::<SubjectAccessReview>::all(fixture.admin.clone());
    let review: SubjectAccessReview = serde_json::from_value(json!({"spec": {
        "user": "bob",
        "resourceAttributes": {"namespace": "payments", "verb": "get", "resource": "pods"},
    }}))
    .unwrap();
    let allowed = async || {
        let answer = reviews
            .create(&PostParams::default(), &review)
            .await
            .unwrap();
        answer.status.is_some_and(|status| status.allowed)
    };
    until("the grant is in force", &allowed).await;

    let (done, asked, denied) = (
        AtomicBool::new(false),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let (done, asked, denied) = (Arc::new(done), Arc::new(asked), Arc::new(denied));
    let ask = async {
        while !done.load(Ordering::SeqCst) {
            denied.fetch_add(usize::from(!allowed().await), Ordering::SeqCst);
            asked.fetch_add(1, Ordering::SeqCst);
        }
    };
    let replace = async {
        for (number, role) in (2..8).zip(["writer", "reader"].into_iter().cycle()) {
            let outcome = engine
                .bring(target("team", number, Some(team(role, "bob"))))
                .await;
            assert!(outcome.is_applied(), "{outcome:?}");
            assert_eq!(
                fixture.get(&owners()).await.unwrap()["roleRef"]["name"],
                role
            );
        }
        done.store(true, Ordering::SeqCst);
    };
    tokio::join!(ask, replace);
    assert_eq!(denied.load(Ordering::SeqCst), 0, "of {asked:?} questions");
    assert!(fixture.get(&temporary_reference(&owners())).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_applied_is_named_and_the_subscriber_has_no_right_to_more() {
    let fixture = Fixture::start().await;
    let engine = fixture.engine().await;
    let grant = json!({"name": "g", "subjects": [{"user": "u"}], "clusterRole": "view", "namespaces": ["later"]});
    let waiting = compile("later", json!([]), json!([grant]));
    let outcome = engine.bring(target("later", 1, Some(waiting))).await;
    assert_eq!(outcome.state, State::Pending(Reason::NamespaceMissing));
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "later"}});
    fixture
        .create(&at("Namespace", None, "later"), &namespace)
        .await;
    assert!(
        engine
            .retry(&policy("later"))
            .await
            .unwrap()
            .outcome
            .is_applied()
    );

    fixture.allow_aggregation().await;
    // The aggregation controller fills the rules; they are its own, and no drift.
    let selector = json!({"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}});
    let aggregated = json!({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": "all"},
        "aggregationRule": {"clusterRoleSelectors": [selector]}});
    let document = compile("aggregated", json!([aggregated]), json!([]));
    assert!(
        engine
            .bring(target("aggregated", 1, Some(document)))
            .await
            .is_applied()
    );
    let role = at("ClusterRole", None, "all");
    until("the rules are filled in", async || {
        fixture.get(&role).await.unwrap()["rules"]
            .as_array()
            .is_some_and(|rules| !rules.is_empty())
    })
    .await;
    let check = engine.retry(&policy("aggregated")).await.unwrap();
    assert_eq!(
        (check.drift.len(), check.outcome.writes),
        (0, 0),
        "{check:?}"
    );

    let unknown =
        json!({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": "x"}, "rulez": []});
    let error = fixture
        .api
        .apply(&at("ClusterRole", None, "x"), &unknown, Expect::New)
        .await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::Invalid);
    let nowhere = at("Role", Some("nowhere"), "x");
    let content = json!({"apiVersion": RBAC, "kind": "Role", "metadata": {"name": "x", "namespace": "nowhere"}, "rules": []});
    let error = fixture
        .api
        .apply(&nowhere, &content, Expect::New)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::NamespaceMissing);
    let identity = Identity {
        uid: "x",
        resource_version: "1",
    };
    let error = fixture
        .api
        .delete(&at("Namespace", None, "later"), identity)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Forbidden);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_subscribers_find_each_other_by_the_state_they_keep() {
    let fixture = Fixture::start().await;
    let (mut one, mut state) = StateStore::load(fixture.api.clone()).await.unwrap();
    let (mut two, mut other) = StateStore::load(fixture.api.clone()).await.unwrap();
    state.boot += 1;
    state
        .seen
        .insert("policy.eu.prod".parse().unwrap(), "2:7".parse().unwrap());
    state.ack = Some(vec![0, 255, 7]);
    one.save(&state).await.unwrap();
    let (_, read) = StateStore::load(fixture.api.clone()).await.unwrap();
    assert_eq!(read, state);
    other.boot += 5;
    assert!(matches!(
        two.save(&other).await,
        Err(state::Error::TwoSubscribers)
    ));
    state.boot += 1;
    one.save(&state).await.unwrap();
    // The same content again is no conflict, whoever wrote it.
    tokio::time::timeout(Duration::from_secs(10), two.save(&state))
        .await
        .unwrap()
        .unwrap();
}
