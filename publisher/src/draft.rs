//! From the edits that wait to one group: which are taken, and what the others are answered. No I/O.
//!
//! Promises: the edits of a group are judged as if one were made after the other; one that is wrong is
//! answered and spoils no other; of one name a group holds one edit, and the next one comes later, in
//! its order.

use std::{borrow::Cow, collections::BTreeSet};

use writ_core::{
    access::Administrators,
    edit::Kind,
    edit::{Group, State},
    name::Name,
    root::EDITS_MAX,
};

use crate::{
    accept::{Way, Wish},
    access::{self, Weighed},
    answer::{Answer, answer, answer_without_edit, check, repeat},
    error::EditError,
    guard,
    history::Past,
    place, registry,
    validate::Validated,
    view::View,
};

/// What becomes of an edit in this round.
pub(crate) enum Verdict {
    /// It waits for the next one.
    Later,
    /// It is answered, whatever becomes of the group: the log has what its request made.
    Now(Result<Answer, EditError>),
    /// This is the answer if the log is as it was seen, which the group's commit proves.
    IfCurrent(Result<Answer, EditError>),
}

/// A group that grows.
pub(crate) struct Draft<'a> {
    group: Group<'a>,
    /// The log as it will be with the group.
    view: View,
    /// Names of which an edit waits already, so that none of theirs overtakes it.
    held: BTreeSet<(Kind, Name)>,
    committed_ms: u64,
    administrators: &'a Administrators,
    is_closed: bool,
}

impl<'a> Draft<'a> {
    /// An empty draft on a state, and the view that it belongs to.
    pub(crate) fn new(
        state: &'a State,
        view: &View,
        administrators: &'a Administrators,
        committed_ms: u64,
    ) -> Draft<'a> {
        Draft {
            group: Group::new(state),
            view: view.clone(),
            held: BTreeSet::new(),
            committed_ms,
            administrators,
            is_closed: false,
        }
    }

    /// The group, if it holds an edit.
    pub(crate) fn into_group(self) -> Option<Group<'a>> {
        (!self.group.edits().is_empty()).then_some(self.group)
    }

    /// Lets an edit wait, and all later ones of its name.
    pub(crate) fn hold(&mut self, validated: &Validated) -> Verdict {
        let kind = validated.submission.edit_kind();
        self.held.insert((kind, validated.name.clone()));
        Verdict::Later
    }

    /// Judges the next edit. `past`: what its request made before; `alone`: it gets a group of its own.
    pub(crate) fn take(
        &mut self,
        validated: &Validated,
        past: Option<&Past>,
        alone: bool,
    ) -> Verdict {
        let kind = validated.submission.edit_kind();
        let is_empty = self.group.edits().is_empty();
        let key = (kind, validated.name.clone());
        if self.is_closed || (alone && !is_empty) || self.held.contains(&key) {
            return self.hold(validated);
        }
        if let Some(past) = past {
            return match self.may_repeat(validated) {
                Ok(()) => Verdict::Now(repeat(validated, past)),
                Err(error) => Verdict::IfCurrent(Err(error)),
            };
        }
        if self.has(kind, &key.1) {
            return self.hold(validated);
        }
        let resolved = match self.resolve(validated) {
            Ok(resolved) => resolved,
            Err(error) => return Verdict::IfCurrent(Err(error)),
        };
        let validated = resolved.as_ref();
        let (placed, weighed) = match self.place(validated) {
            Ok(Ok(placed)) => placed,
            Ok(Err(answer)) => return Verdict::IfCurrent(Ok(answer)),
            Err(error) => return Verdict::IfCurrent(Err(error)),
        };
        let also = match validated.submission.way {
            Way::Approve { .. } => Some(place::approved(validated, &placed)),
            Way::Direct | Way::Propose { .. } => None,
        };
        let is_full = also.as_ref().is_some_and(|also| {
            self.group.edits().len() + 2 > EDITS_MAX || self.has(also.kind, &also.name)
        });
        if is_full || !self.group.takes(&placed.edit) {
            return self.hold(validated);
        }
        let (revision, generation) = self.group.add(&placed.edit);
        self.is_closed = alone;
        let document = match kind {
            Kind::Proposal => placed.proposal.clone(),
            _ => validated.document().cloned(),
        };
        self.view.set_document(kind, key.1, document);
        if let Some(also) = also {
            self.group.add(&also);
            self.view.set_document(also.kind, also.name, None);
        }
        let answer = answer(validated, &placed, weighed, revision, generation);
        Verdict::IfCurrent(Ok(answer))
    }

    /// Whether the group has an edit of a name.
    fn has(&self, kind: Kind, name: &Name) -> bool {
        let mut taken = self.group.edits().iter();
        taken.any(|edit| edit.kind == kind && edit.name == *name)
    }

    /// The whole edit, once it is known that the caller may make it.
    fn resolve<'b>(&self, validated: &'b Validated) -> Result<Cow<'b, Validated>, EditError> {
        let (view, now_ms) = (&self.view, self.committed_ms);
        resolve(validated, view, self.administrators, now_ms)
    }

    /// Whether the answer may be given again.
    fn may_repeat(&self, validated: &Validated) -> Result<(), EditError> {
        let (view, now_ms) = (&self.view, self.committed_ms);
        may_repeat(validated, view, self.administrators, now_ms)
    }

    /// The edit with its place, or the answer where nothing has to be stored.
    fn place(
        &self,
        validated: &Validated,
    ) -> Result<Result<(place::Placed, Weighed), Answer>, EditError> {
        let (view, now_ms) = (&self.view, self.committed_ms);
        let weighed = judge(validated, view)?;
        let placed = place::place(validated, view, now_ms)?;
        let answer = answer_without_edit(validated, &placed, &weighed, view);
        Ok(answer.map_or(Ok((placed, weighed)), Err))
    }
}

