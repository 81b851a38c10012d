//! Whoever asks: by the protocol itself, so that a test can ask what a subscriber never would.

use std::time::Duration;

use serde_json::{Value, json};
use writ_bus::{
    Client, Options,
    connection::{FirstConnect, Login},
    enrol,
    identity::Credentials,
    live::Signal,
};
use writ_core::{
    enrol::{Answer, Fingerprint, Outcome, Request, Token, nkey},
    envelope::SigningKey,
    model::ClusterKeys,
    name::{ClusterName, Region, Stage},
    subject::{BusSubject, Sender},
};
use writ_proto::{log, v1};
use writ_tests::hub::{Hub, Size};

use crate::WRIT;

/// How long an answer is waited for: a commit and the way take milliseconds.
const ANSWER_TIME: Duration = Duration::from_secs(10);

pub(crate) async fn hub(publishers: usize, flags: &[(&'static str, &str)]) -> Hub {
    let flags = flags
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()));
    let size = Size {
        publisher_flags: flags.collect(),
        ..Size::of(1, publishers)
    };
    Hub::start(WRIT, size).await
}

/// With a leaf node of eu beside it.
pub(crate) async fn hub_with_a_leaf() -> Hub {
    let size = Size {
        leaf: true,
        ..Size::of(1, 1)
    };
    Hub::start(WRIT, size).await
}

pub(crate) fn cluster(name: &str) -> ClusterName {
    ClusterName::parse(name).unwrap()
}

fn manifest(name: &str) -> Value {
    json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": name},
        "spec": {"region": "eu", "stage": "prod"},
    })
}

/// What a manifest brings to a cluster.
pub(crate) struct Kit {
    pub(crate) token: Token,
    pub(crate) response: v1::EnrolResponse,
}

pub(crate) fn token_keys(token: &Token, name: &str) -> v1::TokenKeys {
    let bus = SigningKey::from_seed(&token.bus_seed(&cluster(name))).public();
    v1::TokenKeys {
        bus_key: nkey::public_text(&bus),
        signing_key: token.signing_key(&cluster(name)).public().to_base64(),
    }
}

pub(crate) fn add_request(name: &str, token: Option<&Token>, id: &str) -> v1::AddClusterRequest {
    v1::AddClusterRequest {
        manifest: manifest(name).to_string(),
        request_id: id.to_owned(),
        token: token.map(|token| token_keys(token, name)),
        ..Default::default()
    }
}

/// Registers a cluster with a token of its own.
pub(crate) async fn add(hub: &Hub, name: &str, seed: u8) -> Kit {
    let token = Token::new([seed; 32]);
    let request = add_request(name, Some(&token), "");
    let response = hub.clusters(0).add(request).await.unwrap().into_inner();
    Kit { token, response }
}

/// A cluster's two pairs.
#[derive(Clone)]
pub(crate) struct Pairs {
    pub(crate) bus: [u8; 32],
    pub(crate) ack: [u8; 32],
}

impl Pairs {
    pub(crate) fn of(seed: u8) -> Pairs {
        Pairs {
            bus: [seed; 32],
            ack: [seed ^ 0xff; 32],
        }
    }

    pub(crate) fn public(&self) -> ClusterKeys {
        ClusterKeys {
            bus: nkey::public_text(&SigningKey::from_seed(&self.bus).public()),
            ack: SigningKey::from_seed(&self.ack).public().to_base64(),
        }
    }

    pub(crate) fn fingerprint(&self, name: &str) -> Fingerprint {
        Fingerprint::of(&cluster(name), &self.public())
    }

    /// The credentials that the bus gave for these keys.
    pub(crate) fn credentials(&self, outcome: &Outcome) -> Credentials {
        let Outcome::Active { credentials, .. } = outcome else {
            panic!("not let in: {outcome:?}")
        };
        enrol::credentials(credentials, Some(&nkey::seed_text(&self.bus))).unwrap()
    }
}

pub(crate) async fn try_connect(
    hub: &Hub,
    credentials: Credentials,
    inbox: &str,
) -> Option<Client> {
    try_connect_at(&hub.nats_url(), credentials, inbox).await
}

