//! The follower of the log: from the stream's messages to the view, root by root.
//!
//! Promises: nothing is believed that does not verify; the view moves only from root to root, and only
//! where everything is as the root states it. Never writes.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::sleep};
use writ_bus::{
    Client,
    batch::{self, Batch},
    log::{self as bus_log, Entry},
    read::Stored,
    streams::{self, Stream},
};
use writ_core::{
    edit::{FollowError, Intent, Message, SeenRoot},
    hash::Hash,
    revision::Revision,
    root::Root,
    subject::BusSubject,
    tracker::{Committed, read_manifest},
};
use writ_proto::log;
use writ_telemetry::describe;

use crate::{
    alarm::Alarms,
    behind::Behind,
    doubt::{Differs, Doubt},
    metrics::Meters,
    track::Tracking,
    trust::Trusted,
    view::{Broken, View},
};

/// How long a log that was found to be another one is left alone; it may be put back just now.
const ANOTHER_LOG_DELAY: Duration = Duration::from_millis(500);

/// How often the trust bundle is put back at most: whoever replaces it may do so as often as he likes.
const PUT_BACK_PERIOD: Duration = Duration::from_secs(5);

/// Why the log can't be followed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream can't be read on, or is another one than before.
    #[error("can't follow the log")]
    Read(#[from] bus_log::Error),
    /// The connection was closed.
    #[error("the log ended: the connection to the bus is closed")]
    Ended,
}

/// Follows the log.
pub(crate) struct Follower {
    client: Client,
    trusted: Trusted,
    behind: Behind,
    views: watch::Sender<Arc<View>>,
    tracking: Tracking,
    alarms: Alarms,
    meters: Meters,
    /// The view that is being made; shown at roots.
    view: View,
    /// Intents since the last root.
    open: Vec<Intent>,
    /// Where the view is that is shown, after the log was found to be another one: nobody is answered
    /// from an older state because a backup is older.
    shown: Option<(Revision, Option<Hash>)>,
    /// Up to where the log came out of a backup.
    restored: Option<u64>,
    /// When the trust bundle was last put back.
    put_back_at: Option<Instant>,
    doubt: Doubt,
}

impl Follower {
    pub(crate) fn new(
        client: Client,
        trusted: Trusted,
        behind: Behind,
        views: watch::Sender<Arc<View>>,
        tracking: Tracking,
        alarms: Alarms,
        meters: Meters,
    ) -> Follower {
        let (view, open) = (View::default(), Vec::new());
        Follower {
            client,
            trusted,
            behind,
            views,
            tracking,
            alarms,
            meters,
            view,
            open,
            shown: None,
            restored: None,
            put_back_at: None,
            doubt: Doubt::default(),
        }
    }

    /// Follows for ever; says once when everything that was stored at the start is in the view.
    ///
    /// # Errors
    /// Where going on would be wrong: the publisher has to end then.
    pub(crate) async fn run(mut self, caught_up: watch::Sender<bool>) -> Result<(), Error> {
        loop {
            match self.follow_once(&caught_up).await {
                // Before the first start is through, that is for whoever starts it.
                Err(error) if *caught_up.borrow() && is_another_log(&error) => {
                    self.start_anew(&error);
                    sleep(ANOTHER_LOG_DELAY).await;
                }
                ended => return ended,
            }
        }
    }

    async fn follow_once(&mut self, caught_up: &watch::Sender<bool>) -> Result<(), Error> {
        let mut tail = bus_log::follow(&self.client, Stream::Log).await?;
        // Of the very stream that is read: one that takes its place is read by another tail.
        self.restored = streams::restored(&self.client, Stream::Log)
            .await
            .map_err(bus_log::Error::from)?;
        let held_back = self.doubt.begin();
        self.tell(held_back);
        while let Some(entry) = tail.next().await {
            match entry? {
                Entry::Message(stored) => self.take(stored),
                Entry::CaughtUp => {
                    let held_back = self.doubt.catch_up();
                    self.tell(held_back);
                    self.check_torn(true);
                    self.check_empty();
                    caught_up.send_replace(true);
                }
                Entry::Gap => {
                    let held_back = self.doubt.begin();
                    self.tell(held_back);
                }
            }
        }
        Err(Error::Ended)
    }

