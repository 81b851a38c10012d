//! Beats of several publishers: as many as of one.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use tokio::time::{Instant, timeout_at};
use writ_bus::live::{self, Live, Signal};
use writ_core::{
    beat::Beat,
    envelope::Keyring,
    name::{Region, Stage},
    subject::BusSubject,
};
use writ_proto::{log, v1};
use writ_tests::hub::{Hub, Size, policy};

use crate::WRIT;

/// The hub's publishers beat every second.
const PERIOD: Duration = Duration::from_secs(1);

/// Periods that are counted.
const PERIODS: u32 = 15;

/// How many they may be: a machine that does much else holds one back now and then, for whom another
/// one steps in. Without the silence of the others they are three times as many.
const ENOUGH: RangeInclusive<u32> = PERIODS - 3..=PERIODS * 3 / 2;

/// The beats of some periods: how many of each publisher, and the longest time without one.
async fn count(live: &mut Live, trusted: &Keyring) -> (BTreeMap<String, u32>, Duration) {
    let until = Instant::now() + PERIOD * PERIODS;
    let (mut counts, mut last, mut longest) = (BTreeMap::new(), Instant::now(), Duration::ZERO);
    while let Ok(signal) = timeout_at(until, live.next()).await {
        let Some(Signal::Message {
            subject: BusSubject::Beat,
            bytes,
            ..
        }) = signal
        else {
            continue;
        };
        let beat = log::open::<Beat>(&BusSubject::Beat, &bytes, trusted)
            .unwrap()
            .value;
        *counts.entry(beat.publisher).or_insert(0) += 1;
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    (counts, longest.max(last.elapsed()))
}

async fn listen(hub: &Hub) -> Live {
    let client = hub.cluster_client("eu-prod-1").await;
    let (region, stage) = (Region::parse("eu").unwrap(), Stage::parse("prod").unwrap());
    live::listen_as_cluster(&client, &region, &stage)
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_publishers_beat_as_often_as_one_and_another_takes_over() {
    let size = Size {
        clusters: vec!["eu-prod-1".to_owned()],
        ..Size::of(1, 3)
    };
    let mut hub = Hub::start(WRIT, size).await;
    let request = v1::ApplyRequest {
        manifest: policy("payments", "devs").to_string(),
        ..Default::default()
    };
    hub.policies(0).apply(request).await.unwrap();
    let mut live = listen(&hub).await;
    let (counts, longest) = count(&mut live, &hub.trusted()).await;
    let total: u32 = counts.values().sum();
    println!("{total} beats in {PERIODS} periods, {longest:?} at most between two: {counts:?}");
    // The first ones may meet before they have heard each other.
    assert!(ENOUGH.contains(&total), "{counts:?}");

    let busiest = counts.iter().max_by_key(|(_, count)| **count).unwrap().0;
    let number: usize = busiest.strip_prefix("publisher-").unwrap().parse().unwrap();
    hub.kill_publisher(number - 1).await;
    let (counts, longest) = count(&mut live, &hub.trusted()).await;
    let total: u32 = counts.values().sum();
    println!("without {busiest}: {total} beats, {longest:?} at most between two: {counts:?}");
    assert!(
        !counts.contains_key(busiest) && longest < PERIOD * 3,
        "{longest:?}"
    );
    assert!(ENOUGH.contains(&total), "{counts:?}");
}
