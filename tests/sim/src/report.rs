//! Many runs, and what they came to.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use writ_core::guard::Guard;

use super::{Fault, MUTATIONS, Mutation, Options, Outcome, Promise, run};

/// Guards without which nothing broke in a few seeds. Others stand behind some of them, and some take
/// more seeds than a test has: see `docs/simulator.md`.
pub const NOT_SHOWN: [Mutation; 15] = [
    Mutation::ListenFirst,
    Mutation::Guards(&[Guard::IndexBelowSeen]),
    Mutation::Guards(&[Guard::LateBody]),
    Mutation::Guards(&[Guard::LateBase]),
    Mutation::Guards(&[Guard::KeptSeen]),
    Mutation::Guards(&[Guard::AsOf]),
    Mutation::Guards(&[Guard::RemovalMemory]),
    Mutation::Guards(&[Guard::OpenBelowSeen]),
    Mutation::Guards(&[Guard::IndexBelowSeen, Guard::OpenBelowSeen]),
    Mutation::Guards(&[Guard::Digest]),
    Mutation::Guards(&[Guard::LateBase, Guard::Digest]),
    Mutation::Guards(&[Guard::KeptCut]),
    Mutation::Guards(&[Guard::LateBody, Guard::KeptCut]),
    Mutation::Guards(&[Guard::KeptSeen, Guard::KeptCut]),
    Mutation::Guards(&[Guard::AsOf, Guard::KeptSeen, Guard::KeptCut]),
];

/// The sum of many runs.
#[derive(Debug, Clone, Default)]
pub struct Total {
    /// How many runs.
    pub seeds: u64,
    /// Steps of their times of faults.
    pub steps: u64,
    /// Edits that their logs took.
    pub edits: u64,
    /// Checks of each promise.
    pub checks: BTreeMap<Promise, u64>,
    /// Violations of each promise.
    pub violations: BTreeMap<Promise, u64>,
    /// Faults by kind.
    pub faults: BTreeMap<Fault, u64>,
    /// What was read, written and said.
    pub costs: BTreeMap<&'static str, u64>,
    /// Seeds that broke a promise, with the first one that they broke.
    pub failing: BTreeMap<u64, (Promise, String)>,
}

impl Total {
    fn add(&mut self, seed: u64, outcome: &Outcome) {
        self.seeds += 1;
        self.steps += outcome.steps;
        self.edits += outcome.edits;
        for (promise, count) in &outcome.checks {
            *self.checks.entry(*promise).or_default() += count;
        }
        for (promise, _) in &outcome.violations {
            *self.violations.entry(*promise).or_default() += 1;
        }
        for (fault, count) in &outcome.faults {
            *self.faults.entry(*fault).or_default() += count;
        }
        for (what, count) in &outcome.costs {
            self.cost(what, *count);
        }
        if let Some(first) = outcome.violations.first() {
            self.failing.insert(seed, first.clone());
        }
    }

    fn cost(&mut self, what: &'static str, count: u64) {
        let known = self.costs.entry(what).or_default();
        *known = match what.starts_with("slowest") {
            true => count.max(*known),
            false => *known + count,
        };
    }

    /// Adds the sum of other runs.
    pub fn join(&mut self, other: Total) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.edits += other.edits;
        for (promise, count) in other.checks {
            *self.checks.entry(promise).or_default() += count;
        }
        for (promise, count) in other.violations {
            *self.violations.entry(promise).or_default() += count;
        }
        for (fault, count) in other.faults {
            *self.faults.entry(fault).or_default() += count;
        }
        for (what, count) in other.costs {
            self.cost(what, count);
        }
        self.failing.extend(other.failing);
    }
}

/// Runs some seeds on some threads; `tick` is told of each that ended.
pub fn run_many(
    first: u64,
    count: u64,
    threads: usize,
    out: Option<Mutation>,
    tick: impl Fn(&Outcome) + Sync,
) -> Total {
    let next = AtomicU64::new(first);
    let work = || {
        let mut total = Total::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count {
                return total;
            }
            let options = Options {
                out,
                ..Options::default()
            };
            let outcome = run(seed, options);
            tick(&outcome);
            total.add(seed, &outcome);
        }
    };
    let mut total = Total::default();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            match thread.join() {
                Ok(part) => total.join(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    total
}

/// What a long run came to, as a table.
pub fn table(total: &Total) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{:<40} {:>12}", "seeds", total.seeds);
    let _ = writeln!(text, "{:<40} {:>12}", "steps", total.steps);
    let _ = writeln!(text, "{:<40} {:>12}", "edits committed", total.edits);
    for (what, count) in &total.costs {
        let _ = writeln!(text, "{what:<40} {count:>12}");
    }
    let _ = writeln!(text, "\n{:<40} {:>12}", "fault", "injected");
    for (fault, count) in &total.faults {
        let _ = writeln!(text, "{:<40} {count:>12}", format!("{fault:?}"));
    }
    let _ = writeln!(
        text,
        "\n{:<40} {:>12} {:>12}",
        "promise", "checks", "violations"
    );
    for promise in Promise::ALL {
        let of = |map: &BTreeMap<Promise, u64>| map.get(&promise).copied().unwrap_or(0);
        let name = format!("{:>2} {promise}", promise as u8);
        let _ = writeln!(
            text,
            "{name:<40} {:>12} {:>12}",
            of(&total.checks),
            of(&total.violations)
        );
    }
    text
}

/// One line of the table of mutations.
pub fn mutation_line(name: &str, total: &Total, base: &Total) -> String {
    let share = 100.0 * total.failing.len() as f64 / total.seeds.max(1) as f64;
    let mut first: BTreeMap<Promise, u64> = BTreeMap::new();
    for (promise, _) in total.failing.values() {
        *first.entry(*promise).or_default() += 1;
    }
    let mut first: Vec<_> = first.into_iter().collect();
    first.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let broken: Vec<String> = first
        .iter()
        .take(3)
        .map(|(promise, _)| (*promise as u8).to_string())
        .collect();
    let per_seed = |total: &Total, what: &str| {
        total.costs.get(what).copied().unwrap_or(0) as f64 / total.seeds.max(1) as f64
    };
    let cost = |what| format!("{:.0} → {:.0}", per_seed(base, what), per_seed(total, what));
    format!(
        "{name:<48} {share:>6.1} %  promises {:<10} log reads {}, api writes {}",
        broken.join(" "),
        cost("log reads"),
        cost("api writes"),
    )
}

/// All mutations that have a text in their names, each over the same seeds.
pub fn mutations(first: u64, count: u64, threads: usize, only: &str, mut tell: impl FnMut(String)) {
    let base = run_many(first, count, threads, None, |_| {});
    tell(mutation_line("nothing is taken out", &base, &base));
    for (mutation, name) in MUTATIONS
        .iter()
        .copied()
        .filter(|(_, name)| name.contains(only))
    {
        let total = run_many(first, count, threads, Some(mutation), |_| {});
        tell(mutation_line(name, &total, &base));
    }
}
