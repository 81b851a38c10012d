//! What is made of a log and of what was found, name by name.

mod guards;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::*;
use crate::{
    edit::{Change, Edit, Message, State},
    epoch::Opening,
    event::{Body, Event},
    index::{self, Entries},
    model::{self, Document},
    placement,
    revision::Generation,
    root::Root,
};

/// A log that was written by one publisher, and everything that was in it.
#[derive(Clone, Default)]
struct Log {
    state: State,
    messages: Vec<Message>,
}

impl Log {
    fn commit(&mut self, edit: &Edit) {
        let batch = self.state.build(edit);
        self.messages.extend(batch.messages);
        self.state = batch.next;
    }

    fn of(edits: &[Edit]) -> Log {
        let mut log = Log::default();
        edits.iter().for_each(|edit| log.commit(edit));
        log
    }

    fn copy(&self) -> Copy {
        Copy::read(self.messages.iter().cloned(), &BTreeSet::new())
    }

    fn root(&self) -> Root {
        let root = |message: &Message| match message {
            Message::Root(root) => Some(root.clone()),
            _ => None,
        };
        self.messages.iter().rev().find_map(root).unwrap()
    }

    /// What a cluster that listens to some feeds holds: `events` says whether their bodies, too.
    fn held(&self, feeds: &[&str], events: bool, found: &mut Found) {
        let proof = Proof::Root(self.root());
        let copy = self.copy();
        for feed in feeds {
            let feed: Feed = feed.parse().unwrap();
            let (revision, entries) = copy.feeds[&feed].clone();
            found
                .feed("eu-prod-1", &feed, revision, entries.clone(), &proof)
                .unwrap();
            for (name, entry) in entries.iter().filter(|_| events) {
                let event = &copy.events[&(feed.kind.into(), name.clone())][&feed];
                assert_eq!(event.revision, entry.revision);
                found.event("eu-prod-1", event.clone());
            }
        }
    }
}

fn put(document: &Value) -> Edit {
    let document_of = model::parse(document).unwrap().document;
    let (kind, name, compiled, scopes, listens) = match &document_of {
        Document::Cluster(cluster) => (
            Kind::Cluster,
            cluster.name.to_string(),
            cluster.compile(),
            placement::cluster_scopes(cluster),
            Some((cluster.region.clone(), cluster.stage.clone())),
        ),
        Document::Policy(policy) => (
            Kind::Policy,
            policy.name.to_string(),
            policy.compile(),
            placement::policy_scopes(&policy.clusters),
            None,
        ),
        Document::Record(_) => panic!("no cluster hears of it"),
    };
    let change = Change::Put {
        manifest: document.to_string(),
        object: serde_json::from_slice(compiled.bytes()).unwrap(),
        requires: document_of.requires(),
        scopes,
        listens,
    };
    edit(kind, &name, change)
}

fn edit(kind: Kind, name: &str, change: Change) -> Edit {
    Edit {
        kind,
        name: Name::parse(name).unwrap(),
        change,
        request_id: "r".into(),
        author: "alice".into(),
        reason: "because".into(),
        inlet: "grpc".into(),
        committed_ms: 1,
        targets: vec!["eu-prod-1".into()],
        revoked: vec![],
    }
}

fn delete(name: &str) -> Edit {
    edit(Kind::Policy, name, Change::Delete)
}

fn policy(name: &str, regions: &[&str], group: &str) -> Edit {
    put(&json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy", "metadata": {"name": name},
        "spec": {
            "clusters": {"regions": regions},
            "grants": [{"name": "r", "subjects": [{"group": group}], "clusterRole": "view", "clusterWide": true}],
        },
    }))
}

fn cluster() -> Edit {
    put(&json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "eu-prod-1"},
        "spec": {"region": "eu", "stage": "prod"},
    }))
}

fn verdict(plan: &Plan, name: &str) -> (Verdict, u64) {
    let item = plan
        .items
        .iter()
        .find(|item| item.key.1.as_str() == name)
        .unwrap();
    (item.verdict, item.generation.0)
}

