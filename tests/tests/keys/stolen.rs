//! A thief has a publisher's signing key and its identity on the bus.

use std::fs;

use writ_core::{
    beat::Beat,
    edit::{Change, Edit, Message, State},
    envelope::SigningKey,
    event::Event,
    hash::Hash,
    name::Name,
    revision::{Generation, Revision},
    root::Root,
    scope::Kind,
    subject::BusSubject,
};
use writ_proto::log;

use crate::scene::{CLUSTERS, Scene, role, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_key_is_revoked_and_nothing_that_it_ever_signed_is_believed() {
    let scene = Scene::start().await;
    scene.apply("kept", "get").await;
    scene.apply("kept", "list").await;
    let stolen = scene.signing_key();

    // Before the revocation he can do this: grant what he wants, and raise what the clusters have seen so
    // high that nothing follows.
    let far = Revision {
        epoch: 1,
        number: 1_000_000,
    };
    scene.store(vec![event(&stolen, "evil", far, 7)]).await;
    for cluster in CLUSTERS {
        wait_for("the thief's grant is in force", async || {
            scene.verbs(cluster, "evil").await
        })
        .await;
    }
    let refused = wait_for("edits are refused", async || {
        let edit = scene.try_apply("kept", "watch", "").await;
        (!edit.status.success()).then_some(edit)
    })
    .await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("LogBehind"), "{said}");

    // The operator makes a good key, looks, and revokes the stolen one.
    let good = scene.key_file("publisher-1.good");
    scene.done(&format!("keys new '{}'", good.display())).await;
    let id = stolen.public().id();
    let line = revoke_line(&scene, &id.to_string());
    let plan = scene.writ(&line).await;
    let said = String::from_utf8(plan.stdout).unwrap();
    assert_eq!(plan.status.code(), Some(3), "{said}");
    assert!(said.contains("policy kept at revision"), "{said}");
    assert!(
        said.contains("Of 1 names an event stands in the log"),
        "{said}"
    );
    let (_, rest) = said.split_once("--confirm ").unwrap();
    let names: usize = rest.split_whitespace().next().unwrap().parse().unwrap();
    let offline = scene.key_file("offline.signing");
    let confirm = format!("--offline-key-file '{}' --confirm", offline.display());
    let wrong = scene.writ(&format!("{line} {confirm} {}", names + 1)).await;
    assert_eq!(wrong.status.code(), Some(9), "{wrong:?}");
    let said = scene.done(&format!("{line} {confirm} {names}")).await;
    assert!(said.contains("Opened epoch 2"), "{said}");

    // The publisher signs nothing until it has the good key.
    wait_for(
        "the publisher says that its key does not count",
        async || {
            scene
                .log("publisher-1")
                .contains("KeyNotTrusted")
                .then_some(())
        },
    )
    .await;
    fs::rename(&good, scene.key_file("publisher-1.signing")).unwrap();
    wait_for("edits are taken", async || {
        let edit = scene.try_apply("kept", "watch", "").await;
        edit.status.success().then_some(())
    })
    .await;
    scene.apply("after", "get").await;
    scene.check("kept", Some("watch")).await;
    for cluster in CLUSTERS {
        wait_for("the thief's grant is gone", async || {
            scene.verbs(cluster, "evil").await.is_none().then_some(())
        })
        .await;
    }
    let listed = scene.done("keys list").await;
    let of_stolen = listed
        .lines()
        .find(|line| line.starts_with(&id.to_string()));
    assert!(of_stolen.unwrap().contains("revoked"), "{listed}");

    // What was made before is not called evicted, and not believed.
    let history = scene.done("history kept").await;
    assert!(
        history.contains("signed by a key that was revoked since"),
        "{history}"
    );
    assert!(!history.contains("evicted"), "{history}");
    println!("{history}");

    everything_that_the_thief_says_now_is_refused(&scene, &stolen).await;
    scene.apply("after", "list").await;
    scene.check("evil", None).await;
    scene.check("worse", None).await;
    scene.check("kept", Some("watch")).await;
}

