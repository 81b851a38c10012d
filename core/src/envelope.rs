//! What is signed, and the one function that believes a signature.
//!
//! Ed25519 over the pre-authentication encoding of DSSE (secure-systems-lab/dsse, protocol.md), so
//! that bytes signed as one type of payload can't be taken for another. The payload is kept and
//! passed on as it was signed, never encoded again.

use std::{collections::BTreeMap, fmt};

use ed25519_dalek::Signer;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{
    guard::{Guard, stands},
    revision::Revision,
};

/// Most signatures that an envelope may carry. One is usual; two exist while a key is rotated.
pub const SIGNATURES_MAX: usize = 8;

/// What a payload is; part of the signed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PayloadType {
    /// [`crate::edit::Intent`]
    Intent,
    /// [`crate::event::Event`]
    Event,
    /// [`crate::index::Index`]
    Index,
    /// [`crate::index::Base`]
    Base,
    /// [`crate::root::Root`]
    Root,
    /// [`crate::beat::Beat`]
    Beat,
    /// [`crate::ack::Ack`]
    Ack,
    /// [`crate::ack::Pulse`]
    Pulse,
    /// The publishers' keys, signed offline.
    Trust,
    /// [`crate::epoch::Opening`], signed offline.
    Opening,
    /// [`crate::recover::Recall`]
    Recall,
    /// A line of the record of calls.
    Audit,
    /// [`crate::enrol::Request`], signed by the keys that it names.
    EnrolRequest,
    /// [`crate::enrol::Answer`]
    EnrolAnswer,
}

impl PayloadType {
    /// The media type that stands in the signed bytes.
    pub fn as_str(self) -> &'static str {
        match self {
            PayloadType::Intent => "application/vnd.writ.intent.v1+protobuf",
            PayloadType::Event => "application/vnd.writ.event.v1+protobuf",
            PayloadType::Index => "application/vnd.writ.index.v1+protobuf",
            PayloadType::Base => "application/vnd.writ.base.v1+protobuf",
            PayloadType::Root => "application/vnd.writ.root.v1+protobuf",
            PayloadType::Beat => "application/vnd.writ.beat.v1+protobuf",
            PayloadType::Ack => "application/vnd.writ.ack.v1+protobuf",
            PayloadType::Pulse => "application/vnd.writ.pulse.v1+protobuf",
            PayloadType::Trust => "application/vnd.writ.trust.v1+protobuf",
            PayloadType::Opening => "application/vnd.writ.opening.v1+protobuf",
            PayloadType::Recall => "application/vnd.writ.recall.v1+protobuf",
            PayloadType::Audit => "application/vnd.writ.audit.v1+json",
            PayloadType::EnrolRequest => "application/vnd.writ.enrol-request.v1+protobuf",
            PayloadType::EnrolAnswer => "application/vnd.writ.enrol-answer.v1+protobuf",
        }
    }
}

/// First 8 bytes of SHA-256 of the public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 8]);

impl KeyId {
    /// Reads a key id from a message's field.
    pub fn from_slice(bytes: &[u8]) -> Option<KeyId> {
        bytes.try_into().ok().map(KeyId)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An Ed25519 public key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(ed25519_dalek::VerifyingKey);

impl PublicKey {
    /// Reads 32 bytes; refuses what is no point of the curve and the weak keys that sign anything.
    pub fn from_bytes(bytes: &[u8]) -> Result<PublicKey, Error> {
        let bytes: &[u8; 32] = bytes.try_into().map_err(|_| Error::NotAKey)?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).map_err(|_| Error::NotAKey)?;
        if key.is_weak() {
            Err(Error::NotAKey)
        } else {
            Ok(PublicKey(key))
        }
    }

    /// Reads the base64 form that stands in `Cluster.spec.keys.ack`.
    pub fn from_base64(text: &str) -> Result<PublicKey, Error> {
        let bytes = data_encoding::BASE64
            .decode(text.as_bytes())
            .map_err(|_| Error::NotAKey)?;
        PublicKey::from_bytes(&bytes)
    }

    /// The key's 32 bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The base64 form.
    pub fn to_base64(&self) -> String {
        data_encoding::BASE64.encode(&self.to_bytes())
    }

    /// Its short name in envelopes.
    pub fn id(&self) -> KeyId {
        let hash = Sha256::digest(self.0.as_bytes());
        KeyId(std::array::from_fn(|at| hash[at]))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

/// An Ed25519 private key; wiped from memory when dropped, never printed.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// A key from its 32-byte seed, which the caller draws from the operating system.
    pub fn from_seed(seed: &[u8; 32]) -> SigningKey {
        SigningKey(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// A key from the base64 form of its seed, as key files hold it.
    pub fn from_base64(text: &str) -> Result<SigningKey, Error> {
        let bytes = data_encoding::BASE64.decode(text.trim().as_bytes());
        let bytes = Zeroizing::new(bytes.map_err(|_| Error::NotAKey)?);
        let seed: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| Error::NotAKey)?;
        Ok(SigningKey::from_seed(seed))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public().id())
    }
}

/// One signature and the short name of the key that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Which key.
    pub key_id: KeyId,
    /// 64 bytes.
    pub bytes: Vec<u8>,
}

/// Signed bytes that nobody has checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Media type of the payload, as claimed.
    pub payload_type: String,
    /// The signed bytes.
    pub payload: Vec<u8>,
    /// At most [`SIGNATURES_MAX`].
    pub signatures: Vec<Signature>,
}

