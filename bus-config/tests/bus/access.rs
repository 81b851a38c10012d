//! Who may do what: each permission works, and its neighbour is refused at once.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use writ_bus::{
    connection::{Denied, Error},
    live::{self, Signal},
    read::{self, Stored, Via},
    streams::Stream,
};
use writ_core::{name::Region, subject::BusSubject};

use crate::harness::{Bus, DEADLINE, batch_of, commit, subject};

const MINE: [&str; 7] = [
    "writ.event.policy.eu.prod.a",
    "writ.event.cluster.eu.all.a",
    "writ.event.policy.all.prod.a",
    "writ.event.cluster.all.all.a",
    "writ.index.policy.eu.prod",
    "writ.index.cluster.all.all",
    "writ.base.policy.all.prod",
];

const OTHERS: [&str; 6] = [
    "writ.event.policy.us.prod.a",
    "writ.event.policy.eu.stage.a",
    "writ.event.policy.us.all.a",
    "writ.index.policy.us.prod",
    "writ.base.policy.eu.stage",
    "writ.intent.policy.a",
];

fn denied<T: std::fmt::Debug>(result: Result<T, Error>) -> Denied {
    match result {
        Err(Error::Denied(denied)) => denied,
        other => panic!("not denied: {other:?}"),
    }
}

