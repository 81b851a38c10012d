//! Mirrors of registry entries, against an API in memory.

use serde_json::json;
use writ_core::revision::{Generation, Revision};

use super::*;
use crate::fake::Fake;

fn name() -> ClusterName {
    ClusterName::parse("eu-prod-1").unwrap()
}

fn document() -> Value {
    json!({"metadata": {"labels": {"tier": "gold"}}, "spec": {"region": "eu"}})
}

fn mirror() -> ClusterMirror {
    ClusterMirror {
        name: name(),
        document: document(),
        signed: b"signed".to_vec(),
        revision: Revision {
            epoch: 1,
            number: 4,
        },
        generation: Generation(2),
    }
}

async fn load(api: &Fake) -> Registry<Fake> {
    Registry::load(api.clone(), name()).await.unwrap().0
}

/// A registry after a restart: the mirror that stands was written by the one before.
async fn restarted(api: &Fake) -> Registry<Fake> {
    let mut before = load(api).await;
    before.permission().set(true);
    before.write(mirror()).await.unwrap();
    load(api).await
}

fn edit(api: &Fake) -> Event {
    let at = cluster_reference(&name());
    let mut edited = api.peek(&at).unwrap();
    edited["spec"]["region"] = "us".into();
    let found = api.put(&at, edited);
    let version = found["metadata"]["resourceVersion"].as_str();
    Event::Touched {
        reference: at,
        resource_version: version.map(str::to_owned),
    }
}

fn region(api: &Fake) -> Value {
    api.peek(&cluster_reference(&name())).unwrap()["spec"]["region"].clone()
}

#[tokio::test]
async fn nothing_is_written_before_it_is_permitted_and_late_ones_are_then() {
    let api = Fake::default();
    let mut registry = load(&api).await;
    assert_eq!(registry.write(mirror()).await.unwrap(), Mirrored::Later);
    assert_eq!(api.writes(), 0);
    let permission = registry.permission();
    permission.set(true);
    registry.write_late().await.unwrap();
    assert_eq!(region(&api), "eu");
}

#[tokio::test]
async fn what_could_not_be_written_is_written_when_the_mirrors_are_listed_again() {
    let api = Fake::default();
    let mut registry = load(&api).await;
    registry.write(mirror()).await.unwrap();
    registry.permission().set(true);
    api.set_away(true);
    assert!(registry.write_late().await.is_err());
    api.set_away(false);
    let (resource, present) = (CLUSTERS, BTreeMap::new());
    let listed = Event::Listed { resource, present };
    registry.handle(&listed).await.unwrap();
    assert_eq!(region(&api), "eu");
}

#[tokio::test]
async fn after_a_restart_a_mirror_costs_no_write_and_a_change_by_hand_is_put_back() {
    let api = Fake::default();
    let mut registry = restarted(&api).await;
    let writes = api.writes();
    registry.believe(&name(), document());
    registry.permission().set(true);
    registry.write_late().await.unwrap();
    assert_eq!(api.writes(), writes);
    let event = edit(&api);
    registry.handle(&event).await.unwrap();
    assert_eq!(region(&api), "eu");
}

#[tokio::test]
async fn a_change_by_hand_while_nobody_watched_is_put_back() {
    let api = Fake::default();
    restarted(&api).await;
    edit(&api);
    let mut registry = load(&api).await;
    registry.believe(&name(), document());
    registry.permission().set(true);
    registry.write_late().await.unwrap();
    assert_eq!(region(&api), "eu");
}

#[tokio::test]
async fn a_mirror_that_was_changed_by_hand_can_still_be_removed() {
    let api = Fake::default();
    let mut registry = restarted(&api).await;
    registry.permission().set(true);
    edit(&api);
    registry.remove(&name()).await.unwrap();
    assert_eq!(api.peek(&cluster_reference(&name())), None);
}

#[tokio::test]
async fn as_many_mirrors_are_written_as_were_asked_for_and_the_own_one_always() {
    let api = Fake::default();
    let mut registry = load(&api).await;
    registry.permission().set(true);
    registry.show_at_most(1);
    let other = |name: &str| ClusterMirror {
        name: ClusterName::parse(name).unwrap(),
        ..mirror()
    };
    let first = registry.write(other("us-prod-1")).await.unwrap();
    let second = registry.write(other("ap-prod-1")).await.unwrap();
    assert_eq!((first, second), (Mirrored::Written, Mirrored::TooMany));
    assert_eq!(registry.write(mirror()).await.unwrap(), Mirrored::Written);
}

/// The next write is done, and its answer is lost.
fn lose_answers(api: &Fake) {
    let away = api.clone();
    api.on_write(std::sync::Arc::new(move || away.set_away(true)));
}

fn find_answers(api: &Fake) {
    api.on_write(std::sync::Arc::new(|| ()));
    api.set_away(false);
}

#[tokio::test]
async fn a_mirror_that_was_written_without_an_answer_is_not_put_back_as_it_was_before() {
    let api = Fake::default();
    let mut registry = load(&api).await;
    registry.permission().set(true);
    registry.write(mirror()).await.unwrap();
    let mut newer = mirror();
    newer.document["spec"]["region"] = "us".into();
    newer.revision.number += 1;
    lose_answers(&api);
    assert!(registry.write(newer).await.is_err());
    find_answers(&api);
    let at = cluster_reference(&name());
    let version = &api.peek(&at).unwrap()["metadata"]["resourceVersion"];
    let event = Event::Touched {
        reference: at,
        resource_version: version.as_str().map(str::to_owned),
    };
    registry.handle(&event).await.unwrap();
    assert_eq!(region(&api), "us");
}

#[tokio::test]
async fn a_mirror_that_was_made_without_an_answer_is_removed_with_its_entry() {
    let api = Fake::default();
    let mut registry = load(&api).await;
    registry.permission().set(true);
    lose_answers(&api);
    assert!(registry.write(mirror()).await.is_err());
    find_answers(&api);
    registry.remove(&name()).await.unwrap();
    assert_eq!(api.peek(&cluster_reference(&name())), None);
}

#[tokio::test]
async fn a_mirror_that_was_deleted_without_an_answer_is_not_put_back() {
    let api = Fake::default();
    let mut registry = load(&api).await;
    registry.permission().set(true);
    registry.write(mirror()).await.unwrap();
    api.lose_answers_of_deletions(true);
    assert!(registry.remove(&name()).await.is_err());
    api.lose_answers_of_deletions(false);
    let event = Event::Touched {
        reference: cluster_reference(&name()),
        resource_version: None,
    };
    registry.handle(&event).await.unwrap();
    assert_eq!(api.peek(&cluster_reference(&name())), None);
    registry.remove(&name()).await.unwrap();
}
