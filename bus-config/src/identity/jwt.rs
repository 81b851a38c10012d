//! The form of NATS tokens: JSON Web Tokens of version 2, signed with nkeys.
//!
//! Owns the encoding. Promises: the same claims give the same bytes.
//! Never: decides what stands in one; that is what the modules beside this one do.

use std::fmt;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use writ_core::hash::Hash;

use super::key::Pair;

/// The header of every token.
const HEADER: &str = r#"{"typ":"JWT","alg":"ed25519-nkey"}"#;

/// The version of the claims.
pub(super) const VERSION: u8 = 2;

/// Longest token that is read, in bytes: a user's has some 600.
const READ_BYTES_MAX: usize = 16 * 1024;

/// A signed token. A user's is no secret without the user's seed (but for a request's, which is none
/// either: it is the right to ask).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Jwt(pub(super) String);

impl Jwt {
    /// The token as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads what a user's token says of itself. Says nothing about who signed it: that is the
    /// server's to check.
    pub fn user(text: &str) -> Result<UserSummary, NotAUser> {
        UserSummary::read(text.trim()).ok_or(NotAUser)
    }
}

impl fmt::Display for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Three kilobytes in a log help nobody.
        write!(f, "Jwt({} bytes)", self.0.len())
    }
}

/// The text is not a user's token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not the token of a user of the bus")]
pub struct NotAUser;

/// What a user's token says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSummary {
    /// The user's name: of the cluster, the publisher.
    pub name: String,
    /// The user's key as text.
    pub key: String,
    /// When it was issued, in seconds since 1970.
    pub issued_s: u64,
    /// When it ends; `None` if never.
    pub expires_s: Option<u64>,
}

impl UserSummary {
    fn read(text: &str) -> Option<UserSummary> {
        #[derive(Deserialize)]
        struct Read {
            name: String,
            sub: String,
            iat: u64,
            exp: Option<u64>,
            nats: Nats,
        }
        #[derive(Deserialize)]
        struct Nats {
            #[serde(rename = "type")]
            kind: String,
        }
        if text.len() > READ_BYTES_MAX {
            return None;
        }
        let mut parts = text.split('.');
        let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
        let read: Read =
            serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        (parts.next().is_none() && read.nats.kind == "user").then(|| UserSummary {
            name: read.name,
            key: read.sub,
            issued_s: read.iat,
            expires_s: read.exp,
        })
    }
}

/// What every token states.
pub(super) struct Claims<T> {
    /// Whom it is about: a public key.
    pub(super) subject: String,
    /// For people, and part of a user's subjects.
    pub(super) name: String,
    /// When it was issued.
    pub(super) issued_s: u64,
    /// When it ends.
    pub(super) expires_s: Option<u64>,
    /// What it grants.
    pub(super) nats: T,
}

impl<T: Serialize> Claims<T> {
    /// Signs the claims.
    pub(super) fn sign(&self, signer: &Pair) -> Jwt {
        #[derive(Serialize)]
        struct Payload<'a, T> {
            #[serde(skip_serializing_if = "Option::is_none")]
            exp: Option<u64>,
            jti: String,
            iat: u64,
            iss: String,
            name: &'a str,
            sub: &'a str,
            nats: &'a T,
        }
        let mut payload = Payload {
            exp: self.expires_s,
            jti: String::new(),
            iat: self.issued_s,
            iss: signer.public(),
            name: &self.name,
            sub: &self.subject,
            nats: &self.nats,
        };
        // Of all that is stated: a server takes two tokens with one id for the same.
        payload.jti = Hash::of(json(&payload).as_bytes()).to_string();
        let text = format!("{}.{}", encode(HEADER), encode(&json(&payload)));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(signer.sign(text.as_bytes()));
        Jwt(format!("{text}.{signature}"))
    }
}

fn json(value: &impl Serialize) -> String {
    // Structures of strings and numbers: there is nothing in them that could fail.
    serde_json::to_string(value).unwrap_or_default()
}

fn encode(text: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(text)
}
