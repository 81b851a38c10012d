//! From bytes to believed messages. No I/O.
//!
//! Owns the keyring and the counts of what was refused. Each kind of refusal is logged once: a flood
//! of forged messages must not become a flood of log lines.

use std::{collections::BTreeMap, sync::Arc};

use writ_core::{envelope::Keyring, follower::Ignored, revision::Revision, subject::BusSubject};
use writ_proto::log::{self, Opened, Payload};

/// The gate through which every message comes in.
pub(crate) struct Gate {
    trusted: Keyring,
    refused: BTreeMap<&'static str, u64>,
}

impl Gate {
    /// A gate that believes the holders of these keys.
    pub(crate) fn new(trusted: Keyring) -> Gate {
        Gate {
            trusted,
            refused: BTreeMap::new(),
        }
    }

    /// Opens a message; what is not believed is counted, and nothing else happens.
    pub(crate) fn open<T: Payload>(
        &mut self,
        subject: &BusSubject,
        bytes: &[u8],
    ) -> Option<(Opened<T>, Arc<[u8]>)> {
        match log::open(subject, bytes, &self.trusted) {
            Ok(opened) => Some((opened, Arc::from(bytes))),
            Err(error) => {
                let category = error.category();
                if self.count(category) == 1 {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(%subject, category, error, "message refused; further ones are counted");
                }
                None
            }
        }
    }

    /// Counts what was believed and then ignored. Older messages are the normal case of a duplicate
    /// or a replay; two truths under one revision are an alarm.
    pub(crate) fn ignore(&mut self, subject: &BusSubject, why: Ignored) {
        let count = self.count(why.as_str());
        if why == Ignored::Conflicting {
            tracing::error!(%subject, "two messages of one revision differ: a publisher's key signs two truths");
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
    }
}
