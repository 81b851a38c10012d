//! Policies that only report drift, and objects that others fight over.

use serde_json::{Value, json};
use writ_core::plan::{PUT_BACKS_MAX, Reason};
use writ_subscriber::outcome::{Change, State};

use crate::drift::Watch;
use crate::fixture::{Compiled, Fixture, RBAC, at, compile_spec, policy, target};

fn role(name: &str, verb: &str) -> Value {
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": [verb]}]);
    json!({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules})
}

fn reports(verb: &str) -> Compiled {
    let objects = json!([role("first", "get"), role("second", verb)]);
    compile_spec(
        "reports",
        json!({"enforcement": "report", "objects": objects}),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reporting_policy_names_drift_leaves_it_and_sees_it_heal() {
    let fixture = Fixture::start().await;
    let engine = fixture.engine().await;
    assert!(
        engine
            .bring(target("reports", 1, Some(reports("get"))))
            .await
            .is_applied()
    );
    let mut watch = Watch::start(&fixture, engine.clone()).await;

    let first = at("ClusterRole", None, "first");
    fixture.edit(&first, json!({"rules": []})).await;
    let edited = fixture.get(&first).await.unwrap();
    let drifted = |repair: &writ_subscriber::outcome::Repair| !repair.drift.is_empty();
    let repair = watch.until("the drift is told", drifted).await;
    assert_eq!(repair.outcome.state, State::Refused(Reason::Drifted));
    assert_eq!(repair.outcome.writes, 0);
    assert_eq!(repair.outcome.failures[0].message, "changed by by-hand");
    let drift = &repair.drift[0];
    assert_eq!((drift.change, drift.put_back), (Change::Changed, false));
    assert_eq!(fixture.get(&first).await.unwrap(), edited);

    // The same state again, as a retry brings it, and a restart in between.
    let again = engine
        .bring(target("reports", 1, Some(reports("get"))))
        .await;
    assert_eq!(again.state, State::Refused(Reason::Drifted));
    let restarted = fixture.engine().await;
    let again = restarted
        .bring(target("reports", 1, Some(reports("get"))))
        .await;
    assert_eq!(again.state, State::Refused(Reason::Drifted), "{again:?}");
    assert_eq!(fixture.get(&first).await.unwrap(), edited);

    fixture
        .edit(&first, json!({"rules": role("first", "get")["rules"]}))
        .await;
    let healed = watch
        .until("the healing is seen", |repair| repair.outcome.is_applied())
        .await;
    assert_eq!(healed.outcome.writes, 0);

    // An edit applies everything, what drifted included.
    fixture.edit(&first, json!({"rules": []})).await;
    watch.until("the drift is told", drifted).await;
    let edit = engine
        .bring(target("reports", 2, Some(reports("list"))))
        .await;
    assert_eq!((edit.is_applied(), edit.writes), (true, 2), "{edit:?}");
    assert_eq!(
        fixture.get(&first).await.unwrap()["rules"],
        role("first", "get")["rules"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_fought_over_is_left_alone_for_a_while() {
    let fixture = Fixture::start().await;
    let engine = fixture.engine().await;
    let objects = json!([role("fought", "get"), role("quiet", "get")]);
    let wanted = || compile_spec("fights", json!({"objects": objects}));
    assert!(
        engine
            .bring(target("fights", 1, Some(wanted())))
            .await
            .is_applied()
    );
    let mut watch = Watch::start(&fixture, engine.clone()).await;
    let fought = at("ClusterRole", None, "fought");
    for round in 0..PUT_BACKS_MAX {
        fixture.edit(&fought, json!({"rules": []})).await;
        let repair = watch
            .until("it is put back", |repair| !repair.drift.is_empty())
            .await;
        assert!(repair.outcome.is_applied(), "{round}: {repair:?}");
    }
    fixture.edit(&fought, json!({"rules": []})).await;
    let left = watch
        .until("it is left", |repair| !repair.drift.is_empty())
        .await;
    assert_eq!(
        left.outcome.state,
        State::Pending(Reason::Contended),
        "{left:?}"
    );
    let message = &left.outcome.failures[0].message;
    assert!(message.contains("by-hand changes it again"), "{message}");
    assert!(fixture.get(&fought).await.unwrap()["rules"].is_null());

    let quiet = at("ClusterRole", None, "quiet");
    fixture.edit(&quiet, json!({"rules": []})).await;
    watch
        .until("others are not held back", |repair| {
            repair
                .drift
                .iter()
                .any(|drift| drift.reference == quiet && drift.put_back)
        })
        .await;
    let retried = engine.retry(&policy("fights")).await.unwrap();
    assert_eq!(retried.outcome.state, State::Pending(Reason::Contended));
    assert_eq!(retried.outcome.failures_total, 1);
}
