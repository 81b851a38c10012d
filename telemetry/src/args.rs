//! What the server is started with.

use std::{net::SocketAddr, path::PathBuf};

/// Where a process shows its metrics and its state.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct AdminArgs {
    /// Where metrics and probes are served: /metrics, /livez, /readyz; port 0 takes a free one. The dump of the
    /// state, /debug/state, is answered to this machine alone, wherever this is
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:0",
        env = "WRIT_ADMIN_ADDR"
    )]
    pub admin_addr: SocketAddr,
    /// File that the address of metrics and probes is written to
    #[arg(long, value_name = "FILE")]
    pub admin_address_file: Option<PathBuf>,
}
