//! Snapshots of the streams, and what comes of them on an empty server.

use writ_bus::{
    backup::{self, Error},
    connection::Error as BusError,
    log, read,
    streams::{self, Settings, Stream},
};

use crate::harness::{Bus, SETTINGS, batch_of, commit, subject};

const SUBJECTS: [&str; 2] = ["writ.intent.policy.a", "writ.event.policy.eu.prod.a"];

/// The server's code for a stream that is there.
const NAME_EXISTS: u64 = 10_130;

async fn save(bus: &Bus) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    let installer = bus.installer().await;
    let saved = backup::save(&installer, Stream::Log, &mut bytes).await;
    (saved.unwrap().0, bytes)
}

#[tokio::test]
async fn a_snapshot_of_a_running_server_is_restored_to_an_empty_one_with_its_sequences() {
    let mut bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let mut root = 0;
    for mark in 0..40 {
        // Enough for pieces that are confirmed; what can't be compressed.
        let noise: String = (0..16_000)
            .map(|_| char::from(rand::random_range(b'!'..b'~')))
            .collect();
        let batch = batch_of(&SUBJECTS, &format!("{mark} {noise}"), root);
        root = commit(&publisher, &batch).await;
    }
    let (before, _) = log::read_all(&publisher, Stream::Log).await.unwrap();
    let (description, bytes) = save(&bus).await;
    assert!(bytes.len() > 4 << 17, "{} bytes", bytes.len());
    commit(&publisher, &batch_of(&SUBJECTS, "later", root)).await;

    let installer = bus.installer().await;
    let whole = &mut bytes.as_slice();
    match backup::restore(&installer, Stream::Log, &description, whole).await {
        Err(Error::Request {
            source: BusError::Api { code, .. },
            ..
        }) => assert_eq!(code, NAME_EXISTS),
        other => panic!("restored over a stream: {other:?}"),
    }

    drop(publisher);
    bus.restart_empty().await;
    let installer = bus.installer().await;
    let whole = &mut bytes.as_slice();
    let restored = backup::restore(&installer, Stream::Log, &description, whole).await;
    assert_eq!(restored.unwrap().last_sequence, root);
    // What is missing is made, and what was restored is as it is meant.
    streams::install(&installer, SETTINGS).await.unwrap();
    let publisher = bus.publisher().await;
    let (after, _) = log::read_all(&publisher, Stream::Log).await.unwrap();
    assert_eq!(after, before);
    let note = streams::restored(&publisher, Stream::Log).await;
    assert_eq!(note.unwrap(), Some(root));
    // The compare-and-set goes on where it was.
    let next = commit(&publisher, &batch_of(&SUBJECTS, "next", root)).await;
    assert_eq!(next, root + 3);
}

#[tokio::test]
async fn a_torn_backup_and_that_of_another_stream_leave_no_stream() {
    let mut bus = Bus::start().await;
    commit(&bus.publisher().await, &batch_of(&SUBJECTS, "1", 0)).await;
    let (description, bytes) = save(&bus).await;
    bus.restart_empty().await;
    let installer = bus.installer().await;
    let torn = &mut &bytes[..bytes.len() / 2];
    let outcome = backup::restore(&installer, Stream::Log, &description, torn).await;
    assert!(matches!(outcome, Err(Error::Request { .. })), "{outcome:?}");
    let whole = &mut bytes.as_slice();
    let outcome = backup::restore(&installer, Stream::Acks, &description, whole).await;
    assert!(
        matches!(outcome, Err(Error::OtherStream(Stream::Acks))),
        "{outcome:?}"
    );
    let missing = streams::check(&installer, Settings::with_replicas(1)).await;
    assert!(
        matches!(missing, Err(streams::Error::Missing(Stream::Log))),
        "{missing:?}"
    );
    // And it is not in the way of the whole one.
    let outcome = backup::restore(&installer, Stream::Log, &description, whole).await;
    assert_eq!(outcome.unwrap().messages, 3);
}

#[tokio::test]
async fn neither_publishers_nor_clusters_take_or_restore_snapshots() {
    let bus = Bus::start().await;
    commit(&bus.publisher().await, &batch_of(&SUBJECTS, "1", 0)).await;
    let (description, bytes) = save(&bus).await;
    for client in [bus.publisher().await, bus.cluster(&bus.eu).await] {
        let outcome = backup::save(&client, Stream::Log, &mut Vec::new()).await;
        assert!(is_denied(&outcome), "{outcome:?}");
        let whole = &mut bytes.as_slice();
        let outcome = backup::restore(&client, Stream::Log, &description, whole).await;
        assert!(is_denied(&outcome), "{outcome:?}");
    }
}

fn is_denied<T>(outcome: &Result<T, Error>) -> bool {
    matches!(
        outcome,
        Err(Error::Request {
            source: BusError::Denied(_),
            ..
        })
    )
}

/// Why whoever takes backups is to be trusted like an installer: the right to ask for a snapshot is the
/// right to have the server store bytes under any name of the log. Good news if this fails some day.
#[tokio::test]
async fn whoever_asks_for_a_snapshot_can_have_it_delivered_into_the_log() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let last = commit(&publisher, &batch_of(&SUBJECTS, "1", 0)).await;
    let plain = bus.plain_installer().await;
    let request = r#"{"deliver_subject":"writ.intent.policy.a","no_consumers":true}"#;
    let asked = "$JS.API.STREAM.SNAPSHOT.WRIT";
    plain.client.request(asked, request.into()).await.unwrap();
    let intent = subject(SUBJECTS[0]);
    let until = tokio::time::Instant::now() + crate::harness::DEADLINE;
    loop {
        let newest = read::last_by_subject(&publisher, Stream::Log, &intent).await;
        if newest.unwrap().is_some_and(|stored| stored.sequence > last) {
            return;
        }
        assert!(tokio::time::Instant::now() < until, "it was not stored");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
