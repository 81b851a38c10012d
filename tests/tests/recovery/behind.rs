//! The log is lost, and what only a cluster behind a leaf node holds comes back through the leaf. And what
//! is said afterwards of the time before.

use std::{
    fs,
    time::{SystemTime, UNIX_EPOCH},
};

use writ_bus::{
    accounts,
    connection::{FirstConnect, Login, Options},
    read::{self, Via},
};
use writ_core::{root::Root, subject::BusSubject};
use writ_proto::{log, trust::Trust};

use crate::scene::{CLUSTERS_OF_TWO, Scene, number_of, role_in, wait_for};

/// Behind the leaf.
const BEHIND: &str = CLUSTERS_OF_TWO[0];

/// Now, as the command line takes it: in milliseconds, so that it is between two edits.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    humantime_of(since.as_millis())
}

/// RFC 3339 in UTC (days from civil, after Howard Hinnant).
fn humantime_of(millis: u128) -> String {
    let (days, rest) = (
        i64::try_from(millis / 86_400_000).unwrap(),
        millis % 86_400_000,
    );
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted - era * 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = year_of_era + era * 400 + next;
    let (hours, minutes) = (rest / 3_600_000, rest / 60_000 % 60);
    let (seconds, millis) = (rest / 1_000 % 60, rest % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_cluster_behind_a_leaf_holds_is_recovered_and_the_time_before_is_unknown() {
    let mut scene = Scene::start_with_a_leaf().await;
    let eu = "eu".parse().unwrap();
    scene.apply(&role_in("goes", "get", &["eu", "us"])).await;
    scene.apply(&role_in("behind", "get", &["eu"])).await;
    scene.apply(&role_in("behind", "list", &["eu"])).await;
    scene.apply(&role_in("both", "get", &["eu", "us"])).await;
    scene.delete("goes").await;
    let before = now();

    scene
        .while_stopped(|store, _| fs::remove_dir_all(store).unwrap())
        .await;
    scene.fleet.restart_publisher().await.unwrap();
    let (after, refusal) = scene.refused().await;
    eprintln!("refused after {after:?}: {}", refusal.message());
    assert!(refusal.message().contains("LogBehind"), "{refusal:?}");
    let (code, said) = scene.recover(&[]).await;
    assert_eq!(code, Some(3));
    for expected in [
        "policy behind@2 (not in the log",
        "policy both@1 (not in the log",
    ] {
        assert!(said.contains(expected), "{expected}");
    }
    // The word that nobody else has came through the leaf.
    let line = said.lines().find(|line| line.contains("policy behind@2"));
    assert!(line.unwrap().contains(BEHIND), "{line:?}");
    assert!(!line.unwrap().contains(CLUSTERS_OF_TWO[1]), "{line:?}");
    scene.recover_confirmed(number_of(&said)).await;
    // The leaf still mirrors the log that is lost; its cluster reads the hub.
    let after = scene.converged(2).await;
    eprintln!("both clusters are in the new epoch after {after:?}");
    assert_eq!(scene.verbs(BEHIND, "behind").await, Some(["list"].into()));
    scene.check(&[("both", Some("get")), ("goes", None)]).await;
    let edit = scene.apply(&role_in("behind", "watch", &["eu"])).await;
    assert_eq!((edit.generation, edit.revision.unwrap().epoch), (3, 2));

    // The mirror of the log as it is now.
    scene.fleet.mirror_anew(&eu).await.unwrap();
    mirrors_epoch(&scene, 2).await;
    let edit = scene.apply(&role_in("behind", "get", &["eu"])).await;
    assert_eq!(edit.generation, 4);

    past_is_unknown(&scene, &before).await;
}

/// Waits until the leaf itself has a root of an epoch.
async fn mirrors_epoch(scene: &Scene, epoch: u64) {
    let eu = "eu".parse().unwrap();
    let options = Options {
        url: scene.fleet.leaf(&eu).unwrap().url().to_owned(),
        login: Login::of(scene.bus_credentials(BEHIND).await),
        inbox: accounts::cluster_inbox(&eu, &BEHIND.parse().unwrap()),
        name: "test".to_owned(),
        first_connect: FirstConnect::Now,
    };
    let client = writ_bus::connect(options).await.unwrap();
    let trust = fs::read(scene.fleet.dir().join("keys/trust")).unwrap();
    let trusted = Trust::from_file(&trust).unwrap().bundle.keyring();
    wait_for("the leaf mirrors the new epoch", async || {
        let stored = read::get(&client, &BusSubject::Root, Via::Near).await;
        let stored = stored.ok()??;
        let root = log::open::<Root>(&BusSubject::Root, &stored.bytes, &trusted);
        (root.ok()?.value.revision.epoch == epoch).then_some(())
    })
    .await;
}

/// Nothing is said of the time before but what the log can know.
async fn past_is_unknown(scene: &Scene, before: &str) {
    for line in [
        ["get", "policies", "--at", before].as_slice(),
        &["get", "policies", "goes", "--at", before],
        &["get", "policies", "behind", "--at", before],
        &["get", "clusters", "--at", before],
        &["render", "--cluster", BEHIND, "--at", before],
        &[
            "render",
            "--cluster",
            BEHIND,
            "--at",
            before,
            "--allow-unknown",
        ],
    ] {
        let (code, said) = scene.writ(line).await;
        assert_eq!(code, Some(1), "{line:?}: {said}");
        assert!(said.contains("is unknown"), "{line:?}: {said}");
    }
    // A name of which nothing is left was perhaps there.
    let (code, said) = scene.writ(&["history", "goes"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("unknown") && !said.contains("never"),
        "{said}"
    );
    // What is kept begins with the recovery, and says so.
    let (code, said) = scene.writ(&["history", "behind"]).await;
    assert_eq!(code, Some(0));
    assert!(
        said.contains("recover") && !said.contains("created"),
        "{said}"
    );
    let earlier = ["diff", "behind", "--from", "1", "--to", "2"];
    let (code, said) = scene.writ(&earlier).await;
    assert_eq!((code, said.contains("not kept")), (Some(1), true), "{said}");
    let (code, said) = scene.writ(&["rollback", "behind", "--to", "1"]).await;
    assert_eq!((code, said.contains("not kept")), (Some(1), true), "{said}");
    // What was recovered is compared with, and gone back to.
    let (code, said) = scene
        .writ(&["diff", "behind", "--from", "2", "--to", "3"])
        .await;
    assert_eq!((code, said.contains("watch")), (Some(3), true), "{said}");
    let (code, _) = scene
        .writ(&["rollback", "behind", "--to", "2", "--reason", "test"])
        .await;
    assert_eq!(code, Some(0));
    wait_for("what was recovered is in force again", async || {
        (scene.verbs(BEHIND, "behind").await? == serde_json::json!(["list"])).then_some(())
    })
    .await;
    let (code, said) = scene
        .writ(&["render", "--cluster", BEHIND, "--at", &now()])
        .await;
    assert_eq!((code, said.contains("behind@5")), (Some(0), true), "{said}");
}
