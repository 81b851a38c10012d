//! The fields of a registry entry that enrolment owns: its phase, and what it may enrol with.
//!
//! People don't write them: the fleet's commands do, and a document that states them is compared
//! with what is in force (`core/src/enrol`).

use serde_json::{Map, Value};

use super::choice::Phase;
use super::cluster::check_ack_key;
use super::fields::Fields;
use super::report::Report;
use crate::enrol::Fingerprint;

/// What a cluster may enrol with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enrolment {
    /// A token that is out, and not used yet.
    pub token: Option<TokenKey>,
    /// The keys that somebody approved, before or after the cluster asked.
    pub approved: Option<Fingerprint>,
}

/// The public side of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenKey {
    /// The key that signs the request of whoever has the token: Ed25519, in base64.
    pub key: String,
    /// Until when it is taken, milliseconds since the Unix epoch.
    pub expires_ms: u64,
}

/// An entry of an earlier time, or of a person, states no phase: it is active as soon as it has keys.
pub(super) fn read_phase(spec: &Fields<'_>, has_keys: bool, report: &mut Report) -> Phase {
    let derived = match has_keys {
        true => Phase::Active,
        false => Phase::Pending,
    };
    if spec.get("phase").is_none() {
        return derived;
    }
    super::choice::read(spec, "phase", report)
}

pub(super) fn read(spec: &Fields<'_>, report: &mut Report) -> Option<Enrolment> {
    let fields = spec.open_field("enrolment", &["token", "expiresMs", "approved"], report)?;
    let token = fields.get("token").and_then(|_| {
        let check = |text: &str| check_ack_key(text).map(|()| text.to_owned());
        let key = fields.parsed("token", check, report)?;
        let expires_ms = fields.get("expiresMs").and_then(Value::as_u64);
        if expires_ms.is_none() {
            let message = "must be milliseconds since the Unix epoch, beside a token";
            report.refuse(fields.path("expiresMs"), message);
        }
        let expires_ms = expires_ms?;
        Some(TokenKey { key, expires_ms })
    });
    let approved = fields
        .get("approved")
        .and_then(|_| fields.parsed("approved", Fingerprint::parse, report));
    Some(Enrolment { token, approved })
}

impl Enrolment {
    /// As it stands in a document.
    pub(crate) fn to_json(&self) -> Value {
        let mut fields = Map::new();
        if let Some(token) = &self.token {
            fields.insert("token".to_owned(), token.key.as_str().into());
            fields.insert("expiresMs".to_owned(), token.expires_ms.into());
        }
        if let Some(approved) = &self.approved {
            fields.insert("approved".to_owned(), approved.to_string().into());
        }
        Value::Object(fields)
    }
}
