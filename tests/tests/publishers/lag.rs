//! A server that was away holds less than the log for a while after it is back, and a consumer on it says
//! that there is no more.

use std::time::Duration;

use tokio::time::timeout;
use writ_bus::{
    batch::{Batch, Message, Outcome, commit},
    log::{self, Entry},
    streams::Stream,
};
use writ_core::subject::BusSubject;
use writ_tests::hub::{Hub, Size};

use crate::WRIT;

/// For all readers together.
const DEADLINE: Duration = Duration::from_secs(120);
/// Policies, all in one batch.
const NAMES: usize = 500;
/// Batches that the server misses.
const BATCHES: usize = 40;
const MESSAGE_SIZE: usize = 1024;
/// Readers, one after the other: each is put on one of the servers by chance.
const READERS: usize = 60;

fn batch(number: usize) -> Batch {
    let message = |name: usize| Message {
        subject: BusSubject::parse(&format!("writ.intent.policy.p{name}")).unwrap(),
        bytes: vec![u8::try_from(number).unwrap(); MESSAGE_SIZE].into(),
    };
    Batch::part((0..NAMES).map(message).collect()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_log_is_where_its_leader_has_it_not_a_server_that_lags() {
    let mut hub = Hub::start_without_publishers(WRIT, Size::of(3, 0)).await;
    let reader = hub.reader().await;
    let (mut number, mut last) = (0, 0);
    let mut store = async |until_number: usize| {
        while number < until_number {
            number += 1;
            match commit(&reader, &batch(number)).await.unwrap() {
                Outcome::Committed { sequence, .. } => last = sequence,
                other => panic!("{other:?}"),
            }
        }
        last
    };
    store(1).await;
    let away = (hub.leader().await + 1) % 3;
    hub.kill_server(away).await;
    let last = store(1 + BATCHES).await;
    let reads = async {
        for _ in 0..READERS {
            let mut tail = log::follow(&reader, Stream::Log).await.unwrap();
            let mut read = 0;
            loop {
                match tail.next().await.unwrap().unwrap() {
                    Entry::Message(stored) => read = stored.sequence,
                    Entry::Gap => {}
                    Entry::CaughtUp => break,
                }
            }
            assert_eq!(read, last, "the end of the log was said to be at {read}");
        }
    };
    let all = async { tokio::join!(hub.start_server(away), reads) };
    timeout(DEADLINE, all)
        .await
        .expect("the readers came to an end");
}
