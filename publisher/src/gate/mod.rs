//! The gate of the API: who connects, who calls, how often and for how long.
//!
//! Every request passes it before a service sees it, and carries an [`Identity`] afterwards. Whoever has
//! no valid credential is answered here, whatever is asked for, but for the one call by which machines
//! look whether the publisher serves.
//! Never judges what a caller may do.

mod args;
mod body;
mod certificate;
mod config;
mod credential;
mod incoming;
mod issuer;
mod keys;
mod rate;
mod standing;
pub(crate) mod tls;
mod token;

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{Request, Response};
use tokio::net::TcpListener;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, body::Body};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::{Layer, Service};
use writ_connect::rate::Rates;
use writ_core::access::{Identity, Inlet};
use writ_proto::{VIA_DASHBOARD, VIA_HEADER};
use writ_telemetry::trace::{self, Caller};

pub use args::Args;
use body::TimedBody;
pub use config::Error as ConfigError;
use credential::Credentials;
pub(crate) use credential::SERVICE_TOKEN_PREFIX;
pub(crate) use incoming::Connection;
use incoming::Peer;
use rate::of_callers;
use standing::{Standing, StandingBody};
use tls::Tls;

use crate::{
    audit::{Audit, Recording},
    metrics::Meters,
    track,
    view::Views,
};

/// Time for a whole call: an edit waits up to 20 s for its turn and 10 s more until its outcome is
/// definite. Streams of status go on beyond it once they are open.
const CALL_TIME_MAX: Duration = Duration::from_secs(35);

/// Time for a request to come in whole: the largest has under 1 MiB.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);

/// The one call that needs no credential: it tells whether the publisher serves, and nothing else.
const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// After what time a caller may call again who called too often.
const TOO_OFTEN_DELAY: Duration = Duration::from_millis(250);

/// What is said where no call can be recorded.
const NO_RECORD: &str =
    "the record of calls can't be written now, and no call is answered without; try again";

/// Why the API can't be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// TLS is the default, and there is nothing to do it with.
    #[error(
        "the API has no certificate: give --tls-cert-file and --tls-key-file (without TLS, on a loopback address: --insecure-plaintext)"
    )]
    NoCertificate,
    /// Without TLS, elsewhere.
    #[error("{0} is not a loopback address, and only there the API may be served without TLS")]
    NotLoopback(SocketAddr),
    /// Nobody could ever call.
    #[error(
        "no way in: give --client-ca-file, --authentication-file or --break-glass-file, or nobody can call"
    )]
    NoWayIn,
    /// Certificates and keys.
    #[error(transparent)]
    Tls(#[from] writ_connect::tls::Error),
    /// The authority of client certificates.
    #[error("the authority of client certificates can't be used")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
    /// The file of issuers.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The hash of the break-glass token.
    #[error("{} holds no SHA-256 in hexadecimal digits", .0.display())]
    BreakGlass(PathBuf),
}

/// Connections that passed TLS, and the check of every call on them.
pub(crate) struct Gate {
    tls: Option<Tls>,
    pub(crate) check: Check,
}

impl Gate {
    /// Reads everything that it is started with.
    pub(crate) fn new(
        args: &Args,
        listen: SocketAddr,
        audit: Audit,
        meters: Meters,
    ) -> Result<Gate, Error> {
        let tls = Tls::new(args)?;
        if tls.is_none() && !args.insecure_plaintext {
            return Err(Error::NoCertificate);
        }
        if tls.is_none() && !listen.ip().is_loopback() {
            return Err(Error::NotLoopback(listen));
        }
        let shared = Shared {
            audit,
            meters,
            credentials: Credentials::new(args)?,
            rates: of_callers(args.calls_per_second),
        };
        Ok(Gate {
            tls,
            check: Check(Arc::new(shared)),
        })
    }

    /// The connections of a listener.
    pub(crate) fn accept(
        self,
        listener: TcpListener,
    ) -> ReceiverStream<std::io::Result<Connection>> {
        incoming::accept(listener, self.tls)
    }
}

impl Check {
    /// From now on service tokens are looked up in the log as it is seen.
    pub(crate) fn look_up(&self, views: Views) {
        self.0.credentials.look_up(views);
    }

    /// The issuers whose tokens are taken.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = &config::Issuer> {
        self.0.credentials.issuers()
    }
}

/// A call out of this very process. Put into a request by whoever takes such calls; nothing that comes over a network
/// has it.
#[derive(Debug, Clone)]
pub(crate) struct Inside {
    /// Who calls, where nobody had to show who they are; without it the request's credential says so.
    pub(crate) identity: Option<Identity>,
    /// For whom, where that is known.
    pub(crate) address: Option<SocketAddr>,
}

/// The layer through which every request passes.
#[derive(Clone)]
pub(crate) struct Check(Arc<Shared>);

struct Shared {
    audit: Audit,
    meters: Meters,
    credentials: Credentials,
    rates: Rates<String>,
}

impl<S> Layer<S> for Check {
    type Service = Checked<S>;

    fn layer(&self, inner: S) -> Checked<S> {
        Checked {
            shared: Arc::clone(&self.0),
            inner,
        }
    }
}

