//! What is answered to an edit, and what has to hold in the log before it is made. No I/O.
//!
//! Asked again at every attempt, because another edit may have come first.

use std::sync::Arc;

use writ_core::{
    model::{Document, Notice},
    revision::{Generation, Revision},
    scope::Scope,
};

use crate::{
    accept::Way,
    access::Weighed,
    error::EditError,
    history::{self, Past},
    place::Placed,
    validate::{Content, Validated},
    view::View,
};

/// What became of an edit.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) name: String,
    pub(crate) generation: Generation,
    pub(crate) revision: Revision,
    pub(crate) unchanged: bool,
    pub(crate) dry_run: bool,
    pub(crate) notices: Vec<Notice>,
    pub(crate) target_count: usize,
    pub(crate) unknown_clusters: Vec<String>,
    pub(crate) request_id: String,
    /// What the guards found.
    pub(crate) weighed: Weighed,
    pub(crate) proposed: bool,
}

/// What has to hold in the log for the edit to be made.
pub(crate) fn check(validated: &Validated, view: &View) -> Result<(), EditError> {
    let submission = &validated.submission;
    let (kind, name) = (submission.kind, &validated.name);
    let current = view.generation(kind, name);
    let document = view.document(kind, name);
    if let Some(base) = submission.base {
        // A name that is gone is there neither at 0 nor at its tombstone's generation: both are right.
        let is_current = base == current.0 || (base == 0 && document.is_none());
        if !is_current {
            return Err(EditError::BaseMoved {
                name: name.to_string(),
                base,
                current,
            });
        }
    }
    match (validated.document(), document.map(Arc::as_ref)) {
        (Some(Document::Record(new)), Some(Document::Record(old)))
            if new.document_kind() != old.document_kind() =>
        {
            Err(EditError::OtherKind {
                name: name.to_string(),
                is: old.document_kind().to_owned(),
            })
        }
        (None, None) => Err(EditError::NotFound {
            kind,
            name: name.to_string(),
        }),
        (Some(Document::Cluster(new)), Some(Document::Cluster(old)))
            if new.region != old.region || new.stage != old.stage =>
        {
            Err(EditError::Moves {
                name: name.to_string(),
                is: Scope::of(&old.region, &old.stage).to_string(),
                wanted: Scope::of(&new.region, &new.stage).to_string(),
            })
        }
        _ => Ok(()),
    }
}

/// The answer where nothing has to be stored: equal content, or a dry run.
pub(crate) fn answer_without_edit(
    validated: &Validated,
    placed: &Placed,
    weighed: &Weighed,
    view: &View,
) -> Option<Answer> {
    let (kind, name) = (validated.submission.kind, &validated.name);
    let document = view.document(kind, name).map(Arc::as_ref);
    let unchanged = document.is_some() && validated.says_the_same(document);
    if !unchanged && !validated.submission.dry_run {
        return None;
    }
    let intent = view.intent(kind, name);
    let target_count = match (unchanged, intent) {
        (true, Some(intent)) => intent.targets.len(),
        _ => placed.edit.targets.len(),
    };
    Some(Answer {
        name: name.to_string(),
        generation: intent.map(|intent| intent.generation).unwrap_or_default(),
        revision: intent.map_or(Revision::ZERO, |intent| intent.revision),
        unchanged,
        dry_run: validated.submission.dry_run,
        notices: validated.notices.clone(),
        target_count,
        unknown_clusters: placed.unknown_clusters.clone(),
        request_id: validated.submission.request_id.clone(),
        weighed: weighed.clone(),
        proposed: is_proposal(validated),
    })
}

pub(crate) fn answer(
    validated: &Validated,
    placed: &Placed,
    weighed: Weighed,
    revision: Revision,
    generation: Generation,
) -> Answer {
    Answer {
        name: validated.name.to_string(),
        generation,
        revision,
        unchanged: false,
        dry_run: false,
        notices: validated.notices.clone(),
        target_count: placed.edit.targets.len(),
        unknown_clusters: placed.unknown_clusters.clone(),
        request_id: validated.submission.request_id.clone(),
        weighed,
        proposed: is_proposal(validated),
    }
}

fn is_proposal(validated: &Validated) -> bool {
    matches!(validated.submission.way, Way::Propose { .. })
}

/// The same request again, of the same caller, gets the same answer; the same id for something else is refused.
pub(crate) fn repeat(validated: &Validated, past: &Past) -> Result<Answer, EditError> {
    let content = match &validated.content {
        Content::Put { manifest, .. } => {
            Some(history::content(validated.submission.kind, manifest))
        }
        Content::Delete => None,
        // Its request id names the step.
        Content::Step => past.content,
    };
    // What a proposal stores is not what was submitted.
    let is_same = content == past.content || is_proposal(validated);
    if !is_same || past.author != validated.submission.author {
        return Err(EditError::RequestIdTaken {
            request_id: past.request_id.clone(),
            name: validated.name.to_string(),
            generation: past.generation,
        });
    }
    Ok(Answer {
        name: validated.name.to_string(),
        generation: past.generation,
        revision: past.revision,
        unchanged: false,
        dry_run: validated.submission.dry_run,
        notices: validated.notices.clone(),
        target_count: past.target_count,
        unknown_clusters: vec![],
        request_id: past.request_id.clone(),
        weighed: Weighed::default(),
        proposed: is_proposal(validated),
    })
}
