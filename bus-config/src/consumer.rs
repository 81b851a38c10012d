//! One ordered consumer of a stream, and the reading of what it delivers.
//!
//! Owns the JetStream requests for it and the form of its deliveries.
//! Promises: a delivery out of its count is a [`Step::Gap`].
//! Never: repairs a gap; [`crate::log`] makes a new consumer.

use std::{collections::HashMap, time::Duration};

use async_nats::Subscriber;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use writ_core::subject::BusSubject;

use crate::{
    api,
    connection::{Client, Error},
    places,
    read::Stored,
    streams::Stream,
};

/// Messages asked for at a time: enough that the pause between two requests does not count, and a
/// bound on what a publisher holds of a log that it reads faster than it can follow. There is no
/// bound in bytes beside it: a message that does not fit is taken off the list of the newest of each
/// subject and then forgotten (`getNextMsg` in `server/consumer.go` of nats-server 2.15.2; the test
/// that reads large messages lost one in 3 of 14 runs).
const PULL_MESSAGES: usize = 128;

/// How long a request for messages stands on the server.
const PULL_TIME: Duration = Duration::from_secs(30);

/// How often the server says that there is nothing.
pub(crate) const HEARTBEAT_PERIOD: Duration = Duration::from_secs(1);

/// How long the server keeps a consumer that nobody reads.
const INACTIVE_TIME_MAX: Duration = Duration::from_secs(30);

/// What a message of the consumer's inbox means.
pub(crate) enum Step {
    Message {
        stored: Stored,
        pending: u64,
    },
    Foreign {
        sequence: u64,
    },
    /// There is nothing to deliver at the moment.
    Empty,
    /// The request is over and may be repeated.
    TimedOut,
    /// Nothing to act on.
    Nothing,
    /// Something is missing.
    Gap,
}

pub(crate) struct Consumer {
    stream: Stream,
    name: String,
    inbox: String,
    pub(crate) messages: Subscriber,
    /// Messages delivered so far, by the consumer's own count.
    pub(crate) delivered: u64,
    /// Messages that the standing request still asks for.
    pub(crate) requested: usize,
    /// Messages that waited when the consumer was made.
    pub(crate) pending: u64,
    /// Where the stream's leader ended before the consumer was made.
    pub(crate) began_at: u64,
    /// Where the stream's leader ends, asked when this consumer had nothing more for the first time.
    pub(crate) end: Option<u64>,
    /// Whether everything up to there was handed out.
    pub(crate) caught_up: bool,
}

#[derive(Serialize)]
struct CreateRequest<'a> {
    stream_name: &'a str,
    config: CreateConfig<'a>,
    action: &'a str,
}

#[derive(Serialize)]
struct CreateConfig<'a> {
    name: &'a str,
    deliver_policy: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    opt_start_seq: Option<u64>,
    ack_policy: &'a str,
    replay_policy: &'a str,
    filter_subjects: &'a [&'a str],
    inactive_threshold: u64,
    num_replicas: usize,
    mem_storage: bool,
}

#[derive(Deserialize)]
struct Created {
    #[serde(default)]
    num_pending: u64,
}

#[derive(Serialize)]
struct PullRequest {
    batch: usize,
    expires: u64,
    idle_heartbeat: u64,
}

impl Consumer {
    /// A consumer that begins after what was read; with the newest of each subject where nothing was.
    pub(crate) async fn create(
        client: &Client,
        stream: Stream,
        read: u64,
    ) -> Result<Consumer, Error> {
        Consumer::create_from(client, stream, (read > 0).then_some(read)).await
    }

    /// A consumer that begins with everything that is kept after a sequence.
    pub(crate) async fn create_after(
        client: &Client,
        stream: Stream,
        sequence: u64,
    ) -> Result<Consumer, Error> {
        Consumer::create_from(client, stream, Some(sequence)).await
    }