/// The state that followers of the recovered log come to.
fn follow(recovery: &Recovery) -> State {
    let mut state = State::default();
    state.admit(&recovery.opening);
    for message in recovery.messages.iter().cloned() {
        assert_eq!(
            state.follow(message),
            Ok(None),
            "nothing counts before the root"
        );
    }
    let root = Message::Root(recovery.root.clone());
    assert_eq!(state.follow(root), Ok(Some(recovery.root.revision)));
    state
}

#[test]
fn a_log_that_nobody_is_above_need_not_be_recovered() {
    let log = Log::of(&[cluster(), policy("a", &["eu"], "devs"), delete("a")]);
    let mut found = Found::default();
    log.held(&["policy.eu.all", "cluster.all.all"], true, &mut found);
    let plan = Plan::make(&log.copy(), &found);
    assert!(!plan.is_needed() && plan.differences().next().is_none());
}

#[test]
fn the_highest_signed_state_wins_and_numbers_and_generations_go_on() {
    let mut log = Log::of(&[
        cluster(),
        policy("a", &["eu"], "devs"),
        policy("b", &["eu"], "devs"),
    ]);
    let backup = log.clone();
    log.commit(&policy("a", &["eu"], "others"));
    log.commit(&policy("c", &["eu"], "devs"));
    let mut found = Found::default();
    log.held(&["policy.eu.all", "cluster.all.all"], true, &mut found);
    let plan = Plan::make(&backup.copy(), &found);
    assert!(plan.is_needed());
    assert_eq!(verdict(&plan, "a"), (Verdict::Found, 2));
    assert_eq!(verdict(&plan, "b"), (Verdict::Kept, 1));
    assert_eq!(verdict(&plan, "c"), (Verdict::Found, 1));

    let recovery = plan.build(2, 5);
    assert_eq!(
        recovery.root.revision.to_string(),
        "2:9",
        "four names after revision 5"
    );
    let state = follow(&recovery);
    let intent = |name: &str| {
        state
            .intent(Kind::Policy, &Name::parse(name).unwrap())
            .unwrap()
            .clone()
    };
    assert_eq!(
        (intent("b").author.as_str(), intent("b").reason.as_str()),
        ("alice", "because")
    );
    assert_eq!(
        intent("a").author,
        "unknown",
        "who edited it did not travel"
    );
    assert_eq!(intent("a").reason, "recovered from what eu-prod-1 holds");
    assert_eq!(intent("a").targets, ["eu-prod-1"]);
    let document: Value = serde_json::from_str(intent("a").manifest.as_ref().unwrap()).unwrap();
    assert_eq!(
        document["spec"]["grants"][0]["subjects"],
        json!([{"group": "others"}])
    );
    // The next edit goes on.
    let batch = state.build(&policy("a", &["eu"], "third"));
    assert_eq!(
        (
            batch.edits[0].revision.to_string().as_str(),
            batch.edits[0].generation
        ),
        ("2:10", Generation(3))
    );
}

#[test]
fn a_deletion_that_the_backup_does_not_know_is_not_undone() {
    let mut log = Log::of(&[cluster(), policy("a", &["eu"], "devs")]);
    let backup = log.clone();
    log.commit(&delete("a"));
    let mut found = Found::default();
    log.held(&["policy.eu.all"], true, &mut found);
    let plan = Plan::make(&backup.copy(), &found);
    assert_eq!(verdict(&plan, "a"), (Verdict::Gone, 2));
    let recovery = plan.build(2, 5);
    let tombstones = recovery.messages.iter().filter(|message| {
        matches!(message, Message::Event(Event { body: None, scopes, .. }) if scopes.is_empty())
    });
    assert_eq!(tombstones.count(), 1, "clusters that were away find it");
}

