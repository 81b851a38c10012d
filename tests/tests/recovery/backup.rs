//! An old backup of the bus is put back under a running fleet.

use std::fs;

use writ_proto::v1::{AllPolicies, status_request::Of};
use writ_tests::folder::copy;

use crate::scene::{Scene, number_of, role};

#[tokio::test(flavor = "multi_thread")]
async fn an_old_backup_takes_nothing_back_and_is_recovered_from_what_clusters_hold() {
    let mut scene = Scene::start().await;
    scene.apply(&role("changes", "get")).await;
    scene.apply(&role("goes", "get")).await;
    scene.apply(&role("stays", "get")).await;
    scene
        .while_stopped(|store, backups| copy(store, &backups.join("old")))
        .await;
    scene.apply(&role("changes", "list")).await;
    scene.apply(&role("comes", "get")).await;
    scene.delete("goes").await;
    let in_force = [
        ("changes", Some("list")),
        ("comes", Some("get")),
        ("goes", None),
        ("stays", Some("get")),
    ];
    scene.check(&in_force).await;

    scene
        .while_stopped(|store, backups| {
            fs::remove_dir_all(store).unwrap();
            copy(&backups.join("old"), store);
        })
        .await;
    // Seen at once: no edit is made on it, and every answer says so.
    let (after, refusal) = scene.refused().await;
    eprintln!(
        "refused {after:?} after the old log was there: {}",
        refusal.message()
    );
    assert!(refusal.message().contains("writ recover"), "{refusal:?}");
    let status = scene
        .try_status(Of::AllPolicies(AllPolicies {}))
        .await
        .unwrap();
    assert!(status.as_of.unwrap().edits_refused.starts_with("Log"));
    scene.check(&in_force).await;

    // Also by a publisher that has just started and remembers nothing.
    scene.fleet.restart_publisher().await.unwrap();
    let (after, refusal) = scene.refused().await;
    eprintln!(
        "a new publisher refused after {after:?}: {}",
        refusal.message()
    );
    assert!(refusal.message().contains("LogBehind"), "{refusal:?}");
    scene.check(&in_force).await;

    // What differs is shown, and nothing is written.
    let (code, said) = scene.recover(&[]).await;
    assert_eq!(code, Some(3));
    for expected in [
        "policy changes@2 (@1 in the log",
        "policy comes@1 (not in the log",
        "policy goes@2 (@1 in the log",
    ] {
        assert!(said.contains(expected), "{expected}");
    }
    let names = number_of(&said);
    let key = scene.fleet.dir().join("keys/offline.signing");
    let key = key.to_str().unwrap();
    let (code, _) = scene
        .recover(&["--confirm", "1", "--offline-key-file", key])
        .await;
    assert_eq!(code, Some(9), "another number");
    let rogue = scene.fleet.dir().join("keys/publisher-1.signing");
    let rogue = rogue.to_str().unwrap();
    let count = names.to_string();
    let (code, said) = scene
        .recover(&["--confirm", &count, "--offline-key-file", rogue])
        .await;
    assert_eq!(
        (code, said.contains("not the offline key")),
        (Some(1), true)
    );
    scene.refused().await;

    let said = scene.recover_confirmed(names).await;
    assert!(said.contains("Opened epoch 2"), "{said}");
    let after = scene.converged(2).await;
    eprintln!("both clusters are in the new epoch after {after:?}");
    scene.check(&in_force).await;

    // The fleet goes on, and there is nothing left to recover.
    let edit = scene.apply(&role("changes", "watch")).await;
    assert_eq!((edit.generation, edit.revision.unwrap().epoch), (3, 2));
    scene.delete("comes").await;
    scene
        .check(&[
            ("changes", Some("watch")),
            ("comes", None),
            ("goes", None),
            ("stays", Some("get")),
        ])
        .await;
    let (code, said) = scene.recover(&[]).await;
    assert_eq!((code, said.contains("Nothing to recover")), (Some(0), true));
}
