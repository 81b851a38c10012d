//! What the fleet's own commands, and enrolment, make of a registry entry.

use super::{Fingerprint, Refusal, judge::may_enter};
use crate::model::{Cluster, ClusterKeys, Enrolment, Phase, TokenKey};

/// One step in a cluster's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Keys become the cluster's own: by a token that is out, or because they were approved.
    Enter {
        /// Which.
        keys: ClusterKeys,
        /// The public key of the token that signed for them.
        token: Option<String>,
    },
    /// Somebody compared a fingerprint, and the keys with it may enter.
    Approve(Fingerprint),
    /// Its keys are not its own any more, and it may enrol anew; with a token where there is one.
    Reenrol(Option<TokenKey>),
    /// It gives back all that was applied there, and leaves.
    Drain,
    /// Its keys are revoked, and nothing that it says counts.
    CutOff,
}

impl Change {
    /// The word for it, in request ids and reasons.
    pub fn verb(&self) -> &'static str {
        match self {
            Change::Enter { .. } => "enter",
            Change::Approve(_) => "approve",
            Change::Reenrol(_) => "reenrol",
            Change::Drain => "drain",
            Change::CutOff => "cut-off",
        }
    }
}

/// Why a step can't be taken from where the cluster is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The keys may not become its own.
    #[error("{0}")]
    Enter(#[source] Refusal),
    /// Nobody approved them, and no token signed for them.
    #[error("nobody approved these keys, and no token signed for them")]
    NotApproved,
    /// It has keys already.
    #[error(
        "{name} is enrolled already, with keys of fingerprint {fingerprint}: `writ cluster reenrol {name}` revokes them and lets others in"
    )]
    Enrolled {
        /// The cluster.
        name: String,
        /// Of the keys that it has.
        fingerprint: Fingerprint,
    },
    /// It has to be let in again first.
    #[error("{name} is cut off: `writ cluster reenrol {name}` lets it in again, with new keys")]
    CutOff {
        /// The cluster.
        name: String,
    },
    /// Nothing was ever applied there, or nothing hears of it any more.
    #[error(
        "{name} is {phase}, so it can't be told to give anything back: `writ cluster remove {name} --keep` takes it out of the registry as it is"
    )]
    NothingToDrain {
        /// The cluster.
        name: String,
        /// What it is.
        phase: Phase,
    },
}

/// The entry after a step.
///
/// Asked again with the newest entry when the step is committed, which makes a token single-use: the
/// first step that is committed takes the token away, and the next one finds none.
///
/// # Errors
/// [`Refused`]: the step can't be taken.
pub fn change(entry: &Cluster, change: &Change, now_ms: u64) -> Result<Cluster, Refused> {
    let name = || entry.name.to_string();
    let mut next = entry.clone();
    match change {
        Change::Enter { keys, token } => {
            if entry.keys.as_ref() == Some(keys) && entry.phase != Phase::CutOff {
                return Ok(next);
            }
            let refuse = |refusal| Err(Refused::Enter(refusal));
            match (&entry.keys, token) {
                _ if entry.phase == Phase::CutOff => return refuse(Refusal::CutOff),
                (Some(_), Some(_)) => return refuse(Refusal::TokenUsed),
                (Some(_), None) => return refuse(Refusal::OtherKeys),
                (None, _) => {}
            }
            let may = may_enter(entry, keys, token.as_deref(), now_ms).map_err(Refused::Enter)?;
            if !may {
                return Err(Refused::NotApproved);
            }
            (next.keys, next.phase, next.enrolment) = (Some(keys.clone()), Phase::Active, None);
        }
        Change::Approve(fingerprint) => {
            if entry.phase == Phase::CutOff {
                return Err(Refused::CutOff { name: name() });
            }
            if let Some(keys) = &entry.keys {
                let own = Fingerprint::of(&entry.name, keys);
                if own != *fingerprint {
                    let (name, fingerprint) = (name(), own);
                    return Err(Refused::Enrolled { name, fingerprint });
                }
                return Ok(next);
            }
            let enrolment = next.enrolment.get_or_insert_default();
            enrolment.approved = Some(*fingerprint);
        }
        Change::Reenrol(token) => {
            (next.keys, next.phase) = (None, Phase::Pending);
            next.enrolment = token.clone().map(|token| Enrolment {
                token: Some(token),
                approved: None,
            });
        }
        Change::Drain => match entry.phase {
            Phase::Active | Phase::Draining => next.phase = Phase::Draining,
            phase => {
                let name = name();
                return Err(Refused::NothingToDrain { name, phase });
            }
        },
        Change::CutOff => {
            (next.phase, next.enrolment) = (Phase::CutOff, None);
        }
    }
    Ok(next)
}