#[test]
fn what_is_listed_and_not_at_hand_is_neither_rolled_back_nor_declared_gone() {
    let mut log = Log::of(&[cluster(), policy("a", &["eu"], "devs")]);
    let backup = log.clone();
    log.commit(&policy("a", &["eu"], "others"));
    let mut found = Found::default();
    log.held(&["policy.eu.all"], false, &mut found);
    assert_eq!(
        found
            .missing(&"policy.eu.all".parse().unwrap(), Revision::ZERO)
            .len(),
        1
    );
    let plan = Plan::make(&backup.copy(), &found);
    assert_eq!(verdict(&plan, "a"), (Verdict::Unknown, 2));
    let recovery = plan.build(2, 5);
    let about_a =
        |message: &&Message| matches!(message, Message::Event(event) if event.name.as_str() == "a");
    assert_eq!(recovery.messages.iter().filter(about_a).count(), 0);
    let state = follow(&recovery);
    let intent = state
        .intent(Kind::Policy, &Name::parse("a").unwrap())
        .unwrap();
    assert_eq!(
        (intent.generation, intent.manifest.clone()),
        (Generation(2), None)
    );
}

#[test]
fn a_policy_that_left_one_of_two_scopes_is_not_guessed_at() {
    let mut log = Log::of(&[cluster(), policy("a", &["eu", "us"], "devs")]);
    let backup = log.clone();
    log.commit(&policy("a", &["us"], "devs"));
    let mut found = Found::default();
    log.held(&["policy.eu.all"], true, &mut found);
    let plan = Plan::make(&backup.copy(), &found);
    assert_eq!(verdict(&plan, "a").0, Verdict::Unknown);
    // With the other scope's list it is known.
    log.held(&["policy.us.all"], true, &mut found);
    let plan = Plan::make(&backup.copy(), &found);
    assert_eq!(verdict(&plan, "a"), (Verdict::Found, 2));
}

#[test]
fn entries_that_nobody_signed_are_not_taken() {
    let log = Log::of(&[cluster(), policy("a", &["eu"], "devs")]);
    let feed: Feed = "policy.eu.all".parse().unwrap();
    let (revision, _) = log.copy().feeds[&feed].clone();
    let mut found = Found::default();
    let proof = Proof::Root(log.root());
    let shortened = Entries::new();
    assert!(
        found
            .feed("eu-prod-1", &feed, revision, shortened, &proof)
            .is_err()
    );
    let plan = Plan::make(&log.copy(), &found);
    assert_eq!(verdict(&plan, "a"), (Verdict::Kept, 1));
}

#[test]
fn an_event_proves_its_feed_as_a_root_does() {
    let log = Log::of(&[cluster(), policy("a", &["eu"], "devs")]);
    let feed: Feed = "policy.eu.all".parse().unwrap();
    let (revision, entries) = log.copy().feeds[&feed].clone();
    let event = log.copy().events[&(Kind::Policy, Name::parse("a").unwrap())][&feed].clone();
    assert_eq!(event.digest, index::digest(&feed, &entries));
    let mut found = Found::default();
    let proof = Proof::Event(event.clone());
    assert!(
        found
            .feed("c", &feed, revision, entries.clone(), &proof)
            .is_ok()
    );
    let other = "policy.us.all".parse().unwrap();
    assert!(found.feed("c", &other, revision, entries, &proof).is_err());
}

#[test]
fn a_recovery_that_was_interrupted_is_passed_over_and_said_again() {
    let mut log = Log::of(&[cluster(), policy("a", &["eu"], "devs")]);
    let backup = log.clone();
    log.commit(&policy("a", &["eu"], "others"));
    let mut found = Found::default();
    log.held(&["policy.eu.all"], true, &mut found);
    let first = Plan::make(&backup.copy(), &found).build(2, 5);
    for count in 0..first.messages.len() {
        let mut torn = backup.clone();
        torn.messages
            .extend(first.messages[..count].iter().cloned());
        let plan = Plan::make(&torn.copy(), &found);
        assert_eq!(plan.is_interrupted, count > 0);
        assert_eq!(plan.log, backup.copy().revision());
        assert_eq!(verdict(&plan, "a"), (Verdict::Found, 2));
        let again = plan.build(3, 6);
        // Who follows the log meets both, and believes the one that was opened.
        let mut state = backup.state.clone();
        state.admit(&again.opening);
        let both = first.messages[..count].iter().chain(&again.messages);
        for message in &first.messages[..count.min(1)] {
            state.follow(message.clone()).unwrap();
            assert!(state.is_torn(false), "no edit is to be built on it");
        }
        for message in both.cloned().chain([Message::Root(again.root.clone())]) {
            state.follow(message).unwrap();
        }
        assert_eq!(state.feeds(), again.root.feeds);
        assert!(!state.is_torn(true));
    }
}

