//! What stands on the bus: sealing and opening of every kind of message.
//!
//! [`open`] is the one way from bytes to a core type: envelope, size, signature, decoding, and the
//! subject inside the signed part compared with the one that the bytes were found under. Nothing is
//! decoded that was not verified, and what was signed is kept as it is.

mod ack;
mod convert;
mod edit;
mod enrol;
mod event;
mod recover;

use prost::Message as _;
use writ_core::{
    edit::Message,
    envelope::{self, Envelope, KeyId, Keyring, PayloadType, Signature, SigningKey},
    hash::Hash,
    revision::Revision,
    subject::BusSubject,
};

pub use self::{
    convert::DecodeError,
    enrol::{open_request, seal_request},
    recover::{Witness, claimed_state, claimed_witness, open_event, open_opening, open_witness},
};
pub(crate) use self::{
    convert::{revision as from_revision, to_revision},
    event::{named_entry, to_named_entry},
};

/// The generated messages. What a field means stands in `log.proto`.
#[allow(missing_docs, clippy::all)]
pub mod wire {
    tonic::include_proto!("writ.log.v1");
}

/// Largest message on the bus, in bytes; nats-server's default limit too. Checked before anything is
/// parsed.
pub const MESSAGE_SIZE_MAX_BYTES: usize = 1 << 20;

/// A message of the bus that has an encoding and a place of its own.
pub trait Payload: Sized {
    /// As what it is signed.
    const TYPE: PayloadType;

    /// The subject that it names in its signed part.
    fn subject(&self) -> BusSubject;

    /// The place in the log that it is of: up to where a key counts that has retired. What is of none is
    /// believed of active keys only.
    fn revision(&self) -> Option<Revision> {
        None
    }

    /// The payload's bytes.
    fn encode(&self) -> Vec<u8>;

    /// Reads the payload of a message that was verified, found under `subject`.
    ///
    /// # Errors
    /// [`DecodeError`] where a field is missing, malformed, or names another subject.
    fn decode(subject: &BusSubject, bytes: &[u8]) -> Result<Self, DecodeError>;
}

/// A signed message, ready to be sent.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// The envelope's bytes.
    pub bytes: Vec<u8>,
    /// Hash of the payload, which a second signature would not change.
    pub hash: Hash,
}

/// A message that was verified and decoded.
#[derive(Debug, Clone)]
pub struct Opened<T> {
    /// The message.
    pub value: T,
    /// Hash of its payload.
    pub hash: Hash,
    /// The key that signed it.
    pub key_id: KeyId,
}

