//! What a cluster's owner decides, the cluster keeps: the ceiling, the mode, and its own memory.

use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use writ_proto::v1::AckState;

use crate::harness::{Shared, policy, role, run, wait_for};

fn roles(cluster: &str, name: &str, roles: &[&str]) -> Value {
    let objects = roles
        .iter()
        .map(|role_name| role("ClusterRole", role_name, None, &["get"]));
    policy(name, cluster, objects.collect(), json!([]))
}

async fn merge(fleet: &Shared, cluster: &str, kind: &str, name: &str, patch: Value) {
    fleet
        .objects(cluster, kind, "")
        .patch(name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
}

/// Makes the subscriber look at its ceiling at once, and not only now and then.
async fn touch_ceiling(fleet: &Shared, cluster: &str) {
    let value = format!("{:?}", std::time::Instant::now());
    let touched = json!({"metadata": {"annotations": {"tests.writ.dev/touched": value}}});
    merge(fleet, cluster, "PolicyCeiling", "default", touched).await;
}

#[test]
fn without_its_ceiling_a_cluster_writes_nothing_and_says_so() {
    run(async |fleet| {
        let cluster = &fleet.join().await;
        let before = roles(cluster, "ceiling-before", &["ceiling-before"]);
        fleet.apply_on(&before, &[cluster]).await;
        assert!(!fleet.cluster_status(cluster).await.ceiling.is_empty());

        let name = "writ-ceiling-roles";
        let bindings = fleet.objects(cluster, "ValidatingAdmissionPolicyBinding", "");
        let binding = bindings.get(name).await.unwrap();
        bindings
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
        // The API server forgets a binding a moment after it is gone.
        wait_for("the subscriber finds out", async || {
            touch_ceiling(fleet, cluster).await;
            let status = fleet.cluster_status(cluster).await;
            status.ceiling.is_empty().then_some(())
        })
        .await;
        let edit = fleet
            .apply(&roles(cluster, "ceiling-without", &["ceiling-without"]))
            .await;
        let line = fleet.expect(&edit, cluster, AckState::Refused).await;
        assert_eq!(line.reason, "CeilingNotEnforced", "{line:?}");
        let written = fleet.objects(cluster, "ClusterRole", "");
        let found = written.get_opt("ceiling-without").await.unwrap();
        assert!(found.is_none(), "written without a ceiling");
        let mirrors = fleet.objects(cluster, "ClusterPolicy", "");
        let mirror = mirrors.get_opt("ceiling-without").await.unwrap();
        assert!(mirror.is_none(), "a mirror was written without a ceiling");

        let mut restored = DynamicObject {
            metadata: Default::default(),
            ..binding
        };
        restored.metadata.name = Some(name.to_owned());
        bindings
            .create(&PostParams::default(), &restored)
            .await
            .unwrap();
        wait_for("the subscriber believes it again", async || {
            touch_ceiling(fleet, cluster).await;
            let line = fleet.line(&edit, cluster).await?;
            (line.state() == AckState::Applied).then_some(())
        })
        .await;
    });
}

#[test]
fn an_observed_cluster_says_what_would_be_done_and_nothing_is_written() {
    run(async |fleet| {
        let cluster = &fleet.join().await;
        fleet.set_mode(cluster, "observe").await;
        wait_for("it observes", async || {
            let status = fleet.cluster_status(cluster).await;
            (status.mode == "observe").then_some(())
        })
        .await;
        let manifest = roles(cluster, "observed", &["observed-one", "observed-two"]);
        let edit = fleet.apply(&manifest).await;
        assert_eq!(edit.target_count, 0, "an observer is no target");
        let failing = wait_for("it says what it would do", async || {
            let status = fleet.cluster_status(cluster).await;
            let line = status
                .exceptions
                .into_iter()
                .find(|line| line.policy == "observed" && line.reason == "Observing")?;
            (!line.failing.is_empty()).then_some(line.failing)
        })
        .await;
        let would: Vec<&str> = failing.iter().map(|one| one.message.as_str()).collect();
        assert_eq!(would, ["would create", "would create"]);
        let written = fleet.objects(cluster, "ClusterRole", "");
        assert!(written.get_opt("observed-one").await.unwrap().is_none());
        let mirrors = fleet.objects(cluster, "ClusterPolicy", "");
        assert!(mirrors.get_opt("observed").await.unwrap().is_none());

        let told = fleet.set_mode(cluster, "enforce").await;
        for part in ["would change it", "ClusterRole observed-one: would create"] {
            assert!(told.contains(part), "the plan is shown first: {told}");
        }
        wait_for("it is done", async || {
            written.get_opt("observed-two").await.unwrap()
        })
        .await;
    });
}

#[test]
fn an_observer_that_starts_again_does_not_put_back_what_it_once_wrote() {
    run(async |fleet| {
        let cluster = &fleet.join().await;
        let name = "once-written";
        fleet
            .apply_on(&roles(cluster, name, &[name]), &[cluster])
            .await;
        fleet.set_mode(cluster, "observe").await;
        let observing = async || {
            let status = fleet.cluster_status(cluster).await;
            let mut lines = status.exceptions.into_iter();
            lines.find(|line| line.policy == name && line.reason == "Observing")
        };
        // Its own word, which it gives when it has kept that: the registry's is there before it heard.
        wait_for("it says that it observes", observing).await;
        fleet
            .while_away(cluster, async {
                let other = json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]});
                merge(fleet, cluster, "ClusterRole", name, other).await;
            })
            .await;
        wait_for("it says what it would do", async || {
            let line = observing().await?;
            (!line.failing.is_empty()).then_some(())
        })
        .await;
        let found = fleet.objects(cluster, "ClusterRole", "").get(name).await;
        assert_eq!(found.unwrap().data["rules"][0]["verbs"], json!(["list"]));
    });
}

#[test]
fn an_entry_that_was_changed_while_nobody_watched_is_read_again_and_told() {
    run(async |fleet| {
        let cluster = &fleet.join().await;
        let edit = fleet
            .apply_on(&roles(cluster, "tampered", &["tampered"]), &[cluster])
            .await;
        let mirrors = fleet.objects(cluster, "ClusterPolicy", "");
        let genuine = mirrors.get("tampered").await.unwrap().data["status"]["signed"].clone();
        fleet
            .while_away(cluster, async {
                let forged = json!({"status": {"signed": "Zm9yZ2Vk"}});
                merge(fleet, cluster, "ClusterPolicy", "tampered", forged).await;
            })
            .await;
        let told = wait_for("it tells of it", async || {
            let status = fleet.cluster_status(cluster).await;
            let drift = status.drift.into_iter();
            drift
                .flat_map(|line| line.objects)
                .find(|object| object.reason == "LedgerTampered")
        })
        .await;
        assert_eq!(told.object, "ClusterPolicy tampered");
        fleet.expect(&edit, cluster, AckState::Applied).await;
        wait_for("the entry is the genuine one", async || {
            let found = mirrors.get("tampered").await.unwrap();
            (found.data["status"]["signed"] == genuine).then_some(())
        })
        .await;
    });
}