/// Whether the caller may, and what the edit makes of what is there.
fn resolve<'a>(
    validated: &'a Validated,
    view: &View,
    administrators: &Administrators,
    now_ms: u64,
) -> Result<Cow<'a, Validated>, EditError> {
    // First: who may not is told nothing of what is there. A step leaves a cluster's place as it is, so
    // that what is there before it decides.
    access::check_rights(validated, view, administrators, now_ms)?;
    registry::resolve(validated, view, now_ms)
}

/// Whether a caller may still be answered what the same request was answered. With a step in a cluster's
/// life goes what it enrols by, made anew each time: whoever has lost the right to it gets none.
fn may_repeat(
    validated: &Validated,
    view: &View,
    administrators: &Administrators,
    now_ms: u64,
) -> Result<(), EditError> {
    match validated.submission.wish {
        Wish::Add { .. } | Wish::Step { .. } => {
            access::check_rights(validated, view, administrators, now_ms)
        }
        Wish::Apply { .. } | Wish::Delete { .. } => Ok(()),
    }
}

/// Whether the edit fits what is there, and what the guards say.
fn judge(validated: &Validated, view: &View) -> Result<Weighed, EditError> {
    check(validated, view)?;
    guard::check(validated, view)?;
    access::weigh(validated, view)
}

/// Judges one edit by the log as it is, without a place in a group: a dry run.
pub(crate) fn judge_dry_run(
    validated: &Validated,
    past: Option<&Past>,
    view: &View,
    administrators: &Administrators,
    now_ms: u64,
) -> Result<Answer, EditError> {
    if let Some(past) = past {
        may_repeat(validated, view, administrators, now_ms)?;
        return repeat(validated, past);
    }
    let resolved = resolve(validated, view, administrators, now_ms)?;
    let validated = resolved.as_ref();
    let weighed = judge(validated, view)?;
    let placed = place::place(validated, view, now_ms)?;
    // A dry run never needs to store anything.
    answer_without_edit(validated, &placed, &weighed, view).ok_or(EditError::NotStored)
}

#[cfg(test)]
mod tests;
