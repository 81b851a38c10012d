//! Clusters behind a leaf node: real hub, real leaf, and a link in between that can be cut.

use std::{fs, time::Duration};

use tempfile::TempDir;
use tokio::{
    process::Child,
    time::{Instant, sleep, timeout},
};
use writ_bus::{
    Client, accounts,
    connection::Login,
    identity::Role,
    leaf::{LeafConfig, Link},
    live::{self, Live, Signal},
    mirror,
    read::{self, Via},
    streams::Stream,
};
use writ_core::name::Region;
use writ_sandbox::relay::Relay;

use crate::harness::{
    Bus, DEADLINE, Member, Plain, batch_of, commit, member, next_message, open, plain, spawn,
    subject, wait_for_url,
};

/// A hub, and the leaf of region eu with two clusters.
pub(crate) struct Scene {
    pub(crate) bus: Bus,
    pub(crate) link: Relay,
    pub(crate) eu: Member,
    pub(crate) other: Member,
    installer: Login,
    _server: Child,
    folder: TempDir,
    pub(crate) url: String,
}

pub(crate) fn eu() -> Region {
    Region::parse("eu").unwrap()
}

impl Scene {
    pub(crate) async fn start() -> Scene {
        let listen = "127.0.0.1:0".parse().unwrap();
        let bus = Bus::start_with(|config| config.leafs = Some(listen)).await;
        mirror::install_feed(&bus.installer().await, &eu())
            .await
            .unwrap();
        let hub = bus.leaf_address();
        let link = Relay::to(hub).await.unwrap();
        let folder = tempfile::Builder::new()
            .prefix("writ-leaf-")
            .tempdir()
            .unwrap();
        let one = member(&bus.keys, "eu-1", "eu", "prod");
        let other = member(&bus.keys, "eu-2", "eu", "prod");
        let installer = bus.keys.user(&Role::LeafInstaller(eu())).unwrap();
        let installer = Login::of(installer);
        let realm = bus.keys.operator().realm();
        let keep = |role: &Role, account, name: &str| {
            let credentials = folder.path().join(name);
            fs::write(&credentials, bus.keys.user(role).unwrap().to_file()).unwrap();
            Link {
                account,
                credentials,
            }
        };
        let accounts = folder.path().join("accounts");
        let config = LeafConfig {
            region: eu(),
            listen,
            store_dir: folder.path().join("store"),
            ports_dir: Some(folder.path().to_owned()),
            hub: vec![link.address()],
            link: keep(&Role::Link(eu()), realm.core.clone(), "link.creds"),
            claims: keep(&Role::ClaimsLink, realm.system.clone(), "claims.creds"),
            accounts: bus.keys.leaf_accounts(&eu(), accounts).unwrap(),
        };
        fs::write(folder.path().join("nats.conf"), config.render().unwrap()).unwrap();
        let server = spawn(folder.path()).await;
        let url = wait_for_url(folder.path()).await;
        let leaf = open(&url, &installer, accounts::INSTALLER_INBOX).await;
        mirror::install(&leaf, &eu()).await.unwrap();
        // Installing twice is the same as once.
        mirror::install(&leaf, &eu()).await.unwrap();
        mirror::install_feed(&bus.installer().await, &eu())
            .await
            .unwrap();
        Scene {
            bus,
            link,
            eu: one,
            other,
            installer,
            _server: server,
            folder,
            url,
        }
    }

    pub(crate) async fn cluster(&self, member: &Member) -> Client {
        let inbox = accounts::cluster_inbox(&member.sender.region, &member.sender.cluster);
        open(&self.url, &member.login, &inbox).await
    }

    async fn listen(&self, client: &Client) -> Live {
        let sender = &self.eu.sender;
        live::listen_as_cluster(client, &sender.region, &sender.stage)
            .await
            .unwrap()
    }

    pub(crate) async fn plain(&self, member: &Member, inbox: &str) -> Plain {
        plain(&self.url, &member.login, inbox).await
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("nats.log")).unwrap_or_default();
            eprintln!("the leaf's log:\n{log}");
            eprintln!("the hub's log:\n{}", self.bus.log());
        }
    }
}

/// Waits until a read says what it should.
async fn reads(client: &Client, text: &str, via: Via, expected: Option<&str>) -> Duration {
    let since = Instant::now();
    loop {
        let found = read::get(client, &subject(text), via).await;
        let found = found.map(|stored| stored.map(|stored| stored.bytes));
        if let Ok(found) = &found
            && found.as_deref() == expected.map(str::as_bytes)
        {
            return since.elapsed();
        }
        assert!(
            since.elapsed() < DEADLINE,
            "{text} is {found:?}, not {expected:?}"
        );
        sleep(Duration::from_millis(20)).await;
    }
}

