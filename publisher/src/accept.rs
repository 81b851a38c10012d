//! Step 1, accept: from a gRPC request to a submission. No I/O.
//!
//! Promises that what goes on is within its limits and has an author and a request id. Never looks
//! into the document.

use uuid::Uuid;
use writ_core::{
    access::{Identity, Inlet, Proposal},
    edit::Kind,
    enrol::Change,
    model::{TokenKey, limits::REASON_MAX_BYTES},
    name::{ClusterName, Name},
};
use writ_proto::v1;

use crate::error::EditError;

/// Largest manifest as submitted, in bytes: three times the largest compiled one, for what is stripped
/// from it, and under the bus' limit for the message that keeps it.
pub(crate) const MANIFEST_SIZE_MAX_BYTES: usize = 768 * 1024;

/// Longest request id: a UUID with a prefix fits; ids are kept in roots.
const REQUEST_ID_MAX_BYTES: usize = 128;

/// How long a proposal waits where nobody says so: a week, so that it outlives a weekend.
const PROPOSAL_TIME_S: u32 = 7 * 24 * 3600;

/// How long it waits at most: what somebody looked at a month ago they have forgotten.
const PROPOSAL_TIME_MAX_S: u32 = 30 * 24 * 3600;

/// The inlets: the API, and the bus, by which clusters enrol and leave.
const GRPC: &str = "grpc";
const BUS: &str = "bus";

/// What an edit is to do.
#[derive(Debug, Clone)]
pub(crate) enum Wish {
    /// To put this manifest in force.
    Apply {
        /// JSON text.
        manifest: String,
    },
    /// To take the name away.
    Delete {
        /// As it was given.
        name: Name,
    },
    /// To enter a cluster that is not there yet.
    Add {
        /// JSON text.
        manifest: String,
        /// By what it may enrol.
        token: Option<TokenKey>,
    },
    /// To take a cluster one step on in its life.
    Step {
        /// As it was given.
        name: Name,
        /// Which.
        change: Change,
    },
}

/// By which way an edit is to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// At once.
    Direct,
    /// It waits for a second person.
    Propose {
        /// How long, milliseconds.
        expires_after_ms: u64,
    },
    /// It is what a proposal stands for.
    Approve {
        /// The proposal's generation that was looked at.
        generation: u64,
    },
}

/// An edit as it was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Submission {
    pub(crate) kind: Kind,
    pub(crate) wish: Wish,
    pub(crate) base: Option<u64>,
    pub(crate) request_id: String,
    /// Whether the client chose the request id, so that it may have been used before.
    pub(crate) is_repeatable: bool,
    pub(crate) reason: String,
    pub(crate) author: String,
    /// Who asks. The author of an edit that is approved is who proposed it.
    pub(crate) identity: Identity,
    pub(crate) way: Way,
    /// The number that the guards asked to be repeated; 0: none.
    pub(crate) confirm: u32,
    /// Whether guards are to be overridden, which only a break-glass administrator may.
    pub(crate) overrides: bool,
    /// By which way it came.
    pub(crate) inlet: &'static str,
    pub(crate) dry_run: bool,
}

/// Who asked, why, and under which id.
#[derive(Debug, Clone)]
pub(crate) struct About<'a> {
    pub(crate) request_id: String,
    pub(crate) reason: String,
    pub(crate) caller: &'a Identity,
    pub(crate) dry_run: bool,
    /// As in a [`Submission`].
    pub(crate) confirm: u32,
    pub(crate) overrides: bool,
}

impl<'a> About<'a> {
    /// Of what no guard weighs.
    pub(crate) fn unguarded(
        request_id: String,
        reason: String,
        dry_run: bool,
        caller: &'a Identity,
    ) -> About<'a> {
        About {
            request_id,
            reason,
            caller,
            dry_run,
            confirm: 0,
            overrides: false,
        }
    }
}