    fn tell(&self, differs: Option<Differs>) {
        if let Some((subject, error)) = differs {
            self.alarms.raise(&subject, "log_differs", &error);
        }
    }

    /// The stream is gone, or ends before what was read of it: it is read from its beginning, and what
    /// was shown so far stays until the log is above it again.
    fn start_anew(&mut self, error: &Error) {
        if self.shown.is_none() {
            let causes = describe(error);
            tracing::error!(
                reason = crate::words::LOG_RESTORED,
                "no edit is accepted: {causes}"
            );
            self.shown = Some((self.view.revision(), self.view.root_hash));
            let mut shown = View::clone(&self.view);
            shown.broken = Some(Broken {
                reason: crate::words::LOG_RESTORED,
                message: causes,
            });
            self.views.send_replace(Arc::new(shown));
            let held = self.view.root_hash.map(|hash| (self.view.revision(), hash));
            self.behind.on_restart(held);
        }
        self.view = View::default();
        self.open.clear();
    }

    fn take(&mut self, stored: Stored) {
        let is_root = stored.subject == BusSubject::Root;
        if is_root {
            self.view.root_sequence = stored.sequence;
        }
        if stored.subject == BusSubject::Trust {
            return self.take_trust(&stored);
        }
        match log::open_message(&stored.subject, &stored.bytes, &self.trusted.keyring()) {
            Ok(opened) => {
                self.view.signed(opened.key_id, opened.value.revision());
                self.follow(&stored.subject, opened);
            }
            Err(error) => self.alarms.raise(&stored.subject, error.category(), &error),
        }
        if is_root {
            self.show();
        }
        self.check_torn(false);
    }

    fn show(&mut self) {
        let now = (self.view.revision(), self.view.root_hash);
        // The very log may be back, too.
        if self
            .shown
            .is_none_or(|shown| now.0 > shown.0 || now == shown)
        {
            self.shown = None;
            self.views.send_replace(Arc::new(self.view.clone()));
        }
    }

    /// No edit is built on what a recovery has begun to replace.
    fn check_torn(&mut self, is_all: bool) {
        if self.view.broken.is_some() || !self.view.state.is_torn(is_all) {
            return;
        }
        let message = "a recovery was begun and has not ended: if nobody is at it, run it again";
        tracing::error!(
            reason = crate::words::EPOCH_NOT_OPENED,
            "no edit is accepted: {message}"
        );
        self.view.broken = Some(Broken {
            reason: crate::words::EPOCH_NOT_OPENED,
            message: message.to_owned(),
        });
        self.show();
    }

    /// Where no root came, nobody looked yet whether the log may be believed.
    fn check_empty(&mut self) {
        if self.view.root_sequence > 0 || self.view.broken.is_some() {
            return;
        }
        self.view.broken = self.check_restored();
        if self.view.broken.is_some() {
            self.show();
        }
    }

    /// A log out of a backup looks like any other, and clusters may hold what was signed above it: those that
    /// are not connected yet can't say so. No edit is built on it until a recovery has asked them.
    fn check_restored(&self) -> Option<Broken> {
        if self.restored < Some(self.view.root_sequence.max(1)) {
            return None;
        }
        let message = "it was restored from a backup, and clusters may hold more than it does";
        tracing::error!(
            reason = crate::words::LOG_RESTORED,
            "no edit is accepted: {message}"
        );
        Some(Broken {
            reason: crate::words::LOG_RESTORED,
            message: message.to_owned(),
        })
    }

    /// A bundle: a later one is in force from here on. An earlier one, or one that nobody believes, would
    /// keep whoever starts anew from finding the one in force, so that one is put back.
    fn take_trust(&mut self, stored: &Stored) {
        let taken = self.trusted.take(&stored.bytes);
        if let Err(error) = &taken {
            self.alarms.raise(&stored.subject, error.category(), error);
        }
        let held = self.trusted.held();
        if taken.is_ok_and(|is_new| is_new) || held.trust.signed == stored.bytes {
            return;
        }
        let is_time = self
            .put_back_at
            .is_none_or(|at| at.elapsed() >= PUT_BACK_PERIOD);
        if !is_time || held.trust.bundle.version <= 1 && self.view.state.trust() == 0 {
            return;
        }
        self.put_back_at = Some(Instant::now());
        tracing::error!(
            alarm = "trust_replaced",
            held = held.trust.bundle.version,
            "another trust bundle was stored over the one in force: it is put back"
        );
        let client = self.client.clone();
        tokio::spawn(async move {
            let message = batch::Message {
                subject: BusSubject::Trust,
                bytes: held.trust.signed.clone().into(),
            };
            match Batch::part(vec![message]) {
                Ok(batch) => {
                    if let Err(error) = batch::commit(&client, &batch).await {
                        tracing::warn!("the trust bundle is not put back: {}", describe(&error));
                    }
                }
                Err(invalid) => tracing::warn!("the trust bundle is not put back: {invalid}"),
            }
        });
    }

