//! The record of calls in a folder: exported while calls go on, by an exporter that is killed and a
//! publisher that is restarted; and what whoever holds a publisher's identity on the bus can add to it.

use std::{
    fs,
    path::Path,
    process::{Output, Stdio},
};

use serde_json::{Value, json};
use tokio::process::{Child, Command};
use writ_bus::audit::{self, Appended};
use writ_core::{envelope::SigningKey, name::Name};
use writ_proto::{
    audit::{hash, sign},
    v1,
};
use writ_tests::hub::{Hub, Size, policy, until};

use crate::WRIT;

fn export(fleet: &str, dir: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(WRIT);
    command
        .args(["audit", "export", "--fleet", fleet, "--dir"])
        .arg(dir)
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn follow(fleet: &str, dir: &Path) -> Child {
    export(fleet, dir, &["--follow"]).spawn().unwrap()
}

async fn verify(dir: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(WRIT);
    command.args(["audit", "verify"]).arg(dir);
    let Output { status, stderr, .. } = command.output().await.unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

/// The request ids of the edits that the folder tells of, in its order.
fn told(dir: &Path) -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    files.sort();
    let days = files
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"));
    let text: String = days.map(|path| fs::read_to_string(path).unwrap()).collect();
    // The last line may be half written.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let lines = whole
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter_map(|line| line["requestId"].as_str().map(str::to_owned))
        // The others are of calls that named none.
        .filter(|id| id.starts_with("edit-"))
        .collect()
}

async fn edit(hub: &Hub, number: usize) -> String {
    let request_id = format!("edit-{number}");
    let request = v1::ApplyRequest {
        manifest: policy("recorded", &format!("group-{number}")).to_string(),
        request_id: request_id.clone(),
        ..Default::default()
    };
    hub.policies(0).apply(request).await.unwrap();
    request_id
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_is_killed_goes_on_where_it_was_and_a_false_line_is_found() {
    let mut hub = Hub::start(WRIT, Size::of(1, 1)).await;
    let fleet = hub.fleet_file(&hub.address(0));
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("audit");

    let (mut made, mut exporter) = (Vec::new(), follow(&fleet, &dir));
    for round in 0..6 {
        for number in 0..10 {
            made.push(edit(&hub, round * 10 + number).await);
            // In the middle of what is on its way.
            if number == 4 + round % 3 {
                exporter.kill().await.unwrap();
                exporter = follow(&fleet, &dir);
            }
        }
        if round == 2 {
            hub.end_publisher(0).await;
            hub.start_publisher(0).await;
        }
    }
    until("everything is in the folder", async || {
        (told(&dir).len() >= made.len()).then_some(())
    })
    .await;
    assert_eq!(told(&dir), made, "once, and in order");
    exporter.kill().await.unwrap();
    let (code, said) = verify(&dir).await;
    assert_eq!(
        (code, said.contains("all in order")),
        (Some(0), true),
        "{said}"
    );

    // A thief of the publisher's identity on the bus continues its chain, as it should be continued.
    let bus = hub.publisher_client(0).await;
    let name = Name::parse("publisher-1").unwrap();
    let foreign = SigningKey::from_seed(&[66; 32]);
    for key in [None, Some(foreign)] {
        until("a false line is stored", async || {
            let last = audit::last(&bus, &name).await.unwrap().unwrap();
            let text = String::from_utf8(last.bytes.to_vec()).unwrap();
            let before = text.lines().next_back().unwrap();
            let number = serde_json::from_str::<Value>(before).unwrap()["number"]
                .as_u64()
                .unwrap();
            let line = json!({
                "publisher": "publisher-1", "number": number + 1, "previous": hash(before),
                "time": "2026-11-28T12:00:00Z", "call": "/writ.v1.PolicyService/Delete",
                "user": "innocent", "outcome": "ok",
            });
            let line = match &key {
                Some(key) => sign(&line.to_string(), key),
                None => line.to_string(),
            };
            let appended = audit::append(&bus, &name, format!("{line}\n").into(), last.sequence);
            matches!(appended.await, Ok(Appended::Stored(_))).then_some(())
        })
        .await;
    }
    made.push(edit(&hub, 60).await);
    until("the next true line is exported", async || {
        let ended = export(&fleet, &dir, &[]).output().await.unwrap();
        assert!(ended.status.success(), "{ended:?}");
        (told(&dir).len() == made.len()).then_some(())
    })
    .await;
    assert_eq!(told(&dir), made);
    let (code, said) = verify(&dir).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is not signed"), "{said}");
    assert!(
        said.contains("is not believed: signed by no trusted key"),
        "{said}"
    );
    let of_chain = ["missing", "comes after", "not as it was written"];
    assert!(!of_chain.iter().any(|fault| said.contains(fault)), "{said}");
    assert!(hub.publisher_log(0).contains("audit_foreign"));

    // The chain alone does not tell: it is the signatures that do.
    fs::remove_file(dir.join("trust")).unwrap();
    let (code, said) = verify(&dir).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("signatures are not checked"), "{said}");
}
