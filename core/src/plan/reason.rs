//! The words for why an object is not as its policy wants it.

use std::fmt;

/// Why an object is not as the policy wants it. Names are part of acks: they are only ever added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Something that Writ did not write has that name.
    ForeignObject,
    /// Another policy of this cluster has that object.
    ClaimedByPolicy,
    /// The cluster's owner does not let Writ grant this; the object stays as it is.
    CeilingExceeded,
    /// Nothing bounds what Writ may grant in this cluster, so nothing is written.
    CeilingNotEnforced,
    /// Its namespace does not exist, and the policy does not bring it.
    NamespaceMissing,
    /// Its namespace is going away.
    NamespaceTerminating,
    /// The role that it binds does not exist, and the policy does not bring it.
    RoleMissing,
    /// It is being deleted, and a finalizer holds it.
    Finalizing,
    /// The subscriber is not allowed to do this; the message names the permission.
    Forbidden,
    /// Admission in the cluster said no, or a provider did; the message has its words.
    ClusterRefused,
    /// The API server will never take this content.
    Invalid,
    /// The event needs a feature that this subscriber lacks, or the kind is not served here.
    Unsupported,
    /// Somebody else keeps rewriting it; it is put back ever more rarely.
    Contended,
    /// It changed between reading and writing, every time.
    Conflict,
    /// The API server did not answer, or not usably.
    Unavailable,
    /// The cluster has already gone to a newer state of this policy.
    Older,
    /// What the cluster keeps about this policy cannot be read; nothing is done about it until a
    /// person has looked.
    RecordUnreadable,
    /// The signed bytes that the cluster keeps do not verify: they count as missing, loudly.
    LedgerTampered,
    /// Somebody changed it, and the policy says to report that and not to put it back.
    Drifted,
    /// The subscriber only observes: this is what it would do.
    Observing,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Reason; 20] = [
        Reason::ForeignObject,
        Reason::ClaimedByPolicy,
        Reason::CeilingExceeded,
        Reason::CeilingNotEnforced,
        Reason::NamespaceMissing,
        Reason::NamespaceTerminating,
        Reason::RoleMissing,
        Reason::Finalizing,
        Reason::Forbidden,
        Reason::ClusterRefused,
        Reason::Invalid,
        Reason::Unsupported,
        Reason::Contended,
        Reason::Conflict,
        Reason::Unavailable,
        Reason::Older,
        Reason::RecordUnreadable,
        Reason::LedgerTampered,
        Reason::Drifted,
        Reason::Observing,
    ];

    /// The reason's name in acks and mirrors.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::ForeignObject => "ForeignObject",
            Reason::ClaimedByPolicy => "ClaimedByPolicy",
            Reason::CeilingExceeded => "CeilingExceeded",
            Reason::CeilingNotEnforced => "CeilingNotEnforced",
            Reason::NamespaceMissing => "NamespaceMissing",
            Reason::NamespaceTerminating => "NamespaceTerminating",
            Reason::RoleMissing => "RoleMissing",
            Reason::Finalizing => "Finalizing",
            Reason::Forbidden => "Forbidden",
            Reason::ClusterRefused => "ClusterRefused",
            Reason::Invalid => "Invalid",
            Reason::Unsupported => "Unsupported",
            Reason::Contended => "Contended",
            Reason::Conflict => "Conflict",
            Reason::Unavailable => "Unavailable",
            Reason::Older => "Older",
            Reason::RecordUnreadable => "RecordUnreadable",
            Reason::LedgerTampered => "LedgerTampered",
            Reason::Drifted => "Drifted",
            Reason::Observing => "Observing",
        }
    }

    /// Whether it passes by itself: somebody or something other than this policy's author is
    /// expected to change it, and trying again is worth while.
    pub fn is_transient(self) -> bool {
        match self {
            Reason::NamespaceMissing
            | Reason::NamespaceTerminating
            | Reason::RoleMissing
            | Reason::Finalizing
            | Reason::Contended
            | Reason::Conflict
            | Reason::Unavailable
            | Reason::Observing => true,
            Reason::ForeignObject
            | Reason::ClaimedByPolicy
            | Reason::CeilingExceeded
            | Reason::CeilingNotEnforced
            | Reason::Forbidden
            | Reason::ClusterRefused
            | Reason::Invalid
            | Reason::Unsupported
            | Reason::Older
            | Reason::RecordUnreadable
            | Reason::LedgerTampered
            | Reason::Drifted => false,
        }
    }

    /// Reads a reason's name.
    pub fn parse(text: &str) -> Option<Reason> {
        Reason::ALL
            .into_iter()
            .find(|reason| reason.as_str() == text)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
