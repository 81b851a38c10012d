//! Records: documents that govern publishers alone. They are kept in the log like all others, and no
//! cluster hears of them.

mod rule;
mod stage;
mod token;

use std::collections::BTreeSet;
use std::fmt::Display;

use super::fields::Fields;
use super::report::{Report, quoted};
use crate::access::{AccessRule, Proposal, ServiceToken, StageRules};
use crate::edit::Kind;
use crate::name::Name;

/// Kind of an access rule.
pub(super) const ACCESS_RULE: &str = "AccessRule";

/// Kind of a service token, which publishers write.
pub(super) const SERVICE_TOKEN: &str = "ServiceToken";

/// Kind of the rules of a stage.
pub(super) const STAGE_RULES: &str = "StageRules";

/// Kind of a proposal, which publishers write.
pub(super) const PROPOSAL: &str = "Proposal";

/// The kinds of records.
pub(super) const KINDS: [&str; 4] = [ACCESS_RULE, SERVICE_TOKEN, STAGE_RULES, PROPOSAL];

/// A document that governs publishers.
#[allow(
    clippy::large_enum_variant,
    reason = "there are few, each in an Arc of its own"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Who may do what.
    Rule(AccessRule),
    /// What an edit of a stage needs.
    Stage(StageRules),
    /// An edit that waits.
    Proposal(Proposal),
    /// By what somebody is known who has no other way.
    Token(ServiceToken),
}

impl Record {
    /// The kind of name that it has in the log.
    pub fn kind(&self) -> Kind {
        match self {
            Record::Rule(_) | Record::Stage(_) => Kind::Access,
            Record::Token(_) => Kind::Token,
            Record::Proposal(_) => Kind::Proposal,
        }
    }

    /// Its name.
    pub fn name(&self) -> &Name {
        match self {
            Record::Rule(rule) => &rule.name,
            Record::Stage(rules) => &rules.name,
            Record::Proposal(proposal) => &proposal.name,
            Record::Token(token) => &token.name,
        }
    }

    /// The word after `kind:` in its document.
    pub fn document_kind(&self) -> &'static str {
        match self {
            Record::Rule(_) => ACCESS_RULE,
            Record::Stage(_) => STAGE_RULES,
            Record::Proposal(_) => PROPOSAL,
            Record::Token(_) => SERVICE_TOKEN,
        }
    }

    /// Reads a document of one of [`KINDS`].
    pub(super) fn read(kind: &str, document: &Fields<'_>, report: &mut Report) -> Option<Record> {
        match kind {
            ACCESS_RULE => rule::read(document, report).map(Record::Rule),
            STAGE_RULES => stage::read(document, report).map(Record::Stage),
            PROPOSAL => stage::read_proposal(document, report).map(Record::Proposal),
            SERVICE_TOKEN => token::read(document, report).map(Record::Token),
            // The caller looked the kind up.
            _ => None,
        }
    }
}

/// A list without doubles; nothing where it is not given, and refused where it is given empty.
fn read_set<T: Ord, E: Display>(
    fields: &Fields<'_>,
    key: &str,
    parse: impl Fn(&str) -> Result<T, E>,
    report: &mut Report,
) -> Option<BTreeSet<T>> {
    if fields.is_empty(key) {
        report.refuse(fields.path(key), "must not be empty, leave it out");
    }
    fields.get(key)?;
    let mut set = BTreeSet::new();
    for (path, text) in fields.texts(key, report) {
        match parse(text) {
            Ok(value) => {
                if !set.insert(value) {
                    report.refuse(path, format!("{} is listed twice", quoted(text)));
                }
            }
            Err(error) => report.refuse(path, error.to_string()),
        }
    }
    Some(set)
}