fn revoke_line(scene: &Scene, id: &str) -> String {
    let file = |flag: &str, name: &str| format!("--{flag} '{}'", scene.key_file(name).display());
    [
        format!("keys revoke {id} --nats-url {}", scene.fleet.bus_url()),
        file("nats-credentials-file", "publisher-1.creds"),
        file("signing-key-file", "publisher-1.good"),
        file("trust-file", "trust"),
        file("epochs-file", "offline.epochs"),
    ]
    .join(" ")
}

/// Events, a root and a beat, in the old epoch and in the new one.
async fn everything_that_the_thief_says_now_is_refused(scene: &Scene, stolen: &SigningKey) {
    let refused_before: Vec<u64> = refused(scene).await;
    let far = |epoch| Revision {
        epoch,
        number: 2_000_000,
    };
    let root = Root {
        revision: far(2),
        ..Root::default()
    };
    let beat = Beat {
        revision: far(2),
        root: Hash::of(b"root"),
        issued_ms: 0,
        expires_after_ms: 600_000,
        publisher: "publisher-1".into(),
    };
    scene
        .store(vec![
            event(stolen, "worse", far(1), 9),
            event(stolen, "kept", far(2), 900),
        ])
        .await;
    let client = scene.bus().await;
    let bytes = log::seal(&beat, stolen).bytes;
    writ_bus::live::publish_beat(&client, bytes.into())
        .await
        .unwrap();
    store_root(scene, log::seal(&root, stolen).bytes).await;
    wait_for("the publisher does not believe the root", async || {
        let said = scene.log("publisher-1");
        let is_alarm = |line: &&str| line.contains("not_verified") && line.contains("writ.root");
        said.lines().any(|line| is_alarm(&line)).then_some(())
    })
    .await;
    // Three messages came to each cluster by themselves: two events and a beat.
    wait_for("each cluster has refused what came", async || {
        let now = refused(scene).await;
        let mut both = now.iter().zip(&refused_before);
        both.all(|(now, before)| *now >= before + 3).then_some(())
    })
    .await;
}

/// How many messages each cluster says that it refused.
async fn refused(scene: &Scene) -> Vec<u64> {
    let mut counts = Vec::new();
    for cluster in CLUSTERS {
        counts.push(scene.refused_messages(cluster).await);
    }
    counts
}

async fn store_root(scene: &Scene, bytes: Vec<u8>) {
    use writ_bus::{
        batch::{Batch, Message, Outcome, commit},
        read,
        streams::Stream,
    };
    let client = scene.bus().await;
    let newest = read::last_by_subject(&client, Stream::Log, &BusSubject::Root).await;
    let sequence = newest.unwrap().unwrap().sequence;
    let message = Message {
        subject: BusSubject::Root,
        bytes: bytes.into(),
    };
    let batch = Batch::new(vec![message], sequence).unwrap();
    let outcome = commit(&client, &batch).await.unwrap();
    assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
}

/// An event of no edit, as whoever has the key signs it.
fn event(
    key: &SigningKey,
    name: &str,
    revision: Revision,
    generation: u64,
) -> (BusSubject, Vec<u8>) {
    let manifest = role(name, "delete");
    let parsed = writ_core::model::parse(&manifest).unwrap().document;
    let writ_core::model::Document::Policy(policy) = parsed else {
        panic!("it is a policy")
    };
    let object: serde_json::Value = serde_json::from_slice(&policy.compile().into_bytes()).unwrap();
    let edit = Edit {
        kind: Kind::Policy.into(),
        name: Name::parse(name).unwrap(),
        change: Change::Put {
            manifest: manifest.to_string(),
            object: object.clone(),
            requires: vec![],
            scopes: ["eu.all".parse().unwrap()].into(),
            listens: None,
        },
        request_id: "thief".into(),
        author: "mallory".into(),
        reason: String::new(),
        inlet: "bus".into(),
        committed_ms: 1,
        targets: vec![],
        revoked: vec![],
    };
    let made = State::default().build(&edit).messages.into_iter().nth(1);
    let Some(Message::Event(event)) = made else {
        panic!("an edit makes an event")
    };
    let generation = Generation(generation);
    let body = writ_core::event::Body::new(Kind::Policy, edit.name, generation, object);
    let event = Event {
        revision,
        generation,
        body: Some(body.encode()),
        ..event
    };
    let sealed = log::seal(&event, key);
    (event.subject(), sealed.bytes)
}