const EVENT: &str = "writ.event.policy.eu.prod.a";

#[tokio::test]
async fn a_cluster_behind_a_leaf_hears_reads_and_answers() {
    let scene = Scene::start().await;
    let publisher = scene.bus.publisher().await;
    let cluster = scene.cluster(&scene.eu).await;
    let mut heard = scene.listen(&cluster).await;
    let last = commit(&publisher, &batch_of(&[EVENT], "1", 0)).await;
    reads(
        &cluster,
        EVENT,
        Via::Near,
        Some("writ.event.policy.eu.prod.a 1"),
    )
    .await;
    reads(&cluster, "writ.root", Via::Hub, Some("writ.root 1")).await;

    commit(&publisher, &batch_of(&[EVENT], "2", last)).await;
    let (live, text) = loop {
        let message = next_message(&mut heard).await;
        if message.1.ends_with('2') {
            break message;
        }
    };
    assert_eq!(
        (live.as_str(), text.as_str()),
        (
            "writ.live.policy.eu.prod.a",
            "writ.event.policy.eu.prod.a 2"
        )
    );
    // Once, and not again by the mirror.
    live::publish_beat(&publisher, "beat".into()).await.unwrap();
    assert_eq!(next_message(&mut heard).await.0, "writ.live.beat");

    let stored = live::publish_ack(&cluster, &scene.eu.sender, "ack".into()).await;
    assert_eq!(stored.unwrap(), 1);
    let mut pulses = live::listen_as_publisher(&publisher).await.unwrap();
    read::get(&publisher, &subject("writ.root"), Via::Near)
        .await
        .unwrap();
    let deadline = Instant::now() + DEADLINE;
    loop {
        // A pulse is not stored: until the leaf knows that it is listened for, it goes nowhere.
        live::publish_pulse(&cluster, &scene.eu.sender, "pulse".into())
            .await
            .unwrap();
        if let Ok(Some(Signal::Message { subject, .. })) =
            timeout(Duration::from_millis(100), pulses.next()).await
        {
            assert_eq!(subject.to_string(), "writ.pulse.eu.prod.eu-1");
            break;
        }
        assert!(Instant::now() < deadline, "no pulse");
    }
}

#[tokio::test]
async fn the_mirror_holds_what_the_region_may_read_and_nothing_else() {
    let scene = Scene::start().await;
    let publisher = scene.bus.publisher().await;
    let subjects = [
        "writ.intent.policy.a",
        EVENT,
        "writ.event.policy.us.stage.a",
        "writ.event.policy.all.stage.a",
        "writ.index.policy.eu.prod",
        "writ.index.policy.us.stage",
    ];
    commit(&publisher, &batch_of(&subjects, "1", 0)).await;
    let cluster = scene.cluster(&scene.eu).await;
    reads(&cluster, "writ.root", Via::Near, Some("writ.root 1")).await;
    let root = read::get(&cluster, &subject("writ.root"), Via::Near)
        .await
        .unwrap();
    assert_eq!(root.unwrap().sequence, 7, "sequences are the hub's");
    assert_eq!(scene.mirrored().await, 4);
}

#[tokio::test]
async fn while_the_hub_is_away_the_mirror_is_read_and_what_heals_converges() {
    let scene = Scene::start().await;
    let publisher = scene.bus.publisher().await;
    let cluster = scene.cluster(&scene.eu).await;
    let last = commit(&publisher, &batch_of(&[EVENT], "1", 0)).await;
    reads(&cluster, "writ.root", Via::Near, Some("writ.root 1")).await;

    scene.link.cut();
    let last = commit(&publisher, &batch_of(&[EVENT], "2", last)).await;
    // A cluster that starts now: reads the mirror, and learns at once that the hub is not there.
    let started = scene.cluster(&scene.other).await;
    reads(
        &started,
        EVENT,
        Via::Near,
        Some("writ.event.policy.eu.prod.a 1"),
    )
    .await;
    let since = Instant::now();
    while read::get(&started, &subject("writ.root"), Via::Hub)
        .await
        .is_ok()
    {
        assert!(since.elapsed() < DEADLINE, "the hub is still read");
    }

    scene.link.mend();
    let hub = reads(
        &started,
        EVENT,
        Via::Hub,
        Some("writ.event.policy.eu.prod.a 2"),
    )
    .await;
    let near = reads(
        &started,
        EVENT,
        Via::Near,
        Some("writ.event.policy.eu.prod.a 2"),
    )
    .await;
    eprintln!(
        "after a cut link: the hub is read after {hub:?}, the mirror is there {near:?} later"
    );
    assert!(hub + near < Duration::from_secs(20));
    let mut heard = scene.listen(&started).await;
    reads(&started, "writ.root", Via::Hub, Some("writ.root 2")).await;
    commit(&publisher, &batch_of(&[EVENT], "3", last)).await;
    loop {
        if next_message(&mut heard).await.1.ends_with('3') {
            break;
        }
    }
}

