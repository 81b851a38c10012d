//! A trust bundle on its way into the log: one batch of it and a root that states its version.
//!
//! Promises: what is stored was signed by the offline key and is above what the log holds; a key that
//! retires in it has signed nothing beyond its end, because that is compared under the same
//! compare-and-set. Never signs a bundle.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use writ_bus::{
    Client,
    batch::{self, Batch, Message, Outcome},
};
use writ_core::{envelope::KeyId, revision::Revision, subject::BusSubject, trust::Standing};
use writ_proto::{
    log::{self, OpenError},
    trust::{Trust, TrustBundle},
};
use writ_telemetry::describe;

use crate::{
    trust::{Signer, Trusted},
    view::{Broken, View, Views},
};

/// As an edit may take.
const STORE_TIME_MAX: Duration = Duration::from_secs(20);
/// Between two tries.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// Why a bundle is not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Not a trust file, or not of its offline key.
    #[error("it holds no trust bundle that its offline key signed")]
    File(#[source] OpenError),
    /// Another offline key.
    #[error("it is signed by another offline key than the one that this fleet was given")]
    OfflineKey,
    /// An earlier bundle, or another one of the same version.
    #[error(
        "version {found} is not above version {held}, which is in force: sign it anew upon that one"
    )]
    Older {
        /// In force.
        held: u64,
        /// Handed in.
        found: u64,
    },
    /// What it signed since would not be believed any more.
    #[error(
        "key {key} has signed up to revision {at}, and would count up to {until} only: sign it anew with a later end"
    )]
    SignedSince {
        /// The key that would retire.
        key: KeyId,
        /// The last that it signed.
        at: Revision,
        /// Where it would end.
        until: Revision,
    },
    /// This publisher signs the root.
    #[error(
        "this publisher signs with key {0}, which would not be active: give it another one first, or ask another publisher"
    )]
    OwnKey(KeyId),
    /// No edit can be made.
    #[error("{0}")]
    Broken(Broken),
    /// The log does not take it.
    #[error("the log does not take it: {0}")]
    Refused(String),
    /// The time is over.
    #[error("the log did not say in time whether it took it: look at the bundle in force")]
    Unknown,
}

/// Stores bundles.
#[derive(Clone)]
pub(crate) struct Bundles {
    pub(crate) client: Client,
    pub(crate) trusted: Trusted,
    pub(crate) signer: Signer,
    pub(crate) views: Views,
}

impl Bundles {
    /// Stores the bundle of a trust file; answers the revision at which it is in force.
    ///
    /// # Errors
    /// [`Error`]; but for [`Error::Unknown`] it is not in the log then.
    pub(crate) async fn store(&self, file: &[u8]) -> Result<Revision, Error> {
        let wanted = Trust::from_file(file).map_err(Error::File)?;
        if wanted.offline != self.trusted.held().trust.offline {
            return Err(Error::OfflineKey);
        }
        let until = Instant::now() + STORE_TIME_MAX;
        let mut is_in_doubt = false;
        while Instant::now() < until {
            let view = self.views.now();
            if let Some(revision) = self.in_force(&wanted, &view)? {
                return Ok(revision);
            }
            match self.try_store(&wanted, &view).await? {
                Tried::Stored(revision) => {
                    let seen = |view: &std::sync::Arc<View>| view.revision() >= revision;
                    // It is stored, whenever it is read back.
                    let _ = self.views.wait_for(seen).await;
                    return Ok(revision);
                }
                Tried::Again => {}
                Tried::Unknown => is_in_doubt = true,
            }
            sleep(RETRY_DELAY).await;
        }
        match is_in_doubt {
            true => Err(Error::Unknown),
            false => Err(Error::Refused("others came first, again and again".into())),
        }
    }

    /// Whether it is there already: an answer may have been lost.
    fn in_force(&self, wanted: &Trust, view: &View) -> Result<Option<Revision>, Error> {
        let held = self.trusted.held();
        let (held, found) = (&held.trust, wanted.bundle.version);
        if held.signed == wanted.signed && view.state.trust() == found {
            return Ok(Some(view.revision()));
        }
        if found <= held.bundle.version && held.signed != wanted.signed
            || found <= view.state.trust()
        {
            let held = held.bundle.version;
            return Err(Error::Older { held, found });
        }
        Ok(None)
    }

    async fn try_store(&self, wanted: &Trust, view: &View) -> Result<Tried, Error> {
        let key = self.signer.hold().await;
        if let Some(broken) = &view.broken {
            return Err(Error::Broken(broken.clone()));
        }
        if !wanted.bundle.is_active(&key.public()) {
            return Err(Error::OwnKey(key.public().id()));
        }
        check_ends(&wanted.bundle, view)?;
        let root = view.state.root_with_trust(wanted.bundle.version);
        let messages = vec![
            Message {
                subject: BusSubject::Trust,
                bytes: Bytes::from(wanted.signed.clone()),
            },
            Message {
                subject: BusSubject::Root,
                bytes: log::seal(&root, &key).bytes.into(),
            },
        ];
        let batch = Batch::new(messages, view.root_sequence);
        let batch = batch.map_err(|invalid| Error::Refused(describe(&invalid)))?;
        match batch::commit(&self.client, &batch).await {
            Ok(Outcome::Committed { .. }) => Ok(Tried::Stored(root.revision)),
            Ok(Outcome::Conflict | Outcome::Retry { .. }) => Ok(Tried::Again),
            Ok(Outcome::Unknown) => Ok(Tried::Unknown),
            Ok(Outcome::Full) => Err(Error::Refused("the stream WRIT is full".into())),
            Ok(Outcome::Refused { code, description }) => {
                Err(Error::Refused(format!("{description} ({code})")))
            }
            Err(error) => {
                tracing::debug!("a bundle is not stored yet: {}", describe(&error));
                Ok(Tried::Unknown)
            }
        }
    }
}

enum Tried {
    Stored(Revision),
    Again,
    Unknown,
}

/// Nothing that is in the log may lose its signature by a key's retirement.
fn check_ends(bundle: &TrustBundle, view: &View) -> Result<(), Error> {
    for key in &bundle.keys {
        let Standing::Retired { until } = key.standing else {
            continue;
        };
        let id = key.public.id();
        if let Some(at) = view.signed.get(&id).filter(|at| **at > until) {
            let at = *at;
            return Err(Error::SignedSince { key: id, at, until });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use writ_core::envelope::SigningKey;

    use super::*;

    #[test]
    fn a_key_does_not_retire_before_what_it_has_signed() {
        let key = |seed| SigningKey::from_seed(&[seed; 32]).public();
        let at = |number| Revision { epoch: 1, number };
        let id = key(1).id();
        let mut view = View::default();
        view.signed(id, at(7));
        view.signed(id, at(5));
        let both = TrustBundle::first([key(1), key(2)]);
        for (until, is_taken) in [(6, false), (7, true), (8, true)] {
            let bundle = both.retire(id, at(until), 1).unwrap();
            let checked = check_ends(&bundle, &view);
            assert_eq!(checked.is_ok(), is_taken, "{until}");
            if let Err(error) = checked {
                assert!(error.to_string().contains("up to revision 7"), "{error}");
            }
        }
        assert!(check_ends(&both, &view).is_ok());
    }
}