/// At another server than the hub's.
pub(crate) async fn try_connect_at(
    url: &str,
    credentials: Credentials,
    inbox: &str,
) -> Option<Client> {
    let options = Options {
        url: url.to_owned(),
        login: Login::of(credentials),
        inbox: inbox.to_owned(),
        name: "asker".to_owned(),
        first_connect: FirstConnect::Now,
    };
    writ_bus::connect(options).await.ok()
}

/// Connects with what a manifest brought.
pub(crate) async fn enrolment_client(hub: &Hub, name: &str, kit: &Kit) -> Client {
    let seed = nkey::seed_text(&kit.token.bus_seed(&cluster(name)));
    let credentials = enrol::credentials(&kit.response.enrol_credentials, Some(&seed)).unwrap();
    let inbox = format!("_INBOX.enrol.{name}");
    try_connect(hub, credentials, &inbox)
        .await
        .expect("the token's user is let in")
}

pub(crate) async fn request_client(hub: &Hub, name: &str, kit: &v1::EnrolResponse) -> Client {
    let credentials = enrol::credentials(&kit.request_credentials, None).unwrap();
    let inbox = format!("_INBOX.enrol.{name}");
    try_connect(hub, credentials, &inbox)
        .await
        .expect("whoever asks is let in")
}

/// Sends a request, and waits for its answer; nothing where there is none.
pub(crate) async fn ask(
    hub: &Hub,
    client: &Client,
    subject: &BusSubject,
    pairs: &Pairs,
    token: Option<&Token>,
) -> Option<Outcome> {
    ask_within(hub, client, subject, pairs, token, ANSWER_TIME).await
}

pub(crate) async fn ask_within(
    hub: &Hub,
    client: &Client,
    subject: &BusSubject,
    pairs: &Pairs,
    token: Option<&Token>,
    time: Duration,
) -> Option<Outcome> {
    let name = match subject {
        BusSubject::Enrol(name) | BusSubject::Request(name) => name.clone(),
        BusSubject::Renew(sender) => sender.cluster.clone(),
        other => panic!("{other}"),
    };
    let token = token.map(|token| token.signing_key(&name));
    let request = Request {
        cluster: name.clone(),
        keys: pairs.public(),
        token: token.as_ref().map(|token| token.public().to_base64()),
        nonce: rand::random(),
    };
    let keys = [&pairs.bus, &pairs.ack].map(SigningKey::from_seed);
    let sealed = log::seal_request(&request, subject, [&keys[0], &keys[1]], token.as_ref());
    send(
        hub,
        client,
        subject,
        &name,
        request.nonce,
        sealed.bytes,
        time,
    )
    .await
}

/// Sends bytes as a request.
pub(crate) async fn send(
    hub: &Hub,
    client: &Client,
    subject: &BusSubject,
    name: &ClusterName,
    nonce: [u8; 16],
    bytes: Vec<u8>,
    time: Duration,
) -> Option<Outcome> {
    let mut answers = enrol::listen_for_answers(client, name).await.unwrap();
    enrol::ask(client, subject, bytes.into()).await.unwrap();
    let wanted = BusSubject::Enrolled {
        cluster: name.clone(),
        nonce,
    };
    let deadline = tokio::time::Instant::now() + time;
    while let Ok(Some(signal)) = tokio::time::timeout_at(deadline, answers.next()).await {
        if let Signal::Message { subject, bytes, .. } = signal
            && subject == wanted
        {
            let opened = log::open::<Answer>(&wanted, &bytes, &hub.trusted());
            return Some(opened.expect("signed by a publisher").value.outcome);
        }
    }
    None
}

pub(crate) fn sender(name: &str) -> Sender {
    Sender {
        region: Region::parse("eu").unwrap(),
        stage: Stage::parse("prod").unwrap(),
        cluster: cluster(name),
    }
}

pub(crate) async fn entry(hub: &Hub, name: &str) -> Option<v1::Cluster> {
    let request = v1::GetRequest {
        name: name.to_owned(),
        ..Default::default()
    };
    let answer = hub.clusters(0).get(request).await.ok()?;
    answer.into_inner().cluster
}
