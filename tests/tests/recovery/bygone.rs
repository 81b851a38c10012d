//! A cluster that removed a policy is away when an old backup is recovered from those that never knew of it.

use std::fs;

use serde_json::json;
use writ_proto::v1::{PolicyLine, status_request::Of};
use writ_tests::folder::copy;

use crate::scene::{CLUSTERS, Scene, number_of, role, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn what_only_an_absent_cluster_saw_removed_does_not_come_back_to_it() {
    let mut scene = Scene::start().await;
    let [away, asked] = CLUSTERS;
    let mut goes = role("goes", "get");
    goes["spec"]["clusters"]["stages"] = json!(["prod"]);
    scene.apply(&goes).await;
    scene.apply(&role("stays", "get")).await;
    scene
        .while_stopped(|store, backups| copy(store, &backups.join("old")))
        .await;
    scene.delete("goes").await;
    // What the other one holds above the backup.
    scene.apply(&role("comes", "get")).await;
    assert_eq!(scene.verbs(away, "goes").await, None);
    scene.forgotten(away, "goes").await;

    let name = away.parse().unwrap();
    scene.fleet.kill_subscriber(&name).await.unwrap();
    scene
        .while_stopped_without(Some(away), |store, backups| {
            fs::remove_dir_all(store).unwrap();
            copy(&backups.join("old"), store);
        })
        .await;
    scene.refused().await;
    let (code, said) = scene.recover(&[]).await;
    assert_eq!(code, Some(3));
    assert!(!said.contains("policy goes@2"), "nobody knows: {said}");
    scene.recover_confirmed(number_of(&said)).await;
    is_in_epoch(&scene, asked, "").await;

    let mut boot = String::new();
    for _ in 0..2 {
        scene.fleet.spawn_subscriber(&name).await.unwrap();
        let waits;
        (waits, boot) = is_in_epoch(&scene, away, &boot).await;
        let waits: Vec<_> = waits
            .iter()
            .map(|line| (line.policy.as_str(), line.reason.as_str()))
            .collect();
        assert_eq!(waits, [("goes", "NotRecovered")]);
        assert_eq!(scene.verbs(away, "goes").await, None);
        assert_eq!(scene.verbs(away, "comes").await, Some(json!(["get"])));
    }

    // The same document is no edit; a change is, and a deletion.
    let mut changed = role("goes", "list");
    changed["spec"]["clusters"] = goes["spec"]["clusters"].clone();
    scene.apply(&changed).await;
    assert_eq!(scene.verbs(away, "goes").await, Some(json!(["list"])));
    assert_eq!(is_in_epoch(&scene, away, "").await.0, []);
}

/// Waits until a cluster says by another boot that it is in the second epoch, and all is applied but what is
/// not recovered; answers that, and the boot.
async fn is_in_epoch(scene: &Scene, cluster: &str, boot: &str) -> (Vec<PolicyLine>, String) {
    let what = format!("{cluster} is in the second epoch");
    wait_for(&what, async || {
        let of = Of::Cluster(cluster.to_owned());
        let status = scene.try_status(of).await.ok()?.cluster?;
        let is_there = status.boot_id != boot && status.revision?.epoch == 2;
        let is_named = |line: &PolicyLine| line.reason == "NotRecovered";
        (is_there && status.exceptions.iter().all(is_named))
            .then_some((status.exceptions, status.boot_id))
    })
    .await
}
