//! The beat: every few seconds, a signed statement of where the log is.
//!
//! Never beats for a log that it can't believe, nor for an empty one; stays silent while another
//! publisher says the same, and takes over within a quarter of a period where that one falls silent.

use std::time::Duration;

use bytes::Bytes;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use writ_bus::{Client, live};
use writ_core::{beat::Beat, name::Name};
use writ_proto::log;
use writ_telemetry::describe;

use crate::{hear::HeardBeat, track, trust::Signer, view::Views};

/// What beats.
pub(crate) struct Heart {
    pub(crate) client: Client,
    pub(crate) signer: Signer,
    pub(crate) views: Views,
    pub(crate) name: Name,
    pub(crate) period: Duration,
    pub(crate) expiry: Duration,
    pub(crate) heard: watch::Receiver<Option<HeardBeat>>,
}

/// How much later than one that keeps beating another publisher is ready to take over, at most: a part
/// of the period. Drawn anew at every beat that is heard, so that of those who wait one is first.
const TAKE_OVER_DELAY_PART: u32 = 4;

impl Heart {
    /// Beats for ever.
    pub(crate) async fn run(mut self) {
        let mut next = Instant::now();
        loop {
            tokio::select! {
                () = sleep_until(next) => {
                    // After a pause one beat says all that the missed ones would have said.
                    next = Instant::now() + self.period;
                    if let Some(beat) = self.make() {
                        self.send(&beat).await;
                    }
                }
                // The other end lives as long as the publisher listens.
                Ok(()) = self.heard.changed() => {
                    if let Some(at) = self.last_said_by_another() {
                        next = at + self.period + self.take_over_delay();
                    }
                }
            }
        }
    }

    async fn send(&self, beat: &Beat) {
        let sealed = log::seal(beat, &*self.signer.hold().await);
        if let Err(error) = live::publish_beat(&self.client, Bytes::from(sealed.bytes)).await {
            tracing::warn!("a beat is not sent: {}", describe(&error));
        }
    }

    fn take_over_delay(&self) -> Duration {
        let most = self.period / TAKE_OVER_DELAY_PART;
        most.mul_f64(rand::random_range(0.0..1.0))
    }

    /// When another publisher last said what this one would say, or a newer place in the log, where
    /// this one has yet to get. An older place silences nobody: who says it may have come to a halt.
    fn last_said_by_another(&self) -> Option<Instant> {
        let view = self.views.now();
        let heard = (*self.heard.borrow())?;
        let says_enough = Some(heard.root) == view.root_hash || heard.revision > view.revision();
        says_enough.then_some(heard.at)
    }

    fn make(&self) -> Option<Beat> {
        let view = self.views.now();
        let root = view.root_hash.filter(|_| view.broken.is_none())?;
        let said = self.last_said_by_another();
        let is_said = said.is_some_and(|at| Instant::now().duration_since(at) < self.period);
        (!is_said).then(|| Beat {
            revision: view.revision(),
            root,
            issued_ms: track::wall_ms(),
            expires_after_ms: u64::try_from(self.expiry.as_millis()).unwrap_or(u64::MAX),
            publisher: self.name.to_string(),
        })
    }
}
