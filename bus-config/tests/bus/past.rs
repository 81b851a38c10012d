//! What the log held at an earlier place.

use std::collections::BTreeMap;

use writ_bus::{connection::Error, past, past::Place};

use crate::harness::{Bus, batch_of, commit, subject};

async fn at(client: &writ_bus::Client, names: &[&str], place: &Place) -> BTreeMap<String, String> {
    let subjects: Vec<_> = names.iter().map(|name| subject(name)).collect();
    let mut found = BTreeMap::new();
    past::newest_up_to(client, &subjects, place, |stored| {
        let text = String::from_utf8(stored.bytes.to_vec()).unwrap();
        found.insert(stored.subject.to_string(), text);
    })
    .await
    .unwrap();
    found
}

#[tokio::test]
async fn the_newest_up_to_a_place_is_read_and_the_next_intent_is_found() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let (a, b, c) = (
        "writ.intent.policy.a",
        "writ.intent.policy.b",
        "writ.intent.policy.c",
    );
    let first = commit(&publisher, &batch_of(&[a, b], "1", 0)).await;
    let second = commit(&publisher, &batch_of(&[a], "2", first)).await;
    commit(&publisher, &batch_of(&[a, c], "3", second)).await;

    let next = past::next_intent(&publisher, first).await.unwrap().unwrap();
    assert_eq!(
        (next.subject.to_string().as_str(), next.sequence),
        (a, first + 1)
    );
    let place = Place {
        sequence: next.sequence,
        subject: next.subject,
    };
    let found = at(&publisher, &[a, b, c], &place).await;
    let expected = [(a, format!("{a} 2")), (b, format!("{b} 1"))];
    assert_eq!(
        found,
        expected.map(|(name, text)| (name.to_owned(), text)).into()
    );
    // The message at the place is asked for in any case, and handed on only where it was asked for.
    let found = at(&publisher, &[b, c], &place).await;
    assert_eq!(found.into_keys().collect::<Vec<_>>(), [b]);
    let last = past::next_intent(&publisher, second + 2).await.unwrap();
    assert_eq!(last, None);
}

#[tokio::test]
async fn messages_of_several_pages_are_read_whole() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let names: Vec<String> = (0..past::SUBJECTS_MAX)
        .map(|number| format!("writ.intent.policy.p{number}"))
        .collect();
    let texts: Vec<&str> = names.iter().map(String::as_str).collect();
    // 64 messages of 200 kB are three pages and more.
    let large = "x".repeat(200_000);
    let end = commit(&publisher, &batch_of(&texts, &large, 0)).await;
    let place = Place {
        sequence: end - 1,
        subject: subject(texts[past::SUBJECTS_MAX - 1]),
    };
    let found = at(&publisher, &texts, &place).await;
    assert_eq!(found.len(), past::SUBJECTS_MAX);
    assert!(
        found
            .iter()
            .all(|(name, text)| *text == format!("{name} {large}"))
    );
}

#[tokio::test]
async fn an_answer_without_the_message_at_the_place_is_no_answer() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let a = "writ.intent.policy.a";
    let end = commit(&publisher, &batch_of(&[a], "1", 0)).await;
    // As a replica sees it that has not got there.
    let place = Place {
        sequence: end + 10,
        subject: subject("writ.intent.policy.b"),
    };
    let read = past::newest_up_to(&publisher, &[subject(a)], &place, |_| {}).await;
    assert!(matches!(read, Err(Error::Answer { .. })), "{read:?}");
}

#[tokio::test]
async fn no_cluster_reads_in_the_batch_form() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let event = "writ.event.policy.eu.prod.a";
    commit(&publisher, &batch_of(&[event], "1", 0)).await;
    let cluster = bus.cluster(&bus.eu).await;
    let place = Place {
        sequence: 1,
        subject: subject(event),
    };
    let read = past::newest_up_to(&cluster, &[subject(event)], &place, |_| {}).await;
    assert!(matches!(read, Err(Error::Denied(_))), "{read:?}");
}
