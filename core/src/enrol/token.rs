//! A token: one secret, from which whoever holds it derives two keys that are used for nothing else.
//!
//! One connects to the bus, as a user that reaches nothing but its cluster's enrolment. The other signs
//! the request. They are apart because a client of the bus signs whatever nonce a server sends.

use crate::{envelope::SigningKey, hash::FieldHasher, name::ClusterName};

/// The secret in a manifest; wiped from memory with the keys that are made of it.
#[derive(Clone)]
pub struct Token {
    secret: [u8; 32],
}

impl Token {
    /// A token of 32 random bytes, which the caller draws from the operating system.
    pub fn new(secret: [u8; 32]) -> Token {
        Token { secret }
    }

    /// Reads the text form.
    pub fn parse(text: &str) -> Option<Token> {
        let bytes = data_encoding::BASE64URL_NOPAD
            .decode(text.trim().as_bytes())
            .ok()?;
        Some(Token::new(bytes.try_into().ok()?))
    }

    /// The text form. A secret.
    pub fn to_text(&self) -> String {
        data_encoding::BASE64URL_NOPAD.encode(&self.secret)
    }

    fn derive(&self, domain: &str, cluster: &ClusterName) -> [u8; 32] {
        let mut hasher = FieldHasher::new(domain);
        hasher.field(&self.secret);
        hasher.field(cluster.as_str().as_bytes());
        hasher.finish().0
    }

    /// The seed of the user by which its holder connects to the bus.
    pub fn bus_seed(&self, cluster: &ClusterName) -> [u8; 32] {
        self.derive("writ.enrol.token.bus.v1", cluster)
    }

    /// The key that signs the request.
    pub fn signing_key(&self, cluster: &ClusterName) -> SigningKey {
        SigningKey::from_seed(&self.derive("writ.enrol.token.sign.v1", cluster))
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.secret = [0; 32];
    }
}