#[tokio::test]
async fn a_link_that_went_dead_without_an_end_is_noticed_and_made_anew() {
    let scene = Scene::start().await;
    let publisher = scene.bus.publisher().await;
    let cluster = scene.cluster(&scene.eu).await;
    let last = commit(&publisher, &batch_of(&[EVENT], "1", 0)).await;
    reads(&cluster, "writ.root", Via::Near, Some("writ.root 1")).await;
    scene.link.stall();
    let since = Instant::now();
    commit(&publisher, &batch_of(&[EVENT], "2", last)).await;
    // Long enough for the packets to be lost, not long enough to be noticed.
    let lost = read::get(&cluster, &subject("writ.root"), Via::Hub).await;
    assert!(lost.is_err(), "{lost:?}");
    scene.link.mend();
    let near = reads(
        &cluster,
        EVENT,
        Via::Near,
        Some("writ.event.policy.eu.prod.a 2"),
    )
    .await;
    let hub = reads(
        &cluster,
        EVENT,
        Via::Hub,
        Some("writ.event.policy.eu.prod.a 2"),
    )
    .await;
    let all = since.elapsed();
    eprintln!(
        "after a dead link: the mirror is there {near:?}, the hub is read {hub:?} later; {all:?} in all"
    );
    assert!(near + hub < Duration::from_secs(20));
}

#[tokio::test]
async fn the_hub_is_killed_and_comes_back() {
    let mut scene = Scene::start().await;
    let publisher = scene.bus.publisher().await;
    let cluster = scene.cluster(&scene.eu).await;
    let last = commit(&publisher, &batch_of(&[EVENT], "1", 0)).await;
    reads(&cluster, "writ.root", Via::Near, Some("writ.root 1")).await;
    drop(publisher);
    scene.bus.kill().await;
    reads(
        &cluster,
        EVENT,
        Via::Near,
        Some("writ.event.policy.eu.prod.a 1"),
    )
    .await;
    scene.bus.restart().await;
    let publisher = scene.bus.publisher().await;
    commit(&publisher, &batch_of(&[EVENT], "2", last)).await;
    let hub = reads(
        &cluster,
        EVENT,
        Via::Hub,
        Some("writ.event.policy.eu.prod.a 2"),
    )
    .await;
    let near = reads(
        &cluster,
        EVENT,
        Via::Near,
        Some("writ.event.policy.eu.prod.a 2"),
    )
    .await;
    eprintln!(
        "after a killed hub: the hub is read after {hub:?}, the mirror is there {near:?} later"
    );
    assert!(hub + near < Duration::from_secs(20));
}

/// Where a cluster behind a leaf would like its answers to be stored or heard.
const TARGETS: [&str; 9] = [
    "writ.intent.policy.a",
    "writ.event.policy.eu.prod.a",
    "writ.index.policy.eu.prod",
    "writ.root",
    "writ.ack.eu.prod.eu-2",
    "writ.pulse.eu.prod.eu-2",
    "writ.live.beat",
    "writ.mirror.eu",
    "$JS.hub.API.CONSUMER.RESET.WRIT.mirror-eu",
];

