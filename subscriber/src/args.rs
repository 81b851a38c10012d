//! What a subscriber is told when it starts. Everything else it learns from the log.

use std::path::PathBuf;

use crate::registry::CLUSTER_MIRRORS_MAX;
use writ_core::name::{ClusterName, Region, Stage};
use writ_telemetry::{AdminArgs, LogArgs, TraceArgs};

/// Arguments of `writ-subscriber`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Name of this cluster in the registry
    #[arg(long)]
    pub cluster: ClusterName,
    /// Region of this cluster
    #[arg(long)]
    pub region: Region,
    /// Stage of this cluster
    #[arg(long)]
    pub stage: Stage,
    /// Kubeconfig to use instead of a token
    #[arg(long, conflicts_with_all = ["api_server", "ca_file", "token_file"])]
    pub kubeconfig: Option<PathBuf>,
    /// URL of the API server
    #[arg(long, requires_all = ["ca_file", "token_file"], required_unless_present = "kubeconfig")]
    pub api_server: Option<String>,
    /// PEM file of the API server's CA
    #[arg(long)]
    pub ca_file: Option<PathBuf>,
    /// File of the ServiceAccount's token; read again when it is renewed
    #[arg(long)]
    pub token_file: Option<PathBuf>,
    /// Address of the bus, nats://host:port
    #[arg(long)]
    pub nats_url: String,
    /// Folder of this cluster's keys, made if it is empty; without it, the Secret `writ-system/writ-keys`
    #[arg(long)]
    pub keys_dir: Option<PathBuf>,
    /// Folder of what the manifest brought to enrol with: `token` and `token.jwt`, `request.jwt`
    #[arg(long)]
    pub enrolment_dir: Option<PathBuf>,
    /// The publishers' keys, signed by the offline key
    #[arg(long)]
    pub trust_file: PathBuf,
    /// Who this is among the subscribers of the cluster, for the lease: the pod's name. A restarted
    /// container of the same pod takes the lease back at once
    #[arg(
        long,
        env = "HOSTNAME",
        default_value = "subscriber",
        hide_env_values = true
    )]
    pub identity: String,
    /// Seconds without a renewal after which another subscriber may take over, 3 at least
    #[arg(long, default_value_t = 15)]
    pub lease_s: u64,
    /// Entries of the registry that are shown in this cluster, its own beside them. 10,000 cost an API
    /// server 257 MiB
    #[arg(long, default_value_t = CLUSTER_MIRRORS_MAX)]
    pub cluster_mirrors_max: usize,
    /// Seconds between two pulses
    #[arg(long, default_value_t = 15)]
    pub pulse_period_s: u64,
    /// Metrics and probes
    #[command(flatten)]
    pub admin: AdminArgs,
    /// The log
    #[command(flatten)]
    pub log: LogArgs,
    /// Traces
    #[command(flatten)]
    pub trace: TraceArgs,
}
