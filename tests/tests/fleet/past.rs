//! Time travel on the command line: history, diff, rollback, and the fleet as it was.

use std::process::{Output, Stdio};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::harness::{PROD, STAGE, Shared, namespace, policy, role, run};

fn out(said: &Output) -> &str {
    std::str::from_utf8(&said.stdout).unwrap()
}

fn err(said: &Output) -> &str {
    std::str::from_utf8(&said.stderr).unwrap()
}

fn json_of(said: &Output) -> Value {
    assert!(said.status.success(), "{said:?}");
    serde_json::from_slice(&said.stdout).unwrap()
}

/// A team with a namespace of its own, and a grant in every namespace of its label.
fn team(name: &str, verbs: &[&str]) -> Value {
    let mut space = namespace(name);
    space["metadata"]["labels"] = json!({"team": name});
    let objects = json!([space, role("Role", "reader", Some(name), verbs)]);
    let devs = json!([{"group": "devs"}]);
    let grants = json!([
        {"name": "devs", "subjects": devs, "role": "reader", "namespaces": [name]},
        {"name": "later", "subjects": devs, "clusterRole": "view",
         "namespaceSelector": {"matchLabels": {"team": name}}},
    ]);
    policy(name, PROD, objects, grants)
}

/// `kubectl apply --server-side -f -` on a cluster, as its administrator.
async fn kubectl_apply(fleet: &Shared, cluster: &str, manifests: &str) -> Output {
    let kubeconfig = fleet.fleet.lock().await.kubeconfig_file();
    let mut child = Command::new(fleet.dir.join("bin/kubectl"))
        .args(["--context", cluster, "apply", "--server-side", "-f", "-"])
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(manifests.as_bytes()).await.unwrap();
    drop(stdin);
    child.wait_with_output().await.unwrap()
}

async fn verbs(fleet: &Shared, cluster: &str, namespace: &str) -> Value {
    let roles = fleet.objects(cluster, "Role", namespace);
    roles.get("reader").await.unwrap().data["rules"][0]["verbs"].clone()
}

#[test]
fn a_cluster_is_brought_to_the_state_of_another_one_at_a_time_with_kubectl() {
    run(async |fleet| {
        fleet
            .apply_on(&team("past-render", &["get"]), &[PROD])
            .await;
        let history = json_of(&fleet.writ(&["history", "past-render", "-o", "json"]).await);
        let then = history["items"][0]["committedAt"]
            .as_str()
            .unwrap()
            .to_owned();
        fleet
            .apply_on(&team("past-render", &["get", "list"]), &[PROD])
            .await;
        let deleted = fleet
            .writ(&["delete", "policy", "past-render", "--wait"])
            .await;
        assert!(deleted.status.success(), "{deleted:?}");

        let line = ["render", "past-render", "--cluster", PROD, "--at", &then];
        let rendered = fleet.writ(&line).await;
        assert!(rendered.status.success(), "{rendered:?}");
        assert!(out(&rendered).contains("# clusterpolicy/past-render@1"));
        assert!(
            err(&rendered)
                .contains("grant later: selects namespaces by label; it is bound in past-render"),
            "{}",
            err(&rendered)
        );
        let applied = kubectl_apply(fleet, STAGE, out(&rendered)).await;
        assert!(applied.status.success(), "{applied:?}");
        assert_eq!(verbs(fleet, STAGE, "past-render").await, json!(["get"]));
        let bindings = fleet.objects(STAGE, "RoleBinding", "past-render");
        for name in ["writ:past-render:devs", "writ:past-render:later"] {
            assert!(bindings.get_opt(name).await.unwrap().is_some(), "{name}");
        }
        let list = fleet.writ(&[&line[..], &["-o", "json"]].concat()).await;
        assert_eq!(json_of(&list)["items"].as_array().unwrap().len(), 4);
        let again = kubectl_apply(fleet, STAGE, out(&list)).await;
        assert!(again.status.success(), "{again:?}");

        // Now nothing of it is for the cluster, and before it there was no such policy.
        let now = fleet
            .writ(&["render", "past-render", "--cluster", PROD])
            .await;
        assert!(
            now.status.success() && !out(&now).contains("kind:"),
            "{now:?}"
        );
        let nobody = fleet.writ(&["render", "--cluster", "nobody"]).await;
        assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
        assert!(err(&nobody).contains("there was no cluster nobody"));
    });
}

