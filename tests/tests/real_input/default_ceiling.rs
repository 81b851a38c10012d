//! Under the default ceiling: what of an API server's roles and bindings exceeds it is refused by the
//! subscriber and by the API server alike, and the rest is applied.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use writ_core::ceiling::Ceiling;
use writ_core::model::{Object, ObjectRef};
use writ_core::plan::{Reason, marked, role_of};
use writ_subscriber::engine::Engine;
use writ_subscriber::kube_api::KubeApi;
use writ_subscriber::outcome::FAILURES_NAMED_MAX;
use writ_subscriber::permit::{Bounds, Permit};

use crate::bootstrap::{Bootstrap, Renaming, compile_exported, new_name, new_namespace};
use crate::ceiling;
use crate::fixture::{Compiled, Fixture, RBAC, at, compile, policy, target};
use crate::inventory::assert_as_sent;

/// Where an API server keeps Roles of its own.
const NAMESPACES: [&str; 2] = ["kube-system", "kube-public"];

/// Policies by name, small enough for an outcome to name every object that fails.
type Policies = BTreeMap<String, Compiled>;

#[tokio::test(flavor = "multi_thread")]
async fn what_exceeds_the_default_is_refused_by_both_and_the_rest_is_applied() {
    let fixture = Fixture::start().await;
    let theirs = Bootstrap::export(&fixture).await;
    let default = ceiling::in_force(&fixture).await;
    let engine = fixture.engine().await;
    engine.permit(ceiling::enforce(&default));
    let namespaces = NAMESPACES.map(|name| {
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": new_namespace(name)}})
    });
    let namespaces = compile_exported("real", &namespaces).0;
    assert!(
        engine
            .bring(target("real", 1, Some(namespaces)))
            .await
            .is_applied()
    );

    let mut objects = theirs.renamed(Renaming::Namespaces);
    objects.extend(
        theirs
            .renamed(Renaming::Namespaces)
            .into_iter()
            .filter_map(to_people),
    );
    let policies = small_policies(&objects);
    let refused = refused_by_both(&fixture, &default, &policies).await;
    assert_some_of_each(&refused, &policies);

    bring_all(&fixture, &engine, &policies, &refused, true).await;
    // The same when the subscriber does not ask itself first: the API server's answers.
    engine.permit(Permit::Enforce(Bounds::none()));
    bring_all(&fixture, &engine, &policies, &refused, false).await;
    assert_eq!(Bootstrap::export(&fixture).await.states(), theirs.states());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_the_api_server_refuses_leaves_no_binding_that_waits_for_anybody_to_make_one() {
    let fixture = Fixture::start().await;
    let engine = fixture.engine().await;
    // As when the ceiling was lowered a moment ago: the subscriber does not know, the API server does.
    engine.permit(Permit::Enforce(Bounds::none()));
    let role = json!({
        "apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": "secrets"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}],
    });
    let grant = json!({
        "name": "g", "subjects": [{"user": "eve"}], "clusterRole": "secrets", "clusterWide": true,
    });
    let content = compile("both", json!([role]), json!([grant]));
    for number in [1, 2] {
        let outcome = engine
            .bring(target("both", number, Some(content.clone())))
            .await;
        let reasons = outcome.failures.iter().map(|it| it.reason);
        let expected = [Reason::CeilingExceeded, Reason::RoleMissing];
        assert!(reasons.eq(expected), "{outcome:#?}");
        let binding = at("ClusterRoleBinding", None, "writ:both:g");
        assert!(fixture.get(&binding).await.is_none());
    }
}

/// A binding for people and accounts of a policy's own namespace in place of those of Kubernetes.
fn to_people(mut binding: Value) -> Option<Value> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    for subject in binding.get_mut("subjects")?.as_array_mut()? {
        match subject.get("namespace") {
            Some(namespace) => subject["namespace"] = json!(new_namespace(&text(namespace))),
            None => subject["name"] = json!(new_name(&text(&subject["name"]))),
        }
    }
    let name = format!("{}:to-people", text(&binding["metadata"]["name"]));
    binding["metadata"]["name"] = json!(name);
    Some(binding)
}

/// Roles and bindings never in one policy: a binding of a role that is refused has to wait.
fn small_policies(objects: &[Value]) -> Policies {
    let is_binding = |object: &&Value| object.get("roleRef").is_some();
    let (bindings, roles): (Vec<&Value>, Vec<&Value>) = objects.iter().partition(is_binding);
    let mut policies = Policies::new();
    for (what, objects) in [("a-roles", roles), ("b-bindings", bindings)] {
        for (index, few) in objects.chunks(FAILURES_NAMED_MAX).enumerate() {
            let few: Vec<Value> = few.iter().copied().cloned().collect();
            let name = format!("{what}-{index}");
            let compiled = compile_exported(&name, &few).0;
            policies.insert(name, compiled);
        }
    }
    policies
}

