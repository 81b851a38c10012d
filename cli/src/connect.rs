//! The way to the publishers.
//!
//! Owns addresses, deadlines and how often an edit is tried again. Of several publishers one is asked;
//! when its connection breaks, the next one that takes one. Promises that a repeated edit carries the
//! same request id, so that it lands once, whatever became of the first try and whoever is asked.
//! Never decides what to send.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};
use writ_proto::v1::access_service_client::AccessServiceClient;
use writ_proto::v1::ack_service_client::AckServiceClient;
use writ_proto::v1::cluster_service_client::ClusterServiceClient;
use writ_proto::v1::history_service_client::HistoryServiceClient;
use writ_proto::v1::policy_service_client::PolicyServiceClient;
#[cfg(feature = "sandbox")]
use writ_proto::v1::trust_service_client::TrustServiceClient;

use crate::error::{Answer, Error};

/// Time for a connection to one publisher: a person waits for the answer "nobody is there".
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for one call. A log that lost its leader takes no edits for 5–7 s, and the publisher waits
/// for it: up to 20 s for the turn of an edit, and 10 s more until the outcome of its batch is definite.
const CALL_TIMEOUT: Duration = Duration::from_secs(32);
/// How long an edit is tried again while the log cannot be reached.
const RETRY_WINDOW: Duration = Duration::from_secs(20);
/// How often a publisher that says nothing is probed, and how long it may take to answer: one that hangs
/// is given up long before its calls end.
const PROBE_PERIOD: Duration = Duration::from_secs(5);
/// The first pause between two tries; it doubles.
const RETRY_DELAY_MIN: Duration = Duration::from_millis(100);
/// The longest pause between two tries.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(2);
/// The largest answer that is read: a status of 10,000 clusters has about 3 MB.
const ANSWER_SIZE_MAX_BYTES: usize = 64 * 1024 * 1024;

/// The services of one publisher, over one connection.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    pub(crate) policies: PolicyServiceClient<Channel>,
    pub(crate) clusters: ClusterServiceClient<Channel>,
    pub(crate) acks: AckServiceClient<Channel>,
    pub(crate) history: HistoryServiceClient<Channel>,
    #[cfg(feature = "sandbox")]
    pub(crate) trust: TrustServiceClient<Channel>,
    pub(crate) access: AccessServiceClient<Channel>,
}

/// Connects to the first publisher that takes a connection. `addresses`: one, or several with commas
/// between them.
pub(crate) async fn connect(addresses: Option<&str>) -> Result<Fleet, Error> {
    let addresses = addresses
        .filter(|addresses| !addresses.trim().is_empty())
        .ok_or(Error::AddressMissing)?;
    let urls: Vec<String> = addresses.split(',').map(url).collect::<Result<_, _>>()?;
    let way = Arc::new(Way {
        hosts: urls
            .iter()
            .map(|url| url.trim_start_matches(SCHEME).to_owned())
            .collect(),
        next: AtomicUsize::new(0),
    });
    let connector = tower::service_fn(move |_| {
        let way = way.clone();
        async move { way.connect().await.map(TokioIo::new) }
    });
    let channel = Endpoint::from_shared(urls[0].clone())
        .map_err(|_| invalid(addresses, "expected HOST:PORT"))?
        .timeout(CALL_TIMEOUT)
        .http2_keep_alive_interval(PROBE_PERIOD)
        .keep_alive_timeout(PROBE_PERIOD)
        .connect_with_connector(connector)
        .await
        .map_err(|source| Error::Connect {
            address: urls.join(", "),
            source,
        })?;
    Ok(Fleet {
        policies: PolicyServiceClient::new(channel.clone())
            .max_decoding_message_size(ANSWER_SIZE_MAX_BYTES),
        clusters: ClusterServiceClient::new(channel.clone())
            .max_decoding_message_size(ANSWER_SIZE_MAX_BYTES),
        #[cfg(feature = "sandbox")]
        trust: TrustServiceClient::new(channel.clone()),
        history: HistoryServiceClient::new(channel.clone())
            .max_decoding_message_size(ANSWER_SIZE_MAX_BYTES),
        access: AccessServiceClient::new(channel.clone())
            .max_decoding_message_size(ANSWER_SIZE_MAX_BYTES),
        acks: AckServiceClient::new(channel).max_decoding_message_size(ANSWER_SIZE_MAX_BYTES),
    })
}

/// What every address is understood to begin with.
const SCHEME: &str = "http://";

/// The publishers, one of which is connected to.
struct Way {
    /// `HOST:PORT` of each.
    hosts: Vec<String>,
    /// Who is asked first at the next connection: not the one whose connection just broke, which may
    /// take connections and hang.
    next: AtomicUsize,
}

impl Way {
    async fn connect(&self) -> io::Result<TcpStream> {
        let mut failed = io::Error::other("there is no address");
        for _ in &self.hosts {
            let number = self.next.fetch_add(1, Ordering::Relaxed) % self.hosts.len();
            let connection = TcpStream::connect(&self.hosts[number]);
            match tokio::time::timeout(CONNECT_TIMEOUT, connection).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => failed = error,
                Err(_) => failed = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failed)
    }
}

