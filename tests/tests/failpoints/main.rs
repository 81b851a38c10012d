//! A publisher ends between every two steps of a commit. Afterwards the log is as it would have been
//! if the process had gone on or had never begun, and a client that repeats its request is answered
//! what is true.
//!
//! `cargo test -p writ-tests --features failpoints --test failpoints`.

use std::time::Duration;

use tokio::time::sleep;
use writ_bus::{read, streams::Stream};
use writ_core::subject::BusSubject;
use writ_proto::v1;
use writ_tests::{
    history::{self, Workload},
    hub::{Hub, Size, policy, until},
};

const WRIT: &str = env!("CARGO_BIN_EXE_writ-under-test");

/// A step, and whether a batch is in the log when the publisher ends there; nothing: either is right.
const STEPS: [(&str, Option<bool>); 6] = [
    ("taken", Some(false)),
    ("sealed", Some(false)),
    ("sending", None),
    ("stored", Some(true)),
    ("seen", Some(true)),
    ("answered", Some(true)),
];

fn request(name: &str) -> v1::ApplyRequest {
    v1::ApplyRequest {
        manifest: policy(name, "devs").to_string(),
        request_id: format!("request-{name}"),
        base_generation: Some(0),
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_in_the_log_or_not_and_its_request_is_answered_what_is_true() {
    let mut hub = Hub::start_without_publishers(WRIT, Size::of(1, 2)).await;
    hub.start_publisher(1).await;
    let reader = hub.reader().await;
    let mut stored = 0;
    for (step, is_stored) in STEPS {
        hub.start_publisher_with(0, Some(step)).await;
        let answer = hub.policies(0).apply(request(step)).await;
        // The answer may still have left the process that ended right after it.
        assert!(answer.is_err() || step == "answered", "{step}: {answer:?}");
        hub.publisher(0).wait().await;

        let root = read::last_by_subject(&reader, Stream::Log, &BusSubject::Root);
        let sequence = root.await.unwrap().map_or(0, |root| root.sequence);
        if let Some(is_stored) = is_stored {
            assert_eq!(sequence > stored, is_stored, "{step}");
        }
        // Through the other publisher at once, and through the one that was started again.
        let other = hub
            .policies(1)
            .apply(request(step))
            .await
            .unwrap()
            .into_inner();
        hub.start_publisher(0).await;
        let own = hub
            .policies(0)
            .apply(request(step))
            .await
            .unwrap()
            .into_inner();
        assert_eq!((other.generation, other.unchanged), (1, false), "{step}");
        assert_eq!(
            (own.generation, own.revision),
            (1, other.revision),
            "{step}"
        );
        hub.kill_publisher(0).await;
        let root = read::last_by_subject(&reader, Stream::Log, &BusSubject::Root);
        stored = root.await.unwrap().unwrap().sequence;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_several_edits_survive_an_end_at_every_step() {
    for (step, _) in STEPS {
        let mut hub = Hub::start_without_publishers(WRIT, Size::of(1, 2)).await;
        hub.start_publisher(1).await;
        let times = rand::random_range(2..20);
        hub.start_publisher_with(0, Some(&format!("{step}:{times}")))
            .await;
        let workload = Workload::start(&hub, 2, 12);
        hub.publisher(0).wait().await;
        sleep(Duration::from_millis(300)).await;
        hub.start_publisher(0).await;
        let mut acks = hub.acks(0);
        until("the publisher that was started again answers", async || {
            let request = v1::StatusRequest::default();
            acks.get_status(request).await.ok()
        })
        .await;
        let made = workload.end().await;
        let report = history::check(&made, &hub.reader().await, &hub.trusted()).await;
        println!("ended at {step}, the {times}th time: {report}");
        report.assert_all_holds();
        assert_eq!(report.unknown, 0);
        assert!(report.committed > 20, "{report}");
    }
}
