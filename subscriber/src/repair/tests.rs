//! What a watch saw, and what becomes of it, against an API in memory.

use std::sync::{Arc, Mutex};

use serde_json::json;
use writ_core::hash::Hash;
use writ_core::model::{self, Document};
use writ_core::revision::{Generation, Revision};

use super::*;
use crate::engine::{Latest, Target};
use crate::fake::Fake;
use crate::permit::{Bounds, Permit};
use crate::resource::POLICY_KINDS;
use crate::slot::Content;

/// Grants in every namespace of a team.
fn target(name: &str, number: u64, team: &str) -> Target {
    let grant = json!({
        "name": "readers", "subjects": [{"user": "bob"}], "clusterRole": "view",
        "namespaceSelector": {"matchLabels": {"team": team}},
    });
    let document = json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy",
        "metadata": {"name": name}, "spec": {"clusters": {"all": true}, "grants": [grant]},
    });
    let Document::Policy(policy) = model::parse(&document).unwrap().document else {
        panic!("not a policy")
    };
    let compiled = policy.compile();
    let at = Revision { epoch: 1, number };
    Target {
        policy: PolicyName::parse(name).unwrap(),
        as_of: at,
        word: at,
        generation: Generation(1),
        hash: Hash::of(compiled.bytes()),
        feed: "policy.all.all".parse().unwrap(),
        signed: b"signed".to_vec(),
        content: Some(Content::decode(compiled.bytes()).unwrap()),
    }
}

fn binding(policy: &str) -> ObjectRef {
    POLICY_KINDS[4].reference(Some("shop"), &format!("writ:{policy}:readers"))
}

/// The namespace gets that label by hand; what the watch will tell of it.
fn label(api: &Fake, team: &str) -> Event {
    let namespace = json!({"metadata": {"labels": {"team": team}}});
    let found = api.put(&NAMESPACES.reference(None, "shop"), namespace);
    Event::Namespace {
        name: "shop".to_owned(),
        resource_version: found["metadata"]["resourceVersion"]
            .as_str()
            .map(str::to_owned),
        seen: Some(Seen::read(&found)),
    }
}

async fn listed(api: &Fake) -> Engine<Fake> {
    let engine = Engine::new(api.clone());
    let view = POLICY_KINDS[3].reference(None, "view");
    api.put(&view, json!({}));
    let (all, present) = Default::default();
    engine.handle(Event::Namespaces { all, present }).await;
    engine
}

#[tokio::test]
async fn a_namespace_that_one_policy_read_again_is_news_to_the_others() {
    let api = Fake::default();
    let engine = listed(&api).await;
    engine.handle(label(&api, "a")).await;
    for name in ["one", "other"] {
        let outcome = engine.bring(target(name, 1, "a")).await;
        assert!(outcome.is_applied(), "{outcome:?}");
    }
    // The namespace leaves the team; the first policy finds that out by itself, because an edit
    // takes its grant away.
    let event = label(&api, "b");
    assert!(engine.bring(target("one", 2, "c")).await.is_applied());
    assert!(api.peek(&binding("one")).is_none() && api.peek(&binding("other")).is_some());

    engine.handle(event).await;
    assert!(api.peek(&binding("other")).is_none());
}

#[tokio::test]
async fn of_two_events_that_are_answered_side_by_side_the_last_one_counts() {
    let api = Fake::default();
    let engine = listed(&api).await;
    assert!(engine.bring(target("one", 1, "a")).await.is_applied());
    let first = engine.handle(label(&api, "a"));
    let last = engine.handle(label(&api, "b"));
    last.await;
    first.await;
    assert!(api.peek(&binding("one")).is_none());
}

