//! From bytes to believed messages. No I/O.
//!
//! Owns the keyring and the counts of what was refused. Each kind of refusal is logged once: a flood
//! of forged messages must not become a flood of log lines.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::sync::watch;
use writ_core::{
    envelope::{KeyId, Keyring},
    follower::Ignored,
    revision::Revision,
    subject::BusSubject,
};
use writ_proto::log::{self, OpenError, Opened, Payload};

/// The gate through which every message comes in.
pub(crate) struct Gate {
    /// Shared with whoever waits for a publisher's answer.
    trusted: watch::Sender<Keyring>,
    /// Keys that the bundle lists as revoked.
    revoked: BTreeSet<KeyId>,
    has_met_unknown_key: bool,
    refused: BTreeMap<&'static str, u64>,
}

impl Gate {
    /// A gate that believes the holders of these keys.
    pub(crate) fn new(trusted: Keyring) -> Gate {
        Gate {
            trusted: watch::channel(trusted).0,
            revoked: BTreeSet::new(),
            has_met_unknown_key: false,
            refused: BTreeMap::new(),
        }
    }

    /// The keys that are believed, as they are at any time.
    pub(crate) fn believed(&self) -> watch::Receiver<Keyring> {
        self.trusted.subscribe()
    }

    /// From now on believes the holders of these keys, and of no other.
    pub(crate) fn trust(&mut self, trusted: Keyring, revoked: impl IntoIterator<Item = KeyId>) {
        self.trusted.send_replace(trusted);
        self.revoked = revoked.into_iter().collect();
    }

    /// Whether something came since the last time that a key signed which nobody here knows.
    pub(crate) fn take_unknown_key(&mut self) -> bool {
        std::mem::take(&mut self.has_met_unknown_key)
    }

    /// Whether what the cluster kept was signed by a key that was revoked since: then nobody tampered with
    /// it, and it is read from the log again.
    pub(crate) fn is_of_revoked(&self, signed: &[u8]) -> bool {
        let keys = log::claimed_keys(signed);
        !keys.is_empty() && keys.iter().all(|key| self.revoked.contains(key))
    }

    /// Opens a message; what is not believed is counted, and nothing else happens.
    pub(crate) fn open<T: Payload>(
        &mut self,
        subject: &BusSubject,
        bytes: &[u8],
    ) -> Option<(Opened<T>, Arc<[u8]>)> {
        let opened = log::open(subject, bytes, &self.trusted.borrow());
        match opened {
            Ok(opened) => Some((opened, Arc::from(bytes))),
            Err(error) => {
                let mut keys = error.untrusted_keys().iter();
                self.has_met_unknown_key |= keys.any(|key| !self.revoked.contains(key));
                self.refuse(subject, &error);
                None
            }
        }
    }

    /// Counts what is not believed.
    pub(crate) fn refuse(&mut self, subject: &BusSubject, error: &OpenError) {
        let category = error.category();
        if self.count(category) == 1 {
            let error = error as &dyn std::error::Error;
            tracing::warn!(%subject, category, error, "message refused; further ones are counted");
        }
    }

    /// Counts what was believed and then ignored. Older messages are the normal case of a duplicate
    /// or a replay; two truths under one revision are an alarm, which a flood of them does not repeat.
    pub(crate) fn ignore(&mut self, subject: &BusSubject, why: Ignored) {
        let count = self.count(why.as_str());
        if why == Ignored::Conflicting && count.is_power_of_two() {
            tracing::error!(%subject, count, "two messages of one revision differ: a publisher's key signs two truths");
        } else if count == 1 {
            tracing::info!(%subject, category = why.as_str(), "message ignored; further ones are counted");
        }
    }

    /// Counts a root that begins an epoch without the offline key's word: somebody has a publisher's key,
    /// and not that one.
    pub(crate) fn unopened(&mut self, revision: Revision) {
        if self.count("epoch_not_opened") == 1 {
            tracing::error!(%revision, "a root begins an epoch without the offline key's word; it is not followed, further ones are counted");
        }
    }

    fn count(&mut self, category: &'static str) -> u64 {
        let count = self.refused.entry(category).or_default();
        *count += 1;
        *count
    }

    /// All that changed nothing since the start, by why.
    pub(crate) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.refused
    }

    /// Messages refused since the start, without those that were only older.
    pub(crate) fn refused(&self) -> u64 {
        // A recovery that is under way sends what is not open yet.
        let passing = [Ignored::Older, Ignored::Unopened].map(Ignored::as_str);
        let counted = |(category, _): &(&&str, &u64)| !passing.contains(*category);
        self.refused
            .iter()
            .filter(counted)
            .map(|(_, count)| count)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use writ_core::{beat::Beat, envelope::SigningKey, hash::Hash, revision::Revision};

    use super::*;

    #[test]
    fn what_is_not_believed_is_counted_and_what_is_older_is_not_an_offence() {
        let key = |seed| SigningKey::from_seed(&[seed; 32]);
        let mut gate = Gate::new(Keyring::new([key(1).public()]));
        let beat = Beat {
            revision: Revision::START,
            root: Hash::of(b""),
            issued_ms: 0,
            expires_after_ms: 1,
            publisher: "p".into(),
        };
        let good = log::seal(&beat, &key(1)).bytes;
        assert!(gate.open::<Beat>(&BusSubject::Beat, &good).is_some());
        assert_eq!(gate.refused(), 0);
        let forged = log::seal(&beat, &key(2)).bytes;
        assert!(gate.open::<Beat>(&BusSubject::Beat, &forged).is_none());
        assert!(gate.open::<Beat>(&BusSubject::Root, &good).is_none());
        gate.ignore(&BusSubject::Beat, Ignored::Older);
        assert_eq!(gate.refused(), 2);

        assert!(gate.take_unknown_key() && !gate.take_unknown_key());
        gate.trust(Keyring::new([key(2).public()]), [key(1).public().id()]);
        assert!(gate.open::<Beat>(&BusSubject::Beat, &forged).is_some());
        assert!(gate.open::<Beat>(&BusSubject::Beat, &good).is_none());
        assert!(!gate.take_unknown_key(), "a revoked key is no riddle");
        assert!(gate.is_of_revoked(&good) && !gate.is_of_revoked(&forged));
        assert!(!gate.is_of_revoked(b"damaged"));
    }
}
