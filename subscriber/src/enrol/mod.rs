//! How this cluster joins the fleet: makes its keys, asks to be let in, and keeps its credentials fresh.
//!
//! Owns the two key pairs, which never leave the cluster, and the credentials that the fleet gives for
//! them. Promises: keys are kept before they are used; an answer counts only under a publisher's
//! signature, and for the request that was made; what stands in the way is said, and asked again.
//! Never decides who is let in.

mod ask;
mod join;
mod keys;
mod renew;

pub(crate) use self::{
    join::{Joining, join, user},
    keys::{KeyStore, Keys, check},
    renew::Renewal,
};

/// Why this cluster can't join.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The keys can't be read or written.
    #[error("use the keys of this cluster in {0}")]
    Keys(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// One of two keys is there.
    #[error(
        "{0} holds only one of bus.seed and ack.seed: put the other one back, or take both away and have `writ cluster reenrol` let new ones in"
    )]
    HalfKeys(String),
    /// What is there is no key.
    #[error("{0} in {1} is no key")]
    NoKey(&'static str, String),
    /// The operating system gave no randomness.
    #[error("make keys")]
    Random(#[source] rand::rngs::SysError),
    /// There is nothing to ask with.
    #[error(
        "this cluster has no credentials and nothing to enrol with: apply the manifest that `writ cluster add` or `writ cluster reenrol` prints"
    )]
    NothingToAskWith,
    /// The bus.
    #[error("ask to be let in")]
    Bus(#[source] writ_bus::connection::Error),
    /// Its keys were revoked, and it has made others.
    #[error("this cluster has new keys")]
    Rekeyed,
    /// Asked, and not let in for now.
    #[error("not let in for now")]
    NotNow,
    /// It was told to end meanwhile.
    #[error("ended")]
    Ended,
}