/// What exceeds the ceiling, on which the subscriber's check and the API server agree.
async fn refused_by_both(
    fixture: &Fixture,
    ceiling: &Ceiling,
    policies: &Policies,
) -> BTreeSet<ObjectRef> {
    let (mut refused, mut disputed) = (BTreeSet::new(), Vec::new());
    for (name, compiled) in policies {
        for object in compiled.content.objects.iter() {
            let here = ceiling.check(object).err().map(|it| it.to_string());
            let there = sent_raw(fixture, name, object).await;
            if here.is_some() != there.is_some() {
                disputed.push((&object.reference, here, there));
            } else if here.is_some() {
                refused.insert(object.reference.clone());
            }
        }
    }
    assert!(disputed.is_empty(), "{disputed:#?}");
    refused
}

/// What the API server answers whoever has the token, if the ceiling is why it refuses.
async fn sent_raw(fixture: &Fixture, name: &str, object: &Object) -> Option<String> {
    let at = &object.reference;
    let gvk = GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", &at.kind);
    let (client, of) = (fixture.api.client().clone(), ApiResource::from_gvk(&gvk));
    let api: Api<DynamicObject> = match &at.namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &of),
        None => Api::all_with(client, &of),
    };
    let content = marked(&policy(name), &object.content);
    let params = PatchParams::apply("writ").dry_run();
    match api.patch(&at.name, &params, &Patch::Apply(&content)).await {
        Ok(_) => None,
        Err(kube::Error::Api(answer)) if answer.message.contains("CeilingExceeded: ") => {
            Some(answer.message)
        }
        Err(error) => panic!("{at}: {error}"),
    }
}

/// The default would be no default if it refused all of a kind, or nothing.
fn assert_some_of_each(refused: &BTreeSet<ObjectRef>, policies: &Policies) {
    let exceeds = |name: &str| refused.contains(&at("ClusterRole", None, &new_name(name)));
    for name in [
        "cluster-admin",
        "admin",
        "edit",
        "view",
        "system:node",
        "system:aggregate-to-view",
    ] {
        assert!(exceeds(name), "{name}");
    }
    for name in ["system:discovery", "system:public-info-viewer"] {
        assert!(!exceeds(name), "{name}");
    }
    for kind in ["ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding"] {
        let objects = policies.values().flat_map(|it| it.content.objects.iter());
        let all = objects
            .filter(|object| object.reference.kind == kind)
            .count();
        let over = refused.iter().filter(|at| at.kind == kind).count();
        eprintln!("{kind}: {over} of {all} exceed the default");
        assert!(0 < over && over < all, "{kind}");
    }
}

/// Brings all policies, roles first, and looks at what became of each object.
async fn bring_all(
    fixture: &Fixture,
    engine: &Engine<KubeApi>,
    policies: &Policies,
    refused: &BTreeSet<ObjectRef>,
    is_checked: bool,
) {
    for (name, compiled) in policies {
        let outcome = engine.bring(target(name, 1, Some(compiled.clone()))).await;
        let expected = expected(&compiled.content.objects, refused, is_checked);
        let failures = outcome.failures.iter();
        let failures = failures
            .map(|it| (it.reference.clone(), it.reason))
            .collect();
        assert_eq!(expected, failures, "{name}: {outcome:#?}");
        assert_eq!(outcome.failures_total, failures.len());
        let (held, applied): (Vec<Object>, Vec<Object>) = (compiled.content.objects.iter())
            .cloned()
            .partition(|object| failures.contains_key(&object.reference));
        assert_as_sent(fixture, &applied).await;
        for object in held {
            let found = fixture.get(&object.reference).await;
            assert!(found.is_none(), "{}", object.reference);
        }
    }
}

/// What is not applied, and why. A binding that the subscriber does not check itself is sent, and
/// refused, only when its role is there.
fn expected(
    objects: &[Object],
    refused: &BTreeSet<ObjectRef>,
    is_checked: bool,
) -> BTreeMap<ObjectRef, Reason> {
    let fate = |object: &Object| {
        let exceeds = refused.contains(&object.reference);
        let waits = role_of(object).is_some_and(|role| refused.contains(&role));
        match (exceeds, waits) {
            (false, false) => None,
            (true, true) if is_checked => Some(Reason::CeilingExceeded),
            (true, false) => Some(Reason::CeilingExceeded),
            (_, true) => Some(Reason::RoleMissing),
        }
    };
    let fate = |object: &Object| Some((object.reference.clone(), fate(object)?));
    objects.iter().filter_map(fate).collect()
}
