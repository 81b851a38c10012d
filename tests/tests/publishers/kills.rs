//! Publishers and servers are killed at random moments while edits go on, and all that was answered is
//! compared with what is in the log.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use writ_tests::{
    history::{self, Report, Workload},
    hub::{Hub, Size},
    proxy::Proxy,
};

use crate::WRIT;

/// Clients that make edits at once.
const CLIENTS: usize = 12;

/// A random time.
async fn sleep_up_to(most: Duration) {
    let most = u64::try_from(most.as_micros()).unwrap();
    sleep(Duration::from_micros(rand::random_range(0..=most))).await;
}

async fn end_and_check(hub: &Hub, workload: Workload, what: &str) -> Report {
    let made = workload.end().await;
    let report = history::check(&made, &hub.reader().await, &hub.trusted()).await;
    println!("{what}: {report}");
    assert_eq!(
        hub.ended_publishers(),
        [] as [String; 0],
        "they outlive what happens to the bus"
    );
    report.assert_all_holds();
    assert_eq!(
        report.unknown, 0,
        "all publishers are back: every outcome can be known"
    );
    // That something was under way at all; how much, depends on the machine.
    assert!(report.committed > 30, "{report}");
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_survive_publishers_that_are_killed_at_any_moment() {
    const KILLS: usize = 25;
    let mut hub = Hub::start(WRIT, Size::of(1, 3)).await;
    let workload = Workload::start(&hub, 3, CLIENTS);
    for kill in 0..KILLS {
        sleep_up_to(Duration::from_millis(400)).await;
        hub.kill_publisher(kill % 3).await;
        hub.start_publisher(kill % 3).await;
    }
    end_and_check(&hub, workload, &format!("{KILLS} publishers killed")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_survive_the_only_server_being_killed_and_started_again() {
    const KILLS: usize = 6;
    let mut hub = Hub::start(WRIT, Size::of(1, 3)).await;
    let workload = Workload::start(&hub, 3, CLIENTS);
    for _ in 0..KILLS {
        sleep_up_to(Duration::from_millis(1500)).await;
        hub.kill_server(0).await;
        sleep_up_to(Duration::from_millis(500)).await;
        hub.start_server(0).await;
    }
    sleep(Duration::from_secs(1)).await;
    end_and_check(
        &hub,
        workload,
        &format!("{KILLS} times the only server killed"),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_survive_the_leader_of_three_servers_being_killed() {
    const KILLS: usize = 3;
    let mut hub = Hub::start(WRIT, Size::of(3, 3)).await;
    let workload = Workload::start(&hub, 3, CLIENTS);
    let begun = Instant::now();
    for _ in 0..KILLS {
        sleep_up_to(Duration::from_secs(2)).await;
        let leader = hub.leader().await;
        hub.kill_server(leader).await;
        // The next one leads before the old one is back, which follows it then.
        let next = hub.leader().await;
        assert_ne!(next, leader);
        hub.start_server(leader).await;
    }
    let what = format!(
        "{KILLS} leaders killed within {:.0} s",
        begun.elapsed().as_secs_f64()
    );
    end_and_check(&hub, workload, &what).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_survive_answers_of_the_log_that_are_lost() {
    const CUTS: usize = 60;
    let mut hub = Hub::start_without_publishers(WRIT, Size::of(1, 3)).await;
    let mut proxies = Vec::new();
    for number in 0..3 {
        let proxy = Proxy::start(hub.server_address(0)).await;
        hub.lead_through(number, proxy.address());
        hub.start_publisher(number).await;
        proxies.push(proxy);
    }
    let workload = Workload::start(&hub, 3, CLIENTS);
    for cut in 0..CUTS {
        let proxy = &proxies[cut % 3];
        sleep_up_to(Duration::from_millis(100)).await;
        // What is sent to the log arrives, and what it answers does not.
        proxy.hold();
        sleep_up_to(Duration::from_millis(60)).await;
        proxy.cut();
        proxy.release();
    }
    sleep(Duration::from_millis(500)).await;
    let text = "the outcome of a batch was open";
    let open = |number: usize| hub.publisher_log(number).matches(text).count();
    let open: usize = (0..3).map(open).sum();
    let what = format!("{CUTS} connections cut, {open} batches whose outcome was open");
    end_and_check(&hub, workload, &what).await;
    assert!(open > CUTS / 6, "{open}");
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_that_are_replaced_in_order_leave_no_outcome_open() {
    const ENDS: usize = 12;
    let mut hub = Hub::start(WRIT, Size::of(1, 3)).await;
    let workload = Workload::start(&hub, 3, CLIENTS);
    for end in 0..ENDS {
        sleep_up_to(Duration::from_millis(400)).await;
        hub.end_publisher(end % 3).await;
        hub.start_publisher(end % 3).await;
    }
    let report = end_and_check(&hub, workload, &format!("{ENDS} publishers replaced")).await;
    // A request may have been on its way to a connection that was closing; none was begun and left.
    assert_eq!(report.unrepeatable_stored, 0, "what is stored was answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_survive_all_of_it_at_once() {
    const FAULTS: usize = 14;
    let mut hub = Hub::start_without_publishers(WRIT, Size::of(3, 3)).await;
    for number in 0..3 {
        hub.start_publisher(number).await;
    }
    let workload = Workload::start(&hub, 3, CLIENTS);
    let mut counts = [0; 4];
    for _ in 0..FAULTS {
        sleep_up_to(Duration::from_millis(1_000)).await;
        let publisher = rand::random_range(0..3);
        let kind = rand::random_range(0..4);
        counts[kind] += 1;
        match kind {
            0 => {
                let leader = hub.leader().await;
                hub.kill_server(leader).await;
                // A publisher dies while there is no leader.
                hub.kill_publisher(publisher).await;
                hub.leader().await;
                hub.start_server(leader).await;
                hub.start_publisher(publisher).await;
            }
            1 => {
                let server = rand::random_range(0..3);
                hub.kill_server(server).await;
                sleep_up_to(Duration::from_millis(500)).await;
                hub.start_server(server).await;
                // Two of three have to know each other before the next one dies.
                hub.leader().await;
            }
            2 => {
                hub.kill_publisher(publisher).await;
                hub.start_publisher(publisher).await;
            }
            _ => {
                hub.publisher(publisher).pause().await;
                sleep_up_to(Duration::from_secs(2)).await;
                hub.publisher(publisher).resume().await;
            }
        }
    }
    let [leaders, servers, killed, paused] = counts;
    let what = format!(
        "{leaders} times leader and publisher killed, {servers} any server, {killed} publishers \
         killed, {paused} paused"
    );
    end_and_check(&hub, workload, &what).await;
}
