//! Reads the rules of a stage, and proposals.

use std::collections::BTreeSet;

use super::read_set;
use crate::access::{
    CONFIRM_ABOVE_CLUSTERS, CONFIRM_ABOVE_SUBJECTS, Identity, Inlet, Proposal, StageRules,
};
use crate::model::document::{Document, parse};
use crate::model::fields::Fields;
use crate::model::limits::{REASON_MAX_BYTES, SUBJECT_NAME_MAX_BYTES};
use crate::model::metadata;
use crate::model::report::Report;
use crate::model::syntax;
use crate::name::{Name, Stage};

const SPEC: [&str; 5] = [
    "stage",
    "confirmAboveClusters",
    "confirmAboveSubjects",
    "requireApproval",
    "protectedGroups",
];

const PROPOSAL: [&str; 6] = ["document", "base", "reason", "by", "confirm", "expiresMs"];

pub(super) fn read(document: &Fields<'_>, report: &mut Report) -> Option<StageRules> {
    let metadata = metadata::read_document(document, Name::parse, report);
    if document.get("spec").is_none() {
        report.refuse(document.path("spec"), "is required");
    }
    let spec = document.open_field("spec", &SPEC, report)?;
    let stage = spec.parsed("stage", Stage::parse, report);
    let clusters = read_number(&spec, "confirmAboveClusters", report);
    let subjects = read_number(&spec, "confirmAboveSubjects", report);
    let group = |text: &str| {
        syntax::check_length(text, SUBJECT_NAME_MAX_BYTES)?;
        match text.is_empty() || text.trim() != text {
            true => Err("must be the name of a group".to_owned()),
            false => Ok(text.to_owned()),
        }
    };
    let protected = read_set(&spec, "protectedGroups", group, report);
    let metadata = metadata?;
    Some(StageRules {
        name: metadata.name,
        labels: metadata.labels,
        annotations: metadata.annotations,
        stage: stage?,
        confirm_above_clusters: clusters.unwrap_or(CONFIRM_ABOVE_CLUSTERS),
        confirm_above_subjects: subjects.unwrap_or(CONFIRM_ABOVE_SUBJECTS),
        require_approval: spec.flag("requireApproval", report).unwrap_or(false),
        protected_groups: protected.unwrap_or_default(),
    })
}

fn read_number(fields: &Fields<'_>, key: &str, report: &mut Report) -> Option<u32> {
    let value = fields.get(key)?;
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    if number.is_none() {
        report.refuse(fields.path(key), "must be a whole number, 0 or above");
    }
    number
}

/// Reads what a publisher wrote: a proposal is made by `apply --propose`, never by hand.
pub(super) fn read_proposal(document: &Fields<'_>, report: &mut Report) -> Option<Proposal> {
    let metadata = metadata::read_document(document, Name::parse, report);
    let spec = document.open_field("spec", &PROPOSAL, report)?;
    let name = metadata?.name;
    let (mut policy, mut manifest) = (None, None);
    if let Some(value) = spec.get("document") {
        match parse(value).map(|parsed| parsed.document) {
            Ok(Document::Policy(of)) if of.name.as_str() == name.as_str() => {
                policy = Some(Box::new(of));
                manifest = Some(value.to_string());
            }
            Ok(_) => report.refuse(spec.path("document"), "must be the policy of that name"),
            Err(violations) => {
                for violation in violations {
                    let path = format!("{}.{}", spec.path("document"), violation.field);
                    report.refuse(path, violation.message);
                }
            }
        }
    }
    let number = |key: &str| spec.get(key).and_then(serde_json::Value::as_u64);
    let (Some(base), Some(expires_ms)) = (number("base"), number("expiresMs")) else {
        report.refuse(spec.path(""), "needs base and expiresMs");
        return None;
    };
    let reason = spec.text("reason", report).unwrap_or_default().to_owned();
    if let Err(message) = syntax::check_length(&reason, REASON_MAX_BYTES)
        && !reason.is_empty()
    {
        report.refuse(spec.path("reason"), message);
    }
    Some(Proposal {
        name,
        manifest,
        policy,
        base,
        reason,
        by: read_identity(&spec, report)?,
        confirm: read_number(&spec, "confirm", report).unwrap_or(0),
        expires_ms,
    })
}

fn read_identity(spec: &Fields<'_>, report: &mut Report) -> Option<Identity> {
    let by = spec.open_field("by", &["inlet", "user", "groups"], report)?;
    let parse = |text: &str| {
        let found = Inlet::ALL.into_iter().find(|inlet| inlet.as_str() == text);
        found.ok_or("is no inlet")
    };
    let inlet = by.parsed("inlet", parse, report);
    let user = by.required_text("user", report)?.to_owned();
    let groups: BTreeSet<String> = by
        .texts("groups", report)
        .into_iter()
        .map(|(_, text)| text.to_owned())
        .collect();
    Some(Identity {
        inlet: inlet?,
        user,
        groups,
    })
}
