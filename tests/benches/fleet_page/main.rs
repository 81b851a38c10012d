//! The dashboard of a large fleet in a real browser: how soon a page is there, how soon an answer of a cluster is seen on
//! it, and what a tab costs.
//!
//! `cargo bench -p writ-tests --bench fleet_page -- --clusters 10000` (default: 100, 1000 and 10000 in turn). A real
//! nats-server, a real publisher with its dashboard, a real headless Chromium. The clusters are simulated: each is
//! registered by an edit of its own, has its own keys, bus identity and connection, and signs its own acks and pulses;
//! there is no API server behind any of them. Everything runs on one machine, which is part of what is measured.

#[path = "../../tests/dashboard/browser.rs"]
#[allow(dead_code)]
mod browser;
mod frames;
mod tab;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use writ_proto::v1;
use writ_tests::{
    crowd::{Crowd, Edit},
    hub::{Hub, Size, policy},
};

use browser::Browser;
use frames::Frames;

const WRIT: &str = env!("CARGO_BIN_EXE_writ-under-test");

/// How long anything may take; these machines are shared.
const LIMIT: Duration = Duration::from_secs(120);
const POLL_PERIOD: Duration = Duration::from_millis(20);

const SIZES: [usize; 3] = [100, 1_000, 10_000];
const POLICIES: u32 = 20;
/// Times that the first page is opened.
const LOADS: usize = 5;
/// Answers whose way to the screen is measured, one after the other.
const ANSWERS: usize = 30;
/// Edits, likewise.
const EDITS: usize = 5;
/// The time over which a whole fleet answers.
const ANSWERING: Duration = Duration::from_secs(10);
/// Every so many refuse an edit.
const REFUSER: usize = 211;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--clusters");
    let asked = arguments
        .nth(1)
        .map(|count| count.parse().expect("a number"));
    let sizes = asked.map_or(SIZES.to_vec(), |count| vec![count]);
    println!(
        "simulated subscribers on a real bus, a real publisher, headless Chromium; milliseconds"
    );
    for clusters in sizes {
        measure(clusters).await;
    }
}

/// One fleet from its start to its end.
async fn measure(clusters: usize) {
    let begun = Instant::now();
    let size = Size {
        pulse_period_s: 15,
        dashboard: true,
        publisher_flags: vec![("calls-per-second", "100000".to_owned())],
        ..Size::of(1, 1)
    };
    let hub = Hub::start(WRIT, size).await;
    let crowd = Crowd::gather(&hub, clusters).await;
    println!(
        "\n{clusters} clusters, {POLICIES} policies (registered and connected in {:.0?})",
        begun.elapsed()
    );
    let mut edit = None;
    for number in 1..=POLICIES {
        edit = Some(apply(&hub, clusters, &format!("policy-{number}"), "first").await);
    }
    let edit = edit.expect("policies");
    crowd
        .answer_all(&edit, POLICIES, Duration::from_secs(2), REFUSER)
        .await;

    let dashboard = hub.dashboard().await;
    let scratch = hub.file("browser");
    std::fs::create_dir_all(&scratch).expect("a folder");
    let browser = Browser::start(&scratch).await;
    browser.look(1280, "light").await;
    let first = crowd.names()[0].clone();
    loads(&browser, dashboard, clusters, &first).await;
    let wait = Duration::from_secs(3);
    tokio::time::sleep(wait).await;
    memory(&hub, "at rest");

    answers(
        &browser,
        &crowd,
        &edit,
        "an answer, while the fleet is quiet",
    )
    .await;
    let frames = Frames::follow(dashboard).await;
    let mut newest = edit;
    let mut said = Vec::new();
    let mut seen = Vec::new();
    for number in 0..EDITS {
        let name = format!("policy-{}", number + 1);
        let sent = Instant::now();
        newest = apply(&hub, clusters, &name, &format!("again-{number}")).await;
        said.push(sent.elapsed().as_secs_f64() * 1_000.0);
        let answered = wall_ms();
        let text = format!("{}@{}", newest.policy, newest.generation);
        let at = tab::moment(
            &browser,
            &format!("document.getElementById('edits').textContent.includes('{text}')"),
        )
        .await;
        seen.push(at - answered);
    }
    row("an edit, until it is answered", &mut said);
    row("and from there until it is on the open page", &mut seen);

    let all = crowd.answer_all(&newest, POLICIES, ANSWERING, REFUSER);
    let some = async {
        // In the middle of it.
        tokio::time::sleep(ANSWERING / 10).await;
        answers(
            &browser,
            &crowd,
            &newest,
            "an answer, while the whole fleet answers",
        )
        .await;
    };
    tokio::join!(all, some);
    frames
        .tell(&format!(
            "while {clusters} clusters answer within {ANSWERING:.0?}"
        ))
        .await;
    memory(&hub, "after that");

    for number in 0..clusters / 50 {
        crowd.silence(number * 37 % clusters).await;
    }
    if std::env::var_os("WRIT_SCREENSHOTS").is_some() {
        // Three pulses and a half.
        tokio::time::sleep(Duration::from_secs(56)).await;
        for (width, palette) in [
            (1280, "light"),
            (1280, "dark"),
            (390, "light"),
            (390, "dark"),
        ] {
            browser.look(width, palette).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            browser
                .picture(&format!("fleet-of-{clusters}-{width}-{palette}"))
                .await;
        }
        let address = format!("http://{dashboard}/edits/{}", newest.revision.number);
        browser.look(1280, "light").await;
        browser.client.goto(&address).await.expect("a page");
        browser
            .picture(&format!("edit-of-{clusters}-1280-light"))
            .await;
    }
    let complaints = browser.complaints().await;
    assert!(complaints.is_empty(), "{complaints:#?}");
    browser.close().await;
}

