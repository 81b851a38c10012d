//! Policies by chance, of every kind, through a real engine on a real cluster. `WRIT_SEED=N` makes
//! those of another seed.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use writ_core::hash::Hash;
use writ_core::model::{self, Document, Object, ObjectRef, Removal};
use writ_core::plan::{RELEASED, Reason, is_deletable};
use writ_subscriber::engine::Engine;
use writ_subscriber::kube_api::KubeApi;
use writ_subscriber::outcome::{Outcome, State};
use writ_subscriber::slot::Content;
use writ_tests::policies::Policies;

use crate::ceiling;
use crate::fixture::{Compiled, Fixture, RBAC, at, policy, target, until};
use crate::inventory::marked;
use crate::watching::Watching;

const POLICIES: usize = 150;
/// Policies that are brought side by side.
const AT_ONCE: usize = 8;
const SEED: u64 = 4_711;
/// What a cluster's owner applies so that policies may hold further kinds, and delete Namespaces.
const OPT_INS: [&str; 2] = [
    include_str!("../../../deploy/additional-kinds.yaml"),
    include_str!("../../../deploy/namespace-deletion.yaml"),
];

/// Policies by name.
type Generation = BTreeMap<String, Compiled>;

#[tokio::test(flavor = "multi_thread")]
async fn generated_policies_of_every_kind_are_applied_kept_changed_and_taken_away() {
    let seed = std::env::var("WRIT_SEED").ok();
    let seed = seed.map_or(SEED, |text| text.parse().unwrap());
    eprintln!("WRIT_SEED={seed} makes these policies again");
    let fixture = Fixture::start().await;
    opt_in(&fixture).await;
    let engine = fixture.engine().await;
    engine.permit(ceiling::enforce(&ceiling::in_force(&fixture).await));
    let watching = Watching::start(&fixture, &engine);

    let (first, second) = (generation(seed), generation(!seed));
    let immutable = rescoped(&first, &second);
    apply(&engine, &first, 1, &BTreeSet::new()).await;
    apply(&engine, &second, 3, &immutable).await;
    watching.assert_no_drift();

    remove(&engine, &second).await;
    assert_eq!(marked(&fixture).await, [""; 0]);
    assert_eq!(left_behind(&fixture).await, released(&second));
    watching.assert_no_drift();
}

/// Brings all policies, and again: the second time there is nothing to write.
async fn apply(
    engine: &Engine<KubeApi>,
    generation: &Generation,
    number: u64,
    refused: &BTreeSet<ObjectRef>,
) {
    let outcomes = bring(engine, generation, number).await;
    assert_applied(&outcomes, refused);
    let written: usize = outcomes.values().map(|outcome| outcome.writes).sum();
    eprintln!("{} policies: {written} writes", outcomes.len());

    let again = bring(engine, generation, number + 1).await;
    assert_applied(&again, refused);
    let written: usize = again.values().map(|outcome| outcome.writes).sum();
    assert_eq!(written, 0);
    for name in generation.keys() {
        let check = engine.retry(&policy(name)).await.unwrap();
        let (writes, drift) = (check.outcome.writes, check.drift);
        assert_eq!((writes, drift), (0, vec![]), "{name}");
    }
}

/// The quotas that would get other scopes, which Kubernetes never lets a quota have.
fn rescoped(before: &Generation, after: &Generation) -> BTreeSet<ObjectRef> {
    let quotas = |generation: &Generation| -> BTreeMap<ObjectRef, Value> {
        let all = generation.values().flat_map(|it| it.content.objects.iter());
        all.filter(|object| object.reference.kind == "ResourceQuota")
            .map(|quota| {
                (
                    quota.reference.clone(),
                    quota.content["spec"]["scopes"].clone(),
                )
            })
            .collect()
    };
    let before = quotas(before);
    let is_changed =
        |(at, scopes): &(ObjectRef, Value)| before.get(at).is_some_and(|it| it != scopes);
    let changed = quotas(after).into_iter().filter(is_changed);
    changed.map(|(at, _)| at).collect()
}

