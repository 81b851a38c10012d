//! The atomic batch.

use bytes::Bytes;
use writ_bus::{
    batch::{self, Batch, Invalid, MESSAGE_BYTES_MAX, MESSAGES_MAX, Message, Outcome},
    connection::Error,
    read,
    streams::{self, Settings, Stream},
};

use crate::harness::{Bus, SETTINGS, batch_of, commit, listen, next_message, subject};

const EDIT: [&str; 3] = [
    "writ.intent.policy.a",
    "writ.event.policy.eu.prod.a",
    "writ.index.policy.eu.prod",
];

#[tokio::test]
async fn a_batch_is_stored_as_a_whole_with_the_root_last() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let sequence = commit(&publisher, &batch_of(&EDIT, "1", 0)).await;
    assert_eq!(sequence, 4);
    for (position, text) in EDIT.iter().chain(&["writ.root"]).enumerate() {
        let stored = read::last_by_subject(&publisher, Stream::Log, &subject(text))
            .await
            .unwrap();
        let stored = stored.unwrap();
        assert_eq!(stored.sequence, position as u64 + 1);
        assert_eq!(stored.bytes, Bytes::from(format!("{text} 1")));
    }
}

#[tokio::test]
async fn a_batch_on_an_older_root_stores_nothing_and_nothing_of_it_is_heard() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let cluster = bus.cluster(&bus.eu).await;
    let mut heard = listen(&cluster, &bus.eu.sender).await;

    let first = commit(&publisher, &batch_of(&EDIT, "1", 0)).await;
    for stale in [0, first - 1, first + 1] {
        let outcome = batch::commit(&publisher, &batch_of(&EDIT, "stale", stale))
            .await
            .unwrap();
        assert_eq!(outcome, Outcome::Conflict);
    }
    let second = commit(&publisher, &batch_of(&EDIT, "2", first)).await;
    assert_eq!(
        second,
        first + 4,
        "the refused batches took no place in the stream"
    );

    let event = "writ.event.policy.eu.prod.a";
    assert_eq!(next_message(&mut heard).await.1, format!("{event} 1"));
    assert_eq!(next_message(&mut heard).await.1, format!("{event} 2"));
}

#[tokio::test]
async fn of_publishers_that_build_on_the_same_root_one_commits() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let mut attempts = tokio::task::JoinSet::new();
    for number in 0..8 {
        let publisher = publisher.clone();
        attempts.spawn(async move {
            batch::commit(&publisher, &batch_of(&EDIT, &number.to_string(), 0))
                .await
                .unwrap()
        });
    }
    let outcomes = attempts.join_all().await;
    let committed = |outcome: &&Outcome| matches!(outcome, Outcome::Committed { .. });
    assert_eq!(outcomes.iter().filter(committed).count(), 1, "{outcomes:?}");
    for outcome in outcomes {
        assert!(
            matches!(
                outcome,
                Outcome::Committed { .. } | Outcome::Conflict | Outcome::Retry { .. }
            ),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn the_largest_batch_commits() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let names: Vec<_> = (1..MESSAGES_MAX)
        .map(|number| format!("writ.event.policy.all.all.p{number}"))
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    assert_eq!(
        commit(&publisher, &batch_of(&names, "1", 0)).await,
        MESSAGES_MAX as u64
    );

    let large = Message {
        subject: subject("writ.event.policy.all.all.p1"),
        bytes: vec![0; MESSAGE_BYTES_MAX].into(),
    };
    let root = Message {
        subject: subject("writ.root"),
        bytes: Bytes::new(),
    };
    let batch = Batch::new(vec![large, root], MESSAGES_MAX as u64).unwrap();
    assert_eq!(commit(&publisher, &batch).await, MESSAGES_MAX as u64 + 2);
}

#[test]
fn what_is_over_a_limit_or_out_of_the_log_is_no_batch() {
    let message = |text: &str, bytes: usize| Message {
        subject: subject(text),
        bytes: vec![0; bytes].into(),
    };
    let root = || message("writ.root", 1);
    assert_eq!(Batch::new(vec![], 0).unwrap_err(), Invalid::Root);
    assert_eq!(
        Batch::new(vec![root(), root()], 0).unwrap_err(),
        Invalid::Root
    );
    assert_eq!(
        Batch::new(vec![root(), message("writ.intent.policy.a", 1)], 0).unwrap_err(),
        Invalid::Root
    );
    for foreign in [
        "writ.live.beat",
        "writ.live.policy.eu.prod.a",
        "writ.ack.eu.prod.a",
    ] {
        let refused = Batch::new(vec![message(foreign, 1), root()], 0).unwrap_err();
        assert_eq!(refused, Invalid::Subject(subject(foreign)));
    }
    let many: Vec<_> = (0..MESSAGES_MAX)
        .map(|number| message(&format!("writ.intent.policy.p{number}"), 1))
        .chain([root()])
        .collect();
    assert_eq!(
        Batch::new(many, 0).unwrap_err(),
        Invalid::Messages(MESSAGES_MAX + 1)
    );
    let large = vec![
        message("writ.intent.policy.a", MESSAGE_BYTES_MAX + 1),
        root(),
    ];
    assert!(matches!(
        Batch::new(large, 0).unwrap_err(),
        Invalid::MessageBytes { .. }
    ));
    let heavy: Vec<_> = (0..65)
        .map(|number| message(&format!("writ.intent.policy.p{number}"), MESSAGE_BYTES_MAX))
        .chain([root()])
        .collect();
    assert!(matches!(
        Batch::new(heavy, 0).unwrap_err(),
        Invalid::BatchBytes(_)
    ));
}

#[tokio::test]
async fn a_full_stream_refuses_and_keeps_what_it_has() {
    let bus = Bus::start_without_streams().await;
    let settings = Settings {
        log_bytes_max: 1 << 20,
        ..SETTINGS
    };
    streams::install(&bus.installer().await, settings)
        .await
        .unwrap();
    let publisher = bus.publisher().await;
    let first = commit(&publisher, &batch_of(&EDIT, "1", 0)).await;
    let large = |text: &str| Message {
        subject: subject(text),
        bytes: vec![7; 900_000].into(),
    };
    let root = Message {
        subject: subject("writ.root"),
        bytes: Bytes::new(),
    };
    let messages = vec![
        large("writ.event.policy.eu.prod.b"),
        large("writ.event.policy.eu.prod.c"),
        root,
    ];
    let batch = Batch::new(messages, first).unwrap();
    assert_eq!(
        batch::commit(&publisher, &batch).await.unwrap(),
        Outcome::Full
    );
    commit(&publisher, &batch_of(&EDIT, "2", first)).await;
}

#[tokio::test]
async fn without_a_stream_a_batch_is_definitely_not_stored() {
    let bus = Bus::start_without_streams().await;
    let publisher = bus.publisher().await;
    let outcome = batch::commit(&publisher, &batch_of(&EDIT, "1", 0))
        .await
        .unwrap();
    assert_eq!(outcome, Outcome::Retry { code: 0 });
}

#[tokio::test]
async fn a_cluster_that_tries_a_batch_is_told_that_it_may_not() {
    let bus = Bus::start().await;
    let cluster = bus.cluster(&bus.eu).await;
    let error = batch::commit(&cluster, &batch_of(&EDIT, "1", 0))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Denied(_)), "{error}");
    let publisher = bus.publisher().await;
    commit(&publisher, &batch_of(&EDIT, "2", 0)).await;
}
