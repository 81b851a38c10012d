//! The streams: what they hold and how they are set.
//!
//! Owns their settings, creating them, and checking that what exists is what is meant.
//! Promises: an existing stream is never changed; where it differs, the error names the fields.
//! The settings are promises of the design: a full stream refuses instead of forgetting, nothing is
//! deleted by accident, and only what was committed is republished.

use std::{fmt, time::Duration};

use async_nats::jetstream::stream::{
    Config, DiscardPolicy, Republish, RetentionPolicy, StorageType,
};
use serde::{Deserialize, Serialize};

use crate::{
    api::{self, code},
    connection::{Client, Error as BusError},
};

/// The stream that is the database.
pub const LOG: &str = "WRIT";

/// The stream of the clusters' acknowledgements.
pub const ACKS: &str = "WRIT_ACKS";

/// The stream of who called what.
pub const AUDIT: &str = "WRIT_AUDIT";

/// Messages kept of each subject: the reach of a rollback, and of an audit that was not exported.
pub const MESSAGES_PER_SUBJECT: i64 = 64;

/// Largest acknowledgement: 50 exceptions and 16 edits with 8 failing objects each come to less than
/// half of it.
pub const ACK_BYTES_MAX: i32 = 128 * 1024;

/// In a stream's metadata: the last sequence that it had when it was restored from a backup.
pub(crate) const RESTORED: &str = "writ.restored";

/// The window in which the server would drop messages with equal ids. Writ sends none; this is the
/// server's default, stated so that it can be checked.
const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// [`LOG`].
    Log,
    /// [`ACKS`].
    Acks,
    /// [`AUDIT`].
    Audit,
}

impl Stream {
    /// All of them.
    pub const ALL: [Stream; 3] = [Stream::Log, Stream::Acks, Stream::Audit];

    /// Its name on the server.
    pub fn as_str(self) -> &'static str {
        match self {
            Stream::Log => LOG,
            Stream::Acks => ACKS,
            Stream::Audit => AUDIT,
        }
    }

    /// The subjects that it holds.
    pub fn subjects(self) -> &'static [&'static str] {
        match self {
            Stream::Log => &[
                "writ.intent.>",
                "writ.event.>",
                "writ.index.>",
                "writ.base.>",
                "writ.root",
            ],
            Stream::Acks => &["writ.ack.>"],
            Stream::Audit => &["writ.audit.*"],
        }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What differs from one installation to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Copies of each message; 3 in production, 1 on one server.
    pub replicas: usize,
    /// Size at which the log refuses edits.
    pub log_bytes_max: i64,
    /// Size at which the acknowledgements are refused.
    pub acks_bytes_max: i64,
    /// Size at which the oldest of the audit is discarded, which is to be exported before.
    pub audit_bytes_max: i64,
}

impl Settings {
    /// Sizes for a fleet of some thousand clusters: a thousand policies of 10 KB with 64 versions
    /// each in the log, and 64 acks of 400 B from 10,000 clusters.
    pub fn with_replicas(replicas: usize) -> Settings {
        Settings {
            replicas,
            log_bytes_max: 2 << 30,
            acks_bytes_max: 512 << 20,
            audit_bytes_max: 512 << 20,
        }
    }
}

/// Why the streams are not as they should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server did not answer, or refused.
    #[error("can't {action} the stream {stream}")]
    Request {
        /// What was tried.
        action: &'static str,
        /// Which stream.
        stream: Stream,
        /// Why it failed.
        source: BusError,
    },
    /// There is no such stream.
    #[error("there is no stream {0}")]
    Missing(Stream),
    /// The stream exists with other settings.
    #[error("the stream {stream} is set otherwise: {}", .fields.join(", "))]
    Differs {
        /// Which stream.
        stream: Stream,
        /// The fields, each with what is wanted and what is there.
        fields: Vec<String>,
    },
}

/// Creates what is missing and checks the rest. Installing twice is the same as once.
pub async fn install(client: &Client, settings: Settings) -> Result<(), Error> {
    for stream in Stream::ALL {
        let wanted = config(stream, settings);
        if info(client, stream).await?.is_none() {
            let verb = format!("STREAM.CREATE.{stream}");
            api::call::<Info>(client, &verb, &wanted)
                .await
                .map_err(|source| Error::Request {
                    action: "create",
                    stream,
                    source,
                })?;
        }
    }
    check(client, settings).await
}

/// Checks that all streams exist as they are meant to.
pub async fn check(client: &Client, settings: Settings) -> Result<(), Error> {
    for stream in Stream::ALL {
        let found = info(client, stream).await?.ok_or(Error::Missing(stream))?;
        let fields = differences(&config(stream, settings), &found.config);
        if !fields.is_empty() {
            return Err(Error::Differs { stream, fields });
        }
    }
    Ok(())
}

/// The name of the server that leads a stream; `None` while there is none, and where a server stands
/// alone.
pub async fn leader(client: &Client, stream: Stream) -> Result<Option<String>, Error> {
    let found = info(client, stream).await?.ok_or(Error::Missing(stream))?;
    Ok(found.cluster.and_then(|cluster| cluster.leader))
}

/// Up to where the log came out of a backup; `None` where it did not, or nobody said so: what is restored by
/// other means than [`crate::backup::restore`] carries no such note.
///
/// # Errors
/// The stream is missing, or can't be looked at.
pub async fn restored(client: &Client, stream: Stream) -> Result<Option<u64>, Error> {
    let found = info(client, stream).await?.ok_or(Error::Missing(stream))?;
    let note = found.config.metadata.get(RESTORED);
    Ok(note.and_then(|sequence| sequence.parse().ok()))
}

