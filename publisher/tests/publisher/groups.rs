//! Group commit: what waits is committed together, and each edit is answered as if it were alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use tokio::task::JoinSet;
use tonic::Code;
use writ_bus::{Client, accounts, read, streams::Stream};
use writ_core::{
    edit::Intent,
    envelope::Keyring,
    event::Event,
    name::Name,
    root::{EDITS_MAX, Root},
    scope::{Feed, Kind},
    subject::BusSubject,
};
use writ_proto::{log, v1};

use crate::{
    fake::{add, apply, cluster, policy},
    fleet::{Fleet, connect, signing_key},
};

/// What the log keeps of a subject, oldest first, with the places in the stream.
async fn kept<T: log::Payload>(client: &Client, subject: &BusSubject) -> Vec<(u64, T)> {
    let trusted = Keyring::new([signing_key().public()]);
    let (mut after, mut found) = (0, Vec::new());
    loop {
        let next = read::next_by_subject(client, Stream::Log, subject, after);
        let Some(stored) = next.await.unwrap() else {
            return found;
        };
        after = stored.sequence;
        let opened = log::open::<T>(subject, &stored.bytes, &trusted).unwrap();
        found.push((after, opened.value));
    }
}

/// Reads the log as a publisher.
async fn reader(fleet: &Fleet) -> Client {
    let inbox = accounts::publisher_inbox(&Name::parse("publisher-1").unwrap());
    connect(&fleet.url, fleet.publisher_login(), inbox)
        .await
        .unwrap()
}

