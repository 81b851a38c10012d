//! The way to one of several publishers.
//!
//! Of several, one is asked; when its connection breaks, the next one that takes one.

use std::{
    error::Error as _,
    future::Future,
    io, iter,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tonic::transport::{self, Channel, Endpoint};

use crate::{Fleet, tls};

/// Time for a connection to one publisher, TLS included: a person waits for the answer "nobody is
/// there".
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What gRPC speaks.
const PROTOCOL: &[u8] = b"h2";

/// Why there is no way.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address that is none.
    #[error("address `{address}` is not usable: {why}")]
    Address {
        /// As it was given.
        address: String,
        /// What is wrong about it.
        why: &'static str,
    },
    /// TLS.
    #[error(transparent)]
    Tls(#[from] tls::Error),
}

/// Addresses of publishers, and how they are spoken to. Clones share who is asked next.
#[derive(Clone)]
pub struct Way {
    shared: Arc<Shared>,
}

struct Shared {
    publishers: Vec<Publisher>,
    /// Who is asked first at the next connection: not the one whose connection just broke, which may
    /// take connections and hang.
    next: AtomicUsize,
}

struct Publisher {
    /// `HOST:PORT`.
    host: String,
    /// None: plaintext.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Way {
    /// The way to a fleet's publishers. An address that begins with `http://` is spoken to without TLS,
    /// and must be a loopback one.
    ///
    /// # Errors
    /// An address is none, or a file is of no use.
    pub fn of(fleet: &Fleet) -> Result<Way, Error> {
        let mut config = None;
        let mut publishers = Vec::new();
        for address in fleet.address.split(',') {
            let (host, is_plain) = read_address(address)?;
            if is_plain {
                publishers.push(Publisher { host, tls: None });
                continue;
            }
            let config = match &config {
                Some(config) => Arc::clone(config),
                None => Arc::clone(config.insert(client(fleet)?)),
            };
            let name = fleet.server_name.clone();
            let name = name.unwrap_or_else(|| name_of(&host).to_owned());
            let name = ServerName::try_from(name).map_err(|_| Error::Address {
                address: address.to_owned(),
                why: "its host is no name that a certificate can have",
            })?;
            let tls = Some((config, name));
            publishers.push(Publisher { host, tls });
        }
        let next = AtomicUsize::new(0);
        Ok(Way {
            shared: Arc::new(Shared { publishers, next }),
        })
    }

    /// An endpoint for [`Way::connector`]; timeouts are the caller's.
    pub fn endpoint(&self) -> Endpoint {
        // TLS is the connector's, so that the endpoint itself is a plain one.
        Endpoint::from_static("http://publisher").tcp_nodelay(true)
    }

    /// A channel to the first publisher that takes a connection.
    ///
    /// # Errors
    /// None takes one, or does not take the certificate that is shown.
    pub async fn open(&self, endpoint: &Endpoint) -> Result<Channel, transport::Error> {
        open(endpoint, &self.connector(), self.shared.publishers.len()).await
    }

    /// What connects.
    pub fn connector(&self) -> Connector {
        Connector(self.clone())
    }

    /// Where the publishers are, for people.
    pub fn hosts(&self) -> String {
        let hosts = self.shared.publishers.iter();
        let hosts: Vec<&str> = hosts.map(|publisher| publisher.host.as_str()).collect();
        hosts.join(", ")
    }

    async fn connect(&self) -> io::Result<Box<dyn Connection>> {
        let mut failed = io::Error::other("there is no address");
        let publishers = &self.shared.publishers;
        for _ in publishers {
            let number = self.shared.next.fetch_add(1, Ordering::Relaxed) % publishers.len();
            let connection = publishers[number].connect();
            match tokio::time::timeout(CONNECT_TIMEOUT, connection).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failed = error,
                Err(_) => failed = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failed)
    }
}

impl Publisher {
    async fn connect(&self) -> io::Result<Box<dyn Connection>> {
        let stream = TcpStream::connect(&self.host).await?;
        stream.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Box::new(stream),
            Some((config, name)) => {
                let connector = TlsConnector::from(Arc::clone(config));
                Box::new(connector.connect(name.clone(), stream).await?)
            }
        })
    }
}

/// A connection, encrypted or not.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Connects to the first publisher that takes a connection.
#[derive(Clone)]
pub struct Connector(Way);

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Connection>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let way = self.0.clone();
        Box::pin(async move { way.connect().await.map(TokioIo::new) })
    }
}

