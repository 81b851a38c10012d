//! The subscriber's own proof that the ceiling is in force.

use serde_json::json;
use writ_subscriber::ceiling::{CeilingGuard, NotEnforced};
use writ_subscriber::connect::{self, Access};
use writ_subscriber::kube_api::KubeApi;

use crate::kubectl::{Fixture, Who, until};

/// The subscriber's way to the API server.
pub(crate) async fn api(fixture: &Fixture) -> KubeApi {
    let access = Access::Token {
        server: fixture.cluster.endpoints().next().unwrap().to_owned(),
        ca_file: fixture.cluster.authority_file().to_owned(),
        token_file: fixture.cluster.token_file().to_owned(),
    };
    KubeApi::new(connect::client(&access).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ceiling_is_believed_only_while_it_is_there_understood_and_enforced() {
    let fixture = Fixture::start().await;
    let guard = CeilingGuard::new(api(&fixture).await);
    let before = guard.examine().await.unwrap();
    assert!(before.forbids_namespace("kube-system"));

    // A change is seen, and is still proven: also where own roles are not bound any more.
    let strict = json!({"spec": {"bindOwnClusterRoles": false, "deniedUsers": ["*"]}}).to_string();
    let patch = [
        "patch",
        "policyceiling",
        "default",
        "--type=merge",
        "-p",
        &strict,
    ];
    fixture.admin(&patch, None).await;
    until("the strict ceiling is proven", async || {
        let found = guard.examine().await.unwrap();
        found.hash() != before.hash()
    })
    .await;

    // A policy that only warns denies nothing.
    let warn = json!({"spec": {"validationActions": ["Warn"]}}).to_string();
    let binding = "validatingadmissionpolicybinding/writ-ceiling-fence";
    fixture
        .admin(&["patch", binding, "--type=merge", "-p", &warn], None)
        .await;
    until("the fence only warns", async || {
        matches!(
            guard.examine().await,
            Err(NotEnforced::Allowed {
                policy: "writ-ceiling-fence",
                ..
            })
        )
    })
    .await;

    fixture
        .admin(&["delete", "policyceiling", "default"], None)
        .await;
    let missing = guard.examine().await.unwrap_err();
    assert!(matches!(missing, NotEnforced::Missing), "{missing:?}");
    assert!(!missing.is_transient());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_policy_ceiling_nothing_is_allowed() {
    let fixture = Fixture::start().await;
    let made = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "rules": [],
        "metadata": {"name": "made-before", "labels": {"writ.dev/policy": "p"}},
    });
    fixture.create(&[made]).await;
    fixture
        .admin(&["delete", "policyceiling", "default"], None)
        .await;
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "rules": [],
        "metadata": {"name": "ours", "labels": {"writ.dev/policy": "p"}},
    })
    .to_string();
    let create = ["create", "--dry-run=server", "-f", "-"];
    until("everything is denied", async || {
        let answer = fixture.kubectl(Who::Subscriber, &create, Some(&role)).await;
        !answer.succeeded && answer.text.contains("writ-ceiling-")
    })
    .await;
    // Nobody else is held up, and what Writ made can be deleted, also while the kind is not even known.
    let namespace =
        |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let marked = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": "marked", "labels": {"writ.dev/policy": "p"}},
    })
    .to_string();
    let create_marked = ["create", "-f", "-"];
    let held = fixture
        .kubectl(Who::Admin, &create_marked, Some(&marked))
        .await;
    assert!(
        !held.succeeded && held.text.contains("no params found"),
        "{}",
        held.text
    );
    fixture.create(&[namespace("theirs")]).await;
    let definition = [
        "delete",
        "customresourcedefinition",
        "policyceilings.writ.dev",
    ];
    fixture.admin(&definition, None).await;
    fixture.create(&[namespace("theirs-too")]).await;
    fixture
        .admin(&["delete", "clusterrole", "made-before"], None)
        .await;
    fixture.deploy("crds.yaml").await;
    // Another name is no ceiling.
    let other = json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "PolicyCeiling",
        "metadata": {"name": "other"}, "spec": {},
    })
    .to_string();
    until("a ceiling of another name is refused", async || {
        let answer = fixture
            .kubectl(Who::Admin, &["create", "-f", "-"], Some(&other))
            .await;
        assert!(!answer.succeeded, "{}", answer.text);
        answer.text.contains("name it so")
    })
    .await;
    // A new one that says nothing has the careful defaults of the definition: those of the file.
    let empty = other.replace("\"other\"", "\"default\"");
    fixture.admin(&["create", "-f", "-"], Some(&empty)).await;
    let api = api(&fixture).await;
    let guard = CeilingGuard::new(api);
    until("the ceiling is back", async || {
        guard.examine().await.is_ok()
    })
    .await;
    let filled_in = guard.examine().await.unwrap();
    fixture.deploy("ceiling.yaml").await;
    assert_eq!(guard.examine().await.unwrap().hash(), filled_in.hash());
}
