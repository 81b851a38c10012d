//! A cluster that joins, and users that do not: what a server asks of a token.

use writ_bus::{
    accounts,
    connection::Login,
    identity::{Credentials, UserKey},
    live,
    read::{self, Via},
};
use writ_sandbox::identity::{BusKeys, now_s};

use crate::harness::{Bus, batch_of, commit, member, next_message, open, subject, try_open};

#[tokio::test]
async fn a_cluster_that_joins_disturbs_nobody_and_needs_nothing_of_the_server() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let old = bus.cluster(&bus.eu).await;
    let mut heard = live::listen_as_cluster(&old, &bus.eu.sender.region, &bus.eu.sender.stage)
        .await
        .unwrap();
    read::get(&old, &subject("writ.root"), Via::Near)
        .await
        .unwrap();
    let root = commit(
        &publisher,
        &batch_of(&["writ.event.policy.eu.prod.a"], "1", 0),
    )
    .await;
    next_message(&mut heard).await;

    let joined = member(&bus.keys, "ap-1", "ap", "prod");
    let client = bus.cluster(&joined).await;
    assert!(
        read::get(&client, &subject("writ.root"), Via::Near)
            .await
            .unwrap()
            .is_some()
    );
    live::publish_ack(&client, &joined.sender, "here".into())
        .await
        .unwrap();

    // The old connection stood all the while: the next thing it hears is an event, not a gap.
    commit(
        &publisher,
        &batch_of(&["writ.event.policy.eu.prod.a"], "2", root),
    )
    .await;
    assert_eq!(
        next_message(&mut heard).await.1,
        "writ.event.policy.eu.prod.a 2"
    );
}

#[tokio::test]
async fn who_is_signed_by_another_bus_has_another_key_or_is_over_is_refused() {
    let bus = Bus::start_without_streams().await;
    let sender = &bus.eu.sender;
    let inbox = accounts::cluster_inbox(&sender.region, &sender.cluster);
    let other = BusKeys::generate(&[]).unwrap();
    let strange = member(&other, "eu-1", "eu", "prod").login;
    assert!(try_open(bus.url(), &strange, &inbox).await.is_err());

    // A true token without the key that it names: the seed is what proves it.
    let token = bus.eu.login.read().unwrap().token().clone();
    let bare = Login::of(Credentials::new(&token, None).unwrap());
    assert!(try_open(bus.url(), &bare, &inbox).await.is_err());

    let key = UserKey::generate();
    let (cluster, region, stage) = (&sender.cluster, &sender.region, &sender.stage);
    let agents = bus.keys.registrar().agents();
    let (from_s, to_s) = (now_s() - 100, now_s() - 10);
    let over = agents.cluster_user(cluster, region, stage, &key.public(), from_s, to_s);
    let over = Login::of(Credentials::new(&over.unwrap(), Some(key)).unwrap());
    assert!(try_open(bus.url(), &over, &inbox).await.is_err());
    open(bus.url(), &bus.eu.login, &inbox).await;
}
