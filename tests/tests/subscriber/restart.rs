//! A subscriber that ends anywhere starts into the state that it would have had.

use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

use serde_json::Value;
use writ_core::model::ObjectRef;
use writ_core::plan::temporary_reference;
use writ_subscriber::cluster::{ClusterApi, Deletion, Error, ErrorKind, Expect, Identity, Written};
use writ_subscriber::engine::Engine;
use writ_subscriber::kube_api::KubeApi;
use writ_subscriber::resource::{Found, Resource};

use crate::fixture::{Compiled, Fixture, mirror, owners, policy, target, team};

/// A process that is killed at one of its calls: before the API server did it, or after it and
/// before the answer was read. From then on nothing gets through.
#[derive(Clone)]
struct Killed {
    api: KubeApi,
    calls_left: Arc<AtomicIsize>,
    after: bool,
}

impl Killed {
    async fn call<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let left = self.calls_left.fetch_sub(1, Ordering::SeqCst);
        let killed = Err(Error::new(
            ErrorKind::Unavailable,
            "call",
            "cluster",
            "killed",
        ));
        if left < 0 || (left == 0 && !self.after) {
            return killed;
        }
        let answer = call.await;
        if left == 0 { killed } else { answer }
    }

    fn was_killed(&self) -> bool {
        self.calls_left.load(Ordering::SeqCst) < 0
    }
}

impl ClusterApi for Killed {
    async fn get(&self, at: &ObjectRef) -> Result<Option<Value>, Error> {
        self.call(self.api.get(at)).await
    }

    async fn find_kind(&self, at: &ObjectRef) -> Result<Option<Found>, Error> {
        self.call(self.api.find_kind(at)).await
    }

    async fn list(&self, resource: Resource) -> Result<Vec<Value>, Error> {
        self.call(self.api.list(resource)).await
    }

    async fn apply(
        &self,
        at: &ObjectRef,
        content: &Value,
        expect: Expect<'_>,
    ) -> Result<Written, Error> {
        self.call(self.api.apply(at, content, expect)).await
    }

    async fn delete(&self, at: &ObjectRef, identity: Identity<'_>) -> Result<Deletion, Error> {
        self.call(self.api.delete(at, identity)).await
    }

    async fn release(&self, at: &ObjectRef, identity: Identity<'_>) -> Result<Written, Error> {
        self.call(self.api.release(at, identity)).await
    }

    async fn replace(&self, at: &ObjectRef, content: &Value) -> Result<Written, Error> {
        self.call(self.api.replace(at, content)).await
    }

    async fn dry_run(&self, at: &ObjectRef, content: &Value) -> Result<Value, Error> {
        self.call(self.api.dry_run(at, content)).await
    }
}

type Make = fn() -> Option<Compiled>;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_call_it_goes_on_to_where_it_was_going() {
    let fixture = Fixture::start().await;
    let (reader, writer, gone): (Make, Make, Make) = (
        || Some(team("reader", "bob")),
        || Some(team("writer", "carl")),
        || None,
    );
    let (mut number, mut kills) = (0, 0);
    for (from, to) in [(gone, reader), (reader, writer), (writer, gone)] {
        for after in [false, true] {
            for calls in 0.. {
                number += 2;
                let engine = fixture.engine().await;
                let prepared = engine.bring(target("team", number, from())).await;
                assert!(prepared.is_applied(), "{prepared:?}");
                engine.close_all().await;

                let calls_left = Arc::new(AtomicIsize::new(calls));
                let killed = Killed {
                    api: fixture.api.clone(),
                    calls_left,
                    after,
                };
                let engine = Engine::new(killed.clone());
                if engine.load().await.is_ok() {
                    engine.bring(target("team", number + 1, to())).await;
                    engine.close_all().await;
                }

                let engine = fixture.engine().await;
                let outcome = engine.bring(target("team", number + 1, to())).await;
                assert!(
                    outcome.is_applied(),
                    "call {calls}, after: {after}: {outcome:?}"
                );
                engine.close_all().await;
                check(&fixture, to()).await;
                if !killed.was_killed() {
                    break;
                }
                kills += 1;
            }
        }
    }
    assert!(kills > 50, "{kills} kills");
}

async fn check(fixture: &Fixture, wanted: Option<Compiled>) {
    let binding = fixture.get(&owners()).await;
    assert_eq!(binding.is_some(), wanted.is_some());
    if let (Some(found), Some(wanted)) = (binding, wanted) {
        let objects = &wanted.content.objects;
        let wanted = objects
            .iter()
            .find(|object| object.reference == owners())
            .unwrap();
        assert_eq!(found["roleRef"], wanted.content["roleRef"]);
        assert_eq!(
            found["subjects"][0]["name"],
            wanted.content["subjects"][0]["name"]
        );
    }
    assert!(fixture.get(&temporary_reference(&owners())).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_only_verified_content_is_repaired() {
    let fixture = Fixture::start().await;
    let engine = fixture.engine().await;
    assert!(
        engine
            .bring(target("team", 1, Some(team("reader", "bob"))))
            .await
            .is_applied()
    );
    engine.close_all().await;

    let engine = Engine::new(fixture.api.clone());
    let loaded = engine.load().await.unwrap();
    assert_eq!(loaded.policies[0].signed, b"signed 1");
    assert!(loaded.policies[0].record.done);
    fixture.delete(&owners()).await;
    assert!(
        engine.retry(&policy("team")).await.is_none(),
        "its content is not verified yet"
    );
    let other = team("reader", "mallory");
    assert!(
        engine
            .restore(&policy("team"), other.hash, other.content)
            .await
            .is_err()
    );
    let same = team("reader", "bob");
    engine
        .restore(&policy("team"), same.hash, same.content)
        .await
        .unwrap();
    let repair = engine.retry(&policy("team")).await.unwrap();
    assert!(
        repair.outcome.is_applied() && repair.drift[0].reference == owners(),
        "{repair:?}"
    );

    fixture
        .edit(
            &mirror("team"),
            serde_json::json!({"status": {"record": {"feed": "nowhere"}}}),
        )
        .await;
    let engine = Engine::new(fixture.api.clone());
    assert_eq!(engine.load().await.unwrap().unreadable.len(), 1);
    let refused = engine.bring(target("team", 2, None)).await;
    assert!(
        !refused.is_applied() && fixture.get(&owners()).await.is_some(),
        "{refused:?}"
    );
}
