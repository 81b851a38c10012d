//! The HTTP server of `--admin-addr`.
//!
//! Five paths. All can be read: `/metrics`, `/livez` (the process answers), `/readyz` (it does its work, or what it
//! waits for), and to this machine alone `/debug/state` (what it holds, for support; it names the whole fleet) and
//! `/debug/log` (what is logged), which is the one that can be written.

use std::{
    fmt::Display,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{ConnectInfo, DefaultBodyLimit, RawQuery, Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    args::AdminArgs,
    log::{self, FILTER_SIZE_MAX_BYTES, Levels, Standing},
    metric::Metrics,
    readiness::Readiness,
};

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
        let debug = Router::new()
            .route("/debug/state", get(state))
            .route("/debug/log", get(filter).put(set_filter))
            .layer(DefaultBodyLimit::max(FILTER_SIZE_MAX_BYTES))
            .layer(middleware::from_fn(of_this_machine));
        Router::new()
            .route("/metrics", get(metrics))
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .merge(debug)
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

/// Lets through who is on this machine, or in this pod.
async fn of_this_machine(
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    if !peer.ip().to_canonical().is_loopback() {
        let text = "this is answered to this machine alone\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    next.run(request).await
}

async fn state(State(Admin(shown)): State<Admin>) -> Response {
    let Some((_, dump)) = shown.state.get() else {
        let text = "there is no state yet\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    json(&dump())
}

async fn filter() -> Response {
    match log::levels() {
        Some(levels) => show(&levels.standing()),
        None => unset(),
    }
}

async fn set_filter(RawQuery(query): RawQuery, body: Bytes) -> Response {
    let Some(levels) = log::levels() else {
        return unset();
    };
    match exchange(levels, query.as_deref(), &body) {
        Ok(standing) => show(&standing),
        Err(refused) => {
            let text = format!("nothing was changed: {refused}\n");
            (StatusCode::BAD_REQUEST, text).into_response()
        }
    }
}

/// Exchanges the filter, or says why not.
fn exchange(levels: &Levels, query: Option<&str>, body: &[u8]) -> Result<Standing, String> {
    let time = match query {
        None | Some("") => None,
        Some(query) => Some(read_time(query)?),
    };
    let text = std::str::from_utf8(body).map_err(|_| "the filter is not UTF-8".to_owned())?;
    let refused = |error| format!("the filter is not read: {error}");
    levels.set(text.trim(), time).map_err(refused)
}

/// `for=10m`: seconds, minutes or hours.
fn read_time(query: &str) -> Result<Duration, String> {
    let wrong = || {
        let hours = log::FALL_BACK_TIME_MAX.as_secs() / 3_600;
        format!("{query:?} is not for=TIME, as for=10m, of s, m or h and at most {hours}h")
    };
    let time = query.strip_prefix("for=").ok_or_else(wrong)?;
    let unit_s = match time.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        _ => return Err(wrong()),
    };
    let number: u32 = time[..time.len() - 1].parse().map_err(|_| wrong())?;
    let time = Duration::from_secs(u64::from(number) * unit_s);
    let is_possible = !time.is_zero() && time <= log::FALL_BACK_TIME_MAX;
    is_possible.then_some(time).ok_or_else(wrong)
}

fn show(standing: &Standing) -> Response {
    json(&json!({
        "filter": standing.filter,
        "first": standing.first,
        "falls_back_in_s": standing.falls_back_in_s,
    }))
}

fn unset() -> Response {
    let text = "this process does not log by itself\n";
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

fn json(value: &Value) -> Response {
    let text = format!("{value:#}\n");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_and_a_limit() {
        for (query, seconds) in [("for=90s", 90), ("for=10m", 600), ("for=24h", 86_400)] {
            assert_eq!(read_time(query), Ok(Duration::from_secs(seconds)));
        }
        for query in [
            "for=",
            "for=10",
            "for=0s",
            "for=25h",
            "for=-1m",
            "for=5é",
            "for=99999999999h",
            "until=10m",
            "for=10m&for=1h",
        ] {
            assert!(read_time(query).is_err(), "{query}");
        }
    }
}
