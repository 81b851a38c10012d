//! What the clusters say: the stored acks and the live pulses, and the beats of other publishers.
//!
//! Promises: a cluster is believed only under the key of its own registry entry; an ack that a pulse
//! tells of and that was not seen is read again. Never writes.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};
use writ_bus::{
    Client,
    live::{self, Live, Signal},
    log::{self as bus_log, Entry},
    read::{self, Stored},
    streams::Stream,
};
use writ_core::{
    ack::{Ack, Pulse},
    beat::{Beat, LastBeats},
    hash::Hash,
    name::Name,
    recover::Heard,
    revision::Revision,
    subject::{BusSubject, Sender},
    tracker::{Fork, IDENTITY_FORKED, Link, Refused, Tracker},
};
use writ_proto::log;

use crate::{
    alarm::Alarms,
    behind::Behind,
    follow::Error,
    metrics::{AckOutcome, Meters},
    traces::Traces,
    track::{Tracking, wall_ms},
    trust::Trusted,
};

/// How long an ack that can't be read again is waited for; the next pulse tells of it again.
const REREAD_TIME_MAX: Duration = Duration::from_secs(2);

/// How long a stream that was found to be another one is left alone.
const ANOTHER_STREAM_DELAY: Duration = Duration::from_millis(500);

/// Another publisher's last beat.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HeardBeat {
    pub(crate) revision: Revision,
    pub(crate) root: Hash,
    pub(crate) at: Instant,
}

/// Hears acks and pulses.
#[derive(Clone)]
pub(crate) struct Ear {
    pub(crate) client: Client,
    /// The publishers' keys, for beats.
    pub(crate) trusted: Trusted,
    pub(crate) tracking: Tracking,
    pub(crate) alarms: Alarms,
    pub(crate) meters: Meters,
    pub(crate) behind: Behind,
    pub(crate) traces: Traces,
    pub(crate) own_name: Name,
}

impl Ear {
    /// Follows the stream of acks for ever; says once when the stored ones are taken.
    ///
    /// # Errors
    /// Where going on would be wrong: the publisher has to end then.
    pub(crate) async fn hear_acks(self, caught_up: watch::Sender<bool>) -> Result<(), Error> {
        loop {
            match self.hear_acks_once(&caught_up).await {
                // Acks that were lost or put back are told again by the clusters, as what they hold
                // changes; the newest of each is known here.
                Err(Error::Read(
                    bus_log::Error::Rewound { .. }
                    | bus_log::Error::Stream(writ_bus::streams::Error::Missing(_)),
                )) if *caught_up.borrow() => {
                    tracing::warn!(
                        "the stream of acks is another one than before: it is read anew"
                    );
                    tokio::time::sleep(ANOTHER_STREAM_DELAY).await;
                }
                ended => return ended,
            }
        }
    }

    async fn hear_acks_once(&self, caught_up: &watch::Sender<bool>) -> Result<(), Error> {
        let mut tail = bus_log::follow(&self.client, Stream::Acks).await?;
        while let Some(entry) = tail.next().await {
            match entry? {
                Entry::Message(stored) => {
                    let is_live = *caught_up.borrow();
                    self.take_ack(&stored, is_live);
                }
                Entry::CaughtUp => {
                    caught_up.send_replace(true);
                }
                Entry::Gap => {}
            }
        }
        Err(Error::Ended)
    }

    /// Listens for pulses and beats for ever.
    ///
    /// # Errors
    /// Where the connection was closed.
    pub(crate) async fn hear_pulses(
        self,
        mut live: Live,
        beats: watch::Sender<Option<HeardBeat>>,
    ) -> Result<(), Error> {
        let mut last = LastBeats::default();
        while let Some(signal) = live.next().await {
            match signal {
                Signal::Message { subject, bytes, .. } => match &subject {
                    BusSubject::Pulse(sender) => self.take_pulse(&subject, sender, &bytes).await,
                    BusSubject::Beat => self.take_beat(&bytes, &mut last, &beats),
                    _ => {}
                },
                // Nobody is silent for what was lost on its way to here.
                Signal::Gap => self.tracking.listen_anew(),
                Signal::Denied(denied) => tracing::error!("pulses can't be heard: {denied}"),
            }
        }
        Err(Error::Ended)
    }

