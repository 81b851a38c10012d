//! What a change of the fleet costs its readers: every line of every cluster counted anew for each of them, as it was
//! once, beside the board, which counts what changed once for all.
//!
//! `cargo bench -p writ-tests --bench fleet_lines`. Both sides run in turn in one process and have to say the same; only
//! ratios mean anything on a shared machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::json;
use writ_core::{
    ack::{Ack, Counts},
    edit::{Intent, Kind},
    hash::Hash,
    name::{ClusterName, Name, Region, Stage},
    revision::{Generation, Revision},
    subject::Sender,
    tracker::{Committed, Now, Tracker},
};

const CLUSTERS: usize = 10_000;
const POLICIES: u64 = 50;
/// Changes of each sort.
const ROUNDS: u64 = 15;
/// Clusters that answer within one message to the readers.
const ANSWERS: [usize; 3] = [1, 100, 10_000];

fn now(ms: u64) -> Now {
    Now {
        monotonic_ms: ms,
        wall_ms: 1_700_000_000_000 + ms,
    }
}

fn at(number: u64) -> Revision {
    Revision { epoch: 1, number }
}

fn name(number: usize) -> String {
    format!("eu-prod-{number:05}")
}

fn committed(kind: Kind, name: &str, number: u64, spec: serde_json::Value) -> Committed {
    let word = match kind {
        Kind::Cluster => "Cluster",
        _ => "ClusterPolicy",
    };
    let manifest = json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": word, "metadata": {"name": name}, "spec": spec,
    });
    let targets = match kind {
        Kind::Cluster => Vec::new(),
        _ => (0..CLUSTERS).map(self::name).collect(),
    };
    let intent = Intent {
        kind,
        name: Name::parse(name).expect("a name"),
        revision: at(number),
        generation: Generation(number),
        request_id: String::new(),
        manifest: Some(manifest.to_string()),
        scopes: BTreeSet::from(["eu.all".parse().expect("a scope")]),
        author: String::new(),
        reason: String::new(),
        inlet: String::new(),
        committed_ms: 1_700_000_000_000,
        targets,
        revoked: Vec::new(),
    };
    let read = Committed::read(&intent).expect("it is valid");
    read.expect("a policy or a cluster")
}

fn ack(number: usize, counter: u64, reached: u64) -> Ack {
    Ack {
        sender: Sender {
            region: Region::parse("eu").expect("a region"),
            stage: Stage::parse("prod").expect("a stage"),
            cluster: ClusterName::parse(&name(number)).expect("a name"),
        },
        revision: at(reached),
        feeds: BTreeMap::new(),
        counts: Counts::default(),
        exceptions: Vec::new(),
        exceptions_total: 0,
        edits: Vec::new(),
        refused_messages: 0,
        boot_id: "boot".into(),
        boot: 1,
        counter,
        previous: Hash([0; 32]),
        sent_ms: 1_700_000_000_000 + counter,
        witness: Vec::new(),
    }
}

fn main() {
    let mut tracker = Tracker::new(now(0), 3_600_000);
    for number in 0..CLUSTERS {
        let spec = json!({"region": "eu", "stage": "prod", "phase": "active"});
        let place = 1 + number as u64;
        tracker.edit(committed(Kind::Cluster, &name(number), place, spec), now(0));
    }
    let policies_from = CLUSTERS as u64;
    for policy in 1..=POLICIES {
        let spec = json!({"clusters": {"regions": ["eu"]}});
        let policy_name = format!("policy-{policy}");
        let place = policies_from + policy;
        tracker.edit(committed(Kind::Policy, &policy_name, place, spec), now(0));
    }
    let newest = policies_from + POLICIES;
    for number in 0..CLUSTERS {
        let said = ack(number, 1, newest);
        tracker.ack(said, Some(now(1))).expect("it is registered");
    }
    tracker.look(now(1));
    println!("{CLUSTERS} clusters, {POLICIES} policies for all of them; p50 of {ROUNDS} changes");

    let mut counter = 1;
    for answers in ANSWERS {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            counter += 1;
            // Every other time a cluster goes back behind the newest edits, so that lines do change.
            let reached = newest - (round % 2) * 3;
            for number in 0..answers {
                let said = ack(number, counter, reached);
                tracker.ack(said, Some(now(2))).expect("it is newer");
            }
            let anew = || -> Vec<_> { tracker.fleet_status(now(3)).collect() };
            let columns = || -> Vec<_> { tracker.policies_status(now(3)).collect() };
            let begun = Instant::now();
            let (all, policies) = (anew(), columns());
            before.push(begun.elapsed());

            let begun = Instant::now();
            let changed = tracker.look(now(3));
            let lines: Vec<_> = changed
                .iter()
                .filter_map(|name| tracker.line(name, now(3)))
                .collect();
            let sums: Vec<_> = tracker.columns().collect();
            after.push(begun.elapsed());

            assert_eq!(lines.len(), answers);
            let same = lines.iter().zip(&all).all(|(line, whole)| line == whole);
            assert!(same, "a line is not what counting anew gives");
            let counts = |of: &writ_core::tracker::PolicyStatus| (of.name.clone(), of.counts);
            let (sums, policies): (Vec<_>, Vec<_>) = (
                sums.iter().map(counts).collect(),
                policies.iter().map(counts).collect(),
            );
            assert_eq!(sums, policies);
        }
        let (before, after) = (median(before), median(after));
        let ratio = before.as_secs_f64() / after.as_secs_f64();
        println!(
            "  {answers:>6} clusters answer: anew, for each reader {before:>9.2?}   the board, for all readers {after:>9.2?}   ratio {ratio:.0}"
        );
    }
    let begun = Instant::now();
    let edit = json!({"clusters": {"regions": ["eu"]}, "removal": "orphan"});
    tracker.edit(
        committed(Kind::Policy, "policy-1", newest + 1, edit),
        now(4),
    );
    let parsed = begun.elapsed();
    let begun = Instant::now();
    let changed = tracker.look(now(4)).len();
    println!(
        "  an edit for all {changed} clusters: its targets read in {parsed:.2?}, counted in {:.2?}",
        begun.elapsed()
    );
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort();
    all[all.len() / 2]
}
