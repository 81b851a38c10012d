//! Where a message belongs in traces: headers `traceparent` beside what is signed.
//!
//! Promises: at most [`PLACES_MAX`] are read of a message, each strictly. Never decides by them: nobody signed them,
//! and whoever can send a message can write them.

use async_nats::HeaderMap;
use writ_core::trace::{HEADER, PLACES_MAX, TraceParent};

/// The places that headers name; what is none is passed over.
pub(crate) fn read(headers: Option<&HeaderMap>) -> Vec<TraceParent> {
    let Some(headers) = headers else {
        return Vec::new();
    };
    let values = headers.get_all(HEADER).take(PLACES_MAX);
    values
        .filter_map(|value| TraceParent::parse(value.as_str()))
        .collect()
}

/// Adds places to headers.
pub(crate) fn write(headers: &mut HeaderMap, places: &[TraceParent]) {
    for place in places.iter().take(PLACES_MAX) {
        headers.append(HEADER, place.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_no_place_is_passed_over_and_no_more_are_read_than_an_ack_has_edits() {
        assert!(read(None).is_empty());
        let mut headers = HeaderMap::new();
        headers.append(HEADER, "x".repeat(100_000));
        headers.append(HEADER, GOOD);
        headers.append("Traceparent", GOOD);
        assert_eq!(read(Some(&headers)), [TraceParent::parse(GOOD).unwrap()]);
        for _ in 0..100 {
            headers.append(HEADER, GOOD);
        }
        assert_eq!(read(Some(&headers)).len(), PLACES_MAX - 1);

        let mut written = HeaderMap::new();
        write(&mut written, &[]);
        assert!(written.is_empty());
        write(&mut written, &[TraceParent::parse(GOOD).unwrap(); 40]);
        assert_eq!(read(Some(&written)).len(), PLACES_MAX);
    }
}
