//! A stream as publishers read it.

use tokio::time::timeout;
use writ_bus::{
    connection::Error as BusError,
    live,
    log::{self, Entry, Error, Tail},
    streams::{self, Stream},
};

use crate::harness::{Bus, DEADLINE, batch_of, commit};

/// What comes next but for gaps, which no test makes for sure.
async fn next(tail: &mut Tail) -> Entry {
    loop {
        let entry = timeout(DEADLINE, tail.next()).await.expect("no entry");
        let entry = entry.unwrap().unwrap();
        if entry != Entry::Gap {
            return entry;
        }
    }
}

/// The messages up to the next mark, as (subject, sequence).
async fn up_to_mark(tail: &mut Tail) -> Vec<(String, u64)> {
    let mut messages = Vec::new();
    loop {
        match next(tail).await {
            Entry::Message(stored) => messages.push((stored.subject.to_string(), stored.sequence)),
            Entry::CaughtUp => return messages,
            Entry::Gap => {}
        }
    }
}

#[tokio::test]
async fn an_empty_log_is_caught_up_at_once() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let mut tail = log::follow(&publisher, Stream::Log).await.unwrap();
    assert_eq!(next(&mut tail).await, Entry::CaughtUp);
    commit(&publisher, &batch_of(&["writ.intent.policy.a"], "1", 0)).await;
    for sequence in [1, 2] {
        let Entry::Message(stored) = next(&mut tail).await else {
            panic!("not a message")
        };
        assert_eq!(stored.sequence, sequence);
    }
}

#[tokio::test]
async fn the_newest_of_each_subject_comes_first_then_the_mark_then_everything() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let mut root = 0;
    for mark in ["1", "2", "3"] {
        root = commit(&publisher, &batch_of(&["writ.intent.policy.a"], mark, root)).await;
    }
    let mut tail = log::follow(&publisher, Stream::Log).await.unwrap();
    let newest = [
        ("writ.intent.policy.a".to_owned(), 5),
        ("writ.root".to_owned(), 6),
    ];
    assert_eq!(up_to_mark(&mut tail).await, newest);
    for mark in ["4", "5"] {
        root = commit(&publisher, &batch_of(&["writ.intent.policy.a"], mark, root)).await;
    }
    for sequence in 7..=10 {
        let Entry::Message(stored) = next(&mut tail).await else {
            panic!("not a message")
        };
        assert_eq!(stored.sequence, sequence);
    }
}

#[tokio::test]
async fn more_than_one_request_can_hold_comes_whole() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let names: Vec<_> = (0..999)
        .map(|number| format!("writ.event.policy.eu.prod.p{number}"))
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut root = commit(&publisher, &batch_of(&names, "1", 0)).await;
    let large = "x".repeat(900_000);
    for number in 0..12 {
        let subject = format!("writ.event.policy.eu.prod.large{number}");
        root = commit(&publisher, &batch_of(&[&subject], &large, root)).await;
    }
    let mut tail = log::follow(&publisher, Stream::Log).await.unwrap();
    let messages = up_to_mark(&mut tail).await;
    assert_eq!(messages.len(), 999 + 12 + 1);
    assert!(messages.is_sorted_by_key(|(_, sequence)| *sequence));
}

#[tokio::test]
async fn a_restart_of_the_server_neither_skips_nor_repeats_an_ack() {
    let mut bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let cluster = bus.cluster(&bus.eu).await;
    let mut tail = log::follow(&publisher, Stream::Acks).await.unwrap();
    assert_eq!(next(&mut tail).await, Entry::CaughtUp);
    live::publish_ack(&cluster, &bus.eu.sender, "1".into())
        .await
        .unwrap();
    let Entry::Message(stored) = next(&mut tail).await else {
        panic!("not a message")
    };
    assert_eq!(stored.sequence, 1);

    bus.restart().await;
    let again = bus.cluster(&bus.eu).await;
    live::publish_ack(&again, &bus.eu.sender, "2".into())
        .await
        .unwrap();
    live::publish_ack(&again, &bus.eu.sender, "3".into())
        .await
        .unwrap();
    let mut sequences = Vec::new();
    while sequences.len() < 2 {
        if let Entry::Message(stored) = next(&mut tail).await {
            sequences.push(stored.sequence);
        }
    }
    assert_eq!(sequences, [2, 3]);
}

#[tokio::test]
async fn a_cluster_may_not_follow_the_log() {
    let bus = Bus::start().await;
    let result = log::follow(&bus.cluster(&bus.eu).await, Stream::Log).await;
    let Err(Error::Stream(streams::Error::Request { source, .. })) = result else {
        panic!("a cluster looks at the stream");
    };
    assert!(matches!(source, BusError::Denied(_)), "{source}");
}
