//! Connections to the dashboard, over TLS where it has a certificate, as many as there may be.
//!
//! Promises that who connects and says nothing is gone within seconds and holds up nobody else.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, response::Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use writ_connect::channel::Connection;

/// Gives what TLS is done with at the next connection.
pub type Certificates = Arc<dyn Fn() -> Arc<rustls::ServerConfig> + Send + Sync>;

/// Connections at once: a tab has one that stays, and some that pass.
const CONNECTIONS_MAX: usize = 512;

/// Time for a handshake, of a browser a continent away as well.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(5);

/// Time for the head of a request, and between two requests of a connection.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);

/// Time for answers that are on their way when the end is asked for.
const END_TIME_MAX: Duration = Duration::from_secs(2);

/// After what pause the next connection is looked for where the operating system gives none.
const ACCEPT_DELAY: Duration = Duration::from_millis(50);

/// From where a request came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visitor(pub(crate) SocketAddr);

/// Serves until `stop`.
pub(crate) async fn serve(
    listener: TcpListener,
    certificates: Option<Certificates>,
    router: Router,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("no connection to the dashboard could be taken: {error}");
                sleep(ACCEPT_DELAY).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!(%address, "a connection to the dashboard is refused: there are {CONNECTIONS_MAX}");
            continue;
        };
        let (certificates, router, stop) = (certificates.clone(), router.clone(), stop.clone());
        tokio::spawn(async move {
            let _place = place;
            match timeout(HANDSHAKE_TIME_MAX, secure(stream, certificates)).await {
                Ok(Ok(stream)) => answer(stream, address, router, stop).await,
                Ok(Err(error)) => tracing::debug!(%address, "no TLS with the dashboard: {error}"),
                Err(_) => tracing::debug!(%address, "no TLS with the dashboard in time"),
            }
        });
    }
}

async fn secure(
    stream: TcpStream,
    certificates: Option<Certificates>,
) -> io::Result<Box<dyn Connection>> {
    stream.set_nodelay(true)?;
    Ok(match certificates {
        None => Box::new(stream),
        Some(certificates) => Box::new(TlsAcceptor::from(certificates()).accept(stream).await?),
    })
}

async fn answer(
    stream: Box<dyn Connection>,
    address: SocketAddr,
    router: Router,
    stop: CancellationToken,
) {
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(Visitor(address));
        let answer = router.clone().oneshot(request.map(Body::new));
        async move { Ok::<Response, Infallible>(answer.await.unwrap_or_else(|never| match never {})) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            timeout(END_TIME_MAX, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%address, "a connection to the dashboard broke: {error}");
    }
}