#[tokio::test]
async fn a_deletion_that_is_told_while_an_attempt_is_under_way_is_found_after_it() {
    let api = Fake::default();
    let engine = listed(&api).await;
    engine.handle(label(&api, "a")).await;
    assert!(engine.bring(target("one", 1, "a")).await.is_applied());
    let at = binding("one");
    let written = api.peek(&at).unwrap();
    let version = written["metadata"]["resourceVersion"].as_str().unwrap();
    let touched = |resource_version| {
        engine.handle(Event::Touched {
            reference: binding("one"),
            resource_version,
        })
    };
    // An attempt is under way, and what it wrote is deleted. The watch tells of both before it has ended.
    let slot = engine.inner.slots.find(&target("one", 1, "a").policy);
    let under_way = slot.unwrap().lock_owned().await;
    engine.inner.confirmed.doubt(&at);
    api.take_away(&at);
    let mut first = std::pin::pin!(touched(Some(version.to_owned())));
    assert!(futures::poll!(first.as_mut()).is_pending());
    assert!(touched(None).await.is_empty());
    engine.inner.confirmed.note(&at, version, &written);
    drop(under_way);
    first.await;
    assert!(api.peek(&at).is_some());
}

#[tokio::test]
async fn who_must_not_wait_is_told_that_an_attempt_is_under_way() {
    let engine = listed(&Fake::default()).await;
    let policy = target("one", 1, "a").policy;
    assert_eq!(engine.record_now(&policy), Latest::None);
    assert!(engine.bring(target("one", 1, "a")).await.is_applied());
    let slot = engine.inner.slots.find(&policy).unwrap();
    let under_way = slot.lock().await;
    assert_eq!(engine.record_now(&policy), Latest::Busy);
    drop(under_way);
    let known = engine.record(&policy).await.unwrap();
    assert_eq!(engine.record_now(&policy), Latest::Record(known));
}

#[tokio::test]
async fn an_attempt_begins_no_further_write_once_nothing_may_be_written() {
    let api = Fake::default();
    let engine = listed(&api).await;
    engine.handle(label(&api, "a")).await;
    let stopping = engine.clone();
    // The first write is that of the mirror.
    api.on_write(Arc::new(move || {
        stopping.permit(Permit::Nothing("the ceiling is gone".to_owned()));
    }));
    let outcome = engine.bring(target("one", 1, "a")).await;
    assert!(!outcome.is_applied(), "{outcome:?}");
    assert_eq!(api.peek(&binding("one")), None);
}

#[tokio::test]
async fn a_removal_puts_the_marks_back_and_nothing_that_others_took_out_meanwhile() {
    let api = Fake::default();
    let engine = listed(&api).await;
    engine.handle(label(&api, "a")).await;
    assert!(engine.bring(target("one", 1, "a")).await.is_applied());
    let at = binding("one");
    let mut unmarked = api.peek(&at).unwrap();
    unmarked["metadata"]["labels"] = json!({});
    unmarked["metadata"]["managedFields"] = json!([{"manager": "writ", "operation": "Apply"}]);
    let unmarked = api.put(&at, unmarked);
    engine.inner.confirmed.doubt(&at);
    // Read by then: the first write is that of the mirror. The next one meets another state.
    let (person, met) = (api.clone(), Arc::new(Mutex::new(Vec::new())));
    let notes = Arc::clone(&met);
    api.on_write(Arc::new(move || {
        let mut notes = notes.lock().unwrap();
        if notes.is_empty() {
            let mut emptied = unmarked.clone();
            emptied["subjects"] = json!([]);
            person.put(&binding("one"), emptied);
        }
        let found = person.peek(&binding("one"));
        notes.push(found.map(|mut found| found["subjects"].take()));
    }));
    let gone = Target {
        content: None,
        ..target("one", 2, "a")
    };
    let outcome = engine.bring(gone).await;
    assert!(outcome.is_applied(), "{outcome:?}");
    assert_eq!(api.peek(&at), None);
    let met = met.lock().unwrap();
    assert_eq!(*met, [Some(json!([])), Some(json!([]))]);
}

#[tokio::test]
async fn an_observer_looks_again_rarely_and_forgets_a_policy_that_left_nothing() {
    let api = Fake::default();
    let engine = listed(&api).await;
    engine.handle(label(&api, "a")).await;
    engine.permit(Permit::Observe(Bounds::none()));
    let seen = engine.bring(target("one", 1, "a")).await;
    assert_eq!(seen.failures[0].message, "would create", "{seen:?}");
    assert!(seen.retry_after.is_some());
    let gone = Target {
        content: None,
        ..target("one", 2, "a")
    };
    assert!(engine.bring(gone).await.is_applied());
    engine.forget(&target("one", 2, "a").policy).await.unwrap();
    assert!(engine.policies().is_empty());
}
