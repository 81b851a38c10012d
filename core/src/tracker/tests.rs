use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::*;
use crate::{
    ack::{self, AckedEdit, Exception},
    edit::Intent,
    edit::Kind,
    hash::Hash,
    name::{Name, Region, Stage},
    root::FeedState,
    scope::{self, Feed},
};

mod board;
mod news;

const PERIOD_MS: u64 = 1_000;

fn now(ms: u64) -> Now {
    Now {
        monotonic_ms: ms,
        wall_ms: 1_000_000 + ms,
    }
}

fn at(number: u64) -> Revision {
    Revision { epoch: 1, number }
}

fn sender(cluster: &str) -> Sender {
    let (region, stage) = place(cluster);
    Sender {
        region,
        stage,
        cluster: ClusterName::parse(cluster).unwrap(),
    }
}

/// `eu-prod-1` is in eu and prod.
fn place(cluster: &str) -> (Region, Stage) {
    let parts: Vec<&str> = cluster.split('-').collect();
    (
        Region::parse(parts[0]).unwrap(),
        Stage::parse(parts[1]).unwrap(),
    )
}

fn intent(kind: Kind, name: &str, number: u64, manifest: Option<serde_json::Value>) -> Intent {
    Intent {
        kind,
        name: Name::parse(name).unwrap(),
        revision: at(number),
        generation: Generation(number),
        request_id: "r".into(),
        manifest: manifest.map(|manifest| manifest.to_string()),
        scopes: BTreeSet::new(),
        author: "a".into(),
        reason: String::new(),
        inlet: "grpc".into(),
        committed_ms: 5,
        targets: vec![],
        revoked: vec![],
    }
}

fn cluster(name: &str, number: u64) -> Committed {
    let (region, stage) = place(name);
    let manifest = json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": name},
        "spec": {"region": region, "stage": stage, "phase": "active"},
    });
    Committed::read(&intent(Kind::Cluster, name, number, Some(manifest)))
        .unwrap()
        .unwrap()
}

fn removal(name: &str, number: u64) -> Committed {
    Committed::read(&intent(Kind::Cluster, name, number, None))
        .unwrap()
        .unwrap()
}

fn policy(number: u64, targets: &[&str]) -> Committed {
    let manifest = json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy", "metadata": {"name": "p"},
        "spec": {"clusters": {"regions": ["eu"]}},
    });
    let mut intent = intent(Kind::Policy, "p", number, Some(manifest));
    intent.targets = targets.iter().map(|target| (*target).to_owned()).collect();
    intent.scopes = [("eu.all").parse().unwrap()].into();
    Committed::read(&intent).unwrap().unwrap()
}

fn ack(cluster: &str, counter: u64, reached: u64) -> Ack {
    Ack {
        sender: sender(cluster),
        revision: at(reached),
        feeds: BTreeMap::new(),
        counts: ack::Counts::default(),
        exceptions: vec![],
        exceptions_total: 0,
        edits: vec![],
        refused_messages: 0,
        boot_id: "boot".into(),
        boot: 1,
        counter,
        previous: Hash([0; 32]),
        sent_ms: 1_000_000 + counter,
        witness: vec![],
    }
}

fn pulse(cluster: &str, sent_ms: u64) -> Pulse {
    Pulse {
        sender: sender(cluster),
        revision: at(0),
        feeds: BTreeMap::new(),
        counts: ack::Counts::default(),
        ack_counter: 0,
        version: "1".into(),
        kubernetes_version: "v1.36.3".into(),
        stale: false,
        sent_ms,
        boot_id: "boot".into(),
        period_ms: PERIOD_MS,
        ceiling: None,
        observing: false,
        witness: vec![],
        as_acked: true,
    }
}

fn refused(number: u64) -> Exception {
    Exception {
        kind: scope::Kind::Policy,
        name: Name::parse("p").unwrap(),
        generation: Generation(number),
        revision: at(number),
        state: ack::State::Refused,
        reason: "ForeignObject".into(),
        message: "it is there already".into(),
    }
}

fn acked_at(number: u64, state: ack::State, received_ms: u64, applied_ms: u64) -> AckedEdit {
    AckedEdit {
        kind: scope::Kind::Policy,
        name: Name::parse("p").unwrap(),
        generation: Generation(number),
        revision: at(number),
        state,
        removed: false,
        drift: false,
        received_ms,
        applied_ms,
        failures: vec![],
    }
}

