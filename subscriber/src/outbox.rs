//! Acks on their way: each is kept in the cluster, then sent, one after the other.
//!
//! Promises that an ack is sent only after it was kept, and that neither an API server nor a bus that
//! is away costs more than time: both are tried until they take it. Ends when the state in the cluster
//! is somebody else's.

use std::{collections::BTreeMap, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use writ_bus::{connection::Client, live};
use writ_core::{revision::Revision, scope::Feed, subject::Sender};
use writ_proto::log::Sealed;
use writ_telemetry::trace::Span;

use crate::cluster::{ClusterApi, Disposition, ErrorKind};
use crate::state::{Error, State, StateStore};

/// Acks waiting to be sent. One: a newer one is made only when the last has got through.
pub(crate) const ACKS_WAITING_MAX: usize = 1;
/// Delay before what did not get through is tried again, as it is.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// How long a right that is missing is waited for. An API server that was just started refuses everything
/// until it has read its roles, some seconds; a right that somebody took away, a person has to give back.
const FORBIDDEN_TIME_MAX: Duration = Duration::from_secs(60);

/// The state to keep, and the ack to send then, if there is one.
pub(crate) struct Outgoing {
    pub(crate) state: State,
    pub(crate) ack: Option<Sealed>,
    /// Of the edits that the ack tells of for the first time; end when it is stored.
    pub(crate) spans: Vec<Span>,
}

/// What the cluster keeps by now, for whoever must not say more than a restart would remember.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeptNow {
    /// The highest revision seen of each feed.
    pub(crate) seen: BTreeMap<Feed, Revision>,
    /// The signed event of the own registry entry.
    pub(crate) own: Option<Vec<u8>>,
}

impl KeptNow {
    /// What is kept where that state is.
    pub(crate) fn of(state: State) -> KeptNow {
        let State { seen, own, .. } = state;
        KeptNow { seen, own }
    }
}

/// Keeps and sends what comes, until nothing comes any more; tells what was seen as soon as that is
/// kept.
pub(crate) async fn run<C: ClusterApi>(
    mut store: StateStore<C>,
    client: Client,
    sender: Sender,
    mut waiting: mpsc::Receiver<Outgoing>,
    kept: watch::Sender<KeptNow>,
) -> Result<(), Error> {
    while let Some(Outgoing { state, ack, spans }) = waiting.recv().await {
        keep(&mut store, &state).await?;
        kept.send_replace(KeptNow::of(state));
        let Some(ack) = ack else { continue };
        let places: Vec<_> = spans.iter().filter_map(Span::place).collect();
        let send = || {
            let bytes = ack.bytes.clone().into();
            live::publish_traced_ack(&client, &sender, bytes, &places)
        };
        while let Err(error) = send().await {
            tracing::warn!("ack not stored yet, sending it again: {error}");
            tokio::time::sleep(RETRY_DELAY).await;
        }
        spans.iter().for_each(Span::end);
        tracing::debug!(bytes = ack.bytes.len(), "ack stored");
    }
    Ok(())
}

pub(crate) async fn keep<C: ClusterApi>(
    store: &mut StateStore<C>,
    state: &State,
) -> Result<(), Error> {
    let mut forbidden_since = None;
    loop {
        match store.save(state).await {
            Err(Error::Cluster(error))
                if passes(error.kind, &mut forbidden_since, Instant::now()) =>
            {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "state not kept yet, and its ack not sent");
            }
            result => return result,
        }
        tokio::time::sleep(RETRY_DELAY).await;
    }
}

/// A token is renewed beside this.
fn passes(kind: ErrorKind, forbidden_since: &mut Option<Instant>, now: Instant) -> bool {
    if kind == ErrorKind::Forbidden {
        let since = forbidden_since.get_or_insert(now);
        return now.duration_since(*since) < FORBIDDEN_TIME_MAX;
    }
    *forbidden_since = None;
    kind.disposition() == Disposition::Retry || kind == ErrorKind::Unauthenticated
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fake::Fake;
    use crate::resource::{CONFIG_MAPS, SYSTEM_NAMESPACE};
    use crate::state::STATE_NAME;

    #[tokio::test]
    async fn an_api_server_that_is_away_delays_an_ack_and_ends_nothing() {
        let api = Fake::default();
        let at = CONFIG_MAPS.reference(Some(SYSTEM_NAMESPACE), STATE_NAME);
        api.put(&at, json!({}));
        let (mut store, mut state) = StateStore::load(api.clone()).await.unwrap();
        state.boot = 7;
        api.set_away(true);
        let keeping = tokio::spawn(async move { keep(&mut store, &state).await });
        tokio::task::yield_now().await;
        assert!(!keeping.is_finished());
        api.set_away(false);
        keeping.await.unwrap().unwrap();
        assert_eq!(api.peek(&at).unwrap()["data"]["boot"], "7");
    }

    #[test]
    fn what_a_person_has_to_mend_is_not_waited_for_longer_than_a_start_takes() {
        let (mut since, begun) = (None, Instant::now());
        let mut passes_after =
            |kind, share| passes(kind, &mut since, begun + FORBIDDEN_TIME_MAX.mul_f64(share));
        assert!(passes_after(ErrorKind::Server, 0.0));
        assert!(!passes_after(ErrorKind::Invalid, 0.0));
        assert!(passes_after(ErrorKind::Forbidden, 0.0));
        assert!(passes_after(ErrorKind::Forbidden, 0.9));
        // It was another failure in between.
        assert!(passes_after(ErrorKind::Unavailable, 0.9));
        assert!(passes_after(ErrorKind::Forbidden, 1.0));
        assert!(!passes_after(ErrorKind::Forbidden, 2.0));
    }
}
