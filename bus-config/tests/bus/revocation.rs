//! Who is cut off is out at once and for good, at the hub and behind a leaf.

use std::{collections::BTreeSet, time::Duration};

use futures::StreamExt as _;
use tokio::time::{Instant, sleep};
use writ_bus::{accounts, connection::Login, identity::Role, live};

use crate::{
    harness::{
        Bus, DEADLINE, Member, batch_of, commit, member, next_message, open, plain, try_open,
        try_plain,
    },
    leaf::{Scene, eu},
};

fn inbox(member: &Member) -> String {
    accounts::cluster_inbox(&member.sender.region, &member.sender.cluster)
}

/// Waits until a server lets a user in no more, and until it stays so.
async fn is_out(url: &str, member: &Member) -> Duration {
    let since = Instant::now();
    let inbox = inbox(member);
    while try_open(url, &member.login, &inbox).await.is_ok() {
        assert!(since.elapsed() < DEADLINE, "it is let in again and again");
    }
    since.elapsed()
}

#[tokio::test]
async fn a_cluster_that_is_cut_off_is_out_at_once_at_the_hub_and_behind_a_leaf() {
    let scene = Scene::start().await;
    let bus = &scene.bus;
    let publisher = bus.publisher().await;
    let registrar = bus.start_registrar().await;
    registrar.send(Some(BTreeSet::new())).unwrap();
    let stays = scene.cluster(&scene.other).await;
    let (region, stage) = (&scene.other.sender.region, &scene.other.sender.stage);
    let mut heard = live::listen_as_cluster(&stays, region, stage)
        .await
        .unwrap();
    let mut hub_times = Vec::new();
    let mut leaf_times = Vec::new();
    let mut out = BTreeSet::new();
    for number in 0..5 {
        let at_hub = member(&bus.keys, &format!("us-{number}"), "us", "stage");
        let at_leaf = member(&bus.keys, &format!("eu-{number}"), "eu", "prod");
        let mut near = bus.plain(&at_hub.login, &inbox(&at_hub)).await;
        let mut behind = scene.plain(&at_leaf, &inbox(&at_leaf)).await;
        out.extend([at_hub.key(), at_leaf.key()]);
        let since = Instant::now();
        registrar.send(Some(out.clone())).unwrap();
        hub_times.push(near.lost().await - since);
        leaf_times.push(behind.lost().await - since);
        // It may try wherever it likes; also when the account is pushed again.
        registrar.send(Some(out.clone())).unwrap();
        for url in [bus.url(), &scene.url] {
            for member in [&at_hub, &at_leaf] {
                let refused = try_open(url, &member.login, &inbox(member)).await;
                assert!(refused.is_err(), "{} at {url}", member.sender);
            }
        }
    }
    eprintln!("from the cut to the lost connection: hub {hub_times:?}, leaf {leaf_times:?}");
    for time in hub_times.iter().chain(&leaf_times) {
        assert!(*time < Duration::from_secs(2), "{time:?}");
    }
    // The others stood all the while: what it hears next is an event, and no gap.
    commit(
        &publisher,
        &batch_of(&["writ.event.policy.eu.prod.a"], "1", 0),
    )
    .await;
    assert_eq!(
        next_message(&mut heard).await.1,
        "writ.event.policy.eu.prod.a 1"
    );
}

#[tokio::test]
async fn who_is_cut_off_while_a_server_answers_waits_for_no_round() {
    let bus = Bus::start().await;
    let agents = &bus.keys.operator().realm().agents;
    let inbox = format!("{}.second", accounts::REGISTRAR_INBOX);
    let second = bus.plain(&bus.user(&Role::Registrar), &inbox).await;
    let subject = format!("$SYS.REQ.ACCOUNT.{agents}.CLAIMS.UPDATE");
    let mut pushes = second.client.subscribe(subject).await.unwrap();
    second.client.flush().await.unwrap();
    let registrar = bus.start_registrar().await;
    let mut out = BTreeSet::new();
    // The answer to each push comes as the next one is to be made.
    for number in 0..300 {
        out.insert(member(&bus.keys, &format!("us-{number}"), "us", "stage").key());
        let since = Instant::now();
        registrar.send(Some(out.clone())).unwrap();
        let next = tokio::time::timeout(DEADLINE, pushes.next()).await;
        assert!(next.is_ok(), "cut-off {number} waits for the next round");
        assert!(since.elapsed() < Duration::from_secs(10), "{number}");
    }
}

