//! Child processes. Owns how they start (through a wrapper that ties them to this process),
//! where they log, how readiness is waited for and how they end. Promises that a child never
//! outlives this process, even when it is killed, and that a failure names the log and its
//! last lines. Never signals a process that it did not start.

mod child;
mod launcher;
pub(crate) mod log;
pub(crate) mod port;
pub mod wrapper;

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

pub use child::Process;
pub use launcher::{Launcher, Spec};
pub use port::free as free_port;
use thiserror::Error;

/// How long a child may take after SIGTERM before it gets SIGKILL. etcd and kube-apiserver
/// end within two seconds on an idle machine; state in a sandbox is not precious.
pub const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Readiness is asked for after each tenth of the time that was waited already: whoever is
/// ready soon is seen at once, and six slow API servers are not slowed by being asked.
const POLL_SHARE: u32 = 10;
/// The shortest time between two questions.
const POLL_PERIOD_MIN: Duration = Duration::from_millis(10);
/// The longest.
const POLL_PERIOD_MAX: Duration = Duration::from_millis(250);

/// Starts on other ports that are tried when a port was taken in between.
const PORT_TRIES_MAX: usize = 5;

/// What the servers write when their port is taken (Go's text of EADDRINUSE).
const PORT_TAKEN_TEXT: &str = "address already in use";

/// Why a child did not start or serve.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The system refused to start it.
    #[error("could not start {name}")]
    Spawn {
        /// The child's name in the fleet.
        name: String,
        /// What the system answered.
        source: std::io::Error,
    },
    /// It ended before it was ready.
    #[error("{name} ended ({status}) before {what}; its log {log} ends with:\n{tail}", log = log.display())]
    Ended {
        /// The child's name in the fleet.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// What was waited for.
        what: String,
        /// Its log file.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// It runs, but did not get ready in time.
    #[error("{name}: {what} did not happen within {limit_s} s; its log {log} ends with:\n{tail}", log = log.display())]
    Late {
        /// The child's name in the fleet.
        name: String,
        /// What was waited for.
        what: String,
        /// The limit that passed, in seconds.
        limit_s: u64,
        /// Its log file.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// No free port could be had from the system.
    #[error("no free port on 127.0.0.1")]
    Port(#[source] std::io::Error),
}

impl Error {
    /// Whether another port would help.
    fn is_port_taken(&self) -> bool {
        matches!(self, Error::Ended { tail, .. } if tail.contains(PORT_TAKEN_TEXT))
    }
}

/// Starts a server on a free port, and again on others while the port was taken in between.
///
/// `start` gets the port and returns only once the server is ready.
pub(crate) async fn on_free_port<T>(
    start: impl AsyncFn(u16) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut tries = 1;
    loop {
        match start(port::free().map_err(Error::Port)?).await {
            Err(error) if tries < PORT_TRIES_MAX && error.is_port_taken() => tries += 1,
            outcome => return outcome,
        }
    }
}
