//! What an issuer of identities says of itself, and why it refuses.
//!
//! Sources: OpenID Connect Discovery 1.0, sections 3 and 4; RFC 6749, section 5.2; RFC 8628, section 4.

use serde::Deserialize;

use crate::https::{self, Client};

/// Where a discovery document is, below the issuer.
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Longest text of an issuer that is shown, in characters; it may be an address.
const TEXT_LENGTH_MAX: usize = 500;

/// Why nothing is known of an issuer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no answer.
    #[error("the issuer does not answer")]
    Away(#[from] https::Error),
    /// The document is none, is another issuer's, lacks a place, or names one that is not reached by TLS.
    #[error("the issuer's discovery document is not understood")]
    Content,
}

/// The places of an issuer; whoever needs one that is not named asks for it by [`place`].
#[derive(Debug, Clone, Deserialize)]
pub struct Discovery {
    issuer: String,
    /// Its public keys.
    pub jwks_uri: Option<String>,
    /// Where a browser is sent to sign in.
    pub authorization_endpoint: Option<String>,
    /// Where codes become tokens.
    pub token_endpoint: Option<String>,
    /// Where a login on another device begins.
    pub device_authorization_endpoint: Option<String>,
}

/// Reads the discovery document of an issuer, named just as in its tokens.
///
/// # Errors
/// [`Error`]. A document with one place that secrets should not go to is not taken at all.
pub async fn discover(client: &Client, issuer: &str) -> Result<Discovery, Error> {
    let url = format!("{}{DISCOVERY}", issuer.trim_end_matches('/'));
    read(&client.get(&url).await?, issuer)
}

fn read(bytes: &[u8], issuer: &str) -> Result<Discovery, Error> {
    let found: Discovery = serde_json::from_slice(bytes).map_err(|_| Error::Content)?;
    let places = [
        &found.jwks_uri,
        &found.authorization_endpoint,
        &found.token_endpoint,
        &found.device_authorization_endpoint,
    ];
    let are_safe = places.into_iter().flatten().all(|at| https::is_safe(at));
    match found.issuer == issuer && are_safe {
        true => Ok(found),
        false => Err(Error::Content),
    }
}

/// A place that has to be there.
///
/// # Errors
/// [`Error::Content`]: it is not.
pub fn place(named: &Option<String>) -> Result<&str, Error> {
    named.as_deref().ok_or(Error::Content)
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
                reason: clean(error_description.as_ref().unwrap_or(&error)),
                code: error,
            },
            Err(_) => Refusal {
                code: String::new(),
                reason: "no reason was given".to_owned(),
            },
        }
    }
}

/// What an issuer says, as it may stand on a terminal or a page.
pub fn clean(text: &str) -> String {
    let plain = text.chars().filter(|c| !c.is_control());
    plain.take(TEXT_LENGTH_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_its_issuers_own_and_names_safe_places_alone() {
        let document = |issuer: &str, token: &str, keys: &str| {
            format!(r#"{{"issuer":"{issuer}","token_endpoint":"{token}","jwks_uri":"{keys}"}}"#)
        };
        let read = |text: String| read(text.as_bytes(), "https://issuer.example/a");
        let (own, token, keys) = (
            "https://issuer.example/a",
            "https://t.example",
            "https://k.example",
        );
        let good = read(document(own, token, keys)).unwrap();
        assert_eq!(place(&good.token_endpoint).unwrap(), token);
        assert!(place(&good.device_authorization_endpoint).is_err());
        for bad in [
            document("https://issuer.example", token, keys),
            document(own, "http://t.example", keys),
            document(own, token, "file:///keys"),
            "{}".to_owned(),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_an_issuer_says_cannot_move_a_cursor() {
        assert_eq!(clean("a\u{1b}[2Jb"), "a[2Jb");
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
