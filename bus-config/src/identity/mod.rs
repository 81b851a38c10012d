//! Who is who on the bus: operator, accounts, users, as signed tokens.
//!
//! Owns all keys of the bus by what they stand for, and everything that is signed with them.
//! Promises: pure but for making keys; time is an argument. Names and tags in a token are of checked
//! types, so that no wildcard is ever signed. One signing key a role, whose rights the account's token
//! bounds ([`roles`]). The subscribers' account is a function of the keys that are revoked.
//! Never: talks to a server, or shows a seed to who does not ask for it.

use writ_core::name::Region;

mod account;
mod credentials;
pub mod folder;
mod jwt;
mod key;
mod operator;
mod realm;
mod registrar;
pub mod roles;
mod rotate;
mod user;

pub use account::REVOCATIONS_MAX;
pub use credentials::{Credentials, Error as CredentialsError};
pub use jwt::{Jwt, NotAUser, UserSummary};
pub use key::{AccountKey, Error as KeyError, OperatorKey, PublicKey, UserKey};
pub use operator::OperatorKeys;
pub use realm::{LeafKeys, Realm, Signers, generate};
pub use registrar::{AgentsKeys, RegistrarKeys};
pub use roles::Role;
pub use rotate::{retire, rotate};

/// Why something is not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It would have ended before it began, or be too long.
    #[error("a token of the role {role} lives at least a second and at most {max_s}")]
    Life {
        /// Whose.
        role: &'static str,
        /// Longest life in seconds.
        max_s: u64,
    },
    /// A region whose name begins the inboxes of others.
    #[error("no cluster can be of region {0}: inboxes of others have that name")]
    Reserved(Region),
    /// More revoked keys than an account's token holds.
    #[error("{0} revoked keys are more than the {REVOCATIONS_MAX} that an account can hold")]
    Revocations(usize),
    /// The region has no leaf.
    #[error("region {0} has no leaf node")]
    NoLeaf(Region),
    /// No key at hand that signs this role.
    #[error("there is no key here that signs the role {0}")]
    NoSigner(&'static str),
    /// Keys of another bus, or other keys than the own ones.
    #[error("these are the keys of another bus")]
    OtherRealm,
}

#[cfg(test)]
mod tests;
