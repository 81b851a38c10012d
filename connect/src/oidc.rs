//! What an issuer of identities says of itself, and why it refuses.
//!
//! Sources: OpenID Connect Discovery 1.0, sections 3 and 4; RFC 6749, section 5.2; RFC 8628, section 4.

use serde::Deserialize;

use crate::https::{self, Client};

/// Where a discovery document is, below the issuer.
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Longest reason that is passed on, in characters.
pub const REASON_LENGTH_MAX: usize = 200;

/// The member with the place of an issuer's public keys.
pub const KEYS: &str = "jwks_uri";
/// Where a browser is sent to sign in.
pub const AUTHORIZATION: &str = "authorization_endpoint";
/// Where codes become tokens.
pub const TOKEN: &str = "token_endpoint";
/// Where a login on another device begins.
pub const DEVICE: &str = "device_authorization_endpoint";

/// Why nothing is known of an issuer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no answer.
    #[error("the issuer does not answer")]
    Away(#[from] https::Error),
    /// The document is none, or another issuer's.
    #[error("the issuer's discovery document is not understood")]
    Content,
    /// A place that is needed is not named, or secrets should not go there.
    #[error("the issuer's discovery document names no `{0}` that is reached by TLS")]
    Place(&'static str),
}

/// A discovery document. What nobody asks for may be anything: issuers of workloads name no place to sign in.
#[derive(Debug, Clone, Deserialize)]
pub struct Discovery(serde_json::Map<String, serde_json::Value>);

impl Discovery {
    /// Whether a place is named.
    pub fn names(&self, member: &str) -> bool {
        self.0.contains_key(member)
    }

    /// A place that has to be there.
    ///
    /// # Errors
    /// [`Error::Place`]: it is not, or is no `https://` URL.
    pub fn place(&self, member: &'static str) -> Result<&str, Error> {
        let place = self.0.get(member).and_then(|place| place.as_str());
        let place = place.filter(|place| https::is_safe(place));
        place.ok_or(Error::Place(member))
    }
}

/// Reads the discovery document of an issuer, named just as in its tokens.
///
/// # Errors
/// There is no answer, or it is not that issuer's document.
pub async fn discover(client: &Client, issuer: &str) -> Result<Discovery, Error> {
    let url = format!("{}{DISCOVERY}", issuer.trim_end_matches('/'));
    read(&client.get(&url).await?, issuer)
}

fn read(bytes: &[u8], issuer: &str) -> Result<Discovery, Error> {
    let found: Discovery = serde_json::from_slice(bytes).map_err(|_| Error::Content)?;
    match found.0.get("issuer").and_then(|own| own.as_str()) == Some(issuer) {
        true => Ok(found),
        false => Err(Error::Content),
    }
}

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code, such as `access_denied`; empty where the answer is of no known form.
    pub code: String,
    /// What to tell a person.
    pub reason: String,
}

impl Refusal {
    /// Reads the body of an answer.
    pub fn read(body: &[u8]) -> Refusal {
        #[derive(Deserialize)]
        struct Failed {
            error: String,
            error_description: Option<String>,
        }
        match serde_json::from_slice::<Failed>(body) {
            Ok(Failed {
                error,
                error_description,
            }) => Refusal {
                reason: clean(
                    error_description.as_ref().unwrap_or(&error),
                    REASON_LENGTH_MAX,
                ),
                code: error,
            },
            Err(_) => Refusal {
                code: String::new(),
                reason: "no reason was given".to_owned(),
            },
        }
    }
}

/// What an issuer says, as it may stand on a terminal or a page: without control characters, and so many characters of it.
pub fn clean(text: &str, length_max: usize) -> String {
    let plain = text.chars().filter(|c| !c.is_control());
    plain.take(length_max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_its_issuers_own_and_only_what_is_asked_for_has_to_be_there() {
        let own = "https://issuer.example/a";
        let document = |issuer: &str| {
            let text = serde_json::json!({
                "issuer": issuer, "jwks_uri": "https://k.example", "token_endpoint": "http://t.example",
                "authorization_endpoint": "urn:kubernetes:programmatic_authorization", "claims_supported": 7,
            });
            read(text.to_string().as_bytes(), own)
        };
        let good = document(own).unwrap();
        assert_eq!(good.place(KEYS).unwrap(), "https://k.example");
        for bad in [TOKEN, AUTHORIZATION, DEVICE] {
            assert!(good.place(bad).is_err(), "{bad}");
        }
        assert!(good.names(TOKEN) && !good.names(DEVICE));
        assert!(document("https://issuer.example").is_err());
        assert!(read(b"{}", own).is_err());
    }

    #[test]
    fn what_an_issuer_says_cannot_move_a_cursor() {
        assert_eq!(clean("a\u{1b}[2Jbc", 5), "a[2Jb");
        let denied = Refusal::read(br#"{"error":"access_denied"}"#);
        assert_eq!(
            (&*denied.code, &*denied.reason),
            ("access_denied", "access_denied")
        );
        let said = Refusal::read(br#"{"error":"slow_down","error_description":"wait"}"#);
        assert_eq!((&*said.code, &*said.reason), ("slow_down", "wait"));
        assert_eq!(Refusal::read(b"<html>").code, "");
    }
}
