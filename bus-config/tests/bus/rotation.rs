//! The key that signs a role's users is replaced, by what `writ-bus rotate` and `retire` do to both folders.

use std::collections::BTreeSet;

use tokio::time::{Duration, Instant, sleep};
use writ_bus::{
    accounts,
    connection::Login,
    identity::Role,
    live,
    read::{self, Via},
};
use writ_core::name::Name;
use writ_sandbox::identity::now_s;

use crate::harness::{Bus, DEADLINE, Member, batch_of, commit, member, open, subject, try_open};

fn inbox(member: &Member) -> String {
    accounts::cluster_inbox(&member.sender.region, &member.sender.cluster)
}

/// Renders the hub's configuration again and restarts its server, in another second than before: accounts
/// are compared by the time at which they were issued.
async fn restart(bus: &mut Bus) {
    let second = now_s();
    while now_s() == second {
        sleep(Duration::from_millis(20)).await;
    }
    let dir = bus.config.accounts.dir.clone();
    bus.config.accounts = bus.keys.accounts(dir).unwrap();
    bus.restart().await;
}

fn publisher(bus: &Bus) -> Login {
    let name = Name::parse("publisher-1").unwrap();
    Login::of(bus.keys.publisher(&name).unwrap())
}

#[tokio::test]
async fn a_publishers_signing_key_is_replaced_without_a_gap_and_the_old_one_signs_nobody_after() {
    const INBOX: &str = "_INBOX.publisher.publisher-1";
    let mut bus = Bus::start().await;
    let before = publisher(&bus);
    commit(
        &open(bus.url(), &before, INBOX).await,
        &batch_of(&[], "1", 0),
    )
    .await;

    // Before the servers know of it, nobody whom the new key signed is let in.
    bus.keys.rotate(&Role::Publisher).unwrap();
    let after = publisher(&bus);
    assert!(try_open(bus.url(), &after, INBOX).await.is_err());
    restart(&mut bus).await;
    let old = open(bus.url(), &before, INBOX).await;
    let new = open(bus.url(), &after, INBOX).await;
    for client in [&old, &new] {
        let root = read::get(client, &subject("writ.root"), Via::Near).await;
        assert!(root.unwrap().is_some());
    }
    // Rotated again before it ended, nothing changes.
    bus.keys.rotate(&Role::Publisher).unwrap();
    assert!(try_open(bus.url(), &publisher(&bus), INBOX).await.is_ok());

    bus.keys.retire(&Role::Publisher).unwrap();
    restart(&mut bus).await;
    assert!(try_open(bus.url(), &before, INBOX).await.is_err());
    let new = open(bus.url(), &after, INBOX).await;
    let root = read::get(&new, &subject("writ.root"), Via::Near).await;
    assert!(root.unwrap().is_some());
    // The others' keys are what they were.
    open(
        bus.url(),
        &bus.user(&Role::Installer),
        accounts::INSTALLER_INBOX,
    )
    .await;
    open(bus.url(), &bus.us.login, &inbox(&bus.us)).await;
}

#[tokio::test]
async fn the_clusters_signing_key_is_replaced_by_the_registrar_without_a_restart_of_any_server() {
    let mut bus = Bus::start().await;
    let registrar = bus.start_registrar().await;
    registrar.send(Some(BTreeSet::new())).unwrap();
    let before = member(&bus.keys, "eu-7", "eu", "prod");
    let mut old = bus.plain(&before.login, &inbox(&before)).await;
    drop(registrar);

    // The registrar is started again with its folder as it is now, and tells all servers.
    bus.keys.rotate(&Role::Cluster).unwrap();
    let registrar = bus.start_registrar().await;
    registrar.send(Some(BTreeSet::new())).unwrap();
    let after = member(&bus.keys, "eu-8", "eu", "prod");
    let since = Instant::now();
    while try_open(bus.url(), &after.login, &inbox(&after))
        .await
        .is_err()
    {
        assert!(since.elapsed() < DEADLINE, "the new key counts nowhere");
    }
    // Whom the old one signed stands, and comes again.
    old.stands().await;
    open(bus.url(), &before.login, &inbox(&before)).await;
    let mut new = bus.plain(&after.login, &inbox(&after)).await;
    drop(registrar);

    bus.keys.retire(&Role::Cluster).unwrap();
    let registrar = bus.start_registrar().await;
    let since = Instant::now();
    registrar.send(Some(BTreeSet::new())).unwrap();
    let lost = old.lost().await - since;
    eprintln!("from the end of the old key to the lost connection: {lost:?}");
    assert!(
        try_open(bus.url(), &before.login, &inbox(&before))
            .await
            .is_err()
    );
    new.stands().await;
    let client = open(bus.url(), &after.login, &inbox(&after)).await;
    live::publish_ack(&client, &after.sender, "here".into())
        .await
        .unwrap();
}
