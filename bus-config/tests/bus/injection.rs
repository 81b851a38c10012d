//! The server does not check the permission of a reply subject. None of the answers that a cluster
//! can have sent may get into the streams, or into what publishers hear.

use tokio::time::timeout;
use writ_bus::{
    live::{self, Signal},
    log::{self, Entry},
    read::{self, Via},
    streams::Stream,
};

use crate::harness::{Bus, DEADLINE, batch_of, commit, listen, next_message, subject};

/// Where a cluster would like its answers to be stored or heard.
const TARGETS: [&str; 9] = [
    "writ.intent.policy.a",
    "writ.event.policy.eu.prod.a",
    "writ.index.policy.eu.prod",
    "writ.base.policy.eu.prod",
    "writ.root",
    "writ.ack.us.stage.us-1",
    "writ.pulse.us.stage.us-1",
    "writ.live.beat",
    "$JS.API.STREAM.PURGE.WRIT",
];

#[tokio::test]
async fn answers_to_a_clusters_requests_do_not_get_into_the_streams() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let last = commit(&publisher, &batch_of(&TARGETS[..4], "genuine", 0)).await;
    let mut heard = live::listen_as_publisher(&publisher).await.unwrap();
    read::get(&publisher, &subject("writ.root"), Via::Near)
        .await
        .unwrap();

    let plain = bus.plain(&bus.eu.login, "_INBOX.eu.eu-1").await;
    let mut acks = 0;
    for target in TARGETS {
        for request in [
            "$JS.API.DIRECT.GET.WRIT.writ.root",
            "$JS.hub.API.DIRECT.GET.WRIT.writ.root",
            "$JS.API.DIRECT.GET.WRIT.writ.event.policy.eu.prod.a",
            "writ.ack.eu.prod.eu-1",
            "writ.pulse.eu.prod.eu-1",
        ] {
            plain
                .client
                .publish_with_reply(request, target, "".into())
                .await
                .unwrap();
            acks += u64::from(request.starts_with("writ.ack"));
        }
    }
    // A request of its own, answered after all of the above were taken in.
    plain
        .client
        .request("$JS.API.DIRECT.GET.WRIT.writ.root", "".into())
        .await
        .unwrap();
    let own = live::publish_ack(&bus.cluster(&bus.eu).await, &bus.eu.sender, "own".into())
        .await
        .unwrap();
    assert_eq!(
        own,
        acks + 1,
        "the cluster's own acks are all that was stored"
    );

    let next = commit(&publisher, &batch_of(&[], "genuine", last)).await;
    assert_eq!(next, last + 1, "nothing got into the log in between");
    let other = subject("writ.ack.us.stage.us-1");
    assert_eq!(
        read::last_by_subject(&publisher, Stream::Acks, &other)
            .await
            .unwrap(),
        None
    );

    // What publishers hear is the cluster's own pulses, one for each target, and then the true beat.
    live::publish_beat(&publisher, "true".into()).await.unwrap();
    for _ in TARGETS {
        assert_eq!(next_message(&mut heard).await.0, "writ.pulse.eu.prod.eu-1");
    }
    assert_eq!(
        next_message(&mut heard).await,
        ("writ.live.beat".to_owned(), "true".to_owned())
    );
}

#[tokio::test]
async fn a_publisher_that_follows_the_acks_sees_none_injected() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    commit(&publisher, &batch_of(&[], "1", 0)).await;
    let mut tail = log::follow(&publisher, Stream::Acks).await.unwrap();
    assert!(matches!(
        timeout(DEADLINE, tail.next()).await,
        Ok(Some(Ok(Entry::CaughtUp)))
    ));
    let plain = bus.plain(&bus.eu.login, "_INBOX.eu.eu-1").await;
    for _ in 0..64 {
        plain
            .client
            .publish_with_reply(
                "$JS.API.DIRECT.GET.WRIT.writ.root",
                "writ.ack.us.stage.us-1",
                "".into(),
            )
            .await
            .unwrap();
    }
    plain
        .client
        .request("$JS.API.DIRECT.GET.WRIT.writ.root", "".into())
        .await
        .unwrap();
    live::publish_ack(&bus.cluster(&bus.us).await, &bus.us.sender, "true".into())
        .await
        .unwrap();
    match timeout(DEADLINE, tail.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap()
    {
        Entry::Message(stored) => {
            assert_eq!((stored.sequence, &stored.bytes[..]), (1, &b"true"[..]))
        }
        other => panic!("{other:?}"),
    }
}

/// What stays possible, and is met by signatures and revisions: an old genuine message, heard again
/// within the clusters' own account.
#[tokio::test]
async fn what_a_cluster_can_inject_into_live_feeds_is_genuine_and_stays_among_clusters() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    commit(
        &publisher,
        &batch_of(&["writ.event.policy.eu.prod.a"], "genuine", 0),
    )
    .await;
    let other = bus.cluster(&bus.us).await;
    let sender = &bus.us.sender;
    let mut heard = listen(&other, sender).await;
    let plain = bus.plain(&bus.eu.login, "_INBOX.eu.eu-1").await;
    plain
        .client
        .publish_with_reply(
            "$JS.API.DIRECT.GET.WRIT.writ.event.policy.eu.prod.a",
            "writ.live.policy.all.all.a",
            "".into(),
        )
        .await
        .unwrap();
    match timeout(DEADLINE, heard.next()).await.unwrap().unwrap() {
        Signal::Message { bytes, .. } => {
            assert_eq!(bytes, "writ.event.policy.eu.prod.a genuine");
        }
        other => panic!("{other:?}"),
    }
}
