//! Adopted, restored, orphaned and deleted: whose an object is, and what becomes of it.

use serde_json::{Value, json};
use writ_core::plan::Reason;
use writ_subscriber::outcome::State;

use crate::fixture::{Compiled, Fixture, RBAC, at, compile_spec, policy, target, until};

fn reader(verb: &str) -> Value {
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": [verb]}]);
    json!({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": "reader"}, "rules": rules})
}

fn adopting(adopt: &str) -> Compiled {
    compile_spec(
        "adopts",
        json!({"adopt": adopt, "objects": [reader("get")]}),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_adopted_only_where_policy_and_owner_agree() {
    let fixture = Fixture::start().await;
    let engine = fixture.engine().await;
    let role = at("ClusterRole", None, "reader");
    let mut number = 0;
    for (adopt, agreed, verb, adopted) in [
        ("never", true, "get", false),
        ("ifIdentical", false, "get", false),
        ("ifIdentical", true, "list", false),
        ("ifIdentical", true, "get", true),
        ("always", false, "list", false),
        ("always", true, "list", true),
    ] {
        number += 2;
        let mut there = reader(verb);
        there["metadata"]["labels"] = json!({"team": "theirs"});
        if agreed {
            there["metadata"]["annotations"] = json!({"writ.dev/adoptable": "true"});
        }
        fixture.create(&role, &there).await;
        let before = fixture.get(&role).await.unwrap();
        let outcome = engine
            .bring(target("adopts", number, Some(adopting(adopt))))
            .await;
        let after = fixture.get(&role).await.unwrap();
        let case = format!("{adopt} {agreed} {verb}: {outcome:?}");
        if adopted {
            assert!(outcome.is_applied(), "{case}");
            assert_eq!(
                after["metadata"]["uid"], before["metadata"]["uid"],
                "{case}"
            );
            assert_eq!(after["metadata"]["labels"]["writ.dev/policy"], "adopts");
            assert_eq!(after["metadata"]["labels"]["team"], "theirs");
            assert_eq!(after["rules"], reader("get")["rules"]);
            let check = engine.retry(&policy("adopts")).await.unwrap();
            assert_eq!(check.outcome.writes, 0, "a second plan is empty: {check:?}");
        } else {
            assert_eq!(
                outcome.state,
                State::Refused(Reason::ForeignObject),
                "{case}"
            );
            assert_eq!(after, before, "{case}");
        }
        let removal = engine.bring(target("adopts", number + 1, None)).await;
        assert!(removal.is_applied(), "{removal:?}");
        assert_eq!(fixture.get(&role).await.is_some(), !adopted);
        if !adopted {
            fixture.delete(&role).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphaning_policy_leaves_everything_behind_and_takes_it_back() {
    let fixture = Fixture::start().await;
    let engine = fixture.engine().await;
    fixture.namespace("apps", json!({})).await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bot", "namespace": "apps"}});
    let spec = |objects: Value| {
        let grant = json!({"name": "g", "subjects": [{"user": "u"}], "clusterRole": "reader", "clusterWide": true});
        compile_spec(
            "orphans",
            json!({"removal": "orphan", "objects": objects, "grants": [grant]}),
        )
    };
    let all = json!([reader("get"), account]);
    let first = engine
        .bring(target("orphans", 1, Some(spec(all.clone()))))
        .await;
    assert!(first.is_applied(), "{first:?}");

    // Edited out, and then the whole policy: the same path.
    let edited = engine
        .bring(target("orphans", 2, Some(spec(json!([reader("get")])))))
        .await;
    assert_eq!((edited.is_applied(), edited.orphaned.len()), (true, 1));
    let removal = engine.bring(target("orphans", 3, None)).await;
    assert_eq!((removal.is_applied(), removal.orphaned.len()), (true, 2));
    let places = [
        at("ServiceAccount", Some("apps"), "bot"),
        at("ClusterRole", None, "reader"),
        at("ClusterRoleBinding", None, "writ:orphans:g"),
    ];
    for place in &places {
        let left = fixture.get(place).await.unwrap();
        let metadata = &left["metadata"];
        assert_eq!(
            metadata["labels"]["writ.dev/policy"],
            Value::Null,
            "{place}"
        );
        assert_eq!(
            metadata["annotations"]["writ.dev/released"],
            metadata["uid"]
        );
    }
    let back = engine.bring(target("orphans", 4, Some(spec(all)))).await;
    assert!(back.is_applied(), "{back:?}");
    for place in &places {
        let taken = fixture.get(place).await.unwrap();
        assert_eq!(taken["metadata"]["labels"]["writ.dev/policy"], "orphans");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_deleted_where_its_policy_says_so_and_the_right_is_there() {
    let fixture = Fixture::start().await;
    let engine = fixture.engine().await;
    let namespace = at("Namespace", None, "temporary");
    let annotations = json!({"writ.dev/removal": "delete"});
    let manifest = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "temporary", "annotations": annotations}});
    let wanted = compile_spec("holds", json!({"objects": [manifest]}));
    assert!(
        engine
            .bring(target("holds", 1, Some(wanted)))
            .await
            .is_applied()
    );
    let removal = engine.bring(target("holds", 2, None)).await;
    assert_eq!(
        removal.state,
        State::Refused(Reason::Forbidden),
        "{removal:?}"
    );
    let message = &removal.failures[0].message;
    assert!(
        message.contains("cannot delete resource \"namespaces\""),
        "{message}"
    );
    assert!(fixture.get(&namespace).await.is_some());

    let rules = json!([{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["delete"]}]);
    fixture.allow("namespace-deletion", rules).await;
    // The right takes a moment, and the namespace goes through its own end.
    until("the policy is gone", async || {
        let checked = engine.retry(&policy("holds")).await;
        checked.is_none_or(|repair| repair.outcome.is_applied())
    })
    .await;
    assert!(fixture.get(&namespace).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_with_its_mark_taken_off_is_deleted_and_a_restored_object_is_taken_back() {
    let fixture = Fixture::start().await;
    let engine = fixture.engine().await;
    let wanted = || compile_spec("holds", json!({"objects": [reader("get")]}));
    let role = at("ClusterRole", None, "reader");
    assert!(
        engine
            .bring(target("holds", 1, Some(wanted())))
            .await
            .is_applied()
    );

    // As a backup holds it. Without the mark the ceiling's default refuses it: there is no telling it
    // from somebody else's then.
    fixture.delete(&role).await;
    let mut backup = reader("get");
    let marks = json!({"writ.dev/policy": "holds", "writ.dev/managed": "true", "app.kubernetes.io/managed-by": "writ"});
    backup["metadata"]["labels"] = marks;
    fixture.create(&role, &backup).await;
    let restored = engine.retry(&policy("holds")).await.unwrap();
    assert!(restored.outcome.is_applied(), "{restored:?}");
    let labels = fixture.get(&role).await.unwrap()["metadata"]["labels"].clone();
    assert_eq!(labels["writ.dev/policy"], "holds");

    fixture
        .edit(
            &role,
            json!({"metadata": {"labels": {"writ.dev/policy": null, "writ.dev/managed": null}}}),
        )
        .await;
    // Read, and not taken for granted: a watch would have seen it.
    let engine = fixture.engine().await;
    let removal = engine.bring(target("holds", 2, None)).await;
    assert!(removal.is_applied(), "{removal:?}");
    assert!(fixture.get(&role).await.is_none());
}
