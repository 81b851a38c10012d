//! Step 2, validate: from a submission to a document that is right in itself. No I/O.
//!
//! Checks against the log (base generation, request id, whether the name is there) come with the
//! commit, where they can be repeated against a newer state.

use serde_json::Value;
use writ_core::{
    edit::Kind,
    model::{self, Document, Notice, Violation},
    name::Name,
};

use crate::{
    accept::{Submission, Wish},
    error::EditError,
};

/// An edit that is right in itself.
#[derive(Debug, Clone)]
pub(crate) struct Validated {
    pub(crate) submission: Submission,
    pub(crate) name: Name,
    pub(crate) content: Content,
    pub(crate) notices: Vec<Notice>,
}

/// What an edit makes of its name.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// A document, as it was submitted and as it is understood.
    Put {
        manifest: String,
        document: Box<Document>,
    },
    /// Nothing.
    Delete,
    /// What a step makes of the cluster's entry, which is known where it is committed.
    Step,
}

/// Checks a submission.
pub(crate) fn validate(submission: Submission) -> Result<Validated, EditError> {
    let manifest = match &submission.wish {
        Wish::Delete { name } => {
            let name = name.clone();
            return Ok(Validated {
                submission,
                name,
                content: Content::Delete,
                notices: vec![],
            });
        }
        Wish::Step { name, .. } => {
            let name = name.clone();
            return Ok(Validated {
                submission,
                name,
                content: Content::Step,
                notices: vec![],
            });
        }
        Wish::Apply { manifest } | Wish::Add { manifest, .. } => manifest,
    };
    let value: Value = serde_json::from_str(manifest)
        .map_err(|error| EditError::field("", format!("the manifest is not JSON: {error}")))?;
    let parsed = model::parse(&value).map_err(EditError::Invalid)?;
    let (kind, name) = (parsed.document.kind(), parsed.document.name());
    if kind != submission.kind {
        let service = match kind {
            Kind::Cluster => "ClusterService",
            Kind::Policy => "PolicyService",
            Kind::Access | Kind::Token | Kind::Proposal => "AccessService",
        };
        let message = format!("this document goes to {service}");
        return Err(EditError::Invalid(vec![Violation {
            field: "kind".to_owned(),
            message,
        }]));
    }
    if kind == Kind::Proposal {
        return Err(EditError::Invalid(vec![Violation {
            field: "kind".to_owned(),
            message: "publishers write proposals: apply the policy with --propose".to_owned(),
        }]));
    }
    // Written again: white space is not kept, and a key that was given twice is kept once.
    let content = Content::Put {
        manifest: value.to_string(),
        document: Box::new(parsed.document),
    };
    Ok(Validated {
        submission,
        name,
        content,
        notices: parsed.notices,
    })
}

impl Validated {
    /// The document, where there is one.
    pub(crate) fn document(&self) -> Option<&Document> {
        match &self.content {
            Content::Put { document, .. } => Some(document),
            Content::Delete | Content::Step => None,
        }
    }

    /// The request's reason wins over the document's own.
    pub(crate) fn reason(&self) -> String {
        if !self.submission.reason.is_empty() {
            return self.submission.reason.clone();
        }
        match self.document() {
            Some(Document::Policy(policy)) => policy.reason.clone().unwrap_or_default(),
            _ => String::new(),
        }
    }

    /// Whether the document says the same as another one. What does not travel counts as well, but for
    /// the reason, which belongs to the edit.
    pub(crate) fn says_the_same(&self, other: Option<&Document>) -> bool {
        match (self.document(), other) {
            (None, None) => true,
            (Some(Document::Cluster(a)), Some(Document::Cluster(b))) => {
                a.compile().bytes() == b.compile().bytes() && a.enrolment == b.enrolment
            }
            (Some(Document::Policy(a)), Some(Document::Policy(b))) => {
                a.compile().bytes() == b.compile().bytes()
                    && a.grants == b.grants
                    && a.deletion_protection == b.deletion_protection
            }
            (Some(Document::Record(a)), Some(Document::Record(b))) => a == b,
            _ => false,
        }
    }
}
