//! The HTTP server of `--admin-addr`.
//!
//! Four paths, all of them read: `/metrics`, `/livez` (the process answers), `/readyz` (it does its work, or what it
//! waits for), `/debug/state` (what it holds, for support; to this machine alone, because it names the whole fleet).

use std::{
    fmt::Display,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use axum::{
    Router,
    extract::{ConnectInfo, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{args::AdminArgs, metric::Metrics, readiness::Readiness};

/// What Prometheus takes.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Sets the gauges that are read off the state, before each reading.
pub type Refresh = Box<dyn Fn() + Send + Sync>;

/// The state of a process, without secrets.
pub type Dump = Box<dyn Fn() -> Value + Send + Sync>;

/// Why nothing is shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, or not this machine's.
    #[error("can't listen on {address} for metrics")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The file of the address.
    #[error("can't write {}", .path.display())]
    WriteFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What is shown. Clones share it.
#[derive(Clone)]
pub struct Admin(Arc<Shown>);

struct Shown {
    metrics: Metrics,
    readiness: Readiness,
    /// Both are there once the process has a state.
    state: OnceLock<(Refresh, Dump)>,
}

impl Admin {
    /// Metrics and readiness, without a state yet.
    pub fn new(metrics: Metrics, readiness: Readiness) -> Admin {
        Admin(Arc::new(Shown {
            metrics,
            readiness,
            state: OnceLock::new(),
        }))
    }

    /// From now on there is a state to read. Counts once.
    pub fn show(&self, refresh: Refresh, dump: Dump) {
        let _ = self.0.state.set((refresh, dump));
    }

    /// Listens, says where, and serves until `stop`. Answers where.
    ///
    /// # Errors
    /// [`Error`]: nothing is served.
    pub async fn start(
        self,
        args: &AdminArgs,
        stop: CancellationToken,
    ) -> Result<SocketAddr, Error> {
        let address = args.admin_addr;
        let failed = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        if let Some(path) = &args.admin_address_file {
            announce(path, bound).map_err(|source| Error::WriteFile {
                path: path.clone(),
                source,
            })?;
        }
        tracing::info!(address = %bound, "metrics and probes are served");
        let service = self
            .router()
            .into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move {
            let served =
                axum::serve(listener, service).with_graceful_shutdown(stop.cancelled_owned());
            if let Err(error) = served.await {
                tracing::error!("metrics and probes are not served any more: {error}");
            }
        });
        Ok(bound)
    }

    fn router(self) -> Router {
        Router::new()
            .route("/metrics", get(metrics))
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/debug/state", get(state))
            .with_state(self)
    }
}

async fn metrics(State(Admin(shown)): State<Admin>) -> Response {
    if let Some((refresh, _)) = shown.state.get() {
        refresh();
    }
    ([(CONTENT_TYPE, OPENMETRICS)], shown.metrics.text()).into_response()
}

async fn ready(State(Admin(shown)): State<Admin>) -> Response {
    let missing = shown.readiness.missing();
    if missing.is_empty() {
        return "ok\n".into_response();
    }
    let text = format!("not ready: {}\n", missing.join(", "));
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

async fn state(
    State(Admin(shown)): State<Admin>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
) -> Response {
    if !peer.ip().to_canonical().is_loopback() {
        let text = "the state is shown to this machine alone\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    let Some((_, dump)) = shown.state.get() else {
        let text = "there is no state yet\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let text = format!("{:#}\n", dump());
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

/// Writes where something is served to a file. Whoever waits for the file finds it whole.
///
/// # Errors
/// The file can't be written.
pub fn announce(path: &Path, address: impl Display) -> io::Result<()> {
    let part = path.with_extension("part");
    std::fs::write(&part, format!("{address}\n"))?;
    std::fs::rename(&part, path)
}
