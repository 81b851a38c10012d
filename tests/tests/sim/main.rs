//! The simulator, as the tests run it: some seeds without a violation, and proof that its checks can fail.

use std::collections::BTreeSet;

use writ_tests::sim::{MUTATIONS, Mutation, Options, Promise, report, run};

/// Seeds of one test run.
const SEEDS: u64 = 200;
/// Seeds in which every mutation that can break a promise breaks one.
const MUTATED_SEEDS: u64 = 24;

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[test]
fn no_promise_is_broken_under_faults() {
    let total = report::run_many(0, SEEDS, threads(), None, |_| {});
    assert!(total.failing.is_empty(), "{:#?}", total.failing);
    let checked: BTreeSet<Promise> = total.checks.keys().copied().collect();
    assert_eq!(checked, BTreeSet::from(Promise::ALL));
}

#[test]
fn the_same_seed_is_the_same_history() {
    let options = Options {
        hashed: true,
        ..Options::default()
    };
    for seed in [3, 11] {
        let (first, second) = (run(seed, options), run(seed, options));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_ne!(first.trace, run(seed + 1, options).trace);
    }
}

/// Runs seeds until one breaks a promise.
fn is_caught(out: Mutation) -> bool {
    let options = Options {
        out: Some(out),
        ..Options::default()
    };
    (0..MUTATED_SEEDS).any(|seed| !run(seed, options).violations.is_empty())
}

#[test]
fn guards_that_a_few_seeds_show_are_seen_to_matter() {
    for (mutation, name) in MUTATIONS {
        if !report::NOT_SHOWN.contains(&mutation) {
            assert!(is_caught(mutation), "nothing breaks without: {name}");
        }
    }
}
