//! What the targets share.
//!
//! An input of the targets that read messages is a subject, a line feed, and the bytes that were found
//! there, as a server would hand them over.

use writ_core::subject::BusSubject;

/// Takes an input apart; inputs without a subject of the bus are of no interest.
pub fn found(input: &[u8]) -> Option<(BusSubject, &[u8])> {
    let end = input.iter().position(|byte| *byte == b'\n')?;
    let subject = std::str::from_utf8(&input[..end]).ok()?;
    Some((BusSubject::parse(subject).ok()?, &input[end + 1..]))
}

/// Puts one together.
pub fn input(subject: &BusSubject, bytes: &[u8]) -> Vec<u8> {
    [format!("{subject}\n").as_bytes(), bytes].concat()
}