#[tokio::test]
async fn a_cluster_reads_its_scopes_and_the_root_near_and_at_the_hub() {
    let bus = Bus::start().await;
    let all: Vec<_> = MINE.iter().chain(&OTHERS).copied().collect();
    commit(&bus.publisher().await, &batch_of(&all, "1", 0)).await;
    let cluster = bus.cluster(&bus.eu).await;
    for via in [Via::Near, Via::Hub] {
        for text in MINE.iter().chain(&["writ.root"]) {
            let read = read::get(&cluster, &subject(text), via).await;
            let Ok(Some(Stored { bytes, .. })) = read else {
                panic!("{text} {via:?}: {read:?}")
            };
            assert_eq!(bytes, format!("{text} 1"));
        }
        let missing = subject("writ.event.policy.eu.prod.missing");
        assert_eq!(read::get(&cluster, &missing, via).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_cluster_reads_nothing_else_and_is_told_so_quickly() {
    let bus = Bus::start().await;
    commit(&bus.publisher().await, &batch_of(&OTHERS, "1", 0)).await;
    let cluster = bus.cluster(&bus.eu).await;
    let start = Instant::now();
    for via in [Via::Near, Via::Hub] {
        for text in OTHERS {
            let denied = denied(read::get(&cluster, &subject(text), via).await);
            assert!(denied.subject.ends_with(text), "{denied}");
        }
    }
    // Twelve denials, each of which would take five seconds if it timed out.
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_cluster_can_not_read_by_leader_batch_or_payload() {
    let bus = Bus::start().await;
    let all: Vec<_> = MINE.iter().chain(&OTHERS).copied().collect();
    commit(&bus.publisher().await, &batch_of(&all, "1", 0)).await;
    let cluster = bus.cluster(&bus.eu).await;
    denied(read::last_by_subject(&cluster, Stream::Log, &subject("writ.root")).await);

    let mut plain = bus.plain(&bus.eu.keys, "_INBOX.eu.eu-1").await;
    let requests = [
        ("$JS.API.DIRECT.GET.WRIT", r#"{"last_by_subj":"writ.root"}"#),
        ("$JS.API.DIRECT.GET.WRIT", r#"{"multi_last":["writ.>"]}"#),
        ("$JS.hub.API.DIRECT.GET.WRIT_ACKS", r#"{"seq":1}"#),
        ("$JS.API.STREAM.INFO.WRIT", ""),
        ("$JS.API.STREAM.NAMES", ""),
        ("$JS.API.INFO", ""),
        ("$JS.API.CONSUMER.CREATE.WRIT.x", "{}"),
        ("$JS.API.DIRECT.GET.WRIT_ACKS.writ.ack.eu.prod.eu-1", ""),
    ];
    for (subject, payload) in requests {
        plain
            .client
            .publish_with_reply(subject, "_INBOX.eu.eu-1.x", payload.into())
            .await
            .unwrap();
        // The hub judges what is asked of it under the plain API's name.
        let judged = subject.replace("$JS.hub.", "$JS.");
        let violation = plain.violation().await;
        assert!(
            violation.contains(&format!("\"{judged}\"")),
            "{subject}: {violation}"
        );
    }

    // The permission is for the subject of the request: a payload that asks for more is refused.
    let payloads = [
        r#"{"last_by_subj":"writ.intent.policy.a"}"#,
        r#"{"multi_last":["writ.>"]}"#,
        r#"{"batch":10,"next_by_subj":"writ.>"}"#,
        r#"{"seq":1}"#,
    ];
    for payload in payloads {
        let answer = plain
            .client
            .request("$JS.API.DIRECT.GET.WRIT.writ.root", payload.into())
            .await
            .unwrap();
        assert_eq!(
            answer.status.map(|status| status.as_u16()),
            Some(408),
            "{payload}"
        );
        assert!(answer.payload.is_empty());
    }
}

/// A wildcard in the place of a kind or name passes the permission, which has wildcards there. It
/// may find something in the scope, and nothing outside it.
#[tokio::test]
async fn a_wildcard_in_a_read_does_not_reach_out_of_the_scope() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let root = commit(&publisher, &batch_of(&MINE, "1", 0)).await;
    commit(&publisher, &batch_of(&OTHERS, "1", root)).await;
    let plain = bus.plain(&bus.eu.keys, "_INBOX.eu.eu-1").await;
    for asked in [
        "writ.event.*.eu.prod.*",
        "writ.event.policy.eu.prod.>",
        "writ.event.>.eu.prod.a",
        "writ.event.>.eu.prod.>",
        "writ.event.*.all.all.>",
        "writ.index.>.eu.prod",
        "writ.index.*.eu.prod",
        "writ.base.>.all.prod",
    ] {
        let request = format!("$JS.API.DIRECT.GET.WRIT.{asked}");
        let answer = plain.client.request(request, "".into()).await.unwrap();
        if answer.status.is_none() {
            let found = String::from_utf8(answer.payload.to_vec()).unwrap();
            println!("{asked}: {found}");
            let mine = MINE.iter().any(|subject| found == format!("{subject} 1"));
            assert!(mine, "{asked} reads {found}");
        }
    }
}

#[tokio::test]
async fn a_cluster_speaks_only_for_itself() {
    let bus = Bus::start().await;
    let cluster = bus.cluster(&bus.eu).await;
    live::publish_ack(&cluster, &bus.eu.sender, "mine".into())
        .await
        .unwrap();
    let denial = denied(live::publish_ack(&cluster, &bus.us.sender, "forged".into()).await);
    assert_eq!(denial.subject, "writ.ack.us.stage.us-1");

    let mut denials = cluster.denials();
    live::publish_pulse(&cluster, &bus.us.sender, "forged".into())
        .await
        .unwrap();
    let denial = timeout(DEADLINE, denials.recv()).await.unwrap().unwrap();
    assert_eq!(denial.subject, "writ.pulse.us.stage.us-1");
    live::publish_beat(&cluster, "forged".into()).await.unwrap();
    let denial = timeout(DEADLINE, denials.recv()).await.unwrap().unwrap();
    assert_eq!(denial.subject, "writ.live.beat");

    let mut plain = bus.plain(&bus.eu.keys, "_INBOX.eu.eu-1").await;
    for subject in [
        "writ.intent.policy.a",
        "writ.event.policy.eu.prod.a",
        "writ.index.policy.eu.prod",
        "writ.base.policy.eu.prod",
        "writ.root",
        "writ.live.policy.eu.prod.a",
        "writ.enrol.eu-1",
        "_INBOX.us.us-1.x",
    ] {
        plain
            .client
            .publish(subject, "forged".into())
            .await
            .unwrap();
        assert!(plain.violation().await.contains(subject));
    }
}

#[tokio::test]
async fn a_cluster_hears_only_its_own_scopes_and_answers() {
    let bus = Bus::start().await;
    let mut plain = bus.plain(&bus.eu.keys, "_INBOX.eu.eu-1").await;
    for subject in [
        "writ.live.>",
        "writ.live.*.us.prod.*",
        "writ.live.*.*.prod.*",
        "writ.live.policy.eu.stage.*",
        "writ.event.>",
        "writ.ack.>",
        "writ.pulse.>",
        "writ.intent.policy.a",
        "_INBOX.>",
        "_INBOX.us.us-1.>",
        "$JS.>",
        ">",
    ] {
        let _kept = plain.client.subscribe(subject).await.unwrap();
        let violation = plain.violation().await;
        assert!(violation.contains(&format!("\"{subject}\"")), "{violation}");
    }

    // Through this crate, a refused subscription is a signal, not silence.
    let cluster = bus.cluster(&bus.eu).await;
    let us = Region::parse("us").unwrap();
    let mut heard = live::listen_as_cluster(&cluster, &us, &bus.eu.sender.stage)
        .await
        .unwrap();
    match timeout(DEADLINE, heard.next()).await.unwrap().unwrap() {
        Signal::Denied(denied) => assert!(denied.subject.contains(".us."), "{denied}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_foreign_inbox_fails_at_once_and_says_why() {
    let bus = Bus::start().await;
    let client = bus.client_with_inbox(&bus.eu, "_INBOX.us.us-1").await;
    let start = Instant::now();
    let denied = denied(read::get(&client, &subject("writ.root"), Via::Near).await);
    assert!(denied.subject.starts_with("_INBOX.us.us-1."), "{denied}");
    assert!(start.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn a_publisher_writes_the_log_and_no_acks_and_changes_no_stream() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    commit(&publisher, &batch_of(&MINE, "1", 0)).await;
    denied(live::publish_ack(&publisher, &bus.eu.sender, "forged".into()).await);
    let ack = BusSubject::Ack(bus.eu.sender.clone());
    assert_eq!(
        read::last_by_subject(&publisher, Stream::Acks, &ack)
            .await
            .unwrap(),
        None
    );

    let mut plain = bus.plain_publisher().await;
    for verb in ["CREATE", "UPDATE", "PURGE", "DELETE", "MSG.DELETE"] {
        let subject = format!("$JS.API.STREAM.{verb}.WRIT");
        plain
            .client
            .publish(subject.clone(), "{}".into())
            .await
            .unwrap();
        assert!(plain.violation().await.contains(&subject));
    }
}

#[tokio::test]
async fn the_installer_can_not_write_the_log() {
    let bus = Bus::start().await;
    let installer = bus.installer().await;
    let result = writ_bus::batch::commit(&installer, &batch_of(&MINE, "1", 0)).await;
    denied(result);
}
