//! What others do to our objects is undone, and what we do ourselves is no event.

use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use writ_core::plan::Reason;
use writ_subscriber::drift::{self, Event};
use writ_subscriber::engine::Engine;
use writ_subscriber::kube_api::KubeApi;
use writ_subscriber::outcome::{Change, Repair, State};
use writ_subscriber::resource;

use crate::fixture::{Fixture, LIMIT, at, mirror, owners, policy, target, team};

/// A watch is quiet when nothing came for this long.
const QUIET: Duration = Duration::from_millis(300);

struct Watch {
    engine: Engine<KubeApi>,
    events: mpsc::Receiver<Event>,
    _stop: tokio_util::sync::DropGuard,
}

impl Watch {
    async fn start(fixture: &Fixture, engine: Engine<KubeApi>) -> Watch {
        let (sender, events) = mpsc::channel(drift::EVENTS_WAITING_MAX);
        let stop = CancellationToken::new();
        tokio::spawn(drift::watch(
            fixture.api.client().clone(),
            sender,
            stop.clone(),
        ));
        let mut watch = Watch {
            engine,
            events,
            _stop: stop.drop_guard(),
        };
        let mut listed = 0;
        while listed < resource::watched().count() {
            let event = watch.next().await;
            listed += usize::from(matches!(event, Event::Listed { .. }));
            let repairs = watch.engine.handle(event).await;
            assert!(repairs.is_empty(), "{repairs:?}");
        }
        watch
    }

    async fn next(&mut self) -> Event {
        tokio::time::timeout(LIMIT, self.events.recv())
            .await
            .expect("an event")
            .unwrap()
    }

    /// The next repair; what comes after it until all is quiet must cause none.
    async fn repair(&mut self) -> Repair {
        let repair = loop {
            let event = self.next().await;
            if let Some(repair) = self.engine.handle(event).await.into_iter().next() {
                break repair;
            }
        };
        self.quiet().await;
        repair
    }

    async fn quiet(&mut self) {
        while let Ok(Some(event)) = tokio::time::timeout(QUIET, self.events.recv()).await {
            let repairs = self.engine.handle(event).await;
            assert!(repairs.is_empty(), "{repairs:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_by_hand_is_put_back() {
    let fixture = Fixture::start().await;
    let engine = fixture.engine().await;
    assert!(
        engine
            .bring(target("team", 1, Some(team("writer", "bob"))))
            .await
            .is_applied()
    );
    let mut watch = Watch::start(&fixture, engine.clone()).await;

    fixture.delete(&owners()).await;
    let repair = watch.repair().await;
    assert_eq!(repair.drift[0].change, Change::Deleted);
    assert!(repair.outcome.is_applied() && fixture.get(&owners()).await.is_some());

    let eve = json!({"kind": "User", "name": "eve", "apiGroup": "rbac.authorization.k8s.io"});
    fixture.edit(&owners(), json!({"subjects": [eve]})).await;
    let repair = watch.repair().await;
    assert_eq!(repair.drift[0].change, Change::Changed);
    assert_eq!(repair.drift[0].manager.as_deref(), Some("by-hand"));
    assert_eq!(
        fixture.get(&owners()).await.unwrap()["subjects"][0]["name"],
        "bob"
    );

    fixture
        .edit(&owners(), json!({"metadata": {"labels": null}}))
        .await;
    assert_eq!(watch.repair().await.drift[0].reference, owners());
    let labels = fixture.get(&owners()).await.unwrap()["metadata"]["labels"].clone();
    assert_eq!(labels["writ.dev/policy"], "team");

    let own = engine
        .bring(target("team", 2, Some(team("writer", "carl"))))
        .await;
    assert!(own.is_applied());
    watch.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_is_put_back_as_it_was() {
    let fixture = Fixture::start().await;
    let engine = fixture.engine().await;
    assert!(
        engine
            .bring(target("team", 1, Some(team("writer", "bob"))))
            .await
            .is_applied()
    );
    let mut watch = Watch::start(&fixture, engine).await;
    let tampered =
        json!({"spec": {"objects": []}, "status": {"state": "Hacked", "signed": "AAAA"}});
    fixture.edit(&mirror("team"), tampered).await;
    watch.quiet().await;
    let found = fixture.get(&mirror("team")).await.unwrap();
    assert_eq!(found["status"]["state"], "Applied");
    assert_eq!(found["spec"]["objects"].as_array().unwrap().len(), 5);
    fixture.delete(&mirror("team")).await;
    watch.quiet().await;
    let found = fixture.get(&mirror("team")).await.unwrap();
    assert_eq!(
        found["status"]["record"]["objects"]
            .as_array()
            .unwrap()
            .len(),
        5
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_was_deleted_comes_back_with_all_that_was_in_it() {
    let fixture = Fixture::start().await;
    let engine = fixture.engine().await;
    assert!(
        engine
            .bring(target("team", 1, Some(team("writer", "bob"))))
            .await
            .is_applied()
    );
    let mut watch = Watch::start(&fixture, engine.clone()).await;
    let namespace = at("Namespace", None, "payments");
    let before = fixture.get(&namespace).await.unwrap();
    // What holds the namespace makes it terminate for as long as the test wants to look at that.
    let held = at("ServiceAccount", Some("payments"), "held");
    let finalizers = json!(["tests.writ.dev/hold"]);
    let content = json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "held", "namespace": "payments", "finalizers": finalizers},
    });
    fixture.create(&held, &content).await;
    fixture.delete(&namespace).await;
    let whole = async {
        loop {
            let event = tokio::time::timeout(QUIET, watch.events.recv()).await;
            let mut repairs = match event {
                Ok(event) => engine.handle(event.unwrap()).await,
                Err(_) => Vec::new(),
            };
            // What is pending is tried again, as the subscriber's loop does.
            for pending in engine.unsettled().await {
                repairs.extend(engine.retry(&pending).await);
            }
            let reached: Vec<State> = repairs.iter().map(|repair| repair.outcome.state).collect();
            // Asked of the engine: a turn that only confirmed the last object reports nothing.
            let is_held = fixture.get(&held).await.is_some();
            if engine.unsettled().await.is_empty() && !is_held {
                return;
            }
            if reached.contains(&State::Pending(Reason::NamespaceTerminating)) && is_held {
                let released = json!({"metadata": {"finalizers": null}});
                fixture.edit(&held, released).await;
            }
        }
    };
    tokio::time::timeout(LIMIT, whole)
        .await
        .expect("the namespace comes back");
    let after = fixture.get(&namespace).await.unwrap();
    assert_ne!(before["metadata"]["uid"], after["metadata"]["uid"]);
    assert!(fixture.get(&owners()).await.is_some());
    assert!(engine.record(&policy("team")).await.unwrap().done);
}