#[tokio::test]
async fn answers_to_a_cluster_behind_a_leaf_get_into_no_stream() {
    let scene = Scene::start().await;
    let publisher = scene.bus.publisher().await;
    let last = commit(
        &publisher,
        &batch_of(&[EVENT, "writ.intent.policy.a"], "true", 0),
    )
    .await;
    let cluster = scene.cluster(&scene.eu).await;
    reads(&cluster, "writ.root", Via::Near, Some("writ.root true")).await;
    let mut heard = live::listen_as_publisher(&publisher).await.unwrap();
    read::get(&publisher, &subject("writ.root"), Via::Near)
        .await
        .unwrap();

    let attacker = scene.plain(&scene.eu, "_INBOX.eu.eu-1").await;
    let mut acks = 0;
    for target in TARGETS {
        for request in [
            "$JS.API.DIRECT.GET.WRIT.writ.root",
            "$JS.hub.API.DIRECT.GET.WRIT.writ.root",
            "$JS.API.DIRECT.GET.WRIT.writ.event.policy.eu.prod.a",
            "$JS.hub.API.DIRECT.GET.WRIT.writ.event.policy.eu.prod.a",
            "writ.ack.eu.prod.eu-1",
        ] {
            attacker
                .client
                .publish_with_reply(request, target, "".into())
                .await
                .unwrap();
            acks += u64::from(request.starts_with("writ.ack"));
        }
    }
    attacker
        .client
        .request("$JS.hub.API.DIRECT.GET.WRIT.writ.root", "".into())
        .await
        .unwrap();
    let own = live::publish_ack(&cluster, &scene.eu.sender, "own".into()).await;
    assert_eq!(
        own.unwrap(),
        acks + 1,
        "its own acks are all that was stored"
    );
    let other = subject("writ.ack.eu.prod.eu-2");
    let stored = read::last_by_subject(&publisher, Stream::Acks, &other).await;
    assert_eq!(stored.unwrap(), None);
    let next = commit(&publisher, &batch_of(&[], "true", last)).await;
    assert_eq!(next, last + 1, "nothing got into the log in between");
    reads(&cluster, "writ.root", Via::Hub, Some("writ.root true")).await;
    live::publish_beat(&publisher, "true".into()).await.unwrap();
    let heard = next_message(&mut heard).await;
    assert_eq!(heard, ("writ.live.beat".to_owned(), "true".to_owned()));
}

#[tokio::test]
async fn other_scopes_other_names_and_other_forms_are_refused_behind_a_leaf() {
    let scene = Scene::start().await;
    let publisher = scene.bus.publisher().await;
    commit(
        &publisher,
        &batch_of(&[EVENT, "writ.event.policy.eu.stage.a"], "1", 0),
    )
    .await;
    let cluster = scene.cluster(&scene.eu).await;
    reads(&cluster, "writ.root", Via::Near, Some("writ.root 1")).await;
    let mut attacker = scene.plain(&scene.eu, "_INBOX.eu.eu-1").await;
    for prefix in ["$JS.API", "$JS.hub.API", "$JS.leaf-eu.API"] {
        for rest in [
            "DIRECT.GET.WRIT.writ.event.policy.us.stage.a",
            "DIRECT.GET.WRIT.writ.event.policy.eu.stage.a",
            "DIRECT.GET.WRIT.writ.event.policy.*.*.a",
            "DIRECT.GET.WRIT.writ.index.policy.us.stage",
            "DIRECT.GET.WRIT.writ.intent.policy.a",
            "DIRECT.GET.WRIT",
            "STREAM.INFO.WRIT",
            "STREAM.MSG.GET.WRIT",
            "CONSUMER.CREATE.WRIT",
            "CONSUMER.RESET.WRIT.mirror-eu",
        ] {
            let asked = format!("{prefix}.{rest}");
            attacker
                .client
                .publish(asked.clone(), "".into())
                .await
                .unwrap();
            let violation = attacker.violation().await;
            assert!(
                violation.contains("Permissions Violation"),
                "{asked}: {violation}"
            );
        }
    }
    for spoken in [
        "writ.ack.eu.prod.eu-2",
        "writ.pulse.eu.prod.eu-2",
        "writ.live.beat",
        "writ.mirror.eu",
        "$JS.FC.WRIT.mirror-eu.x",
    ] {
        attacker.client.publish(spoken, "".into()).await.unwrap();
        let violation = attacker.violation().await;
        assert!(
            violation.contains("Permissions Violation"),
            "{spoken}: {violation}"
        );
    }
    for heard in [
        "writ.live.policy.eu.stage.a",
        "writ.mirror.eu",
        "writ.>",
        "_INBOX.eu.eu-2.>",
    ] {
        let _subscription = attacker.client.subscribe(heard).await.unwrap();
        let violation = attacker.violation().await;
        assert!(
            violation.contains("Permissions Violation"),
            "{heard}: {violation}"
        );
    }
}

impl Scene {
    /// How many messages the mirror holds.
    async fn mirrored(&self) -> u64 {
        let leaf = plain(&self.url, &self.installer, accounts::INSTALLER_INBOX).await;
        let answer = leaf
            .client
            .request("$JS.API.STREAM.INFO.WRIT", "".into())
            .await;
        let info: serde_json::Value = serde_json::from_slice(&answer.unwrap().payload).unwrap();
        info["state"]["messages"].as_u64().unwrap()
    }
}
