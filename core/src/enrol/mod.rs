//! How a cluster joins the fleet, and leaves it.
//!
//! Owns the words of enrolment (request, answer, token, fingerprint), the judgement of a request by the
//! registry entry ([`judge()`]), and what the fleet's commands make of an entry ([`change()`]).
//! Promises: keys become a cluster's own by a token that is out, or by an approval of exactly these
//! keys, and by nothing else; the same keys asking again get the same answer; a document that a person
//! applies changes neither keys nor phase.
//! Assumes: a request's signatures were verified, by both of its keys and by the token that it names.
//! Never makes keys, and never reads a clock.

mod carry;
mod change;
mod fingerprint;
mod judge;
pub mod nkey;
mod revoke;
#[cfg(test)]
mod tests;
mod token;

pub use self::{
    carry::{add, carry, submitted, with_fields},
    change::{Change, Refused, change},
    fingerprint::{Fingerprint, NotAFingerprint},
    judge::{Refusal, Verdict, is_revoked, judge},
    revoke::{CREDENTIALS_LIFE_MAX_MS, REVOKED_MAX, Revoked, revoked},
    token::Token,
};
use crate::{model::ClusterKeys, name::ClusterName};

/// A cluster asks to be let in with its keys, or, when they are known already, for credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asks.
    pub cluster: ClusterName,
    /// The public halves of its keys.
    pub keys: ClusterKeys,
    /// The public key of the token that signed the request, too; in base64.
    pub token: Option<String>,
    /// Random, so that an answer belongs to one request.
    pub nonce: [u8; 16],
}

impl Request {
    /// By what people compare the keys.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.cluster, &self.keys)
    }
}

/// What a publisher answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whom.
    pub cluster: ClusterName,
    /// The request that it belongs to.
    pub nonce: [u8; 16],
    /// What.
    pub outcome: Outcome,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The keys are the cluster's own.
    Active {
        /// The user JWT for its bus key.
        credentials: String,
        /// When it was issued, seconds since the Unix epoch.
        issued_s: u64,
        /// When it ends.
        expires_s: u64,
    },
    /// Somebody has to approve the keys.
    Waiting {
        /// Which.
        fingerprint: Fingerprint,
    },
    /// They will not become the cluster's own as things are.
    Refused(Refusal),
}
