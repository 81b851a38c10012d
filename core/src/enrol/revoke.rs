//! Keys that a name had once, and that the bus must not take any more.

use crate::model::{Cluster, Phase};

/// The longest life of a cluster's credentials. A key that was given up is remembered for that long:
/// what was issued for it has ended by itself then.
pub const CREDENTIALS_LIFE_MAX_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

/// Keys that are remembered of one name. More than that are given up within a week by nobody who means
/// well; the oldest are forgotten first.
pub const REVOKED_MAX: usize = 64;

/// A key on the bus that was a cluster's own, and is not any more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revoked {
    /// Its public half, `U…`.
    pub bus: String,
    /// Since when, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// The key that the bus takes from a cluster.
fn believed(entry: Option<&Cluster>) -> Option<&str> {
    let entry = entry.filter(|entry| entry.phase != Phase::CutOff)?;
    entry.keys.as_ref().map(|keys| keys.bus.as_str())
}

/// The revoked keys of a name after an edit: those before it, and the one that the edit gives up.
pub fn revoked(
    before: &[Revoked],
    old: Option<&Cluster>,
    new: Option<&Cluster>,
    now_ms: u64,
) -> Vec<Revoked> {
    let is_recent = |of: &&Revoked| of.at_ms.saturating_add(CREDENTIALS_LIFE_MAX_MS) > now_ms;
    let mut all: Vec<Revoked> = before.iter().filter(is_recent).cloned().collect();
    if let Some(bus) = believed(old).filter(|bus| believed(new) != Some(bus)) {
        all.retain(|of| of.bus != bus);
        all.push(Revoked {
            bus: bus.to_owned(),
            at_ms: now_ms,
        });
    }
    let surplus = all.len().saturating_sub(REVOKED_MAX);
    all.drain(..surplus);
    all
}
