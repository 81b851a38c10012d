//! The follower of the log: from the stream's messages to the view, root by root.
//!
//! Promises: nothing is believed that does not verify; the view moves only from root to root, and only
//! where everything is as the root states it. Never writes.

use std::sync::Arc;

use tokio::sync::watch;
use writ_bus::{
    Client,
    log::{self as bus_log, Entry},
    read::Stored,
    streams::Stream,
};
use writ_core::{
    edit::{Intent, Message, SeenRoot},
    envelope::Keyring,
    subject::BusSubject,
    tracker::{Committed, read_manifest},
};
use writ_proto::log;

use crate::{alarm::Alarms, track::Tracking, view::View};

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
    trusted: Keyring,
    views: watch::Sender<Arc<View>>,
    tracking: Tracking,
    alarms: Alarms,
    /// The view that is being made; shown at roots.
    view: View,
    /// Intents since the last root.
    open: Vec<Intent>,
}

impl Follower {
    pub(crate) fn new(
        client: Client,
        trusted: Keyring,
        views: watch::Sender<Arc<View>>,
        tracking: Tracking,
        alarms: Alarms,
    ) -> Follower {
        let (view, open) = (View::default(), Vec::new());
        Follower {
            client,
            trusted,
            views,
            tracking,
            alarms,
            view,
            open,
        }
    }

    /// Follows for ever; says once when everything that was stored at the start is in the view.
    ///
    /// # Errors
    /// Where going on would be wrong: the publisher has to end then.
    pub(crate) async fn run(mut self, caught_up: watch::Sender<bool>) -> Result<(), Error> {
        let mut tail = bus_log::follow(&self.client, Stream::Log).await?;
        while let Some(entry) = tail.next().await {
            match entry? {
                Entry::Message(stored) => self.take(stored),
                Entry::CaughtUp => {
                    caught_up.send_replace(true);
                }
            }
        }
        Err(Error::Ended)
    }

    fn take(&mut self, stored: Stored) {
        let is_root = stored.subject == BusSubject::Root;
        if is_root {
            self.view.root_sequence = stored.sequence;
        }
        match log::open_message(&stored.subject, &stored.bytes, &self.trusted) {
            Ok(opened) => self.follow(&stored.subject, opened),
            Err(error) => self.alarms.raise(&stored.subject, error.category(), &error),
        }
        if is_root {
            self.views.send_replace(Arc::new(self.view.clone()));
        }
    }

    fn follow(&mut self, subject: &BusSubject, opened: log::Opened<Message>) {
        let mut seen = None;
        match &opened.value {
            Message::Intent(intent) => self.open.push(intent.clone()),
            Message::Root(root) => {
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
                self.view.root_hash = Some(opened.hash);
                self.view.broken = None;
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
                self.alarms.raise(subject, "log_differs", &error);
                self.view.broken = Some(error.to_string());
                self.open.clear();
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
                self.tracking.edit(committed);
            }
            Err(error) => self.alarms.raise(&subject, "not_understood", &error),
        }
    }
}
