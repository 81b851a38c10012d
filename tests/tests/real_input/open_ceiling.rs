//! With a ceiling that allows them: every role and binding of an API server, in all their forms, is
//! applied, kept, changed and taken away.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::{Api, ListParams, WatchParams};
use serde_json::{Value, json};
use writ_core::model::{Notice, Object};
use writ_core::plan::Reason;
use writ_subscriber::engine::Engine;
use writ_subscriber::kube_api::KubeApi;
use writ_subscriber::outcome::State;

use crate::bootstrap::{Bootstrap, Renaming, compile_exported, new_name};
use crate::fixture::{Compiled, Fixture, RBAC, at, policy, target, until};
use crate::inventory::{assert_as_sent, marked, versions};
use crate::watching::Watching;
use crate::{ceiling, inventory};

const ROLES: &str = "real-roles";
const BINDINGS: &str = "real-bindings";
/// The roles whose rules a controller fills in.
const AGGREGATED: [&str; 3] = ["admin", "edit", "view"];
/// A binding gets another role by two deletions and two creations: it is replaced, and a temporary one
/// stands in meanwhile.
const WRITES_TO_REBIND: usize = 4;
/// How long nobody may write an aggregated role: ten times what the controller takes to fill one.
const WATCH_S: u32 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn all_that_an_api_server_holds_is_applied_kept_changed_and_taken_away() {
    let fixture = Fixture::start().await;
    let theirs = Bootstrap::export(&fixture).await;
    let open = ceiling::edit(&fixture, open_spec(), &widest()).await;
    let engine = fixture.engine().await;
    engine.permit(ceiling::enforce(&open));
    let watching = Watching::start(&fixture, &engine);

    let (roles, bindings): (Vec<Value>, Vec<Value>) = theirs
        .renamed(Renaming::Labels)
        .into_iter()
        .partition(|object| object.get("roleRef").is_none());
    let (roles, bindings) = (export(ROLES, &roles), export(BINDINGS, &bindings));
    let all = [&roles, &bindings]
        .map(|it| it.content.objects.to_vec())
        .concat();

    let waiting = engine
        .bring(target(BINDINGS, 1, Some(bindings.clone())))
        .await;
    assert_eq!(
        waiting.state,
        State::Pending(Reason::RoleMissing),
        "{waiting:?}"
    );
    assert_eq!(waiting.failures_total, bindings.content.objects.len());
    bring(&engine, ROLES, 2, &roles, roles.content.objects.len()).await;
    let healed = engine.retry(&policy(BINDINGS)).await.unwrap().outcome;
    assert!(healed.is_applied(), "{healed:?}");
    assert_as_sent(&fixture, &all).await;

    for name in AGGREGATED {
        filled_in(&fixture, name, theirs.rules(name)).await;
    }
    nobody_writes_cluster_roles(&fixture).await;
    nothing_to_do(&fixture, &[(ROLES, &roles), (BINDINGS, &bindings)], &all).await;

    change_and_take_away(&fixture, &engine, &roles, &bindings).await;
    watching.assert_no_drift();
    assert_eq!(Bootstrap::export(&fixture).await.states(), theirs.states());
}

/// Every role loses a verb, every binding gets another role; then half of it leaves, then all.
async fn change_and_take_away(
    fixture: &Fixture,
    engine: &Engine<KubeApi>,
    roles: &Compiled,
    bindings: &Compiled,
) {
    let written = [(ROLES, roles), (BINDINGS, bindings)];
    for (name, before) in written {
        let changed = changed(before, before.content.objects.len());
        let sent = changed
            .content
            .objects
            .iter()
            .zip(before.content.objects.iter());
        let differing = sent.filter(|(now, before)| now != before).count();
        let aggregated = if name == ROLES { AGGREGATED.len() } else { 0 };
        assert_eq!(differing + aggregated, before.content.objects.len());
        let writes = differing * if name == ROLES { 1 } else { WRITES_TO_REBIND };
        bring(engine, name, 3, &changed, writes).await;
        assert_as_sent(fixture, &changed.content.objects).await;
    }
    for (name, before) in written {
        let half = before.content.objects.len() / 2;
        let leaving = before.content.objects.len() - half;
        bring(engine, name, 4, &changed(before, half), leaving).await;
        let (stay, left) = before.content.objects.split_at(half);
        let left = inventory::versions(fixture, left).await;
        assert!(left.values().all(Option::is_none), "{left:?}");
        let stay = versions(fixture, stay).await;
        assert!(stay.values().all(Option::is_some), "{stay:?}");
    }
    for (name, _) in written {
        let removal = engine.bring(target(name, 5, None)).await;
        assert!(removal.is_applied(), "{removal:?}");
        engine.forget(&policy(name)).await.unwrap();
    }
    assert_eq!(marked(fixture).await, [""; 0]);
}

