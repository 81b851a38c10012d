//! What this publisher believes, and with which key it signs. Both change while it runs.
//!
//! Promises: a bundle counts under the offline key only, and never one below the version held; a key
//! is changed only while no batch that it signed is on its way; nothing is signed with a key that the
//! bundle does not list as active. Never makes a key.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::{OwnedRwLockReadGuard, RwLock, watch};
use writ_bus::{Client, read, streams::Stream};
use writ_core::{
    envelope::{KeyId, Keyring, PublicKey, SigningKey},
    subject::BusSubject,
};
use writ_proto::{log::OpenError, trust::Trust};
use writ_telemetry::describe;

use crate::{keys, view::Broken};

/// How often the file of the signing key is looked at: whoever rotates waits for that.
const LOOK_PERIOD: Duration = Duration::from_millis(500);

/// The newest trust bundle. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Trusted(Arc<watch::Sender<Arc<Held>>>);

/// A bundle with its keyrings.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) trust: Trust,
    publishers: Arc<Keyring>,
    offline: Arc<Keyring>,
}

impl Held {
    fn of(trust: Trust) -> Arc<Held> {
        Arc::new(Held {
            publishers: Arc::new(trust.bundle.keyring()),
            offline: Arc::new(trust.offline_keyring()),
            trust,
        })
    }
}

impl Trusted {
    pub(crate) fn new(trust: Trust) -> Trusted {
        Trusted(Arc::new(watch::channel(Held::of(trust)).0))
    }

    /// The bundle of now.
    pub(crate) fn held(&self) -> Arc<Held> {
        self.0.borrow().clone()
    }

    /// The keys of all publishers.
    pub(crate) fn keyring(&self) -> Arc<Keyring> {
        self.0.borrow().publishers.clone()
    }

    /// The offline key.
    pub(crate) fn offline(&self) -> Arc<Keyring> {
        self.0.borrow().offline.clone()
    }

    pub(crate) fn version(&self) -> u64 {
        self.0.borrow().trust.bundle.version
    }

    /// Takes a signed bundle if it is a later one; answers whether it was.
    ///
    /// # Errors
    /// [`OpenError`] where the offline key did not sign it.
    pub(crate) fn take(&self, signed: &[u8]) -> Result<bool, OpenError> {
        let mut trust = self.held().trust.clone();
        if !trust.take(signed)? {
            return Ok(false);
        }
        let version = trust.bundle.version;
        let held = Held::of(trust);
        let is_taken = self.0.send_if_modified(|known| {
            // Somebody else may have taken a later one meanwhile.
            let is_later = known.trust.bundle.version < version;
            if is_later {
                *known = held.clone();
            }
            is_later
        });
        if is_taken {
            tracing::warn!(version, "the trust bundle is another one");
        }
        Ok(is_taken)
    }

    /// Takes the newest bundle that the log holds, before anything of the log is read that a key may have
    /// signed which is only in that bundle.
    pub(crate) async fn read(&self, client: &Client) -> Result<(), writ_bus::connection::Error> {
        let stored = read::last_by_subject(client, Stream::Log, &BusSubject::Trust).await?;
        if let Some(stored) = stored
            && let Err(error) = self.take(&stored.bytes)
        {
            let causes = describe(&error);
            tracing::error!(alarm = error.category(), subject = %stored.subject, "the log's trust bundle is not believed: {causes}");
        }
        Ok(())
    }
}

/// The key that this publisher signs with. Clones share it.
#[derive(Clone)]
pub(crate) struct Signer {
    key: Arc<RwLock<SigningKey>>,
    public: Arc<watch::Sender<PublicKey>>,
    trusted: Trusted,
    path: PathBuf,
    broken: Arc<watch::Sender<Option<Broken>>>,
}

impl Signer {
    /// Signs with a key that was read from a file, and with whatever that file holds later.
    pub(crate) fn new(key: SigningKey, path: PathBuf, trusted: Trusted) -> Signer {
        let signer = Signer {
            public: Arc::new(watch::channel(key.public()).0),
            key: Arc::new(RwLock::new(key)),
            trusted,
            path,
            broken: Arc::new(watch::channel(None).0),
        };
        signer.tell();
        signer
    }

    /// The key, which does not change until the guard is dropped.
    pub(crate) async fn hold(&self) -> OwnedRwLockReadGuard<SigningKey> {
        self.key.clone().read_owned().await
    }

    /// The id of the key of now.
    pub(crate) fn id(&self) -> KeyId {
        self.public.borrow().id()
    }

    /// Why nothing may be signed, if so.
    pub(crate) fn broken(&self) -> watch::Receiver<Option<Broken>> {
        self.broken.subscribe()
    }

    /// Looks at the file and at the bundle for ever.
    pub(crate) async fn keep(self) {
        let mut bundles = self.trusted.0.subscribe();
        loop {
            self.look().await;
            tokio::select! {
                changed = bundles.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LOOK_PERIOD) => {}
            }
        }
    }

    /// Goes to the file's key where the bundle lists it: at once where the old one does not count any
    /// more, and with what is on its way first otherwise.
    async fn look(&self) {
        // A file that is being replaced, or can't be read, is looked at again.
        let Ok(found) = keys::read(&self.path) else {
            return self.tell();
        };
        let public = found.public();
        if public != *self.public.borrow() && self.trusted.held().trust.bundle.is_active(&public) {
            *self.key.write().await = found;
            tracing::warn!(key = %public.id(), "from now on this publisher signs with another key");
            self.public.send_replace(public);
        }
        self.tell();
    }

    fn tell(&self) {
        let public = self.public.borrow().clone();
        let is_active = self.trusted.held().trust.bundle.is_active(&public);
        let now = (!is_active).then(|| Broken {
            reason: crate::words::KEY_NOT_TRUSTED,
            message: format!(
                "the trust bundle {} does not list this publisher's key {} as active: put one that it lists into {}",
                self.trusted.version(),
                public.id(),
                self.path.display()
            ),
        });
        self.broken.send_if_modified(|known| {
            let is_news = *known != now;
            if is_news && let Some(broken) = &now {
                tracing::error!(
                    reason = broken.reason,
                    "no edit is accepted: {}",
                    broken.message
                );
            }
            *known = now;
            is_news
        });
    }
}