/// The services, behind the check.
#[derive(Clone)]
pub(crate) struct Checked<S> {
    shared: Arc<Shared>,
    inner: S,
}

impl<S> Service<Request<Body>> for Checked<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The one that was polled ready is the one that must be called.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let (path, since) = (request.uri().path().to_owned(), Instant::now());
            let caller = Caller::read(request.headers());
            let (answer, code) = match shared.admit(request).await {
                Ok((request, None)) => {
                    return Ok(within(CALL_TIME_MAX, inner.call(request)).await);
                }
                Ok((request, Some((recording, standing)))) => {
                    let notes = recording.notes();
                    let answer = within(CALL_TIME_MAX, inner.call(request));
                    let answer = notes.of(trace::serve(caller, answer)).await;
                    let status = Status::from_header_map(answer.headers());
                    recording.end(status.as_ref());
                    let code = status.map_or(Code::Ok, |status| status.code());
                    let shared = Arc::clone(&shared);
                    let answer = answer.map(|body| StandingBody::wrap(body, shared, standing));
                    (answer, code)
                }
                Err(status) => {
                    let code = status.code();
                    (status.into_http(), code)
                }
            };
            shared.meters.call(&path, code, since.elapsed());
            Ok(answer)
        })
    }
}

impl Shared {
    /// Lets a request in, with its caller's identity and the record that is made of it, or says why
    /// not.
    async fn admit(
        &self,
        mut request: Request<Body>,
    ) -> Result<(Request<Body>, Option<(Recording, Standing)>), Status> {
        if request.uri().path() == HEALTH {
            return Ok((limited(request), None));
        }
        let peer = request.extensions().get::<Peer>();
        let inside = request.extensions().get::<Inside>();
        let found = match inside.and_then(|inside| inside.identity.clone()) {
            Some(identity) => Ok((identity, Standing::default())),
            None => {
                let identify = self.credentials.identify(request.headers(), peer, now_s());
                identify.await
            }
        };
        let call = request.uri().path();
        let address = match inside {
            Some(inside) => inside.address,
            None => peer.map(|peer| peer.address),
        };
        let (identity, standing) = match found {
            Ok(found) => found,
            Err(denied) => {
                let status = denied.status();
                self.audit.denied(call, None, address, &status);
                return Err(status);
            }
        };
        cry(&identity, call, address);
        if !self
            .rates
            .take(identity.to_string().as_str(), Instant::now())
        {
            let status = too_often();
            self.audit.denied(call, Some(&identity), address, &status);
            return Err(status);
        }
        // What can't be recorded does not happen.
        let is_dashboard = |value: &http::HeaderValue| value == VIA_DASHBOARD;
        let via = request
            .headers()
            .get(VIA_HEADER)
            .filter(|via| is_dashboard(via));
        let via = via.map(|_| VIA_DASHBOARD);
        let recording = self.audit.begin(call, &identity, address, via);
        let recording = recording.ok_or_else(|| Status::unavailable(NO_RECORD))?;
        request.extensions_mut().insert::<Identity>(identity);
        Ok((limited(request), Some((recording, standing))))
    }
}

fn now_s() -> i64 {
    i64::try_from(track::wall_ms() / 1000).unwrap_or(i64::MAX)
}

/// The emergency token is used: whoever reads the log is to see it.
fn cry(identity: &Identity, call: &str, peer: Option<SocketAddr>) {
    if identity.inlet == Inlet::BreakGlass {
        tracing::warn!(
            call,
            ?peer,
            "BREAK-GLASS: the administrator's emergency token is used"
        );
    }
}

fn limited(request: Request<Body>) -> Request<Body> {
    request.map(|body| TimedBody::limit(body, REQUEST_TIME_MAX))
}

/// The answer of a call, or that it took too long.
async fn within(
    time: Duration,
    answer: impl Future<Output = Result<Response<Body>, Infallible>>,
) -> Response<Body> {
    match tokio::time::timeout(time, answer).await {
        Ok(Ok(response)) => response,
        Err(_) => Status::deadline_exceeded("the call took too long").into_http(),
    }
}

fn too_often() -> Status {
    let details = ErrorDetails::with_retry_info(Some(TOO_OFTEN_DELAY));
    let message = "too many calls of this caller; slow down";
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(args: &Args, listen: &str) -> Error {
        let (audit, _records, _rest) = Audit::new();
        let (meters, _) = Meters::declare();
        let gate = Gate::new(args, listen.parse().unwrap(), audit, meters);
        gate.err().unwrap()
    }

    #[test]
    fn there_is_no_plaintext_unasked_none_elsewhere_and_none_without_a_credential() {
        let mut args = Args::default();
        assert!(matches!(
            refused(&args, "127.0.0.1:0"),
            Error::NoCertificate
        ));
        args.insecure_plaintext = true;
        for elsewhere in ["0.0.0.0:0", "10.0.0.1:7070", "[::]:0"] {
            assert!(matches!(refused(&args, elsewhere), Error::NotLoopback(_)));
        }
        assert!(matches!(refused(&args, "127.0.0.1:0"), Error::NoWayIn));
    }
}