fn acked(number: u64, state: ack::State) -> AckedEdit {
    let applied_ms = if state == ack::State::Applied { 12 } else { 0 };
    acked_at(number, state, 11, applied_ms)
}

/// Two clusters of the region, one elsewhere, and the policy for the two.
fn fleet() -> Tracker {
    let mut tracker = Tracker::new(now(0), PERIOD_MS);
    for (number, name) in [(1, "eu-prod-1"), (2, "eu-stage-1"), (3, "us-prod-1")] {
        tracker.edit(cluster(name, number), now(0));
    }
    tracker.edit(policy(4, &["eu-prod-1", "eu-stage-1"]), now(0));
    tracker
}

fn status(tracker: &Tracker, now: Now) -> PolicyStatus {
    tracker
        .policy_status(&PolicyName::parse("p").unwrap(), None, now)
        .unwrap()
}

fn state_of(status: &PolicyStatus, cluster: &str) -> State {
    status
        .clusters
        .iter()
        .find(|line| line.cluster.as_str() == cluster)
        .unwrap()
        .state
}

fn adds_up(counts: Counts) -> bool {
    counts.applied + counts.pending + counts.refused + counts.silent == counts.target
}

#[test]
fn columns_are_exclusive_and_add_up_to_the_targets() {
    let mut tracker = fleet();
    let before = status(&tracker, now(1)).counts;
    assert_eq!((before.target, before.pending), (2, 2));

    tracker.ack(ack("eu-prod-1", 1, 4), Some(now(1))).unwrap();
    let mut no = ack("eu-stage-1", 1, 4);
    no.exceptions = vec![refused(4)];
    no.exceptions_total = 1;
    tracker.ack(no, Some(now(1))).unwrap();
    let after = status(&tracker, now(2));
    assert_eq!((after.counts.applied, after.counts.refused), (1, 1));
    assert!(adds_up(after.counts));
    assert_eq!(after.clusters[1].reason, "ForeignObject");
}

#[test]
fn a_silent_cluster_is_never_good_and_says_since_when() {
    let mut tracker = fleet();
    tracker.ack(ack("eu-prod-1", 1, 4), Some(now(100))).unwrap();
    tracker.pulse(pulse("eu-prod-1", 5), now(200)).unwrap();
    assert_eq!(
        state_of(&status(&tracker, now(3_000)), "eu-prod-1"),
        State::Applied
    );
    tracker.look(now(3_600));
    assert_eq!(tracker.next_silence_ms(), Some(3_700));

    let late = status(&tracker, now(3_700));
    assert_eq!(
        late.counts,
        Counts {
            target: 2,
            silent: 2,
            ..Counts::default()
        }
    );
    let Liveness::Silent { since_ms, .. } = late.clusters[0].liveness else {
        panic!("not silent")
    };
    assert_eq!(since_ms, now(200).wall_ms);

    tracker.pulse(pulse("eu-prod-1", 6), now(3_800)).unwrap();
    assert_eq!(
        state_of(&status(&tracker, now(3_801)), "eu-prod-1"),
        State::Applied
    );
}

#[test]
fn an_old_pulse_that_is_sent_again_is_no_sign_of_life() {
    let mut tracker = fleet();
    tracker.pulse(pulse("eu-prod-1", 5), now(100)).unwrap();
    assert!(matches!(
        tracker.pulse(pulse("eu-prod-1", 5), now(9_000)),
        Err(Refused::Older(_))
    ));
    assert_eq!(
        state_of(&status(&tracker, now(9_001)), "eu-prod-1"),
        State::Silent
    );
}

#[test]
fn nobody_is_called_silent_for_what_the_listener_missed() {
    let mut tracker = fleet();
    tracker.pulse(pulse("eu-prod-1", 5), now(100)).unwrap();
    tracker.listen_anew(now(9_000));
    assert_eq!(status(&tracker, now(9_001)).counts.silent, 0);
    assert_eq!(status(&tracker, now(12_500)).counts.silent, 2);
}

