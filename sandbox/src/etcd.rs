//! The one etcd under all clusters of a fleet; each cluster has a key prefix of its own.
//! It does not flush to disk: a sandbox's Kubernetes state is made anew, never restored.

use std::path::Path;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::parts::{Part, Parts};
use crate::process::{self, Launcher, Process, STOP_LIMIT, Spec};

/// How long etcd may take to serve; it takes under a second on an idle machine.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// Bytes that etcd keeps at most: its own default limit of 2 GiB, said aloud.
const QUOTA_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// A running etcd.
#[derive(Debug)]
pub(crate) struct Etcd {
    process: Process,
    endpoint: String,
}

impl Etcd {
    /// Starts it on a free port, with its state in `folder`.
    pub(crate) async fn start(
        launcher: &Launcher,
        parts: &Parts,
        folder: &Path,
        log: &Path,
    ) -> Result<Self, process::Error> {
        process::on_free_port(async |port| {
            let peer_port = process::port::free().map_err(process::Error::Port)?;
            let endpoint = format!("http://127.0.0.1:{port}");
            let peer = format!("http://127.0.0.1:{peer_port}");
            let spec = Spec::new("etcd", parts.path(Part::Etcd), log.to_owned())
                .flag("name", "sandbox")
                .flag("data-dir", folder)
                .flag("listen-client-urls", &endpoint)
                .flag("advertise-client-urls", &endpoint)
                .flag("listen-peer-urls", &peer)
                .flag("initial-advertise-peer-urls", &peer)
                .flag("initial-cluster", format!("sandbox={peer}"))
                .flag("quota-backend-bytes", QUOTA_BYTES_MAX.to_string())
                .flag("log-level", "warn")
                .arg("--unsafe-no-fsync");
            let process = launcher.start(spec).await?;
            // etcd opens the client port once its only member has elected itself.
            let open = async || TcpStream::connect(("127.0.0.1", port)).await.ok();
            process
                .ready("it took connections", READY_LIMIT, open)
                .await?;
            Ok(Self { process, endpoint })
        })
        .await
    }

    /// Where the API servers reach it.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Ends it.
    pub(crate) async fn stop(&self) {
        self.process.stop(STOP_LIMIT).await;
    }
}