/// What the cluster's owner agrees to beyond the default: kinds, deletion of Namespaces, and a ceiling
/// under which `edit` and accounts of namespace `default` are granted, and roles aggregate.
async fn opt_in(fixture: &Fixture) {
    for manifest in OPT_INS {
        for mut object in serde_saphyr::from_multiple::<Value>(manifest).unwrap() {
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap();
            let at = at(text("/kind"), None, text("/metadata/name"));
            if at.kind == "ClusterRole" && at.name == "writ-additional-kinds" {
                // "Add others in the same way."
                let verbs = object["rules"][0]["verbs"].clone();
                let budgets = json!({"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": verbs});
                object["rules"].as_array_mut().unwrap().push(budgets);
            }
            fixture.create(&at, &object).await;
        }
    }
    for team in ["payments", "webx"] {
        fixture
            .namespace(&format!("team-{team}"), json!({"team": team}))
            .await;
    }
    let spec = json!({
        "protectedNamespaces": ["kube-*"], "bindableClusterRoles": ["view", "edit"],
        "allowAggregation": true,
    });
    let aggregated = json!({
        "apiVersion": RBAC, "kind": "ClusterRole",
        "metadata": {"name": "asked", "labels": {"writ.dev/policy": "asked"}},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]},
    });
    ceiling::edit(fixture, spec, &aggregated).await;
    let client = fixture.api.client();
    let budgets: Api<PodDisruptionBudget> = Api::all(client.clone());
    let config_maps: Api<ConfigMap> = Api::all(client.clone());
    until("further kinds are in reach", async || {
        let few = ListParams::default().limit(1);
        budgets.list(&few).await.is_ok() && config_maps.list(&few).await.is_ok()
    })
    .await;
}

/// The policies of a seed, each under its name.
fn generation(seed: u64) -> Generation {
    let mut policies = Policies::of(seed);
    let named = (0..POLICIES).map(|number| {
        let name = format!("gen-{number}");
        let value = policies.next(&name);
        let parsed = model::parse(&value);
        let Ok(Document::Policy(policy)) = parsed.map(|parsed| parsed.document) else {
            panic!("seed {seed}: refused: {value:#}")
        };
        let compiled = policy.compile();
        let content = Content::decode(compiled.bytes()).unwrap();
        let hash = Hash::of(compiled.bytes());
        (name, Compiled { hash, content })
    });
    named.collect()
}

/// Brings all policies of a generation, some side by side.
async fn bring(
    engine: &Engine<KubeApi>,
    generation: &Generation,
    number: u64,
) -> BTreeMap<String, Outcome> {
    let outcomes = futures::stream::iter(generation).map(|(name, compiled)| {
        let target = target(name, number, Some(compiled.clone()));
        let (engine, name) = (engine.clone(), name.clone());
        async move { (name, engine.bring(target).await) }
    });
    outcomes.buffer_unordered(AT_ONCE).collect().await
}

fn assert_applied(outcomes: &BTreeMap<String, Outcome>, refused: &BTreeSet<ObjectRef>) {
    let failures: Vec<_> = outcomes.values().flat_map(|it| &it.failures).collect();
    let failed: BTreeSet<_> = failures.iter().map(|it| it.reference.clone()).collect();
    assert_eq!(failed, *refused, "{failures:#?}");
    assert!(
        failures.iter().all(|it| it.reason == Reason::Invalid),
        "{failures:#?}"
    );
    for (name, outcome) in outcomes {
        assert_eq!(outcome.failures_total, outcome.failures.len(), "{name}");
        assert_eq!(outcome.is_applied(), outcome.failures.is_empty(), "{name}");
    }
}

/// Removes all policies, waits until that is confirmed, and forgets them.
async fn remove(engine: &Engine<KubeApi>, generation: &Generation) {
    let removals = futures::stream::iter(generation.keys()).map(|name| async move {
        let outcome = engine.bring(target(name, 5, None)).await;
        // What is in a Namespace goes first.
        let passes = [State::Applied, State::Pending(Reason::NamespaceTerminating)];
        assert!(passes.contains(&outcome.state), "{name}: {outcome:#?}");
    });
    removals.buffer_unordered(AT_ONCE).collect::<()>().await;
    until("all is removed", async || {
        let unsettled = engine.unsettled().await;
        for name in &unsettled {
            engine.retry(name).await;
        }
        unsettled.is_empty()
    })
    .await;
    for name in generation.keys() {
        engine.forget(&policy(name)).await.unwrap();
    }
}

/// The Namespaces that stay when their policies go.
fn released(generation: &Generation) -> BTreeSet<String> {
    let stays = |compiled: &Compiled, namespace: &Object| {
        compiled.content.removal == Removal::Orphan || !is_deletable(&namespace.content)
    };
    let mut released = BTreeSet::new();
    for compiled in generation.values() {
        let namespaces = compiled.content.objects.iter();
        let namespaces = namespaces.filter(|it| it.reference.kind == "Namespace");
        let staying = namespaces.filter(|namespace| stays(compiled, namespace));
        released.extend(staying.map(|namespace| namespace.reference.name.clone()));
    }
    released
}

/// The Namespaces of policies that are there, every one of them released.
async fn left_behind(fixture: &Fixture) -> BTreeSet<String> {
    let api: Api<Namespace> = Api::all(fixture.admin.clone());
    let all = api.list(&ListParams::default()).await.unwrap();
    let ours = all
        .into_iter()
        .filter(|it| it.name_any().starts_with("gen-"));
    let released = ours.map(|namespace| {
        let name = namespace.name_any();
        assert!(namespace.annotations().contains_key(RELEASED), "{name}");
        name
    });
    released.collect()
}
