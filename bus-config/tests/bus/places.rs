//! Places in traces travel beside what is signed, and garbage in their stead harms nobody.

use async_nats::HeaderMap;
use tokio::time::timeout;
use writ_bus::{
    live::{self, Signal},
    log::{self, Entry},
    read::{self, Via},
    streams::Stream,
};
use writ_core::{
    subject::BusSubject,
    trace::{HEADER, PLACES_MAX, TraceParent},
};

use crate::harness::{Bus, DEADLINE, batch_of, commit, listen, subject};

fn place(span: u8) -> TraceParent {
    TraceParent::new([7; 16], [span; 8], true).unwrap()
}

const EVENT: &str = "writ.event.policy.eu.prod.a";

#[tokio::test]
async fn an_events_place_reaches_who_hears_it_and_who_reads_it_later() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let cluster = bus.cluster(&bus.eu).await;
    let mut heard = listen(&cluster, &bus.eu.sender).await;
    let batch = batch_of(&[EVENT], "1", 0).traced(vec![Some(place(1)), None]);
    let root = commit(&publisher, &batch).await;
    let Some(Signal::Message { places, .. }) = timeout(DEADLINE, heard.next()).await.unwrap()
    else {
        panic!("no message");
    };
    assert_eq!(places, [place(1)]);
    let stored = read::get(&cluster, &subject(EVENT), Via::Near)
        .await
        .unwrap();
    assert_eq!(stored.unwrap().places, [place(1)]);

    // Where nobody traces there is no header.
    let untraced = batch_of(&[EVENT], "2", root);
    commit(&publisher, &untraced).await;
    let Some(Signal::Message { places, .. }) = timeout(DEADLINE, heard.next()).await.unwrap()
    else {
        panic!("no message");
    };
    assert!(places.is_empty());
    let plain = bus.plain_publisher().await;
    let raw = format!("$JS.API.DIRECT.GET.WRIT.{EVENT}");
    let raw = plain.client.request(raw, "".into()).await.unwrap();
    assert!(raw.headers.unwrap().get(HEADER).is_none());
}

#[tokio::test]
async fn an_ack_brings_the_places_of_its_edits_back_and_no_more_than_it_has_edits() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let cluster = bus.cluster(&bus.eu).await;
    let mut acks = log::follow(&publisher, Stream::Acks).await.unwrap();
    let many: Vec<_> = (1..=40).map(place).collect();
    live::publish_traced_ack(&cluster, &bus.eu.sender, "ack".into(), &many)
        .await
        .unwrap();
    let stored = loop {
        match timeout(DEADLINE, acks.next())
            .await
            .unwrap()
            .unwrap()
            .unwrap()
        {
            Entry::Message(stored) => break stored,
            Entry::CaughtUp | Entry::Gap => {}
        }
    };
    assert_eq!(stored.subject, BusSubject::Ack(bus.eu.sender.clone()));
    assert_eq!(stored.places, many[..PLACES_MAX]);
}

#[tokio::test]
async fn garbage_is_no_place_and_the_message_is_what_it_is() {
    let bus = Bus::start().await;
    let plain = bus.plain_publisher().await;
    let cluster = bus.cluster(&bus.eu).await;
    let mut heard = listen(&cluster, &bus.eu.sender).await;
    let good = place(0xab).to_string();
    for garbage in [
        "garbage".to_owned(),
        String::new(),
        good.to_uppercase(),
        good.replace("00-07", "01-07"),
        // The server stores no headers above 64 KiB.
        "0".repeat(60_000),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, garbage.as_str());
        let client = &plain.client;
        client
            .publish_with_headers(EVENT, headers, garbage.len().to_string().into())
            .await
            .unwrap();
        let Some(Signal::Message { bytes, places, .. }) =
            timeout(DEADLINE, heard.next()).await.unwrap()
        else {
            panic!("no message");
        };
        assert_eq!(bytes, garbage.len().to_string());
        assert!(places.is_empty(), "{places:?}");
        let stored = read::get(&cluster, &subject(EVENT), Via::Near)
            .await
            .unwrap();
        assert!(stored.unwrap().places.is_empty());
    }
}
