//! The dashboard in this process: a client of the API like any other, which passes no network and no gate.
//!
//! It is served on loopback alone, and asks nobody who they are, so whoever reaches it reads the whole fleet; it is there
//! only where it was asked for. Promises that nothing but reading goes through here, whatever the dashboard does. Its
//! calls are not in the record of calls.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::{io::DuplexStream, sync::mpsc};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    body::Body,
    transport::{Channel, Endpoint, Server},
};
use tower::{Layer, Service, service_fn};
use writ_core::access::{Identity, Inlet};
use writ_proto::v1::{
    ack_service_server::AckServiceServer, history_service_server::HistoryServiceServer,
    policy_service_server::PolicyServiceServer,
};

use crate::api::Api;

/// Bytes on their way between the two ends.
const PIPE_BYTES: usize = 256 * 1024;

/// Connections that wait to be taken; the dashboard has one.
const CONNECTIONS_WAITING_MAX: usize = 4;

/// Everything that may be asked through here.
const READS: [&str; 7] = [
    "/writ.v1.AckService/GetStatus",
    "/writ.v1.AckService/WatchStatus",
    "/writ.v1.AckService/WatchFleet",
    "/writ.v1.PolicyService/List",
    "/writ.v1.HistoryService/ListEdits",
    "/writ.v1.HistoryService/GetEdit",
    "/writ.v1.HistoryService/Render",
];

/// Where a publisher serves its dashboard.
#[derive(Debug, Clone, Default, clap::Args)]
#[group(skip)]
pub struct DashboardArgs {
    /// Serve the dashboard on this address of loopback, port 0 takes a free one. Whoever reaches it reads the whole
    /// fleet
    #[arg(long, value_name = "ADDRESS", env = "WRIT_DASHBOARD")]
    pub dashboard: Option<SocketAddr>,
    /// File that the dashboard's address is written to
    #[arg(long, value_name = "FILE", requires = "dashboard")]
    pub dashboard_address_file: Option<PathBuf>,
}

/// Why there is no dashboard.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its address.
    #[error(transparent)]
    Bind(#[from] writ_dashboard::Error),
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
/// [`Error`]: it has no address.
pub(crate) async fn serve(
    args: &DashboardArgs,
    api: &Api,
    stop: CancellationToken,
) -> Result<(), Error> {
    let Some(address) = args.dashboard else {
        return Ok(());
    };
    let bound = writ_dashboard::bind(address).await?;
    let address = bound.address();
    let channel = connect(api.clone(), stop.clone());
    if let Some(path) = &args.dashboard_address_file {
        writ_telemetry::announce(path, address).map_err(|source| Error::WriteFile {
            path: path.clone(),
            source,
        })?;
    }
    tracing::info!(%address, "the dashboard is served");
    tokio::spawn(bound.serve(channel, stop));
    Ok(())
}

/// A channel to the services that are read, within this process.
fn connect(api: Api, stop: CancellationToken) -> Channel {
    let (connections, incoming) = mpsc::channel::<DuplexStream>(CONNECTIONS_WAITING_MAX);
    let server = Server::builder()
        .layer(ReadOnly)
        .add_service(AckServiceServer::new(api.clone()))
        .add_service(PolicyServiceServer::new(api.clone()))
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

/// Lets nothing through but what only reads.
#[derive(Debug, Clone, Copy)]
struct ReadOnly;

impl<S> Layer<S> for ReadOnly {
    type Service = Reading<S>;

    fn layer(&self, inner: S) -> Reading<S> {
        Reading(inner)
    }
}

#[derive(Debug, Clone)]
struct Reading<S>(S);

impl<S> Service<Request<Body>> for Reading<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if !READS.contains(&request.uri().path()) {
            let refused = Status::permission_denied("the dashboard only reads");
            return Box::pin(std::future::ready(Ok(refused.into_http())));
        }
        request.extensions_mut().insert(Identity {
            inlet: Inlet::Loopback,
            user: "dashboard".to_owned(),
            groups: [].into(),
        });
        Box::pin(self.0.call(request))
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
            let answer = ReadOnly.layer(inner).oneshot(request).await.unwrap();
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
