//! The trust bundle as bytes: what the offline key signs, and the file that holds it.
//!
//! A process is given the offline public key and a bundle in one file beside its own keys; later
//! bundles come over the bus, as [`BusSubject::Trust`]. Neither holds a secret.

use prost::Message as _;
pub use writ_core::trust::Bundle as TrustBundle;
use writ_core::{
    envelope::{Keyring, PayloadType, PublicKey, SigningKey},
    revision::Revision,
    subject::BusSubject,
    trust::{KEYS_MAX, Key, NAME_LENGTH_MAX_BYTES, Standing},
};

use crate::log::{self, DecodeError, OpenError, Payload, from_revision, to_revision, wire};

/// What a process believes: the offline key, and the newest bundle that it signed.
#[derive(Debug, Clone)]
pub struct Trust {
    /// The publishers' keys.
    pub bundle: TrustBundle,
    /// The key that signs bundles and opens epochs.
    pub offline: PublicKey,
    /// The bundle as it was signed.
    pub signed: Vec<u8>,
}

impl Trust {
    /// Reads the bytes of a trust file, and checks the bundle under the offline key beside it.
    ///
    /// # Errors
    /// [`OpenError`] if it is no such file or its signature is not the offline key's.
    pub fn from_file(bytes: &[u8]) -> Result<Trust, OpenError> {
        let file = wire::TrustFile::decode(bytes).map_err(OpenError::Envelope)?;
        let offline = PublicKey::from_bytes(&file.offline_key).map_err(OpenError::Signature)?;
        let bundle = open(&file.bundle, &Keyring::new([offline.clone()]))?;
        Ok(Trust {
            bundle,
            offline,
            signed: file.bundle,
        })
    }

    /// The bytes of the trust file.
    pub fn to_file(&self) -> Vec<u8> {
        wire::TrustFile {
            offline_key: self.offline.to_bytes().to_vec(),
            bundle: self.signed.clone(),
        }
        .encode_to_vec()
    }

    /// Signs a bundle.
    pub fn sign(bundle: TrustBundle, offline: &SigningKey) -> Trust {
        Trust {
            signed: log::seal(&bundle, offline).bytes,
            bundle,
            offline: offline.public(),
        }
    }

    /// The keyring for what is signed offline, openings among it.
    pub fn offline_keyring(&self) -> Keyring {
        Keyring::new([self.offline.clone()])
    }

    /// Takes a signed bundle if its version is above the one held; answers whether it was taken.
    ///
    /// # Errors
    /// [`OpenError`] where the offline key did not sign it.
    pub fn take(&mut self, signed: &[u8]) -> Result<bool, OpenError> {
        let bundle = open(signed, &self.offline_keyring())?;
        if bundle.version <= self.bundle.version {
            return Ok(false);
        }
        (self.bundle, self.signed) = (bundle, signed.to_vec());
        Ok(true)
    }
}

fn open(signed: &[u8], offline: &Keyring) -> Result<TrustBundle, OpenError> {
    Ok(log::open::<TrustBundle>(&BusSubject::Trust, signed, offline)?.value)
}

/// Signs the bundle with the offline key and writes the bytes of the trust file.
pub fn to_file(bundle: &TrustBundle, offline: &SigningKey) -> Vec<u8> {
    Trust::sign(bundle.clone(), offline).to_file()
}

fn to_key(key: &Key) -> wire::TrustedKey {
    let (standing, until) = match key.standing {
        Standing::Active => (wire::Standing::Active, None),
        Standing::Retired { until } => (wire::Standing::Retired, to_revision(until)),
        Standing::Revoked => (wire::Standing::Revoked, None),
    };
    wire::TrustedKey {
        public: key.public.to_bytes().to_vec(),
        name: key.name.clone(),
        standing: standing.into(),
        until,
        version: key.version,
        since_ms: key.since_ms,
    }
}

fn from_key(key: wire::TrustedKey) -> Result<Key, DecodeError> {
    let standing = match wire::Standing::try_from(key.standing) {
        Ok(wire::Standing::Active) => Standing::Active,
        Ok(wire::Standing::Retired) => {
            let until: Revision = from_revision(key.until, "keys.until")?;
            Standing::Retired { until }
        }
        Ok(wire::Standing::Revoked) => Standing::Revoked,
        _ => return Err(DecodeError::Field("keys.standing")),
    };
    if key.name.len() > NAME_LENGTH_MAX_BYTES || key.name.contains(char::is_control) {
        return Err(DecodeError::Field("keys.name"));
    }
    Ok(Key {
        public: PublicKey::from_bytes(&key.public)
            .map_err(|_| DecodeError::Field("keys.public"))?,
        name: key.name,
        standing,
        version: key.version,
        since_ms: key.since_ms,
    })
}

