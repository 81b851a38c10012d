//! Every kind that a policy may hold, as a real API server answers it, and kinds that its owner has to
//! opt into.

use serde_json::{Value, json};
use writ_core::plan::Reason;
use writ_subscriber::outcome::State;

use crate::drift::Watch;
use crate::fixture::{Fixture, RBAC, at, compile, compile_spec, policy, target, until};

fn object(kind: &str, rest: Value) -> Value {
    let api_version = match kind {
        "NetworkPolicy" => "networking.k8s.io/v1",
        "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding" => RBAC,
        _ => "v1",
    };
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "it"}});
    if !kind.starts_with("Cluster") {
        object["metadata"]["namespace"] = "kinds".into();
    }
    let rest = rest.as_object().unwrap().clone();
    object.as_object_mut().unwrap().extend(rest);
    object
}

fn every_kind() -> Value {
    let group = "rbac.authorization.k8s.io";
    let subjects = json!([{"kind": "User", "name": "bob", "apiGroup": group}]);
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]);
    let bind = |kind: &str| json!({"roleRef": {"apiGroup": group, "kind": kind, "name": "it"}, "subjects": subjects});
    let limit = json!({"type": "Container", "max": {"cpu": "2000m"}, "default": {"cpu": "0.5", "memory": "512Mi"}});
    let hard = json!({"requests.cpu": "20000m", "requests.memory": "65536Mi", "pods": "200"});
    let ports = json!([{"port": 443}]);
    json!([
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kinds", "labels": {"team": "a"}}},
        object("ServiceAccount", json!({"automountServiceAccountToken": false})),
        object("LimitRange", json!({"spec": {"limits": [limit]}})),
        object("ResourceQuota", json!({"spec": {"hard": hard}})),
        object("ClusterRole", json!({"rules": rules})),
        object("Role", json!({"rules": rules})),
        object("ClusterRoleBinding", bind("ClusterRole")),
        object("RoleBinding", bind("Role")),
        object("NetworkPolicy", json!({"spec": {"podSelector": {}, "egress": [{"ports": ports}]}})),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_plan_is_empty_for_every_kind() {
    let fixture = Fixture::start().await;
    let engine = fixture.engine().await;
    let wanted = compile("kinds", every_kind(), json!([]));
    let outcome = engine.bring(target("kinds", 1, Some(wanted))).await;
    assert!(outcome.is_applied() && outcome.writes == 9, "{outcome:?}");
    let quota = at("ResourceQuota", Some("kinds"), "it");
    // The controllers write into what we wrote; that is theirs.
    until("the quota is counted", async || {
        !fixture.get(&quota).await.unwrap()["status"]["used"].is_null()
    })
    .await;
    let hard = &fixture.get(&quota).await.unwrap()["spec"]["hard"];
    assert_ne!(
        hard["requests.memory"], "65536Mi",
        "it is answered in another spelling"
    );
    let check = engine.retry(&policy("kinds")).await.unwrap();
    assert_eq!(
        (check.outcome.writes, check.drift.len()),
        (0, 0),
        "{check:?}"
    );

    let mut watch = Watch::start(&fixture, engine.clone()).await;
    fixture
        .edit(&quota, json!({"spec": {"hard": {"pods": "201"}}}))
        .await;
    let repair = watch
        .until("the quota is put back", |repair| !repair.drift.is_empty())
        .await;
    assert!(repair.outcome.is_applied());
    assert_eq!(
        fixture.get(&quota).await.unwrap()["spec"]["hard"]["pods"],
        "200"
    );
    let removal = engine.bring(target("kinds", 2, None)).await;
    assert!(
        removal.is_applied() && removal.orphaned.len() == 1,
        "{removal:?}"
    );
    assert!(fixture.get(&quota).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_map_needs_the_owners_right_and_is_watched_once_it_is_used() {
    let fixture = Fixture::start().await;
    let engine = fixture.engine().await;
    fixture.namespace("apps", json!({})).await;
    let mut watch = Watch::start(&fixture, engine.clone()).await;
    let settings = at("ConfigMap", Some("apps"), "settings");
    let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "apps"}, "data": {"a": "b"}});
    let wanted = || compile_spec("settings", json!({"objects": [manifest]}));
    let refused = engine.bring(target("settings", 1, Some(wanted()))).await;
    assert_eq!(
        refused.state,
        State::Refused(Reason::Forbidden),
        "{refused:?}"
    );
    assert!(
        refused.failures[0].message.contains("configmaps"),
        "{refused:?}"
    );

    let verbs = json!(["get", "list", "watch", "create", "patch", "delete"]);
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}]);
    fixture.allow("additional-kinds", rules).await;
    until("the right is there", async || {
        engine
            .retry(&policy("settings"))
            .await
            .unwrap()
            .outcome
            .is_applied()
    })
    .await;
    // The watch began without the right and tries again.
    fixture.edit(&settings, json!({"data": {"a": "c"}})).await;
    watch
        .until("it is put back", |repair| !repair.drift.is_empty())
        .await;
    assert_eq!(fixture.get(&settings).await.unwrap()["data"]["a"], "b");
    assert!(engine.bring(target("settings", 2, None)).await.is_applied());
    assert!(fixture.get(&settings).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_further_kind_is_found_where_it_is_served_and_unsupported_where_not() {
    let fixture = Fixture::start().await;
    let engine = fixture.engine().await;
    let widget =
        json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "it"}});
    let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "it"}, "value": 7});
    let unknown = compile_spec("widgets", json!({"objects": [widget]}));
    let outcome = engine.bring(target("widgets", 1, Some(unknown))).await;
    assert_eq!(
        outcome.state,
        State::Refused(Reason::Unsupported),
        "{outcome:?}"
    );

    let verbs = json!(["get", "list", "watch", "create", "patch", "delete"]);
    let rules = json!([{"apiGroups": ["scheduling.k8s.io"], "resources": ["priorityclasses"], "verbs": verbs}]);
    fixture.allow("additional-kinds", rules).await;
    let wanted = compile_spec("classes", json!({"objects": [class]}));
    engine.bring(target("classes", 2, Some(wanted))).await;
    until("the right is there", async || {
        engine
            .retry(&policy("classes"))
            .await
            .unwrap()
            .outcome
            .is_applied()
    })
    .await;
    let check = engine.retry(&policy("classes")).await.unwrap();
    assert_eq!(check.outcome.writes, 0, "{check:?}");
    assert!(engine.bring(target("classes", 3, None)).await.is_applied());
}
