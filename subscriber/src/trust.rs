//! Which publishers' keys this cluster believes: the newest bundle of the offline key, and when to
//! read it.
//!
//! A bundle is heard like an event. One that was missed shows in two ways: a root states a later version,
//! or something is signed by a key that nobody here knows; then the bundle is read. Anybody can make up
//! keys, so those reads are bounded: after each that brings nothing new the next one waits longer.
//! Promises: never back to an earlier version, not after a restart either (the bundle is kept in
//! `writ-state`); the file that a subscriber is started with only counts where it is newer.

use std::{future::pending, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use tokio::time::Instant;
use writ_bus::{
    connection::{Client, Error},
    read::{self, Stored, Via},
};
use writ_core::{
    envelope::{KeyId, Keyring},
    subject::BusSubject,
};
use writ_proto::{log::OpenError, trust::Trust};

/// Pause after a first read that brought nothing: a replica, or a leaf's mirror, may be behind.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// Longest pause. What is signed by nobody's key costs a cluster two small reads a minute.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// An answer to a read.
pub(crate) type Answer = Result<Option<Stored>, Error>;

/// What came of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is in force from now on.
    New,
    /// It is the one that is held, or an earlier one.
    Known,
}

/// The bundle that is held.
pub(crate) struct Trustee {
    client: Client,
    trust: Trust,
    /// The version that a believed root states.
    stated: u64,
    /// Something came that a key signed which is not known here.
    is_puzzled: bool,
    under_way: Option<BoxFuture<'static, Answer>>,
    attempts: u32,
    pause: Duration,
    not_before: Instant,
}

impl Trustee {
    /// Holds a bundle, and reads the newest first: it may be an old one.
    pub(crate) fn new(client: Client, trust: Trust) -> Trustee {
        Trustee {
            client,
            trust,
            stated: 0,
            is_puzzled: true,
            under_way: None,
            attempts: 0,
            pause: PAUSE_MIN,
            not_before: Instant::now(),
        }
    }

    pub(crate) fn keyring(&self) -> Keyring {
        self.trust.bundle.keyring()
    }

    pub(crate) fn revoked(&self) -> Vec<KeyId> {
        revoked(&self.trust)
    }

    /// The key that signs bundles and opens epochs.
    pub(crate) fn offline(&self) -> Keyring {
        self.trust.offline_keyring()
    }

    /// The bundle as it was signed, to be kept.
    pub(crate) fn signed(&self) -> &[u8] {
        &self.trust.signed
    }

    /// A root that is believed states a version.
    pub(crate) fn on_stated(&mut self, version: u64) {
        self.stated = version.max(self.stated);
    }

    /// Something is signed by a key that is not known here.
    pub(crate) fn on_unknown_key(&mut self) {
        self.is_puzzled = true;
    }

    fn wants(&self) -> bool {
        self.is_puzzled || self.stated > self.trust.bundle.version
    }

    /// Reads if there is a reason to and it is time.
    pub(crate) fn ask(&mut self) {
        if self.under_way.is_some() || !self.wants() || Instant::now() < self.not_before {
            return;
        }
        self.is_puzzled = false;
        self.attempts += 1;
        // A leaf's mirror may be behind, and the hub may be away.
        let via = match self.attempts % 2 {
            1 => Via::Near,
            _ => Via::Hub,
        };
        let client = self.client.clone();
        let read = async move { read::get(&client, &BusSubject::Trust, via).await };
        self.under_way = Some(read.boxed());
    }

    /// When to ask again.
    pub(crate) fn wake(&self) -> Option<Instant> {
        (self.under_way.is_none() && self.wants()).then_some(self.not_before)
    }

    /// The next answer; pending while nothing is asked. May be dropped without losing one.
    pub(crate) async fn next(&mut self) -> Answer {
        match &mut self.under_way {
            Some(read) => {
                let answer = read.await;
                self.under_way = None;
                // Nothing was learnt: the bus may not be there yet.
                self.is_puzzled |= answer.is_err();
                self.not_before = Instant::now() + self.pause;
                self.pause = (self.pause * 2).min(PAUSE_MAX);
                answer
            }
            None => pending().await,
        }
    }

    /// Takes a bundle that was heard or read.
    ///
    /// # Errors
    /// [`OpenError`] where the offline key did not sign it.
    pub(crate) fn take(&mut self, signed: &[u8]) -> Result<Taken, OpenError> {
        if !self.trust.take(signed)? {
            return Ok(Taken::Known);
        }
        let version = self.trust.bundle.version;
        tracing::warn!(version, "the trust bundle is another one");
        (self.pause, self.not_before, self.attempts) = (PAUSE_MIN, Instant::now(), 0);
        Ok(Taken::New)
    }
}

/// The newer of what a subscriber is started with and what its cluster kept.
pub(crate) fn newest(mut given: Trust, kept: Option<&[u8]>) -> Trust {
    if let Some(kept) = kept
        && let Err(error) = given.take(kept)
    {
        let error = &error as &dyn std::error::Error;
        tracing::error!(
            error,
            "the trust bundle kept in the cluster is not believed: was the offline key replaced?"
        );
    }
    given
}

/// The keys that count for nothing any more.
pub(crate) fn revoked(trust: &Trust) -> Vec<KeyId> {
    let ids = trust.bundle.keys.iter().map(|key| key.public.id());
    ids.filter(|id| trust.bundle.is_revoked(*id)).collect()
}

#[cfg(test)]
mod tests {
    use writ_core::envelope::SigningKey;
    use writ_proto::trust::TrustBundle;

    use super::*;

    #[test]
    fn an_old_file_does_not_take_back_the_bundle_that_was_kept() {
        let key = |seed| SigningKey::from_seed(&[seed; 32]);
        let first = TrustBundle::first([key(1).public()]);
        let old = Trust::sign(first.clone(), &key(9));
        let second = first.with(key(2).public(), "", 1).unwrap();
        let new = Trust::sign(second, &key(9));
        assert_eq!(newest(old.clone(), Some(&new.signed)).bundle.version, 2);
        assert_eq!(newest(new.clone(), Some(&old.signed)).bundle.version, 2);
        assert_eq!(newest(old.clone(), None).bundle.version, 1);
        assert_eq!(newest(old, Some(b"damaged")).bundle.version, 1);
    }
}
