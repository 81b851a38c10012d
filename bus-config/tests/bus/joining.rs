//! A cluster that joins, and users that do not: what a server asks of a token.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use tokio::{sync::watch, time::timeout};
use writ_bus::{
    accounts,
    connection::Login,
    identity::{Credentials, UserKey},
    live::{self, Signal},
    read::{self, Via},
};
use writ_sandbox::identity::{BusKeys, now_s};

use crate::harness::{
    Bus, DEADLINE, batch_of, commit, listen, member, next_message, open, subject, try_open,
    try_plain,
};

#[tokio::test]
async fn a_cluster_that_joins_disturbs_nobody_and_needs_nothing_of_the_server() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let old = bus.cluster(&bus.eu).await;
    let mut heard = listen(&old, &bus.eu.sender).await;
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

#[tokio::test]
async fn credentials_that_end_end_the_connection_and_renewed_ones_take_it_up_again() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    commit(&publisher, &batch_of(&[], "1", 0)).await;
    let sender = &bus.eu.sender;
    let made = |life_s| {
        let (cluster, region, stage) = (&sender.cluster, &sender.region, &sender.stage);
        Arc::new(
            bus.keys
                .cluster_for(cluster, region, stage, life_s)
                .unwrap(),
        )
    };
    let (renewed, latest) = watch::channel(made(3));
    let inbox = accounts::cluster_inbox(&sender.region, &sender.cluster);
    let client = open(bus.url(), &Login::Latest(latest), &inbox).await;
    let mut heard = live::listen_as_cluster(&client, &sender.region, &sender.stage)
        .await
        .unwrap();
    renewed.send(made(60)).unwrap();
    // The server ends it, and it is there again.
    match timeout(DEADLINE, heard.next()).await.unwrap().unwrap() {
        Signal::Gap => {}
        other => panic!("{other:?}"),
    }
    let root = read::get(&client, &subject("writ.root"), Via::Near).await;
    assert!(root.unwrap().is_some());

    // Before they end, the connection can be made anew without the server's word.
    client.reconnect().await;
    match timeout(DEADLINE, heard.next()).await.unwrap().unwrap() {
        Signal::Gap => {}
        other => panic!("{other:?}"),
    }
}

/// What the theft of the clusters' signing key is worth: everything that clusters may, of every scope,
/// and nothing in the account of the streams.
#[tokio::test]
async fn a_thief_of_the_clusters_signing_key_gets_clusters_rights_and_no_more() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let all = ["writ.event.policy.us.stage.a", "writ.intent.policy.a"];
    commit(&publisher, &batch_of(&all, "1", 0)).await;
    let folder = tempfile::tempdir().unwrap();
    let registrar = folder.path().join("registrar");
    bus.keys
        .store(&folder.path().join("operator"), &registrar)
        .unwrap();
    let seed = std::fs::read_to_string(registrar.join("cluster.seed")).unwrap();
    let signer = nkeys::KeyPair::from_seed(&seed).unwrap();
    let user = UserKey::generate();
    let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let forge = |grants: serde_json::Value| {
        let mut nats = serde_json::json!({
            "issuer_account": bus.keys.operator().realm().agents,
            "tags": ["region:*", "stage:*"], "type": "user", "version": 2,
        });
        nats.as_object_mut()
            .unwrap()
            .extend(grants.as_object().unwrap().clone());
        let claims = serde_json::json!({
            "jti": "x", "iat": now_s(), "exp": now_s() + 60, "iss": signer.public_key(),
            "name": "*", "sub": user.public(), "nats": nats,
        });
        let header = encode(r#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
        let text = format!("{header}.{}", encode(&claims.to_string()));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(signer.sign(text.as_bytes()).unwrap());
        let seed = user.seed();
        let file = format!(
            "-----BEGIN NATS USER JWT-----\n{text}.{signature}\n------END NATS USER JWT------\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            &*seed
        );
        Login::of(Credentials::parse(&file).unwrap())
    };
    // Rights of its own are refused, and so is another account.
    let more = serde_json::json!({"pub": {"allow": [">"]}});
    assert!(
        try_plain(bus.url(), &forge(more), "_INBOX.x.y")
            .await
            .is_err()
    );
    let core = serde_json::json!({"issuer_account": bus.keys.operator().realm().core});
    assert!(
        try_plain(bus.url(), &forge(core), "_INBOX.x.y")
            .await
            .is_err()
    );

    let mut thief = try_plain(bus.url(), &forge(serde_json::json!({})), "_INBOX.x.y")
        .await
        .unwrap();
    let request = "$JS.API.DIRECT.GET.WRIT.writ.event.policy.us.stage.a";
    let read = thief.client.request(request, "".into()).await.unwrap();
    assert_eq!(
        read.payload, "writ.event.policy.us.stage.a 1",
        "it reads every scope"
    );
    for subject in [
        "writ.root",
        "writ.intent.policy.a",
        "writ.event.policy.us.stage.a",
        "writ.live.beat",
        "$JS.API.DIRECT.GET.WRIT.writ.intent.policy.a",
        "$JS.API.STREAM.INFO.WRIT",
        "$JS.API.CONSUMER.CREATE.WRIT.x",
        "$SYS.REQ.CLAIMS.UPDATE",
    ] {
        thief.client.publish(subject, "".into()).await.unwrap();
        assert!(thief.violation().await.contains(subject));
    }
}
