//! What whoever enrols, asks or renews reaches: its own subject, its own answers, and nothing else.

use tokio::time::timeout;
use writ_bus::{
    accounts,
    connection::Login,
    identity::{Credentials, UserKey},
    live,
    read::{self, Via},
    streams::Stream,
};
use writ_core::name::ClusterName;
use writ_sandbox::identity::now_s;

use crate::{
    harness::{Bus, DEADLINE, Plain, batch_of, commit, plain, subject, try_plain},
    leaf::Scene,
};
use futures::StreamExt as _;

fn name() -> ClusterName {
    ClusterName::parse("eu-9").unwrap()
}

/// The user of a token for `eu-9`.
fn enrolling(bus: &Bus) -> Login {
    let key = UserKey::generate();
    let agents = bus.keys.registrar().agents();
    let token = agents.enrolment_user(&name(), &key.public(), now_s(), now_s() + 60);
    Login::of(Credentials::new(&token.unwrap(), Some(key)).unwrap())
}

/// The user of one who asks as `eu-9` and holds no secret.
fn asking(bus: &Bus) -> Login {
    let key = UserKey::generate().public();
    let agents = bus.keys.registrar().agents();
    let token = agents.request_user(&name(), &key, now_s(), now_s() + 60);
    Login::of(Credentials::new(&token.unwrap(), None).unwrap())
}

/// A connection that shows its token alone.
async fn bearer(url: &str, login: &Login) -> async_nats::Client {
    let token = login.read().unwrap().token().to_string();
    async_nats::ConnectOptions::with_auth_callback(move |_| {
        let mut auth = async_nats::Auth::new();
        auth.jwt = Some(token.clone());
        std::future::ready(Ok(auth))
    })
    .custom_inbox_prefix(accounts::enrol_inbox(&name()))
    .connect(url)
    .await
    .unwrap()
}

/// Asks and is answered, as a publisher does it: under the name, never under the reply subject.
async fn is_answered(publisher: &Plain, asks: &async_nats::Client, at: &str) {
    let mut asked = publisher.client.subscribe(at.to_owned()).await.unwrap();
    publisher.client.flush().await.unwrap();
    let own = format!("{}.one", accounts::enrol_inbox(&name()));
    let mut answers = asks.subscribe(own.clone()).await.unwrap();
    asks.flush().await.unwrap();
    // Behind a leaf it takes a moment until both know of each other.
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        asks.publish(at.to_owned(), "let me in".into())
            .await
            .unwrap();
        let pause = std::time::Duration::from_millis(200);
        if let Ok(Some(message)) = timeout(pause, asked.next()).await {
            assert_eq!(message.subject.as_str(), at);
            publisher
                .client
                .publish(own.clone(), "welcome".into())
                .await
                .unwrap();
        }
        if let Ok(Some(message)) = timeout(pause, answers.next()).await {
            assert_eq!(message.payload, "welcome");
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "no answer");
    }
}

#[tokio::test]
async fn who_enrols_asks_or_renews_is_answered_at_the_hub_and_behind_a_leaf() {
    let scene = Scene::start().await;
    let publisher = scene.bus.plain_publisher().await;
    for url in [scene.bus.url(), &scene.url] {
        let inbox = accounts::enrol_inbox(&name());
        let enrols = plain(url, &enrolling(&scene.bus), &inbox).await;
        is_answered(&publisher, &enrols.client, "writ.enrol.eu-9").await;
        let asks = bearer(url, &asking(&scene.bus)).await;
        is_answered(&publisher, &asks, "writ.request.eu-9").await;
    }
}

