//! The simulator: publishers, subscribers and clusters as their real state machines, over a modelled bus
//! and modelled API servers, in virtual time, from one seed.
//!
//! First a time of faults, then a quiet time in which everything must converge. After every step the
//! promises are checked, each with its counter. What is real and what is modelled is written down in
//! `docs/simulator.md`.

mod api;
mod auditor;
mod bus;
mod chance;
mod cluster;
pub mod command;
mod documents;
mod promises;
mod publisher;
pub mod report;
mod shared;
mod world;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use writ_core::{guard, memo};

pub use self::{
    promises::{MUTATIONS, Mutation, Promise},
    shared::Fault,
};
use self::{shared::Trace, world::World};

/// How a run goes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// What is taken out.
    pub out: Option<Mutation>,
    /// Whether the trace is printed.
    pub shown: bool,
    /// Whether the trace is hashed, to compare two runs.
    pub hashed: bool,
}

/// What a run came to.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Promises that were broken, and how.
    pub violations: Vec<(Promise, String)>,
    /// How often each promise was checked.
    pub checks: BTreeMap<Promise, u64>,
    /// How often each fault happened.
    pub faults: BTreeMap<Fault, u64>,
    /// What was read, written and said.
    pub costs: BTreeMap<&'static str, u64>,
    /// Steps of the time of faults.
    pub steps: u64,
    /// Edits that the log took.
    pub edits: u64,
    /// Hash of the trace.
    pub trace: u64,
}

/// Runs one seed.
pub fn run(seed: u64, options: Options) -> Outcome {
    let run = AssertUnwindSafe(|| run_once(seed, options));
    catch_unwind(run).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        let text = text.unwrap_or("without words").to_owned();
        Outcome {
            violations: vec![(Promise::CrashSafe, format!("panic: {text}"))],
            ..Outcome::default()
        }
    })
}

fn run_once(seed: u64, options: Options) -> Outcome {
    guard::take_out(match options.out {
        Some(Mutation::Guards(guards)) => guards,
        _ => &[],
    });
    memo::begin();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let mut world = World::new(seed, options.out, Trace::new(options.shown, options.hashed));
    runtime.block_on(world.run());
    guard::take_out(&[]);
    memo::end();
    let steps = world.steps;
    let shared = world.shared.clone();
    let inner = shared.lock();
    Outcome {
        violations: inner.auditor.violations.clone(),
        checks: inner.auditor.checks.clone(),
        faults: inner.faults.clone(),
        costs: inner.costs.clone(),
        steps,
        edits: inner.auditor.edits(),
        trace: inner.trace_hash(),
    }
}
