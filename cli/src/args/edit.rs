//! What changes something: edits, proposals, and waiting for them.

use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Reference, Resource, parse_duration};
use crate::guards::Guards;

#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// File, folder (*.yaml, *.yml, *.json) or - for standard input; may be repeated.
    #[arg(short, long = "filename", required = true, value_name = "FILE|DIR|-")]
    pub(crate) files: Vec<String>,
    /// Also read the folders below.
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
    /// Why; wins over the document's own reason.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// Only if this is the current generation (0: only if the name does not exist); for a single
    /// document.
    #[arg(long, value_name = "G")]
    pub(crate) base: Option<u64>,
    /// Check everything on the publisher and store nothing.
    #[arg(long, conflicts_with = "wait")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) guards: Guards,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// How to print what was done.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<EditOutput>,
}

/// Waiting for the clusters after an edit.
#[derive(Debug, Args)]
pub(crate) struct Waiting {
    /// Then wait until the clusters say so (policies only).
    #[arg(
        long,
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "applied",
        value_name = "LEVEL"
    )]
    pub(crate) wait: Option<Level>,
    /// How long to wait at most.
    #[arg(long, default_value = "60s", value_parser = parse_duration, value_name = "DURATION")]
    pub(crate) timeout: Duration,
    /// Do not count silent clusters as missing; they are listed.
    #[arg(long)]
    pub(crate) allow_silent: bool,
}

/// How far an edit should have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// Verified, admitted and kept by every cluster.
    Received,
    /// Every object confirmed by every cluster's API server.
    Applied,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Which sort of thing.
    #[arg(value_enum)]
    pub(crate) resource: Resource,
    /// Which ones; NAME@GENERATION only if that is the current one.
    #[arg(required = true, value_name = "NAME[@G]")]
    pub(crate) names: Vec<Reference>,
    /// Only if this is the current generation; for a single name.
    #[arg(long, value_name = "G")]
    pub(crate) base: Option<u64>,
    /// Why.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// Check everything on the publisher and store nothing.
    #[arg(long, conflicts_with = "wait")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) guards: Guards,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// How to print what was done.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<EditOutput>,
}

#[derive(Debug, Args)]
pub(crate) struct Approve {
    /// The policy whose proposal it is; NAME@GENERATION only if that is the proposal's generation.
    #[arg(value_name = "NAME[@G]")]
    pub(crate) name: Reference,
    /// Repeat the number that a guard asked for.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) confirm: Option<u32>,
    /// Added to the proposer's reason.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// Show the proposal, check everything on the publisher, and store nothing.
    #[arg(long, conflicts_with = "wait")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// How to print what was done.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<EditOutput>,
}

#[derive(Debug, Args)]
pub(crate) struct Reject {
    /// The policy whose proposal it is; NAME@GENERATION only if that is the proposal's generation.
    #[arg(value_name = "NAME[@G]")]
    pub(crate) name: Reference,
    /// Why.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct Rollback {
    /// Which policy, or cluster/NAME; NAME@GENERATION only if that is the current one.
    #[arg(value_name = "POLICY[@G]|cluster/NAME[@G]")]
    pub(crate) name: Reference,
    /// The generation whose document is put in place again.
    #[arg(long, value_name = "G", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) to: u64,
    /// Why; without it, "rolled back to NAME@G".
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// Show what would change, check everything on the publisher, and store nothing.
    #[arg(long, conflicts_with = "wait")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) guards: Guards,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// How to print what was done.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<EditOutput>,
}

/// How an edit is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EditOutput {
    /// One JSON document.
    Json,
    /// One `kind/name@generation` a line.
    Name,
}
