use std::collections::BTreeMap;

use prost_types::Timestamp;

use super::*;

fn at(seconds: u64) -> Option<Timestamp> {
    Some(Timestamp {
        seconds: 1_700_000_000 + i64::try_from(seconds).unwrap(),
        nanos: 123_000_000,
    })
}

/// A live cluster that has applied the edit.
fn line(cluster: &str, heard: u64) -> v1::ClusterLine {
    v1::ClusterLine {
        cluster: cluster.into(),
        region: "eu".into(),
        stage: "prod".into(),
        state: v1::AckState::Applied.into(),
        membership: v1::Membership::Target.into(),
        received_at: at(1),
        applied_at: at(2),
        liveness: Some(v1::Liveness {
            state: State::Live.into(),
            since: None,
            last_heard: at(heard),
        }),
        generation_held: 42,
        last_applied_generation: 42,
        ..Default::default()
    }
}

fn status(lines: impl IntoIterator<Item = v1::ClusterLine>) -> v1::PolicyStatus {
    let clusters: Vec<_> = lines.into_iter().collect();
    v1::PolicyStatus {
        policy: "payments".into(),
        generation: 42,
        revision: Some(v1::Revision {
            epoch: 1,
            number: 10_211,
        }),
        committed_at: at(0),
        latest_generation: 42,
        counts: Some(v1::Counts {
            target: u32::try_from(clusters.len()).unwrap(),
            ..Default::default()
        }),
        spread: Some(v1::Spread {
            last_ms: Some(2_000),
            ..Default::default()
        }),
        clusters,
        ..Default::default()
    }
}

fn answer(policy: v1::PolicyStatus) -> v1::StatusResponse {
    v1::StatusResponse {
        policies: vec![policy],
        ..Default::default()
    }
}

/// What a stream with these statuses sends.
fn told(told: &mut Sent, mut status: v1::PolicyStatus) -> Option<v1::PolicyStatus> {
    told.narrow(&mut status).then_some(status)
}

fn names(lines: &[v1::ClusterLine]) -> Vec<&str> {
    lines.iter().map(|line| line.cluster.as_str()).collect()
}

/// The status without what a stream of changes leaves out.
fn settled(mut status: v1::PolicyStatus) -> v1::PolicyStatus {
    for line in &mut status.clusters {
        let liveness = line.liveness.as_mut().unwrap();
        if liveness.state() == State::Live {
            liveness.last_heard = None;
        }
    }
    status
}

#[test]
fn the_first_answer_is_whole_and_the_next_has_only_what_changed() {
    let mut stream = Sent::default();
    let whole = told(
        &mut stream,
        status(["a", "b", "c"].map(|name| line(name, 1))),
    )
    .unwrap();
    assert!(!whole.is_change);
    assert_eq!(names(&whole.clusters), ["a", "b", "c"]);

    let mut refused = line("b", 1);
    refused.state = v1::AckState::Refused.into();
    let next = status([line("a", 1), refused, line("d", 1)]);
    let change = told(&mut stream, next).unwrap();
    assert!(change.is_change);
    assert_eq!(names(&change.clusters), ["b", "d"]);
    assert_eq!(change.removed, ["c"]);
    assert_eq!((change.generation, change.committed_at), (42, at(0)));
}

#[test]
fn a_live_cluster_that_was_heard_again_is_no_change_and_one_that_fell_silent_is() {
    let mut stream = Sent::default();
    let whole = told(&mut stream, status([line("a", 1), line("b", 1)])).unwrap();
    assert_eq!(whole.clusters[0].liveness.unwrap().last_heard, None);
    assert_eq!(
        told(&mut stream, status([line("a", 9), line("b", 8)])),
        None
    );

    let mut silent = line("b", 8);
    silent.liveness = Some(v1::Liveness {
        state: State::Silent.into(),
        since: at(8),
        last_heard: at(8),
    });
    let change = told(&mut stream, status([line("a", 10), silent.clone()])).unwrap();
    assert_eq!(change.clusters, [silent]);
    let change = told(&mut stream, status([line("a", 10), line("b", 11)])).unwrap();
    assert_eq!(names(&change.clusters), ["b"]);
}