#[test]
fn later_joiners_leavers_and_observers_are_counted_apart() {
    let mut tracker = fleet();
    tracker.edit(cluster("eu-prod-2", 5), now(1));
    tracker.edit(cluster("us-prod-2", 6), now(1));
    tracker.edit(removal("eu-prod-1", 7), now(1));
    let mut observer = cluster("eu-stage-1", 8);
    if let Subject::Cluster(Some(entry)) = &mut observer.subject {
        entry.mode = Mode::Observe;
    }
    tracker.edit(observer, now(1));
    // It joined later and observes: nothing is applied there, so it is no later joiner.
    let mut observer = cluster("eu-prod-3", 9);
    if let Subject::Cluster(Some(entry)) = &mut observer.subject {
        entry.mode = Mode::Observe;
    }
    tracker.edit(observer, now(1));
    let counts = status(&tracker, now(2)).counts;
    let apart = Counts {
        later: 1,
        left: 1,
        observing: 2,
        ..Counts::default()
    };
    assert_eq!(counts, apart);
}

#[test]
fn a_cluster_that_is_not_active_counts_in_no_column_and_is_listed_as_what_it_is() {
    let mut tracker = fleet();
    let phases = [
        (Phase::Pending, Membership::Unenrolled),
        (Phase::Draining, Membership::Draining),
        (Phase::CutOff, Membership::CutOff),
    ];
    for (number, (phase, membership)) in (8..).zip(phases) {
        let mut edit = cluster("eu-prod-1", number);
        if let Subject::Cluster(Some(entry)) = &mut edit.subject {
            entry.phase = phase;
        }
        tracker.edit(edit, now(1));
        let status = status(&tracker, now(2));
        assert_eq!(status.counts.aside, 1, "{phase}");
        let name = ClusterName::parse("eu-prod-1").unwrap();
        let line = status.clusters.iter().find(|line| line.cluster == name);
        assert_eq!(line.unwrap().membership, membership);
    }
}

#[test]
fn a_deleted_policy_is_in_sight_until_every_target_has_confirmed_that_it_is_gone() {
    let mut tracker = fleet();
    let mut deletion = intent(Kind::Policy, "p", 5, None);
    deletion.targets = ["eu-prod-1", "eu-stage-1"].map(str::to_owned).into();
    tracker.edit(Committed::read(&deletion).unwrap().unwrap(), now(0));
    let listed = |tracker: &Tracker| tracker.policies_status(now(1)).count();
    assert_eq!(listed(&tracker), 1);
    for cluster in ["eu-prod-1", "eu-stage-1"] {
        assert_eq!(listed(&tracker), 1, "{cluster} has not said so");
        tracker.ack(ack(cluster, 1, 5), Some(now(1))).unwrap();
    }
    assert_eq!(listed(&tracker), 0);
}

#[test]
fn an_ack_of_a_deleted_or_misplaced_cluster_is_refused() {
    let mut tracker = fleet();
    tracker.edit(removal("eu-prod-1", 5), now(1));
    let refused = tracker.ack(ack("eu-prod-1", 1, 4), Some(now(1)));
    assert!(matches!(refused, Err(Refused::NotRegistered(_))));
    let mut elsewhere = ack("eu-stage-1", 1, 4);
    elsewhere.sender.region = Region::parse("us").unwrap();
    assert!(matches!(
        tracker.ack(elsewhere, None),
        Err(Refused::Misplaced(_))
    ));

    // Registered anew, its word of before counts no more.
    tracker.edit(cluster("eu-prod-1", 6), now(2));
    assert!(matches!(
        tracker.ack(ack("eu-prod-1", 2, 4), None),
        Err(Refused::Older(_))
    ));
    assert!(tracker.ack(ack("eu-prod-1", 3, 6), None).unwrap());
}

#[test]
fn an_older_ack_changes_nothing_and_a_repetition_neither() {
    let mut tracker = fleet();
    assert!(tracker.ack(ack("eu-prod-1", 2, 4), None).unwrap());
    assert!(!tracker.ack(ack("eu-prod-1", 2, 4), None).unwrap());
    let mut older = ack("eu-prod-1", 1, 3);
    older.exceptions = vec![refused(4)];
    assert!(matches!(tracker.ack(older, None), Err(Refused::Older(_))));
    assert_eq!(
        state_of(&status(&tracker, now(1)), "eu-prod-1"),
        State::Applied
    );
}