impl Submission {
    /// The kind of the name that the edit is made to: a proposal is one of its own.
    pub(crate) fn edit_kind(&self) -> Kind {
        match self.way {
            Way::Propose { .. } => Kind::Proposal,
            Way::Direct | Way::Approve { .. } => self.kind,
        }
    }

    /// The name that it says to be of; nobody has looked into it yet.
    pub(crate) fn named(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Document {
            metadata: Metadata,
        }
        #[derive(serde::Deserialize)]
        struct Metadata {
            name: String,
        }
        match &self.wish {
            Wish::Delete { name } | Wish::Step { name, .. } => Some(name.to_string()),
            Wish::Apply { manifest } | Wish::Add { manifest, .. } => {
                let document: Document = serde_json::from_str(manifest).ok()?;
                Some(document.metadata.name.chars().take(100).collect())
            }
        }
    }
}

/// Accepts an apply.
pub(crate) fn apply(
    kind: Kind,
    request: v1::ApplyRequest,
    caller: &Identity,
) -> Result<Submission, EditError> {
    let size = request.manifest.len();
    if size > MANIFEST_SIZE_MAX_BYTES {
        let message = format!("has {size} bytes, the limit is {MANIFEST_SIZE_MAX_BYTES}");
        return Err(EditError::field("manifest", message));
    }
    let (request_id, is_repeatable) = request_id(request.request_id)?;
    Ok(Submission {
        kind,
        wish: Wish::Apply {
            manifest: request.manifest,
        },
        base: request.base_generation,
        request_id,
        is_repeatable,
        reason: reason(request.reason)?,
        author: caller.to_string(),
        identity: caller.clone(),
        way: way(request.propose, request.proposal_expires_after_s)?,
        confirm: request.confirm,
        overrides: request.override_guards,
        inlet: GRPC,
        dry_run: request.dry_run,
    })
}

/// Accepts a deletion.
pub(crate) fn delete(
    kind: Kind,
    request: v1::DeleteRequest,
    caller: &Identity,
) -> Result<Submission, EditError> {
    let name =
        Name::parse(&request.name).map_err(|error| EditError::field("name", error.to_string()))?;
    let (request_id, is_repeatable) = request_id(request.request_id)?;
    Ok(Submission {
        kind,
        wish: Wish::Delete { name },
        base: request.base_generation,
        request_id,
        is_repeatable,
        reason: reason(request.reason)?,
        author: caller.to_string(),
        identity: caller.clone(),
        way: way(request.propose, request.proposal_expires_after_s)?,
        confirm: request.confirm,
        overrides: request.override_guards,
        inlet: GRPC,
        dry_run: request.dry_run,
    })
}

/// Accepts the approval of a proposal, as it is stored.
pub(crate) fn approve(
    proposal: &Proposal,
    request: v1::ApproveRequest,
    caller: &Identity,
) -> Result<Submission, EditError> {
    if request.generation == 0 {
        let message = "is required: approve what was looked at, as NAME@GENERATION";
        return Err(EditError::field("generation", message));
    }
    let (request_id, is_repeatable) = request_id(request.request_id)?;
    let own = reason(request.reason)?;
    let parts = [
        proposal.reason.clone(),
        format!("approved by {caller}"),
        own,
    ];
    let parts: Vec<String> = parts.into_iter().filter(|text| !text.is_empty()).collect();
    Ok(Submission {
        kind: Kind::Policy,
        wish: match &proposal.manifest {
            Some(manifest) => Wish::Apply {
                manifest: manifest.clone(),
            },
            None => Wish::Delete {
                name: proposal.name.clone(),
            },
        },
        base: Some(proposal.base),
        request_id,
        is_repeatable,
        reason: parts.join("; "),
        author: proposal.by.to_string(),
        identity: caller.clone(),
        way: Way::Approve {
            generation: request.generation,
        },
        confirm: request.confirm,
        overrides: false,
        inlet: GRPC,
        dry_run: request.dry_run,
    })
}