#[test]
fn a_root_of_an_epoch_that_nobody_opened_is_not_followed_by_publishers() {
    let log = Log::of(&[cluster(), policy("a", &["eu"], "devs")]);
    let forged = Plan::make(&log.copy(), &Found::default()).build(2, 5);
    let root = Message::Root(forged.root.clone());
    let mut state = log.state.clone();
    for message in forged.messages.iter().cloned() {
        assert_eq!(state.follow(message), Ok(None));
    }
    assert!(state.follow(root).is_err());
    assert_eq!(state.revision(), log.state.revision());
    // Nor is it what a recovery begins from.
    let mut written = log.clone();
    written.messages.extend(forged.messages.clone());
    written.messages.push(Message::Root(forged.root));
    assert_eq!(written.copy().revision(), log.state.revision());
    // One opening does not open another beginning.
    let other = Opening::of(
        &Root {
            revision: forged.opening.revision,
            ..Root::default()
        },
        5,
    );
    state.admit(&other);
    let again = Plan::make(&log.copy(), &Found::default()).build(2, 5);
    again
        .messages
        .iter()
        .cloned()
        .for_each(|message| drop(state.follow(message)));
    assert!(state.follow(Message::Root(again.root)).is_err());
}

#[test]
fn what_only_a_thiefs_events_say_is_taken_back_in_the_new_epoch() {
    let mut log = Log::of(&[cluster(), policy("a", &["eu"], "devs")]);
    let mut forge = |name: &str, generation: u64| {
        let forged = Log::of(&[cluster(), policy(name, &["eu"], "thieves")]);
        let mut messages = forged.messages.into_iter();
        let event = messages.find_map(|message| match message {
            Message::Event(event) if event.name.as_str() == name => Some(event),
            _ => None,
        });
        let mut event = event.unwrap();
        event.revision.number = 1_000;
        event.generation = Generation(generation);
        log.messages.push(Message::Event(event));
    };
    forge("evil", 7);
    forge("a", 900);
    let copy = log.copy();
    let mut plan = Plan::make(&copy, &Found::default());
    assert_eq!(plan.disown(&copy), 2);
    assert_eq!(
        plan.disown(&copy),
        0,
        "a second time there is nothing to take back"
    );
    let events: Vec<Event> = plan
        .build(2, 5)
        .messages
        .into_iter()
        .filter_map(|message| match message {
            Message::Event(event) => Some(event),
            _ => None,
        })
        .collect();
    let of = |name: &str| {
        events
            .iter()
            .find(|event| event.name.as_str() == name)
            .unwrap()
    };
    assert_eq!(
        (of("evil").body.as_ref(), of("evil").generation),
        (None, Generation(8))
    );
    let (kept, body) = (of("a"), of("a").body.as_deref().unwrap());
    assert_eq!(kept.generation, Generation(901));
    let object = Body::decode(kept, body).unwrap().object.to_string();
    assert!(
        object.contains("devs") && !object.contains("thieves"),
        "{object}"
    );
}

#[test]
fn a_damaged_feed_is_named_and_rebuilt_from_the_edits() {
    let mut log = Log::of(&[cluster(), policy("a", &["eu"], "devs")]);
    let feed: Feed = "policy.eu.all".parse().unwrap();
    log.messages
        .retain(|message| !matches!(message, Message::Index(index) if index.feed == feed));
    let plan = Plan::make(&log.copy(), &Found::default());
    assert_eq!(
        (plan.is_needed(), plan.damaged.clone()),
        (true, vec![feed.clone()])
    );
    let recovery = plan.build(2, 5);
    let listed = recovery.messages.iter().find_map(|message| match message {
        Message::Base(base) if base.feed == feed => Some(base.entries.len()),
        _ => None,
    });
    assert_eq!(listed, Some(1));
}

