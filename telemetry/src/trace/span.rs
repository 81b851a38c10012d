//! One step of an edit's way.

use std::{future::Future, time::SystemTime};

use axum::http::HeaderMap;
use opentelemetry::{
    Context, KeyValue, Value,
    context::FutureExt as _,
    trace::{
        Link, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
        TraceState, Tracer as _,
    },
};
use writ_core::trace::{HEADER, TraceParent};

use super::{ids, tracer};

/// By this entry of `tracestate` a caller says that it records nothing itself and has only named the trace: the trace
/// begins here, under that number, and whether it is sampled is decided here.
const STATE_HEADER: &str = "tracestate";
const STATE_ROOT: &str = "writ=root";

/// A span; one that is not recorded costs nothing. Clones are the same span.
#[derive(Debug, Clone, Default)]
pub struct Span(Option<Context>);

/// What a span follows from.
#[derive(Debug, Clone, Copy)]
pub enum Parent<'a> {
    /// What the caller of this call said; a new trace, if it said nothing.
    Caller,
    /// Another span of this process. Where that one is not recorded, this one is not.
    Span(&'a Span),
    /// A span elsewhere.
    Remote(TraceParent),
    /// A span elsewhere, and long ago: this one begins a trace of its own, which names it.
    Long(TraceParent),
}

/// The number that a trace is to begin under.
struct Named(TraceId);

impl Span {
    /// One that is not recorded.
    pub fn none() -> Span {
        Span(None)
    }

    /// Begins now.
    pub fn start(name: &'static str, kind: SpanKind, parent: Parent<'_>) -> Span {
        Span::start_at(name, kind, parent, None)
    }

    /// Began then.
    pub fn start_at(
        name: &'static str,
        kind: SpanKind,
        parent: Parent<'_>,
        began: Option<SystemTime>,
    ) -> Span {
        let Some(tracer) = tracer() else {
            return Span::none();
        };
        let mut builder = tracer.span_builder(name).with_kind(kind);
        if let Some(began) = began {
            builder = builder.with_start_time(began);
        }
        let (mut id, mut context) = (None, Context::new());
        match parent {
            Parent::Caller => {
                context = Context::current();
                id = context.get::<Named>().map(|named| named.0);
            }
            Parent::Span(Span(Some(parent))) => context = parent.clone(),
            Parent::Span(Span(None)) => return Span::none(),
            Parent::Remote(place) => context = context.with_remote_span_context(remote(place)),
            // What was not recorded then is not recorded now.
            Parent::Long(place) if !place.is_sampled() => return Span::none(),
            Parent::Long(place) => {
                builder = builder.with_links(vec![Link::with_context(remote(place))]);
            }
        }
        let span = ids::under(id, || builder.start_with_context(tracer, &context));
        Span(Some(Context::new().with_span(span)))
    }

    /// Where it is, for what follows elsewhere.
    pub fn place(&self) -> Option<TraceParent> {
        let context = self.0.as_ref()?;
        let span = context.span().span_context().clone();
        let (trace, id) = (span.trace_id().to_bytes(), span.span_id().to_bytes());
        TraceParent::new(trace, id, span.is_sampled())
    }

    /// Whether what follows from it is to know of it.
    pub fn is_traced(&self) -> bool {
        self.0.is_some()
    }

    /// Says something of it; asked for only where it is recorded.
    pub fn set<V: Into<Value>>(&self, name: &'static str, value: impl FnOnce() -> V) {
        if let Some(context) = &self.0
            && context.span().is_recording()
        {
            context
                .span()
                .set_attribute(KeyValue::new(name, value().into()));
        }
    }

    /// It did not come to what it was for.
    pub fn fail(&self, why: impl FnOnce() -> String) {
        if let Some(context) = &self.0
            && context.span().is_recording()
        {
            context.span().set_status(Status::error(why()));
        }
    }

    /// Ends now. A second end says nothing.
    pub fn end(&self) {
        if let Some(context) = &self.0 {
            context.span().end();
        }
    }

    /// Ended then.
    pub fn end_at(&self, ended: SystemTime) {
        if let Some(context) = &self.0 {
            context.span().end_with_timestamp(ended);
        }
    }

    /// Does something within it, so that what is logged meanwhile names it.
    pub async fn within<F: Future>(&self, work: F) -> F::Output {
        match &self.0 {
            Some(context) => work.with_context(context.clone()).await,
            None => work.await,
        }
    }
}

/// Serves a call, whose headers may name the trace that it belongs to. To be called once it is known who calls.
pub async fn serve<F: Future>(headers: Option<Caller>, call: F) -> F::Output {
    match headers {
        Some(Caller(context)) => call.with_context(context).await,
        None => call.await,
    }
}

/// What a caller's headers say of its trace.
#[derive(Debug, Clone)]
pub struct Caller(Context);

impl Caller {
    /// Reads them; `None` where they say nothing that is understood, or nothing is recorded here.
    pub fn read(headers: &HeaderMap) -> Option<Caller> {
        tracer()?;
        let mut values = headers.get_all(HEADER).iter();
        let place = TraceParent::parse(values.next()?.to_str().ok()?)?;
        if values.next().is_some() {
            return None;
        }
        let states = headers.get_all(STATE_HEADER).iter();
        let is_named_only = states.into_iter().any(|state| state == STATE_ROOT);
        Some(Caller(match is_named_only {
            true => Context::new().with_value(Named(TraceId::from_bytes(place.trace()))),
            false => Context::new().with_remote_span_context(remote(place)),
        }))
    }
}

fn remote(place: TraceParent) -> SpanContext {
    let flags = match place.is_sampled() {
        true => TraceFlags::SAMPLED,
        false => TraceFlags::default(),
    };
    SpanContext::new(
        TraceId::from_bytes(place.trace()),
        SpanId::from_bytes(place.span()),
        flags,
        true,
        TraceState::NONE,
    )
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// Nothing in these tests names a collector.
    #[tokio::test]
    async fn without_a_collector_nothing_is_made_asked_for_or_kept() {
        let asked = || -> String { panic!("asked for what nobody records") };
        let place = TraceParent::new([1; 16], [2; 8], true).unwrap();
        let begun = Instant::now();
        for _ in 0..1_000_000 {
            let span = Span::start("edit", SpanKind::Server, Parent::Remote(place));
            span.set("name", asked);
            span.fail(asked);
            assert!(!span.is_traced() && span.place().is_none());
            span.end();
        }
        let took = begun.elapsed();
        println!("{took:?} for a million");
        // Some nanoseconds each; where a span was made it would take a hundred times as long.
        assert!(took < Duration::from_secs(2), "{took:?}");

        let mut headers = HeaderMap::new();
        headers.insert(HEADER, place.to_string().parse().unwrap());
        assert!(Caller::read(&headers).is_none());
        assert_eq!(Span::none().within(async { 7 }).await, 7);
        assert!(!Context::current().has_active_span());
    }
}
