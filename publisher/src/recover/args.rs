//! The arguments of `writ recover`.

use std::path::PathBuf;

use writ_core::{name::Name, revision::Revision};
use writ_telemetry::{LogArgs, log};

/// Rebuild a log that was lost or restored from what the clusters hold. Shows what it would do; with
/// --confirm opens a new epoch.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The bus.
    #[arg(long, env = "WRIT_NATS_URL", value_name = "URL")]
    pub nats_url: String,
    /// Credentials of a publisher's identity on the bus.
    #[arg(long, value_name = "FILE")]
    pub nats_credentials_file: PathBuf,
    /// Name of that publisher.
    #[arg(long, default_value = "publisher-1", value_name = "NAME")]
    pub name: Name,
    /// A publisher's signing key: signs what is said again.
    #[arg(long, value_name = "FILE")]
    pub signing_key_file: PathBuf,
    /// The trust file.
    #[arg(long, value_name = "FILE")]
    pub trust_file: PathBuf,
    /// The record of every epoch ever opened, kept beside the offline key.
    #[arg(long, value_name = "FILE")]
    pub epochs_file: PathBuf,
    /// The offline key, which opens the new epoch. Needed with --confirm only.
    #[arg(long, value_name = "FILE")]
    pub offline_key_file: Option<PathBuf>,
    /// Recover: repeat the number of names that the plan states.
    #[arg(long, value_name = "N", requires = "offline_key_file")]
    pub confirm: Option<usize>,
    /// Ask for everything above this revision instead of the log's own: for a log that was written on
    /// after it was restored.
    #[arg(long, value_name = "REVISION")]
    pub above: Option<Revision>,
    /// How long to listen for who is there: longer than the clusters' pulse period.
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub listen_s: u64,
    /// The log.
    #[command(flatten)]
    pub log: LogArgs,
}

impl Args {
    /// Begins to log what is passed over and what is done.
    pub fn start_log(&self) {
        let who = log::Who {
            component: "recover",
            instance: self.name.to_string(),
            cluster: None,
        };
        log::start(who, &self.log);
    }
}