    fn take_ack(&self, stored: &Stored, is_live: bool) {
        let (subject, bytes) = (&stored.subject, &*stored.bytes);
        let BusSubject::Ack(sender) = subject else {
            return;
        };
        self.show(sender, bytes);
        match log::open::<Ack>(subject, bytes, &self.tracking.keyring(&sender.cluster)) {
            Ok(opened) => {
                let link = Link {
                    counter: opened.value.counter,
                    previous: opened.value.previous,
                    hash: opened.hash,
                    boot_id: opened.value.boot_id.clone(),
                    sent_ms: opened.value.sent_ms,
                };
                if let Some(fork) = self.tracking.link(sender, &link) {
                    forked(sender, &fork);
                }
                let traced = is_live && self.traces.concern(&stored.places);
                let edits = traced.then(|| opened.value.edits.clone());
                let taken = self.tracking.ack(opened.value, is_live);
                if is_live {
                    self.meters.ack(outcome(&taken));
                }
                if let Ok(news) = &taken {
                    self.meters.progress(news);
                }
                if let (Some(edits), Ok(_)) = (edits, &taken) {
                    let cluster = &sender.cluster;
                    self.traces.acknowledged(cluster, &edits, &stored.places);
                }
                if let Err(refused) = taken {
                    tracing::debug!(
                        category = refused.category(),
                        "an ack is refused: {refused}"
                    );
                }
            }
            Err(error) if is_live => {
                self.meters.ack(AckOutcome::NotBelieved);
                self.alarms.raise(subject, error.category(), &error);
            }
            // The stream keeps the last acks of clusters that were removed or got other keys.
            Err(error) => tracing::debug!(%subject, "an old ack is passed over: {error}"),
        }
    }

    async fn take_pulse(&self, subject: &BusSubject, sender: &Sender, bytes: &[u8]) {
        self.show(sender, bytes);
        let keyring = self.tracking.keyring(&sender.cluster);
        let pulse = match log::open::<Pulse>(subject, bytes, &keyring) {
            Ok(opened) => opened.value,
            // A removed cluster goes on speaking; that is no alarm.
            Err(error) if keyring.is_empty() => {
                return tracing::debug!(%subject, "a pulse is refused: {error}");
            }
            Err(error) => {
                self.meters.pulse(AckOutcome::NotBelieved);
                return self.alarms.raise(subject, error.category(), &error);
            }
        };
        let missed = |tracker: &Tracker, now| tracker.pulses_missed(&sender.cluster, now);
        let missed = self.tracking.ask(missed);
        let taken = self.tracking.pulse(pulse);
        self.meters.pulse(outcome(&taken));
        match taken {
            Ok(news) => {
                self.meters.pulses_missed(missed);
                self.tracking.journal.pulses_lost(sender, missed);
                if news.forked
                    && let Some(fork) = self.tracking.fork(&sender.cluster)
                {
                    forked(sender, &fork);
                }
                if news.ack_missing {
                    self.read_ack(sender).await;
                }
            }
            Err(refused) => {
                tracing::debug!(
                    category = refused.category(),
                    "a pulse is refused: {refused}"
                );
            }
        }
    }

    /// What a cluster shows of a publisher's word counts by that publisher's signature: also from a
    /// cluster that a lost log does not know any more.
    fn show(&self, sender: &Sender, bytes: &[u8]) {
        if let Some(witness) = log::claimed_witness(bytes) {
            self.behind
                .show(&witness, || format!("cluster {}", sender.cluster));
        }
    }

    /// The pulse came before its ack did, or the ack came before its cluster was known here.
    async fn read_ack(&self, sender: &Sender) {
        let subject = BusSubject::Ack(sender.clone());
        let read = read::last_by_subject(&self.client, Stream::Acks, &subject);
        match tokio::time::timeout(REREAD_TIME_MAX, read).await {
            Ok(Ok(Some(stored))) => self.take_ack(&stored, true),
            Ok(Ok(None)) | Err(_) => {}
            Ok(Err(error)) => tracing::debug!("an ack can't be read again: {error}"),
        }
    }

    fn take_beat(
        &self,
        bytes: &[u8],
        last: &mut LastBeats,
        beats: &watch::Sender<Option<HeardBeat>>,
    ) {
        match log::open::<Beat>(&BusSubject::Beat, bytes, &self.trusted.keyring()) {
            Ok(opened) if opened.value.publisher != self.own_name.as_str() => {
                self.behind.hear(Heard {
                    revision: opened.value.revision,
                    root: Some(opened.value.root),
                    from: opened.value.publisher.clone(),
                });
                // What somebody sends again must not make this one fall silent.
                if !last.take(&opened.value) || opened.value.ends_ms() < wall_ms() {
                    return;
                }
                beats.send_replace(Some(HeardBeat {
                    revision: opened.value.revision,
                    root: opened.value.root,
                    at: Instant::now(),
                }));
            }
            Ok(_) => {}
            Err(error) => self
                .alarms
                .raise(&BusSubject::Beat, error.category(), &error),
        }
    }
}

/// What became of a message that was believed.
fn outcome<T>(taken: &Result<T, Refused>) -> AckOutcome {
    match taken {
        Ok(_) => AckOutcome::Taken,
        Err(refused) => AckOutcome::from(refused),
    }
}

/// Two hold the keys of one cluster.
fn forked(sender: &Sender, fork: &Fork) {
    tracing::error!(alarm = IDENTITY_FORKED, cluster = %sender.cluster, "two speak for one cluster: {fork}; nothing that it says counts until it has other keys");
}

/// Begins to listen; before the log is followed, so that nothing said meanwhile is missed.
pub(crate) async fn listen(client: &Client) -> Result<Live, writ_bus::connection::Error> {
    live::listen_as_publisher(client).await
}
