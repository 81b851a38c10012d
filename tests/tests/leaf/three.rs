//! A hub of three servers with a leaf node: the log's leader is killed, and the server to which the leaf is
//! linked, while a cluster behind the leaf reads and listens.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{task::JoinHandle, time::sleep};
use writ_bus::{
    Client,
    live::{self, Live, Signal},
    read::{self, Via},
    streams::{self, Stream},
};
use writ_core::{envelope::Keyring, revision::Revision, root::Root, subject::BusSubject};
use writ_proto::{log, v1};
use writ_tests::{
    history::{self, Edits, Made, OneClient, Told},
    hub::{Hub, Size, cluster, policy, until},
    voice::Voice,
};

use crate::{CLUSTER, CONVERGENCE_LIMIT};

/// Reads of the root through the leaf that go on, as a cluster's do.
struct Reader {
    ended: Arc<AtomicBool>,
    newest: Arc<Mutex<(Revision, usize)>>,
    task: JoinHandle<Vec<String>>,
}

impl Reader {
    fn start(client: Client, trusted: Keyring) -> Reader {
        let ended = Arc::<AtomicBool>::default();
        let newest = Arc::<Mutex<(Revision, usize)>>::default();
        let (until, seen) = (Arc::clone(&ended), Arc::clone(&newest));
        let task = tokio::spawn(async move {
            let mut broken = Vec::new();
            while !until.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(5)).await;
                let Ok(found) = read::get(&client, &BusSubject::Root, Via::Near).await else {
                    broken.push("the mirror did not answer".to_owned());
                    continue;
                };
                // Before the first edit.
                let Some(stored) = found else { continue };
                let opened = log::open::<Root>(&stored.subject, &stored.bytes, &trusted);
                let revision = opened.expect("roots are signed").value.revision;
                let mut newest = seen.lock().unwrap();
                if revision < newest.0 {
                    broken.push(format!(
                        "the mirror went back from {} to {revision}",
                        newest.0
                    ));
                }
                *newest = (newest.0.max(revision), newest.1 + 1);
            }
            broken
        });
        Reader {
            ended,
            newest,
            task,
        }
    }

    fn newest(&self) -> Revision {
        self.newest.lock().unwrap().0
    }

    async fn end(self) -> (usize, Vec<String>) {
        self.ended.store(true, Ordering::Relaxed);
        let broken = self.task.await.unwrap();
        let count = self.newest.lock().unwrap().1;
        (count, broken)
    }
}

/// Counts the events that are heard behind the leaf.
fn hear(mut live: Live) -> (Arc<Mutex<usize>>, JoinHandle<()>) {
    let heard = Arc::<Mutex<usize>>::default();
    let count = Arc::clone(&heard);
    let task = tokio::spawn(async move {
        while let Some(signal) = live.next().await {
            if let Signal::Message { subject, .. } = signal
                && matches!(subject, BusSubject::Live { .. })
            {
                *count.lock().unwrap() += 1;
            }
        }
    });
    (heard, task)
}

struct Scene {
    hub: Hub,
    client: OneClient,
    reader: Reader,
    heard: Arc<Mutex<usize>>,
    made: Vec<Made>,
}

impl Scene {
    /// Makes an edit and waits until it is read from the mirror; how long the edit took, and the mirror
    /// after it.
    async fn edit(&mut self) -> (Duration, Duration) {
        let number = self.made.len();
        let since = Instant::now();
        let edit = self.client.edit("behind".to_owned(), number).await;
        let edited = since.elapsed();
        let Told::Committed { revision, .. } = *edit.told() else {
            panic!("{:?}", edit.told())
        };
        self.made.push(edit);
        let since = Instant::now();
        until("the edit is in the mirror", async || {
            (self.reader.newest().number >= revision).then_some(())
        })
        .await;
        (edited, since.elapsed())
    }

