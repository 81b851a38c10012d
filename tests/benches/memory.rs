//! How much memory a subscriber holds: the program of its image, in a real cluster, with 20 policies
//! and then with 200 and 2,000 objects. Resident memory, mapped code included, as `VmRSS` says.
//!
//! `cargo bench -p writ-tests --bench memory`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tonic::transport::Channel;
use writ_proto::v1::{
    ApplyRequest, StatusRequest, ack_service_client::AckServiceClient,
    policy_service_client::PolicyServiceClient, status_request::Of,
};
use writ_sandbox::fleet::{Fleet, FleetOptions};
use writ_sandbox::process::Launcher;

const CLUSTER: &str = "eu-prod-1";
/// Objects of each policy: a namespace, an account, four roles and four bindings.
const OBJECTS_PER_POLICY: usize = 10;
const LIMIT: Duration = Duration::from_secs(300);
const RBAC: &str = "rbac.authorization.k8s.io/v1";

#[tokio::main]
async fn main() {
    let launcher = Launcher::writ(PathBuf::from(env!("CARGO_BIN_EXE_writ-under-test")));
    let (region, stage) = (vec!["eu".parse().unwrap()], vec!["prod".parse().unwrap()]);
    let mut fleet = Fleet::start(FleetOptions::new(launcher, region, stage))
        .await
        .unwrap();
    let args = subscriber_args();
    fleet
        .kill_subscriber(&CLUSTER.parse().unwrap())
        .await
        .unwrap();
    let mut subscriber =
        tokio::process::Command::new(env!("CARGO_BIN_EXE_writ-subscriber-under-test"))
            .args(args)
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
    let pid = subscriber.id().unwrap();
    let channel = fleet.channel().unwrap();
    for (policies, limit_mib) in [(20, 20), (200, 40)] {
        apply(channel.clone(), policies).await;
        applied(channel.clone(), policies).await;
        let (now, peak) = (resident_kib(pid, "VmRSS"), resident_kib(pid, "VmHWM"));
        println!(
            "{policies} policies, {} objects: resident {:.1} MiB (own {:.1}, mapped files {:.1}), at most {:.1} MiB (limit {limit_mib} MiB)",
            policies * OBJECTS_PER_POLICY,
            now / 1024.0,
            resident_kib(pid, "RssAnon") / 1024.0,
            resident_kib(pid, "RssFile") / 1024.0,
            peak / 1024.0
        );
    }
    subscriber.kill().await.unwrap();
    fleet.stop().await.unwrap();
}

/// What the fleet's own subscriber was started with.
fn subscriber_args() -> Vec<String> {
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        let parts: Vec<String> = line
            .split(|byte| *byte == 0)
            .map(|part| String::from_utf8_lossy(part).into_owned())
            .filter(|part| !part.is_empty())
            .collect();
        let ours = parts
            .first()
            .is_some_and(|program| program.contains("writ-under-test"));
        if ours && let Some(at) = parts.iter().position(|part| part == "__subscriber") {
            return parts[at + 1..].to_vec();
        }
    }
    panic!("the fleet runs no subscriber");
}

fn resident_kib(pid: u32, field: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn apply(channel: Channel, policies: usize) {
    let mut service = PolicyServiceClient::new(channel);
    for number in 0..policies {
        let request = ApplyRequest {
            manifest: policy(number).to_string(),
            ..Default::default()
        };
        service.apply(request).await.unwrap();
    }
}

async fn applied(channel: Channel, policies: usize) {
    let mut service = AckServiceClient::new(channel);
    let since = Instant::now();
    loop {
        let request = StatusRequest {
            of: Some(Of::Cluster(CLUSTER.to_owned())),
            ..Default::default()
        };
        let status = service
            .get_status(request)
            .await
            .unwrap()
            .into_inner()
            .cluster
            .unwrap();
        if status
            .counts
            .is_some_and(|counts| counts.applied as usize == policies)
        {
            return;
        }
        assert!(
            since.elapsed() < LIMIT,
            "not applied within {LIMIT:?}: {:?}",
            status.exceptions
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn policy(number: usize) -> Value {
    let namespace = format!("team-{number}");
    let mut objects = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bot", "namespace": namespace}}),
    ];
    let mut grants = Vec::new();
    for role in 0..4 {
        let name = format!("role-{role}");
        let rules = json!([{"apiGroups": [""], "resources": ["pods", "services"], "verbs": ["get", "list", "watch"]}]);
        let metadata = json!({"name": name, "namespace": namespace});
        objects.push(
            json!({"apiVersion": RBAC, "kind": "Role", "metadata": metadata, "rules": rules}),
        );
        let subjects = json!([{"group": format!("oidc:team-{number}")}, {"user": format!("lead-{number}@example.com")}]);
        grants.push(json!({"name": format!("grant-{role}"), "subjects": subjects, "role": name, "namespaces": [namespace]}));
    }
    json!({
        "apiVersion": "writ.dev/v1alpha1",
        "kind": "ClusterPolicy",
        "metadata": {"name": format!("team-{number}")},
        "spec": {"clusters": {"all": true}, "objects": objects, "grants": grants},
    })
}
