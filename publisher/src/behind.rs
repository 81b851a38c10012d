//! Rule 9 with a clock and a bus: whether the log is behind what publishers signed.
//!
//! What is heard is handed to the core's watch; where it asks for the log's leader, the leader is asked
//! here. Promises: no statement counts that no publisher signed; one question at a time is on its way.
//! Never decides.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::watch;
use writ_bus::{Client, read, streams::Stream};
use writ_core::{
    hash::Hash,
    recover::{Ahead, Asked, Heard, Watch},
    revision::Revision,
    root::Root,
    subject::BusSubject,
};
use writ_proto::log;
use writ_telemetry::describe;

use crate::{trust::Trusted, view::Broken};

/// The watch over the log's end. Clones share it.
#[derive(Clone)]
pub(crate) struct Behind(Arc<Inner>);

struct Inner {
    client: Client,
    /// The publishers' keys.
    trusted: Trusted,
    watch: Mutex<Watch>,
    /// What was shown last: most clusters show the same beat.
    shown: Mutex<Vec<u8>>,
    broken: watch::Sender<Option<Broken>>,
    is_asking: AtomicBool,
}

impl Behind {
    pub(crate) fn new(client: Client, trusted: Trusted) -> Behind {
        Behind(Arc::new(Inner {
            client,
            trusted,
            watch: Mutex::default(),
            shown: Mutex::default(),
            broken: watch::channel(None).0,
            is_asking: AtomicBool::new(false),
        }))
    }

    /// Why no edit may be made, if so.
    pub(crate) fn broken(&self) -> watch::Receiver<Option<Broken>> {
        self.0.broken.subscribe()
    }

    /// The log was followed to a root.
    pub(crate) fn on_root(&self, revision: Revision, root: Hash) {
        self.watch().on_root(revision, root);
        self.tell();
    }

    /// The log has to be read from its beginning again. What was read before is heard of like anything
    /// else: it was signed.
    pub(crate) fn on_restart(&self, held: Option<(Revision, Hash)>) {
        self.watch().on_restart();
        if let Some((revision, root)) = held {
            self.hear(Heard {
                revision,
                root: Some(root),
                from: "what this publisher has read itself".to_owned(),
            });
        }
    }

    /// Somebody shows a publisher's word. One that is none shows nothing: it stops no edit.
    pub(crate) fn show(&self, witness: &[u8], from: impl FnOnce() -> String) {
        {
            let mut shown = self.0.shown.lock().unwrap_or_else(PoisonError::into_inner);
            if witness.is_empty() || *shown == witness {
                return;
            }
            witness.clone_into(&mut shown);
        }
        match log::open_witness(witness, &self.0.trusted.keyring()) {
            Ok(shown) => self.hear(Heard {
                revision: shown.revision,
                root: shown.root,
                from: from(),
            }),
            Err(error) => tracing::debug!("a witness shows nothing: {}", describe(&error)),
        }
    }

    /// A statement that was verified.
    pub(crate) fn hear(&self, heard: Heard) {
        let asked = self.watch().hear(heard);
        self.tell();
        if asked == Asked::Leader && !self.0.is_asking.swap(true, Ordering::AcqRel) {
            let behind = self.clone();
            tokio::spawn(async move { behind.ask().await });
        }
    }

    /// Asks the log's leader; one that can't be asked is asked when the next one shows the same.
    async fn ask(&self) {
        let read = read::last_by_subject(&self.0.client, Stream::Log, &BusSubject::Root).await;
        self.0.is_asking.store(false, Ordering::Release);
        // Whoever shows it again is to be listened to again.
        self.0
            .shown
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        let root = match read {
            Ok(stored) => stored,
            Err(error) => {
                return tracing::debug!("the log's leader can't be asked: {}", describe(&error));
            }
        };
        let root = root.and_then(|stored| {
            let opened =
                log::open::<Root>(&BusSubject::Root, &stored.bytes, &self.0.trusted.keyring());
            let opened = opened.ok()?;
            Some((opened.value.revision, opened.hash))
        });
        self.watch().on_leader(root);
        self.tell();
    }

    /// Says what changed: once in the log, and to whoever asks.
    fn tell(&self) {
        let now = self.watch().ahead().map(|ahead: &Ahead| Broken {
            reason: if ahead.is_fork {
                crate::words::LOG_FORKED
            } else {
                crate::words::LOG_BEHIND
            },
            message: ahead.to_string(),
        });
        self.0.broken.send_if_modified(|known| {
            if *known == now {
                return false;
            }
            match &now {
                Some(broken) => tracing::error!(
                    reason = broken.reason,
                    "no edit is accepted: {}; look at it with `writ recover`",
                    broken.message
                ),
                None => tracing::warn!("the log is where it was heard of: edits are accepted"),
            }
            *known = now;
            true
        });
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.0.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