/// How many copies a stream has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copies {
    /// As it is set.
    pub wanted: usize,
    /// That have everything, the leader's included. 0: there is no leader.
    pub current: usize,
}

/// Counts the copies of a stream.
///
/// # Errors
/// [`Error`]: nobody answered, or there is no such stream.
pub async fn copies(client: &Client, stream: Stream) -> Result<Copies, Error> {
    let found = info(client, stream).await?.ok_or(Error::Missing(stream))?;
    let wanted = found.config.num_replicas;
    let current = match found.cluster {
        // A server that stands alone.
        None => 1,
        Some(cluster) => {
            let followers = cluster.replicas.iter();
            let current = followers.filter(|one| one.current && !one.offline).count();
            usize::from(cluster.leader.is_some()) + current
        }
    };
    Ok(Copies { wanted, current })
}

/// The part of a stream's state that is used here.
#[derive(Debug, Deserialize)]
pub(crate) struct Info {
    pub(crate) config: Config,
    pub(crate) state: State,
    cluster: Option<Replicas>,
}

#[derive(Debug, Deserialize)]
struct Replicas {
    leader: Option<String>,
    #[serde(default)]
    replicas: Vec<Replica>,
}

#[derive(Debug, Deserialize)]
struct Replica {
    #[serde(default)]
    current: bool,
    #[serde(default)]
    offline: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct State {
    #[serde(default)]
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
}

/// Reads a stream's settings and state; `None` where there is no such stream.
pub(crate) async fn info(client: &Client, stream: Stream) -> Result<Option<Info>, Error> {
    #[derive(Serialize)]
    struct Nothing {}
    match api::call(client, &format!("STREAM.INFO.{stream}"), &Nothing {}).await {
        Ok(info) => Ok(Some(info)),
        Err(BusError::Api {
            code: code::NO_STREAM,
            ..
        }) => Ok(None),
        Err(source) => Err(Error::Request {
            action: "look at",
            stream,
            source,
        }),
    }
}

fn config(stream: Stream, settings: Settings) -> Config {
    let common = Config {
        name: stream.as_str().to_owned(),
        subjects: stream
            .subjects()
            .iter()
            .map(|subject| (*subject).to_owned())
            .collect(),
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        num_replicas: settings.replicas,
        max_messages: -1,
        max_messages_per_subject: MESSAGES_PER_SUBJECT,
        max_consumers: -1,
        max_age: Duration::ZERO,
        discard: DiscardPolicy::New,
        duplicate_window: DUPLICATE_WINDOW,
        deny_delete: true,
        allow_direct: true,
        ..Config::default()
    };
    match stream {
        Stream::Log => Config {
            description: Some("Writ: every edit, event, index and root".to_owned()),
            max_bytes: settings.log_bytes_max,
            max_message_size: -1,
            allow_atomic_publish: true,
            republish: Some(Republish {
                source: "writ.event.>".to_owned(),
                destination: "writ.live.>".to_owned(),
                headers_only: false,
            }),
            ..common
        },
        Stream::Acks => Config {
            description: Some("Writ: what the clusters acknowledged".to_owned()),
            max_bytes: settings.acks_bytes_max,
            max_message_size: ACK_BYTES_MAX,
            ..common
        },
        // A record of calls must not end because nobody fetches it; what is discarded unexported shows,
        // because lines are numbered.
        Stream::Audit => Config {
            description: Some("Writ: who called what".to_owned()),
            max_bytes: settings.audit_bytes_max,
            max_message_size: -1,
            max_messages_per_subject: -1,
            discard: DiscardPolicy::Old,
            allow_direct: false,
            ..common
        },
    }
}

/// Names every field whose difference changes what Writ promises. The description, the metadata and
/// the placement are the operator's.
pub(crate) fn differences(wanted: &Config, found: &Config) -> Vec<String> {
    let mut fields = Vec::new();
    macro_rules! compare {
        ($($field:ident),* $(,)?) => {$(
            if wanted.$field != found.$field {
                fields.push(format!(
                    "{} is {:?}, not {:?}", stringify!($field), found.$field, wanted.$field
                ));
            }
        )*};
    }
    compare!(
        subjects,
        retention,
        storage,
        num_replicas,
        max_messages,
        max_messages_per_subject,
        max_consumers,
        max_bytes,
        max_message_size,
        max_age,
        discard,
        discard_new_per_subject,
        duplicate_window,
        no_ack,
        sealed,
        allow_rollup,
        deny_delete,
        deny_purge,
        allow_direct,
        mirror_direct,
        mirror,
        sources,
        subject_transform,
        republish,
        allow_message_ttl,
        allow_atomic_publish,
        allow_message_counter,
        allow_message_schedules,
        persist_mode,
    );
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_named() {
        let wanted = config(Stream::Log, Settings::with_replicas(1));
        assert!(differences(&wanted, &wanted.clone()).is_empty());
        let found = Config {
            republish: None,
            discard: DiscardPolicy::Old,
            ..wanted.clone()
        };
        let fields = differences(&wanted, &found);
        assert_eq!(fields.len(), 2);
        assert!(fields[0].starts_with("discard is"), "{fields:?}");
        assert!(fields[1].starts_with("republish is None"), "{fields:?}");
    }
}
