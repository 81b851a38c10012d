//! A signed token of an issuer (RFC 7519), taken apart and judged. No I/O, no clock.
//!
//! Promises that what comes out was signed by a key of the issuer that it names, is for this fleet, and
//! is valid now.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value};
use writ_core::access::{Identity, Inlet};

use super::{
    config::Issuer,
    keys::{Algorithm, KeySet, Verdict},
};

/// Largest token: one with a few hundred groups has 8 KiB.
pub(super) const TOKEN_SIZE_MAX_BYTES: usize = 16 * 1024;

/// What the clocks of an issuer and a publisher may differ by.
const SKEW_MAX_S: i64 = 30;

/// Most groups of one caller.
const GROUPS_MAX: usize = 500;

/// Longest name of a user or a group.
const NAME_CHARS_MAX: usize = 200;

/// Names of groups that only the fleet's own authorities give out.
pub(super) const RESERVED_PREFIX: &str = "writ:";

/// Why a token is not taken, for the one who sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("it is no signed token (JWT)")]
    Malformed,
    #[error("its algorithm `{0}` is not taken; RS256, ES256 and EdDSA are")]
    Algorithm(String),
    #[error("its issuer `{0}` is not configured here")]
    Issuer(String),
    #[error("its signature is not its issuer's")]
    Forged,
    #[error("it is signed by a key that its issuer does not have")]
    UnknownKey,
    #[error("it is for another audience, not {0}")]
    Audience(String),
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    Early,
    #[error("its claim `{0}` is missing or not what is asked for")]
    Claim(String),
}

/// A token, not believed yet.
#[derive(Debug)]
pub(super) struct Token {
    algorithm: Algorithm,
    key_id: Option<String>,
    signed: Vec<u8>,
    signature: Vec<u8>,
    claims: Map<String, Value>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

impl Token {
    /// Takes a token apart.
    pub(super) fn parse(text: &str) -> Result<Token, Refused> {
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused::Malformed);
        if text.len() > TOKEN_SIZE_MAX_BYTES {
            return Err(Refused::Malformed);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Refused::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Refused::Malformed)?;
        let header: Header =
            serde_json::from_slice(&decode(header)?).map_err(|_| Refused::Malformed)?;
        // What is critical must be understood (RFC 7515, section 4.1.11), and nothing is.
        if header.crit.is_some() {
            return Err(Refused::Malformed);
        }
        let algorithm = Algorithm::parse(&header.alg);
        Ok(Token {
            algorithm: algorithm.ok_or_else(|| Refused::Algorithm(shorten(&header.alg)))?,
            key_id: header.kid,
            signature: decode(signature)?,
            claims: serde_json::from_slice(&decode(claims)?).map_err(|_| Refused::Malformed)?,
            signed: signed.as_bytes().to_vec(),
        })
    }

    /// Who says to have made it; to be believed only once it is verified under that one's keys.
    pub(super) fn issuer(&self) -> &str {
        self.text("iss").unwrap_or_default()
    }

    /// Whether one of the keys signed it.
    pub(super) fn verdict(&self, keys: &KeySet) -> Verdict {
        let id = self.key_id.as_deref();
        keys.verify(self.algorithm, id, &self.signed, &self.signature)
    }

    /// Who it says that the bearer is. Call only after [`Verdict::Good`].
    pub(super) fn identity(&self, issuer: &Issuer, now_s: i64) -> Result<Identity, Refused> {
        let claim = |name: &str| Refused::Claim(name.to_owned());
        if self.issuer() != issuer.issuer {
            return Err(Refused::Issuer(shorten(self.issuer())));
        }
        let audiences = self.texts("aud");
        if !audiences
            .iter()
            .any(|audience| issuer.audiences.contains(audience))
        {
            return Err(Refused::Audience(issuer.audiences.join(" or ")));
        }
        let expires = self.time("exp").ok_or_else(|| claim("exp"))?;
        if now_s >= expires.saturating_add(SKEW_MAX_S) {
            return Err(Refused::Expired);
        }
        if self.claims.contains_key("nbf") {
            let begins = self.time("nbf").ok_or_else(|| claim("nbf"))?;
            if now_s < begins.saturating_sub(SKEW_MAX_S) {
                return Err(Refused::Early);
            }
        }
        self.meets(issuer)?;
        let name = self.text(&issuer.user_claim);
        let name = name
            .filter(|name| is_name(name))
            .ok_or_else(|| claim(&issuer.user_claim))?;
        // Whoever may choose an address without owning it could be anybody.
        if issuer.user_claim == "email" && self.claims.get("email_verified") != Some(&true.into()) {
            return Err(claim("email_verified"));
        }
        Ok(Identity {
            inlet: Inlet::Oidc,
            user: format!("{}{name}", issuer.user_prefix),
            groups: self.groups(issuer)?,
        })
    }

    /// When it is not taken any more. Call only after [`Verdict::Good`].
    pub(super) fn ends_s(&self) -> Option<i64> {
        Some(self.time("exp")?.saturating_add(SKEW_MAX_S))
    }

    fn meets(&self, issuer: &Issuer) -> Result<(), Refused> {
        let mut missed = None;
        for condition in &issuer.conditions {
            let miss = condition.iter().find(|(name, values)| {
                let held = self.texts(name);
                !held.iter().any(|value| values.contains(value))
            });
            let Some((name, _)) = miss else {
                return Ok(());
            };
            missed.get_or_insert(name);
        }
        missed.map_or(Ok(()), |name| Err(Refused::Claim(name.clone())))
    }

    fn groups(&self, issuer: &Issuer) -> Result<BTreeSet<String>, Refused> {
        let mut groups = issuer.groups.clone();
        let Some(name) = &issuer.groups_claim else {
            return Ok(groups);
        };
        let claimed = self.texts(name);
        // Some would be left out, and with them perhaps the one that matters.
        if claimed.len() > GROUPS_MAX || !claimed.iter().all(|group| is_name(group)) {
            return Err(Refused::Claim(name.clone()));
        }
        let claimed = claimed
            .iter()
            .map(|group| format!("{}{group}", issuer.group_prefix));
        groups.extend(claimed.filter(|group| !group.starts_with(RESERVED_PREFIX)));
        Ok(groups)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str()
    }

    fn time(&self, name: &str) -> Option<i64> {
        let number = self.claims.get(name)?;
        // Seconds, which some issuers give with a fraction (RFC 7519, section 2).
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a fraction of a second, or saturation"
        )]
        number
            .as_i64()
            .or_else(|| number.as_f64().map(|seconds| seconds as i64))
    }

    /// A claim that is a text or a list of texts.
    fn texts(&self, name: &str) -> Vec<String> {
        match self.claims.get(name) {
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Array(list)) => {
                let texts = list.iter().filter_map(Value::as_str);
                texts.map(str::to_owned).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Whether a text can be the name of a user or a group: it ends in logs and on terminals.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.chars().count() <= NAME_CHARS_MAX
        && !text.chars().any(char::is_control)
}

/// A text out of a token that nobody verified, for a message.
fn shorten(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}
