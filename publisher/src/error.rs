//! Why an edit is refused: one closed list, from which the API's codes follow.

use writ_bus::batch::Invalid;
use writ_core::{
    access::{Confirm, Denied, NotApproved},
    edit::Kind,
    enrol::Refused,
    model::{Phase, Violation},
    revision::Generation,
};

use crate::view::{Behind, Broken};

/// Why an edit did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EditError {
    /// The document, or a field of the request, is wrong.
    #[error("{} refused: {}", if .0.len() == 1 { "1 field is" } else { "fields are" }, list(.0))]
    Invalid(Vec<Violation>),
    /// Nothing of that name is in force.
    #[error("there is no {kind} {name}")]
    NotFound {
        /// What was meant.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// The edit was made from another generation than the current one.
    #[error(
        "{name} is at generation {current}, the edit was made from generation {base}: look at what changed, then repeat it from {current}"
    )]
    BaseMoved {
        /// The name.
        name: String,
        /// From which the edit was made.
        base: u64,
        /// That is current.
        current: Generation,
    },
    /// The request id stands for another content.
    #[error("request id {request_id:?} was used for another edit of {name} ({name}@{generation})")]
    RequestIdTaken {
        /// The id.
        request_id: String,
        /// The name.
        name: String,
        /// What it stands for.
        generation: Generation,
    },
    /// A cluster's region or stage would change.
    #[error(
        "{name} is registered in {is}; a name does not move to {wanted}: delete the cluster, then register it again"
    )]
    Moves {
        /// The cluster.
        name: String,
        /// Its scope.
        is: String,
        /// The scope asked for.
        wanted: String,
    },
    /// The cluster is registered already.
    #[error(
        "cluster {name} is registered already, and {phase}: `writ apply` changes its entry, `writ cluster reenrol {name}` lets it enrol anew"
    )]
    Registered {
        /// The cluster.
        name: String,
        /// What it is.
        phase: Phase,
    },
    /// The cluster is not where the step begins.
    #[error(transparent)]
    Step(Refused),
    /// The policy in force is protected, and the edit would take something away from it.
    #[error(
        "{name} has deletionProtection, and the edit would take away {}: clear deletionProtection first, in an edit that takes nothing away",
        shorten(.lost)
    )]
    Protected {
        /// The policy.
        name: String,
        /// What it would lose, each as a clause.
        lost: Vec<String>,
    },
    /// Another policy holds one of the objects, on a cluster that both are for.
    #[error(
        "{object} belongs to policy {other} already, and both are for cluster {cluster}: take it out of one of them, or narrow the clusters of one"
    )]
    Claimed {
        /// The object.
        object: String,
        /// The policy that holds it.
        other: String,
        /// The first such cluster.
        cluster: String,
    },
    /// The caller may not.
    #[error("{0}")]
    Denied(#[source] Denied),
    /// Guards may be overridden by who broke the glass.
    #[error("only a break-glass administrator overrides guards")]
    NotBreakGlass,
    /// It would leave nobody to administer the fleet.
    #[error(
        "{name} is the last rule with an administrator of the whole fleet: make another one first"
    )]
    LastAdministrator {
        /// The rule.
        name: String,
    },
    /// It is large, and nobody said that they know.
    #[error(
        "{name}: {}; repeat it with confirm {}{}",
        .confirm.reasons.join(", and "),
        .confirm.number,
        if *.given > 0 { format!(" ({} was confirmed, and it has grown)", .given) } else { String::new() }
    )]
    NeedsConfirm {
        /// What is edited.
        name: String,
        /// The number, and why.
        confirm: Confirm,
        /// The number that was given.
        given: u32,
    },
    /// A second person is asked for.
    #[error(
        "{name} goes to stage {stage}, whose rules ask for a second person: propose the edit, and let somebody else approve it"
    )]
    NeedsApproval {
        /// The policy.
        name: String,
        /// The stage.
        stage: String,
    },
    /// A protected group would lose its last grant.
    #[error("{name}: {}; the group is protected by the rules of the stage, grant it elsewhere first", shorten(.left))]
    ProtectedGroups {
        /// What is edited.
        name: String,
        /// Which, and where.
        left: Vec<String>,
    },
    /// Somebody else's proposal waits for the same policy.
    #[error("a proposal of {by} for {name} waits already: approve or reject it first")]
    Proposed {
        /// The policy.
        name: String,
        /// Whose.
        by: String,
    },
    /// More proposals wait than anybody looks through.
    #[error("{limit} proposals wait already: approve or reject some first")]
    TooManyProposals {
        /// How many may.
        limit: usize,
    },
    /// A proposal can't be approved.
    #[error("the proposal for {name} can't be approved: {source}")]
    NotApproved {
        /// The policy.
        name: String,
        /// Why.
        source: NotApproved,
    },
    /// A record of another kind has the name.
    #[error(
        "{name} is {is} already, and a name stays what it is: delete it first, or take another name"
    )]
    OtherKind {
        /// The name.
        name: String,
        /// What it is.
        is: String,
    },
    /// The edit does not fit into one batch.
    #[error("the edit does not fit into one batch of the log: {0}")]
    TooLarge(#[source] Invalid),
    /// The log has no room.
    #[error(
        "the log is full: nothing was stored; make room (max_bytes of the stream WRIT), then repeat"
    )]
    Full,
    /// More edits wait than are good.
    #[error("{limit} edits wait already: nothing was stored, repeat later")]
    TooMany {
        /// How many may.
        limit: usize,
    },
    /// The log can't be believed.
    #[error(
        "no edit is made on this log ({0}): this one was not stored. Keep the log and all clusters as they are, and look at it with `writ recover`"
    )]
    Broken(Broken),
    /// Others were always first, or the log was away.
    #[error("the log did not take the edit in time: nothing was stored, repeat it")]
    NotStored,
    /// Perhaps stored.
    #[error(
        "the log did not say what became of the edit: repeat it with request id {request_id:?}"
    )]
    Unknown {
        /// The edit's id.
        request_id: String,
    },
    /// The log refuses it for good.
    #[error("the log refuses the edit: {description} ({code})")]
    Refused {
        /// The server's code.
        code: u64,
        /// The server's words.
        description: String,
    },
    /// The bus refuses the publisher.
    #[error("the bus refuses the publisher")]
    Bus(#[source] writ_bus::connection::Error),
    /// The log is ahead of this publisher.
    #[error(transparent)]
    Behind(#[from] Behind),
    /// The task of the edit ended without an answer.
    #[error("the edit was cut off: repeat it with request id {request_id:?}")]
    CutOff {
        /// The edit's id.
        request_id: String,
    },
}

fn list(violations: &[Violation]) -> String {
    let texts: Vec<String> = violations.iter().map(ToString::to_string).collect();
    shorten(&texts)
}

/// The first few, and how many more.
fn shorten(texts: &[String]) -> String {
    const SHOWN_MAX: usize = 3;
    let more = texts.len().saturating_sub(SHOWN_MAX);
    let rest = if more > 0 {
        format!("; and {more} more")
    } else {
        String::new()
    };
    format!("{}{rest}", texts[..texts.len() - more].join("; "))
}

impl EditError {
    /// One wrong field.
    pub(crate) fn field(field: &str, message: impl Into<String>) -> EditError {
        EditError::Invalid(vec![Violation {
            field: field.to_owned(),
            message: message.into(),
        }])
    }
}