#[tokio::test]
async fn a_token_reaches_its_own_subject_and_nothing_else() {
    let bus = Bus::start().await;
    let inbox = accounts::enrol_inbox(&name());
    let mut enrols = plain(bus.url(), &enrolling(&bus), &inbox).await;
    for denied in [
        "writ.enrol.eu-1",
        "writ.request.eu-9",
        "writ.renew.eu.prod.eu-9",
        "writ.ack.eu.prod.eu-9",
        "writ.pulse.eu.prod.eu-9",
        "writ.root",
        "writ.live.beat",
        "$JS.API.DIRECT.GET.WRIT.writ.root",
        "_INBOX.enrol.eu-1.x",
    ] {
        enrols.client.publish(denied, "".into()).await.unwrap();
        assert!(enrols.violation().await.contains(denied));
    }
    for denied in [
        "_INBOX.enrol.eu-1.>",
        "_INBOX.enrol.>",
        "writ.live.beat",
        "_INBOX.eu.eu-9.>",
        ">",
    ] {
        let _kept = enrols.client.subscribe(denied).await.unwrap();
        assert!(enrols.violation().await.contains(&format!("\"{denied}\"")));
    }
    // A request's token needs no seed; an enrolment's does.
    let token = enrolling(&bus).read().unwrap().token().clone();
    let stolen = Login::of(Credentials::new(&token, None).unwrap());
    let refused = writ_bus::connect(writ_bus::Options {
        url: bus.url().to_owned(),
        login: stolen,
        inbox: inbox.clone(),
        name: "thief".to_owned(),
        first_connect: writ_bus::connection::FirstConnect::Now,
    });
    assert!(refused.await.is_err());
    // Too large a question is refused with the connection.
    let mut large = try_plain(bus.url(), &enrolling(&bus), &inbox)
        .await
        .unwrap();
    large
        .client
        .publish("writ.enrol.eu-9", vec![0; 64 * 1024].into())
        .await
        .unwrap_or_default();
    large.client.flush().await.unwrap_or_default();
    large.lost().await;
}

/// Where somebody who enrols would like an answer to be stored or heard.
const TARGETS: [&str; 8] = [
    "writ.intent.policy.a",
    "writ.event.policy.eu.prod.a",
    "writ.index.policy.eu.prod",
    "writ.root",
    "writ.ack.us.stage.us-1",
    "writ.pulse.us.stage.us-1",
    "writ.live.beat",
    "$JS.API.STREAM.PURGE.WRIT",
];

#[tokio::test]
async fn the_reply_subject_of_an_enrolment_writes_nowhere() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let last = commit(&publisher, &batch_of(&[], "true", 0)).await;
    let mut heard = live::listen_as_publisher(&publisher).await.unwrap();
    read::get(&publisher, &subject("writ.root"), Via::Near)
        .await
        .unwrap();
    let mut answers = bus.plain_publisher().await;
    let mut asked = answers.client.subscribe("writ.enrol.*").await.unwrap();
    answers.client.flush().await.unwrap();
    let inbox = accounts::enrol_inbox(&name());
    let enrols = plain(bus.url(), &enrolling(&bus), &inbox).await;
    for target in TARGETS {
        enrols
            .client
            .publish_with_reply("writ.enrol.eu-9", target, "".into())
            .await
            .unwrap();
        let message = timeout(DEADLINE, asked.next()).await.unwrap().unwrap();
        let reply = message.reply.unwrap();
        assert_ne!(
            reply.as_str(),
            target,
            "the server puts its own in the place"
        );
        // A publisher that answered it all the same may not.
        answers
            .client
            .publish(reply.clone(), "forged".into())
            .await
            .unwrap();
        assert!(answers.violation().await.contains(reply.as_str()));
    }
    let other = subject("writ.ack.us.stage.us-1");
    let stored = read::last_by_subject(&publisher, Stream::Acks, &other).await;
    assert_eq!(stored.unwrap(), None);
    assert_eq!(
        commit(&publisher, &batch_of(&[], "true", last)).await,
        last + 1
    );
    live::publish_beat(&publisher, "true".into()).await.unwrap();
    let heard = crate::harness::next_message(&mut heard).await;
    assert_eq!(heard, ("writ.live.beat".to_owned(), "true".to_owned()));
}
