//! The way to the publishers.
//!
//! Owns deadlines and how often an edit is tried again. Promises that a repeated edit carries the
//! same request id, so that it lands once, whatever became of the first try and whoever is asked.
//! Never decides what to send.

use std::future::Future;
use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};
use writ_connect::{Way, channel};
use writ_proto::v1::access_service_client::AccessServiceClient;
use writ_proto::v1::ack_service_client::AckServiceClient;
use writ_proto::v1::audit_service_client::AuditServiceClient;
use writ_proto::v1::cluster_service_client::ClusterServiceClient;
use writ_proto::v1::history_service_client::HistoryServiceClient;
use writ_proto::v1::identity_service_client::IdentityServiceClient;
use writ_proto::v1::policy_service_client::PolicyServiceClient;
use writ_proto::v1::token_service_client::TokenServiceClient;
#[cfg(feature = "sandbox")]
use writ_proto::v1::trust_service_client::TrustServiceClient;

use crate::args::Global;
use crate::error::{Answer, Error};
use crate::fleets::{self, Chosen};
use crate::login;

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
    pub(crate) policies: PolicyServiceClient<Line>,
    pub(crate) clusters: ClusterServiceClient<Line>,
    pub(crate) acks: AckServiceClient<Line>,
    pub(crate) history: HistoryServiceClient<Line>,
    pub(crate) identity: IdentityServiceClient<Line>,
    pub(crate) tokens: TokenServiceClient<Line>,
    pub(crate) audit: AuditServiceClient<Line>,
    #[cfg(feature = "sandbox")]
    pub(crate) trust: TrustServiceClient<Line>,
    pub(crate) access: AccessServiceClient<Line>,
}

/// A channel that shows who one is with every call.
pub(crate) type Line = InterceptedService<Channel, Bearer>;

/// Connects to the first publisher of the fleet that takes a connection.
pub(crate) async fn connect(global: &Global) -> Result<Fleet, Error> {
    let chosen = fleets::choose(global)?;
    let token = login::token(&chosen, global).await?;
    let way = way(&chosen)?;
    let channel = way
        .open(&endpoint(&way))
        .await
        .map_err(|source| Error::Connect {
            address: way.hosts(),
            source,
        })?;
    let line = InterceptedService::new(channel, Bearer(token));
    Ok(Fleet {
        policies: PolicyServiceClient::new(line.clone())
            .max_decoding_message_size(ANSWER_SIZE_MAX_BYTES),
        clusters: ClusterServiceClient::new(line.clone())
            .max_decoding_message_size(ANSWER_SIZE_MAX_BYTES),
        #[cfg(feature = "sandbox")]
        trust: TrustServiceClient::new(line.clone()),
        history: HistoryServiceClient::new(line.clone())
            .max_decoding_message_size(ANSWER_SIZE_MAX_BYTES),
        access: AccessServiceClient::new(line.clone())
            .max_decoding_message_size(ANSWER_SIZE_MAX_BYTES),
        identity: IdentityServiceClient::new(line.clone()),
        tokens: TokenServiceClient::new(line.clone()),
        audit: AuditServiceClient::new(line.clone())
            .max_decoding_message_size(ANSWER_SIZE_MAX_BYTES),
        acks: AckServiceClient::new(line).max_decoding_message_size(ANSWER_SIZE_MAX_BYTES),
    })
}

/// A channel that connects when it is used, and again whenever it has to.
pub(crate) fn lazily(chosen: &Chosen) -> Result<Channel, Error> {
    let way = way(chosen)?;
    Ok(endpoint(&way).connect_with_connector_lazy(way.connector()))
}

fn way(chosen: &Chosen) -> Result<Way, Error> {
    Way::of(&chosen.fleet).map_err(|error| match error {
        channel::Error::Address { address, why } => Error::AddressInvalid { address, why },
        error @ channel::Error::Tls(_) => Error::Setup {
            what: format!("{} is not usable", chosen.label()),
            source: Box::new(error),
        },
    })
}

fn endpoint(way: &Way) -> Endpoint {
    way.endpoint()
        .timeout(CALL_TIMEOUT)
        .http2_keep_alive_interval(PROBE_PERIOD)
        .keep_alive_timeout(PROBE_PERIOD)
}

/// Puts the token, if there is one, into every call.
#[derive(Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer")
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// Sends an edit until the answer is definite or the window is over. `call` must send the same
/// request id each time. An answer that says that nothing was stored says nothing of an earlier sending
/// whose outcome nobody knows, unless the publisher has looked for it.
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
        answer.is_uncertain |= in_doubt && !answer.is_judged;
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

    use tonic_types::{ErrorDetails, PreconditionViolation, StatusExt as _};

    use super::*;

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

        let guarded = |subject: &str| {
            let violation = PreconditionViolation::new("REASON", subject, "why");
            let details = ErrorDetails::with_precondition_failure(vec![violation]);
            Status::with_error_details(tonic::Code::FailedPrecondition, "not made", details)
        };
        let judged = answer(Status::unknown("perhaps"), guarded("payments")).await;
        assert!(!judged.unwrap_err().is_uncertain);
        // Refused before anybody looked for the first sending.
        for unjudged in [
            guarded("writ.root"),
            Status::unauthenticated("the token is over"),
            Status::permission_denied("not any more"),
        ] {
            let open = answer(Status::unknown("perhaps"), unjudged.clone()).await;
            assert!(open.unwrap_err().is_uncertain);
            let shut = answer(unavailable(), unjudged).await;
            assert!(!shut.unwrap_err().is_uncertain);
        }
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