#[test]
fn any_order_of_the_same_words_gives_the_same_answers() {
    let edits = [
        cluster("eu-prod-1", 1),
        cluster("eu-stage-1", 2),
        policy(4, &["eu-prod-1", "eu-stage-1"]),
        policy(5, &["eu-prod-1", "eu-stage-1"]),
    ];
    let answers: BTreeSet<String> = (0..24)
        .map(|order: usize| {
            let mut left: Vec<_> = edits.to_vec();
            let mut tracker = Tracker::new(now(0), PERIOD_MS);
            for base in [6, 2, 1, 1] {
                let edit = left.remove(order / base % left.len());
                tracker.edit(edit.clone(), now(0));
                tracker.edit(edit, now(0));
            }
            for counter in [1 + order as u64 % 2, 2, 1] {
                let _ = tracker.ack(ack("eu-prod-1", counter, 3 + counter), None);
            }
            format!("{:?}", status(&tracker, now(1)))
        })
        .collect();
    assert_eq!(answers.len(), 1, "{answers:#?}");
}

#[test]
fn a_refusal_of_an_older_generation_says_nothing_of_this_one() {
    let mut tracker = fleet();
    let mut no = ack("eu-prod-1", 1, 4);
    no.exceptions = vec![refused(4)];
    tracker.ack(no, None).unwrap();
    tracker.edit(policy(5, &["eu-prod-1", "eu-stage-1"]), now(1));
    assert_eq!(
        state_of(&status(&tracker, now(1)), "eu-prod-1"),
        State::Pending
    );
    let name = PolicyName::parse("p").unwrap();
    let earlier = tracker
        .policy_status(&name, Some(Generation(4)), now(1))
        .unwrap();
    assert_eq!(state_of(&earlier, "eu-prod-1"), State::Refused);
    assert_eq!(earlier.latest_generation, Generation(5));
    assert!(
        tracker
            .policy_status(&name, Some(Generation(9)), now(1))
            .is_none()
    );
}

#[test]
fn a_refused_edit_names_the_one_that_was_applied_before_it() {
    let mut tracker = fleet();
    tracker.edit(policy(11, &["eu-prod-1"]), now(0));
    let mut said = ack("eu-prod-1", 1, 11);
    said.exceptions = vec![refused(11)];
    said.exceptions_total = 1;
    said.edits = vec![
        acked(8, ack::State::Applied),
        acked(9, ack::State::Applied),
        acked(11, ack::State::Refused),
    ];
    let mut taken_away = said.clone();
    tracker.ack(said, Some(now(1))).unwrap();
    let line = status(&tracker, now(1)).clusters.remove(0);
    assert_eq!(line.state, State::Refused);
    assert_eq!(line.generation_held, None, "a part of @11 may be there");
    assert_eq!(line.last_applied, Some(Generation(9)));

    taken_away.counter = 2;
    taken_away.edits[1].removed = true;
    tracker.ack(taken_away, Some(now(2))).unwrap();
    let line = status(&tracker, now(2)).clusters.remove(0);
    assert_eq!(line.last_applied, None, "@9 took the policy away");
}

#[test]
fn the_feed_that_carries_the_policy_is_enough_and_its_edits_tell_the_times() {
    let mut tracker = fleet();
    let mut said = ack("eu-prod-1", 1, 3);
    let feed: Feed = "policy.eu.all".parse().unwrap();
    said.feeds.insert(
        feed.clone(),
        FeedState {
            revision: at(3),
            digest: Hash([0; 32]),
        },
    );
    said.edits = vec![acked(4, ack::State::Received)];
    tracker.ack(said.clone(), None).unwrap();
    let pending = status(&tracker, now(1));
    assert_eq!((pending.counts.pending, pending.counts.received), (2, 1));

    said.counter = 2;
    said.edits = vec![];
    said.feeds.insert(
        feed,
        FeedState {
            revision: at(4),
            digest: Hash([0; 32]),
        },
    );
    tracker.ack(said.clone(), None).unwrap();
    assert_eq!(
        state_of(&status(&tracker, now(1)), "eu-prod-1"),
        State::Applied
    );

    said.counter = 3;
    said.edits = vec![acked(4, ack::State::Applied)];
    tracker.ack(said, None).unwrap();
    let line = status(&tracker, now(1)).clusters[0].clone();
    assert_eq!((line.received_ms, line.applied_ms), (Some(11), Some(12)));
    assert_eq!(line.generation_held, Some(Generation(4)));
}

