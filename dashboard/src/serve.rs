//! The server: its address, its headers, and whose requests it takes.

use std::{io, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode, Uri,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::{Next, from_fn_with_state},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;

use crate::{
    feed,
    incoming::{self, Certificates},
    line::Line,
    live,
    login::{self, Door, Login, session::Session},
    page, palette,
    route::Route,
    source::Source,
    viewer::Viewer,
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
    /// Whoever is on the way reads what goes over it, and tokens with it.
    #[error("{0} is not a loopback address, and only there people may sign in without TLS")]
    Plaintext(SocketAddr),
    /// An issuer's authority.
    #[error("the authority of an issuer can't be used")]
    Issuer(#[from] writ_connect::tls::Error),
    /// The address is taken, or not this machine's.
    #[error("can't listen on {address} for the dashboard")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// How it is served.
#[derive(Clone)]
pub struct Options {
    /// Where; port 0 takes a free one.
    pub address: SocketAddr,
    /// Who may look. None: whoever reaches the address, which has to be one of loopback.
    pub login: Option<Login>,
    /// TLS. None: none, on an address of loopback.
    pub certificates: Option<Certificates>,
}

impl Options {
    /// For whoever reaches an address of loopback.
    pub fn open(address: SocketAddr) -> Options {
        Options {
            address,
            login: None,
            certificates: None,
        }
    }
}

/// A dashboard that has its address and is not served yet.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    frame: Option<login::Frame>,
    certificates: Option<Certificates>,
}

/// Takes an address.
///
/// # Errors
/// [`Error`]: it is none for these options, or is taken; an issuer's authority is of no use.
pub async fn bind(options: Options) -> Result<Bound, Error> {
    let address = options.address;
    if !address.ip().is_loopback() {
        if options.login.is_none() {
            return Err(Error::NotLoopback(address));
        }
        if options.certificates.is_none() {
            return Err(Error::Plaintext(address));
        }
    }
    let frame = options.login.map(login::Frame::new).transpose()?;
    let failed = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Bound {
        listener,
        address,
        frame,
        certificates: options.certificates,
    })
}

impl Bound {
    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves what may be seen over a line, until `stop`. Where people sign in, each has their own credential on it, and
    /// the line's own is nobody's.
    pub async fn serve(self, line: Line, stop: CancellationToken) {
        let looks = match self.frame {
            Some(frame) => Looks::SignedIn(Arc::new(Door::new(frame, line))),
            None => {
                let fleet = feed::follow(Source(line.clone()));
                Looks::Everybody(Viewer::new(line, fleet, None))
            }
        };
        let shared = Shared {
            looks,
            tabs: Arc::new(Semaphore::new(TABS_MAX)),
            stop: stop.clone(),
        };
        incoming::serve(self.listener, self.certificates, router(shared), stop).await;
    }
}

/// Who may look.
#[derive(Clone)]
enum Looks {
    Everybody(Viewer),
    SignedIn(Arc<Door>),
}

/// Who sends a request.
pub(crate) enum Asked {
    /// Somebody who may look, and their session where they have one.
    Viewer(Viewer, Option<Arc<Session>>),
    /// Somebody who has to sign in first.
    Nobody,
    /// Somebody who is signed in, while as many look as there may be.
    TooMany,
}

/// What is said to one too many.
pub(crate) fn too_many() -> Response {
    let said = "too many people look at the fleet now; try again in a minute\n";
    (StatusCode::SERVICE_UNAVAILABLE, said).into_response()
}

/// What all requests share.
#[derive(Clone)]
pub(crate) struct Shared {
    looks: Looks,
    pub(crate) tabs: Arc<Semaphore>,
    pub(crate) stop: CancellationToken,
}

impl Shared {
    /// Where people sign in.
    pub(crate) fn door(&self) -> Option<&Door> {
        match &self.looks {
            Looks::Everybody(_) => None,
            Looks::SignedIn(door) => Some(door),
        }
    }

    /// Who sends a request, and their session where they have one.
    pub(crate) fn viewer(&self, headers: &HeaderMap) -> Asked {
        match &self.looks {
            Looks::Everybody(viewer) => Asked::Viewer(viewer.clone(), None),
            Looks::SignedIn(door) => {
                let Some(session) = door.session(headers) else {
                    return Asked::Nobody;
                };
                match session.viewer() {
                    Some(viewer) => Asked::Viewer(viewer, Some(session)),
                    None => Asked::TooMany,
                }
            }
        }
    }

    /// Whether a name is one of this server's: by others a foreign site could have its own name stand for it.
    fn is_own(&self, host: &str) -> bool {
        match &self.looks {
            Looks::Everybody(_) => is_loopback(host),
            Looks::SignedIn(door) => door.url.is_host(host),
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
            "/assets/map.js",
            get(|| {
                asset(
                    "text/javascript; charset=utf-8",
                    include_str!("../assets/map.js").to_owned(),
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
            "/assets/who.css",
            get(|| {
                asset(
                    "text/css; charset=utf-8",
                    include_str!("../assets/who.css").to_owned(),
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
        .merge(login::routes())
        .fallback(get(show))
        .layer(from_fn_with_state(shared.clone(), guard))
        .with_state(shared)
}

async fn asset(kind: &'static str, text: String) -> Response {
    ([(CONTENT_TYPE, kind)], text).into_response()
}

async fn show(State(shared): State<Shared>, headers: HeaderMap, uri: Uri) -> Response {
    let viewer = match shared.viewer(&headers) {
        Asked::Viewer(viewer, _) => viewer,
        Asked::Nobody => return login::shut(&uri),
        Asked::TooMany => return too_many(),
    };
    viewer.ready().await;
    let page = match Route::of(uri.path(), uri.query().unwrap_or_default()) {
        Some(route) => page::make(&route, &viewer).await,
        None => page::missing("There is no such page."),
    };
    let fleet = viewer.now();
    let text = page::frame(&page, &fleet, &viewer.about().await).into_string();
    // What it saw may have been over while the page was made.
    match shared.viewer(&headers) {
        Asked::Nobody => login::shut(&uri),
        _ => (page.status, Html(text)).into_response(),
    }
}

/// Refuses foreign names, and puts the headers on every answer.
async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok());
    let mut response = match host.is_some_and(|host| shared.is_own(host)) {
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
    async fn who_may_look_says_where_it_may_be_bound() {
        let elsewhere = "0.0.0.0:0".parse().unwrap();
        let mut options = Options::open(elsewhere);
        assert!(matches!(
            bind(options.clone()).await,
            Err(Error::NotLoopback(_))
        ));
        options.login = Some(Login {
            url: "https://writ.example".parse().unwrap(),
            issuers: Vec::new(),
        });
        assert!(matches!(
            bind(options.clone()).await,
            Err(Error::Plaintext(_))
        ));
        options.certificates = Some(Arc::new(|| unreachable!("nobody connects")));
        assert!(bind(options.clone()).await.is_ok());
        // TLS alone asks nobody who they are.
        options.login = None;
        assert!(matches!(bind(options).await, Err(Error::NotLoopback(_))));
        let bound = bind(Options::open("127.0.0.1:0".parse().unwrap())).await;
        assert!(bound.unwrap().address().port() > 0);
    }

    #[test]
    fn the_policy_of_contents_is_the_narrowest() {
        assert_eq!(
            POLICY,
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'"
        );
        let script = concat!(
            include_str!("../assets/app.js"),
            include_str!("../assets/map.js")
        );
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
