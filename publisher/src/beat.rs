//! The beat: every few seconds, a signed statement of where the log is.
//!
//! Never beats for a log that it can't believe, nor for an empty one; stays silent for a period in
//! which another publisher said the same.

use std::time::Duration;

use bytes::Bytes;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};
use writ_bus::{Client, live};
use writ_core::{beat::Beat, envelope::SigningKey, name::Name};
use writ_proto::log;

use crate::{alarm::describe, hear::HeardBeat, track, view::Views};

/// What beats.
pub(crate) struct Heart {
    pub(crate) client: Client,
    pub(crate) key: SigningKey,
    pub(crate) views: Views,
    pub(crate) name: Name,
    pub(crate) period: Duration,
    pub(crate) expiry: Duration,
    pub(crate) heard: watch::Receiver<Option<HeardBeat>>,
}

impl Heart {
    /// Beats for ever.
    pub(crate) async fn run(self) {
        let mut ticks = interval(self.period);
        // After a pause one beat says all that the missed ones would have said.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Some(beat) = self.make() {
                let sealed = log::seal(&beat, &self.key);
                if let Err(error) =
                    live::publish_beat(&self.client, Bytes::from(sealed.bytes)).await
                {
                    tracing::warn!("a beat is not sent: {}", describe(&error));
                }
            }
        }
    }

    fn make(&self) -> Option<Beat> {
        let view = self.views.now();
        let root = view.root_hash.filter(|_| view.broken.is_none())?;
        let said_by_another = self.heard.borrow().is_some_and(|heard| {
            heard.root == root && Instant::now().duration_since(heard.at) < self.period
        });
        (!said_by_another).then(|| Beat {
            revision: view.revision(),
            root,
            issued_ms: track::wall_ms(),
            expires_after_ms: u64::try_from(self.expiry.as_millis()).unwrap_or(u64::MAX),
            publisher: self.name.to_string(),
        })
    }
}