/// Compiles what was exported, with a look at what was stripped from it.
fn export(name: &str, objects: &[Value]) -> Compiled {
    let (compiled, notices) = compile_exported(name, objects);
    assert_eq!(compiled.content.objects.len(), objects.len());
    let count = |field: &str| {
        let is_it = |notice: &&Notice| notice.field.ends_with(field);
        notices.iter().filter(is_it).count()
    };
    for field in [
        "uid",
        "resourceVersion",
        "managedFields",
        "creationTimestamp",
    ] {
        assert_eq!(
            count(&format!(".metadata.{field}")),
            objects.len(),
            "{field}"
        );
    }
    let aggregated = objects
        .iter()
        .filter(|it| it.get("aggregationRule").is_some());
    assert_eq!(count(".rules"), aggregated.count());
    compiled
}

async fn bring(engine: &Engine<KubeApi>, name: &str, number: u64, to: &Compiled, writes: usize) {
    let outcome = engine.bring(target(name, number, Some(to.clone()))).await;
    assert_eq!(
        (outcome.state, outcome.writes),
        (State::Applied, writes),
        "{name}: {outcome:?}"
    );
}

/// A restarted subscriber finds all as it should be: it reads everything and writes nothing.
async fn nothing_to_do(fixture: &Fixture, written: &[(&str, &Compiled)], all: &[Object]) {
    let before = versions(fixture, all).await;
    let restarted = fixture.engine().await;
    for (name, content) in written {
        bring(&restarted, name, 2, content, 0).await;
        let check = restarted.retry(&policy(name)).await.unwrap();
        let did = (check.outcome.state, check.outcome.writes, check.drift.len());
        assert_eq!(did, (State::Applied, 0, 0), "{name}: {check:?}");
    }
    assert_eq!(versions(fixture, all).await, before);
}

/// Waits until a role has collected the same rules as the one that it was exported from.
async fn filled_in(fixture: &Fixture, name: &str, rules: &Value) {
    let role = at("ClusterRole", None, &new_name(name));
    until("an aggregated role is filled in", async || {
        let found = fixture.get(&role).await.unwrap();
        distinct(&found["rules"]) == distinct(rules)
    })
    .await;
}

fn distinct(rules: &Value) -> BTreeSet<String> {
    let rules = rules.as_array().into_iter().flatten();
    rules.map(Value::to_string).collect()
}

/// Neither the engine, which watches, nor the controller writes any of them for a while.
async fn nobody_writes_cluster_roles(fixture: &Fixture) {
    let api: Api<ClusterRole> = Api::all(fixture.admin.clone());
    let ours = format!("writ.dev/policy={ROLES}");
    let listed = api
        .list(&ListParams::default().labels(&ours))
        .await
        .unwrap();
    let since = listed.metadata.resource_version.unwrap();
    let params = WatchParams::default()
        .labels(&ours)
        .timeout(WATCH_S)
        .disable_bookmarks();
    let seen = api.watch(&params, &since).await.unwrap();
    let limit = Duration::from_secs(2 * u64::from(WATCH_S));
    let seen: Vec<_> = tokio::time::timeout(limit, seen.collect()).await.unwrap();
    assert!(seen.is_empty(), "{seen:?}");
}

/// The first `count` objects, changed.
fn changed(before: &Compiled, count: usize) -> Compiled {
    let objects = before.content.objects[..count].iter();
    let objects: Vec<Value> = objects
        .map(|object| change(object.content.clone()))
        .collect();
    let document = before.content.document();
    let name = document["metadata"]["name"].as_str();
    compile_exported(name.unwrap(), &objects).0
}

fn change(mut object: Value) -> Value {
    if object.get("roleRef").is_some() {
        let is_cluster_wide = object["kind"] == "ClusterRoleBinding";
        let other = if is_cluster_wide { "admin" } else { "edit" };
        object["roleRef"]["kind"] = json!("ClusterRole");
        object["roleRef"]["name"] = json!(new_name(other));
    } else if let Some(rules) = object.get_mut("rules").and_then(Value::as_array_mut) {
        drop_verb(rules);
    }
    object
}

/// Drops one verb; of rules with one verb each, a whole rule.
fn drop_verb(rules: &mut Vec<Value>) {
    let verbs = |rule: &Value| rule["verbs"].as_array().map_or(0, Vec::len);
    match rules.iter_mut().find(|rule| verbs(rule) > 1) {
        Some(rule) => drop(rule["verbs"].as_array_mut().unwrap().pop()),
        None => drop(rules.pop()),
    }
}

/// A ceiling that has nothing against what Kubernetes grants itself.
fn open_spec() -> Value {
    json!({
        "protectedNamespaces": [], "protectedNames": [], "bindableClusterRoles": [],
        "bindOwnClusterRoles": true, "allowAggregation": true, "deniedVerbs": [],
        "deniedResources": [], "readOnlyResources": [], "deniedAPIGroups": [],
        "readOnlyAPIGroups": [], "allowedNonResourceURLs": ["*"], "deniedUsers": [],
        "deniedGroups": [],
    })
}

/// What no narrower one lets through.
fn widest() -> Value {
    json!({
        "apiVersion": RBAC, "kind": "ClusterRole",
        "metadata": {"name": "asked", "labels": {"writ.dev/policy": "asked"}},
        "rules": [
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
            {"nonResourceURLs": ["*"], "verbs": ["*"]},
        ],
    })
}