    async fn create_from(
        client: &Client,
        stream: Stream,
        after: Option<u64>,
    ) -> Result<Consumer, Error> {
        let name = Uuid::new_v4().simple().to_string();
        let inbox = client.new_inbox();
        let messages = client.subscribe(inbox.clone()).await?;
        let request = CreateRequest {
            stream_name: stream.as_str(),
            config: CreateConfig {
                name: &name,
                deliver_policy: if after.is_none() {
                    "last_per_subject"
                } else {
                    "by_start_sequence"
                },
                opt_start_seq: after.map(|sequence| sequence + 1),
                ack_policy: "none",
                replay_policy: "instant",
                filter_subjects: stream.subjects(),
                inactive_threshold: nanoseconds(INACTIVE_TIME_MAX),
                num_replicas: 1,
                mem_storage: true,
            },
            action: "create",
        };
        let created: Created = api::call(
            client,
            &format!("CONSUMER.CREATE.{stream}.{name}"),
            &request,
        )
        .await?;
        Ok(Consumer {
            stream,
            name,
            inbox,
            messages,
            delivered: 0,
            requested: 0,
            pending: created.num_pending,
            began_at: 0,
            end: None,
            caught_up: false,
        })
    }

    pub(crate) async fn pull(&mut self, client: &Client) -> Result<(), Error> {
        let request = PullRequest {
            batch: PULL_MESSAGES,
            expires: nanoseconds(PULL_TIME),
            idle_heartbeat: nanoseconds(HEARTBEAT_PERIOD),
        };
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", self.stream, self.name);
        let payload = serde_json::to_vec(&request).unwrap_or_default();
        client
            .send_with_reply(subject, self.inbox.clone(), payload.into())
            .await?;
        self.requested = PULL_MESSAGES;
        Ok(())
    }

    /// Gives the consumer back; one that is lost goes by itself after [`INACTIVE_TIME_MAX`].
    pub(crate) async fn delete(self, client: &Client) {
        let verb = format!("CONSUMER.DELETE.{}.{}", self.stream, self.name);
        let no_options: HashMap<String, String> = HashMap::new();
        if let Err(error) = api::call::<serde::de::IgnoredAny>(client, &verb, &no_options).await {
            tracing::debug!(%error, "the old consumer is left to the server");
        }
    }

    pub(crate) fn read(&mut self, message: &async_nats::Message) -> Step {
        match message.status.map(|status| status.as_u16()) {
            None => self.read_delivery(message).unwrap_or(Step::Gap),
            // An idle heartbeat says how many messages were delivered.
            Some(100) => {
                let header = message
                    .headers
                    .as_ref()
                    .and_then(|all| all.get("Nats-Last-Consumer"));
                let delivered = header.and_then(|value| value.as_str().parse::<u64>().ok());
                match delivered {
                    Some(delivered) if delivered == self.delivered => Step::Empty,
                    Some(_) => Step::Gap,
                    None => Step::Nothing,
                }
            }
            Some(404 | 408) => Step::TimedOut,
            // The end of a request that got all it asked for, which was counted.
            Some(409) if message.description.as_deref() == Some("Batch Completed") => Step::Nothing,
            Some(_) => Step::Gap,
        }
    }

    /// Reads `$JS.ACK.<stream>.<consumer>.<count>.<stream seq>.<consumer seq>.<time>.<pending>`, in
    /// the newer form with domain and account before the stream (ADR-15).
    fn read_delivery(&mut self, message: &async_nats::Message) -> Option<Step> {
        let reply = message.reply.as_ref()?;
        let tokens: Vec<&str> = reply.split('.').collect();
        let first = match tokens.len() {
            9 => 4,
            11.. => 6,
            _ => return None,
        };
        let number = |offset: usize| tokens.get(first + offset)?.parse::<u64>().ok();
        let (sequence, delivered, pending) = (number(1)?, number(2)?, number(4)?);
        if delivered != self.delivered + 1 {
            return None;
        }
        self.delivered = delivered;
        self.requested = self.requested.saturating_sub(1);
        Some(match BusSubject::parse(&message.subject) {
            Ok(subject) => Step::Message {
                stored: Stored {
                    subject,
                    sequence,
                    bytes: message.payload.clone(),
                    places: places::read(message.headers.as_ref()),
                },
                pending,
            },
            Err(_) => Step::Foreign { sequence },
        })
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