/// The keys whose signatures count, for one purpose: publishers' keys for the log, a cluster's own
/// ack key for its acks, the offline key for trust bundles. Purposes never share a keyring.
#[derive(Debug, Clone, Default)]
pub struct Keyring(BTreeMap<KeyId, Trusted>);

/// A key of a keyring.
#[derive(Debug, Clone)]
struct Trusted {
    key: PublicKey,
    /// It has retired: what it signed counts up to here.
    until: Option<Revision>,
}

impl Keyring {
    /// A keyring of some keys.
    pub fn new(keys: impl IntoIterator<Item = PublicKey>) -> Keyring {
        let mut keyring = Keyring::default();
        for key in keys {
            keyring.add(key);
        }
        keyring
    }

    /// Adds a key that counts for everything.
    pub fn add(&mut self, key: PublicKey) {
        self.0.insert(key.id(), Trusted { key, until: None });
    }

    /// Adds a key that has retired: it counts for what is of a revision up to `until`.
    pub fn add_until(&mut self, key: PublicKey, until: Revision) {
        let until = Some(until);
        self.0.insert(key.id(), Trusted { key, until });
    }

    /// Whether a key's signature counts over something of a revision, or over what is of none;
    /// nothing where the key is not here. To be asked by whoever decodes what was verified.
    pub fn admits(&self, id: KeyId, revision: Option<Revision>) -> Option<bool> {
        let trusted = self.0.get(&id)?;
        Some(
            trusted
                .until
                .is_none_or(|until| revision.is_some_and(|at| at <= until)),
        )
    }

    /// Whether no signature at all would count.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Something that was signed by a trusted key. Only [`verify`] makes one of bytes; `map` carries the
/// proof over to what was decoded from them.
#[derive(Debug, Clone)]
pub struct Verified<T> {
    value: T,
    key_id: KeyId,
}

impl<T> Verified<T> {
    /// What was verified.
    pub fn into_inner(self) -> T {
        self.value
    }

    /// What was verified.
    pub fn get(&self) -> &T {
        &self.value
    }

    /// The key that signed.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// Decodes what was verified.
    pub fn try_map<U, E>(self, decode: impl FnOnce(T) -> Result<U, E>) -> Result<Verified<U>, E> {
        Ok(Verified {
            value: decode(self.value)?,
            key_id: self.key_id,
        })
    }
}

/// Why signed bytes are not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The payload is of another type than the place it stands in asks for.
    #[error("payload type {found:?} where {expected:?} is expected")]
    PayloadType {
        /// What the place asks for.
        expected: &'static str,
        /// What the envelope claims.
        found: String,
    },
    /// More signatures than anybody needs.
    #[error("{0} signatures, the limit is {SIGNATURES_MAX}")]
    TooManySignatures(usize),
    /// None of the signatures is by a key of the keyring.
    #[error("signed by no trusted key (key ids: {0:?})")]
    UntrustedKey(Vec<KeyId>),
    /// A trusted key's signature does not fit the bytes.
    #[error("the signature of key {0} does not fit the bytes")]
    BadSignature(KeyId),
    /// Not an Ed25519 key.
    #[error("not a usable Ed25519 key")]
    NotAKey,
}

/// DSSE's pre-authentication encoding: `DSSEv1 <len> <type> <len> <payload>`.
fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    )
    .into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// Signs a payload.
pub fn seal(key: &SigningKey, payload_type: PayloadType, payload: Vec<u8>) -> Envelope {
    seal_with(&[key], payload_type, payload)
}

