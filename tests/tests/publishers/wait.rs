//! `writ wait` against real publishers: every exit code that it may end with, through whichever publisher
//! answers.

use std::process::{Output, Stdio};

use tokio::process::Command;
use writ_proto::v1;
use writ_tests::{
    hub::{Hub, Size, cluster, policy},
    proxy::Proxy,
    voice::Voice,
};

use crate::WRIT;

const NAMES: [&str; 2] = ["eu-prod-1", "eu-prod-2"];

/// Two publishers and two registered clusters.
async fn start() -> (Hub, String) {
    let clusters = NAMES.map(str::to_owned).to_vec();
    let hub = Hub::start(
        WRIT,
        Size {
            clusters,
            ..Size::of(1, 2)
        },
    )
    .await;
    for name in NAMES {
        let request = v1::AddClusterRequest {
            manifest: cluster(name).to_string(),
            ..Default::default()
        };
        hub.clusters(0).add(request).await.unwrap();
    }
    let fleet = hub.fleet_file(&format!("{},{}", hub.address(1), hub.address(0)));
    (hub, fleet)
}

async fn apply(hub: &Hub, name: &str) -> v1::EditResponse {
    let request = v1::ApplyRequest {
        manifest: policy(name, "devs").to_string(),
        ..Default::default()
    };
    hub.policies(0).apply(request).await.unwrap().into_inner()
}

fn command(addresses: &str, line: &str) -> Command {
    let mut command = Command::new(WRIT);
    command
        .args(["wait", "--fleet", addresses])
        .args(line.split_whitespace())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn wait(addresses: &str, line: &str) -> (Option<i32>, String) {
    end_of(command(addresses, line).output().await.unwrap())
}

/// Its exit code, and all that it said.
fn end_of(output: Output) -> (Option<i32>, String) {
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_ends_as_the_clusters_do() {
    let (hub, addresses) = start().await;
    let mut voices = [
        Voice::of(&hub, NAMES[0]).await,
        Voice::of(&hub, NAMES[1]).await,
    ];
    let made = apply(&hub, "payments").await;
    let at = made.revision.unwrap();
    for voice in &mut voices {
        voice.pulse().await;
    }
    let [mut first, mut second] = voices;

    // Nobody answers in time.
    let (code, said) = wait(&addresses, "payments@1 --timeout 200ms").await;
    assert_eq!(code, Some(4), "{said}");
    first.ack(at, None).await;
    second.ack(at, Some(("payments", 1))).await;
    let (code, said) = wait(&addresses, "payments@1 --timeout 30s").await;
    assert_eq!(code, Some(5), "{said}");
    second.ack(at, None).await;
    let (code, said) = wait(&addresses, "payments@1 --timeout 30s").await;
    assert_eq!(code, Some(0), "{said}");

    // One that goes on, and one that falls silent before it answers.
    let made = apply(&hub, "orders").await;
    first.ack(made.revision.unwrap(), None).await;
    let pulses = first.go_on();
    let (code, said) = wait(&addresses, "orders --timeout 30s").await;
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains(NAMES[1]) && said.contains("silent"), "{said}");
    let (code, said) = wait(&addresses, "orders --timeout 30s --allow-silent").await;
    assert_eq!(code, Some(0), "{said}");
    // Of several the worst: refused, in time, silent.
    let (code, said) = wait(&addresses, "payments orders --timeout 30s").await;
    assert_eq!(code, Some(6), "{said}");
    let mut first = pulses.stop().await;

    // The deletion of a policy, confirmed by both.
    let request = v1::DeleteRequest {
        name: "payments".into(),
        ..Default::default()
    };
    let gone = hub.policies(1).delete(request).await.unwrap().into_inner();
    for voice in [&mut first, &mut second] {
        voice.ack(gone.revision.unwrap(), None).await;
        voice.pulse().await;
    }
    let (code, said) = wait(&addresses, "payments --for deleted --timeout 30s").await;
    assert_eq!(code, Some(0), "{said}");

    let (code, said) = wait(&addresses, "nothing --timeout 1s").await;
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(wait(&addresses, "--timeout 1s").await.0, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_goes_on_through_another_publisher_and_ends_with_130_after_ctrl_c() {
    let (mut hub, _) = start().await;
    let mut voices = [
        Voice::of(&hub, NAMES[0]).await,
        Voice::of(&hub, NAMES[1]).await,
    ];
    let made = apply(&hub, "payments").await;
    for voice in &mut voices {
        voice.pulse().await;
    }
    let proxy = Proxy::start(hub.address(1).parse().unwrap()).await;
    let addresses = hub.fleet_file(&format!("{},{}", proxy.address(), hub.address(0)));
    let waiting = command(&addresses, "payments --timeout 50s")
        .spawn()
        .unwrap();
    // The one that is asked goes away while it is followed.
    proxy.has_heard().await;
    hub.kill_publisher(1).await;
    for voice in &mut voices {
        voice.ack(made.revision.unwrap(), None).await;
    }
    let (code, said) = end_of(waiting.wait_with_output().await.unwrap());
    assert_eq!(code, Some(0), "{said}");

    apply(&hub, "orders").await;
    let proxy = Proxy::start(hub.address(0).parse().unwrap()).await;
    let line = "orders --timeout 50s";
    let waiting = command(&hub.fleet_file(&proxy.address().to_string()), line)
        .spawn()
        .unwrap();
    proxy.has_heard().await;
    let pid = waiting.id().unwrap().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().await;
    assert!(sent.unwrap().success());
    let (code, said) = end_of(waiting.wait_with_output().await.unwrap());
    assert_eq!(code, Some(130), "{said}");
}
