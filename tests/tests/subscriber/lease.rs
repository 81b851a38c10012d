//! One active subscriber per cluster, also when one is paused and wakes up.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use writ_subscriber::cluster::{ClusterApi, ErrorKind, Expect};
use writ_subscriber::fenced::Fenced;
use writ_subscriber::lease::{self, Error, Options};

use crate::fixture::{Fixture, LIMIT, at, until};

fn candidate(identity: &str) -> Options {
    Options {
        identity: identity.to_owned(),
        duration: Duration::from_secs(3),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_subscriber_stands_by_until_the_first_ends_or_falls_silent() {
    let fixture = Fixture::start().await;
    let never = CancellationToken::new();
    let first = lease::acquire(fixture.api.clone(), candidate("a"), &never, |_| {})
        .await
        .unwrap();
    assert!(first.fence().is_open());

    let ended = CancellationToken::new();
    let keeping = tokio::spawn(first.keep(ended.clone()));
    let api = fixture.api.clone();
    let (tell, known) = watch::channel(false);
    let mut second = tokio::spawn(async move {
        let never = CancellationToken::new();
        let known = |is_known| {
            let _ = tell.send_replace(is_known);
        };
        lease::acquire(api, candidate("b"), &never, known).await
    });
    // Longer than the lease lasts: only renewals keep the second one out.
    let early = tokio::time::timeout(Duration::from_secs(5), &mut second).await;
    assert!(early.is_err(), "both hold the lease");
    assert!(*known.borrow(), "it could take over, and does not say so");
    ended.cancel();
    keeping.await.unwrap().unwrap();
    let second = tokio::time::timeout(LIMIT, second)
        .await
        .unwrap()
        .unwrap()
        .unwrap();

    // The second one is paused: nobody renews. A third takes over, and what the second still wants
    // to write is stopped at its own fence.
    let fence = second.fence();
    let fenced = Fenced::new(fixture.api.clone(), fence.clone());
    let third = lease::acquire(fixture.api.clone(), candidate("c"), &never, |_| {})
        .await
        .unwrap();
    assert!(third.fence().is_open() && !fence.is_open());
    let namespace = at("Namespace", None, "late");
    let content =
        serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "late"}});
    let late = fenced
        .apply(&namespace, &content, Expect::New)
        .await
        .unwrap_err();
    assert_eq!(late.kind, ErrorKind::Unavailable, "{late}");
    assert!(fixture.get(&namespace).await.is_none());

    // It wakes up, finds that it was replaced, and ends.
    let woken = tokio::time::timeout(LIMIT, second.keep(never))
        .await
        .unwrap();
    assert!(matches!(woken, Err(Error::Lost(holder)) if holder == "c"));
    until("its fence stays closed", async || !fence.is_open()).await;
}
