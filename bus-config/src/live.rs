//! Live messages: what flows past and is not waited for.
//!
//! Owns plain subscriptions to the republished events, the beat, pulses, recalls and offers, and the
//! sending of them and of acks.
//! Promises: a place where messages may have been lost (a new connection, a reader that was too
//! slow) is reported as [`Signal::Gap`]; what waits for a slow reader is bounded.
//! Never: promises that a message arrives. Whoever listens compares with the log.

use async_nats::HeaderMap;
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, stream::SelectAll};
use serde::Deserialize;
use tokio::sync::{broadcast, watch};
use writ_core::{
    name::{Region, Stage},
    scope::Feed,
    subject::{BusSubject, Sender},
    trace::TraceParent,
};

use crate::{
    api,
    connection::{Action, Client, Denied, Error},
    places,
};

/// What a live subscription has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// A message. Its bytes are not verified.
    Message {
        /// Under which subject it came: for an event [`BusSubject::Live`].
        subject: BusSubject,
        /// Its payload.
        bytes: Bytes,
        /// The steps of traces that it comes from, as whoever sent it says.
        places: Vec<TraceParent>,
    },
    /// Messages may have been lost before this point.
    Gap,
    /// The server refuses a subscription: nothing will come of it.
    Denied(Denied),
}

/// Plain subscriptions, read as one.
pub struct Live {
    subjects: Vec<String>,
    messages: SelectAll<async_nats::Subscriber>,
    gaps: watch::Receiver<u64>,
    denials: broadcast::Receiver<Denied>,
    /// Messages since the last gap.
    since_gap: usize,
}

/// Messages between two gaps where both wait: in a flood that a reader is too slow for, each message that
/// is dropped is a gap, and telling only them would drop all messages.
const MESSAGES_BETWEEN_GAPS: usize = 256;

/// Listens to what a cluster hears: the events of its eight feeds, and the beat. Messages that are
/// sent after the answer to a later request on this connection are heard.
pub async fn listen_as_cluster(
    client: &Client,
    region: &Region,
    stage: &Stage,
) -> Result<Live, Error> {
    let feeds = Feed::listened_by(region, stage);
    let mut subjects: Vec<_> = feeds
        .iter()
        .map(|feed| format!("writ.live.{feed}.*"))
        .collect();
    subjects.push(BusSubject::LiveTrust.to_string());
    subjects.push(BusSubject::Beat.to_string());
    subjects.push(BusSubject::Recall.to_string());
    listen(client, subjects).await
}

/// Listens to what a publisher hears: the pulses of all clusters, and other publishers' beats.
pub async fn listen_as_publisher(client: &Client) -> Result<Live, Error> {
    listen(
        client,
        vec!["writ.pulse.>".to_owned(), BusSubject::Beat.to_string()],
    )
    .await
}

/// Listens to what clusters hand to a log that was lost, and to their pulses, which tell who is there.
pub async fn listen_for_offers(client: &Client) -> Result<Live, Error> {
    let subjects = ["writ.offer.>", "writ.pulse.>"].map(str::to_owned);
    listen(client, subjects.into()).await
}

pub(crate) async fn listen(client: &Client, subjects: Vec<String>) -> Result<Live, Error> {
    // Both before the subscriptions, so that no report about them is missed.
    let gaps = client.gaps();
    let denials = client.denials();
    let mut messages = SelectAll::new();
    for subject in &subjects {
        messages.push(client.subscribe(subject.clone()).await?);
    }
    Ok(Live {
        subjects,
        messages,
        gaps,
        denials,
        since_gap: MESSAGES_BETWEEN_GAPS,
    })
}

impl Live {
    /// The next signal; `None` after the connection was closed. May be dropped and called again
    /// without losing a signal.
    pub async fn next(&mut self) -> Option<Signal> {
        loop {
            if self.since_gap < MESSAGES_BETWEEN_GAPS
                && let Some(message) = self.messages.next().now_or_never()
            {
                if let Some(signal) = self.take(message?) {
                    return Some(signal);
                }
                continue;
            }
            tokio::select! {
                // Gaps and violations first: a flood of messages must not hide them.
                biased;
                changed = self.gaps.changed() => {
                    self.since_gap = 0;
                    return changed.is_ok().then_some(Signal::Gap);
                }
                denied = self.denials.recv() => match denied {
                    Ok(denied) if self.concerns(&denied) => return Some(Signal::Denied(denied)),
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
                message = self.messages.next() => {
                    if let Some(signal) = self.take(message?) {
                        return Some(signal);
                    }
                }
            }
        }
    }

    fn take(&mut self, message: async_nats::Message) -> Option<Signal> {
        self.since_gap = self.since_gap.saturating_add(1);
        match BusSubject::parse(&message.subject) {
            Ok(subject) => {
                let places = places::read(message.headers.as_ref());
                let bytes = message.payload;
                Some(Signal::Message {
                    subject,
                    bytes,
                    places,
                })
            }
            Err(error) => {
                tracing::debug!("a live message is passed over: {error}");
                None
            }
        }
    }

    fn concerns(&self, denied: &Denied) -> bool {
        denied.action == Action::Subscribe && self.subjects.contains(&denied.subject)
    }
}

/// Sends a beat. A refusal is reported by [`Client::denials`].
pub async fn publish_beat(client: &Client, bytes: Bytes) -> Result<(), Error> {
    client.send(BusSubject::Beat.to_string(), bytes).await
}

/// Asks the clusters what they hold above the log. A refusal is reported by [`Client::denials`].
pub async fn publish_recall(client: &Client, bytes: Bytes) -> Result<(), Error> {
    client.send(BusSubject::Recall.to_string(), bytes).await
}

/// Sends one part of an offer. A refusal is reported by [`Client::denials`].
pub async fn publish_offer(client: &Client, sender: &Sender, bytes: Bytes) -> Result<(), Error> {
    client
        .send(BusSubject::Offer(sender.clone()).to_string(), bytes)
        .await
}

/// Sends a pulse. A refusal is reported by [`Client::denials`].
pub async fn publish_pulse(client: &Client, sender: &Sender, bytes: Bytes) -> Result<(), Error> {
    client
        .send(BusSubject::Pulse(sender.clone()).to_string(), bytes)
        .await
}

#[derive(Deserialize)]
struct AckStored {
    seq: u64,
}

/// Stores an acknowledgement and returns its place in the stream. After an error it may be stored or
/// not; sending the same bytes again is harmless.
pub async fn publish_ack(client: &Client, sender: &Sender, bytes: Bytes) -> Result<u64, Error> {
    publish_traced_ack(client, sender, bytes, &[]).await
}

/// The same; `places` are the steps of traces that it comes from.
pub async fn publish_traced_ack(
    client: &Client,
    sender: &Sender,
    bytes: Bytes,
    places: &[TraceParent],
) -> Result<u64, Error> {
    let subject = BusSubject::Ack(sender.clone()).to_string();
    let mut headers = HeaderMap::new();
    places::write(&mut headers, places);
    let answer = client.request_with(&subject, headers, bytes).await?;
    let stored: AckStored = api::read_answer(&subject, &answer.payload)?.map_err(Error::from)?;
    Ok(stored.seq)
}
