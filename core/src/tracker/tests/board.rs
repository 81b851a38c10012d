//! The board says what counting anew says, whatever came, and says what changed.

use super::*;

const CLUSTERS: [&str; 5] = [
    "eu-prod-1",
    "eu-prod-2",
    "eu-stage-1",
    "us-prod-1",
    "us-prod-2",
];
const POLICIES: [&str; 4] = ["p", "q", "r", "s"];

/// A history out of a seed that a failing test prints.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

fn edit_of(name: &str, number: u64, chance: &mut Chance) -> Committed {
    let is_there = chance.below(5) > 0;
    let regions = [
        json!({"regions": ["eu"]}),
        json!({"all": true}),
        json!({"regions": ["us"]}),
    ];
    let manifest = json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy", "metadata": {"name": name},
        "spec": {"clusters": regions[chance.below(3)]},
    });
    let mut intent = intent(Kind::Policy, name, number, is_there.then_some(manifest));
    let targets = CLUSTERS.iter().filter(|_| chance.below(2) == 0);
    intent.targets = targets.map(|name| (*name).to_owned()).collect();
    intent.scopes = ["eu.all".parse().unwrap()].into();
    Committed::read(&intent).unwrap().unwrap()
}

fn registry(name: &str, number: u64, chance: &mut Chance) -> Committed {
    if chance.below(4) == 0 {
        return removal(name, number);
    }
    let mut edit = cluster(name, number);
    if let Subject::Cluster(Some(entry)) = &mut edit.subject {
        let phases = [
            Phase::Active,
            Phase::Active,
            Phase::Pending,
            Phase::Draining,
            Phase::CutOff,
        ];
        entry.phase = phases[chance.below(phases.len())];
        entry.mode = [Mode::Enforce, Mode::Observe][chance.below(2)];
    }
    edit
}

fn answer(name: &str, counter: u64, revision: u64, chance: &mut Chance) -> Ack {
    let mut said = ack(name, counter, chance.below(2) as u64 * revision);
    for policy in POLICIES {
        let number = 1 + chance.below(usize::try_from(revision).unwrap()) as u64;
        let states = [
            ack::State::Applied,
            ack::State::Refused,
            ack::State::Received,
        ];
        let state = states[chance.below(3)];
        let name = Name::parse(policy).unwrap();
        match chance.below(4) {
            0 => {
                said.exceptions.push(Exception {
                    name,
                    ..refused(number)
                });
                said.exceptions_total += 1;
            }
            1 | 2 => said.edits.push(AckedEdit {
                name,
                ..acked(number, state)
            }),
            _ => {}
        }
    }
    said
}

/// Everything that is shown, counted anew.
fn anew(tracker: &Tracker, now: Now) -> (Vec<PolicyStatus>, Vec<ClusterStatus>) {
    let policies = tracker.policies_status(now).map(|status| PolicyStatus {
        clusters: Vec::new(),
        ..status
    });
    (policies.collect(), tracker.fleet_status(now).collect())
}