#[test]
fn other_counts_are_a_change_without_lines() {
    let mut stream = Sent::default();
    told(&mut stream, status([line("a", 1)])).unwrap();
    let mut next = status([line("a", 1)]);
    next.latest_generation = 43;
    let change = told(&mut stream, next).unwrap();
    assert!(change.clusters.is_empty() && change.removed.is_empty());
    assert_eq!(change.latest_generation, 43);
}

#[test]
fn a_change_without_a_whole_status_before_it_is_refused() {
    let mut stream = Sent::default();
    told(&mut stream, status([line("a", 1)])).unwrap();
    let change = told(&mut stream, status([line("b", 1)])).unwrap();
    let refused = NoWhole {
        policy: "payments".into(),
    };
    let mut held = None;
    assert_eq!(merge(&mut held, answer(change.clone())), Err(refused));
    assert_eq!(held, None);

    // One of another policy is as good as none.
    let mut other = status([line("a", 1)]);
    other.policy = "others".into();
    merge(&mut held, answer(other)).unwrap();
    assert!(merge(&mut held, answer(change.clone())).is_err());
    assert_eq!(held, None, "what was held is not gone on with");

    merge(&mut held, answer(status([line("a", 1)]))).unwrap();
    merge(&mut held, answer(change)).unwrap();
    assert_eq!(names(&held.unwrap().policies[0].clusters), ["b"]);
}

#[test]
fn whole_answers_replace_each_other() {
    let mut held = None;
    merge(&mut held, answer(status([line("a", 1), line("b", 1)]))).unwrap();
    let next = answer(status([line("b", 2)]));
    merge(&mut held, next.clone()).unwrap();
    assert_eq!(held, Some(next));
}

/// A generator of a printed seed (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Lets something happen to a line, or to who has one.
fn happen(lines: &mut BTreeMap<String, v1::ClusterLine>, dice: &mut Dice, step: u64) {
    let name = format!("c-{}", dice.below(12));
    let what = dice.below(7);
    if what == 0 {
        lines.remove(&name);
        return;
    }
    let line = lines
        .entry(name.clone())
        .or_insert_with(|| line(&name, step));
    match what {
        1 => line.state = i32::try_from(1 + dice.below(4)).unwrap(),
        2 => line.reason = format!("Reason{}", dice.below(3)),
        3 => line.generation_held = dice.below(3),
        4 => line.applied_at = at(dice.below(3)),
        _ => {
            let liveness = line.liveness.as_mut().unwrap();
            liveness.state = i32::try_from(dice.below(3)).unwrap();
            liveness.last_heard = at(step);
        }
    }
}

#[test]
fn merged_changes_are_the_whole_status_after_any_history() {
    for seed in 1..=300 {
        let mut dice = Dice(seed * 0x9E37_79B9);
        let (mut stream, mut held) = (Sent::default(), None);
        let mut lines = BTreeMap::new();
        for step in 1..=40 {
            for _ in 0..dice.below(4) {
                happen(&mut lines, &mut dice, step);
            }
            let mut now = status(lines.values().cloned());
            now.latest_generation += dice.below(2);
            if let Some(sent) = told(&mut stream, now.clone()) {
                assert_eq!(sent.is_change, held.is_some(), "seed {seed}");
                merge(&mut held, answer(sent)).unwrap();
            }
            let held = held.clone().unwrap();
            assert_eq!(held, answer(settled(now)), "seed {seed}, step {step}");
        }
    }
}

#[test]
fn with_10_000_clusters_the_change_of_one_is_as_small_as_with_ten() {
    for clusters in [10, 10_000] {
        let all =
            |heard| (0..clusters).map(move |number| line(&format!("eu-prod-{number:05}"), heard));
        let mut stream = Sent::default();
        let unasked = status(all(1));
        let whole = told(&mut stream, unasked.clone()).unwrap();
        let mut next = status(all(2));
        next.clusters[7].state = v1::AckState::Refused.into();
        next.clusters[7].reason = "ForeignObject".into();
        let change = told(&mut stream, next.clone()).unwrap();
        let mut beat = next;
        assert!(!stream.narrow(&mut beat));
        let sizes = [unasked, whole, change, beat].map(|status| answer(status).encoded_len());
        // All of it, as it is at first, of a change, and where nothing changed.
        let wanted = match clusters {
            10 => [826, 696, 127, 47],
            _ => [780_048, 650_048, 128, 48],
        };
        assert_eq!(sizes, wanted, "{clusters} clusters");
    }
}
