//! From the edits that wait to one group: which are taken, and what the others are answered. No I/O.
//!
//! Promises: the edits of a group are judged as if one were made after the other; one that is wrong is
//! answered and spoils no other; of one name a group holds one edit, and the next one comes later, in
//! its order.

use std::collections::BTreeSet;

use writ_core::{
    edit::Kind,
    edit::{Group, State},
    name::Name,
};

use crate::{
    answer::{Answer, answer, answer_without_edit, check, repeat},
    error::EditError,
    guard,
    history::Past,
    place,
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
    is_closed: bool,
}

impl<'a> Draft<'a> {
    /// An empty draft on a state, and the view that it belongs to.
    pub(crate) fn new(state: &'a State, view: &View, committed_ms: u64) -> Draft<'a> {
        Draft {
            group: Group::new(state),
            view: view.clone(),
            held: BTreeSet::new(),
            committed_ms,
            is_closed: false,
        }
    }

    /// The group, if it holds an edit.
    pub(crate) fn into_group(self) -> Option<Group<'a>> {
        (!self.group.edits().is_empty()).then_some(self.group)
    }

    /// Lets an edit wait, and all later ones of its name.
    pub(crate) fn hold(&mut self, validated: &Validated) -> Verdict {
        let kind = validated.submission.kind;
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
        let kind = validated.submission.kind;
        let is_empty = self.group.edits().is_empty();
        let key = (kind, validated.name.clone());
        if self.is_closed || (alone && !is_empty) || self.held.contains(&key) {
            return self.hold(validated);
        }
        if let Some(past) = past {
            return Verdict::Now(repeat(validated, past));
        }
        let taken = |edit: &writ_core::root::RootEdit| edit.kind == kind && edit.name == key.1;
        if self.group.edits().iter().any(taken) {
            return self.hold(validated);
        }
        let placed = match self.place(validated) {
            Ok(Ok(placed)) => placed,
            Ok(Err(answer)) => return Verdict::IfCurrent(Ok(answer)),
            Err(error) => return Verdict::IfCurrent(Err(error)),
        };
        if !self.group.takes(&placed.edit) {
            return self.hold(validated);
        }
        let (revision, generation) = self.group.add(&placed.edit);
        self.is_closed = alone;
        let document = validated.document().cloned();
        self.view.set_document(kind, key.1, document);
        Verdict::IfCurrent(Ok(answer(validated, &placed, revision, generation)))
    }

    /// The edit with its place, or the answer where nothing has to be stored.
    fn place(&self, validated: &Validated) -> Result<Result<place::Placed, Answer>, EditError> {
        check(validated, &self.view)?;
        guard::check(validated, &self.view)?;
        let placed = place::place(validated, &self.view, self.committed_ms)?;
        let answer = answer_without_edit(validated, &placed, &self.view);
        Ok(answer.map_or(Ok(placed), Err))
    }
}

/// Judges one edit by the log as it is, without a place in a group: a dry run.
pub(crate) fn judge_dry_run(
    validated: &Validated,
    past: Option<&Past>,
    view: &View,
    now_ms: u64,
) -> Result<Answer, EditError> {
    if let Some(past) = past {
        return repeat(validated, past);
    }
    check(validated, view)?;
    guard::check(validated, view)?;
    let placed = place::place(validated, view, now_ms)?;
    // A dry run never needs to store anything.
    answer_without_edit(validated, &placed, view).ok_or(EditError::NotStored)
}
