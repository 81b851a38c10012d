//! The trace that an edit belongs to, as the publisher is told of it.
//!
//! The command line records nothing itself. Where whoever calls it has a trace (`TRACEPARENT`, as pipelines set it),
//! the edit goes on in it. Otherwise it only names a new one, once for each edit: repeated, also through another
//! publisher, the edit stays in it.

use std::env;

use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
};
use writ_core::trace::{HEADER, TraceParent};

/// Where the trace of the caller stands.
const VARIABLE: &str = "TRACEPARENT";

/// By this entry of `tracestate` the publisher learns that nobody recorded the span that is named: the trace begins
/// there, and whether it is recorded is decided there.
const STATE: (&str, &str) = ("tracestate", "writ=root");

/// The trace of one edit.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    parent: Option<MetadataValue<Ascii>>,
    begins_there: bool,
}

impl Trace {
    /// The caller's, or a new one.
    pub(crate) fn of_edit() -> Trace {
        Trace::of(env::var(VARIABLE).ok().as_deref())
    }

    fn of(caller: Option<&str>) -> Trace {
        let caller = caller.and_then(TraceParent::parse);
        let place = caller.or_else(|| TraceParent::new(rand::random(), rand::random(), true));
        Trace {
            parent: place.and_then(|place| place.to_string().parse().ok()),
            begins_there: caller.is_none(),
        }
    }

    /// A request of it.
    pub(crate) fn on<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        if let Some(parent) = &self.parent {
            metadata.insert(HEADER, parent.clone());
            if self.begins_there {
                metadata.insert(STATE.0, MetadataValue::from_static(STATE.1));
            }
        }
        request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_goes_on_in_the_callers_trace_and_in_a_new_one_where_there_is_none() {
        let caller = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let request = Trace::of(Some(caller)).on(());
        assert_eq!(request.metadata().get(HEADER).unwrap(), caller);
        assert!(request.metadata().get(STATE.0).is_none());

        for nothing in [None, Some(""), Some("garbage"), Some(&caller[1..])] {
            let trace = Trace::of(nothing);
            let named = |request: Request<()>| {
                let value = request.metadata().get(HEADER).unwrap().to_str().unwrap();
                TraceParent::parse(value).unwrap()
            };
            // One edit is one trace, however often it is sent.
            assert_eq!(named(trace.on(())), named(trace.on(())));
            assert_ne!(named(trace.on(())), named(Trace::of(nothing).on(())));
            assert_eq!(trace.on(()).metadata().get(STATE.0).unwrap(), STATE.1);
        }
    }
}