/// Why bytes are not believed. `category` is for metrics and acks; nobody branches on text.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Over [`MESSAGE_SIZE_MAX_BYTES`].
    #[error("the message has {0} bytes, the limit is {MESSAGE_SIZE_MAX_BYTES}")]
    TooLarge(usize),
    /// Not an envelope.
    #[error("not an envelope")]
    Envelope(#[source] prost::DecodeError),
    /// A signature's fields are malformed.
    #[error("a key id has not 8 bytes")]
    KeyId,
    /// The signature is not by a trusted key, or not over these bytes.
    #[error("the signature is not believed")]
    Signature(#[source] envelope::Error),
    /// The key has retired, and this is not of the time when it counted.
    #[error("key {0} has retired, and does not count for this any more")]
    Retired(KeyId),
    /// Verified, but not what its subject holds.
    #[error("the payload does not decode")]
    Payload(#[source] DecodeError),
}

impl OpenError {
    /// A closed set of labels.
    pub fn category(&self) -> &'static str {
        match self {
            OpenError::TooLarge(_) => "too_large",
            OpenError::Envelope(_) | OpenError::KeyId => "not_an_envelope",
            OpenError::Signature(_) => "not_verified",
            OpenError::Retired(_) => "key_retired",
            OpenError::Payload(_) => "not_decoded",
        }
    }

    /// The keys that signed, where none of them is trusted: there may be a later trust bundle that names
    /// one of them.
    pub fn untrusted_keys(&self) -> &[KeyId] {
        match self {
            OpenError::Signature(envelope::Error::UntrustedKey(ids)) => ids,
            _ => &[],
        }
    }
}

/// Signs a message.
pub fn seal<T: Payload>(value: &T, key: &SigningKey) -> Sealed {
    seal_payload(T::TYPE, value.encode(), key)
}

/// Signs a message of the log.
pub fn seal_message(message: &Message, key: &SigningKey) -> Sealed {
    match message {
        Message::Intent(value) => seal(value, key),
        Message::Event(value) => seal(value, key),
        Message::Base(value) => seal(value, key),
        Message::Index(value) => seal(value, key),
        Message::Root(value) => seal(value, key),
    }
}

/// Opens whatever the log holds under a subject.
///
/// # Errors
/// As [`open`]; a subject that is not the log's is a [`DecodeError`].
pub fn open_message(
    subject: &BusSubject,
    bytes: &[u8],
    trusted: &Keyring,
) -> Result<Opened<Message>, OpenError> {
    fn wrap<T>(opened: Opened<T>, make: fn(T) -> Message) -> Opened<Message> {
        Opened {
            value: make(opened.value),
            hash: opened.hash,
            key_id: opened.key_id,
        }
    }
    Ok(match subject {
        BusSubject::Intent { .. } => wrap(open(subject, bytes, trusted)?, Message::Intent),
        BusSubject::Event { .. } => wrap(open(subject, bytes, trusted)?, Message::Event),
        BusSubject::Base(_) => wrap(open(subject, bytes, trusted)?, Message::Base),
        BusSubject::Index(_) => wrap(open(subject, bytes, trusted)?, Message::Index),
        BusSubject::Root => wrap(open(subject, bytes, trusted)?, Message::Root),
        other => {
            let error = DecodeError::Subject {
                expected: other.to_string(),
                found: String::new(),
            };
            return Err(OpenError::Payload(error));
        }
    })
}

fn seal_payload(payload_type: PayloadType, payload: Vec<u8>, key: &SigningKey) -> Sealed {
    seal_payload_with(payload_type, payload, &[key])
}

fn seal_payload_with(payload_type: PayloadType, payload: Vec<u8>, keys: &[&SigningKey]) -> Sealed {
    let hash = Hash::of(&payload);
    let envelope = envelope::seal_with(keys, payload_type, payload);
    let signature = |signature: Signature| wire::Signature {
        key_id: signature.key_id.0.to_vec(),
        signature: signature.bytes,
    };
    let bytes = wire::Envelope {
        payload_type: envelope.payload_type,
        payload: envelope.payload,
        signatures: envelope.signatures.into_iter().map(signature).collect(),
    }
    .encode_to_vec();
    Sealed { bytes, hash }
}

fn read_envelope(bytes: &[u8]) -> Result<Envelope, OpenError> {
    if bytes.len() > MESSAGE_SIZE_MAX_BYTES {
        return Err(OpenError::TooLarge(bytes.len()));
    }
    let envelope = wire::Envelope::decode(bytes).map_err(OpenError::Envelope)?;
    let signature = |signature: wire::Signature| {
        let key_id = KeyId::from_slice(&signature.key_id).ok_or(OpenError::KeyId)?;
        Ok(Signature {
            key_id,
            bytes: signature.signature,
        })
    };
    Ok(Envelope {
        payload_type: envelope.payload_type,
        payload: envelope.payload,
        signatures: envelope
            .signatures
            .into_iter()
            .map(signature)
            .collect::<Result<_, _>>()?,
    })
}

/// The subject that an event's payload names, before anybody believed it: for bytes that were kept
/// without the subject that they came under. [`open`] under that subject then tells if it is true.
pub fn claimed_subject(bytes: &[u8]) -> Option<String> {
    let payload = read_envelope(bytes).ok()?.payload;
    Some(wire::Event::decode(payload.as_slice()).ok()?.subject)
}

/// The keys by which bytes claim to be signed, before anybody believed them.
pub fn claimed_keys(bytes: &[u8]) -> Vec<KeyId> {
    let envelope = read_envelope(bytes).ok();
    let signatures = envelope
        .into_iter()
        .flat_map(|envelope| envelope.signatures);
    signatures.map(|signature| signature.key_id).collect()
}

/// Opens a message that was found under `subject`: checks its size and signature, decodes it, and
/// compares the subject that it names. A live event is checked under the name it was stored under.
///
/// # Errors
/// [`OpenError`]: nothing of the message is to be used then.
pub fn open<T: Payload>(
    subject: &BusSubject,
    bytes: &[u8],
    trusted: &Keyring,
) -> Result<Opened<T>, OpenError> {
    let envelope = read_envelope(bytes)?;
    let verified = envelope::verify(envelope, T::TYPE, trusted).map_err(OpenError::Signature)?;
    let (hash, key_id) = (Hash::of(verified.get()), verified.key_id());
    let value = verified
        .try_map(|payload| T::decode(&subject.signed_name(), &payload))
        .map_err(OpenError::Payload)?
        .into_inner();
    if trusted.admits(key_id, value.revision()) == Some(false) {
        return Err(OpenError::Retired(key_id));
    }
    Ok(Opened {
        value,
        hash,
        key_id,
    })
}

#[cfg(test)]
mod tests;
