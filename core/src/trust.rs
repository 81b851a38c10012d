//! The trust bundle: which keys sign for the publishers, and since when, and until where.
//!
//! The offline key signs every version of it. Whoever holds one takes a later one at any time, and
//! never an earlier one. Owns what may follow from one version to the next: a key comes in, it retires
//! (what it signed up to a revision stays believed), or it is revoked (nothing it signed is believed).
//! Never signs.

use crate::{
    envelope::{KeyId, Keyring, PublicKey},
    revision::Revision,
};

/// Most keys in a bundle, those that are out of use included.
pub const KEYS_MAX: usize = 64;
/// Longest name of a key, in bytes.
pub const NAME_LENGTH_MAX_BYTES: usize = 63;

/// What a key's signatures are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Everything that it signs.
    Active,
    /// What it signed of the log up to a revision, that one included. No beat and no recall: those say what
    /// is now, and whoever finds the key later must not say it.
    Retired {
        /// The last revision that it counts for.
        until: Revision,
    },
    /// Nothing, whenever it was signed.
    Revoked,
}

/// A publisher's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub public: PublicKey,
    /// Whose it is, for people.
    pub name: String,
    /// What it is worth.
    pub standing: Standing,
    /// The version that gave it this standing.
    pub version: u64,
    /// When that version was signed, milliseconds since the Unix epoch; for people.
    pub since_ms: u64,
}

/// One version of the publishers' keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Goes up with each bundle.
    pub version: u64,
    /// The keys, in the order in which they came.
    pub keys: Vec<Key>,
}

/// Why there is no such next version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The key is in the bundle.
    #[error("key {0} is in the bundle already")]
    Known(KeyId),
    /// The key is not in the bundle.
    #[error("there is no key {0} in the bundle")]
    Unknown(KeyId),
    /// What is out of use stays out.
    #[error("key {0} is revoked, and stays so")]
    Revoked(KeyId),
    /// It would not be an active one any more.
    #[error("key {0} has retired already")]
    Retired(KeyId),
    /// Nobody could sign any more.
    #[error("key {0} is the only active one: bring in another one first")]
    Last(KeyId),
    /// No room.
    #[error("the bundle has {KEYS_MAX} keys, which is the limit, and none of them is revoked")]
    Full,
}

impl Bundle {
    /// The first version of a fleet.
    pub fn first(keys: impl IntoIterator<Item = PublicKey>) -> Bundle {
        let key = |public| Key {
            public,
            name: String::new(),
            standing: Standing::Active,
            version: 1,
            since_ms: 0,
        };
        Bundle {
            version: 1,
            keys: keys.into_iter().map(key).collect(),
        }
    }

    /// The keyring for everything that publishers sign.
    pub fn keyring(&self) -> Keyring {
        let mut keyring = Keyring::default();
        for key in &self.keys {
            match key.standing {
                Standing::Active => keyring.add(key.public.clone()),
                Standing::Retired { until } => keyring.add_until(key.public.clone(), until),
                Standing::Revoked => {}
            }
        }
        keyring
    }

    /// The keyring for the one who has to read what a revoked key signed, to say it anew under a good one.
    pub fn keyring_with_revoked(&self) -> Keyring {
        let mut keyring = self.keyring();
        for key in self.keys.iter().filter(|key| key.is_revoked()) {
            keyring.add(key.public.clone());
        }
        keyring
    }

