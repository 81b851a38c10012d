//! What an edit costs the API server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::{Value, json};
use writ_core::model::ObjectRef;
use writ_subscriber::cluster::{ClusterApi, Deletion, Error, Expect, Identity, Written};
use writ_subscriber::engine::Engine;
use writ_subscriber::kube_api::KubeApi;
use writ_subscriber::resource::{Found, Resource};

use crate::fixture::{Compiled, Fixture, RBAC, compile, mirror, target, team, until};

const OBJECTS: usize = 1_000;

/// Counts what gets through.
#[derive(Clone)]
struct Counting {
    api: KubeApi,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    reads: AtomicUsize,
    objects: AtomicUsize,
    mirrors: AtomicUsize,
}

impl Counts {
    fn write(&self, at: &ObjectRef) {
        let kind = match at.kind.as_str() {
            "ClusterPolicy" => &self.mirrors,
            _ => &self.objects,
        };
        kind.fetch_add(1, Ordering::SeqCst);
    }

    /// Reads, writes of objects, writes of mirrors since the last time.
    fn take(&self) -> [usize; 3] {
        [&self.reads, &self.objects, &self.mirrors].map(|count| count.swap(0, Ordering::SeqCst))
    }
}

impl ClusterApi for Counting {
    async fn get(&self, at: &ObjectRef) -> Result<Option<Value>, Error> {
        self.counts.reads.fetch_add(1, Ordering::SeqCst);
        self.api.get(at).await
    }

    async fn find_kind(&self, at: &ObjectRef) -> Result<Option<Found>, Error> {
        self.counts.reads.fetch_add(1, Ordering::SeqCst);
        self.api.find_kind(at).await
    }

    async fn dry_run(&self, at: &ObjectRef, content: &Value) -> Result<Value, Error> {
        self.counts.reads.fetch_add(1, Ordering::SeqCst);
        self.api.dry_run(at, content).await
    }

    async fn list(&self, resource: Resource) -> Result<Vec<Value>, Error> {
        self.counts.reads.fetch_add(1, Ordering::SeqCst);
        self.api.list(resource).await
    }

    async fn apply(
        &self,
        at: &ObjectRef,
        content: &Value,
        expect: Expect<'_>,
    ) -> Result<Written, Error> {
        self.counts.write(at);
        self.api.apply(at, content, expect).await
    }

    async fn delete(&self, at: &ObjectRef, identity: Identity<'_>) -> Result<Deletion, Error> {
        self.counts.write(at);
        self.api.delete(at, identity).await
    }

    async fn release(&self, at: &ObjectRef, identity: Identity<'_>) -> Result<Written, Error> {
        self.counts.write(at);
        self.api.release(at, identity).await
    }

    async fn replace(&self, at: &ObjectRef, content: &Value) -> Result<Written, Error> {
        self.counts.write(at);
        self.api.replace(at, content).await
    }
}

fn many(changed: &str) -> Compiled {
    let rules = |verb: &str| json!([{"apiGroups": [""], "resources": ["pods"], "verbs": [verb]}]);
    let roles: Vec<Value> = (0..OBJECTS)
        .map(|number| {
            let verb = if number == 500 { changed } else { "get" };
            let metadata = json!({"name": format!("role-{number}")});
            json!({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": metadata, "rules": rules(verb)})
        })
        .collect();
    compile("many", roles.into(), json!([]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_objects_of_which_one_changed_cost_one_write() {
    let fixture = Fixture::start().await;
    let counts = Arc::new(Counts::default());
    let engine = Engine::new(Counting {
        api: fixture.api.clone(),
        counts: counts.clone(),
    });
    engine.load().await.unwrap();
    let begin = Instant::now();
    let first = engine.bring(target("many", 1, Some(many("get")))).await;
    assert!(first.is_applied(), "{first:?}");
    println!("first apply of {OBJECTS} objects: {:?}", begin.elapsed());
    engine.close_all().await;
    assert_eq!(counts.take()[1..], [OBJECTS, 2]);

    let begin = Instant::now();
    let edit = engine.bring(target("many", 2, Some(many("list")))).await;
    assert!(edit.is_applied(), "{edit:?}");
    println!("one of {OBJECTS} changed: {:?}", begin.elapsed());
    engine.close_all().await;
    // The mirror says where it goes before, and that it got there after.
    assert_eq!(counts.take(), [0, 1, 2]);

    let again = engine.bring(target("many", 2, Some(many("list")))).await;
    assert!(again.is_applied());
    engine.close_all().await;
    assert_eq!(counts.take(), [0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_that_follow_one_another_share_the_write_that_they_were_done() {
    let fixture = Fixture::start().await;
    let counts = Arc::new(Counts::default());
    let engine = Engine::new(Counting {
        api: fixture.api.clone(),
        counts: counts.clone(),
    });
    engine.load().await.unwrap();
    for number in 1..=5 {
        let who = format!("user-{number}");
        let edit = engine
            .bring(target("team", number, Some(team("reader", &who))))
            .await;
        assert!(edit.is_applied(), "{edit:?}");
    }
    until("the mirror says that the last one is done", async || {
        let shown = fixture.get(&mirror("team")).await.unwrap();
        let record = &shown["status"]["record"];
        record["word"]["number"] == 5 && record["done"] == true
    })
    .await;
    // Each edit says where it goes; under load one may also have been closed in between.
    let [_, _, mirrors] = counts.take();
    assert!((6..=8).contains(&mirrors), "{mirrors} writes of the mirror");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_written_over_nothing_but_what_was_read() {
    let fixture = Fixture::start().await;
    let counts = Arc::new(Counts::default());
    let engine = Engine::new(Counting {
        api: fixture.api.clone(),
        counts: counts.clone(),
    });
    engine.load().await.unwrap();
    let first = engine
        .bring(target("team", 1, Some(team("reader", "bob"))))
        .await;
    assert!(first.is_applied(), "{first:?}");
    engine.close_all().await;
    let closed = fixture.get(&mirror("team")).await.unwrap();
    assert_eq!(closed["metadata"].get("managedFields"), None);

    // Nobody watches here, so that the engine meets it only when it writes.
    let by_hand = json!({"metadata": {"labels": {"by": "hand"}}});
    fixture.edit(&mirror("team"), by_hand).await;
    counts.take();
    let second = engine
        .bring(target("team", 2, Some(team("reader", "carl"))))
        .await;
    assert!(second.is_applied(), "{second:?}");
    let [_, objects, mirrors] = counts.take();
    assert_eq!((objects, mirrors), (1, 2), "refused once, then written");
    let shown = fixture.get(&mirror("team")).await.unwrap();
    assert_eq!(shown["metadata"]["labels"].get("by"), None);

    fixture.delete(&mirror("team")).await;
    let third = engine
        .bring(target("team", 3, Some(team("reader", "dora"))))
        .await;
    assert!(third.is_applied(), "{third:?}");
    assert!(fixture.get(&mirror("team")).await.is_some());
}