/// A publisher may go away when it has taken the connection and before HTTP/2 has begun; the connector,
/// which is done by then, is asked for the next one, as often as there are publishers.
async fn open<C>(
    endpoint: &Endpoint,
    connector: &C,
    tries: usize,
) -> Result<Channel, transport::Error>
where
    C: tower::Service<Uri, Error = io::Error> + Clone + Send + 'static,
    C::Response: hyper::rt::Read + hyper::rt::Write + Send + Unpin,
    C::Future: Send,
{
    let (begun, mut tried) = (Instant::now(), 1);
    loop {
        match endpoint.connect_with_connector(connector.clone()).await {
            // A person waits: those that do not answer are not asked again and again.
            Err(error)
                if tried < tries && begun.elapsed() < CONNECT_TIMEOUT && is_broken(&error) =>
            {
                tried += 1;
            }
            done => return done,
        }
    }
}

/// Whether there was a connection, and it broke.
fn is_broken(error: &transport::Error) -> bool {
    let mut causes = iter::successors(error.source(), |&error| error.source());
    causes.any(|cause| cause.is::<hyper::Error>()) && !tls::is_refused(error)
}

fn client(fleet: &Fleet) -> Result<Arc<ClientConfig>, tls::Error> {
    let shows = fleet
        .certificate_file
        .as_deref()
        .zip(fleet.key_file.as_deref());
    tls::client(fleet.ca_file.as_deref(), shows, PROTOCOL)
}

/// `HOST:PORT` of an address, and whether it asks for plaintext.
fn read_address(address: &str) -> Result<(String, bool), Error> {
    let wrong = |why| Error::Address {
        address: address.trim().to_owned(),
        why,
    };
    let (rest, is_plain) = match address.trim().split_once("://") {
        None => (address.trim(), false),
        Some(("https", rest)) => (rest, false),
        Some(("http", rest)) => (rest, true),
        Some(_) => return Err(wrong("expected HOST:PORT or https://HOST:PORT")),
    };
    let rest = rest.trim_end_matches('/');
    let port = rest
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    match port {
        Some((host, port)) if !host.is_empty() && port > 0 && !rest.contains('/') => {}
        _ => return Err(wrong("expected HOST:PORT")),
    }
    let name = name_of(rest);
    let is_loopback = name == "localhost"
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    if is_plain && !is_loopback {
        return Err(wrong("http:// is for loopback addresses alone"));
    }
    Ok((rest.to_owned(), is_plain))
}

/// The host of `HOST:PORT`, without the brackets of an IPv6 address.
fn name_of(host: &str) -> &str {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    /// Connects to what is gone by then, but for the one whose number is `alive`, and says whom it kept.
    async fn open_past_the_gone(alive: usize, tries: usize) -> (bool, usize) {
        let kept = Arc::new(std::sync::Mutex::new(Vec::<DuplexStream>::new()));
        let asked = Arc::new(AtomicUsize::new(0));
        let connector = {
            let (kept, asked) = (Arc::clone(&kept), Arc::clone(&asked));
            tower::service_fn(move |_: Uri| {
                let (ours, theirs) = duplex(1024);
                if asked.fetch_add(1, Ordering::Relaxed) == alive {
                    kept.lock().unwrap().push(theirs);
                }
                async { Ok::<_, io::Error>(TokioIo::new(ours)) }
            })
        };
        let endpoint = Endpoint::from_static("http://publisher");
        let is_open = open(&endpoint, &connector, tries).await.is_ok();
        (is_open, asked.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn who_goes_away_before_http_2_has_begun_is_passed_over() {
        assert_eq!(open_past_the_gone(0, 3).await, (true, 1));
        assert_eq!(open_past_the_gone(2, 3).await, (true, 3));
        assert_eq!(open_past_the_gone(3, 3).await, (false, 3));
    }

    #[test]
    fn addresses_are_taken_with_and_without_their_scheme() {
        let read = |text| read_address(text).unwrap();
        assert_eq!(read("publisher:7070"), ("publisher:7070".to_owned(), false));
        assert_eq!(
            read("https://a.example:1/"),
            ("a.example:1".to_owned(), false)
        );
        assert_eq!(
            read(" [2001:db8::1]:7070"),
            ("[2001:db8::1]:7070".to_owned(), false)
        );
        assert_eq!(name_of("[2001:db8::1]:7070"), "2001:db8::1");
        for wrong in [
            "localhost",
            "https://localhost",
            ":7070",
            "nats://a:4222",
            "a:70000",
            "a:0",
            "a:1/b",
        ] {
            assert!(read_address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn plaintext_is_for_the_loopback_alone() {
        for own in [
            "http://127.0.0.1:7070",
            "http://localhost:7070/",
            "http://[::1]:7070",
        ] {
            assert!(read_address(own).unwrap().1, "{own}");
        }
        for other in [
            "http://10.0.0.1:7070",
            "http://publisher:7070",
            "http://127.0.0.1.example:1",
        ] {
            assert!(read_address(other).is_err(), "{other}");
        }
    }
}
