//! Records: documents that govern publishers alone. They are kept in the log like all others, and no
//! cluster hears of them.

mod rule;

use super::fields::Fields;
use super::report::Report;
use crate::access::AccessRule;
use crate::edit::Kind;
use crate::name::Name;

/// Kind of an access rule.
pub(super) const ACCESS_RULE: &str = "AccessRule";

/// The kinds of records that are written as documents.
pub(super) const KINDS: [&str; 1] = [ACCESS_RULE];

/// A document that governs publishers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Who may do what.
    Rule(AccessRule),
}

impl Record {
    /// The kind of name that it has in the log.
    pub fn kind(&self) -> Kind {
        match self {
            Record::Rule(_) => Kind::Access,
        }
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        match self {
            Record::Rule(rule) => &rule.name,
        }
    }

    /// The word after `kind:` in its document.
    pub fn document_kind(&self) -> &'static str {
        match self {
            Record::Rule(_) => ACCESS_RULE,
        }
    }

    /// Reads a document of one of [`KINDS`].
    pub(super) fn read(kind: &str, document: &Fields<'_>, report: &mut Report) -> Option<Record> {
        match kind {
            ACCESS_RULE => rule::read(document, report).map(Record::Rule),
            // The caller looked the kind up.
            _ => None,
        }
    }
}
