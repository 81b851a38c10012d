//! The traces of edits: what follows an edit of this publisher, in the clusters and back.
//!
//! Owns the spans `edit`, `commit` and `acknowledged`, and a bounded memory of which edits of this publisher are
//! traced. Promises: an ack is put into the trace that its edit went out with and no other, whatever it names; a
//! publisher that records nothing remembers nothing. Never decides anything.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use writ_core::{ack::AckedEdit, name::ClusterName, revision::Revision, trace::TraceParent};
use writ_telemetry::{
    level,
    trace::{self, Parent, Span, SpanKind},
};

use crate::{accept::Submission, answer::Answer, error::EditError, send::Fate};

/// Edits whose acks are put into their traces: the newest ones. An ack comes within seconds of its edit, and what
/// comes later than after so many others is in no trace.
const EDITS_MAX: usize = 1_024;

/// The edits of this publisher that are traced. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Traces(Arc<Mutex<BTreeMap<Revision, TraceParent>>>);

/// The way of an edit through this publisher. A dry run has none: nothing comes of it.
pub(crate) fn edit(submission: &Submission) -> Span {
    if submission.dry_run {
        return Span::none();
    }
    let span = Span::start("edit", SpanKind::Server, Parent::Caller);
    span.set("writ.request_id", || submission.request_id.clone());
    span
}

/// What became of it.
pub(crate) fn edited(span: &Span, result: &Result<Answer, EditError>) {
    match result {
        Ok(answer) => {
            span.set("writ.name", || answer.name.clone());
            span.set("writ.generation", || level(answer.generation.0));
            span.set("writ.revision", || answer.revision.to_string());
            span.set("writ.unchanged", || answer.unchanged);
            span.set("writ.targets", || level(answer.target_count));
        }
        Err(error) => span.fail(|| error.to_string()),
    }
    span.end();
}

/// One attempt to commit an edit, as one of a batch.
pub(crate) fn commit(edit: &Span, answer: &Answer, together: usize) -> Span {
    let span = Span::start("commit", SpanKind::Producer, Parent::Span(edit));
    span.set("messaging.system", || "nats");
    span.set("writ.revision", || answer.revision.to_string());
    span.set("writ.edits", || level(together));
    span
}

/// What became of it.
pub(crate) fn committed(span: &Span, fate: &Fate) {
    span.set("writ.outcome", || fate.to_string());
    if !matches!(fate, Fate::Committed) {
        span.fail(|| fate.to_string());
    }
    span.end();
}

impl Traces {
    /// An edit is about to go out.
    pub(crate) fn open(&self, revision: Revision, place: TraceParent) {
        if !place.is_sampled() {
            return;
        }
        let mut edits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        edits.insert(revision, place);
        if edits.len() > EDITS_MAX {
            edits.pop_first();
        }
    }

    /// Whether the traces that an ack names are of any use.
    pub(crate) fn concern(&self, places: &[TraceParent]) -> bool {
        !places.is_empty() && trace::is_on()
    }

    /// A verified ack was taken that says that it comes from these places: those that are in the trace of an edit
    /// that it tells of are believed so far.
    pub(crate) fn acknowledged(
        &self,
        cluster: &ClusterName,
        edits: &[AckedEdit],
        places: &[TraceParent],
    ) {
        for place in places {
            let Some(edit) = self.find(edits, place) else {
                continue;
            };
            let span = Span::start("acknowledged", SpanKind::Consumer, Parent::Remote(*place));
            span.set("messaging.system", || "nats");
            span.set("k8s.cluster.name", || cluster.to_string());
            span.set("writ.name", || edit.name.to_string());
            span.set("writ.generation", || level(edit.generation.0));
            span.set("writ.revision", || edit.revision.to_string());
            span.set("writ.state", || format!("{:?}", edit.state).to_lowercase());
            span.end();
        }
    }

    /// The newest edit of an ack that went out in the trace of a place.
    fn find<'a>(&self, edits: &'a [AckedEdit], place: &TraceParent) -> Option<&'a AckedEdit> {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of = |edit: &&AckedEdit| {
            let sent = open.get(&edit.revision);
            sent.is_some_and(|sent| sent.trace() == place.trace())
        };
        edits.iter().rev().find(is_of)
    }
}

#[cfg(test)]
mod tests {
    use writ_core::{ack::State, name::Name, revision::Generation, scope::Kind};

    use super::*;

    fn revision(number: u64) -> Revision {
        Revision { epoch: 1, number }
    }

    fn place(trace: u8, span: u8) -> TraceParent {
        TraceParent::new([trace; 16], [span; 8], true).unwrap()
    }

    fn acked(number: u64) -> AckedEdit {
        AckedEdit {
            kind: Kind::Policy,
            name: Name::parse("p").unwrap(),
            generation: Generation(number),
            revision: revision(number),
            state: State::Applied,
            removed: false,
            drift: false,
            received_ms: 1,
            applied_ms: 2,
            failures: Vec::new(),
        }
    }

    #[test]
    fn an_ack_is_put_into_the_trace_of_its_own_edits_alone() {
        let traces = Traces::default();
        traces.open(revision(1), place(1, 1));
        traces.open(revision(2), place(2, 1));
        let found = |edits: &[AckedEdit], at| traces.find(edits, &at).map(|edit| edit.revision);
        let edits = [acked(1), acked(3)];
        assert_eq!(found(&edits, place(1, 9)), Some(revision(1)));
        // Another edit's trace, and nobody's.
        assert_eq!(found(&edits, place(2, 9)), None);
        assert_eq!(found(&edits, place(7, 9)), None);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_what_is_not_sampled_is_not_remembered() {
        let traces = Traces::default();
        let unsampled = TraceParent::new([1; 16], [1; 8], false).unwrap();
        traces.open(revision(1), unsampled);
        assert!(traces.find(&[acked(1)], &unsampled).is_none());
        for number in 1..=EDITS_MAX as u64 + 5 {
            traces.open(revision(number), place(1, 1));
        }
        assert_eq!(traces.0.lock().unwrap().len(), EDITS_MAX);
        assert!(traces.find(&[acked(5)], &place(1, 9)).is_none());
        assert!(traces.find(&[acked(6)], &place(1, 9)).is_some());
    }
}