#[test]
fn the_board_is_what_counting_anew_gives_and_names_every_cluster_that_changed() {
    for seed in 0..300 {
        let mut chance = Chance(seed);
        let mut tracker = Tracker::new(now(0), PERIOD_MS);
        let (mut time, mut counter) = (0, 0);
        let mut shown: BTreeMap<ClusterName, ClusterStatus> = BTreeMap::new();
        for number in 1..60 {
            let name = chance.pick(&CLUSTERS);
            time += chance.below(900) as u64;
            counter += 1;
            match chance.below(8) {
                0 | 1 => tracker.edit(registry(name, number, &mut chance), now(time)),
                2 => {
                    let policy = chance.pick(&POLICIES);
                    tracker.edit(edit_of(policy, number, &mut chance), now(time));
                }
                3 | 4 => {
                    let said = answer(name, counter, number, &mut chance);
                    let heard = (chance.below(3) > 0).then(|| now(time));
                    let _ = tracker.ack(said, heard);
                }
                5 | 6 => {
                    let mut said = pulse(name, 1_000_000 + time);
                    said.stale = chance.below(3) == 0;
                    said.period_ms = [PERIOD_MS, 300][chance.below(2)];
                    (said.ack_counter, said.revision) = (counter, at(number));
                    let _ = tracker.pulse(said, now(time));
                }
                _ => tracker.listen_anew(now(time)),
            }
            // Nobody looks after each of them.
            if chance.below(3) == 0 {
                continue;
            }
            let seen_at = now(time);
            let changed = tracker.look(seen_at);
            let (policies, clusters) = anew(&tracker, seen_at);
            assert_eq!(
                tracker.columns().collect::<Vec<_>>(),
                policies,
                "seed {seed}, {number}"
            );
            for region in ["eu", "us"] {
                let is_own = |of: &Region, _: &Stage| of.as_str() == region;
                let bounded: Vec<_> = tracker.columns_of(is_own).collect();
                let anew: Vec<_> = tracker
                    .policies
                    .keys()
                    .filter_map(|name| {
                        let sees = |place: Option<(&Region, &Stage)>| {
                            place.is_some_and(|(of, stage)| is_own(of, stage))
                        };
                        let mut status = tracker.policy_status_of(name, None, seen_at, sees)?;
                        let lines = std::mem::take(&mut status.clusters);
                        assert!(
                            lines
                                .iter()
                                .all(|line| line.cluster.as_str().starts_with(region))
                        );
                        (!status.is_deleted || !status.counts.is_reached()).then_some(status)
                    })
                    .collect();
                assert_eq!(bounded, anew, "seed {seed}, {number}, {region}");
            }
            for status in &clusters {
                let line = tracker.line(&status.name, seen_at);
                assert_eq!(line.as_ref(), Some(status), "seed {seed}, {number}");
                if !changed.contains(&status.name) {
                    let mut before = shown[&status.name].clone();
                    // What every sign of life changes, and nobody is told of for that alone.
                    before.clock_skew_ms = status.clock_skew_ms;
                    if let (Liveness::Live { .. }, Liveness::Live { .. }) =
                        (before.liveness, status.liveness)
                    {
                        before.liveness = status.liveness;
                    }
                    assert_eq!(before, *status, "not told of: seed {seed}, {number}");
                }
            }
            let is_there = |name: &ClusterName| clusters.iter().any(|status| status.name == *name);
            let gone = shown.keys().filter(|name| !is_there(name));
            assert!(
                gone.clone().all(|name| changed.contains(name)),
                "seed {seed}, {number}"
            );
            let silent_at = tracker.next_silence_ms();
            let next = clusters
                .iter()
                .filter_map(|status| tracker.silent_at_ms(&status.name));
            let next = next.filter(|at| *at > seen_at.monotonic_ms).min();
            assert_eq!(silent_at, next, "seed {seed}, {number}");
            shown = clusters
                .into_iter()
                .map(|status| (status.name.clone(), status))
                .collect();
        }
    }
}

#[test]
fn nothing_new_is_nothing_to_count() {
    let mut tracker = fleet();
    assert_eq!(tracker.look(now(1)).len(), 3);
    assert!(tracker.look(now(2)).is_empty());
    tracker.pulse(pulse("eu-prod-1", 5), now(3)).unwrap();
    assert_eq!(tracker.look(now(4)).len(), 1, "it was not heard before");
    tracker.pulse(pulse("eu-prod-1", 6), now(5)).unwrap();
    assert!(tracker.look(now(6)).is_empty(), "one more sign of life");
}

#[test]
fn a_spread_is_by_the_nearest_rank_and_forgets_what_is_taken_out() {
    let mut times: crate::tracker::spread::Times = (1..=100).collect();
    let spread = times.spread();
    let found = [spread.p50_ms, spread.p90_ms, spread.p99_ms, spread.last_ms];
    assert_eq!(found, [Some(50), Some(90), Some(99), Some(100)]);
    (2..=100).for_each(|ms| times.take(Some(ms)));
    assert_eq!(
        (times.spread().p50_ms, times.spread().last_ms),
        (Some(1), Some(1))
    );
    times.take(Some(1));
    assert_eq!(times.spread(), Spread::default());
}
