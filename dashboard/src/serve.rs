//! The server: its address, its headers, and whose requests it takes.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{
        HeaderName, HeaderValue, StatusCode, Uri,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::{Next, from_fn},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::{
    feed::{self, Fleet},
    live, page, palette,
    route::Route,
    source::Source,
};

/// What a page may do: show what this very server sends, and nothing else.
pub(crate) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'";

/// Tabs that are kept up to date at once.
const TABS_MAX: usize = 128;

const HEADERS: [(HeaderName, &str); 4] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
];

/// Why there is no dashboard.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Whoever can reach it sees what its identity may see.
    #[error("{0} is not a loopback address, and the dashboard asks nobody who they are")]
    NotLoopback(SocketAddr),
    /// The address is taken, or not this machine's.
    #[error("can't listen on {address} for the dashboard")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// A dashboard that has its address and is not served yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

/// Takes an address of loopback; port 0 takes a free one.
///
/// # Errors
/// [`Error`]: it is none, or is taken.
pub async fn bind(address: SocketAddr) -> Result<Bound, Error> {
    if !address.ip().is_loopback() {
        return Err(Error::NotLoopback(address));
    }
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Bound { listener, address })
}

impl Bound {
    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves what the identity of a channel may see, until `stop`.
    pub async fn serve(self, channel: Channel, stop: CancellationToken) {
        let shared = Shared::new(channel, stop.clone());
        let ended = stop.cancelled_owned();
        let served = axum::serve(self.listener, router(shared)).with_graceful_shutdown(ended);
        if let Err(error) = served.await {
            tracing::error!("the dashboard is not served any more: {error}");
        }
    }
}

/// What all requests share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) source: Source,
    pub(crate) fleet: watch::Receiver<Arc<Fleet>>,
    pub(crate) tabs: Arc<Semaphore>,
    pub(crate) stop: CancellationToken,
}

impl Shared {
    fn new(channel: Channel, stop: CancellationToken) -> Shared {
        let source = Source::new(channel);
        let fleet = feed::follow(source.clone());
        let tabs = Arc::new(Semaphore::new(TABS_MAX));
        Shared {
            source,
            fleet,
            tabs,
            stop,
        }
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route(
            "/assets/app.js",
            get(|| {
                asset(
                    "text/javascript; charset=utf-8",
                    include_str!("../assets/app.js").to_owned(),
                )
            }),
        )
        .route(
            "/assets/style.css",
            get(|| {
                asset(
                    "text/css; charset=utf-8",
                    palette::style() + include_str!("../assets/style.css"),
                )
            }),
        )
        .route(
            "/assets/icon.svg",
            get(|| {
                asset(
                    "image/svg+xml",
                    include_str!("../assets/icon.svg").to_owned(),
                )
            }),
        )
        .route("/live/", get(live::tab))
        .route("/live/{*path}", get(live::tab))
        .fallback(get(show))
        .layer(from_fn(guard))
        .with_state(shared)
}

async fn asset(kind: &'static str, text: String) -> Response {
    ([(CONTENT_TYPE, kind)], text).into_response()
}

async fn show(State(shared): State<Shared>, uri: Uri) -> Response {
    let Some(route) = Route::of(uri.path(), uri.query().unwrap_or_default()) else {
        let page = page::missing("There is no such page.");
        let fleet = shared.fleet.borrow().clone();
        let text = page::frame(&page, &fleet).into_string();
        return (StatusCode::NOT_FOUND, Html(text)).into_response();
    };
    let page = page::make(&route, &shared).await;
    let fleet = shared.fleet.borrow().clone();
    let text = page::frame(&page, &fleet).into_string();
    (page.status, Html(text)).into_response()
}

/// Refuses names that are not of loopback, by which another site could have its own name stand for this server, and
/// puts the headers on every answer.
async fn guard(request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok());
    let mut response = match host.is_some_and(is_loopback) {
        true => next.run(request).await,
        false => (
            StatusCode::MISDIRECTED_REQUEST,
            "not a name of this server\n",
        )
            .into_response(),
    };
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// `localhost`, or a loopback address, with or without a port.
fn is_loopback(host: &str) -> bool {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    let is_address = |ip: std::net::IpAddr| ip.is_loopback();
    let bare = host.trim_matches(['[', ']']);
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse().is_ok_and(is_address)
        || bare.parse().is_ok_and(is_address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_loopback_are_names_of_this_server() {
        for own in [
            "localhost",
            "localhost:8080",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]:80",
            "[::1]",
            "writ.localhost:1",
        ] {
            assert!(is_loopback(own), "{own}");
        }
        for other in [
            "evil.example",
            "evil.example:80",
            "10.0.0.1",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
        ] {
            assert!(!is_loopback(other), "{other}");
        }
    }

    #[tokio::test]
    async fn it_is_bound_to_loopback_alone() {
        let elsewhere = "0.0.0.0:0".parse().unwrap();
        assert!(matches!(bind(elsewhere).await, Err(Error::NotLoopback(_))));
        let bound = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        assert!(bound.address().port() > 0);
    }

    #[test]
    fn the_policy_of_contents_is_the_narrowest() {
        assert_eq!(
            POLICY,
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'"
        );
        let script = include_str!("../assets/app.js");
        for word in [
            "eval(",
            "Function(",
            "http://",
            "https://",
            "document.write",
            ".style",
        ] {
            assert!(!script.contains(word), "{word}");
        }
    }
}
