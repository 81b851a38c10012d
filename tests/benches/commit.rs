//! How much is gained by committing together what waits: edits a second with one writer and with many,
//! through one publisher and through three, on one real nats-server and on three.
//!
//! `cargo bench -p writ-tests --bench commit`. The sides run in turn in one process; only ratios mean
//! anything on a shared machine.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use writ_bus::{Client, read, streams::Stream};
use writ_core::{root::Root, subject::BusSubject};
use writ_proto::{log, v1};
use writ_tests::hub::{Hub, Size, policy};

const WRIT: &str = env!("CARGO_BIN_EXE_writ-under-test");

/// Time of each side in each round.
const TIME: Duration = Duration::from_secs(4);
const ROUNDS: usize = 3;
/// Writers, each of which waits for its answer before it makes its next edit.
const WRITERS: [usize; 3] = [1, 8, 64];
/// Names of each writer. Each edit changes its name.
const NAMES: usize = 4;

#[tokio::main]
async fn main() {
    for (servers, publishers) in [(1, 1), (1, 3), (3, 1), (3, 3)] {
        let hub = Hub::start(WRIT, Size::of(servers, publishers)).await;
        let reader = hub.reader().await;
        println!("{servers} server(s), {publishers} publisher(s)");
        let mut sides = WRITERS.map(|_| Vec::new());
        let mut shares = WRITERS.map(|_| 0.0);
        for round in 0..ROUNDS {
            for (side, writers) in WRITERS.into_iter().enumerate() {
                sides[side].push(write(&hub, publishers, writers, round).await);
                shares[side] = edits_per_batch(&reader, &hub).await;
            }
        }
        let one = median(&sides[0]);
        for ((writers, side), share) in WRITERS.iter().zip(&sides).zip(shares) {
            let rate = median(side);
            println!(
                "  {writers:>2} writers: {rate:>6.0} edits a second, {:>5.1} times one writer, \
                 {share:>5.1} edits a batch",
                rate / one
            );
        }
    }
}

/// Edits a second that are answered as committed.
async fn write(hub: &Hub, publishers: usize, writers: usize, round: usize) -> f64 {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        let mut policies = hub.policies(writer % publishers);
        tasks.spawn(async move {
            let mut count = 0;
            while begun.elapsed() < TIME {
                let name = format!("p{writer}-{}", count % NAMES);
                let group = format!("group-{round}-{writers}-{count}");
                let request = v1::ApplyRequest {
                    manifest: policy(&name, &group).to_string(),
                    request_id: format!("{name}-{group}"),
                    ..Default::default()
                };
                policies.apply(request).await.expect("it is committed");
                count += 1;
            }
            count
        });
    }
    let count: usize = tasks.join_all().await.into_iter().sum();
    count as f64 / begun.elapsed().as_secs_f64()
}

/// Over the roots that the log keeps.
async fn edits_per_batch(reader: &Client, hub: &Hub) -> f64 {
    let (mut after, mut batches, mut edits) = (0, 0, 0);
    while let Some(stored) = read::next_by_subject(reader, Stream::Log, &BusSubject::Root, after)
        .await
        .expect("a leader")
    {
        after = stored.sequence;
        let root = log::open::<Root>(&BusSubject::Root, &stored.bytes, &hub.trusted());
        edits += root.expect("a root").value.edits.len();
        batches += 1;
    }
    edits as f64 / f64::from(batches)
}

fn median(side: &[f64]) -> f64 {
    let mut side = side.to_vec();
    side.sort_by(f64::total_cmp);
    side[side.len() / 2]
}
