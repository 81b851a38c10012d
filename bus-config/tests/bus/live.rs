//! Live messages, beats, pulses and acks.

use std::time::Duration;

use tokio::time::timeout;
use writ_bus::{
    live::{self, Signal},
    read::{self, Via},
    streams::Stream,
};
use writ_core::subject::BusSubject;

use crate::harness::{Bus, DEADLINE, batch_of, commit, next_message, subject};

#[tokio::test]
async fn a_cluster_hears_committed_events_of_its_four_scopes_and_the_beat() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let cluster = bus.cluster(&bus.eu).await;
    let mut heard = live::listen_as_cluster(&cluster, &bus.eu.sender.region, &bus.eu.sender.stage)
        .await
        .unwrap();
    // The answer to a later request on the same connection: the server has the subscriptions.
    read::get(&cluster, &subject("writ.root"), Via::Near)
        .await
        .unwrap();

    let mine = [
        "writ.event.policy.eu.prod.a",
        "writ.event.cluster.eu.all.a",
        "writ.event.policy.all.prod.a",
        "writ.event.cluster.all.all.a",
    ];
    let others = [
        "writ.event.policy.us.prod.a",
        "writ.event.policy.eu.stage.a",
        "writ.event.policy.us.all.a",
        "writ.index.policy.eu.prod",
        "writ.intent.policy.a",
    ];
    let all: Vec<_> = others.iter().chain(&mine).copied().collect();
    commit(&publisher, &batch_of(&all, "1", 0)).await;
    live::publish_beat(&publisher, "beat".into()).await.unwrap();

    let mut received = Vec::new();
    for _ in 0..5 {
        received.push(next_message(&mut heard).await);
    }
    received.sort();
    let mut expected: Vec<_> = mine
        .iter()
        .map(|text| (text.replace("writ.event", "writ.live"), format!("{text} 1")))
        .chain([("writ.live.beat".to_owned(), "beat".to_owned())])
        .collect();
    expected.sort();
    assert_eq!(received, expected);
}

#[tokio::test]
async fn publishers_hear_pulses_and_each_others_beats() {
    let bus = Bus::start().await;
    let (one, two) = (bus.publisher().await, bus.publisher().await);
    let mut heard = live::listen_as_publisher(&one).await.unwrap();
    read::get(&one, &subject("writ.root"), Via::Near)
        .await
        .unwrap();
    let cluster = bus.cluster(&bus.eu).await;
    live::publish_pulse(&cluster, &bus.eu.sender, "alive".into())
        .await
        .unwrap();
    let expected = ("writ.pulse.eu.prod.eu-1".to_owned(), "alive".to_owned());
    assert_eq!(next_message(&mut heard).await, expected);
    live::publish_beat(&two, "beat".into()).await.unwrap();
    assert_eq!(
        next_message(&mut heard).await,
        ("writ.live.beat".to_owned(), "beat".to_owned())
    );
}

#[tokio::test]
async fn an_ack_is_stored_before_it_counts_as_sent() {
    let bus = Bus::start().await;
    let cluster = bus.cluster(&bus.us).await;
    let sequence = live::publish_ack(&cluster, &bus.us.sender, "applied".into())
        .await
        .unwrap();
    let ack = BusSubject::Ack(bus.us.sender.clone());
    let stored = read::last_by_subject(&bus.publisher().await, Stream::Acks, &ack)
        .await
        .unwrap();
    let stored = stored.unwrap();
    assert_eq!(
        (stored.sequence, &stored.bytes[..]),
        (sequence, b"applied".as_slice())
    );
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_told_of_the_gap() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let cluster = bus.cluster(&bus.eu).await;
    let mut heard = live::listen_as_cluster(&cluster, &bus.eu.sender.region, &bus.eu.sender.stage)
        .await
        .unwrap();
    read::get(&cluster, &subject("writ.root"), Via::Near)
        .await
        .unwrap();
    let flood = 3 * writ_bus::batch::MESSAGES_MAX;
    for _ in 0..flood {
        live::publish_beat(&publisher, "beat".into()).await.unwrap();
    }
    publisher.flush().await;
    let mut received = 0;
    loop {
        match timeout(DEADLINE, heard.next())
            .await
            .expect("neither message nor gap")
            .unwrap()
        {
            Signal::Gap => break,
            Signal::Message { .. } => received += 1,
            other => panic!("{other:?}"),
        }
        // The flood is on its way; a reader that waits between messages falls behind it.
        if received < 100 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert!(
        received < flood,
        "nothing was lost and yet a gap was reported"
    );
}

#[tokio::test]
async fn a_lost_connection_is_a_gap_and_then_messages_come_again() {
    let mut bus = Bus::start().await;
    let cluster = bus.cluster(&bus.eu).await;
    let mut heard = live::listen_as_cluster(&cluster, &bus.eu.sender.region, &bus.eu.sender.stage)
        .await
        .unwrap();
    bus.restart().await;
    let signal = timeout(DEADLINE, heard.next())
        .await
        .expect("no gap")
        .unwrap();
    assert_eq!(signal, Signal::Gap);
    read::get(&cluster, &subject("writ.root"), Via::Near)
        .await
        .unwrap();
    commit(
        &bus.publisher().await,
        &batch_of(&["writ.event.policy.eu.prod.a"], "1", 0),
    )
    .await;
    assert_eq!(
        next_message(&mut heard).await.0,
        "writ.live.policy.eu.prod.a"
    );
}
