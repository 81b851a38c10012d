//! What publishers and subscribers say of themselves, on real ones.

use std::{net::SocketAddr, path::Path};

use serde_json::{Value, json};
use writ_proto::v1::AckState;
use writ_tests::http::{self, Page};

use crate::harness::{PROD, Shared, policy, role, run, wait_for};

/// What a process shows under a path; its address stands in a file.
async fn shown(file: &Path, path: &str) -> Page {
    let address = std::fs::read_to_string(file).unwrap();
    let address: SocketAddr = address.trim().parse().unwrap();
    http::get(address, path).await
}

async fn publisher(fleet: &Shared, path: &str) -> Page {
    shown(&fleet.dir.join("publisher/admin"), path).await
}

async fn subscriber(fleet: &Shared, cluster: &str, path: &str) -> Page {
    let file = format!("clusters/{cluster}/admin");
    shown(&fleet.dir.join(file), path).await
}

/// The value of a series.
fn value(page: &Page, series: &str) -> f64 {
    let mut lines = page.body.lines();
    let found = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let found = found.unwrap_or_else(|| panic!("no {series} in {}", page.body));
    found.parse().unwrap()
}

const COMMITTED: &str = "writ_publisher_edits_total{outcome=\"committed\"}";
const APPLIED: &str = "writ_publisher_applied_seconds_count";
const REFUSED: &str = "writ_publisher_refusals_total{reason=\"ForeignObject\"}";

#[test]
fn an_edit_moves_the_counters_of_publisher_and_subscriber() {
    run(async |fleet| {
        let before = publisher(fleet, "/metrics").await;
        let there = subscriber(fleet, PROD, "/metrics").await;
        let objects = json!([role("ClusterRole", "measured", None, &["get"])]);
        let manifest = policy("measured", PROD, objects, json!([]));
        fleet.apply_on(&manifest, &[PROD]).await;

        let after = publisher(fleet, "/metrics").await;
        assert!(value(&after, COMMITTED) > value(&before, COMMITTED));
        assert!(value(&after, APPLIED) > value(&before, APPLIED));
        let acks = "writ_publisher_acks_total{outcome=\"taken\"}";
        assert!(value(&after, acks) > value(&before, acks));
        assert!(value(&after, "writ_publisher_batch_seconds_count") >= 1.0);
        let calls = "writ_publisher_call_seconds_count{service=\"PolicyService\"}";
        assert!(value(&after, calls) > value(&before, calls));
        assert!(value(&after, "writ_publisher_clusters{liveness=\"live\"}") >= 1.0);
        let copies = "writ_publisher_bus_copies{stream=\"log\"}";
        assert!((value(&after, copies) - 1.0).abs() < f64::EPSILON);

        let now = subscriber(fleet, PROD, "/metrics").await;
        let attempts = "writ_subscriber_attempts_total{outcome=\"applied\"}";
        assert!(value(&now, attempts) > value(&there, attempts));
        let took = "writ_subscriber_apply_seconds_count";
        assert!(value(&now, took) > value(&there, took));
        // No series is there that is not declared.
        let declared = writ_publisher::metric_names();
        assert_eq!(writ_telemetry::names(&after.body), declared);
        assert_eq!(
            writ_telemetry::names(&now.body),
            writ_subscriber::metric_names()
        );
        for name in ["measured", PROD] {
            assert!(!after.body.contains(name), "a name is a label");
        }
    });
}

#[test]
fn a_refusal_is_counted_once_and_under_its_reason() {
    run(async |fleet| {
        let before = publisher(fleet, "/metrics").await;
        let foreign = role("ClusterRole", "theirs", None, &["get"]);
        let theirs = serde_json::from_value(foreign.clone()).unwrap();
        let roles = fleet.objects(PROD, "ClusterRole", "");
        roles.create(&Default::default(), &theirs).await.unwrap();
        let manifest = policy("takes-theirs", PROD, json!([foreign]), json!([]));
        let edit = fleet.apply(&manifest).await;
        fleet.expect(&edit, PROD, AckState::Refused).await;
        let after = publisher(fleet, "/metrics").await;
        assert!((value(&after, REFUSED) - value(&before, REFUSED) - 1.0).abs() < f64::EPSILON);
        let refused = "writ_publisher_policies{state=\"refused\"}";
        wait_for("the standing refusal is shown", async || {
            let page = publisher(fleet, "/metrics").await;
            (value(&page, refused) >= 1.0).then_some(())
        })
        .await;
    });
}

#[test]
fn the_probes_answer_and_the_state_names_clusters_and_no_secret() {
    run(async |fleet| {
        for page in [
            publisher(fleet, "/livez").await,
            publisher(fleet, "/readyz").await,
            subscriber(fleet, PROD, "/livez").await,
            subscriber(fleet, PROD, "/readyz").await,
        ] {
            assert_eq!((page.status, page.body.as_str()), (200, "ok\n"));
        }
        let state = publisher(fleet, "/debug/state").await;
        let parsed: Value = serde_json::from_str(&state.body).unwrap();
        let mut clusters = parsed["clusters"].as_array().unwrap().iter();
        assert!(clusters.any(|one| one["name"] == PROD && one["liveness"]["state"] == "live"));
        let there = subscriber(fleet, PROD, "/debug/state").await;
        let parsed: Value = serde_json::from_str(&there.body).unwrap();
        assert_eq!(parsed["cluster"], PROD);
        let key = fleet.dir.join("keys/publisher-1.signing");
        let seed = std::fs::read_to_string(key).unwrap();
        for page in [&state, &there] {
            assert!(!page.body.contains(seed.trim()), "a secret is shown");
            assert!(!page.body.contains("PRIVATE"), "a secret is shown");
        }
    });
}
