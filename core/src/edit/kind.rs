//! The sorts of names that edits are made to.

use std::fmt;

use crate::scope;

/// What an edit is made to.
///
/// Clusters and policies travel: they have feeds ([`scope::Kind`]). The others are *records*, which
/// govern publishers alone: an edit of one is an intent and a root, no cluster hears of it, and after a
/// loss of the log nothing but the log can give it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A registry entry.
    Cluster,
    /// A policy.
    Policy,
    /// Who may do what, and what an edit of a stage needs.
    Access,
    /// A service token.
    Token,
    /// An edit that waits for a second person.
    Proposal,
}

impl Kind {
    /// All of them, in their order.
    pub const ALL: [Kind; 5] = [
        Kind::Cluster,
        Kind::Policy,
        Kind::Access,
        Kind::Token,
        Kind::Proposal,
    ];

    /// The token that stands for the kind in subjects.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Cluster => scope::Kind::Cluster.as_str(),
            Kind::Policy => scope::Kind::Policy.as_str(),
            Kind::Access => "access",
            Kind::Token => "token",
            Kind::Proposal => "proposal",
        }
    }

    /// Reads the token.
    pub fn parse(text: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// The kind of its feeds; nothing for a record.
    pub fn feed_kind(self) -> Option<scope::Kind> {
        match self {
            Kind::Cluster => Some(scope::Kind::Cluster),
            Kind::Policy => Some(scope::Kind::Policy),
            Kind::Access | Kind::Token | Kind::Proposal => None,
        }
    }

    /// Whether nothing of it travels to clusters.
    pub fn is_record(self) -> bool {
        self.feed_kind().is_none()
    }
}

impl From<scope::Kind> for Kind {
    fn from(kind: scope::Kind) -> Kind {
        match kind {
            scope::Kind::Cluster => Kind::Cluster,
            scope::Kind::Policy => Kind::Policy,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back_and_those_with_feeds_share_their_word() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
            if let Some(feed) = kind.feed_kind() {
                assert_eq!(feed.as_str(), kind.as_str());
                assert_eq!(Kind::from(feed), kind);
            }
        }
        assert_eq!(Kind::parse("node"), None);
    }
}