    /// The key with an id.
    pub fn key(&self, id: KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.public.id() == id)
    }

    /// Whether everything that a key signs is believed.
    pub fn is_active(&self, public: &PublicKey) -> bool {
        let is_it = |key: &&Key| key.public == *public;
        self.keys.iter().find(is_it).is_some_and(Key::is_active)
    }

    /// Whether nothing that a key signed is believed any more.
    pub fn is_revoked(&self, id: KeyId) -> bool {
        self.key(id).is_some_and(Key::is_revoked)
    }

    /// The next version, with one more active key.
    ///
    /// # Errors
    /// [`Error`] where the key is there already, or there is no room.
    pub fn with(&self, public: PublicKey, name: &str, now_ms: u64) -> Result<Bundle, Error> {
        let mut next = self.next();
        let id = public.id();
        match next.key(id).map(|key| key.standing) {
            Some(Standing::Revoked) => return Err(Error::Revoked(id)),
            Some(_) => return Err(Error::Known(id)),
            None => {}
        }
        if next.keys.len() >= KEYS_MAX {
            // A revoked one that nobody knows any more is as little believed as one that is listed.
            let oldest = next.keys.iter().position(Key::is_revoked);
            next.keys.remove(oldest.ok_or(Error::Full)?);
        }
        next.keys.push(Key {
            public,
            name: name
                .chars()
                .filter(char::is_ascii_graphic)
                .take(NAME_LENGTH_MAX_BYTES)
                .collect(),
            standing: Standing::Active,
            version: next.version,
            since_ms: now_ms,
        });
        Ok(next)
    }

    /// The next version, in which an active key has retired: it counts for what it signed up to `until`.
    ///
    /// # Errors
    /// [`Error`] where it is not active, or the only one that is.
    pub fn retire(&self, id: KeyId, until: Revision, now_ms: u64) -> Result<Bundle, Error> {
        match self.key(id).ok_or(Error::Unknown(id))?.standing {
            Standing::Active => self.change(id, Standing::Retired { until }, now_ms),
            Standing::Retired { .. } => Err(Error::Retired(id)),
            Standing::Revoked => Err(Error::Revoked(id)),
        }
    }

    /// The next version, in which nothing counts that a key ever signed.
    ///
    /// # Errors
    /// [`Error`] where it is revoked already, or the only active one.
    pub fn revoke(&self, id: KeyId, now_ms: u64) -> Result<Bundle, Error> {
        match self.key(id).ok_or(Error::Unknown(id))?.standing {
            Standing::Revoked => Err(Error::Revoked(id)),
            _ => self.change(id, Standing::Revoked, now_ms),
        }
    }

    fn next(&self) -> Bundle {
        Bundle {
            version: self.version + 1,
            keys: self.keys.clone(),
        }
    }

    fn change(&self, id: KeyId, standing: Standing, now_ms: u64) -> Result<Bundle, Error> {
        let mut next = self.next();
        let version = next.version;
        for key in next.keys.iter_mut().filter(|key| key.public.id() == id) {
            (key.standing, key.version, key.since_ms) = (standing, version, now_ms);
        }
        match next.keys.iter().any(Key::is_active) {
            true => Ok(next),
            false => Err(Error::Last(id)),
        }
    }
}

impl Key {
    fn is_active(&self) -> bool {
        self.standing == Standing::Active
    }

    fn is_revoked(&self) -> bool {
        self.standing == Standing::Revoked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::SigningKey;

    fn key(seed: u8) -> PublicKey {
        SigningKey::from_seed(&[seed; 32]).public()
    }

    fn at(number: u64) -> Revision {
        Revision { epoch: 1, number }
    }

    #[test]
    fn a_rotation_brings_the_new_key_in_before_the_old_one_retires() {
        let first = Bundle::first([key(1)]);
        let (old, new) = (key(1).id(), key(2).id());
        assert_eq!(first.retire(old, at(7), 5), Err(Error::Last(old)));
        let both = first.with(key(2), "publisher-1", 5).unwrap();
        assert!(both.is_active(&key(1)) && both.is_active(&key(2)));
        let after = both.retire(old, at(7), 6).unwrap();
        assert_eq!((both.version, after.version), (2, 3));
        assert!(!after.is_active(&key(1)) && after.is_active(&key(2)));
        assert!(!after.is_revoked(old));
        let keyring = after.keyring();
        assert_eq!(keyring.admits(old, Some(at(7))), Some(true));
        assert_eq!(keyring.admits(old, Some(at(8))), Some(false));
        assert_eq!(
            keyring.admits(old, None),
            Some(false),
            "it says nothing of now"
        );
        assert_eq!(keyring.admits(new, None), Some(true));
        assert_eq!(after.with(key(1), "", 7), Err(Error::Known(old)));
        assert_eq!(after.retire(old, at(9), 7), Err(Error::Retired(old)));
        assert_eq!(after.revoke(new, 7), Err(Error::Last(new)));
    }

    #[test]
    fn a_revoked_key_counts_for_nothing_and_never_comes_back() {
        let both = Bundle::first([key(1), key(2)]);
        let id = key(1).id();
        let after = both.revoke(id, 5).unwrap();
        assert!(after.is_revoked(id) && !after.is_active(&key(1)));
        assert_eq!(after.keyring().admits(id, Some(at(1))), None);
        assert_eq!(
            after.keyring_with_revoked().admits(id, Some(at(1))),
            Some(true)
        );
        assert_eq!(after.with(key(1), "", 6), Err(Error::Revoked(id)));
        assert_eq!(after.retire(id, at(1), 6), Err(Error::Revoked(id)));
        assert_eq!(after.revoke(id, 6), Err(Error::Revoked(id)));
        assert_eq!(
            after.revoke(key(9).id(), 6),
            Err(Error::Unknown(key(9).id()))
        );
    }

    #[test]
    fn a_full_bundle_makes_room_among_the_revoked_only() {
        let limit = u8::try_from(KEYS_MAX).unwrap();
        let full = Bundle::first((0..limit).map(key));
        assert_eq!(full.with(key(200), "", 1), Err(Error::Full));
        let after = full.revoke(key(3).id(), 1).unwrap();
        let after = after.with(key(200), "", 2).unwrap();
        assert_eq!(after.keys.len(), KEYS_MAX);
        assert!(after.key(key(3).id()).is_none());
    }
}
