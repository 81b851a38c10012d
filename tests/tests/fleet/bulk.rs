//! Many edits at once, committed in batches of many, on real clusters.

use std::time::{Duration, Instant};

use kube::api::ListParams;
use serde_json::{Value, json};

use crate::harness::{PROD, STAGE, Shared, role, run};

/// Everything that is waited for takes seconds; this is for a machine that does much else.
const LIMIT: Duration = Duration::from_secs(60);
/// More than two batches hold, and than the tail of an index.
const POLICIES: usize = 250;

fn policies(verb: &str) -> Value {
    let policy = |number: usize| {
        let name = format!("bulk-{number}");
        json!({
            "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy", "metadata": {"name": name},
            "spec": {
                "clusters": {"regions": ["eu"]},
                "objects": [role("ClusterRole", &name, None, &[verb])],
            },
        })
    };
    let items: Vec<Value> = (0..POLICIES).map(policy).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// Runs the command line and expects that all of it was done.
async fn writ(fleet: &Shared, what: &str, line: &[&str]) {
    let begun = Instant::now();
    let said = fleet.writ(line).await;
    let errors = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{what}: {:?}\n{errors}", said.status);
    println!("{what}: {:?}", begun.elapsed());
}

/// The verbs of the roles that a cluster holds.
async fn verbs(fleet: &Shared, cluster: &str) -> Vec<String> {
    let roles = fleet.objects(cluster, "ClusterRole", "");
    let managed = ListParams::default().labels("writ.dev/managed=true");
    let all = roles.list(&managed).await.unwrap().items.into_iter();
    let own = all.filter(|role| {
        let name = role.metadata.name.as_deref().unwrap_or_default();
        name.starts_with("bulk-")
    });
    own.map(|role| {
        role.data["rules"][0]["verbs"][0]
            .as_str()
            .unwrap()
            .to_owned()
    })
    .collect()
}

/// Waits until the roles that a cluster holds have these verbs. Another test may have stopped its
/// subscriber for a while: the command does not wait for who is silent.
async fn holds(fleet: &Shared, cluster: &str, wanted: &[&str]) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let found = verbs(fleet, cluster).await;
        if found == wanted {
            return;
        }
        let (found, wanted) = (found.len(), wanted.len());
        assert!(
            Instant::now() < deadline,
            "{cluster} has {found} roles, not {wanted} as the last edits say"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn hundreds_of_policies_are_applied_changed_and_deleted_on_every_cluster() {
    run(async |fleet| {
        let file = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
        let path = file.path().to_str().unwrap();
        for verb in ["get", "list"] {
            std::fs::write(file.path(), policies(verb).to_string()).unwrap();
            let line = [
                "apply",
                "-f",
                path,
                "--wait",
                "--allow-silent",
                "--timeout",
                "60s",
            ];
            writ(fleet, verb, &line).await;
            for cluster in [PROD, STAGE] {
                holds(fleet, cluster, &vec![verb; POLICIES]).await;
            }
        }
        let names: Vec<String> = (0..POLICIES)
            .map(|number| format!("bulk-{number}"))
            .collect();
        let mut line = vec![
            "delete",
            "policy",
            "--wait",
            "--allow-silent",
            "--timeout",
            "60s",
        ];
        line.extend(names.iter().map(String::as_str));
        writ(fleet, "delete", &line).await;
        for cluster in [PROD, STAGE] {
            holds(fleet, cluster, &[]).await;
        }
    });
}