/// Edits a policy for the whole fleet.
async fn apply(hub: &Hub, clusters: usize, name: &str, group: &str) -> Edit {
    let mut manifest = policy(name, group);
    manifest["spec"]["clusters"] = json!({"all": true});
    let request = v1::ApplyRequest {
        manifest: manifest.to_string(),
        request_id: format!("{name}-{group}"),
        reason: "measured".to_owned(),
        confirm: u32::try_from(clusters).expect("a number of clusters"),
        ..Default::default()
    };
    let answer = hub.policies(0).apply(request).await;
    let answer = answer.expect("it is committed").into_inner();
    Edit {
        policy: name.to_owned(),
        generation: answer.generation,
        revision: answer.revision.expect("a revision"),
    }
}

/// How soon the first page is there.
async fn loads(browser: &Browser, dashboard: SocketAddr, clusters: usize, first: &str) {
    let (mut painted, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..LOADS {
        let address = format!("http://{dashboard}/");
        browser.client.goto(&address).await.expect("a page");
        let drawn = format!(
            "const canvas = document.getElementById('squares'); \
             if (!canvas.squareCount || canvas.squareCount() !== {clusters} || !canvas.squareOf('{first}').size) return false; \
             return true"
        );
        let at = tab::moment(browser, &format!("(() => {{ {drawn} }})()")).await;
        let origin = number(&browser.ask("return performance.timeOrigin").await);
        whole.push(at - origin);
        let paint = browser
            .ask("return performance.getEntriesByName('first-contentful-paint')[0].startTime")
            .await;
        painted.push(number(&paint));
    }
    row("first contentful paint", &mut painted);
    row("every square drawn, and all of it interactive", &mut whole);
}

/// How soon an answer of one cluster is seen.
async fn answers(browser: &Browser, crowd: &Crowd, edit: &Edit, what: &str) {
    let mut took = Vec::new();
    for round in 0..ANSWERS {
        // Refusals and their end in turn, so that each is a change.
        let place = (round / 2 * 613 + 5) % crowd.names().len();
        let refuses = round % 2 == 0;
        let state = if refuses { "refused" } else { "applied" };
        let name = &crowd.names()[place];
        let shows =
            format!("document.getElementById('squares').squareOf('{name}').state === '{state}'");
        let said = async {
            // The browser looks already, and no two answers come at the same moment of a frame.
            tokio::time::sleep(Duration::from_millis(150 + (round as u64 * 37) % 250)).await;
            crowd.answer(place, edit, POLICIES, refuses).await
        };
        let (at, sent_ms) = tokio::join!(tab::moment(browser, &shows), said);
        took.push(at - sent_ms as f64);
    }
    row(
        &format!("{what}, from when it is sent until it is drawn"),
        &mut took,
    );
}

fn memory(hub: &Hub, when: &str) {
    let tab = tab::memory_kib();
    let publisher = tab::of_process_kib(hub.publisher(0).pid(), "VmRSS:");
    println!(
        "  {:<72} its own {:.0} MiB, with its share {:.0} MiB, resident {:.0} MiB   publisher {:.0} MiB",
        format!("memory of the tab's process, {when}"),
        tab.own / 1024.0,
        tab.share / 1024.0,
        tab.resident / 1024.0,
        publisher / 1024.0
    );
}

fn row(what: &str, all: &mut [f64]) {
    all.sort_by(f64::total_cmp);
    let rank = |percent: usize| all[(all.len() * percent).div_ceil(100).max(1) - 1];
    println!(
        "  {what:<72} p50 {:>5.0}   p90 {:>5.0}   max {:>5.0}   (n={})",
        rank(50),
        rank(90),
        rank(100),
        all.len()
    );
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn wall_ms() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64() * 1_000.0
}
