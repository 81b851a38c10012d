//! What must not be guessed, and what is kept of it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::{
    digest,
    rand::{SecureRandom as _, SystemRandom},
};

/// Bytes of randomness: 256 bits.
const RANDOM_BYTES: usize = 32;

/// What is kept of a secret, under which it is found again.
pub(super) type Hash = [u8; 32];

/// The operating system has no randomness to give.
#[derive(Debug, thiserror::Error)]
#[error("there is no randomness now")]
pub(super) struct NoRandomness;

/// A word that nobody guesses, of letters, digits, `-` and `_`.
pub(super) fn word() -> Result<String, NoRandomness> {
    let mut bytes = [0; RANDOM_BYTES];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| NoRandomness)?;
    Ok(BASE64.encode(bytes))
}

/// SHA-256 of a text for one purpose.
pub(super) fn hash(purpose: &str, text: &str) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(purpose.as_bytes());
    context.update(&[0]);
    context.update(text.as_bytes());
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// What proves that whoever fetches a token is who asked for its code (RFC 7636, section 4.2: S256).
pub(super) fn challenge(verifier: &str) -> String {
    BASE64.encode(digest::digest(&digest::SHA256, verifier.as_bytes()))
}

/// What stands in a form, by which it is known that the page of this very cookie was filled in.
pub(super) fn form_word(cookie: &str) -> String {
    BASE64.encode(hash("form", cookie))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_the_one_of_the_specification() {
        // RFC 7636, appendix B.
        assert_eq!(
            challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn words_are_long_and_differ_and_a_hash_is_for_one_purpose() {
        let (one, other) = (word().unwrap(), word().unwrap());
        assert_eq!(one.len(), 43);
        assert_ne!(one, other);
        assert_ne!(hash("a", &one), hash("b", &one));
        assert_ne!(form_word(&one), form_word(&other));
    }
}
