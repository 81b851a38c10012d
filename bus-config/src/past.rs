//! Reads of what the log held at an earlier place; for publishers only.
//!
//! Owns the two requests for it: the next intent of whatever name, from the leader, and the newest
//! messages of some subjects up to a sequence, as a batched Direct Get (ADR-31).
//! Promises: what is returned was stored under the subject that it names, at or before the place;
//! and an answer is whole: it holds the message at the place itself, so that a replica which lags
//! behind it is found out and asked again.
//! Never: holds more than one page of messages.

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use futures::StreamExt as _;
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout_at};
use writ_core::subject::BusSubject;

use crate::{
    connection::{Client, Error},
    read::{self, Stored},
    streams::{LOG, Stream},
};

/// All intents, whatever the name.
const INTENTS: &str = "writ.intent.>";

/// Most subjects of one request. The server refuses more than 1,024 (status 413); a reader holds what
/// one request asks for until it is complete, so this bounds that too.
pub const SUBJECTS_MAX: usize = 64;

/// Size at which the server ends a page; one message may exceed it.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// How long one page may take.
const PAGE_TIME_MAX: Duration = Duration::from_secs(5);

/// How long an incomplete answer is asked for again: a replica lags by milliseconds.
const RETRY_TIME_MAX: Duration = Duration::from_secs(5);

/// Pause before that.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// A place in the log, named by the message that stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its sequence.
    pub sequence: u64,
    /// The subject of the message.
    pub subject: BusSubject,
}

/// The first kept intent after a sequence, of whatever name, from the leader.
pub async fn next_intent(client: &Client, sequence: u64) -> Result<Option<Stored>, Error> {
    read::next_matching(client, Stream::Log, INTENTS, sequence).await
}

/// The newest message of each subject at or before a place; subjects that have none there are left
/// out. At most [`SUBJECTS_MAX`] subjects. `take` is given each message as it comes.
pub async fn newest_up_to(
    client: &Client,
    subjects: &[BusSubject],
    place: &Place,
    mut take: impl FnMut(Stored),
) -> Result<(), Error> {
    let mut asked: BTreeSet<&BusSubject> = subjects.iter().take(SUBJECTS_MAX).collect();
    let is_asked = !asked.insert(&place.subject);
    let filters: Vec<String> = asked.iter().map(ToString::to_string).collect();
    let deadline = Instant::now() + RETRY_TIME_MAX;
    let mut from = 1;
    loop {
        let page = read_page(client, &filters, from, place.sequence).await?;
        for stored in page.messages {
            from = stored.sequence + 1;
            let at_place = stored.sequence == place.sequence;
            if !asked.contains(&stored.subject) || stored.sequence > place.sequence {
                return Err(unreadable(format!("it holds {}", stored.subject)));
            }
            if !at_place || is_asked {
                take(stored);
            }
            if at_place {
                return Ok(());
            }
        }
        if page.is_last {
            // Messages come in their order, and the one at the place would be the last.
            if Instant::now() >= deadline {
                return Err(unreadable("it ends before the place asked for".to_owned()));
            }
            sleep(RETRY_DELAY).await;
        }
    }
}

fn unreadable(what: String) -> Error {
    Error::Answer {
        subject: asked_subject(),
        what,
    }
}

fn asked_subject() -> String {
    format!("$JS.API.DIRECT.GET.{LOG}")
}

#[derive(Serialize)]
struct MultiGet<'a> {
    multi_last: &'a [String],
    seq: u64,
    up_to_seq: u64,
    max_bytes: usize,
}

struct Page {
    messages: Vec<Stored>,
    is_last: bool,
}

async fn read_page(
    client: &Client,
    filters: &[String],
    from: u64,
    up_to: u64,
) -> Result<Page, Error> {
    let request = MultiGet {
        multi_last: filters,
        seq: from,
        up_to_seq: up_to,
        max_bytes: PAGE_BYTES_MAX,
    };
    let payload = serde_json::to_vec(&request).map_err(|error| unreadable(error.to_string()))?;
    let inbox = client.new_inbox();
    let mut denials = client.denials();
    let mut answers = client.subscribe(inbox.clone()).await?;
    let asked = asked_subject();
    client
        .send_with_reply(asked.clone(), inbox, payload.into())
        .await?;
    let deadline = Instant::now() + PAGE_TIME_MAX;
    let mut messages = Vec::new();
    loop {
        let message = tokio::select! {
            message = timeout_at(deadline, answers.next()) => message,
            Ok(denied) = denials.recv() => {
                if denied.refuses_publish(&asked) {
                    return Err(Error::Denied(denied));
                }
                continue;
            }
        };
        let message = match message {
            Ok(Some(message)) => message,
            Ok(None) => return Err(Error::Disconnected { subject: asked }),
            Err(_) => return Err(Error::TimedOut { subject: asked }),
        };
        match message.status.map(|status| status.as_u16()) {
            None => messages.push(read_stored(&message)?),
            // The end of the page, which says how many were left over.
            Some(204) => {
                let is_last = header(&message, "Nats-Num-Pending")? == "0";
                return Ok(Page { messages, is_last });
            }
            Some(404) => {
                let is_last = true;
                return Ok(Page { messages, is_last });
            }
            Some(503) => return Err(Error::NoResponders { subject: asked }),
            Some(status) => {
                let description = message.description.as_deref().unwrap_or_default();
                return Err(unreadable(format!("status {status} {description}")));
            }
        }
    }
}

fn read_stored(message: &async_nats::Message) -> Result<Stored, Error> {
    let subject = header(message, "Nats-Subject")?;
    let sequence = header(message, "Nats-Sequence")?;
    Ok(Stored {
        subject: BusSubject::parse(subject).map_err(|error| unreadable(error.to_string()))?,
        sequence: sequence
            .parse()
            .map_err(|_| unreadable("the sequence is not a number".to_owned()))?,
        bytes: Bytes::clone(&message.payload),
        places: Vec::new(),
    })
}

fn header<'a>(message: &'a async_nats::Message, name: &'static str) -> Result<&'a str, Error> {
    message
        .headers
        .as_ref()
        .and_then(|headers| headers.get_last(name))
        .map(|value| value.as_str())
        .ok_or_else(|| unreadable(format!("no {name} header")))
}
