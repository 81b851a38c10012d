//! What a request is answered, by the registry entry.

use super::{Change, Request, Revoked};
use crate::model::{Cluster, ClusterKeys, Phase};

/// Why keys do not become a cluster's own. A closed set, for answers, logs and statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Refusal {
    /// The registry has no such cluster.
    #[error("the registry has no cluster of this name: `writ cluster add` enters it")]
    UnknownCluster,
    /// It is cut off.
    #[error("this cluster is cut off: `writ cluster reenrol` lets it in again, with new keys")]
    CutOff,
    /// The token was used, by other keys.
    #[error("the token was used, by other keys than these: `writ cluster reenrol` gives a new one")]
    TokenUsed,
    /// The token's hour is over.
    #[error("the token has expired: `writ cluster reenrol` gives a new one")]
    TokenExpired,
    /// Another token is out for this cluster, or none.
    #[error(
        "this is not the token that is out for this cluster: apply the newest manifest, or have `writ cluster reenrol` give a new one"
    )]
    WrongToken,
    /// These keys were its own, and were given up.
    #[error("these keys are revoked: the cluster makes new ones")]
    KeysRevoked,
    /// The cluster has other keys.
    #[error(
        "this cluster is enrolled with other keys: if it was rebuilt, `writ cluster reenrol` lets the new keys in"
    )]
    OtherKeys,
}

impl Refusal {
    /// All of them.
    pub const ALL: [Refusal; 7] = [
        Refusal::UnknownCluster,
        Refusal::CutOff,
        Refusal::TokenUsed,
        Refusal::TokenExpired,
        Refusal::WrongToken,
        Refusal::KeysRevoked,
        Refusal::OtherKeys,
    ];

    /// For machines; only ever added to.
    pub fn as_str(self) -> &'static str {
        match self {
            Refusal::UnknownCluster => "UnknownCluster",
            Refusal::CutOff => "CutOff",
            Refusal::TokenUsed => "TokenUsed",
            Refusal::TokenExpired => "TokenExpired",
            Refusal::WrongToken => "WrongToken",
            Refusal::KeysRevoked => "KeysRevoked",
            Refusal::OtherKeys => "OtherKeys",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Refusal> {
        Refusal::ALL.into_iter().find(|of| of.as_str() == text)
    }
}

/// What is to be done about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The keys are the cluster's own: it gets credentials for them.
    Credentials,
    /// They become its own by this change, and it gets credentials once that is committed.
    Enter(Change),
    /// Somebody has to approve them.
    Wait,
    /// No.
    Refuse(Refusal),
}

/// Judges a request by its cluster's registry entry, and the keys that were the cluster's own before.
///
/// An answer that was lost is asked for again, and comes out the same: keys that are in force are
/// answered before anything is looked at that they may have used up.
pub fn judge(
    entry: Option<&Cluster>,
    revoked: &[Revoked],
    request: &Request,
    now_ms: u64,
) -> Verdict {
    let Some(entry) = entry else {
        return Verdict::Refuse(Refusal::UnknownCluster);
    };
    if entry.phase == Phase::CutOff {
        return Verdict::Refuse(Refusal::CutOff);
    }
    if is_revoked(revoked, &request.keys) {
        return Verdict::Refuse(Refusal::KeysRevoked);
    }
    match &entry.keys {
        Some(keys) if *keys == request.keys => return Verdict::Credentials,
        Some(_) if request.token.is_some() => return Verdict::Refuse(Refusal::TokenUsed),
        Some(_) => return Verdict::Refuse(Refusal::OtherKeys),
        None => {}
    }
    match may_enter(entry, &request.keys, request.token.as_deref(), now_ms) {
        Ok(true) => Verdict::Enter(Change::Enter {
            keys: request.keys.clone(),
            token: request.token.clone(),
        }),
        Ok(false) => Verdict::Wait,
        Err(refusal) => Verdict::Refuse(refusal),
    }
}

/// Whether keys were given up: what was stolen is not let in again, whatever it brings.
pub fn is_revoked(revoked: &[Revoked], keys: &ClusterKeys) -> bool {
    revoked.iter().any(|of| of.bus == keys.bus)
}

/// Whether keys may become those of an entry that has none; `false`: not without an approval.
pub(super) fn may_enter(
    entry: &Cluster,
    keys: &ClusterKeys,
    token: Option<&str>,
    now_ms: u64,
) -> Result<bool, Refusal> {
    let out = entry.enrolment.as_ref();
    let approved = out.and_then(|out| out.approved);
    if approved == Some(super::Fingerprint::of(&entry.name, keys)) {
        return Ok(true);
    }
    let Some(token) = token else {
        return Ok(false);
    };
    match out.and_then(|out| out.token.as_ref()) {
        Some(out) if out.key != token => Err(Refusal::WrongToken),
        Some(out) if now_ms >= out.expires_ms => Err(Refusal::TokenExpired),
        Some(_) => Ok(true),
        None => Err(Refusal::WrongToken),
    }
}
