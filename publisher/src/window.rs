//! The dashboard in this process: a client of the API like any other, which passes no network, but the gate.
//!
//! Where nobody is asked who they are it is served on loopback alone, and whoever reaches it reads the whole fleet; it is
//! there only where it was asked for. Promises that nothing but reading goes through here, whatever the dashboard does,
//! and that its calls are in the record of calls.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::{
    io::DuplexStream,
    sync::{mpsc, watch},
};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    body::Body,
    transport::{Channel, Endpoint, Server},
};
use tower::{Layer, Service, service_fn};
use writ_connect::pem;
use writ_core::access::{Identity, Inlet};
use writ_dashboard::{Certificates, Issuer, Line, Login, Options, Origin};
use writ_proto::{
    VISITOR_HEADER,
    v1::{
        ack_service_server::AckServiceServer, history_service_server::HistoryServiceServer,
        identity_service_server::IdentityServiceServer, policy_service_server::PolicyServiceServer,
    },
};

use crate::{
    GateArgs,
    api::Api,
    gate::{self, Check, Inside, tls::Tls},
};

/// Bytes on their way between the two ends.
const PIPE_BYTES: usize = 256 * 1024;

/// Connections that wait to be taken; the dashboard has one.
const CONNECTIONS_WAITING_MAX: usize = 4;

/// Everything that may be asked through here.
const READS: [&str; 9] = [
    "/writ.v1.AckService/GetStatus",
    "/writ.v1.AckService/WatchStatus",
    "/writ.v1.AckService/WatchFleet",
    "/writ.v1.AckService/WatchHappenings",
    "/writ.v1.PolicyService/List",
    "/writ.v1.HistoryService/ListEdits",
    "/writ.v1.HistoryService/GetEdit",
    "/writ.v1.HistoryService/Render",
    "/writ.v1.IdentityService/WhoAmI",
];

/// Where a publisher serves its dashboard.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub struct DashboardArgs {
    /// Serve the dashboard on this address, port 0 takes a free one. Without --dashboard-url it has to be one of
    /// loopback, and whoever reaches it reads the whole fleet
    #[arg(long, value_name = "ADDRESS", env = "WRIT_DASHBOARD")]
    pub dashboard: Option<SocketAddr>,
    /// File that the dashboard's address is written to
    #[arg(long, value_name = "FILE", requires = "dashboard")]
    pub dashboard_address_file: Option<PathBuf>,
    /// Where people find the dashboard, as https://HOST[:PORT]. They sign in there, at an issuer of
    /// --authentication-file with `dashboard`, or with a token, and see what they may see
    #[arg(
        long,
        value_name = "URL",
        requires = "dashboard",
        env = "WRIT_DASHBOARD_URL"
    )]
    pub dashboard_url: Option<Origin>,
    /// File with the dashboard's certificate and its chain, in PEM; without it, the API's. Read again when it changes
    #[arg(long, value_name = "FILE", requires_all = ["dashboard_url", "dashboard_tls_key_file"])]
    pub dashboard_tls_cert_file: Option<PathBuf>,
    /// File with the key of that certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "dashboard_tls_cert_file")]
    pub dashboard_tls_key_file: Option<PathBuf>,
}

