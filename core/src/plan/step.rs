//! A plan and its parts.

use std::{collections::BTreeSet, fmt};

use serde_json::Value;

use super::order::Phase;
use super::reason::Reason;
use crate::model::ObjectRef;

/// Everything that has to happen for one policy, in order, and what is not going to happen and why.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Waves in order; the steps of one wave do not depend on each other.
    pub waves: Vec<Wave>,
    /// Desired objects that need no write.
    pub unchanged: Vec<Kept>,
    /// Objects that nothing is done about, with the reason.
    pub held: Vec<Held>,
    /// Recorded objects that leave the inventory without a write: gone already, or not ours any more.
    pub dropped: Vec<ObjectRef>,
}

impl Plan {
    /// Nothing to write and nothing held back: the cluster holds what is wanted.
    pub fn is_settled(&self) -> bool {
        self.waves.is_empty() && self.held.is_empty()
    }

    /// The stand-ins of what is held back. One in the record says that its binding may be another than the one
    /// recorded: as long as nothing could be found out about that one, it stays listed, also where it is gone.
    pub fn open_stand_ins(&self) -> BTreeSet<ObjectRef> {
        let held = self.held.iter();
        held.map(|held| temporary_reference(&held.reference))
            .collect()
    }

    /// All steps, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.waves.iter().flat_map(|wave| &wave.steps)
    }
}

/// Steps that may run side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Wave {
    /// What the steps are about.
    pub phase: Phase,
    /// Sorted by object.
    pub steps: Vec<Step>,
}

/// One object and what is done about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Which object.
    pub reference: ObjectRef,
    /// What is done.
    pub action: Action,
    /// What somebody else did to the object since it was confirmed, and this step puts back.
    pub undoes: Option<Change>,
}

/// What somebody else did to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Change {
    /// It was gone.
    Deleted,
    /// It said something else.
    Changed,
    /// It was bound to another role, which takes a new object to undo.
    Rebound,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Change::Deleted => "deleted",
            Change::Changed => "changed",
            Change::Rebound => "bound to another role",
        })
    }
}

/// What is done about an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// There is none: make it. An object found in its place after all is foreign.
    Create {
        /// The content to send, with our marks.
        content: Value,
    },
    /// It is ours and differs, or its recorded content does.
    Update {
        /// The object that was observed; one that took its place since is left alone.
        uid: String,
        /// The content to send, with our marks.
        content: Value,
    },
    /// It is ours and its `roleRef`, which cannot be changed, is another: a temporary binding
    /// grants the new role until the final one stands.
    Replace {
        /// The object that was observed.
        uid: String,
        /// The state that was observed.
        resource_version: String,
        /// The content to send, with our marks.
        content: Value,
        /// The old binding without the subjects that leave, to be sent before anything else: who
        /// loses access does not keep it while the roles change over.
        narrowed: Option<Value>,
    },
    /// It is ours and has left the policy.
    Delete {
        /// The object that was observed.
        uid: String,
        /// The state that was observed.
        resource_version: String,
        /// Its own content with our marks, to be sent first because somebody took them off. A
        /// cluster's owner may refuse deletions of what does not carry them, and a grant must not
        /// outlive its policy because a label went.
        remarked: Option<Value>,
    },
    /// It has left the policy and stays, without our labels.
    Release {
        /// The object that was observed.
        uid: String,
        /// The state that was observed.
        resource_version: String,
    },
}

/// A desired object that is as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Which object.
    pub reference: ObjectRef,
    /// Its uid as observed.
    pub uid: String,
}

/// An object that nothing is done about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Which object.
    pub reference: ObjectRef,
    /// Why, for machines.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
    /// What somebody else did to it since it was confirmed, and is left as it is.
    pub leaves: Option<Change>,
}

/// The binding that stands in while another is replaced. It is ours like any other: recorded before
/// it is written, and deleted by the next plan if a crash left it behind.
pub fn temporary_reference(reference: &ObjectRef) -> ObjectRef {
    ObjectRef {
        name: format!("{}:replacing", reference.name),
        ..reference.clone()
    }
}