fn url(address: &str) -> Result<String, Error> {
    let address = address.trim();
    let rest = match address.split_once("://") {
        None => address,
        Some(("http", rest)) => rest,
        Some(("https", _)) => {
            return Err(invalid(
                address,
                "TLS is not supported yet; publishers listen on the loopback",
            ));
        }
        Some(_) => return Err(invalid(address, "expected HOST:PORT or http://HOST:PORT")),
    };
    let rest = rest.trim_end_matches('/');
    let port = rest
        .rsplit_once(':')
        .and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    match port {
        Some((host, port)) if !host.is_empty() && port > 0 && !rest.contains('/') => {
            Ok(format!("{SCHEME}{rest}"))
        }
        _ => Err(invalid(address, "expected HOST:PORT")),
    }
}

fn invalid(address: &str, why: &'static str) -> Error {
    Error::AddressInvalid {
        address: address.to_owned(),
        why,
    }
}

/// The metadata key under which an edit names its author. Nobody checks it while the API has no users.
const USER_METADATA: &str = "writ-user";

/// An edit, in the name of the person at this terminal.
pub(crate) fn signed_off<T>(message: T) -> Request<T> {
    let user = ["USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok());
    sign(message, user.as_deref().unwrap_or_default())
}

fn sign<T>(message: T, user: &str) -> Request<T> {
    let mut request = Request::new(message);
    // A name that metadata cannot carry is left out; the publisher then says "unknown".
    if let Ok(value) = MetadataValue::try_from(user)
        && !user.is_empty()
    {
        request.metadata_mut().insert(USER_METADATA, value);
    }
    request
}

/// Sends an edit until the answer is definite or the window is over. `call` must send the same
/// request id each time. An answer that says that nothing was stored says nothing of an earlier sending
/// whose outcome nobody knows.
pub(crate) async fn insist<T, F>(mut call: impl FnMut() -> F) -> Result<T, Answer>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let until = tokio::time::Instant::now() + RETRY_WINDOW;
    let (mut delay, mut in_doubt) = (RETRY_DELAY_MIN, false);
    loop {
        let mut answer = match call().await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) => Answer::from_status(&status),
        };
        in_doubt |= answer.is_uncertain;
        answer.is_uncertain |= in_doubt && answer.is_transient();
        if !answer.is_transient() || tokio::time::Instant::now() + delay > until {
            return Err(answer);
        }
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(RETRY_DELAY_MAX);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn addresses_are_taken_with_and_without_their_scheme() {
        assert_eq!(url("127.0.0.1:7070").unwrap(), "http://127.0.0.1:7070");
        assert_eq!(
            url("http://localhost:7070/").unwrap(),
            "http://localhost:7070"
        );
        assert_eq!(url("[::1]:7070").unwrap(), "http://[::1]:7070");
        for wrong in [
            "localhost",
            "http://localhost",
            ":7070",
            "https://a:1",
            "nats://a:4222",
            "a:70000",
            "a:0",
            "a:1/b",
        ] {
            assert!(
                matches!(url(wrong), Err(Error::AddressInvalid { .. })),
                "{wrong}"
            );
        }
    }

    #[test]
    fn edits_name_their_author_where_metadata_can_carry_the_name() {
        let named = |user| sign((), user).metadata().get(USER_METADATA).cloned();
        assert_eq!(named("ann").unwrap(), "ann");
        assert_eq!(named(""), None);
        assert_eq!(named("a\nb"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unavailable_log_is_asked_again_and_a_refusal_is_not() {
        let calls = Cell::new(0);
        let outcome = insist(|| {
            calls.set(calls.get() + 1);
            let answer = if calls.get() < 4 {
                Err(Status::unavailable("no leader"))
            } else {
                Ok(Response::new(7))
            };
            async { answer }
        })
        .await;
        assert_eq!((outcome, calls.get()), (Ok(7), 4));

        calls.set(0);
        let outcome: Result<(), _> = insist(|| {
            calls.set(calls.get() + 1);
            async { Err(Status::aborted("payments is at 42")) }
        })
        .await;
        assert_eq!((outcome.is_err(), calls.get()), (true, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_refused_after_an_open_outcome_is_not_told_that_nothing_was_stored() {
        let answer = |first: Status, later: Status| {
            let first = Cell::new(Some(first));
            insist(move || {
                let status = first.take().unwrap_or(later.clone());
                async { Err::<Response<()>, _>(status) }
            })
        };
        let unavailable = || Status::unavailable("no leader");
        let open = answer(Status::unknown("perhaps"), unavailable()).await;
        assert!(open.unwrap_err().is_uncertain);
        let shut = answer(unavailable(), unavailable()).await;
        assert!(!shut.unwrap_err().is_uncertain);
        let definite = answer(Status::unknown("perhaps"), Status::aborted("it is at 7")).await;
        assert!(!definite.unwrap_err().is_uncertain);
    }

    #[tokio::test(start_paused = true)]
    async fn trying_again_ends() {
        let started = tokio::time::Instant::now();
        let outcome: Result<(), _> =
            insist(|| async { Err(Status::unavailable("no leader")) }).await;
        assert!(outcome.is_err());
        assert!(started.elapsed() <= RETRY_WINDOW);
    }
}