#[test]
fn a_feed_that_the_policy_left_must_be_past_too() {
    let mut tracker = fleet();
    let mut moved = policy(5, &["eu-prod-1", "eu-stage-1"]);
    moved.scopes = ["all.prod".parse().unwrap()].into();
    let mut again = policy(6, &["eu-prod-1", "eu-stage-1"]);
    again.scopes = moved.scopes.clone();
    tracker.edit(moved, now(1));
    tracker.edit(again, now(1));
    let mut said = ack("eu-prod-1", 1, 3);
    // The cluster has gone on in the feed that the policy is in, and is behind in the one that it left.
    for (counter, left, wanted) in [(1, 4, State::Pending), (2, 5, State::Applied)] {
        let digest = Hash([0; 32]);
        for (feed, number) in [("policy.all.prod", 7), ("policy.eu.all", left)] {
            let revision = at(number);
            let held = FeedState { revision, digest };
            said.feeds.insert(feed.parse().unwrap(), held);
        }
        said.counter = counter;
        tracker.ack(said.clone(), None).unwrap();
        assert_eq!(state_of(&status(&tracker, now(1)), "eu-prod-1"), wanted);
    }
}

#[test]
fn a_generation_that_a_recovered_log_lost_is_not_taken_for_the_one_that_is_given_anew() {
    let mut tracker = fleet();
    tracker.edit(policy(5, &["eu-prod-1"]), now(1));
    tracker.ack(ack("eu-prod-1", 1, 5), None).unwrap();
    let name = PolicyName::parse("p").unwrap();
    let of = |tracker: &Tracker, generation| {
        let status = tracker.policy_status(&name, Some(Generation(generation)), now(1));
        status.map(|status| (status.revision, state_of(&status, "eu-prod-1")))
    };
    assert_eq!(of(&tracker, 5), Some((at(5), State::Applied)));
    let next = |number| Revision { epoch: 2, number };
    let anew = |number, generation| Committed {
        generation: Generation(generation),
        revision: next(number),
        ..policy(5, &["eu-prod-1"])
    };
    tracker.edit(anew(6, 4), now(1));
    assert_eq!(of(&tracker, 5), None, "it is lost");
    tracker.edit(anew(7, 5), now(1));
    assert_eq!(of(&tracker, 5), Some((next(7), State::Pending)));
    tracker.edit(policy(5, &["eu-prod-1"]), now(1));
    assert_eq!(
        of(&tracker, 5),
        Some((next(7), State::Pending)),
        "it comes late"
    );
}

#[test]
fn with_more_exceptions_than_an_ack_lists_not_being_listed_says_nothing() {
    let mut tracker = fleet();
    let mut said = ack("eu-prod-1", 1, 4);
    said.exceptions_total = 1_000;
    tracker.ack(said, None).unwrap();
    assert_eq!(
        state_of(&status(&tracker, now(1)), "eu-prod-1"),
        State::Pending
    );
}

#[test]
fn a_pulse_moves_the_position_only_with_the_words_of_the_same_ack() {
    let mut tracker = fleet();
    tracker.ack(ack("eu-prod-1", 1, 3), None).unwrap();
    let mut later = pulse("eu-prod-1", 5);
    (later.revision, later.ack_counter) = (at(4), 2);
    assert!(tracker.pulse(later.clone(), now(1)).unwrap().ack_missing);
    assert_eq!(
        state_of(&status(&tracker, now(1)), "eu-prod-1"),
        State::Pending
    );

    // The numbers are those of the ack, of which one policy may be done since and another begun.
    (later.ack_counter, later.sent_ms, later.as_acked) = (1, 6, false);
    tracker.pulse(later.clone(), now(2)).unwrap();
    assert_eq!(
        state_of(&status(&tracker, now(2)), "eu-prod-1"),
        State::Pending
    );

    (later.sent_ms, later.as_acked) = (7, true);
    assert!(tracker.pulse(later, now(3)).unwrap().changed);
    assert_eq!(
        state_of(&status(&tracker, now(3)), "eu-prod-1"),
        State::Applied
    );
}

#[test]
fn a_cluster_lists_only_the_policies_that_are_not_good_there() {
    let mut tracker = fleet();
    let name = ClusterName::parse("eu-prod-1").unwrap();
    let before = tracker.cluster_status(&name, now(1)).unwrap();
    assert_eq!((before.counts.target, before.exceptions.len()), (1, 1));
    tracker.ack(ack("eu-prod-1", 1, 4), Some(now(1))).unwrap();
    let after = tracker.cluster_status(&name, now(1)).unwrap();
    assert_eq!((after.counts.applied, after.exceptions.len()), (1, 0));
    let other = tracker
        .cluster_status(&ClusterName::parse("us-prod-1").unwrap(), now(1))
        .unwrap();
    assert_eq!(other.counts.target, 0);
}
