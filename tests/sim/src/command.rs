//! The simulator's command: many seeds with a table, one seed with its trace, or the mutations.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{Options, report, run};

/// Runs the real state machines of a fleet under faults, and says what they broke.
#[derive(Debug, Parser)]
struct Args {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Replays one seed and prints its trace.
    #[arg(long, conflicts_with_all = ["seeds", "mutations"])]
    seed: Option<u64>,
    /// Takes out one guard at a time and prints the share of seeds that fail without it.
    #[arg(long)]
    mutations: bool,
    /// Of the mutations, only those with this in their line.
    #[arg(long, requires = "mutations", default_value = "")]
    only: String,
    /// How many threads; one for each core if it is not said.
    #[arg(long)]
    threads: Option<usize>,
    /// Ends after so many seconds, however many seeds were run.
    #[arg(long)]
    seconds: Option<u64>,
}

/// Seeds between two looks at the clock.
const CHUNK: u64 = 64;
/// Failing seeds that are named at the end.
const FAILING_NAMED_MAX: usize = 20;

/// Runs the command.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.unwrap_or(cores);
    if let Some(seed) = args.seed {
        return replay(seed);
    }
    if args.mutations {
        let tell = |line| println!("{line}");
        report::mutations(args.first, args.seeds, threads, &args.only, tell);
        return ExitCode::SUCCESS;
    }
    let bar = ProgressBar::new(args.seeds);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30} {pos}/{len} seeds, {per_sec}, {eta} left {msg}")
    {
        bar.set_style(style);
    }
    let start = Instant::now();
    let limit = args.seconds.map(Duration::from_secs);
    let mut total = report::Total::default();
    let mut next = 0;
    while next < args.seeds && limit.is_none_or(|limit| start.elapsed() < limit) {
        let count = (CHUNK * threads as u64).min(args.seeds - next);
        let part = report::run_many(args.first + next, count, threads, None, |_| bar.inc(1));
        total.join(part);
        next += count;
        if !total.failing.is_empty() {
            bar.set_message(format!("{} failing", total.failing.len()));
        }
    }
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    print!("{}", report::table(&total));
    println!(
        "\n{:.0} seeds a second on {threads} threads",
        total.seeds as f64 / seconds
    );
    for (seed, (promise, what)) in total.failing.iter().take(FAILING_NAMED_MAX) {
        println!("seed {seed}: {promise}: {what}");
    }
    match total.failing.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn replay(seed: u64) -> ExitCode {
    let options = Options {
        shown: true,
        hashed: true,
        ..Options::default()
    };
    let outcome = run(seed, options);
    for (promise, what) in &outcome.violations {
        println!("violated: {promise}: {what}");
    }
    println!("trace {:016x}", outcome.trace);
    match outcome.violations.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
