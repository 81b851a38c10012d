//! Enrolment: clusters ask by the bus to be let in, and for new credentials; here they are answered.
//!
//! Owns the way from a request to its answer. What is answered is judged by the core
//! (`core/src/enrol`), by the registry entry; what an answer changes is an edit like any other.
//! Promises: an answer goes to the place that the cluster's name and the request's nonce give, and to
//! no other; credentials are given out for keys that the log says are the cluster's own; a flood of
//! requests of one cluster holds up no other.
//! Never keeps what it needs to go on: a publisher that starts answers as the one before it did.

mod asked;
mod leave;
mod mint;
mod rate;
mod respond;

pub(crate) use self::{asked::Asked, leave::leave, mint::Minter, respond::Responder};

use std::sync::Arc;

use crate::trust::Trusted;

/// What the API needs of enrolment. Clones share it.
#[derive(Clone)]
pub(crate) struct Desk {
    /// Nothing: this publisher lets no cluster in.
    pub(crate) minter: Option<Arc<Minter>>,
    pub(crate) asked: Asked,
    /// For how long a token is taken.
    pub(crate) token_life_ms: u64,
    /// The newest trust bundle, which goes into manifests.
    pub(crate) trusted: Trusted,
    /// Where clusters find the bus.
    pub(crate) bus_url: String,
}