#[test]
fn a_log_that_is_gone_is_rebuilt_from_what_clusters_hold_with_the_feeds_of_all_who_listen() {
    let log = Log::of(&[cluster(), policy("a", &["eu"], "devs")]);
    let mut found = Found::default();
    log.held(&["policy.eu.all", "cluster.all.all"], true, &mut found);
    found.listener(&"us".parse().unwrap(), &"prod".parse().unwrap());
    let plan = Plan::make(&Copy::default(), &found);
    assert_eq!(verdict(&plan, "eu-prod-1"), (Verdict::Found, 1));
    assert_eq!(verdict(&plan, "a"), (Verdict::Found, 1));
    let state = follow(&plan.build(2, 5));
    let feeds: BTreeMap<_, _> = state.feeds();
    for feed in [
        "policy.eu.prod",
        "cluster.all.all",
        "policy.us.prod",
        "cluster.us.all",
    ] {
        assert!(feeds.contains_key(&feed.parse().unwrap()), "{feed}");
    }
}

#[test]
fn every_example_is_told_again_from_its_compiled_form() {
    let spec = json!({
        "clusters": {"regions": ["eu"]},
        "removal": "orphan",
        "objects": [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "payments"}},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
             "metadata": {"name": "reader", "namespace": "payments"},
             "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
        ],
        "grants": [
            {"name": "owners", "subjects": [{"user": "u"}, {"group": "g"}, {"serviceAccount": "ns/sa"}],
             "clusterRole": "edit", "namespaces": ["payments", "billing"]},
            {"name": "readers", "subjects": [{"group": "g"}], "role": "reader", "namespaces": ["payments"]},
            {"name": "all", "subjects": [{"group": "g"}], "clusterRole": "view", "clusterWide": true},
            {"name": "selected", "subjects": [{"group": "g"}], "clusterRole": "view",
             "namespaceSelector": {"matchLabels": {"team": "payments"}}},
        ],
    });
    let document = json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy",
        "metadata": {"name": "payments", "labels": {"team": "payments"}}, "spec": spec,
    });
    let Change::Put { object, .. } = put(&document).change else {
        panic!()
    };
    let (told, _) = manifest(&object).expect("it is told again");
    let Change::Put { object: again, .. } = put(&told).change else {
        panic!()
    };
    assert_eq!(again, object);
    assert_eq!(told["spec"]["objects"].as_array().unwrap().len(), 2);
    assert_eq!(told["spec"]["grants"].as_array().unwrap().len(), 4);
}

#[test]
fn records_are_taken_over_as_the_log_has_them() {
    let rule = json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "AccessRule", "metadata": {"name": "r"},
        "spec": {"subjects": [{"user": "oidc:alice"}], "role": "administrator"},
    });
    let manifest = rule.to_string();
    let log = Log::of(&[
        cluster(),
        edit(
            Kind::Access,
            "r",
            Change::Record {
                manifest: manifest.clone(),
            },
        ),
        edit(
            Kind::Access,
            "gone",
            Change::Record {
                manifest: manifest.clone(),
            },
        ),
        edit(Kind::Access, "gone", Change::Delete),
        policy("a", &["eu"], "g"),
    ]);
    let plan = Plan::make(&log.copy(), &Found::default());
    assert_eq!(plan.record_count(), 2);
    assert_eq!(verdict(&plan, "r"), (Verdict::Kept, 1));
    assert_eq!(verdict(&plan, "gone"), (Verdict::Kept, 2));
    let state = follow(&plan.build(2, 9));
    let kept = |name: &str| {
        state
            .intent(Kind::Access, &Name::parse(name).unwrap())
            .unwrap()
            .clone()
    };
    assert_eq!(kept("r").manifest.as_ref(), Some(&manifest));
    assert_eq!(kept("r").revision.epoch, 2);
    assert_eq!(kept("gone").manifest, None);
}
