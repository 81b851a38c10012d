//! A whole fleet on this machine, from the other crates.
//!
//! Owns the commands that are only there with the feature `sandbox`: the sandbox, the demo
//! and backup, restore and the recovery of a lost log for people, and the hidden ones by which the fleet starts its publishers and subscribers from this
//! same executable. Everything they do is in `writ-sandbox`, `writ-publisher` and
//! `writ-subscriber`; this file passes arguments and turns errors into exits.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use writ_core::name::{Region, Stage};

use crate::args::Global;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::interrupt::Interrupt;

mod keys;
mod sandbox;

/// Starts another program in this process's place; see [`before_runtime`].
const EXEC: &str = "__exec";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start and end a fleet of real clusters on this machine.
    #[command(subcommand)]
    Sandbox(Sandbox),
    /// Start a fleet, tell its story step by step, and check that every step was true.
    Demo(Demo),
    /// Rebuild a log that was lost or restored from what the clusters hold.
    Recover(Box<writ_publisher::recover::Args>),
    /// Save the log and the acks of a running bus as files.
    Backup(writ_publisher::backup::Args),
    /// Give the log and the acks of a backup to a bus that has none.
    Restore(writ_publisher::backup::Args),
    /// The publishers' signing keys: list, rotate, revoke.
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Run a publisher.
    #[command(name = "__publisher", hide = true)]
    Publisher(Box<writ_publisher::Args>),
    /// Run a subscriber.
    #[command(name = "__subscriber", hide = true)]
    Subscriber(Box<writ_subscriber::args::Args>),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sandbox {
    /// Start a fleet: a cluster for every pair of region and stage.
    Up(Up),
    /// End the fleet that runs in a folder.
    Down(Down),
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// The regions, separated by commas.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "eu,us,ap",
        value_name = "REGION,…"
    )]
    pub(crate) regions: Vec<Region>,
    /// The stages, separated by commas.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "prod,stage",
        value_name = "STAGE,…"
    )]
    pub(crate) stages: Vec<Stage>,
    /// Give each region a leaf node of its own, to which its clusters connect.
    #[arg(long)]
    pub(crate) leafs: bool,
    /// Where its state goes; without it a temporary folder, removed at the end.
    #[arg(long, value_name = "DIR", required_if_eq("detach", "true"))]
    pub(crate) dir: Option<PathBuf>,
    /// Return when all is ready, and go on in the background until `writ sandbox down`.
    #[arg(long)]
    pub(crate) detach: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Down {
    /// The folder that the fleet was started with.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Leave the fleet running at the end, until Ctrl-C.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Where its state goes; without it a temporary folder, removed when all went well.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// How many edits are timed at the end; 0 leaves that out.
    #[arg(long, default_value_t = 30, value_name = "N")]
    pub(crate) rounds: u32,
}

/// What must happen while this process has one thread: `writ __exec [--session] PROGRAM ARGS…` ties
/// itself to the life of its parent and becomes the program. Never returns a code unless that
/// failed.
pub(crate) fn before_runtime() -> Option<ExitCode> {
    let mut args = env::args_os().skip(1);
    if args.next().is_none_or(|first| first != EXEC) {
        return None;
    }
    let error = writ_sandbox::process::wrapper::run(args);
    eprintln!("writ {EXEC}: {error}");
    Some(Exit::Failed.into())
}

/// Runs one of the commands.
pub(crate) async fn run(
    command: Command,
    global: &Global,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    match command {
        Command::Sandbox(Sandbox::Up(args)) => sandbox::up(args, console, interrupt).await,
        Command::Sandbox(Sandbox::Down(args)) => sandbox::down(args, console).await,
        Command::Demo(args) => Box::pin(sandbox::demo(args, console, interrupt)).await,
        Command::Recover(args) => {
            args.start_log();
            match Box::pin(writ_publisher::recover::run(*args)).await {
                Ok(report) => {
                    console.write(&report.text());
                    let is_left = report.is_needed && report.opened.is_none();
                    Ok(if is_left { Exit::Differs } else { Exit::Done })
                }
                Err(error) if error.is_guard() => {
                    console.tell(error.to_string());
                    Ok(Exit::Guarded)
                }
                Err(error) => Err(failed("the log was not recovered", error)),
            }
        }
        Command::Backup(args) => {
            let saved = Box::pin(writ_publisher::backup::save(&args)).await;
            let saved = saved.map_err(|error| failed("the bus was not backed up", error))?;
            console.write(&saved.text());
            Ok(Exit::Done)
        }
        Command::Restore(args) => {
            let restored = Box::pin(writ_publisher::backup::restore(&args)).await;
            let restored = restored.map_err(|error| failed("the bus was not restored", error))?;
            console.write(&restored.text());
            Ok(Exit::Done)
        }
        Command::Keys(command) => keys::run(command, global, console, interrupt).await,
        Command::Publisher(args) => {
            // The log says why it ended, in the form that was asked for.
            let is_in_order = Box::pin(writ_publisher::run_logged(*args)).await;
            Ok(if is_in_order {
                Exit::Done
            } else {
                Exit::Failed
            })
        }
        Command::Subscriber(args) => {
            let is_in_order = Box::pin(writ_subscriber::run::run_logged(*args)).await;
            Ok(if is_in_order {
                Exit::Done
            } else {
                Exit::Failed
            })
        }
    }
}

fn failed(what: &'static str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Fleet {
        what,
        source: Box::new(error),
    }
}
