//! What a trusted key signed may still be anything: each payload that decodes names the subject that it
//! was found under, and says the same after it was encoded again.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use writ_core::{
    ack::{Ack, Pulse},
    beat::Beat,
    edit::Intent,
    event::Event,
    index::{Base, Index},
    root::Root,
    subject::BusSubject,
};
use writ_fuzz::found;
use writ_proto::log::Payload;

fn again<T: Payload + PartialEq + Debug>(subject: &BusSubject, bytes: &[u8]) {
    let Ok(value) = T::decode(subject, bytes) else {
        return;
    };
    assert_eq!(&value.subject(), subject);
    let again = T::decode(subject, &value.encode()).expect("what was encoded decodes");
    assert_eq!(again, value);
}

fuzz_target!(|input: &[u8]| {
    let Some((subject, bytes)) = found(input) else {
        return;
    };
    match &subject {
        BusSubject::Intent { .. } => again::<Intent>(&subject, bytes),
        BusSubject::Event { .. } => again::<Event>(&subject, bytes),
        BusSubject::Index(_) => again::<Index>(&subject, bytes),
        BusSubject::Base(_) => again::<Base>(&subject, bytes),
        BusSubject::Root => again::<Root>(&subject, bytes),
        BusSubject::Beat => again::<Beat>(&subject, bytes),
        BusSubject::Ack(_) => again::<Ack>(&subject, bytes),
        BusSubject::Pulse(_) => again::<Pulse>(&subject, bytes),
        _ => {}
    }
});