fn way(propose: bool, expires_after_s: u32) -> Result<Way, EditError> {
    if !propose {
        return Ok(Way::Direct);
    }
    let seconds = match expires_after_s {
        0 => PROPOSAL_TIME_S,
        given => given,
    };
    if seconds > PROPOSAL_TIME_MAX_S {
        let message = format!("the most are {PROPOSAL_TIME_MAX_S} seconds");
        return Err(EditError::field("proposal_expires_after_s", message));
    }
    Ok(Way::Propose {
        expires_after_ms: u64::from(seconds) * 1_000,
    })
}

/// Accepts a new cluster.
pub(crate) fn add(
    manifest: String,
    token: Option<TokenKey>,
    about: About<'_>,
) -> Result<Submission, EditError> {
    let request = v1::ApplyRequest {
        manifest,
        request_id: about.request_id,
        reason: about.reason,
        dry_run: about.dry_run,
        ..v1::ApplyRequest::default()
    };
    let mut submission = apply(Kind::Cluster, request, about.caller)?;
    if let Wish::Apply { manifest } = submission.wish {
        submission.wish = Wish::Add { manifest, token };
    }
    Ok(submission)
}

/// Accepts a step in a cluster's life. Its request id names the step, so that one id stands for one step.
pub(crate) fn step(name: &str, change: Change, about: About<'_>) -> Result<Submission, EditError> {
    let name = Name::parse(name).map_err(|error| EditError::field("name", error.to_string()))?;
    let (given, is_repeatable) = request_id(about.request_id)?;
    let detail = match &change {
        Change::Approve(fingerprint) => format!("-{fingerprint}"),
        _ => String::new(),
    };
    Ok(Submission {
        kind: Kind::Cluster,
        request_id: format!("{}{detail}:{given}", change.verb()),
        wish: Wish::Step { name, change },
        base: None,
        is_repeatable,
        reason: reason(about.reason)?,
        author: about.caller.to_string(),
        identity: about.caller.clone(),
        way: Way::Direct,
        confirm: about.confirm,
        overrides: about.overrides,
        inlet: GRPC,
        dry_run: about.dry_run,
    })
}

/// What a cluster's own words bring about: its keys become its own, or it leaves.
pub(crate) fn of_cluster(name: &ClusterName, wish: Wish, id: String, reason: &str) -> Submission {
    let identity = Identity {
        inlet: Inlet::Cluster,
        user: name.to_string(),
        groups: [].into(),
    };
    Submission {
        kind: Kind::Cluster,
        wish,
        base: None,
        request_id: id,
        is_repeatable: true,
        reason: reason.to_owned(),
        author: identity.to_string(),
        identity,
        way: Way::Direct,
        confirm: 0,
        overrides: false,
        inlet: BUS,
        dry_run: false,
    }
}

fn request_id(given: String) -> Result<(String, bool), EditError> {
    if given.is_empty() {
        return Ok((Uuid::new_v4().to_string(), false));
    }
    if given.len() > REQUEST_ID_MAX_BYTES || !given.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = format!("must be at most {REQUEST_ID_MAX_BYTES} visible ASCII characters");
        return Err(EditError::field("request_id", message));
    }
    Ok((given, true))
}

fn reason(given: String) -> Result<String, EditError> {
    if given.len() > REASON_MAX_BYTES {
        let message = format!("has {} bytes, the limit is {REASON_MAX_BYTES}", given.len());
        return Err(EditError::field("reason", message));
    }
    if given.chars().any(|c| c.is_control() && c != '\n') {
        return Err(EditError::field(
            "reason",
            "must not hold control characters",
        ));
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_request_id_is_chosen_and_a_bad_one_refused() {
        let (chosen, is_repeatable) = request_id(String::new()).unwrap();
        assert!(!is_repeatable && chosen.len() == 36);
        assert_eq!(request_id("a-1".into()).unwrap(), ("a-1".to_owned(), true));
        for bad in ["a b", "a\n", &"x".repeat(129)] {
            assert!(request_id(bad.into()).is_err(), "{bad:?}");
        }
    }
}