    /// Edits until one is heard live again behind the leaf; how long that took.
    async fn live(&mut self) -> Duration {
        let since = Instant::now();
        loop {
            let before = *self.heard.lock().unwrap();
            self.edit().await;
            let until = Instant::now() + Duration::from_millis(200);
            while Instant::now() < until {
                if *self.heard.lock().unwrap() > before {
                    return since.elapsed();
                }
                sleep(Duration::from_millis(5)).await;
            }
            assert!(since.elapsed() < CONVERGENCE_LIMIT, "nothing is heard live");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_reads_on_and_finds_another_server_when_the_leader_and_its_own_are_killed() {
    let size = Size {
        clusters: vec![CLUSTER.to_owned()],
        leaf: true,
        ..Size::of(3, 2)
    };
    let hub = Hub::start(crate::WRIT, size).await;
    let request = v1::AddClusterRequest {
        manifest: cluster(CLUSTER).to_string(),
        ..Default::default()
    };
    let answer = hub.clusters(0).add(request).await.unwrap().into_inner();
    let registered = answer.edit.unwrap();
    let behind = hub.cluster_client(CLUSTER).await;
    let (region, stage) = ("eu".parse().unwrap(), "prod".parse().unwrap());
    let live = live::listen_as_cluster(&behind, &region, &stage).await;
    let (heard, hearing) = hear(live.unwrap());
    let mut voice = Voice::of(&hub, CLUSTER).await;
    let edits = Edits {
        prefix: "behind".to_owned(),
        document: |name, group, _| policy(name, group),
        pause: Duration::ZERO,
    };
    let channels = vec![hub.channel(0), hub.channel(1)];
    let mut scene = Scene {
        client: OneClient::new(0, channels, edits),
        reader: Reader::start(behind, hub.trusted()),
        hub,
        heard,
        made: Vec::new(),
    };
    scene.live().await;

    let mut rows = Vec::new();
    for fault in ["the log's leader", "the server of the link"] {
        let (linked, links) = scene.hub.linked().expect("the leaf is linked");
        let leader = scene.hub.leader().await;
        let killed = if rows.is_empty() { leader } else { linked };
        scene.hub.kill_server(killed).await;
        let since = Instant::now();
        if killed == linked {
            until("the leaf is linked to another server", async || {
                let (now, count) = scene.hub.linked()?;
                (count > links && now != killed).then_some(())
            })
            .await;
        }
        let relinked = (killed == linked).then(|| since.elapsed());
        let (edited, mirrored) = scene.edit().await;
        let live = scene.live().await;
        // An ack goes up through the link that stands now.
        let reader = scene.hub.reader().await;
        until("the acks have a leader", async || {
            streams::leader(&reader, Stream::Acks).await.ok().flatten()
        })
        .await;
        voice.ack(registered.revision.unwrap(), None).await;
        let was_leader = if killed == leader {
            ", which led the log"
        } else {
            ""
        };
        rows.push(format!(
            "{fault}{was_leader}: linked anew after {relinked:?}; an edit took {edited:?} and was in the \
             mirror {mirrored:?} later; heard live again {live:?} after that"
        ));
        assert!(mirrored < CONVERGENCE_LIMIT, "{rows:#?}");
        scene.hub.start_server(killed).await;
        // Two of three have to know each other before the next one dies.
        scene.hub.leader().await;
        let (_, mirrored) = scene.edit().await;
        assert!(mirrored < CONVERGENCE_LIMIT, "{rows:#?}");
    }
    let (reads, mut broken) = scene.reader.end().await;
    hearing.abort();
    let reader = scene.hub.reader().await;
    let report = history::check_edits(&scene.made, &reader, &scene.hub.trusted()).await;
    broken.extend(report.broken().into_iter().cloned());
    println!(
        "server of a hub of three killed, behind a leaf | {} | {} | {} | {}",
        rows.len(),
        rows.len(),
        rows.len(),
        broken.len()
    );
    println!(
        "    {}; {reads} reads of the mirror; {report}",
        rows.join("; ")
    );
    assert!(broken.is_empty(), "{broken:#?}");
}
