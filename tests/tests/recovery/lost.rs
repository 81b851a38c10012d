//! The whole store of the bus is gone under a running fleet.

use std::fs;

use crate::scene::{CLUSTERS, Scene, number_of, role};

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_gone_is_said_again_by_the_clusters_and_nothing_is_removed() {
    let mut scene = Scene::start().await;
    scene.apply(&role("one", "get")).await;
    scene.apply(&role("two", "get")).await;
    scene.apply(&role("two", "list")).await;
    let in_force = [("one", Some("get")), ("two", Some("list"))];
    scene.check(&in_force).await;
    // Of the running bus, while a policy changes.
    let three = role("three", "get");
    let (_, edit) = tokio::join!(scene.files("backup", "snapshots"), scene.apply(&three));
    assert_eq!(edit.generation, 1);
    scene.delete("three").await;

    scene
        .while_stopped(|store, _| fs::remove_dir_all(store).unwrap())
        .await;
    scene.fleet.restart_publisher().await.unwrap();
    let (after, refusal) = scene.refused().await;
    eprintln!("refused after {after:?}: {}", refusal.message());
    assert!(refusal.message().contains("LogBehind"), "{refusal:?}");
    scene.check(&in_force).await;

    // A cluster whose subscriber was started anew has what its API server kept.
    let restarted = CLUSTERS[0].parse().unwrap();
    scene.fleet.kill_subscriber(&restarted).await.unwrap();
    scene.fleet.spawn_subscriber(&restarted).await.unwrap();

    let (code, said) = scene.recover(&[]).await;
    assert_eq!(code, Some(3));
    for expected in [
        "policy one@1 (not in the log",
        "policy two@2 (not in the log",
        "cluster eu-prod-1@",
    ] {
        assert!(said.contains(expected), "{expected}");
    }
    scene.recover_confirmed(number_of(&said)).await;
    let after = scene.converged(2).await;
    eprintln!("both clusters are in the new epoch after {after:?}");
    scene.check(&in_force).await;
    let edit = scene.apply(&role("two", "watch")).await;
    assert_eq!(edit.generation, 3);
    scene.delete("one").await;
    let in_force = [("one", None), ("three", None), ("two", Some("watch"))];
    scene.check(&in_force).await;

    // The snapshots from before all of that are restored: nothing goes back, and it is recovered again. No
    // cluster need be there for the publisher to know.
    let since = std::time::Instant::now();
    scene.restore("snapshots").await;
    scene.fleet.restart_publisher().await.unwrap();
    eprintln!("restored after {:?}", since.elapsed());
    let (after, refusal) = scene.refused().await;
    eprintln!("refused after {after:?}: {}", refusal.message());
    let said = refusal.message();
    assert!(
        said.contains("LogRestored") || said.contains("LogBehind"),
        "{said}"
    );
    scene.check(&in_force).await;
    let (code, said) = scene.recover(&[]).await;
    assert_eq!(code, Some(3));
    assert!(said.contains("policy two@3 (@2 in the log"), "{said}");
    scene.recover_confirmed(number_of(&said)).await;
    let after = scene.converged(3).await;
    eprintln!("both clusters are in the third epoch after {after:?}");
    scene.check(&in_force).await;
    assert_eq!(scene.apply(&role("two", "get")).await.generation, 4);

    // A backup that lacks nothing is restored: that is not known before somebody has looked.
    scene.files("backup", "all").await;
    scene.restore("all").await;
    scene.fleet.restart_publisher().await.unwrap();
    let (_, refusal) = scene.refused().await;
    assert!(refusal.message().contains("LogRestored"), "{refusal:?}");
    let (code, said) = scene.recover(&[]).await;
    assert_eq!(code, Some(3));
    assert!(said.contains("restored from a backup"), "{said}");
    scene.recover_confirmed(number_of(&said)).await;
    scene.converged(4).await;
    assert_eq!(scene.apply(&role("two", "list")).await.generation, 5);
    assert_eq!(scene.recover(&[]).await.0, Some(0), "nothing is left to do");
}