impl Payload for TrustBundle {
    const TYPE: PayloadType = PayloadType::Trust;

    fn subject(&self) -> BusSubject {
        BusSubject::Trust
    }

    fn encode(&self) -> Vec<u8> {
        wire::TrustBundle {
            subject: BusSubject::Trust.to_string(),
            version: self.version,
            keys: self.keys.iter().map(to_key).collect(),
        }
        .encode_to_vec()
    }

    fn decode(subject: &BusSubject, bytes: &[u8]) -> Result<TrustBundle, DecodeError> {
        let bundle = wire::TrustBundle::decode(bytes).map_err(DecodeError::Protobuf)?;
        if bundle.subject != subject.to_string() {
            let (expected, found) = (subject.to_string(), bundle.subject);
            return Err(DecodeError::Subject { expected, found });
        }
        if bundle.keys.len() > KEYS_MAX {
            return Err(DecodeError::Field("keys"));
        }
        let keys: Vec<Key> = bundle
            .keys
            .into_iter()
            .map(from_key)
            .collect::<Result<_, _>>()?;
        // Of one key there is one standing.
        let is_twice = |(at, key): (usize, &Key)| keys[..at].iter().any(|k| k.public == key.public);
        if keys.iter().enumerate().any(is_twice) {
            return Err(DecodeError::Field("keys"));
        }
        Ok(TrustBundle {
            version: bundle.version,
            keys,
        })
    }
}

#[cfg(test)]
mod tests {
    use writ_core::{beat::Beat, hash::Hash, root::Root};

    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    fn at(number: u64) -> Revision {
        Revision { epoch: 1, number }
    }

    fn first() -> TrustBundle {
        TrustBundle::first([key(1).public()])
    }

    #[test]
    fn a_bundle_is_believed_only_under_its_offline_key() {
        let both = first().with(key(2).public(), "p", 5).unwrap();
        let bundle = both.retire(key(1).public().id(), at(7), 6).unwrap();
        let file = to_file(&bundle, &key(9));
        let trust = Trust::from_file(&file).unwrap();
        assert_eq!(trust.bundle, bundle);
        assert_eq!(trust.to_file(), file);

        let mut forged = wire::TrustFile::decode(file.as_slice()).unwrap();
        forged.offline_key = key(8).public().to_bytes().to_vec();
        assert!(Trust::from_file(&forged.encode_to_vec()).is_err());
        assert!(Trust::from_file(b"not a trust file").is_err());
    }

    #[test]
    fn a_later_bundle_is_taken_and_an_earlier_or_forged_one_never() {
        let mut trust = Trust::sign(first(), &key(9));
        let old = trust.signed.clone();
        let second = first().with(key(2).public(), "", 5).unwrap();
        let new = Trust::sign(second.clone(), &key(9)).signed;
        let forged = Trust::sign(second.clone(), &key(1)).signed;
        assert!(trust.take(&forged).is_err(), "a publisher signs no bundle");
        assert!(trust.take(&new).unwrap());
        assert!(!trust.take(&old).unwrap() && !trust.take(&new).unwrap());
        assert_eq!((trust.bundle, trust.signed), (second, new));
    }

    #[test]
    fn a_retired_key_counts_for_the_log_up_to_its_end_and_for_no_beat() {
        let both = first().with(key(2).public(), "", 5).unwrap();
        let after = both.retire(key(1).public().id(), at(7), 6).unwrap();
        let opens = |number, signer: u8, bundle: &TrustBundle| {
            let root = Root {
                revision: at(number),
                ..Root::default()
            };
            let bytes = log::seal(&root, &key(signer)).bytes;
            log::open::<Root>(&BusSubject::Root, &bytes, &bundle.keyring()).is_ok()
        };
        assert!(opens(8, 1, &both) && opens(7, 1, &after) && opens(8, 2, &after));
        assert!(!opens(8, 1, &after));
        let beat = Beat {
            revision: at(7),
            root: Hash::of(b""),
            issued_ms: 0,
            expires_after_ms: 1,
            publisher: "p".into(),
        };
        let beats = |signer: u8, bundle: &TrustBundle| {
            let bytes = log::seal(&beat, &key(signer)).bytes;
            log::open::<Beat>(&BusSubject::Beat, &bytes, &bundle.keyring()).is_ok()
        };
        assert!(beats(1, &both) && beats(2, &after) && !beats(1, &after));
        let revoked = after.revoke(key(1).public().id(), 7).unwrap();
        assert!(!opens(7, 1, &revoked));
    }
}
