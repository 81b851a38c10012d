//! Rule 9: who can stop edits and who can't; epochs that nobody opened, and a recovery that is killed.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{process::Command, time::Instant};
use tonic::Code;
use tonic_types::StatusExt as _;
use writ_bus::{
    Client, accounts,
    batch::{Batch, Message, Outcome, commit},
    live::{self, Signal},
    log as bus_log, read,
    streams::Stream,
};
use writ_core::{
    beat::Beat,
    edit,
    envelope::SigningKey,
    epoch::{Opening, Record},
    hash::Hash,
    name::Name,
    recover::{Copy, Found, Plan},
    revision::Revision,
    root::Root,
    subject::BusSubject,
};
use writ_proto::{log, trust::TrustBundle, v1};

use crate::{
    fake::{FakeCluster, add, apply, cluster, policy},
    fleet::{Fleet, ack_key, connect, signing_key, until},
};

fn beat(number: u64, key: &SigningKey) -> Vec<u8> {
    let beat = Beat {
        revision: Revision { epoch: 1, number },
        root: Hash::of(b"a root that is in no log"),
        issued_ms: 0,
        expires_after_ms: 1,
        publisher: "publisher-2".into(),
    };
    log::seal(&beat, key).bytes
}

async fn bus(fleet: &Fleet) -> Client {
    let inbox = accounts::publisher_inbox(&Name::parse("publisher-1").unwrap());
    connect(&fleet.url, fleet.publisher_login(), inbox)
        .await
        .unwrap()
}

async fn edits_refused(fleet: &Fleet) -> String {
    let request = v1::StatusRequest::default();
    let status = fleet.acks().get_status(request).await.unwrap().into_inner();
    status.as_of.unwrap().edits_refused
}

