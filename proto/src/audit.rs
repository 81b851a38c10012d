//! The chain of the audit: what makes a line that is missing, changed or false show.
//!
//! A line is one JSON object. It names its publisher, its number, and the hash of the publisher's line
//! before it. Numbers have no gaps, so that the lines of one publisher form one chain, from the first on.
//! Its last two fields are the id of the publisher's signing key and the signature over the line as it is
//! without them.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde::Deserialize;
use writ_core::{
    envelope::{self, Envelope, KeyId, Keyring, PayloadType, Signature, SigningKey},
    hash::Hash,
    trust::Standing,
};

use crate::{log::OpenError, trust::Trust};

/// What separates a line from its signature. No text of a line can hold it: quotes are escaped there.
const SIGNED_BY: &str = r#","key":""#;
const SIGNATURE: &str = r#"","signature":""#;
const END: &str = r#""}"#;

/// The hash of a line, as the next one states it.
pub fn hash(line: &str) -> String {
    Hash::of(line.as_bytes()).to_string()
}

/// Adds the signature to a line.
pub fn sign(line: &str, key: &SigningKey) -> String {
    let sealed = envelope::seal(key, PayloadType::Audit, line.as_bytes().to_vec());
    let mut signed = line.strip_suffix('}').unwrap_or(line).to_owned();
    for signature in sealed.signatures {
        let bytes = HEXLOWER.encode(&signature.bytes);
        signed.push_str(&format!(
            "{SIGNED_BY}{}{SIGNATURE}{bytes}{END}",
            signature.key_id
        ));
    }
    signed
}

/// Why a line is not believed to be its publisher's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unbelieved {
    /// It has no signature.
    #[error("is not signed")]
    Unsigned,
    /// No key that is trusted signed it.
    #[error("is not believed")]
    Signature(#[source] envelope::Error),
}

impl Unbelieved {
    /// The keys that are claimed to have signed it, where none of them is trusted.
    pub fn untrusted_keys(&self) -> &[KeyId] {
        match self {
            Unbelieved::Signature(envelope::Error::UntrustedKey(keys)) => keys,
            _ => &[],
        }
    }
}

/// Checks the signature of a line, and says whose it is.
///
/// # Errors
/// [`Unbelieved`]
pub fn check(line: &str, trusted: &Keyring) -> Result<KeyId, Unbelieved> {
    // Lower case alone: one text for the same bytes, and no other.
    let bytes_of = |text: &str| HEXLOWER.decode(text.as_bytes()).ok();
    let parts = line.rsplit_once(SIGNED_BY).and_then(|(text, rest)| {
        let (key, signature) = rest.strip_suffix(END)?.split_once(SIGNATURE)?;
        let key_id = KeyId::from_slice(&bytes_of(key)?)?;
        let bytes = bytes_of(signature)?;
        Some((format!("{text}}}"), Signature { key_id, bytes }))
    });
    let (text, signature) = parts.ok_or(Unbelieved::Unsigned)?;
    let envelope = Envelope {
        payload_type: PayloadType::Audit.as_str().to_owned(),
        payload: text.into_bytes(),
        signatures: vec![signature],
    };
    let verified = envelope::verify(envelope, PayloadType::Audit, trusted);
    Ok(verified.map_err(Unbelieved::Signature)?.key_id())
}

/// Whose lines are believed: the publishers' keys of a trust file, and of later ones.
#[derive(Debug, Clone)]
pub struct Trusted {
    trust: Trust,
    keyring: Keyring,
}

/// What a line's signature is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Worth {
    /// A publisher wrote it.
    Genuine,
    /// A key signed it that was revoked since: a publisher wrote it, or whoever had stolen the key.
    Revoked(KeyId),
    /// Nobody vouches for it.
    Nothing(Unbelieved),
}

impl Trusted {
    /// Reads a trust file.
    ///
    /// # Errors
    /// [`OpenError`]: it is none.
    pub fn of(file: &[u8]) -> Result<Trusted, OpenError> {
        let trust = Trust::from_file(file)?;
        let keyring = trust.bundle.keyring();
        Ok(Trusted { trust, keyring })
    }

    /// Takes the bundle of another trust file where it is a later one of the same offline key.
    ///
    /// # Errors
    /// [`OpenError`]: it is of another.
    pub fn learn(&mut self, file: &[u8]) -> Result<(), OpenError> {
        let later = Trust::from_file(file)?;
        self.trust.take(&later.signed)?;
        self.keyring = self.trust.bundle.keyring();
        Ok(())
    }

    /// Looks at the signature of a line.
    pub fn judge(&self, line: &str) -> Worth {
        let error = match check(line, &self.keyring) {
            Ok(_) => return Worth::Genuine,
            Err(error) => error,
        };
        let keys = &self.trust.bundle.keys;
        let mut revoked = keys.iter().filter(|key| key.standing == Standing::Revoked);
        let signer = revoked.find(|key| error.untrusted_keys().contains(&key.public.id()));
        match signer {
            // Also then it has to be that key's signature.
            Some(key) => match check(line, &Keyring::new([key.public.clone()])) {
                Ok(id) => Worth::Revoked(id),
                Err(error) => Worth::Nothing(error),
            },
            None => Worth::Nothing(error),
        }
    }
}

/// What of a line belongs to the chain.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Link {
    /// Whose line it is.
    pub publisher: String,
    /// Counts the publisher's lines from 1.
    pub number: u64,
    /// The hash of its line before; empty in the first.
    pub previous: String,
}

