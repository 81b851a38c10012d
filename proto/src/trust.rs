//! The trust bundle: which keys sign for the publishers, under the offline key.
//!
//! A subscriber is given the offline public key and a first bundle beside its own keys; it never
//! fetches either. The file holds no secret.

use prost::Message as _;
use writ_core::{
    envelope::{Keyring, PayloadType, PublicKey, SigningKey},
    subject::BusSubject,
};

use crate::log::{self, DecodeError, OpenError, Payload, wire};

/// Most publisher keys in a bundle.
pub const PUBLISHERS_MAX: usize = 64;

/// The publishers' keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustBundle {
    /// Goes up with each bundle.
    pub version: u64,
    /// The keys.
    pub publishers: Vec<PublicKey>,
}

/// What a trust file says, checked.
#[derive(Debug, Clone)]
pub struct Trust {
    /// The publishers' keys.
    pub bundle: TrustBundle,
    /// The key that signed the bundle, and opens epochs.
    pub offline: PublicKey,
}

impl Trust {
    /// Reads the bytes of a trust file, and checks the bundle under the offline key beside it.
    ///
    /// # Errors
    /// [`OpenError`] if it is no such file or its signature is not the offline key's.
    pub fn from_file(bytes: &[u8]) -> Result<Trust, OpenError> {
        let file = wire::TrustFile::decode(bytes).map_err(OpenError::Envelope)?;
        let offline = PublicKey::from_bytes(&file.offline_key).map_err(OpenError::Signature)?;
        let trusted = Keyring::new([offline.clone()]);
        let opened = log::open(&BusSubject::Trust, &file.bundle, &trusted)?;
        Ok(Trust {
            bundle: opened.value,
            offline,
        })
    }

    /// The keyring for what is signed offline, openings among it.
    pub fn offline_keyring(&self) -> Keyring {
        Keyring::new([self.offline.clone()])
    }
}

impl TrustBundle {
    /// The keyring for everything that publishers sign.
    pub fn keyring(&self) -> Keyring {
        Keyring::new(self.publishers.iter().cloned())
    }

    /// Signs the bundle with the offline key and writes the bytes of the trust file.
    pub fn to_file(&self, offline: &SigningKey) -> Vec<u8> {
        let bundle = log::seal(self, offline).bytes;
        let offline_key = offline.public().to_bytes().to_vec();
        wire::TrustFile {
            offline_key,
            bundle,
        }
        .encode_to_vec()
    }

    /// Reads the bytes of a trust file, and checks the bundle under the offline key beside it.
    ///
    /// # Errors
    /// [`OpenError`] if it is no such file or its signature is not the offline key's.
    pub fn from_file(bytes: &[u8]) -> Result<TrustBundle, OpenError> {
        Trust::from_file(bytes).map(|trust| trust.bundle)
    }
}

impl Payload for TrustBundle {
    const TYPE: PayloadType = PayloadType::Trust;

    fn subject(&self) -> BusSubject {
        BusSubject::Trust
    }

    fn encode(&self) -> Vec<u8> {
        let publishers = self
            .publishers
            .iter()
            .map(|key| key.to_bytes().to_vec())
            .collect();
        let subject = BusSubject::Trust.to_string();
        wire::TrustBundle {
            subject,
            version: self.version,
            publishers,
        }
        .encode_to_vec()
    }

    fn decode(subject: &BusSubject, bytes: &[u8]) -> Result<TrustBundle, DecodeError> {
        let bundle = wire::TrustBundle::decode(bytes).map_err(DecodeError::Protobuf)?;
        if bundle.subject != subject.to_string() {
            let (expected, found) = (subject.to_string(), bundle.subject);
            return Err(DecodeError::Subject { expected, found });
        }
        if bundle.publishers.len() > PUBLISHERS_MAX {
            return Err(DecodeError::Field("publishers"));
        }
        let key = |bytes: &Vec<u8>| {
            PublicKey::from_bytes(bytes).map_err(|_| DecodeError::Field("publishers"))
        };
        let publishers = bundle
            .publishers
            .iter()
            .map(key)
            .collect::<Result<_, _>>()?;
        Ok(TrustBundle {
            version: bundle.version,
            publishers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    #[test]
    fn a_bundle_is_believed_only_under_its_offline_key() {
        let bundle = TrustBundle {
            version: 1,
            publishers: vec![key(1).public()],
        };
        let file = bundle.to_file(&key(9));
        assert_eq!(TrustBundle::from_file(&file).unwrap(), bundle);

        let mut forged = wire::TrustFile::decode(file.as_slice()).unwrap();
        forged.offline_key = key(8).public().to_bytes().to_vec();
        assert!(TrustBundle::from_file(&forged.encode_to_vec()).is_err());
        assert!(TrustBundle::from_file(b"not a trust file").is_err());
    }
}