    /// A root that states a bundle which is not here: whoever keeps it away wants an old one believed.
    fn check_trust(&self) -> Option<Broken> {
        let (stated, held) = (self.view.state.trust(), self.trusted.version());
        (stated > held).then(|| Broken {
            reason: crate::words::TRUST_MISSING,
            message: format!(
                "the log states trust bundle {stated}, and has it not: {held} is the newest at hand; store it again with `writ keys apply`"
            ),
        })
    }

    /// An opening counts by its own signature, and before its root is followed.
    fn admit(&mut self, subject: &BusSubject, root: &Root) {
        match log::open_opening(root, &self.trusted.offline()) {
            Ok(Some(opening)) => self.view.state.admit(&opening),
            Ok(None) => {}
            Err(error) => self.alarms.raise(subject, "opening_not_believed", &error),
        }
    }

    fn follow(&mut self, subject: &BusSubject, opened: log::Opened<Message>) {
        let mut seen = None;
        match &opened.value {
            Message::Intent(intent) => self.open.push(intent.clone()),
            Message::Root(root) => {
                self.admit(subject, root);
                seen = Some(SeenRoot {
                    revision: root.revision,
                    hash: opened.hash,
                    edits: root.edits.clone(),
                });
            }
            _ => {}
        }
        match self.view.state.follow(opened.value) {
            Ok(None) => {}
            Ok(Some(_)) => {
                self.doubt.fits();
                self.view.root_hash = Some(opened.hash);
                self.view.broken = self.check_trust().or_else(|| self.check_restored());
                self.behind.on_root(self.view.revision(), opened.hash);
                if let Some(root) = seen {
                    self.view.remember(root);
                }
                for intent in std::mem::take(&mut self.open) {
                    // In the order of the log, so that the last one is the newest edit's.
                    self.view.newest_ms = intent.committed_ms;
                    self.settle(&intent);
                }
            }
            Err(error) => {
                self.view.broken = Some(Broken {
                    reason: reason(&error),
                    message: error.to_string(),
                });
                let may_be_incomplete = error.may_be_incomplete();
                let differs = self.doubt.differs((subject.clone(), error));
                self.tell(differs);
                // What the state keeps for the next root is told of with it.
                if !may_be_incomplete {
                    self.open.clear();
                }
            }
        }
    }

    /// An intent is part of the state now.
    fn settle(&mut self, intent: &Intent) {
        let subject = BusSubject::Intent {
            kind: intent.kind,
            name: intent.name.clone(),
        };
        let read =
            read_manifest(intent).and_then(|document| Ok((document, Committed::read(intent)?)));
        match read {
            Ok((document, committed)) => {
                self.view
                    .set_document(intent.kind, intent.name.clone(), document);
                if let Some(committed) = committed {
                    let overtaken = self.tracking.edit(committed);
                    self.meters.progress(&overtaken);
                }
            }
            Err(error) => self.alarms.raise(&subject, "not_understood", &error),
        }
    }
}

/// Whether the stream is not the one that was read.
fn is_another_log(error: &Error) -> bool {
    matches!(
        error,
        Error::Read(
            bus_log::Error::Rewound { .. }
                | bus_log::Error::Stream(writ_bus::streams::Error::Missing(_))
        )
    )
}

/// The name of what does not fit, for machines.
fn reason(error: &FollowError) -> &'static str {
    match error {
        FollowError::WentBack { .. } => crate::words::LOG_WENT_BACK,
        FollowError::FeedDiffers { .. } => crate::words::LOG_DIFFERS,
        FollowError::Unopened(_) => crate::words::EPOCH_NOT_OPENED,
    }
}
