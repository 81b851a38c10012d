//! Records: documents that govern publishers alone. They are kept in the log like all others, and no
//! cluster hears of them.

mod rule;
mod token;

use super::fields::Fields;
use super::report::Report;
use crate::access::{AccessRule, ServiceToken};
use crate::edit::Kind;
use crate::name::Name;

/// Kind of an access rule.
pub(super) const ACCESS_RULE: &str = "AccessRule";

/// Kind of a service token, which publishers write.
pub(super) const SERVICE_TOKEN: &str = "ServiceToken";

/// The kinds of records that are written as documents.
pub(super) const KINDS: [&str; 2] = [ACCESS_RULE, SERVICE_TOKEN];

/// A document that governs publishers.
#[allow(
    clippy::large_enum_variant,
    reason = "there are few, each in an Arc of its own"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Who may do what.
    Rule(AccessRule),
    /// By what somebody is known who has no other way.
    Token(ServiceToken),
}

impl Record {
    /// The kind of name that it has in the log.
    pub fn kind(&self) -> Kind {
        match self {
            Record::Rule(_) => Kind::Access,
            Record::Token(_) => Kind::Token,
        }
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        match self {
            Record::Rule(rule) => &rule.name,
            Record::Token(token) => &token.name,
        }
    }

    /// The word after `kind:` in its document.
    pub fn document_kind(&self) -> &'static str {
        match self {
            Record::Rule(_) => ACCESS_RULE,
            Record::Token(_) => SERVICE_TOKEN,
        }
    }

    /// Reads a document of one of [`KINDS`].
    pub(super) fn read(kind: &str, document: &Fields<'_>, report: &mut Report) -> Option<Record> {
        match kind {
            ACCESS_RULE => rule::read(document, report).map(Record::Rule),
            SERVICE_TOKEN => token::read(document, report).map(Record::Token),
            // The caller looked the kind up.
            _ => None,
        }
    }
}
