//! Nothing foreign is touched: not when it was there before, not when it came in between, and not
//! when it is another policy's.

use serde_json::{Value, json};
use writ_core::plan::{Reason, marked};
use writ_subscriber::cluster::{ClusterApi, ErrorKind, Expect, Identity};
use writ_subscriber::outcome::State;

use crate::fixture::{Compiled, Fixture, RBAC, at, compile, mirror, policy, target};

fn reader(verb: &str) -> Value {
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": [verb]}]);
    json!({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": "reader"}, "rules": rules})
}

fn document(name: &str) -> Compiled {
    let subjects = json!([{"group": "readers"}]);
    let grant =
        json!({"name": "g", "subjects": subjects, "clusterRole": "reader", "clusterWide": true});
    compile(name, json!([reader("get")]), json!([grant]))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_was_there_is_refused_and_the_rest_goes_on() {
    let fixture = Fixture::start().await;
    let engine = fixture.engine().await;
    let role = at("ClusterRole", None, "reader");
    // Its owner lets Writ bind it, and not write it.
    let mut foreign = reader("get");
    foreign["metadata"]["labels"] = json!({"writ.dev/bindable": "true"});
    fixture.create(&role, &foreign).await;
    let before = fixture.get(&role).await.unwrap();
    let outcome = engine
        .bring(target("first", 1, Some(document("first"))))
        .await;
    assert_eq!(outcome.state, State::Refused(Reason::ForeignObject));
    // The binding waits: it would grant what somebody else wrote.
    assert_eq!((outcome.failures_total, outcome.writes), (2, 0));
    assert_eq!(outcome.failures[0].reference, role);
    assert_eq!(fixture.get(&role).await.unwrap(), before);
    engine.close_all().await;
    let shown = fixture.get(&mirror("first")).await.unwrap();
    assert_eq!(shown["status"]["reason"], "ForeignObject");

    fixture.delete(&role).await;
    assert!(
        engine
            .retry(&policy("first"))
            .await
            .unwrap()
            .outcome
            .is_applied()
    );

    let second = compile("second", json!([reader("get")]), json!([]));
    let claimed = engine.bring(target("second", 2, Some(second))).await;
    assert_eq!(claimed.state, State::Refused(Reason::ClaimedByPolicy));
    assert!(engine.bring(target("first", 3, None)).await.is_applied());
    assert_eq!(engine.unsettled().await, [policy("second")]);
    assert!(
        engine
            .retry(&policy("second"))
            .await
            .unwrap()
            .outcome
            .is_applied()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_came_in_between_is_left_as_it_is() {
    let fixture = Fixture::start().await;
    let role = at("ClusterRole", None, "reader");
    fixture.create(&role, &reader("get")).await;
    let before = fixture.get(&role).await.unwrap();
    // Equal content is shared for a moment and given up again; other content is a conflict.
    for verb in ["get", "delete"] {
        let content = marked(&policy("first"), &reader(verb));
        let error = fixture
            .api
            .apply(&role, &content, Expect::New)
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Foreign, "{verb}");
        let after = fixture.get(&role).await.unwrap();
        assert_eq!(after["rules"], before["rules"]);
        assert_eq!(after["metadata"]["labels"], Value::Null);
        let managers = after["metadata"]["managedFields"].as_array().unwrap().len();
        assert_eq!(managers, 1, "{after}");
    }
    let another = "11111111-1111-1111-1111-111111111111";
    let error = fixture
        .api
        .apply(&role, &reader("get"), Expect::Existing(another))
        .await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::Conflict);
    fixture.delete(&role).await;
    let error = fixture
        .api
        .apply(&role, &reader("get"), Expect::Existing(another))
        .await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::Conflict);
    assert!(fixture.get(&role).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_from_what_was_read_is_not_applied_to_another_state_of_it() {
    let fixture = Fixture::start().await;
    let role = at("ClusterRole", None, "reader");
    let content = marked(&policy("first"), &reader("get"));
    let written = fixture.api.apply(&role, &content, Expect::New).await;
    let written = written.unwrap();
    fixture
        .edit(
            &role,
            json!({"metadata": {"annotations": {"theirs": "now"}}}),
        )
        .await;
    let state = Identity {
        uid: &written.uid,
        resource_version: &written.resource_version,
    };
    let error = fixture.api.apply(&role, &content, Expect::State(state));
    assert_eq!(error.await.unwrap_err().kind, ErrorKind::Conflict);
    let now = fixture.get(&role).await.unwrap()["metadata"].take();
    let state = Identity {
        resource_version: now["resourceVersion"].as_str().unwrap(),
        ..state
    };
    let written = fixture.api.apply(&role, &content, Expect::State(state));
    assert_eq!(written.await.unwrap().uid, state.uid);
}
