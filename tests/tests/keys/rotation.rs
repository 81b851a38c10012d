//! A publisher's signing key is replaced while everything goes on.

use std::fs;

use writ_core::{beat::Beat, root::Root, subject::BusSubject};
use writ_proto::{log, trust::Trust};

use crate::scene::{CLUSTERS, Scene, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn a_signing_key_is_rotated_without_a_gap_and_nobody_goes_back_to_an_old_bundle() {
    let mut scene = Scene::start().await;
    scene.apply("before", "get").await;
    let old = scene.signing_key();
    let first = fs::read(scene.key_file("trust")).unwrap();
    let first = Trust::from_file(&first).unwrap();

    // Edits go on meanwhile, and each of them lands.
    let line = format!(
        "keys rotate --signing-key-file '{}' --offline-key-file '{}'",
        scene.key_file("publisher-1.signing").display(),
        scene.key_file("offline.signing").display()
    );
    let mut rotating = Box::pin(scene.done(&line));
    let mut edits = 0;
    let said = loop {
        let verb = ["get", "list"][edits % 2];
        tokio::select! {
            said = &mut rotating => break said,
            edit = scene.try_apply("during", verb, "") => {
                assert!(edit.status.success(), "{edit:?}");
                edits += 1;
            }
        }
    };
    drop(rotating);
    println!("{edits} edits while the key was rotated\n{said}");
    let new = scene.signing_key();
    assert_ne!(new.public(), old.public());
    scene.apply("after", "watch").await;

    let (old_id, new_id) = (old.public().id(), new.public().id());
    let listed = scene.done("keys list").await;
    assert!(listed.starts_with("trust bundle 3\n"), "{listed}");
    let of = |id: String| listed.lines().find(|line| line.starts_with(&id)).unwrap();
    assert!(of(old_id.to_string()).contains("retired"), "{listed}");
    let line = of(new_id.to_string());
    assert!(
        line.contains("active") && line.contains("(signs)"),
        "{listed}"
    );
    // No cluster was touched, and each keeps the bundle.
    for cluster in CLUSTERS {
        let starts = scene
            .subscriber_log(cluster)
            .matches("following the log")
            .count();
        assert_eq!(starts, 1, "{cluster}");
        wait_for("the third bundle is kept", async || {
            let kept = scene.kept_trust(cluster).await?;
            (version(&first, &kept)? == 3).then_some(())
        })
        .await;
    }

    the_old_key_says_nothing_new(&scene, &old).await;

    // What it signed before is believed: nobody tampered with what the clusters kept, and nobody goes back
    // with the old file that every subscriber is started with.
    restart(&mut scene).await;
    scene.apply("after", "list").await;

    // Nor does anybody with the old bundle stored in the log, which is put back for those who come new.
    scene
        .store(vec![(BusSubject::Trust, first.signed.clone())])
        .await;
    wait_for("the newest bundle is put back", async || {
        let stored = scene.stored(&BusSubject::Trust).await;
        (version(&first, &stored)? == 3).then_some(())
    })
    .await;
    assert!(scene.log("publisher-1").contains("trust_replaced"));
    restart(&mut scene).await;
    scene.apply("after", "get").await;
    let listed = scene.done("keys list").await;
    assert!(listed.starts_with("trust bundle 3\n"), "{listed}");

    // A cluster that joins with the old file knows the new key by the log's bundle alone.
    let (region, stage) = ("eu".parse().unwrap(), "prod".parse().unwrap());
    let joined = scene.fleet.add_cluster(&region, &stage).await.unwrap();
    for (name, verb) in [("before", "get"), ("after", "get")] {
        wait_for("the joined cluster has it", async || {
            let verbs = scene.verbs(joined.as_str(), name).await?;
            (verbs == serde_json::json!([verb])).then_some(())
        })
        .await;
    }
    // A publisher that starts with the old file goes on, too.
    scene.fleet.restart_publisher().await.unwrap();
    scene.apply("after", "watch").await;
}

fn version(first: &Trust, signed: &[u8]) -> Option<u64> {
    let mut trust = first.clone();
    trust.take(signed).ok()?;
    Some(trust.bundle.version)
}

/// A beat of now, and an event after its end, by the key that has retired: refused by all.
async fn the_old_key_says_nothing_new(scene: &Scene, old: &writ_core::envelope::SigningKey) {
    let root = scene.stored(&BusSubject::Root).await;
    let trust = scene.stored(&BusSubject::Trust).await;
    let offline = Trust::from_file(&fs::read(scene.key_file("trust")).unwrap()).unwrap();
    let mut held = offline.clone();
    held.take(&trust).unwrap();
    let root = log::open::<Root>(&BusSubject::Root, &root, &held.bundle.keyring()).unwrap();
    assert_eq!(root.value.trust, 3);
    let beat = Beat {
        revision: root.value.revision,
        root: root.hash,
        issued_ms: 0,
        expires_after_ms: 600_000,
        publisher: "thief".into(),
    };
    let bytes = log::seal(&beat, old).bytes;
    let client = scene.bus().await;
    writ_bus::live::publish_beat(&client, bytes.into())
        .await
        .unwrap();
    client.flush().await;
    for cluster in CLUSTERS {
        wait_for("the beat is refused", async || {
            let said = scene.subscriber_log(cluster);
            said.contains("key_retired").then_some(())
        })
        .await;
    }
}

async fn restart(scene: &mut Scene) {
    for cluster in CLUSTERS {
        let name = cluster.parse().unwrap();
        scene.fleet.kill_subscriber(&name).await.unwrap();
        scene.fleet.start_subscriber(&name).await.unwrap();
        let said = scene.subscriber_log(cluster);
        assert!(!said.contains("LedgerTampered"), "{cluster}: {said}");
    }
}
