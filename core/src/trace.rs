//! A place in a trace, as it travels: the W3C's `traceparent`.
//!
//! Only the word: nothing here or elsewhere in this crate decides by it, and it is in nothing that is signed. Read
//! strictly, because it comes unsigned from anybody: one version, one length, one spelling.

use std::fmt;

use data_encoding::HEXLOWER;

/// Name of the header, in calls of the API and in messages of the bus.
pub const HEADER: &str = "traceparent";

/// Length of the one version that there is.
const LENGTH: usize = 55;

/// Most places that one message may name: an ack tells of that many edits.
pub const PLACES_MAX: usize = crate::ack::EDITS_MAX;

/// A place in a trace.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace: [u8; 16],
    span: [u8; 8],
    is_sampled: bool,
}

impl TraceParent {
    /// A place; `None` where either number is zero, which stands for none.
    pub fn new(trace: [u8; 16], span: [u8; 8], is_sampled: bool) -> Option<TraceParent> {
        let is_valid = trace != [0; 16] && span != [0; 8];
        is_valid.then_some(TraceParent {
            trace,
            span,
            is_sampled,
        })
    }

    /// Reads `00-<32 digits>-<16 digits>-<2 digits>`, lower-case hexadecimal. Whatever else it is, is no place.
    pub fn parse(text: &str) -> Option<TraceParent> {
        if text.len() != LENGTH || !text.is_ascii() {
            return None;
        }
        let mut parts = text.split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if version != "00" || parts.next().is_some() {
            return None;
        }
        let [flags] = read::<1>(flags)?;
        TraceParent::new(read(trace)?, read(span)?, flags & 1 == 1)
    }

    /// The trace.
    pub fn trace(&self) -> [u8; 16] {
        self.trace
    }

    /// The span.
    pub fn span(&self) -> [u8; 8] {
        self.span
    }

    /// Whether it is recorded where it comes from.
    pub fn is_sampled(&self) -> bool {
        self.is_sampled
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (trace, span) = (HEXLOWER.encode(&self.trace), HEXLOWER.encode(&self.span));
        write!(f, "00-{trace}-{span}-{:02x}", u8::from(self.is_sampled))
    }
}

impl fmt::Debug for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Exactly that many bytes in lower-case hexadecimal.
fn read<const N: usize>(text: &str) -> Option<[u8; N]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_place_is_written_as_it_was_read() {
        let place = TraceParent::parse(GOOD).unwrap();
        assert_eq!(place.to_string(), GOOD);
        assert!(place.is_sampled());
        let unsampled = GOOD.replace("-01", "-00");
        assert!(!TraceParent::parse(&unsampled).unwrap().is_sampled());
        // What other flags mean is not known here, and is not passed on.
        let flags = TraceParent::parse(&GOOD.replace("-01", "-ff")).unwrap();
        assert_eq!(flags.to_string(), GOOD);
    }

    #[test]
    fn whatever_is_not_exactly_a_place_is_none() {
        let zero_trace = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        let zero_span = GOOD.replace("00f067aa0ba902b7", "0000000000000000");
        for text in [
            "",
            &GOOD[1..],
            &format!("{GOOD}0"),
            &format!("{GOOD}-00"),
            &GOOD.to_uppercase(),
            &GOOD.replace("00-4b", "01-4b"),
            &GOOD.replace("00-4b", "ff-4b"),
            &GOOD.replace("4bf9", "4bg9"),
            &GOOD.replace("4bf9", "-bf9"),
            &GOOD.replace("00f067aa", "00f067é"),
            &zero_trace,
            &zero_span,
            &"a".repeat(LENGTH),
            &"-".repeat(LENGTH),
            &"9".repeat(1_000_000),
        ] {
            assert_eq!(TraceParent::parse(text), None, "{text:.80}");
        }
    }
}
