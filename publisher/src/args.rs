//! What the publisher is started with.

use std::{net::SocketAddr, path::PathBuf};

use writ_core::{
    access::{AccessSubject, Administrators},
    name::Name,
};

use writ_telemetry::{AdminArgs, LogArgs, TraceArgs};

use crate::{DashboardArgs, GateArgs};

/// Command-line arguments of a publisher.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Where the API listens; port 0 takes a free one
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:0",
        env = "WRIT_LISTEN"
    )]
    pub listen: SocketAddr,
    /// File that the address is written to once the API answers
    #[arg(long, value_name = "FILE")]
    pub address_file: Option<PathBuf>,
    /// The bus, as nats://HOST:PORT; several servers of one NATS cluster with commas between them
    #[arg(long, value_name = "URL", env = "WRIT_NATS_URL")]
    pub nats_url: String,
    /// Credentials of the publisher's identity on the bus; read again at each connection
    #[arg(long, value_name = "FILE")]
    pub nats_credentials_file: PathBuf,
    /// Folder with the registrar's keys: this publisher tells the bus who is cut off. One publisher of a
    /// fleet has it
    #[arg(long, value_name = "DIR")]
    pub registrar_key_dir: Option<PathBuf>,
    /// File with the key that signs what is published: 32 bytes in base64
    #[arg(long, value_name = "FILE")]
    pub signing_key_file: PathBuf,
    /// File with the trust bundle: the keys of all publishers, under the offline key
    #[arg(long, value_name = "FILE")]
    pub trust_file: PathBuf,
    /// A user who administers the fleet, whatever the access rules say, as INLET:USER; for the start, when
    /// there are no rules yet
    #[arg(long = "administrator", value_name = "INLET:USER", value_parser = parse_user)]
    pub administrators: Vec<AccessSubject>,
    /// A group that does, as INLET:GROUP, such as mtls:writ-administrators
    #[arg(long = "administrator-group", value_name = "INLET:GROUP", value_parser = parse_group)]
    pub administrator_groups: Vec<AccessSubject>,
    /// Name of this publisher; shown in every status, and bound to its identity on the bus
    #[arg(long, value_name = "NAME", default_value = "publisher-1", value_parser = parse_name)]
    pub name: Name,
    /// Seconds between two beats
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub beat_period_s: u64,
    /// Seconds after which a cluster that heard no beat calls itself stale
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(2..=3600))]
    pub beat_expiry_s: u64,
    /// Seconds between two pulses of a cluster that has not stated its own period yet
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub pulse_period_s: u64,
    /// Who may call, and how
    #[command(flatten)]
    pub gate: GateArgs,
    /// Folder with the registrar's keys: this publisher lets clusters in and renews their credentials, as one
    /// with --registrar-key-dir does; for the others of a fleet
    #[arg(long, value_name = "DIR")]
    pub enrolment_key_dir: Option<PathBuf>,
    /// Where clusters find the bus, for the manifests of those that are added; as this publisher if not given
    #[arg(long, value_name = "URL", env = "WRIT_CLUSTER_NATS_URL")]
    pub cluster_nats_url: Option<String>,
    /// Seconds that a token is taken for
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub token_life_s: u64,
    /// Seconds that a cluster's credentials last; they are renewed after a third of that
    #[arg(long, value_name = "SECONDS", default_value_t = 604_800, value_parser = clap::value_parser!(u64).range(2..=604_800))]
    pub credentials_life_s: u64,
    /// Metrics and probes
    #[command(flatten)]
    pub admin: AdminArgs,
    /// The log
    #[command(flatten)]
    pub log: LogArgs,
    /// Traces
    #[command(flatten)]
    pub trace: TraceArgs,
    /// The dashboard
    #[command(flatten)]
    pub dashboard: DashboardArgs,
}

fn parse_user(text: &str) -> Result<AccessSubject, &'static str> {
    AccessSubject::user(text).ok_or(SUBJECT)
}

fn parse_group(text: &str) -> Result<AccessSubject, &'static str> {
    AccessSubject::group(text).ok_or(SUBJECT)
}

/// What is wrong with a subject.
const SUBJECT: &str = "must be INLET:NAME with the inlet oidc, mtls or token";

impl Args {
    /// Whom this publisher takes for administrators.
    pub(crate) fn administrators(&self) -> Administrators {
        let all = self.administrators.iter().chain(&self.administrator_groups);
        Administrators(all.cloned().collect())
    }
}

fn parse_name(text: &str) -> Result<Name, writ_core::name::Error> {
    Name::parse(text)
}
