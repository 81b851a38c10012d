//! Grants that select namespaces by their labels, also namespaces that come later.

use std::time::Instant;

use serde_json::{Value, json};
use writ_core::plan::Reason;
use writ_subscriber::drift;
use writ_subscriber::outcome::State;

use crate::drift::Watch;
use crate::fixture::{Compiled, Fixture, LIMIT, at, compile, policy, target, until};

fn readers(user: &str) -> Compiled {
    let grant = json!({
        "name": "readers",
        "subjects": [{"user": user}],
        "clusterRole": "view",
        "namespaceSelector": {"matchLabels": {"team": "payments"}},
    });
    compile("selects", json!([]), json!([grant]))
}

fn binding(namespace: &str) -> writ_core::model::ObjectRef {
    at("RoleBinding", Some(namespace), "writ:selects:readers")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_follows_the_labels_of_namespaces() {
    let fixture = Fixture::start().await;
    fixture
        .namespace("first", json!({"team": "payments"}))
        .await;
    fixture.namespace("other", json!({"team": "sre"})).await;
    let engine = fixture.engine().await;
    // Before any watch: the namespaces are listed.
    let outcome = engine
        .bring(target("selects", 1, Some(readers("bob"))))
        .await;
    assert!(outcome.is_applied() && outcome.writes == 1, "{outcome:?}");
    assert!(fixture.get(&binding("first")).await.is_some());
    assert!(fixture.get(&binding("other")).await.is_none());

    let mut watch = Watch::start(&fixture, engine.clone()).await;
    let begin = Instant::now();
    fixture
        .namespace("later", json!({"team": "payments"}))
        .await;
    let created = |repair: &writ_subscriber::outcome::Repair| repair.outcome.writes == 1;
    let repair = watch.until("the binding comes", created).await;
    println!(
        "a namespace that came later had its binding after {:?}",
        begin.elapsed()
    );
    assert!(repair.outcome.is_applied() && repair.drift.is_empty());
    assert!(fixture.get(&binding("later")).await.is_some());

    let namespace = at("Namespace", None, "later");
    let without = json!({"metadata": {"labels": {"team": null}}});
    fixture.edit(&namespace, without).await;
    watch.until("the binding goes", created).await;
    assert!(fixture.get(&binding("later")).await.is_none());
    assert!(fixture.get(&binding("first")).await.is_some());

    fixture
        .edit(
            &namespace,
            json!({"metadata": {"labels": {"team": "payments"}}}),
        )
        .await;
    watch.until("the binding comes back", created).await;
    // A change by hand to a binding of a grant is drift like any other.
    fixture.delete(&binding("later")).await;
    let repair = watch
        .until("it is put back", |repair| !repair.drift.is_empty())
        .await;
    assert!(repair.outcome.is_applied());

    fixture.delete(&namespace).await;
    until("the namespace is gone", async || {
        fixture.get(&namespace).await.is_none()
    })
    .await;
    let gone = |repair: &writ_subscriber::outcome::Repair| {
        let record = repair.outcome.record.as_ref().unwrap();
        record.done && record.item(&binding("later")).is_none()
    };
    watch.until("nothing is missed in it", gone).await;

    let removal = engine.bring(target("selects", 2, None)).await;
    assert!(removal.is_applied() && removal.writes == 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_that_went_while_no_subscriber_was_there_takes_the_binding_along() {
    let fixture = Fixture::start().await;
    fixture
        .namespace("first", json!({"team": "payments"}))
        .await;
    let engine = fixture.engine().await;
    let outcome = engine
        .bring(target("selects", 1, Some(readers("bob"))))
        .await;
    assert!(outcome.is_applied(), "{outcome:?}");
    engine.close_all().await;
    let without = json!({"metadata": {"labels": {"team": null}}});
    fixture.edit(&at("Namespace", None, "first"), without).await;

    let engine = fixture.engine().await;
    let wanted = readers("bob");
    engine
        .restore(&policy("selects"), wanted.hash, wanted.content)
        .await
        .unwrap();
    let (sender, mut events) = tokio::sync::mpsc::channel(drift::EVENTS_WAITING_MAX);
    let stop = tokio_util::sync::CancellationToken::new();
    tokio::spawn(drift::watch(
        fixture.api.client().clone(),
        sender,
        stop.clone(),
    ));
    let _stop = stop.drop_guard();
    let gone = async {
        while fixture.get(&binding("first")).await.is_some() {
            engine.handle(events.recv().await.unwrap()).await;
        }
    };
    tokio::time::timeout(LIMIT, gone).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_namespace_goes_on_when_it_comes() {
    let fixture = Fixture::start().await;
    let engine = fixture.engine().await;
    let grant = json!({"name": "g", "subjects": [{"user": "u"}], "clusterRole": "view", "namespaces": ["later"]});
    let waiting = compile("later", json!([]), json!([grant]));
    let outcome = engine.bring(target("later", 1, Some(waiting))).await;
    assert_eq!(outcome.state, State::Pending(Reason::NamespaceMissing));
    let mut watch = Watch::start(&fixture, engine.clone()).await;
    fixture.namespace("later", Value::Null).await;
    let repair = watch
        .until("it goes on", |repair| repair.outcome.is_applied())
        .await;
    assert_eq!(repair.policy, policy("later"));
}
