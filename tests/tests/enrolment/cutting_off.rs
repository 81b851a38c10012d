//! How long a thief still listens: from the command to the end of the connection.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::process::Command;
use writ_bus::Client;
use writ_core::subject::BusSubject;
use writ_tests::hub::Hub;

use crate::{
    WRIT,
    asker::{Pairs, add, ask, cluster, enrolment_client, hub_with_a_leaf, try_connect_at},
};

/// Clusters that are cut off at each place.
const ROUNDS: u8 = 10;

/// Longest time from the command on; what was measured is a tenth of it.
const LIMIT: Duration = Duration::from_secs(5);

struct Times {
    /// From the start of the command.
    command: Vec<Duration>,
    /// From its answer, where that came first.
    answer: Vec<Duration>,
}

/// Lets a cluster in, and connects it.
async fn connected(hub: &Hub, name: &str, seed: u8, url: &str) -> (Client, Pairs) {
    let pairs = Pairs::of(seed);
    let kit = add(hub, name, seed).await;
    let asks = enrolment_client(hub, name, &kit).await;
    let subject = BusSubject::Enrol(cluster(name));
    let outcome = ask(hub, &asks, &subject, &pairs, Some(&kit.token)).await;
    let inbox = format!("_INBOX.eu.{name}");
    let credentials = pairs.credentials(&outcome.unwrap());
    let client = try_connect_at(url, credentials, &inbox).await;
    (client.expect("it is let in"), pairs)
}

async fn cut_off(hub: &Hub, name: &str, client: &Client) -> (Duration, Duration) {
    let since = Instant::now();
    let command = Command::new(WRIT)
        .args(["cluster", "cut-off", name, "--reason", "stolen"])
        .args(["--fleet", &hub.fleet_file(&hub.address(0))])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let lost = async {
        while client.is_connected() {
            assert!(since.elapsed() < LIMIT, "{name} stays connected");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        since.elapsed()
    };
    let ended = async {
        let output = command.await.unwrap();
        assert!(output.status.success(), "{output:?}");
        since.elapsed()
    };
    let (lost, ended) = tokio::join!(lost, ended);
    (lost, lost.saturating_sub(ended))
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_command_to_the_end_of_the_connection_it_takes_a_moment_at_hub_and_leaf() {
    let hub = hub_with_a_leaf().await;
    let places = [("hub", hub.nats_url()), ("leaf", hub.leaf_url().unwrap())];
    let stays = connected(&hub, "eu-stays", 200, &places[1].1).await.0;
    for (index, (place, url)) in places.iter().enumerate() {
        let mut times = Times {
            command: Vec::new(),
            answer: Vec::new(),
        };
        for round in 0..ROUNDS {
            let name = format!("eu-{place}-{round}");
            let seed = u8::try_from(index).unwrap() * 100 + round + 1;
            let (client, _) = connected(&hub, &name, seed, url).await;
            let (command, answer) = cut_off(&hub, &name, &client).await;
            times.command.push(command);
            times.answer.push(answer);
        }
        times.command.sort();
        times.answer.sort();
        let middle = usize::from(ROUNDS / 2);
        println!(
            "from `writ cluster cut-off` to the lost connection at the {place}, {ROUNDS} clusters: \
             shortest {:?}, median {:?}, longest {:?}; after the command's answer at most {:?}",
            times.command[0],
            times.command[middle],
            times.command[times.command.len() - 1],
            times.answer[times.answer.len() - 1]
        );
    }
    assert!(stays.is_connected(), "who was not cut off stays");
}