/// Sends edits at once; the answers by name.
async fn submit_all(
    fleet: &Fleet,
    requests: Vec<(String, v1::ApplyRequest)>,
) -> BTreeMap<String, Result<v1::EditResponse, tonic::Status>> {
    let policies = fleet.policies();
    let mut edits = JoinSet::new();
    for (name, request) in requests {
        let mut policies = policies.clone();
        edits.spawn(async move { (name, policies.apply(request).await.map(|a| a.into_inner())) });
    }
    edits.join_all().await.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_committed_together_and_each_feed_continues_edit_by_edit() {
    const EDITS: usize = 200;
    let fleet = Fleet::start().await;
    let names = (0..EDITS).map(|number| format!("p{number}"));
    let requests = names.map(|name| (name.clone(), apply(&policy(&name, "devs"))));
    let answers = submit_all(&fleet, requests.collect()).await;
    let number = |answer: &Result<v1::EditResponse, _>| {
        let answer = answer.as_ref().unwrap();
        answer.revision.unwrap().number
    };
    let revisions: BTreeSet<u64> = answers.values().map(number).collect();
    assert_eq!(revisions, (1..=EDITS as u64).collect());

    let client = reader(&fleet).await;
    let roots: Vec<(u64, Root)> = kept(&client, &BusSubject::Root).await;
    assert!(
        roots.len() * 2 < EDITS,
        "{} batches for {EDITS} edits",
        roots.len()
    );
    let mut next = 1;
    for (place, root) in &roots {
        assert!(root.edits.len() <= EDITS_MAX);
        for edit in &root.edits {
            assert_eq!(edit.revision.number, next, "at {place}");
            next += 1;
        }
        assert_eq!(root.revision.number, next - 1);
    }
    assert_eq!(next - 1, EDITS as u64);

    let feed: Feed = "policy.eu.all".parse().unwrap();
    let mut events = BTreeMap::new();
    for name in answers.keys() {
        let name = Name::parse(name).unwrap();
        let subject = BusSubject::Event {
            feed: feed.clone(),
            name,
        };
        for (place, event) in kept::<Event>(&client, &subject).await {
            events.insert(place, event);
        }
    }
    // The feed is empty, and as old as the edit before its first.
    let mut previous = 0;
    for event in events.values() {
        assert_eq!(event.previous.number, previous);
        previous = event.revision.number;
    }
    assert_eq!(events.len(), EDITS);
    let last = events.values().last().unwrap();
    assert_eq!(roots.last().unwrap().1.feeds[&feed].digest, last.digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_edit_spoils_none_of_those_that_are_committed_with_it() {
    const EDITS: usize = 120;
    let fleet = Fleet::start().await;
    fleet
        .clusters()
        .add(add(&cluster("eu-prod-1")))
        .await
        .unwrap();
    let object = |name: &str| {
        let mut manifest = policy(name, "devs");
        manifest["spec"]["objects"] = json!([{
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "contested"},
        }]);
        manifest
    };
    let requests = (0..EDITS).map(|number| {
        let name = format!("p{number}");
        let mut request = apply(&policy(&name, "devs"));
        match number % 10 {
            // Made from a generation that is not there.
            3 => request.base_generation = Some(7),
            // All claim one object: the first one gets it.
            5 => request.manifest = object(&name).to_string(),
            _ => {}
        }
        (name, request)
    });
    let answers = submit_all(&fleet, requests.collect()).await;
    let mut winners = 0;
    for (name, answer) in &answers {
        let number: usize = name[1..].parse().unwrap();
        match (number % 10, answer.as_ref().map_err(tonic::Status::code)) {
            (3, answer) => assert_eq!(answer.unwrap_err(), Code::Aborted),
            (5, Ok(_)) => winners += 1,
            (5, Err(code)) => assert_eq!(code, Code::FailedPrecondition, "{answer:?}"),
            (_, answer) => assert_eq!(answer.unwrap().generation, 1),
        }
    }
    assert_eq!(winners, 1);
    let request = v1::ListRequest {
        page_size: 500,
        ..Default::default()
    };
    let listed = fleet.policies().list(request).await.unwrap().into_inner();
    let landed = answers.values().filter(|answer| answer.is_ok()).count();
    assert_eq!(listed.policies.len(), landed);
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_of_one_name_that_come_at_once_are_made_one_after_the_other() {
    const EDITS: u64 = 30;
    let fleet = Fleet::start().await;
    let mut edits = JoinSet::new();
    for number in 0..EDITS {
        let mut policies = fleet.policies();
        edits.spawn(async move {
            let mut request = apply(&policy("payments", &format!("group-{number}")));
            // Half of them would only be made from the first generation: one of these can be.
            request.base_generation = (number % 2 == 0).then_some(0);
            policies
                .apply(request)
                .await
                .map(|answer| answer.into_inner())
        });
    }
    let answers = edits.join_all().await;
    let generation = |answer: &Result<v1::EditResponse, tonic::Status>| match answer {
        Ok(answer) => Some(answer.generation),
        Err(status) => {
            assert_eq!(status.code(), Code::Aborted, "{status}");
            None
        }
    };
    let made: BTreeSet<u64> = answers.iter().filter_map(generation).collect();
    let count = answers.iter().filter(|answer| answer.is_ok()).count() as u64;
    assert_eq!(
        made,
        (1..=count).collect(),
        "each has a generation of its own"
    );
    assert!((EDITS / 2..=EDITS / 2 + 1).contains(&count));

    let client = reader(&fleet).await;
    let subject = BusSubject::Intent {
        kind: Kind::Policy.into(),
        name: Name::parse("payments").unwrap(),
    };
    let intents: Vec<(u64, Intent)> = kept(&client, &subject).await;
    let places: Vec<u64> = intents.iter().map(|(_, of)| of.generation.0).collect();
    assert_eq!(places, (1..=count).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_comes_twice_at_once_is_made_once() {
    let fleet = Fleet::start().await;
    let mut edits = JoinSet::new();
    for number in 0..40 {
        let mut policies = fleet.policies();
        let name = format!("p{}", number % 4);
        let mut request = apply(&policy(&name, "devs"));
        request.request_id = format!("req-{name}");
        request.base_generation = Some(0);
        edits.spawn(async move { policies.apply(request).await.unwrap().into_inner() });
    }
    for answer in edits.join_all().await {
        assert_eq!((answer.generation, answer.unchanged), (1, false));
    }
    let client = reader(&fleet).await;
    let roots: Vec<(u64, Root)> = kept(&client, &BusSubject::Root).await;
    let made: usize = roots.iter().map(|(_, root)| root.edits.len()).sum();
    assert_eq!(made, 4);
}
