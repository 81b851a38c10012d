//! Floods: what is genuine is sent again, and what is forged is sent at all, as fast as it goes, at real
//! subscribers and a real publisher. Whoever meets it counts it, stays small, and goes on working.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;
use writ_bus::{
    Client, accounts,
    batch::{Batch, Message, commit},
    live, read,
    streams::Stream,
};
use writ_core::subject::BusSubject;
use writ_core::{beat::Beat, envelope::SigningKey, hash::Hash, revision::Revision};
use writ_proto::log;

use crate::{
    scene::{CLUSTERS, Scene, wait_for},
    servers::hear_beat,
};

/// How long a flood goes on before the edit, so that queues are full by then.
const BEFORE: Duration = Duration::from_secs(3);

/// How long an edit may take from the command to the last cluster's answer, amid a flood, on a machine
/// that the flood comes from, too.
const EDIT_LIMIT: Duration = Duration::from_secs(60);

/// What a process may grow by: the bounds of its queues, and what an allocator keeps.
const GROWTH_BYTES_MAX: u64 = 128 << 20;

/// What it may log of a flood.
const LOG_BYTES_MAX: usize = 128 << 10;

/// The cluster whose identity on the bus is stolen, without its ack key.
const STOLEN: &str = "eu-stage-1";

/// Who floods, and how much of it was sent.
struct Flood {
    tasks: Vec<JoinHandle<()>>,
    end: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl Flood {
    fn new() -> Flood {
        Flood {
            tasks: Vec::new(),
            end: Arc::default(),
            sent: Arc::default(),
        }
    }

    /// Does it again and again, `count` messages at a time.
    fn add<F: Future<Output = ()> + Send>(
        &mut self,
        count: u64,
        deed: impl Fn() -> F + Send + 'static,
    ) {
        let (end, sent) = (self.end.clone(), self.sent.clone());
        self.tasks.push(tokio::spawn(async move {
            while !end.load(Ordering::Relaxed) {
                deed().await;
                sent.fetch_add(count, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        }));
    }

    async fn end(self) -> u64 {
        self.end.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        self.sent.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_at_subscribers_is_counted_and_bounded_and_an_edit_lands_amid_it() {
    let scene = Scene::start().await;
    scene.apply("flooded", "get").await;
    scene.apply("during", "get").await;
    let bus = scene.bus().await;
    let mut flood = Flood::new();
    // Beats: one that was true, and forged ones of any revision.
    let beat = hear_beat(&bus).await;
    flood.add(1, {
        let bus = scene.bus().await;
        move || beats(bus.clone(), beat.clone())
    });
    let forged = log::seal(&far_beat(), &SigningKey::from_seed(&[66; 32])).bytes;
    flood.add(1, {
        let bus = scene.bus().await;
        move || beats(bus.clone(), forged.clone())
    });
    // Events: genuine ones, as any cluster can have them sent into the feeds of others.
    let cluster = cluster_client(&scene).await;
    flood.add(1, move || {
        let cluster = cluster.clone();
        async move {
            let (asked, reply) = (
                "$JS.API.DIRECT.GET.WRIT.writ.event.policy.eu.all.flooded",
                "writ.live.policy.eu.all.flooded",
            );
            let sent = cluster.publish_with_reply(asked, reply, "".into()).await;
            sent.unwrap();
        }
    });
    // And forged ones, which take the right to write into the log.
    flood.add(100, {
        let bus = scene.bus().await;
        move || forged_events(bus.clone())
    });
    let processes: Vec<String> = CLUSTERS
        .iter()
        .map(|name| format!("{name}.subscriber"))
        .collect();
    amid(&scene, flood, &processes, "--wait --timeout 60s").await;
    for cluster in CLUSTERS {
        let refused = scene.refused_messages(cluster).await;
        println!("{cluster}: {refused} refused");
        assert!(refused > 100, "{cluster}: {refused}");
        let said = scene.subscriber_log(cluster);
        assert!(said.contains("further ones are counted"), "{cluster}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_at_a_publisher_is_counted_and_bounded_and_an_edit_lands_amid_it() {
    let scene = Scene::start().await;
    scene.apply("during", "get").await;
    let bus = scene.bus().await;
    let sender = format!("eu.stage.{STOLEN}");
    let (ack, pulse) = (format!("writ.ack.{sender}"), format!("writ.pulse.{sender}"));
    let stored = read::last_by_subject(&bus, Stream::Acks, &BusSubject::parse(&ack).unwrap()).await;
    let genuine = stored.unwrap().unwrap().bytes.to_vec();
    let mut forged = genuine.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let mut flood = Flood::new();
    for (subject, bytes) in [
        (ack.clone(), genuine.clone()),
        (ack, forged.clone()),
        (pulse, forged),
    ] {
        let cluster = cluster_client(&scene).await;
        flood.add(1, move || {
            let (cluster, subject, bytes) = (cluster.clone(), subject.clone(), bytes.clone());
            async move { cluster.publish(subject, bytes.into()).await.unwrap() }
        });
    }
    let forged = log::seal(&far_beat(), &SigningKey::from_seed(&[66; 32])).bytes;
    flood.add(1, {
        let bus = scene.bus().await;
        move || beats(bus.clone(), forged.clone())
    });
    // The server stores acks in the order in which they come, and drops what is too much: those of others
    // may not get through before the flood ends, and status says pending until then.
    amid(&scene, flood, &["publisher-1".to_owned()], "").await;
    let said = scene.log("publisher-1");
    assert!(said.contains("a message is not believed"), "{said}");
    // Nobody is taken for two, and nobody for silent, by what others sent.
    for cluster in CLUSTERS {
        wait_for("it is good", async || {
            let why = scene.writ(&format!("why {cluster}")).await;
            (why.status.code() == Some(0)).then_some(())
        })
        .await;
    }
}

/// An edit amid a flood, and what the flood did to processes.
async fn amid(scene: &Scene, flood: Flood, processes: &[String], wait: &str) {
    let before: Vec<(u64, usize)> = processes.iter().map(|name| size(scene, name)).collect();
    tokio::time::sleep(BEFORE).await;
    let (since, sent) = (Instant::now(), flood.sent.load(Ordering::Relaxed));
    let edit = scene.try_apply("during", "list", wait).await;
    assert!(edit.status.success(), "{edit:?}");
    for cluster in CLUSTERS {
        wait_for("the edit is in force", async || {
            let verbs = scene.verbs(cluster, "during").await?;
            (verbs == serde_json::json!(["list"])).then_some(())
        })
        .await;
    }
    let took = since.elapsed();
    assert!(took < EDIT_LIMIT, "{took:?}");
    let meanwhile = flood.sent.load(Ordering::Relaxed) - sent;
    let sent = flood.end().await;
    println!("{sent} messages; an edit took {took:?}, amid {meanwhile} of them");
    assert!(sent > 10_000, "{sent}");
    // What was counted goes out with the next ack.
    let since = Instant::now();
    scene.apply("during", "watch").await;
    println!("the next one took {:?}, with its answers", since.elapsed());
    for (name, (bytes, logged)) in processes.iter().zip(before) {
        let (now, said) = size(scene, name);
        let (grown, logged) = (now.saturating_sub(bytes), said - logged);
        println!("{name}: {bytes} bytes, {grown} more; logged {logged}");
        assert!(grown < GROWTH_BYTES_MAX, "{name} grew by {grown}");
        assert!(logged < LOG_BYTES_MAX, "{name} logged {logged} bytes");
    }
}

/// The memory of a process, and the length of its log.
fn size(scene: &Scene, name: &str) -> (u64, usize) {
    let (verb, argument) = match name.strip_suffix(".subscriber") {
        Some(cluster) => ("__subscriber", format!("\0--cluster={cluster}\0")),
        None => ("__publisher", format!("\0--name={name}\0")),
    };
    let dir = scene.fleet.dir().display().to_string();
    let fits = |line: &str| {
        let line = line
            .replace("--cluster\0", "--cluster=")
            .replace("--name\0", "--name=");
        line.contains(verb) && line.contains(&argument) && line.contains(&dir)
    };
    let process = fs::read_dir("/proc").unwrap().flatten().find(|entry| {
        let line = fs::read_to_string(entry.path().join("cmdline"));
        line.is_ok_and(|line| fits(&line))
    });
    let status = fs::read_to_string(process.expect(name).path().join("status")).unwrap();
    let resident = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib: u64 = resident
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    (kib << 10, scene.log(name).len())
}

async fn beats(bus: Client, beat: Vec<u8>) {
    live::publish_beat(&bus, beat.into()).await.unwrap();
}

/// A beat of a place that the log never was at.
fn far_beat() -> Beat {
    Beat {
        revision: Revision {
            epoch: 1,
            number: 1 << 40,
        },
        root: Hash::of(b"forged"),
        issued_ms: 0,
        expires_after_ms: 600_000,
        publisher: "mallory".into(),
    }
}

async fn forged_events(bus: Client) {
    let subject = BusSubject::parse("writ.event.policy.eu.all.forged").unwrap();
    let message = || Message {
        subject: subject.clone(),
        bytes: vec![7; 512].into(),
    };
    let batch = Batch::part((0..100).map(|_| message()).collect()).unwrap();
    // Whether it is taken is the server's to say: it has other things to do, too.
    let _ = commit(&bus, &batch).await;
}

/// A connection with the identity of a cluster.
async fn cluster_client(scene: &Scene) -> async_nats::Client {
    let cluster = scene.fleet.cluster(&STOLEN.parse().unwrap()).unwrap();
    let secrets: kube::Api<k8s_openapi::api::core::v1::Secret> =
        kube::Api::namespaced(cluster.client().clone(), "writ-system");
    let mut kept = secrets.get("writ-keys").await.unwrap().data.unwrap();
    let credentials = kept.remove("bus.creds").unwrap().0;
    let credentials = String::from_utf8(credentials).unwrap();
    let inbox = accounts::cluster_inbox(&"eu".parse().unwrap(), &STOLEN.parse().unwrap());
    async_nats::ConnectOptions::with_credentials(&credentials)
        .unwrap()
        .custom_inbox_prefix(inbox)
        .connect(scene.fleet.bus_url())
        .await
        .unwrap()
}