#[test]
fn a_deleted_policy_is_rolled_back_to_life_as_a_new_edit() {
    run(async |fleet| {
        fleet.apply_on(&team("past-roll", &["get"]), &[PROD]).await;
        fleet
            .apply_on(&team("past-roll", &["get", "list"]), &[PROD])
            .await;

        let plan = fleet
            .writ(&["rollback", "past-roll", "--to", "1", "--dry-run"])
            .await;
        assert!(plan.status.success(), "{plan:?}");
        assert!(out(&plan).contains("--- past-roll@2"), "{plan:?}");
        assert!(out(&plan).contains("-      - list"), "{plan:?}");
        assert!(out(&plan).contains("changed (dry run)") && err(&plan).contains("for 1 clusters"));
        let back = fleet
            .writ(&["rollback", "past-roll", "--to", "1", "--wait"])
            .await;
        assert!(back.status.success(), "{back:?}");
        assert!(
            out(&back).starts_with("clusterpolicy/past-roll@3 changed\n"),
            "{back:?}"
        );
        assert_eq!(verbs(fleet, PROD, "past-roll").await, json!(["get"]));
        let again = fleet.writ(&["rollback", "past-roll", "--to", "1"]).await;
        assert_eq!(
            out(&again),
            "clusterpolicy/past-roll@3 unchanged\n",
            "{again:?}"
        );
        assert!(err(&again).contains("past-roll is as it was at past-roll@1 already"));

        let gone = fleet
            .writ(&["delete", "policy", "past-roll", "--wait"])
            .await;
        assert!(gone.status.success(), "{gone:?}");
        let alive = fleet
            .writ(&["rollback", "past-roll", "--to", "2", "--wait"])
            .await;
        assert!(
            out(&alive).starts_with("clusterpolicy/past-roll@5 created\n"),
            "{alive:?}"
        );
        assert_eq!(
            verbs(fleet, PROD, "past-roll").await,
            json!(["get", "list"])
        );

        let history = json_of(&fleet.writ(&["history", "past-roll", "-o", "json"]).await);
        let told = |position: usize, field: &str| history["items"][position][field].clone();
        let edits: Vec<Value> = (0..5).map(|position| told(position, "edit")).collect();
        assert_eq!(
            edits,
            ["created", "changed", "changed", "deleted", "recreated"]
        );
        assert_eq!(told(2, "reason"), "rolled back to past-roll@1");
        assert_eq!(told(4, "targets"), json!([PROD]));
        let table = fleet.writ(&["history", "past-roll"]).await;
        assert!(
            err(&table).contains("the whole history of past-roll is kept"),
            "{table:?}"
        );

        // A deletion is no document, and an edit that was made from another generation is refused.
        let deletion = fleet.writ(&["rollback", "past-roll", "--to", "4"]).await;
        assert_eq!(deletion.status.code(), Some(2), "{deletion:?}");
        let moved = fleet.writ(&["rollback", "past-roll@4", "--to", "1"]).await;
        assert_eq!(moved.status.code(), Some(7), "{moved:?}");
        let never = fleet.writ(&["rollback", "past-roll", "--to", "99"]).await;
        assert_eq!(never.status.code(), Some(1), "{never:?}");
    });
}

#[test]
fn a_rollback_stands_under_the_guards() {
    run(async |fleet| {
        fleet.apply_on(&team("past-guard", &["get"]), &[PROD]).await;
        let mut protected = team("past-guard", &["get"]);
        protected["spec"]["deletionProtection"] = true.into();
        let more = json!({"name": "more", "subjects": [{"group": "ops"}], "role": "reader",
            "namespaces": ["past-guard"]});
        protected["spec"]["grants"]
            .as_array_mut()
            .unwrap()
            .push(more);
        fleet.apply_on(&protected, &[PROD]).await;
        let refused = fleet.writ(&["rollback", "past-guard", "--to", "1"]).await;
        assert_eq!(refused.status.code(), Some(9), "{refused:?}");
    });
}

#[test]
fn what_was_in_force_is_compared_and_listed() {
    run(async |fleet| {
        fleet.apply_on(&team("past-list", &["get"]), &[PROD]).await;
        fleet
            .apply_on(&team("past-list", &["watch"]), &[PROD])
            .await;
        let diff = fleet
            .writ(&["diff", "past-list", "--from", "1", "--to", "2"])
            .await;
        assert_eq!(diff.status.code(), Some(3), "{diff:?}");
        assert!(
            out(&diff).contains("-      - get") && out(&diff).contains("+      - watch"),
            "{diff:?}"
        );
        let last = fleet.writ(&["diff", "past-list"]).await;
        assert_eq!(out(&last), out(&diff));
        let same = fleet
            .writ(&["diff", "past-list", "--from", "2", "--to", "2"])
            .await;
        assert_eq!((same.status.code(), out(&same)), (Some(0), ""));
        let entry = fleet.writ(&["history", &format!("cluster/{PROD}")]).await;
        assert!(out(&entry).contains("created"), "{entry:?}");

        let history = json_of(&fleet.writ(&["history", "past-list", "-o", "json"]).await);
        let then = history["items"][0]["committedAt"]
            .as_str()
            .unwrap()
            .to_owned();
        let line = ["get", "policies", "past-list", "--at", &then, "-o", "json"];
        let list = json_of(&fleet.writ(&line).await);
        assert_eq!(list["items"][0]["generation"], 1);
        assert_eq!(list["place"]["committedAt"], then.as_str());
        assert_eq!(list["unknown"], json!([]));
        let table = fleet.writ(&["get", "policies", "--at", &then]).await;
        assert!(
            err(&table).contains(&format!("as of {then}: revision")),
            "{table:?}"
        );
        let clusters = fleet.writ(&["get", "clusters", "--at", &then]).await;
        assert!(out(&clusters).contains(PROD), "{clusters:?}");
        let before = fleet
            .writ(&["get", "policies", "past-list", "--at", "3h"])
            .await;
        assert_eq!(before.status.code(), Some(1), "{before:?}");
        assert!(
            err(&before).contains("clusterpolicy/past-list was not there at"),
            "{before:?}"
        );
    });
}
