//! A cluster that joins: the configuration is written again and reloaded.

use tokio::time::{Instant, sleep};
use writ_bus::{
    Options, accounts, connect,
    connection::FirstConnect,
    live,
    read::{self, Via},
};

use crate::harness::{Bus, DEADLINE, batch_of, commit, member, next_message, subject, user};

#[tokio::test]
async fn a_cluster_that_joins_disturbs_nobody() {
    let mut bus = Bus::start().await;
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

    let joined = member("ap-1", "ap", "prod");
    bus.config.clusters.push(user(&joined));
    bus.reload().await;
    let start = Instant::now();
    let client = loop {
        let options = Options {
            url: bus.url().to_owned(),
            seed: joined.keys.seed().unwrap(),
            inbox: accounts::cluster_inbox(&joined.sender.region, &joined.sender.cluster),
            name: "ap-1".to_owned(),
            first_connect: FirstConnect::Now,
        };
        match connect(options).await {
            Ok(client) => break client,
            Err(error) => assert!(start.elapsed() < DEADLINE, "{error}"),
        }
        sleep(std::time::Duration::from_millis(50)).await;
    };
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
async fn a_user_that_the_server_does_not_know_is_refused() {
    let bus = Bus::start_without_streams().await;
    let stranger = member("eu-1", "eu", "prod");
    let result = connect(Options {
        url: bus.url().to_owned(),
        seed: stranger.keys.seed().unwrap(),
        inbox: "_INBOX.eu.eu-1".to_owned(),
        name: "stranger".to_owned(),
        first_connect: FirstConnect::Now,
    })
    .await;
    assert!(result.is_err());
}