#[tokio::test(flavor = "multi_thread")]
async fn no_cluster_can_stop_edits_by_what_it_claims_forges_or_replays() {
    let fleet = Fleet::start().await;
    fleet
        .clusters()
        .add(add(&cluster("eu-prod-1")))
        .await
        .unwrap();
    // A genuine beat of this log, to be replayed.
    let mut listening = live::listen_as_publisher(&bus(&fleet).await).await.unwrap();
    let genuine = until("a beat", async || match listening.next().await? {
        Signal::Message {
            subject: BusSubject::Beat,
            bytes,
            ..
        } => Some(bytes.to_vec()),
        _ => None,
    })
    .await;
    let mut thief = FakeCluster::connect(&fleet, "eu-prod-1").await;
    thief.claim(Revision {
        epoch: 7,
        number: 1 << 60,
    });
    for witness in [
        vec![],
        beat(1 << 60, &ack_key("eu-prod-1")),
        b"nonsense".to_vec(),
        genuine,
    ] {
        thief.show(witness);
        thief.pulse().await;
        until("the pulse is heard", async || {
            let request = v1::StatusRequest {
                of: Some(v1::status_request::Of::Cluster("eu-prod-1".into())),
                ..Default::default()
            };
            let status = fleet.acks().get_status(request).await.ok()?.into_inner();
            let liveness = status.cluster?.liveness?;
            liveness.last_heard.map(drop)
        })
        .await;
        fleet
            .policies()
            .apply(apply(&policy("payments", "devs")))
            .await
            .unwrap();
    }
    assert_eq!(edits_refused(&fleet).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publishers_word_above_the_log_stops_edits_at_once_whoever_shows_it() {
    let fleet = Fleet::start().await;
    let mut policies = fleet.policies();
    policies
        .apply(apply(&policy("payments", "devs")))
        .await
        .unwrap();
    // No registry entry: a lost log knows of no cluster.
    let mut stranger = FakeCluster::connect(&fleet, "eu-prod-2").await;
    stranger.show(beat(60, &signing_key()));
    let since = Instant::now();
    stranger.pulse().await;
    let refused = until("edits are refused", async || {
        policies
            .apply(apply(&policy("payments", "others")))
            .await
            .err()
    })
    .await;
    eprintln!("refused {:?} after the pulse", since.elapsed());
    assert!(since.elapsed() < Duration::from_secs(5));
    assert_eq!(refused.code(), Code::FailedPrecondition);
    let details = refused.get_details_precondition_failure().unwrap();
    assert_eq!(details.violations[0].r#type, "LogBehind");
    for expected in [
        "ends at revision ",
        "cluster eu-prod-2",
        "word for 60",
        "writ recover",
    ] {
        assert!(
            refused.message().contains(expected),
            "{expected}: {}",
            refused.message()
        );
    }
    assert!(edits_refused(&fleet).await.starts_with("LogBehind: "));
    assert!(
        fleet.log().contains("no edit is accepted"),
        "{}",
        fleet.log()
    );
    // Reads go on.
    assert!(policies.list(v1::ListRequest::default()).await.is_ok());
}

/// Everything again in an epoch, as whoever has a publisher's keys can write it.
async fn write_epoch(client: &Client, epoch: u64, opening: Option<&SigningKey>) -> Revision {
    let trusted = TrustBundle::first([signing_key().public()]).keyring();
    let (stored, _) = bus_log::read_all(client, Stream::Log).await.unwrap();
    let messages = stored.iter().map(|of| {
        log::open_message(&of.subject, &of.bytes, &trusted)
            .unwrap()
            .value
    });
    let plan = Plan::make(&Copy::read(messages, &BTreeSet::new()), &Found::default());
    let recovery = plan.build(epoch, 0);
    let signed = opening.map(|key| log::seal::<Opening>(&recovery.opening, key).bytes);
    let root = Root {
        opening: signed.map(Arc::from),
        ..recovery.root
    };
    let revision = root.revision;
    let mut all = recovery.messages;
    all.push(edit::Message::Root(root));
    let sign = |message: &edit::Message| Message {
        subject: message.subject(),
        bytes: log::seal_message(message, &signing_key()).bytes.into(),
    };
    let sequence = read::last_by_subject(client, Stream::Log, &BusSubject::Root)
        .await
        .unwrap()
        .map_or(0, |root| root.sequence);
    let batch = Batch::new(all.iter().map(sign).collect(), sequence).unwrap();
    let outcome = commit(client, &batch).await.unwrap();
    assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
    revision
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_does_not_fit_is_told_at_once_and_nothing_is_built_on_it() {
    let fleet = Fleet::start().await;
    let client = bus(&fleet).await;
    let mut policies = fleet.policies();
    policies
        .apply(apply(&policy("payments", "devs")))
        .await
        .unwrap();
    let trusted = TrustBundle::first([signing_key().public()]).keyring();
    let last = read::last_by_subject(&client, Stream::Log, &BusSubject::Root);
    let last = last.await.unwrap().unwrap();
    let root = log::open::<Root>(&BusSubject::Root, &last.bytes, &trusted);
    let mut root = root.unwrap().value;
    root.edits.clear();
    root.revision.number += 1;
    let state = root.feeds.values_mut().next().unwrap();
    state.digest = Hash::of(b"of other entries");
    let root = Message {
        subject: BusSubject::Root,
        bytes: log::seal(&root, &signing_key()).bytes.into(),
    };
    let batch = Batch::new(vec![root], last.sequence).unwrap();
    let outcome = commit(&client, &batch).await.unwrap();
    assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
    until("it is told", async || {
        fleet.log().contains("log_differs").then_some(())
    })
    .await;
    assert!(edits_refused(&fleet).await.contains("LogDiffers"));
    let refused = policies.apply(apply(&policy("payments", "others"))).await;
    assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_without_the_offline_keys_word_is_not_gone_to_and_one_with_it_is() {
    let mut fleet = Fleet::start().await;
    let client = bus(&fleet).await;
    fleet
        .policies()
        .apply(apply(&policy("payments", "devs")))
        .await
        .unwrap();
    for forged in [None, Some(signing_key())] {
        write_epoch(&client, 2, forged.as_ref()).await;
        let refused = until("edits are refused", async || {
            fleet
                .policies()
                .apply(apply(&policy("payments", "others")))
                .await
                .err()
        })
        .await;
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
        assert!(refused.message().contains("EpochNotOpened"), "{refused:?}");
        // Nor by one that finds it there when it starts.
        fleet.restart_publisher().await;
        let again = fleet
            .policies()
            .apply(apply(&policy("payments", "others")))
            .await;
        assert_eq!(again.unwrap_err().code(), Code::FailedPrecondition);
    }
    // The offline key's holder opens one above all that anybody speaks of.
    let (status, said) = recover(&fleet, &["--above", "0"]).await;
    assert_eq!(status, Some(3), "{said}");
    let names = said
        .split("--confirm ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .to_owned();
    let (status, said) = recover(&fleet, &["--above", "0", "--confirm", &names]).await;
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("Opened epoch 3 at revision 3:"), "{said}");
    let edit = until("edits are taken", async || {
        fleet
            .policies()
            .apply(apply(&policy("payments", "others")))
            .await
            .ok()
    })
    .await
    .into_inner();
    assert_eq!((edit.generation, edit.revision.unwrap().epoch), (2, 3));
    fleet.restart_publisher().await;
    fleet
        .policies()
        .apply(apply(&policy("payments", "third")))
        .await
        .unwrap();
}

/// Runs the tool with the fleet's files; the record is made with the first call.
fn recover_command(fleet: &Fleet, more: &[&str]) -> Command {
    let file = |name: &str| fleet.folder.path().join(name);
    let epochs = file("offline.epochs");
    if !epochs.exists() {
        std::fs::write(&epochs, Record::new().to_string()).unwrap();
        let offline = data_encoding::BASE64.encode(&[9; 32]);
        std::fs::write(file("offline.key"), offline).unwrap();
        let own = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(file("offline.key"), own).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_writ-recover"));
    command
        .args(["--nats-url", &fleet.url, "--listen-s", "1"])
        .arg("--nats-credentials-file")
        .arg(file("bus.creds"))
        .arg("--signing-key-file")
        .arg(file("signing.key"))
        .arg("--trust-file")
        .arg(file("trust"))
        .arg("--epochs-file")
        .arg(epochs)
        .arg("--offline-key-file")
        .arg(file("offline.key"))
        .args(more)
        .kill_on_drop(true);
    command
}

async fn recover(fleet: &Fleet, more: &[&str]) -> (Option<i32>, String) {
    let output = recover_command(fleet, more).output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_of_several_batches_that_is_killed_anywhere_is_run_again() {
    const POLICIES: usize = 600;
    const TRIES_MAX: usize = 20;
    let mut fleet = Fleet::start().await;
    fleet
        .clusters()
        .add(add(&cluster("eu-prod-1")))
        .await
        .unwrap();
    let mut policies = fleet.policies();
    for at in 0..POLICIES {
        policies
            .apply(apply(&policy(&format!("p{at}"), "devs")))
            .await
            .unwrap();
    }
    let confirm = (POLICIES + 1).to_string();
    let args = ["--above", "0", "--confirm", &confirm];
    let (mut torn, mut tries) = (0, 0);
    // Where it is hit is left to chance; enough tries hit it between two batches.
    while tries < TRIES_MAX && (torn < 2 || tries < 4) {
        let delay_ms = [0, 40, 20, 60][tries % 4];
        tries += 1;
        let mut tool = recover_command(&fleet, &args)
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = tool.stderr.take().unwrap();
        let mut text = Vec::new();
        // Its log says when it begins to write.
        while !String::from_utf8_lossy(&text).contains("writing the new epoch") {
            let mut piece = [0; 1024];
            let read = tokio::io::AsyncReadExt::read(&mut said, &mut piece)
                .await
                .unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&text));
            text.extend_from_slice(&piece[..read]);
        }
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        tool.kill().await.unwrap();
        let (status, said) = recover(&fleet, &[]).await;
        torn += usize::from(status == Some(3) && said.contains("not ended"));
        // A publisher that starts now does not build on it.
        fleet.restart_publisher().await;
        if status == Some(3) {
            let edit = fleet.policies().apply(apply(&policy("p1", "others"))).await;
            assert_eq!(edit.unwrap_err().code(), Code::FailedPrecondition);
        }
    }
    eprintln!("{torn} of {tries} were killed in the middle");
    assert!(torn > 0, "none was killed in the middle");
    let (status, said) = recover(&fleet, &args).await;
    assert_eq!(status, Some(0), "{said}");
    let edit = until("edits are taken", async || {
        fleet
            .policies()
            .apply(apply(&policy("p1", "others")))
            .await
            .ok()
    })
    .await;
    assert_eq!(edit.into_inner().generation, 2);
    let (status, said) = recover(&fleet, &[]).await;
    assert_eq!(
        (status, said.contains("Nothing to recover")),
        (Some(0), true),
        "{said}"
    );
    // Each took an epoch of its own.
    let record = std::fs::read_to_string(fleet.folder.path().join("offline.epochs")).unwrap();
    assert_eq!(record.lines().count(), tries + 2, "{record}");
    assert_eq!(edits_refused(&fleet).await, "");
}
