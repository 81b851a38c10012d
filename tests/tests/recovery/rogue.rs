//! A new epoch that the offline key has not opened, and what a restart reads.

use std::{collections::BTreeSet, fs};

use writ_bus::{
    batch::{Batch, Message, Outcome, commit},
    log as bus_log, read,
    streams::Stream,
};
use writ_core::{
    edit,
    envelope::SigningKey,
    recover::{Copy, Found, Plan},
    revision::Revision,
    subject::BusSubject,
};
use writ_proto::{
    log,
    trust::Trust,
    v1::{AllPolicies, status_request::Of},
};

use crate::scene::{CLUSTERS, Scene, number_of, role, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_that_only_a_publishers_key_signed_changes_nothing_in_any_cluster() {
    let mut scene = Scene::start().await;
    scene.apply(&role("kept", "get")).await;
    scene.apply(&role("kept", "list")).await;
    let in_force = [("kept", Some("list"))];

    // A cluster that missed nothing reads one small message when it is started again.
    restart_reads(&mut scene, 1).await;

    write_rogue_epoch(&scene).await;
    scene.refused().await;
    let status = scene
        .try_status(Of::AllPolicies(AllPolicies {}))
        .await
        .unwrap();
    assert!(
        status
            .as_of
            .unwrap()
            .edits_refused
            .starts_with("EpochNotOpened")
    );
    // The clusters find it at the latest when they are started anew, and go nowhere.
    for cluster in CLUSTERS {
        scene
            .fleet
            .kill_subscriber(&cluster.parse().unwrap())
            .await
            .unwrap();
        scene
            .fleet
            .spawn_subscriber(&cluster.parse().unwrap())
            .await
            .unwrap();
        wait_for("the root is refused", async || {
            let said = scene.subscriber_log(cluster);
            said.contains("without the offline key").then_some(())
        })
        .await;
    }
    scene.check(&in_force).await;

    // The holder of the offline key opens one above it.
    let (code, said) = scene.recover(&[]).await;
    assert_eq!((code, said.contains("not ended")), (Some(3), true));
    let said = scene.recover_confirmed(number_of(&said)).await;
    assert!(said.contains("Opened epoch 3"), "{said}");
    scene.converged(3).await;
    scene.check(&in_force).await;
    scene.apply(&role("kept", "watch")).await;
    restart_reads(&mut scene, 1).await;
}

/// Restarts a subscriber once its cluster has kept the last root, and checks how much it reads.
async fn restart_reads(scene: &mut Scene, expected: u64) {
    let cluster = CLUSTERS[0];
    // Kept with a pulse, which come every 2 s here.
    let root = scene.root_on_the_bus().await;
    wait_for("the last root is kept", async || {
        (scene.kept_root(cluster).await? == root).then_some(())
    })
    .await;
    let before = scene.subscriber_log(cluster).len();
    scene
        .fleet
        .kill_subscriber(&cluster.parse().unwrap())
        .await
        .unwrap();
    scene
        .fleet
        .start_subscriber(&cluster.parse().unwrap())
        .await
        .unwrap();
    let reads = wait_for("the log is caught up with", async || {
        let said = scene.subscriber_log(cluster);
        let line = said[before..]
            .lines()
            .find(|line| line.contains("is caught up with"))?
            .to_owned();
        line.split("reads=").nth(1)?.trim().parse::<u64>().ok()
    })
    .await;
    assert_eq!(reads, expected);
}

/// What somebody can write who has stolen a publisher's keys.
async fn write_rogue_epoch(scene: &Scene) {
    let keys = scene.fleet.dir().join("keys");
    let text = |name: &str| fs::read_to_string(keys.join(name)).unwrap();
    let key = SigningKey::from_base64(&text("publisher-1.signing")).unwrap();
    let client = scene.bus().await;
    let trusted = Trust::from_file(&fs::read(keys.join("trust")).unwrap())
        .unwrap()
        .bundle
        .keyring();
    let (stored, _) = bus_log::read_all(&client, Stream::Log).await.unwrap();
    let messages = stored.iter().map(|of| {
        log::open_message(&of.subject, &of.bytes, &trusted)
            .unwrap()
            .value
    });
    // A history in which nothing was ever granted.
    let copy = Copy::read(messages, &BTreeSet::new());
    let mut found = Found::default();
    found.listener(&"eu".parse().unwrap(), &"prod".parse().unwrap());
    found.listener(&"eu".parse().unwrap(), &"stage".parse().unwrap());
    found.highest = Revision {
        number: copy.revision().number,
        ..Revision::START
    };
    let recovery = Plan::make(&Copy::default(), &found).build(2, 0);
    let mut all = recovery.messages;
    all.push(edit::Message::Root(recovery.root));
    let sign = |message: &edit::Message| Message {
        subject: message.subject(),
        bytes: log::seal_message(message, &key).bytes.into(),
    };
    let root = read::last_by_subject(&client, Stream::Log, &BusSubject::Root)
        .await
        .unwrap();
    let batch = Batch::new(all.iter().map(sign).collect(), root.unwrap().sequence).unwrap();
    let outcome = commit(&client, &batch).await.unwrap();
    assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
}

impl Scene {
    async fn root_on_the_bus(&self) -> Vec<u8> {
        let client = self.bus().await;
        let root = read::last_by_subject(&client, Stream::Log, &BusSubject::Root)
            .await
            .unwrap();
        root.unwrap().bytes.to_vec()
    }

    /// The signed root that a cluster keeps for the next start.
    async fn kept_root(&self, cluster: &str) -> Option<Vec<u8>> {
        let client = self
            .fleet
            .cluster(&cluster.parse().unwrap())
            .unwrap()
            .client()
            .clone();
        let maps: kube::Api<k8s_openapi::api::core::v1::ConfigMap> =
            kube::Api::namespaced(client, "writ-system");
        let kept = maps.get("writ-cut").await.unwrap();
        Some(kept.binary_data?.remove("root")?.0)
    }

    fn subscriber_log(&self, cluster: &str) -> String {
        let folder = self.fleet.dir().join("logs");
        let names = fs::read_dir(&folder).unwrap().filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            (name.contains(cluster) && name.contains("subscriber")).then_some(name)
        });
        names
            .map(|name| fs::read_to_string(folder.join(name)).unwrap())
            .collect()
    }
}
