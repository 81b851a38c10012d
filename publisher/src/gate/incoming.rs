//! Connections to the API, each behind TLS, as many as there may be.
//!
//! Promises that who connects and says nothing, or is slow at it, is gone within seconds and holds up
//! nobody else.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Sleep, sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::{certificate::Certificate, tls::Tls};

/// Connections at once, for the memory of each: some hundred KiB at most.
const CONNECTIONS_MAX: usize = 1_024;

/// Handshakes at once: each costs half a millisecond of one core.
const HANDSHAKES_MAX: usize = 64;

/// Time for a handshake, of a client a continent away as well.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(5);

/// Time for the first words of HTTP/2 after it.
const PREFACE_TIME_MAX: Duration = Duration::from_secs(5);

/// Length of those words (RFC 9113, section 3.4).
const PREFACE_BYTES: usize = 24;

/// After what pause the next connection is looked for where the operating system gives none.
const ACCEPT_DELAY: Duration = Duration::from_millis(50);

/// Who is at the other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) certificate: Option<Arc<Certificate>>,
}

/// A connection that may carry calls.
pub(crate) struct Connection {
    stream: Stream,
    peer: Peer,
    _place: OwnedSemaphorePermit,
    preface: Option<(Pin<Box<Sleep>>, usize)>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Takes connections until the stream is dropped.
pub(super) fn accept(
    listener: TcpListener,
    tls: Option<Tls>,
) -> ReceiverStream<io::Result<Connection>> {
    let (sender, connections) = mpsc::channel(1);
    tokio::spawn(accept_all(listener, tls.map(Arc::new), sender));
    ReceiverStream::new(connections)
}

async fn accept_all(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    sender: mpsc::Sender<io::Result<Connection>>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = sender.closed() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("no connection could be taken: {error}");
                sleep(ACCEPT_DELAY).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!(%address, "a connection is refused: there are {CONNECTIONS_MAX}");
            continue;
        };
        let (tls, handshakes, sender) = (tls.clone(), Arc::clone(&handshakes), sender.clone());
        tokio::spawn(async move {
            let made = timeout(
                HANDSHAKE_TIME_MAX,
                make(stream, address, place, tls, &handshakes),
            );
            match made.await {
                // It fails where nobody serves any more.
                Ok(Ok(connection)) => drop(sender.send(Ok(connection)).await),
                Ok(Err(error)) => tracing::debug!(%address, "no TLS: {error}"),
                Err(_) => tracing::debug!(%address, "no TLS in time"),
            }
        });
    }
}

async fn make(
    stream: TcpStream,
    address: SocketAddr,
    place: OwnedSemaphorePermit,
    tls: Option<Arc<Tls>>,
    handshakes: &Semaphore,
) -> io::Result<Connection> {
    // An answer is several small writes: without this each waits until the caller's kernel has
    // acknowledged the last one, which takes it 40 ms.
    stream.set_nodelay(true)?;
    let (stream, certificate) = match tls {
        None => (Stream::Plain(stream), None),
        Some(tls) => {
            let _turn = handshakes.acquire().await.map_err(io::Error::other)?;
            let stream = TlsAcceptor::from(tls.config()).accept(stream).await?;
            let shown = stream.get_ref().1.peer_certificates();
            let certificate = shown.and_then(|shown| Certificate::read(shown.first()?));
            (Stream::Tls(Box::new(stream)), certificate.map(Arc::new))
        }
    };
    Ok(Connection {
        stream,
        peer: Peer {
            address,
            certificate,
        },
        _place: place,
        preface: Some((Box::pin(sleep(PREFACE_TIME_MAX)), PREFACE_BYTES)),
    })
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
        let Some((patience, missing)) = &mut self.preface else {
            return read;
        };
        *missing = missing.saturating_sub(buffer.filled().len() - before);
        if *missing == 0 {
            self.preface = None;
        } else if read.is_pending() {
            ready!(patience.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