#[tokio::test]
async fn an_older_account_that_is_pushed_again_does_not_let_a_cluster_in() {
    let scene = Scene::start().await;
    let bus = &scene.bus;
    let agents = &bus.keys.operator().realm().agents;
    let older = bus
        .keys
        .registrar()
        .agents_account(&BTreeSet::new(), 1)
        .unwrap();
    let subject = format!("$SYS.REQ.ACCOUNT.{agents}.CLAIMS.UPDATE");
    // A thief with the registrar's credentials, and without the operator's key.
    let inbox_of_thief = format!("{}.thief", accounts::REGISTRAR_INBOX);
    let thief = bus
        .plain(&bus.user(&Role::Registrar), &inbox_of_thief)
        .await;
    let cut = &scene.eu;

    let registrar = bus.start_registrar().await;
    registrar.send(Some([cut.key()].into())).unwrap();
    is_out(bus.url(), cut).await;
    is_out(&scene.url, cut).await;
    for _ in 0..3 {
        let push = thief
            .client
            .request(subject.clone(), older.to_string().into());
        let answer = push.await.unwrap();
        let answer = String::from_utf8_lossy(&answer.payload).into_owned();
        assert!(answer.contains("jwt updated"), "servers take it: {answer}");
        let (hub, leaf) = (is_out(bus.url(), cut).await, is_out(&scene.url, cut).await);
        eprintln!("after an older account was pushed: out again at the hub {hub:?}, leaf {leaf:?}");
    }

    // It is the registrar that repairs it: without one, the servers stay with what they were sent.
    drop(registrar);
    let since = Instant::now();
    loop {
        let push = thief
            .client
            .request(subject.clone(), older.to_string().into());
        push.await.unwrap();
        sleep(Duration::from_millis(100)).await;
        if try_open(bus.url(), &cut.login, &inbox(cut)).await.is_ok() {
            break;
        }
        assert!(since.elapsed() < DEADLINE, "the registrar is still there");
    }
    // One that comes back finds out, and puts it right.
    let registrar = bus.start_registrar().await;
    registrar.send(Some([cut.key()].into())).unwrap();
    is_out(bus.url(), cut).await;
    is_out(&scene.url, cut).await;
}

#[tokio::test]
async fn a_server_that_was_away_or_starts_again_learns_who_is_cut_off() {
    let mut scene = Scene::start().await;
    let registrar = scene.bus.start_registrar().await;
    registrar.send(Some(BTreeSet::new())).unwrap();
    let mut behind = scene.plain(&scene.eu, &inbox(&scene.eu)).await;
    scene.link.cut();
    registrar.send(Some([scene.eu.key()].into())).unwrap();
    is_out(scene.bus.url(), &scene.eu).await;
    // The leaf does not know yet; it is told when the link is back, at the registrar's next round.
    assert!(
        try_open(&scene.url, &scene.eu.login, &inbox(&scene.eu))
            .await
            .is_ok()
    );
    scene.link.mend();
    let since = Instant::now();
    loop {
        // What a round does, without the wait for it.
        registrar
            .send(Some([scene.eu.key(), scene.bus.us.key()].into()))
            .unwrap();
        registrar.send(Some([scene.eu.key()].into())).unwrap();
        sleep(Duration::from_millis(200)).await;
        if try_open(&scene.url, &scene.eu.login, &inbox(&scene.eu))
            .await
            .is_err()
        {
            break;
        }
        assert!(since.elapsed() < DEADLINE, "the leaf is not told");
    }
    behind.lost().await;

    // The configuration still holds the account as it was at first; what came later is kept.
    scene.bus.restart().await;
    let refused = try_open(scene.bus.url(), &scene.eu.login, &inbox(&scene.eu)).await;
    assert!(refused.is_err());
    open(scene.bus.url(), &scene.bus.us.login, &inbox(&scene.bus.us)).await;
}

#[tokio::test]
async fn the_registrar_and_the_links_may_do_what_they_are_for_and_nothing_else() {
    let bus = Bus::start_with(|config| config.leafs = Some("127.0.0.1:0".parse().unwrap())).await;
    let agents = bus.keys.operator().realm().agents.clone();
    let inbox = format!("{}.1", accounts::REGISTRAR_INBOX);
    let mut registrar = bus.plain(&bus.user(&Role::Registrar), &inbox).await;
    let core = bus.keys.operator().realm().core.clone();
    for subject in [
        "$SYS.REQ.CLAIMS.UPDATE".to_owned(),
        "$SYS.REQ.CLAIMS.DELETE".to_owned(),
        "$SYS.REQ.CLAIMS.LIST".to_owned(),
        "$SYS.REQ.SERVER.PING".to_owned(),
        "$SYS.REQ.SERVER.PING.CONNZ".to_owned(),
        format!("$SYS.REQ.ACCOUNT.{core}.CLAIMS.UPDATE"),
        format!("$SYS.ACCOUNT.{agents}.CLAIMS.UPDATE"),
    ] {
        registrar
            .client
            .publish(subject.clone(), "".into())
            .await
            .unwrap();
        let violation = registrar.violation().await;
        assert!(violation.contains(&subject), "{violation}");
    }
    for subject in ["$SYS.>", "$SYS.ACCOUNT.*.CONNECT", ">"] {
        let _kept = registrar.client.subscribe(subject).await.unwrap();
        assert!(
            registrar
                .violation()
                .await
                .contains("Permissions Violation")
        );
    }
    // The links' users are leafs', and no clients.
    for role in [Role::ClaimsLink, Role::Link(eu())] {
        assert!(
            try_plain(bus.url(), &bus.user(&role), "_INBOX.x")
                .await
                .is_err(),
            "{role:?}"
        );
    }
    // A leaf's administrator is nobody at the hub.
    let of_leaf: Login = bus.user(&Role::LeafInstaller(eu()));
    assert!(
        try_plain(bus.url(), &of_leaf, accounts::INSTALLER_INBOX)
            .await
            .is_err()
    );
    // And a claim in another account reaches no server.
    let mut publisher = bus.plain_publisher().await;
    publisher
        .client
        .publish("$SYS.REQ.CLAIMS.UPDATE", "".into())
        .await
        .unwrap();
    assert!(publisher.violation().await.contains("CLAIMS.UPDATE"));
    let _ = plain(bus.url(), &bus.user(&Role::Backup), accounts::BACKUP_INBOX).await;
}
