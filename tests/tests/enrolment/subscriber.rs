//! The whole way: a real cluster, the manifest, the process of the applied Deployment.

use std::time::{Duration, Instant};

use serde_json::Value;
use writ_bus::identity::Credentials;
use writ_sandbox::fleet::{Fleet, Periods};
use writ_tests::hub::until;

use crate::scene::{NAME, apply, entry, name, own_word, role, secret, start, writ};

async fn enrolled(fleet: &Fleet) -> Value {
    until("it is enrolled", async || {
        entry(fleet)
            .await
            .filter(|entry| entry["phase"] == "active")
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_joins_by_its_manifest_is_rebuilt_in_place_and_leaves_by_itself() {
    let mut fleet = start(Periods::default()).await;
    let kept = secret(&fleet, "writ-keys").await;
    let kept: Vec<&str> = kept.keys().map(String::as_str).collect();
    assert_eq!(kept, ["ack.seed", "bus.creds", "bus.seed"]);
    let first = entry(&fleet).await.unwrap();
    assert_eq!(first["phase"], "active");
    assert_eq!(own_word(&fleet).await, "active");
    let said = apply(&fleet, "one").await;
    assert!(said.status.success(), "{said:?}");

    // Somebody took its keys: they are revoked, and it makes others, in the same process.
    let at = Instant::now();
    let said = writ(
        &fleet,
        &["cluster", "reenrol", NAME, "--nats-url", fleet.bus_url()],
    )
    .await;
    assert!(said.status.success(), "{said:?}");
    let manifest = String::from_utf8(said.stdout).unwrap();
    fleet
        .cluster(&name())
        .unwrap()
        .apply(&manifest)
        .await
        .unwrap();
    let anew = enrolled(&fleet).await;
    eprintln!("enrolled anew after {:?}", at.elapsed());
    assert_ne!(anew["fingerprint"], first["fingerprint"]);
    let said = apply(&fleet, "two").await;
    assert!(said.status.success(), "{said:?}");
    assert!(role(&fleet, "one").await.is_some() && role(&fleet, "two").await.is_some());

    // It is away while it is told to leave: nobody waits for it, and it is shown for what it is.
    fleet.kill_subscriber(&name()).await.unwrap();
    until("it is silent", async || {
        let entry = entry(&fleet).await?;
        (entry["liveness"]["state"] == "silent").then_some(())
    })
    .await;
    let at = Instant::now();
    let said = writ(&fleet, &["cluster", "remove", NAME, "--withdraw"]).await;
    assert_eq!(said.status.code(), Some(6), "{said:?}");
    assert!(at.elapsed() < Duration::from_secs(20));
    let told = String::from_utf8(said.stderr).unwrap();
    assert!(told.contains("left with access"), "{told}");
    let listed = writ(&fleet, &["get", "clusters"]).await;
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("left with access"), "{listed}");

    let at = Instant::now();
    fleet.spawn_subscriber(&name()).await.unwrap();
    until("it has left", async || {
        entry(&fleet).await.is_none().then_some(())
    })
    .await;
    eprintln!("gave everything back after {:?}", at.elapsed());
    assert!(role(&fleet, "one").await.is_none() && role(&fleet, "two").await.is_none());
    fleet.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_joins_from_a_repository_without_any_secret_and_waits_for_its_approval() {
    let fleet = start(Periods::default()).await;
    let said = apply(&fleet, "one").await;
    assert!(said.status.success(), "{said:?}");
    // As after a rebuild: nothing is left of the way by which it was there before.
    let first = entry(&fleet).await.unwrap();
    let line = [
        "cluster",
        "reenrol",
        NAME,
        "--no-secret",
        "--nats-url",
        fleet.bus_url(),
    ];
    let said = writ(&fleet, &line).await;
    assert!(said.status.success(), "{said:?}");
    let manifest = String::from_utf8(said.stdout).unwrap();
    for object in manifest
        .split("\n---\n")
        .filter(|of| of.contains("kind: Secret\n"))
    {
        let holds = |line: &str| line.starts_with("data:") || line.starts_with("stringData:");
        assert!(!object.lines().any(holds), "it holds something: {object}");
    }
    let before = secret(&fleet, "writ-keys").await;
    assert!(!before.values().any(|kept| manifest.contains(kept.as_str())));
    let cluster = fleet.cluster(&name()).unwrap();
    cluster.apply(&manifest).await.unwrap();

    // It asks, and both sides show the same fingerprint.
    let asks = until("its keys ask to be let in", async || {
        let entry = entry(&fleet).await?;
        let waiting = entry["waiting"].as_array()?.first()?.as_str()?.to_owned();
        (waiting.as_str() != first["fingerprint"].as_str()?).then_some(waiting)
    })
    .await;
    until("the cluster says so itself", async || {
        own_word(&fleet).await.contains(&asks).then_some(())
    })
    .await;
    let said = writ(&fleet, &["why", NAME]).await;
    let told = String::from_utf8(said.stdout).unwrap();
    assert!(
        told.contains(&asks) && told.contains("cluster approve"),
        "{told}"
    );
    // Another fingerprint lets nobody in.
    let other = first["fingerprint"].as_str().unwrap();
    let said = writ(
        &fleet,
        &["cluster", "approve", NAME, "--fingerprint", other],
    )
    .await;
    let told = String::from_utf8(said.stderr).unwrap();
    assert!(told.contains("no keys of this fingerprint"), "{told}");
    assert_eq!(entry(&fleet).await.unwrap()["phase"], "pending");

    let said = writ(
        &fleet,
        &["cluster", "approve", NAME, "--fingerprint", &asks],
    )
    .await;
    assert!(said.status.success(), "{said:?}");
    let active = enrolled(&fleet).await;
    assert_eq!(active["fingerprint"], asks.as_str());
    let said = apply(&fleet, "two").await;
    assert!(said.status.success(), "{said:?}");
    assert!(role(&fleet, "one").await.is_some() && role(&fleet, "two").await.is_some());
    fleet.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_renews_its_credentials_long_before_they_end() {
    const LIFE_S: u64 = 30;
    let fleet = start(Periods {
        credentials_s: 30,
        ..Periods::default()
    })
    .await;
    let shown = async || {
        let kept = secret(&fleet, "writ-keys").await;
        let user = Credentials::parse(&kept["bus.creds"]).unwrap();
        let summary = user.summary();
        (summary.issued_s, summary.expires_s.unwrap())
    };
    let (first, first_end) = shown().await;
    assert_eq!(first_end - first, LIFE_S);
    let mut last = first;
    for _ in 0..2 {
        let (issued, end) = until("the credentials are renewed", async || {
            Some(shown().await).filter(|(issued, _)| *issued > last)
        })
        .await;
        eprintln!("renewed after {} of {LIFE_S} s", issued - last);
        assert!(issued - last <= LIFE_S / 2, "{issued} and {last}");
        assert_eq!(end - issued, LIFE_S);
        last = issued;
    }
    // Those that it came with have ended, and it is there.
    until("the first credentials have ended", async || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        (now.unwrap().as_secs() > first_end + 1).then_some(())
    })
    .await;
    let said = apply(&fleet, "late").await;
    assert!(said.status.success(), "{said:?}");
    assert!(role(&fleet, "late").await.is_some());
    fleet.stop().await.unwrap();
}
