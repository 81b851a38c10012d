//! The way without a secret.

use std::time::Duration;

use tonic::Code;
use writ_core::{enrol::Outcome, envelope::SigningKey, subject::BusSubject};
use writ_proto::{log, v1};

use crate::asker::{
    Pairs, add_request, ask, ask_within, cluster, entry, hub, request_client, send, sender,
    try_connect,
};

const NAME: &str = "eu-prod-1";

const SILENCE: Duration = Duration::from_secs(2);

fn subject() -> BusSubject {
    BusSubject::Request(cluster(NAME))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_secret_a_cluster_waits_until_its_very_keys_are_approved() {
    let hub = hub(2, &[("credentials-life-s", "6")]).await;
    let added = hub
        .clusters(0)
        .add(add_request(NAME, None, ""))
        .await
        .unwrap();
    let kit = added.into_inner();
    assert!(kit.enrol_credentials.is_empty());
    let client = request_client(&hub, NAME, &kit).await;
    let (own, other) = (Pairs::of(1), Pairs::of(2));
    for pairs in [&own, &other] {
        let fingerprint = pairs.fingerprint(NAME);
        let outcome = ask(&hub, &client, &subject(), pairs, None).await;
        assert_eq!(outcome, Some(Outcome::Waiting { fingerprint }));
    }
    let mut shown = entry(&hub, NAME).await.unwrap().waiting;
    shown.sort();
    let mut expected = [&own, &other].map(|pairs| pairs.fingerprint(NAME).to_string());
    expected.sort();
    assert_eq!(shown, expected);

    let approve = |fingerprint: String| v1::ApproveClusterRequest {
        name: NAME.to_owned(),
        fingerprint,
        ..Default::default()
    };
    let slip = hub
        .clusters(0)
        .approve(approve("no-fingerprint".into()))
        .await;
    assert_eq!(slip.unwrap_err().code(), Code::InvalidArgument);
    // By another publisher than those that heard it.
    let fingerprint = own.fingerprint(NAME).to_string();
    hub.clusters(1).approve(approve(fingerprint)).await.unwrap();
    let still = ask(&hub, &client, &subject(), &other, None).await.unwrap();
    assert!(!matches!(still, Outcome::Active { .. }), "{still:?}");
    let outcome = ask(&hub, &client, &subject(), &own, None).await.unwrap();
    let inbox = "_INBOX.eu.eu-prod-1";
    let as_cluster = try_connect(&hub, own.credentials(&outcome), inbox)
        .await
        .unwrap();

    // Long before they end it asks as itself, and the new ones end later.
    let Outcome::Active { expires_s, .. } = outcome else {
        panic!("it is let in")
    };
    tokio::time::sleep(Duration::from_secs(2)).await;
    let renew = BusSubject::Renew(sender(NAME));
    let renewed = ask(&hub, &as_cluster, &renew, &own, None).await.unwrap();
    let Outcome::Active {
        expires_s: later_s, ..
    } = renewed
    else {
        panic!("{renewed:?}")
    };
    assert!(later_s > expires_s, "{later_s} and {expires_s}");
    // A cluster was away for longer than its credentials last: its keys are known.
    writ_tests::hub::until("the old credentials have ended", async || {
        let old = own.credentials(&outcome);
        try_connect(&hub, old, inbox).await.is_none().then_some(())
    })
    .await;
    let back = ask(&hub, &client, &subject(), &own, None).await.unwrap();
    assert!(
        try_connect(&hub, own.credentials(&back), inbox)
            .await
            .is_some()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_request_is_answered_by_silence_and_changes_nothing() {
    let hub = hub(1, &[]).await;
    let added = hub
        .clusters(0)
        .add(add_request(NAME, None, ""))
        .await
        .unwrap();
    let kit = added.into_inner();
    let client = request_client(&hub, NAME, &kit).await;
    let own = Pairs::of(1);
    let fingerprint = own.fingerprint(NAME).to_string();
    let request = v1::ApproveClusterRequest {
        name: NAME.to_owned(),
        fingerprint,
        ..Default::default()
    };
    hub.clusters(0).approve(request).await.unwrap();

    // Somebody who knows the public keys, which anybody may, and signs with others.
    let asked = writ_core::enrol::Request {
        cluster: cluster(NAME),
        keys: own.public(),
        token: None,
        nonce: [7; 16],
    };
    let foreign = [8, 9].map(|seed| SigningKey::from_seed(&[seed; 32]));
    let forged = log::seal_request(&asked, &subject(), [&foreign[0], &foreign[1]], None);
    let garbage = vec![0xff; 1_000];
    for bytes in [forged.bytes, garbage] {
        let name = cluster(NAME);
        let answer = send(&hub, &client, &subject(), &name, [7; 16], bytes, SILENCE).await;
        assert_eq!(answer, None);
    }
    // As another cluster, and as a cluster that it is not: the bus passes nothing on.
    let elsewhere = [
        BusSubject::Request(cluster("eu-prod-2")),
        BusSubject::Enrol(cluster(NAME)),
        BusSubject::Renew(sender(NAME)),
    ];
    for subject in elsewhere {
        let answer = ask_within(&hub, &client, &subject, &own, None, SILENCE).await;
        assert_eq!(answer, None, "{subject}");
    }
    assert_eq!(entry(&hub, NAME).await.unwrap().phase, "pending");
    let outcome = ask(&hub, &client, &subject(), &own, None).await.unwrap();
    own.credentials(&outcome);
}
