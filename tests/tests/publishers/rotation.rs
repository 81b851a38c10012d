//! A publisher's signing key is replaced by hand, as where the offline key is on a machine that reaches
//! nobody, while edits go on through that publisher and another one.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::process::Command;
use writ_core::envelope::SigningKey;
use writ_proto::v1;
use writ_tests::hub::{Hub, Size, policy, until};

use crate::WRIT;

async fn writ(fleet: &str, line: &[&str]) -> (bool, String) {
    let mut command = Command::new(WRIT);
    let output = command
        .args(line)
        .env("WRIT_FLEET", fleet)
        .output()
        .await
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

async fn done(fleet: &str, line: &[&str]) -> String {
    let (is_done, said) = writ(fleet, line).await;
    assert!(is_done, "{line:?}: {said}");
    said
}

/// Edits one policy through one publisher until the end; how many there were, and the last answer.
async fn edits(hub: Arc<Hub>, publisher: usize, end: Arc<AtomicBool>) -> (u64, v1::EditResponse) {
    let mut policies = hub.policies(publisher);
    let (mut count, mut last) = (0, v1::EditResponse::default());
    while !end.load(Ordering::Relaxed) {
        let manifest = policy(&format!("of-{publisher}"), &format!("group-{count}"));
        let request = v1::ApplyRequest {
            manifest: manifest.to_string(),
            ..Default::default()
        };
        last = policies
            .apply(request)
            .await
            .expect("every edit is made")
            .into_inner();
        count += 1;
    }
    (count, last)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_replaced_by_hand_while_two_publishers_take_edits() {
    let hub = Arc::new(Hub::start(WRIT, Size::of(1, 2)).await);
    let fleets = [0, 1].map(|number| hub.fleet_file(&hub.address(number)));
    let first = &fleets[0];
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let offline = file("offline");
    fs::write(&offline, data_encoding::BASE64.encode(&Hub::OFFLINE_SEED)).unwrap();
    fs::set_permissions(&offline, fs::Permissions::from_mode(0o600)).unwrap();
    let old = SigningKey::from_seed(&[1; 32]).public().id().to_string();

    let end = Arc::new(AtomicBool::new(false));
    let editors: Vec<_> = (0..2)
        .map(|number| tokio::spawn(edits(hub.clone(), number, end.clone())))
        .collect();

    // The new key comes in.
    let (next, trust, both) = (file("next"), file("trust"), file("both"));
    let made = done(first, &["keys", "new", &next]).await;
    let public = made.lines().next().unwrap().to_owned();
    done(first, &["keys", "list", "--save", &trust]).await;
    let sign = [
        "keys",
        "sign",
        "--offline-key-file",
        &offline,
        "--trust-file",
    ];
    let line = [
        &sign[..],
        &[
            &trust,
            "--add",
            &public,
            "--name",
            "publisher-1",
            "-o",
            &both,
        ],
    ];
    done(first, &line.concat()).await;
    done(first, &["keys", "apply", &both]).await;
    for fleet in &fleets {
        until("every publisher has the bundle", async || {
            let listed = done(fleet, &["keys", "list"]).await;
            listed.starts_with("trust bundle 2\n").then_some(())
        })
        .await;
    }
    // The publisher goes to it.
    fs::rename(&next, hub.signing_key_file(0)).unwrap();
    until("it signs with the new key", async || {
        let listed = done(first, &["keys", "list"]).await;
        let mut lines = listed.lines();
        let signs = lines.find(|line| line.contains("(signs)"))?;
        (!signs.starts_with(&old)).then_some(())
    })
    .await;

    // An end before what it signed is refused, and nothing is lost by the try.
    let retire = async |end: &str, to: &str| {
        done(first, &["keys", "list", "--save", &trust]).await;
        let retired = format!("{old}@{end}");
        let line = [&sign[..], &[&trust, "--retire", &retired, "-o", to]];
        done(first, &line.concat()).await;
        writ(first, &["keys", "apply", to]).await
    };
    let (is_taken, said) = retire("1", &file("early")).await;
    assert!(!is_taken && said.contains("revision"), "{said}");
    let request = v1::ApplyRequest {
        manifest: policy("now", "devs").to_string(),
        ..Default::default()
    };
    let now = hub.policies(0).apply(request).await.unwrap().into_inner();
    let now = now.revision.unwrap().number.to_string();
    let (is_taken, said) = retire(&now, &file("after")).await;
    assert!(is_taken, "{said}");
    for fleet in &fleets {
        until("every publisher has the last bundle", async || {
            let listed = done(fleet, &["keys", "list"]).await;
            let line = listed
                .lines()
                .find(|line| line.starts_with(&old))?
                .to_owned();
            (listed.starts_with("trust bundle 3\n") && line.contains("retired")).then_some(())
        })
        .await;
    }
    // Both go on, and each edit that was made is there.
    let more = v1::ApplyRequest {
        manifest: policy("more", "devs").to_string(),
        ..Default::default()
    };
    hub.policies(1).apply(more).await.unwrap();
    end.store(true, Ordering::Relaxed);
    for (number, editor) in editors.into_iter().enumerate() {
        let (count, last) = editor.await.unwrap();
        println!("{count} edits through publisher {}", number + 1);
        assert!(count > 3, "{count}");
        assert_eq!(last.generation, count);
    }
    let mut hub = Arc::into_inner(hub).unwrap();
    // One that starts with the first bundle's file believes what the old key signed, and both new ones.
    for (number, fleet) in fleets.iter().enumerate() {
        hub.end_publisher(number).await;
        hub.start_publisher(number).await;
        let listed = done(fleet, &["keys", "list"]).await;
        assert!(listed.starts_with("trust bundle 3\n"), "{listed}");
        let history = done(fleet, &["history", "of-0"]).await;
        assert!(!history.contains("revoked"), "{history}");
        let request = v1::ApplyRequest {
            manifest: policy(&format!("again-{number}"), "devs").to_string(),
            ..Default::default()
        };
        hub.policies(number).apply(request).await.unwrap();
    }
}
