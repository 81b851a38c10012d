//! What a user shows to a server: its token and, but for a request, its seed, in the form of a NATS
//! credentials file.

use std::fmt;

use zeroize::Zeroizing;

use super::{
    jwt::{Jwt, NotAUser, UserSummary},
    key::{self, PublicKey, UserKey},
};

const TOKEN_BEGIN: &str = "-----BEGIN NATS USER JWT-----";
const TOKEN_END: &str = "------END NATS USER JWT------";
const SEED_BEGIN: &str = "-----BEGIN USER NKEY SEED-----";
const SEED_END: &str = "------END USER NKEY SEED------";

/// Why a text is no credentials.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No token in it.
    #[error("there is no user's token in the credentials")]
    NoToken,
    /// Not the token of a user.
    #[error(transparent)]
    Token(#[from] NotAUser),
    /// Not the seed of a user.
    #[error(transparent)]
    Seed(#[from] key::Error),
    /// Token and seed are of two users.
    #[error("the token is of {token}, and the seed of {seed}")]
    OtherKey {
        /// The key in the token.
        token: String,
        /// The key of the seed.
        seed: PublicKey,
    },
}

/// A token, with the seed that proves whose it is. Has no seed in its `Debug`.
pub struct Credentials {
    token: Jwt,
    summary: UserSummary,
    key: Option<UserKey>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("summary", &self.summary)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Puts a token and its user's key together.
    pub fn new(token: &Jwt, key: Option<UserKey>) -> Result<Credentials, Error> {
        let summary = Jwt::user(token.as_str())?;
        if let Some(key) = &key
            && key.public().as_str() != summary.key
        {
            return Err(Error::OtherKey {
                token: summary.key,
                seed: key.public(),
            });
        }
        Ok(Credentials {
            token: token.clone(),
            summary,
            key,
        })
    }

    /// Reads a credentials file.
    pub fn parse(text: &str) -> Result<Credentials, Error> {
        let token = between(text, TOKEN_BEGIN, TOKEN_END).ok_or(Error::NoToken)?;
        let key = between(text, SEED_BEGIN, SEED_END)
            .map(UserKey::from_seed)
            .transpose()?;
        Credentials::new(&Jwt(token.to_owned()), key)
    }

    /// The text of a credentials file. A secret, if there is a seed.
    pub fn to_file(&self) -> Zeroizing<String> {
        let mut text = format!("{TOKEN_BEGIN}\n{}\n{TOKEN_END}\n", self.token);
        if let Some(key) = &self.key {
            let seed = key.seed();
            for line in ["\n", SEED_BEGIN, "\n", &seed, "\n", SEED_END, "\n"] {
                text.push_str(line);
            }
        }
        Zeroizing::new(text)
    }

    /// The token.
    pub fn token(&self) -> &Jwt {
        &self.token
    }

    /// What the token says of itself.
    pub fn summary(&self) -> &UserSummary {
        &self.summary
    }

    /// The signature over a server's nonce; `None` for a token that needs none.
    pub(crate) fn sign(&self, nonce: &[u8]) -> Option<Vec<u8>> {
        self.key.as_ref().map(|key| key.pair.sign(nonce))
    }
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(begin)?;
    let (inner, _) = rest.split_once(end)?;
    Some(inner.trim())
}
