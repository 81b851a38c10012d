//! What is read before anybody believes it: files of trust, offers, and what bytes claim to be.
#![no_main]

use libfuzzer_sys::fuzz_target;
use writ_core::{envelope::Keyring, subject::BusSubject};
use writ_fuzz::found;
use writ_proto::{log, offer::Offer, trust::Trust};

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = std::str::from_utf8(input)
        && let Ok(subject) = BusSubject::parse(text)
    {
        assert_eq!(subject.to_string(), text);
    }
    // The file names its own offline key, so that some input may be right; none may end the process.
    let _ = Trust::from_file(input);
    let nobody = Keyring::new([]);
    let _ = log::claimed_subject(input);
    let _ = log::claimed_state(input);
    let _ = log::claimed_witness(input);
    assert!(log::open_witness(input, &nobody).is_err());
    assert!(log::open_event(input, &nobody).is_err());
    if let Some((subject, bytes)) = found(input)
        && let Ok(offer) = Offer::decode(&subject, bytes)
    {
        assert!(Offer::decode(&subject, &offer.encode()).is_ok());
    }
});
