//! Numbers of spans and traces: random ones, but where a caller named a trace that is to begin here.

use std::cell::Cell;

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

thread_local! {
    /// The number of the trace that begins next on this thread. Set and taken within one call.
    static NEXT: Cell<Option<TraceId>> = const { Cell::new(None) };
}

/// Begins a trace under a number that was given.
pub(super) fn under<T>(id: Option<TraceId>, begin: impl FnOnce() -> T) -> T {
    NEXT.set(id);
    let begun = begin();
    NEXT.set(None);
    begun
}

#[derive(Debug, Default)]
pub(super) struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        NEXT.take().unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}
