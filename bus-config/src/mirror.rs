//! The mirror of the log on a region's leaf node.
//!
//! Owns its settings on both sides: at the hub a consumer that delivers what the region may read, at
//! the leaf a stream of the log's name that takes it in. The consumer is made by the hub's installer
//! (ADR-60), so that a leaf needs no right to make one: whoever may make a push consumer may have the
//! server send stored messages to any subject, the log's own included.
//! Promises: sequences are the hub's. An existing mirror or consumer is checked, never changed.

use std::time::Duration;

use async_nats::jetstream::stream::{
    Config, External, RetentionPolicy, Source, StorageType, StreamConsumerSource,
};
use serde::{Deserialize, Serialize};
use writ_core::name::Region;

use crate::{
    api::{self, code},
    connection::{Client, Error as BusError},
    streams::{self, Error, LOG, MESSAGES_PER_SUBJECT, Stream},
};

/// Where JetStream of the hub is asked from a leaf.
const HUB_API: &str = "$JS.hub.API";

/// Messages on their way to a leaf that it has not confirmed yet.
const MESSAGES_PENDING_MAX: i64 = 1_024;

/// How often the hub says that there is nothing; the server asks for exactly this.
const HEARTBEAT_PERIOD: Duration = Duration::from_secs(1);

/// The hub's consumer for a region.
pub(crate) fn consumer_name(region: &Region) -> String {
    format!("mirror-{region}")
}

/// Where the hub delivers a region's messages.
pub(crate) fn deliver_subject(region: &Region) -> String {
    format!("writ.mirror.{region}")
}

/// What a region may read: no intents, and nothing of other regions.
pub(crate) fn filters(region: &Region) -> Vec<String> {
    let scope = |scope: &str| {
        [
            format!("writ.event.*.{scope}.*.*"),
            format!("writ.index.*.{scope}.*"),
            format!("writ.base.*.{scope}.*"),
        ]
    };
    let mut filters: Vec<String> = scope(region.as_str())
        .into_iter()
        .chain(scope("all"))
        .collect();
    filters.push("writ.root".to_owned());
    filters
}

#[derive(Serialize)]
struct CreateRequest<'a> {
    stream_name: &'a str,
    config: &'a Consumer,
    action: &'a str,
}

/// The settings of the hub's consumer that are Writ's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Consumer {
    durable_name: String,
    deliver_subject: String,
    deliver_policy: String,
    ack_policy: String,
    replay_policy: String,
    filter_subjects: Vec<String>,
    flow_control: bool,
    idle_heartbeat: u64,
    max_ack_pending: i64,
}

#[derive(Deserialize)]
struct ConsumerInfo {
    config: Consumer,
}

fn consumer(region: &Region) -> Consumer {
    Consumer {
        durable_name: consumer_name(region),
        deliver_subject: deliver_subject(region),
        deliver_policy: "all".to_owned(),
        ack_policy: "flow_control".to_owned(),
        replay_policy: "instant".to_owned(),
        filter_subjects: filters(region),
        flow_control: true,
        idle_heartbeat: u64::try_from(HEARTBEAT_PERIOD.as_nanos()).unwrap_or(u64::MAX),
        max_ack_pending: MESSAGES_PENDING_MAX,
    }
}

/// Makes, at the hub and as its installer, the consumer from which a region's mirror is fed.
pub async fn install_feed(hub: &Client, region: &Region) -> Result<(), Error> {
    let wanted = consumer(region);
    let name = &wanted.durable_name;
    let failed = |action| {
        move |source| Error::Request {
            action,
            stream: Stream::Log,
            source,
        }
    };
    let request = CreateRequest {
        stream_name: LOG,
        config: &wanted,
        action: "",
    };
    // Creating it again with the same settings is the same as once; with others the server refuses or
    // changes it, so that it is looked at first.
    let found = look(hub, name)
        .await
        .map_err(failed("look at a consumer of"))?;
    let found = match found {
        Some(found) => found,
        None => {
            let verb = format!("CONSUMER.CREATE.{LOG}.{name}");
            let created = api::call::<ConsumerInfo>(hub, &verb, &request).await;
            created.map_err(failed("make a consumer of"))?.config
        }
    };
    if found == wanted {
        Ok(())
    } else {
        Err(Error::Differs {
            stream: Stream::Log,
            fields: vec![format!("consumer {name} is {found:?}, not {wanted:?}")],
        })
    }
}

/// Takes a region's consumer away, at the hub and as its installer: its leaf is gone for good, and the
/// mirror is not fed any more.
pub async fn remove_feed(hub: &Client, region: &Region) -> Result<(), Error> {
    let verb = format!("CONSUMER.DELETE.{LOG}.{}", consumer_name(region));
    match api::call::<serde::de::IgnoredAny>(hub, &verb, &Nothing {}).await {
        Ok(_)
        | Err(BusError::Api {
            code: code::NO_CONSUMER,
            ..
        }) => Ok(()),
        Err(source) => Err(Error::Request {
            action: "take a consumer from",
            stream: Stream::Log,
            source,
        }),
    }
}

#[derive(Serialize)]
struct Nothing {}

async fn look(hub: &Client, name: &str) -> Result<Option<Consumer>, BusError> {
    let verb = format!("CONSUMER.INFO.{LOG}.{name}");
    match api::call::<ConsumerInfo>(hub, &verb, &Nothing {}).await {
        Ok(info) => Ok(Some(info.config)),
        Err(BusError::Api {
            code: code::NO_CONSUMER,
            ..
        }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes, at a region's leaf and as its installer, the mirror. Its hub need not be there.
pub async fn install(leaf: &Client, region: &Region) -> Result<(), Error> {
    let wanted = config(region);
    if streams::info(leaf, Stream::Log).await?.is_none() {
        let verb = format!("STREAM.CREATE.{LOG}");
        let created = api::call::<streams::Info>(leaf, &verb, &wanted).await;
        created.map_err(|source| Error::Request {
            action: "create",
            stream: Stream::Log,
            source,
        })?;
    }
    let found = streams::info(leaf, Stream::Log)
        .await?
        .ok_or(Error::Missing(Stream::Log))?;
    let fields = streams::differences(&wanted, &found.config);
    if fields.is_empty() {
        Ok(())
    } else {
        Err(Error::Differs {
            stream: Stream::Log,
            fields,
        })
    }
}

fn config(region: &Region) -> Config {
    Config {
        name: LOG.to_owned(),
        description: Some(format!(
            "Writ: what clusters of {region} may read of the log"
        )),
        mirror: Some(Source {
            name: LOG.to_owned(),
            external: Some(External {
                api_prefix: HUB_API.to_owned(),
                // As the server writes it down; the consumer names the subject.
                delivery_prefix: Some(String::new()),
            }),
            consumer: Some(StreamConsumerSource::new(
                consumer_name(region),
                deliver_subject(region),
            )),
            ..Source::default()
        }),
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        num_replicas: 1,
        // The hub's log is bounded, and this is a part of it: a mirror that were full would lag for ever.
        max_bytes: -1,
        max_messages: -1,
        max_messages_per_subject: MESSAGES_PER_SUBJECT,
        max_consumers: -1,
        max_message_size: -1,
        deny_delete: true,
        allow_direct: true,
        ..Config::default()
    }
}
