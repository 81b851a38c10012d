//! A cluster that is only observed, and one whose ceiling is not proven.

use serde_json::json;
use writ_core::plan::Reason;
use writ_subscriber::outcome::State;
use writ_subscriber::permit::{Bounds, Permit};

use crate::drift::Watch;
use crate::fixture::{Fixture, RBAC, at, compile, mirror, owners, target, team};

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_says_what_it_would_do_and_writes_nothing() {
    let fixture = Fixture::start().await;
    let reader = json!({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": "reader"}, "rules": []});
    fixture
        .create(&at("ClusterRole", None, "reader"), &reader)
        .await;
    let engine = fixture.engine().await;
    engine.permit(Permit::Observe(Bounds::none()));

    let outcome = engine
        .bring(target("team", 1, Some(team("reader", "bob"))))
        .await;
    assert_eq!(outcome.state, State::Pending(Reason::Observing));
    assert_eq!(
        (outcome.failures_total, outcome.writes),
        (5, 0),
        "{outcome:?}"
    );
    assert!(
        outcome
            .failures
            .iter()
            .all(|it| it.message == "would create")
    );
    let foreign = compile("foreign", json!([reader]), json!([]));
    let outcome = engine.bring(target("foreign", 2, Some(foreign))).await;
    assert_eq!(outcome.state, State::Pending(Reason::Observing));
    assert_eq!(outcome.failures[0].reason, Reason::ForeignObject);
    engine.close_all().await;
    for place in [
        owners(),
        mirror("team"),
        mirror("foreign"),
        at("Namespace", None, "payments"),
    ] {
        assert!(fixture.get(&place).await.is_none(), "{place}");
    }

    engine.permit(Permit::Enforce(Bounds::none()));
    let enforced = engine
        .bring(target("team", 1, Some(team("reader", "bob"))))
        .await;
    assert_eq!((enforced.is_applied(), enforced.writes), (true, 5));
    engine.close_all().await;

    // Back to looking: drift is told and left.
    engine.permit(Permit::Observe(Bounds::none()));
    let mut watch = Watch::start(&fixture, engine.clone()).await;
    fixture.edit(&owners(), json!({"subjects": []})).await;
    let told = watch
        .until("the drift is told", |repair| !repair.drift.is_empty())
        .await;
    assert_eq!(told.outcome.state, State::Pending(Reason::Observing));
    assert!(!told.drift[0].put_back);
    assert_eq!(
        told.outcome.failures[0].message,
        "would change (drift: changed)"
    );
    assert_eq!(
        fixture.get(&owners()).await.unwrap()["subjects"],
        json!(null)
    );
    let removal = engine.bring(target("team", 2, None)).await;
    assert_eq!(removal.failures_total, 5, "{removal:?}");
    assert!(fixture.get(&owners()).await.is_some());

    engine.permit(Permit::Enforce(Bounds::none()));
    assert!(engine.bring(target("team", 2, None)).await.is_applied());
    assert!(fixture.get(&owners()).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_proven_ceiling_nothing_is_written_and_within_it_only_what_fits() {
    let fixture = Fixture::start().await;
    let engine = fixture.engine().await;
    engine.permit(Permit::Nothing(
        "there is no PolicyCeiling named default".to_owned(),
    ));
    let outcome = engine
        .bring(target("team", 1, Some(team("reader", "bob"))))
        .await;
    assert_eq!(outcome.state, State::Refused(Reason::CeilingNotEnforced));
    assert!(fixture.get(&mirror("team")).await.is_none());

    let mut bounds = Bounds::none();
    bounds.forbids = std::sync::Arc::new(|object| {
        (object.reference.name == "writer").then(|| "verb create: PolicyCeiling/default".to_owned())
    });
    engine.permit(Permit::Enforce(bounds));
    let outcome = engine
        .bring(target("team", 1, Some(team("reader", "bob"))))
        .await;
    assert_eq!(outcome.state, State::Refused(Reason::CeilingExceeded));
    assert_eq!(
        (outcome.writes, outcome.failures_total),
        (4, 1),
        "{outcome:?}"
    );
    assert!(fixture.get(&owners()).await.is_some());

    // What was in force stays in force when the proof is lost.
    engine.permit(Permit::Nothing("not proven".to_owned()));
    let removal = engine.bring(target("team", 2, None)).await;
    assert_eq!(removal.state, State::Refused(Reason::CeilingNotEnforced));
    assert!(fixture.get(&owners()).await.is_some());
}
