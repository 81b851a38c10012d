//! The way with a token.

use std::time::Duration;

use tonic::Code;
use writ_bus::accounts;
use writ_core::{
    enrol::{Outcome, Refusal, Token},
    name::Region,
    subject::BusSubject,
};

use crate::asker::{
    Kit, Pairs, add, add_request, ask, ask_within, cluster, enrolment_client, entry, hub, sender,
    token_keys, try_connect,
};

const NAME: &str = "eu-prod-1";

/// In which nothing is answered where nothing should be.
const SILENCE: Duration = Duration::from_secs(2);

fn subject() -> BusSubject {
    BusSubject::Enrol(cluster(NAME))
}

fn own_inbox() -> String {
    accounts::cluster_inbox(&Region::parse("eu").unwrap(), &cluster(NAME))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_lets_one_cluster_in_once_and_a_lost_answer_is_asked_for_again() {
    let hub = hub(2, &[]).await;
    let kit = add(&hub, NAME, 1).await;
    assert_eq!(entry(&hub, NAME).await.unwrap().phase, "pending");
    let client = enrolment_client(&hub, NAME, &kit).await;
    let (own, thief) = (Pairs::of(1), Pairs::of(2));

    let outcome = ask(&hub, &client, &subject(), &own, Some(&kit.token))
        .await
        .unwrap();
    let credentials = own.credentials(&outcome);
    assert!(try_connect(&hub, credentials, &own_inbox()).await.is_some());
    let active = entry(&hub, NAME).await.unwrap();
    assert_eq!((active.phase.as_str(), active.generation), ("active", 2));
    assert_eq!(active.fingerprint, own.fingerprint(NAME).to_string());
    assert_eq!(active.author, format!("cluster:{NAME}"));

    // As if the answer had been lost; nothing is written for it.
    for _ in 0..2 {
        let again = ask(&hub, &client, &subject(), &own, Some(&kit.token)).await;
        own.credentials(&again.unwrap());
    }
    assert_eq!(entry(&hub, NAME).await.unwrap().generation, 2);
    // Whoever finds the token later gets nothing, and is seen.
    let used = ask(&hub, &client, &subject(), &thief, Some(&kit.token)).await;
    assert_eq!(used, Some(Outcome::Refused(Refusal::TokenUsed)));
    let shown = entry(&hub, NAME).await.unwrap().refused;
    assert_eq!(shown, [format!("TokenUsed {}", thief.fingerprint(NAME))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_use_a_token_at_once_one_is_let_in() {
    let hub = hub(3, &[]).await;
    let kit = add(&hub, NAME, 1).await;
    let subject = subject();
    let asks = (1..=4).map(async |seed| {
        let client = enrolment_client(&hub, NAME, &kit).await;
        ask(&hub, &client, &subject, &Pairs::of(seed), Some(&kit.token)).await
    });
    let outcomes = futures::future::join_all(asks).await;
    let active = |outcome: &&Option<Outcome>| matches!(outcome, Some(Outcome::Active { .. }));
    assert_eq!(outcomes.iter().filter(active).count(), 1, "{outcomes:?}");
    let used = Some(Outcome::Refused(Refusal::TokenUsed));
    assert_eq!(outcomes.iter().filter(|of| **of == used).count(), 3);
    assert_eq!(entry(&hub, NAME).await.unwrap().generation, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expired_or_is_another_clusters_is_refused() {
    let hub = hub(1, &[("token-life-s", "2")]).await;
    let kit = add(&hub, NAME, 1).await;
    let other = add(&hub, "eu-prod-2", 2).await;
    let client = enrolment_client(&hub, NAME, &kit).await;
    let pairs = Pairs::of(1);
    let wrong = ask(&hub, &client, &subject(), &pairs, Some(&other.token)).await;
    assert_eq!(wrong, Some(Outcome::Refused(Refusal::WrongToken)));
    let shown = entry(&hub, NAME).await.unwrap().refused;
    assert_eq!(shown, [format!("WrongToken {}", pairs.fingerprint(NAME))]);
    // Its user can't even speak for the other cluster.
    let elsewhere = BusSubject::Enrol(cluster("eu-prod-2"));
    let silence = ask_within(
        &hub,
        &client,
        &elsewhere,
        &pairs,
        Some(&other.token),
        SILENCE,
    )
    .await;
    assert_eq!(silence, None);
    // The bus itself ends the token's user with the token.
    let inbox = format!("_INBOX.enrol.{NAME}");
    let seed = writ_core::enrol::nkey::seed_text(&kit.token.bus_seed(&cluster(NAME)));
    writ_tests::hub::until("the token's user is shut out", async || {
        let user = writ_bus::enrol::credentials(&kit.response.enrol_credentials, Some(&seed));
        try_connect(&hub, user.unwrap(), &inbox)
            .await
            .is_none()
            .then_some(())
    })
    .await;
    assert_eq!(entry(&hub, NAME).await.unwrap().phase, "pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_again_makes_one_cluster_and_one_token() {
    let hub = hub(2, &[]).await;
    let token = Token::new([1; 32]);
    let request = add_request(NAME, Some(&token), "one");
    let first = hub
        .clusters(0)
        .add(request.clone())
        .await
        .unwrap()
        .into_inner();
    let again = hub.clusters(1).add(request).await.unwrap().into_inner();
    assert_eq!(
        first.edit.unwrap().generation,
        again.edit.as_ref().unwrap().generation
    );
    let kit = Kit {
        token,
        response: again,
    };
    let client = enrolment_client(&hub, NAME, &kit).await;
    let pairs = Pairs::of(1);
    let outcome = ask(&hub, &client, &subject(), &pairs, Some(&kit.token)).await;
    pairs.credentials(&outcome.unwrap());
    let anew = hub
        .clusters(0)
        .add(add_request(NAME, None, "two"))
        .await
        .unwrap_err();
    assert_eq!(anew.code(), Code::AlreadyExists);
    assert!(anew.message().contains("reenrol"), "{}", anew.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuilt_cluster_enrols_anew_and_its_old_keys_are_good_for_nothing() {
    let hub = hub(1, &[]).await;
    let kit = add(&hub, NAME, 1).await;
    let client = enrolment_client(&hub, NAME, &kit).await;
    let (old, new) = (Pairs::of(1), Pairs::of(2));
    let outcome = ask(&hub, &client, &subject(), &old, Some(&kit.token))
        .await
        .unwrap();
    let as_cluster = try_connect(&hub, old.credentials(&outcome), &own_inbox())
        .await
        .unwrap();

    let token = Token::new([3; 32]);
    let request = writ_proto::v1::ReenrolClusterRequest {
        name: NAME.to_owned(),
        token: Some(token_keys(&token, NAME)),
        ..Default::default()
    };
    let response = hub.clusters(0).reenrol(request).await.unwrap().into_inner();
    let pending = entry(&hub, NAME).await.unwrap();
    assert_eq!(
        (pending.phase.as_str(), pending.fingerprint.as_str()),
        ("pending", "")
    );
    let renew = BusSubject::Renew(sender(NAME));
    let renewed = ask_within(&hub, &as_cluster, &renew, &old, None, SILENCE).await;
    // Refused, or not even heard where the bus has cut it off already.
    let revoked = Outcome::Refused(Refusal::KeysRevoked);
    assert!(
        renewed.is_none() || renewed == Some(revoked.clone()),
        "{renewed:?}"
    );

    let anew = Kit { token, response };
    let client = enrolment_client(&hub, NAME, &anew).await;
    // A thief of the old keys who finds the new token, too.
    let stolen = ask(&hub, &client, &subject(), &old, Some(&anew.token)).await;
    assert_eq!(stolen, Some(revoked));
    let outcome = ask(&hub, &client, &subject(), &new, Some(&anew.token))
        .await
        .unwrap();
    assert!(
        try_connect(&hub, new.credentials(&outcome), &own_inbox())
            .await
            .is_some()
    );
}
