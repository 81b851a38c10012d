//! Whatever is not signed by a trusted key is not believed: the keys that signed the seeds are not
//! trusted here, so that nothing a fuzzer makes of them may open.
#![no_main]

use libfuzzer_sys::fuzz_target;
use writ_core::{
    ack::{Ack, Pulse},
    beat::Beat,
    envelope::{Keyring, SigningKey},
};
use writ_fuzz::found;
use writ_proto::log::{self, Payload};

fn refuse<T: Payload>(subject: &writ_core::subject::BusSubject, bytes: &[u8], trusted: &Keyring) {
    assert!(log::open::<T>(subject, bytes, trusted).is_err());
}

fuzz_target!(|input: &[u8]| {
    let Some((subject, bytes)) = found(input) else {
        return;
    };
    let trusted = Keyring::new([SigningKey::from_seed(&[99; 32]).public()]);
    assert!(log::open_message(&subject, bytes, &trusted).is_err());
    refuse::<Beat>(&subject, bytes, &trusted);
    refuse::<Ack>(&subject, bytes, &trusted);
    refuse::<Pulse>(&subject, bytes, &trusted);
});
