//! A plan and its parts.

use serde_json::Value;

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

/// The order of waves. What others lean on comes first; what takes access away comes only when what
/// gives it is in place, so that a renamed grant leaves no gap; and bindings go before the roles and
/// accounts that they name, because a removed ServiceAccount's token lives on for some seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Namespaces are applied.
    Namespaces,
    /// ServiceAccounts are applied.
    Accounts,
    /// Roles and ClusterRoles are applied.
    Roles,
    /// RoleBindings and ClusterRoleBindings are applied.
    Bindings,
    /// RoleBindings and ClusterRoleBindings are deleted.
    RemoveBindings,
    /// Roles and ClusterRoles are deleted.
    RemoveRoles,
    /// ServiceAccounts are deleted.
    RemoveAccounts,
    /// Namespaces lose our marks and stay.
    ReleaseNamespaces,
}

impl Phase {
    /// When an object of that kind is applied.
    pub fn applies(kind: &str) -> Phase {
        match kind {
            "Namespace" => Phase::Namespaces,
            "ServiceAccount" => Phase::Accounts,
            "RoleBinding" | "ClusterRoleBinding" => Phase::Bindings,
            _ => Phase::Roles,
        }
    }

    /// When an object of that kind is taken away.
    pub fn removes(kind: &str) -> Phase {
        match Phase::applies(kind) {
            Phase::Namespaces => Phase::ReleaseNamespaces,
            Phase::Accounts => Phase::RemoveAccounts,
            Phase::Bindings => Phase::RemoveBindings,
            _ => Phase::RemoveRoles,
        }
    }
}

/// One object and what is done about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Which object.
    pub reference: ObjectRef,
    /// What is done.
    pub action: Action,
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
    },
    /// It is ours and has left the policy.
    Delete {
        /// The object that was observed.
        uid: String,
        /// The state that was observed.
        resource_version: String,
    },
    /// A Namespace that has left the policy: it stays, without our labels.
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
}

/// The binding that stands in while another is replaced. It is ours like any other: recorded before
/// it is written, and deleted by the next plan if a crash left it behind.
pub fn temporary_reference(reference: &ObjectRef) -> ObjectRef {
    ObjectRef {
        name: format!("{}:replacing", reference.name),
        ..reference.clone()
    }
}
