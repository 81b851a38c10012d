//! By what people compare a cluster's keys.

use std::fmt;

use crate::{hash::FieldHasher, model::ClusterKeys, name::ClusterName};

/// Bytes of a fingerprint: whoever wants other keys of the same fingerprint has to try 2^128.
const LENGTH_BYTES: usize = 16;

/// The start of a hash over a cluster's name and both of its public keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; LENGTH_BYTES]);

/// The text is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no fingerprint: 32 hexadecimal digits, in groups of four or without dashes")]
pub struct NotAFingerprint(String);

impl Fingerprint {
    /// Of a cluster's keys.
    pub fn of(cluster: &ClusterName, keys: &ClusterKeys) -> Fingerprint {
        let mut hasher = FieldHasher::new("writ.enrol.fingerprint.v1");
        for field in [cluster.as_str(), &keys.bus, &keys.ack] {
            hasher.field(field.as_bytes());
        }
        let hash = hasher.finish();
        Fingerprint(std::array::from_fn(|at| hash.0[at]))
    }

    /// Reads what [`fmt::Display`] writes; dashes may be missing.
    ///
    /// # Errors
    /// [`NotAFingerprint`].
    pub fn parse(text: &str) -> Result<Fingerprint, NotAFingerprint> {
        let refuse = || NotAFingerprint(text.chars().take(64).collect());
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let bytes = data_encoding::HEXLOWER_PERMISSIVE
            .decode(digits.as_bytes())
            .map_err(|_| refuse())?;
        bytes.try_into().map(Fingerprint).map_err(|_| refuse())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<String> = self
            .0
            .chunks(2)
            .map(|pair| data_encoding::HEXLOWER.encode(pair))
            .collect();
        f.write_str(&groups.join("-"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