/// Why there is no dashboard.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its address.
    #[error(transparent)]
    Bind(#[from] writ_dashboard::Error),
    /// Its certificate.
    #[error("the dashboard can't be served")]
    Gate(#[from] gate::Error),
    /// Its secret with an issuer.
    #[error("the dashboard's secret with an issuer can't be read")]
    Secret(#[from] pem::Error),
    /// The file of its address.
    #[error("can't write {}", .path.display())]
    WriteFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Serves the dashboard until `stop`, where one is asked for.
///
/// # Errors
/// [`Error`]: it has no address, or what it is set up with is of no use.
pub(crate) async fn serve(
    (args, gate): (&DashboardArgs, &GateArgs),
    (api, check): (&Api, &Check),
    stop: CancellationToken,
) -> Result<(), Error> {
    let Some(address) = args.dashboard else {
        return Ok(());
    };
    let asks = args.dashboard_url.is_some();
    let bound = writ_dashboard::bind(options(address, args, gate, check)?).await?;
    let address = bound.address();
    let nobody = Identity {
        inlet: Inlet::Dashboard,
        user: "local".to_owned(),
        groups: [].into(),
    };
    // Where people sign in, a call without their credential is nobody's, and the gate refuses it.
    let identity = (!asks).then_some(nobody);
    let channel = connect(api.clone(), check.clone(), identity, stop.clone());
    let line = Line::new(channel, watch::channel(None).1).of_visitor(address);
    if let Some(path) = &args.dashboard_address_file {
        writ_telemetry::announce(path, address).map_err(|source| Error::WriteFile {
            path: path.clone(),
            source,
        })?;
    }
    tracing::info!(%address, asks, "the dashboard is served");
    tokio::spawn(bound.serve(line, stop));
    Ok(())
}

fn options(
    address: SocketAddr,
    args: &DashboardArgs,
    gate: &GateArgs,
    check: &Check,
) -> Result<Options, Error> {
    let Some(url) = args.dashboard_url.clone() else {
        return Ok(Options::open(address));
    };
    let mut issuers = Vec::new();
    for issuer in check.issuers() {
        let Some(pages) = &issuer.dashboard else {
            continue;
        };
        let secret = pages.client_secret_file.as_deref().map(pem::read_secret);
        let secret = secret.transpose()?;
        issuers.push(Issuer {
            issuer: issuer.issuer.clone(),
            client_id: pages.client_id.clone(),
            client_secret: secret.map(|secret| String::from_utf8_lossy(&secret).trim().to_owned()),
            scopes: pages.scopes.clone(),
            ca_file: issuer.ca_file.clone(),
        });
    }
    let own = args
        .dashboard_tls_cert_file
        .as_ref()
        .zip(args.dashboard_tls_key_file.as_ref());
    let files = own.or(gate.tls_cert_file.as_ref().zip(gate.tls_key_file.as_ref()));
    let tls = files
        .map(|(certificate, key)| Tls::of_pages(certificate, key))
        .transpose()?;
    let certificates = tls.map(|tls| -> Certificates { Arc::new(move || tls.config()) });
    Ok(Options {
        address,
        login: Some(Login { url, issuers }),
        certificates,
    })
}

/// A channel to the services that are read, within this process, through the gate like any other.
fn connect(api: Api, check: Check, identity: Option<Identity>, stop: CancellationToken) -> Channel {
    let (connections, incoming) = mpsc::channel::<DuplexStream>(CONNECTIONS_WAITING_MAX);
    let server = Server::builder()
        .layer(ReadOnly(identity))
        .layer(check)
        .add_service(AckServiceServer::new(api.clone()))
        .add_service(PolicyServiceServer::new(api.clone()))
        .add_service(IdentityServiceServer::new(api.clone()))
        .add_service(HistoryServiceServer::new(api));
    tokio::spawn(async move {
        let incoming = ReceiverStream::new(incoming).map(Ok::<_, io::Error>);
        let served = server.serve_with_incoming_shutdown(incoming, stop.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!("the dashboard is cut off from the API: {error}");
        }
    });
    // Never resolved: the connector answers for every address.
    let endpoint = Endpoint::from_static("http://in-process");
    endpoint.connect_with_connector_lazy(service_fn(move |_: Uri| {
        let connections = connections.clone();
        async move {
            let (near, far) = tokio::io::duplex(PIPE_BYTES);
            let gone = |_| io::Error::from(io::ErrorKind::ConnectionRefused);
            connections.send(far).await.map_err(gone)?;
            Ok::<_, io::Error>(TokioIo::new(near))
        }
    }))
}

/// Lets nothing through but what only reads, and says to the gate for whom it is: one identity, or whose credential the
/// call has.
#[derive(Debug, Clone)]
struct ReadOnly(Option<Identity>);

impl<S> Layer<S> for ReadOnly {
    type Service = Reading<S>;

    fn layer(&self, inner: S) -> Reading<S> {
        Reading {
            inner,
            identity: self.0.clone(),
        }
    }
}

#[derive(Debug, Clone)]
struct Reading<S> {
    inner: S,
    identity: Option<Identity>,
}

impl<S> Service<Request<Body>> for Reading<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if !READS.contains(&request.uri().path()) {
            let refused = Status::permission_denied("the dashboard only reads");
            return Box::pin(std::future::ready(Ok(refused.into_http())));
        }
        // Set by this very process, on its own pipe.
        let address = request.headers_mut().remove(VISITOR_HEADER);
        let address = address.and_then(|address| address.to_str().ok()?.parse().ok());
        request.extensions_mut().insert(Inside {
            identity: self.identity.clone(),
            address,
        });
        Box::pin(self.inner.call(request))
    }
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn nothing_that_changes_anything_gets_through() {
        let inner = service_fn(|_: Request<Body>| async { Ok(Response::new(Body::empty())) });
        let ask = async |path: &str| {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            let answer = ReadOnly(None).layer(inner).oneshot(request).await.unwrap();
            Status::from_header_map(answer.headers()).map(|status| status.code())
        };
        for path in READS {
            assert_eq!(ask(path).await, None, "{path}");
        }
        for path in [
            "/writ.v1.PolicyService/Apply",
            "/writ.v1.PolicyService/Delete",
            "/",
        ] {
            assert_eq!(
                ask(path).await,
                Some(tonic::Code::PermissionDenied),
                "{path}"
            );
        }
    }
}
