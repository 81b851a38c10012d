//! A log that was lost or restored: how it is noticed, and what the next epoch says.
//!
//! [`Watch`] is rule 9 in a publisher: no edit is made on a log that is behind what publishers signed.
//! [`Copy`] reads what is left of the log, [`Found`] what the clusters hold, [`Plan`] compares the two
//! name by name, [`Plan::disown`] takes back what only a thief's events say, and [`Plan::build`] says everything again in a new epoch.
//! Promises: of one name the highest signed state wins; nothing is taken from anybody's word but a
//! publisher's; what is known to have existed and can't be found is named, and is neither rolled back
//! nor declared gone. The same input gives the same plan. Records (see [`Kind`]) are known to the log
//! alone: they are taken over as it has them, and a later edit of one leaves no trace to find.
//! Never signs, sends or asks: it is told.

mod build;
mod copy;
mod disown;
mod found;
mod manifest;
mod plan;
#[cfg(test)]
mod tests;
mod watch;

pub use self::{
    build::Recovery,
    copy::Copy,
    found::{Found, Proof, Unproven},
    manifest::manifest,
    plan::{Content, Item, Plan, Verdict},
    watch::{Ahead, Asked, Heard, Watch},
};
use crate::{
    edit::Kind,
    name::{ClusterName, Name},
    revision::Revision,
    scope::Feed,
};

/// One name of one kind.
pub type Key = (Kind, Name);

/// Most clusters that one recall names, so that it stays a small message.
pub const RECALLED_MAX: usize = 256;

/// A publisher's signed question to the clusters, `writ.live.recall`: who holds more than the log does?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recall {
    /// Where the log ends. Who holds nothing above it has nothing to say.
    pub above: Revision,
    /// Who is to offer all that it holds above; empty: whoever holds more shows so by a pulse.
    pub clusters: Vec<ClusterName>,
    /// Of which feeds; empty: all of its own.
    pub feeds: Vec<Feed>,
    /// When it was signed, milliseconds since the Unix epoch.
    pub issued_ms: u64,
}