/// Signs a payload by several keys, each of which counts for itself.
pub fn seal_with(keys: &[&SigningKey], payload_type: PayloadType, payload: Vec<u8>) -> Envelope {
    let message = pre_authentication_encoding(payload_type.as_str(), &payload);
    let signature = |key: &&SigningKey| {
        let signature = key.0.sign(&message).to_bytes();
        #[cfg(feature = "mutations")]
        crate::memo::note(&key.public().to_bytes(), &message, &signature);
        Signature {
            key_id: key.public().id(),
            bytes: signature.to_vec(),
        }
    };
    Envelope {
        payload_type: payload_type.as_str().to_owned(),
        signatures: keys.iter().map(signature).collect(),
        payload,
    }
}

/// The one place that believes a signature: the payload is of the expected type, and at least one
/// trusted key signed exactly these bytes.
///
/// # Errors
/// Every [`Error`]; none of them says anything about the payload, which nobody has looked at.
pub fn verify(
    envelope: Envelope,
    expected: PayloadType,
    trusted: &Keyring,
) -> Result<Verified<Vec<u8>>, Error> {
    if envelope.payload_type != expected.as_str() {
        let found = envelope.payload_type;
        return Err(Error::PayloadType {
            expected: expected.as_str(),
            found,
        });
    }
    if envelope.signatures.len() > SIGNATURES_MAX {
        return Err(Error::TooManySignatures(envelope.signatures.len()));
    }
    if !stands(Guard::Signature) {
        return Ok(Verified {
            value: envelope.payload,
            key_id: KeyId([0; 8]),
        });
    }
    let known = envelope
        .signatures
        .iter()
        .find_map(|s| Some((trusted.0.get(&s.key_id)?, s)));
    let Some((trusted, signature)) = known else {
        return Err(Error::UntrustedKey(
            envelope.signatures.iter().map(|s| s.key_id).collect(),
        ));
    };
    let bad = |_| Error::BadSignature(signature.key_id);
    let parsed = ed25519_dalek::Signature::from_slice(&signature.bytes).map_err(bad)?;
    let message = pre_authentication_encoding(expected.as_str(), &envelope.payload);
    #[cfg(feature = "mutations")]
    if crate::memo::fits(&trusted.key.to_bytes(), &message, &signature.bytes) {
        return Ok(Verified {
            value: envelope.payload,
            key_id: signature.key_id,
        });
    }
    // Strict: also refuses the second encodings that plain verification lets through.
    trusted
        .key
        .0
        .verify_strict(&message, &parsed)
        .map_err(bad)?;
    #[cfg(feature = "mutations")]
    crate::memo::note(&trusted.key.to_bytes(), &message, &signature.bytes);
    Ok(Verified {
        value: envelope.payload,
        key_id: signature.key_id,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    fn trusted() -> Keyring {
        Keyring::new([key(1).public()])
    }

    #[test]
    fn the_encoding_is_that_of_the_dsse_protocol() {
        let encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
        assert_eq!(
            encoded,
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn a_trusted_signature_over_exactly_these_bytes_is_believed() {
        let sealed = seal(&key(1), PayloadType::Root, b"root".to_vec());
        assert_eq!(
            verify(sealed, PayloadType::Root, &trusted()).unwrap().get(),
            b"root"
        );
    }

    #[test]
    fn another_key_another_type_and_other_bytes_are_refused() {
        let foreign = seal(&key(2), PayloadType::Root, b"root".to_vec());
        assert!(matches!(
            verify(foreign, PayloadType::Root, &trusted()),
            Err(Error::UntrustedKey(_))
        ));

        let sealed = seal(&key(1), PayloadType::Root, b"root".to_vec());
        let other = verify(sealed.clone(), PayloadType::Beat, &trusted());
        assert!(matches!(other, Err(Error::PayloadType { .. })));

        // A thief who changes the claimed type as well still has no signature over it.
        let mut renamed = sealed.clone();
        renamed.payload_type = PayloadType::Beat.as_str().to_owned();
        assert!(matches!(
            verify(renamed, PayloadType::Beat, &trusted()),
            Err(Error::BadSignature(_))
        ));

        for at in 0..sealed.payload.len() {
            let mut flipped = sealed.clone();
            flipped.payload[at] ^= 1;
            assert!(matches!(
                verify(flipped, PayloadType::Root, &trusted()),
                Err(Error::BadSignature(_))
            ));
        }
        let mut borrowed = foreign_with_trusted_id();
        assert!(verify(borrowed.clone(), PayloadType::Root, &trusted()).is_err());
        borrowed.signatures.clear();
        assert!(matches!(
            verify(borrowed, PayloadType::Root, &trusted()),
            Err(Error::UntrustedKey(_))
        ));
    }

    fn foreign_with_trusted_id() -> Envelope {
        let mut sealed = seal(&key(2), PayloadType::Root, b"root".to_vec());
        sealed.signatures[0].key_id = key(1).public().id();
        sealed
    }
}
