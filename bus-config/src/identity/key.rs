//! Public keys of the bus by what they stand for, and the pairs that sign.
//!
//! Promises: a text is taken only in its one canonical form, and as the kind of key that is expected;
//! a seed is shown to nobody but who asks for it by name, and is wiped where this module holds it.

use std::fmt;

use nkeys::{KeyPair, KeyPairType};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Why a text is not the key that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not a public key of this kind.
    #[error("{text:?} is not the public key of {whose}")]
    Public {
        /// The text.
        text: String,
        /// Of what kind it should be.
        whose: &'static str,
    },
    /// Not a seed of this kind. The text is not repeated.
    #[error("this is not the seed of {0}")]
    Seed(&'static str),
}

macro_rules! public_key {
    ($(#[$doc:meta])* $name:ident, $kind:pat, $whose:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the text: prefix, checksum, canonical form.
            pub fn parse(text: &str) -> Result<Self, Error> {
                match KeyPair::from_public_key(text) {
                    // The decoded key is written back, so that only its canonical text gets through.
                    Ok(key) if matches!(key.key_pair_type(), $kind) && key.public_key() == text => {
                        Ok(Self(text.to_owned()))
                    }
                    _ => Err(Error::Public { text: text.to_owned(), whose: $whose }),
                }
            }

            /// The key as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(key: $name) -> String {
                key.0
            }
        }
    };
}

public_key!(
    /// The public half of a user's key, `U…`.
    PublicKey,
    KeyPairType::User,
    "a user of the bus"
);
public_key!(
    /// The public half of an account's key, `A…`: its identity, or one of its signing keys.
    AccountKey,
    KeyPairType::Account,
    "an account of the bus"
);
public_key!(
    /// The public half of an operator's key, `O…`: its identity, or one of its signing keys.
    OperatorKey,
    KeyPairType::Operator,
    "an operator of the bus"
);

/// What a pair stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Signs accounts.
    Operator,
    /// Signs users.
    Account,
    /// Signs the server's nonce.
    User,
}

impl Kind {
    fn of(pair: &KeyPair) -> Option<Kind> {
        match pair.key_pair_type() {
            KeyPairType::Operator => Some(Kind::Operator),
            KeyPairType::Account => Some(Kind::Account),
            KeyPairType::User => Some(Kind::User),
            _ => None,
        }
    }

    fn whose(self) -> &'static str {
        match self {
            Kind::Operator => "an operator of the bus",
            Kind::Account => "an account of the bus",
            Kind::User => "a user of the bus",
        }
    }
}

/// A pair of keys. Its `Debug` shows the public half alone.
pub(crate) struct Pair {
    // Its library wipes the key when it is dropped.
    pair: KeyPair,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pair({})", self.pair.public_key())
    }
}

impl Pair {
    /// A new pair, from the operating system's randomness.
    pub(crate) fn generate(kind: Kind) -> Pair {
        Pair {
            pair: KeyPair::new(match kind {
                Kind::Operator => KeyPairType::Operator,
                Kind::Account => KeyPairType::Account,
                Kind::User => KeyPairType::User,
            }),
        }
    }

    /// Reads a seed; space around it is no part of it.
    pub(crate) fn from_seed(kind: Kind, text: &str) -> Result<Pair, Error> {
        let pair = KeyPair::from_seed(text.trim()).map_err(|_| Error::Seed(kind.whose()))?;
        match Kind::of(&pair) {
            Some(found) if found == kind => Ok(Pair { pair }),
            _ => Err(Error::Seed(kind.whose())),
        }
    }

    /// The seed as text. A secret.
    pub(crate) fn seed(&self) -> Zeroizing<String> {
        // A pair without its private half is never made here.
        Zeroizing::new(self.pair.seed().unwrap_or_default())
    }

    /// The public half as text.
    pub(crate) fn public(&self) -> String {
        self.pair.public_key()
    }

    /// The public half of an account's pair.
    pub(crate) fn account(&self) -> AccountKey {
        AccountKey(self.pair.public_key())
    }

    /// The public half of an operator's pair.
    pub(crate) fn operator(&self) -> OperatorKey {
        OperatorKey(self.pair.public_key())
    }

    /// The public half of a user's pair.
    pub(crate) fn user(&self) -> PublicKey {
        PublicKey(self.pair.public_key())
    }

    /// The signature over some bytes.
    pub(crate) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        // As for the seed.
        self.pair.sign(bytes).unwrap_or_default()
    }
}

/// The pair of a user, whose seed signs the nonces of servers and nothing else.
#[derive(Debug)]
pub struct UserKey {
    pub(crate) pair: Pair,
}

impl UserKey {
    /// A new pair, from the operating system's randomness.
    pub fn generate() -> UserKey {
        UserKey {
            pair: Pair::generate(Kind::User),
        }
    }

    /// Reads a seed, `SU…`.
    pub fn from_seed(text: &str) -> Result<UserKey, Error> {
        let pair = Pair::from_seed(Kind::User, text)?;
        Ok(UserKey { pair })
    }

    /// The seed as text. A secret.
    pub fn seed(&self) -> Zeroizing<String> {
        self.pair.seed()
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        self.pair.user()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_as_what_it_is_and_as_nothing_else() {
        let user = UserKey::generate();
        let text = user.public().to_string();
        assert_eq!(PublicKey::parse(&text), Ok(user.public()));
        assert!(AccountKey::parse(&text).is_err());
        assert!(OperatorKey::parse(&text).is_err());
        for bad in [
            text.to_lowercase(),
            format!("{text} "),
            text[1..].to_owned(),
            String::new(),
        ] {
            assert!(PublicKey::parse(&bad).is_err(), "{bad:?}");
        }
        let account = Pair::generate(Kind::Account);
        assert!(Pair::from_seed(Kind::Account, &account.seed()).is_ok());
        assert!(Pair::from_seed(Kind::Operator, &account.seed()).is_err());
        assert!(UserKey::from_seed(&account.seed()).is_err());
        assert!(UserKey::from_seed("SU } }").is_err());
    }

    #[test]
    fn no_seed_gets_into_a_log() {
        let user = UserKey::generate();
        assert!(!format!("{user:?}").contains(&*user.seed()));
        let error = UserKey::from_seed("SUSECRET").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("SUSECRET"));
    }
}
