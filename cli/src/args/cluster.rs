//! How clusters join the fleet and leave it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::parse_duration;
use super::value::parse_label;

#[derive(Debug, Args)]
pub(crate) struct Cluster {
    #[command(subcommand)]
    pub(crate) command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Register a cluster, and print the manifest by which it joins: `writ cluster add … | kubectl apply -f -`.
    Add(ClusterAdd),
    /// Let the keys with this fingerprint in; compare it with what the cluster itself shows.
    Approve(ClusterApprove),
    /// Revoke a cluster's keys at once and for good. What was applied there stays.
    CutOff(ClusterStep),
    /// Take a cluster out of the fleet.
    Remove(ClusterRemove),
    /// Revoke a cluster's keys and let it enrol anew: it was rebuilt, or its token was lost. Prints a manifest.
    Reenrol(ClusterReenrol),
}

/// How a manifest is made.
#[derive(Debug, Args)]
pub(crate) struct Joining {
    /// Put no secret into the manifest: the cluster asks, and waits for `writ cluster approve`.
    #[arg(long)]
    pub(crate) no_secret: bool,
    /// The subscriber's image.
    #[arg(long, default_value = "writ-subscriber", value_name = "IMAGE")]
    pub(crate) image: String,
    /// Where the cluster finds the bus; without it, as the publisher was told.
    #[arg(long, value_name = "URL")]
    pub(crate) nats_url: Option<String>,
    /// What to print: the manifest, or the name alone.
    #[arg(short, long, value_enum, default_value = "manifest")]
    pub(crate) output: JoinOutput,
}

/// What `cluster add` and `cluster reenrol` print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum JoinOutput {
    /// YAML for kubectl apply. With a token it is a secret for an hour.
    Manifest,
    /// cluster/NAME@GENERATION.
    Name,
}

#[derive(Debug, Args)]
pub(crate) struct ClusterAdd {
    /// Its name.
    pub(crate) name: String,
    /// Its region; it does not change.
    #[arg(long)]
    pub(crate) region: String,
    /// Its stage; it does not change.
    #[arg(long)]
    pub(crate) stage: String,
    /// Labels, as key=value,key=value.
    #[arg(
        short = 'l',
        long = "labels",
        value_delimiter = ',',
        value_parser = parse_label,
        value_name = "KEY=VALUE"
    )]
    pub(crate) labels: Vec<(String, String)>,
    /// URL of its API server, for people.
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// File with the CA of that server, PEM.
    #[arg(long, value_name = "FILE")]
    pub(crate) endpoint_ca_file: Option<PathBuf>,
    /// It plans and reports, and writes nothing.
    #[arg(long)]
    pub(crate) observe: bool,
    #[command(flatten)]
    pub(crate) joining: Joining,
    /// Why.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct ClusterReenrol {
    /// Its name.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) joining: Joining,
    /// Why.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct ClusterApprove {
    /// Its name.
    pub(crate) name: String,
    /// The fingerprint of its keys.
    #[arg(long)]
    pub(crate) fingerprint: String,
    /// Why.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct ClusterStep {
    /// Its name.
    pub(crate) name: String,
    /// Why.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(crate) struct ClusterRemove {
    /// Its name.
    pub(crate) name: String,
    /// It gives back all that was applied there, and then leaves. One that is not reached is left with
    /// access, shown as such, and gives it back when it meets the bus again.
    #[arg(long, group = "what")]
    pub(crate) withdraw: bool,
    /// It leaves at once, and keeps what was applied there.
    #[arg(long, group = "what")]
    pub(crate) keep: bool,
    /// With --withdraw: repeat the number that a guard asked for, the subjects that lose access there.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "keep")]
    pub(crate) confirm: Option<u32>,
    /// Break-glass administrators only, with --withdraw and --reason: do it in spite of the guards. It is
    /// told loudly.
    #[arg(long, requires = "reason", conflicts_with = "keep")]
    pub(crate) override_guards: bool,
    /// With --withdraw: how long to wait until it has left; 0s does not wait.
    #[arg(long, default_value = "60s", value_parser = parse_duration, value_name = "DURATION")]
    pub(crate) timeout: Duration,
    /// Why.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}