impl Link {
    /// Reads it out of a line.
    pub fn read(line: &str) -> Option<Link> {
        serde_json::from_str(line).ok()
    }
}

/// Why a line does not continue its chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It is none.
    #[error("is no line of an audit")]
    Unreadable,
    /// Lines between it and the one before are missing.
    #[error("{publisher}: lines {} to {} are missing", .after + 1, .number - 1)]
    Missing {
        /// Whose.
        publisher: String,
        /// The last one that is there.
        after: u64,
        /// The one that was met.
        number: u64,
    },
    /// It goes back: a repetition, or a chain that begins anew.
    #[error("{publisher}: line {number} comes after line {after}")]
    Back {
        /// Whose.
        publisher: String,
        /// The last one that was there.
        after: u64,
        /// The one that was met.
        number: u64,
    },
    /// The line before it is not the one that it was written after.
    #[error("{publisher}: line {} is not as it was written", .number - 1)]
    Changed {
        /// Whose.
        publisher: String,
        /// The line that shows it.
        number: u64,
    },
}

/// The end of each publisher's chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chains(BTreeMap<String, (u64, String)>);

impl Chains {
    /// Continues with a line, whatever it is found to be.
    ///
    /// # Errors
    /// [`Broken`]: it does not continue its publisher's chain. Of a publisher that was not met before,
    /// any line does.
    pub fn take(&mut self, line: &str) -> Result<(), Broken> {
        let link = Link::read(line).ok_or(Broken::Unreadable)?;
        let Link {
            publisher,
            number,
            previous,
        } = link;
        let before = self.0.insert(publisher.clone(), (number, hash(line)));
        let Some((after, hash)) = before else {
            return Ok(());
        };
        if number <= after {
            return Err(Broken::Back {
                publisher,
                after,
                number,
            });
        }
        if number > after + 1 {
            return Err(Broken::Missing {
                publisher,
                after,
                number,
            });
        }
        if previous != hash {
            return Err(Broken::Changed { publisher, number });
        }
        Ok(())
    }

    /// The last line of each publisher: its number and its hash.
    pub fn ends(&self) -> impl Iterator<Item = (&str, u64, &str)> {
        let ends = self.0.iter();
        ends.map(|(publisher, (number, hash))| (publisher.as_str(), *number, hash.as_str()))
    }

    /// Starts from an end that was kept.
    pub fn resume(&mut self, publisher: String, number: u64, hash: String) {
        self.0.insert(publisher, (number, hash));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(count: u64) -> Vec<String> {
        let mut previous = String::new();
        let line = |number| {
            let line = format!(
                r#"{{"publisher":"p","number":{number},"previous":"{previous}","call":"x"}}"#
            );
            previous = hash(&line);
            line
        };
        (1..=count).map(line).collect()
    }

    fn judge(lines: &[String]) -> Vec<Broken> {
        let mut chains = Chains::default();
        lines
            .iter()
            .filter_map(|line| chains.take(line).err())
            .collect()
    }

    #[test]
    fn a_chain_holds_and_what_was_taken_out_doubled_or_changed_shows() {
        let whole = chain(5);
        assert!(judge(&whole).is_empty());
        let without = |number: usize| [&whole[..number], &whole[number + 1..]].concat();
        for number in 1..4 {
            assert!(matches!(
                judge(&without(number))[..],
                [Broken::Missing { .. }]
            ));
        }
        let doubled = [&whole[..2], &whole[1..]].concat();
        assert!(matches!(judge(&doubled)[..], [Broken::Back { .. }]));
        for number in 0..4 {
            let mut changed = whole.clone();
            changed[number] = changed[number].replace("\"x\"", "\"y\"");
            let broken = judge(&changed);
            assert!(
                matches!(broken[..], [Broken::Changed { .. }]),
                "{number}: {broken:?}"
            );
        }
        assert_eq!(judge(&["{}".to_owned()]), [Broken::Unreadable]);
    }

    #[test]
    fn a_line_is_believed_as_it_was_signed_and_not_otherwise() {
        let key = |seed| SigningKey::from_seed(&[seed; 32]);
        let trusted = Keyring::new([key(1).public()]);
        let line = r#"{"publisher":"p","number":1,"previous":"","user":"a\",\"key\":\"b"}"#;
        let signed = sign(line, &key(1));
        assert_eq!(Link::read(&signed), Link::read(line));
        assert_eq!(check(&signed, &trusted), Ok(key(1).public().id()));
        assert_eq!(check(line, &trusted), Err(Unbelieved::Unsigned));
        let foreign = check(&sign(line, &key(2)), &trusted).unwrap_err();
        assert_eq!(foreign.untrusted_keys(), [key(2).public().id()]);
        for at in 0..signed.len() {
            let mut bytes = signed.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else {
                continue;
            };
            assert!(check(&changed, &trusted).is_err(), "{changed}");
        }
        // What the publisher signed for another purpose is no line.
        let root = envelope::seal(&key(1), PayloadType::Root, line.as_bytes().to_vec());
        let body = line.strip_suffix('}').unwrap();
        let (id, bytes) = (
            root.signatures[0].key_id,
            HEXLOWER.encode(&root.signatures[0].bytes),
        );
        let moved = format!("{body}{SIGNED_BY}{id}{SIGNATURE}{bytes}{END}");
        assert!(check(&moved, &trusted).is_err());
    }
}
