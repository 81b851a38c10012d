//! The traces of edits through this cluster: received, applied, acked.
//!
//! Owns the spans `receive`, `apply` and `ack`, and a bounded memory of which edits are traced. An edit's trace comes
//! as an unsigned header of its event, so that it counts for nothing but the span's parent, and only of an event that
//! was verified and taken. What was heard as it was sent goes on in the edit's trace; what was read from the log,
//! which may be long after, begins a trace of its own that names it. Promises: an edit that nobody traces has no
//! spans here; without a collector nothing is remembered. Never decides anything.

use std::{
    collections::{BTreeMap, VecDeque},
    time::SystemTime,
};

use writ_core::{
    ack::{EDITS_MAX, State},
    follower::{Action, Key},
    revision::{Generation, Revision},
    subject::BusSubject,
    trace::TraceParent,
};
use writ_telemetry::{
    level,
    trace::{self, Parent, Span, SpanKind},
};

use crate::work::Done;

/// Edits that are remembered: the newest ones. Those of a cluster wait for seconds, but for some that a cut or a
/// namespace is waited for.
const EDITS_REMEMBERED_MAX: usize = 256;

/// An event that was verified and taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) revision: Revision,
    pub(crate) generation: Generation,
}

/// How an event came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// As it was sent.
    Live,
    /// Out of the log.
    Read,
}

/// The traces of edits that are on their way through this cluster.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    received: BTreeMap<Revision, Received>,
    under_way: BTreeMap<Key, Span>,
    /// Ended, and not acked.
    unsaid: VecDeque<Span>,
}

/// How an edit came here. A span is made of it when something is done for it: every cluster of a scope hears of every
/// policy of the scope, and most may not be for it.
#[derive(Debug)]
struct Received {
    generation: Generation,
    came: Came,
    subject: BusSubject,
    place: TraceParent,
    since: SystemTime,
    until: SystemTime,
    span: Option<Span>,
}

impl Received {
    fn span(&mut self, revision: Revision) -> &Span {
        self.span.get_or_insert_with(|| {
            let parent = match self.came {
                Came::Live => Parent::Remote(self.place),
                Came::Read => Parent::Long(self.place),
            };
            let span = Span::start_at("receive", SpanKind::Consumer, parent, Some(self.since));
            span.set("messaging.system", || "nats");
            span.set("messaging.destination.name", || self.subject.to_string());
            span.set("writ.revision", || revision.to_string());
            span.set("writ.generation", || level(self.generation.0));
            span.end_at(self.until);
            span
        })
    }
}

impl Traces {
    /// An event came, at `since`, and was taken.
    pub(crate) fn received(
        &mut self,
        taken: Taken,
        (came, subject, places): (Came, &BusSubject, &[TraceParent]),
        since: SystemTime,
    ) {
        let Some(place) = places.first().filter(|_| trace::is_on()) else {
            return;
        };
        // Of several scopes, the first event that brings an edit.
        self.received
            .entry(taken.revision)
            .or_insert_with(|| Received {
                generation: taken.generation,
                came,
                subject: subject.clone(),
                place: *place,
                since,
                until: SystemTime::now(),
                span: None,
            });
        if self.received.len() > EDITS_REMEMBERED_MAX {
            self.received.pop_first();
        }
    }

    /// What was decided is begun.
    pub(crate) fn begin(&mut self, action: &Action) -> Span {
        let (Action::Apply { key, past, .. } | Action::Remove { key, past }) = action else {
            return Span::none();
        };
        let Some(received) = self.received.get_mut(&past.word) else {
            return Span::none();
        };
        let received = received.span(past.word);
        if !received.is_traced() {
            return Span::none();
        }
        let span = Span::start("apply", SpanKind::Internal, Parent::Span(received));
        span.set("writ.kind", || key.0.to_string());
        span.set("writ.name", || key.1.to_string());
        span.set("writ.revision", || past.word.to_string());
        span.set("writ.generation", || level(past.generation.0));
        span.set("writ.removes", || matches!(action, Action::Remove { .. }));
        self.under_way.insert(key.clone(), span.clone());
        span
    }

    /// It has ended.
    pub(crate) fn done(&mut self, done: &Done) {
        let Some(span) = self.under_way.remove(&done.key) else {
            return;
        };
        let standing = &done.standing;
        span.set("writ.state", || {
            format!("{:?}", standing.state).to_lowercase()
        });
        span.set("writ.writes", || level(done.writes));
        if standing.state != State::Applied {
            span.set("writ.reason", || standing.reason.clone());
            span.fail(|| standing.reason.clone());
        }
        span.end();
        if done.told {
            self.unsaid.push_back(span);
            if self.unsaid.len() > EDITS_MAX {
                self.unsaid.pop_front();
            }
        }
    }

    /// An ack is made that tells of what has ended: a span for each edit of it, to be ended when it is stored.
    pub(crate) fn ack(&mut self) -> Vec<Span> {
        let begin = |applied: Span| {
            let span = Span::start("ack", SpanKind::Producer, Parent::Span(&applied));
            span.set("messaging.system", || "nats");
            span
        };
        self.unsaid.drain(..).map(begin).collect()
    }
}
