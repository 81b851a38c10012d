use std::collections::BTreeMap;

use writ_core::{
    ack::{Ack, Counts},
    beat::Beat,
    edit::{Change, Edit, State as LogState},
    name::Name,
    revision::Revision,
    scope::Kind,
};

use super::*;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn trusted() -> Keyring {
    Keyring::new([key(1).public()])
}

fn batch() -> Vec<Message> {
    let change = Change::Put {
        manifest: "{}".into(),
        object: serde_json::json!({"a": 1}),
        requires: vec!["x".into()],
        scopes: ["eu.prod".parse().unwrap()].into(),
        listens: None,
    };
    let edit = Edit {
        kind: Kind::Policy.into(),
        name: Name::parse("payments").unwrap(),
        change,
        request_id: "r".into(),
        author: "alice".into(),
        reason: "because".into(),
        inlet: "grpc".into(),
        committed_ms: 5,
        targets: vec!["eu-prod-1".into()],
        revoked: vec![],
    };
    LogState::default().build(&edit).messages
}

#[test]
fn every_message_of_a_batch_reads_back_under_its_subject_and_under_no_other() {
    let messages = batch();
    for message in &messages {
        let sealed = seal_message(message, &key(1));
        let opened = open_message(&message.subject(), &sealed.bytes, &trusted()).unwrap();
        assert_eq!(&opened.value, message);
        assert_eq!(opened.hash, sealed.hash);
        for other in messages
            .iter()
            .filter(|other| other.subject() != message.subject())
        {
            assert!(open_message(&other.subject(), &sealed.bytes, &trusted()).is_err());
        }
    }
}

#[test]
fn an_event_for_another_scope_is_not_believed_there() {
    let messages = batch();
    let event = messages
        .iter()
        .find(|m| matches!(m, Message::Event(_)))
        .unwrap();
    let sealed = seal_message(event, &key(1));
    let live = BusSubject::parse("writ.live.policy.eu.prod.payments").unwrap();
    assert!(open::<writ_core::event::Event>(&live, &sealed.bytes, &trusted()).is_ok());
    let elsewhere = BusSubject::parse("writ.live.policy.us.prod.payments").unwrap();
    let refused = open::<writ_core::event::Event>(&elsewhere, &sealed.bytes, &trusted());
    assert!(matches!(
        refused,
        Err(OpenError::Payload(DecodeError::Subject { .. }))
    ));
}

#[test]
fn a_flipped_bit_a_cut_and_a_foreign_key_are_refused_wherever_they_are() {
    let beat = Beat {
        revision: Revision {
            epoch: 1,
            number: 2,
        },
        root: Hash::of(b"root"),
        issued_ms: 1,
        expires_after_ms: 30_000,
        publisher: "publisher-1".into(),
    };
    let sealed = seal(&beat, &key(1)).bytes;
    assert_eq!(
        open::<Beat>(&BusSubject::Beat, &sealed, &trusted())
            .unwrap()
            .value,
        beat
    );
    for at in 0..sealed.len() {
        let mut flipped = sealed.clone();
        flipped[at] ^= 0x10;
        let opened = open::<Beat>(&BusSubject::Beat, &flipped, &trusted());
        assert!(opened.is_err(), "byte {at}");
        assert!(open::<Beat>(&BusSubject::Beat, &sealed[..at], &trusted()).is_err());
    }
    let foreign = seal(&beat, &key(2)).bytes;
    assert!(matches!(
        open::<Beat>(&BusSubject::Beat, &foreign, &trusted()),
        Err(OpenError::Signature(envelope::Error::UntrustedKey(_)))
    ));
}

#[test]
fn a_cluster_speaks_only_for_itself() {
    let BusSubject::Ack(sender) = BusSubject::parse("writ.ack.eu.prod.eu-prod-1").unwrap() else {
        panic!("not an ack's subject")
    };
    let ack = Ack {
        sender,
        revision: Revision {
            epoch: 1,
            number: 2,
        },
        feeds: BTreeMap::new(),
        counts: Counts::default(),
        exceptions: vec![],
        exceptions_total: 0,
        edits: vec![],
        refused_messages: 0,
        boot_id: "b".into(),
        boot: 1,
        counter: 1,
        previous: Hash([0; 32]),
        sent_ms: 1,
        witness: vec![],
    };
    let sealed = seal(&ack, &key(1));
    let own = Payload::subject(&ack);
    assert_eq!(
        open::<Ack>(&own, &sealed.bytes, &trusted()).unwrap().value,
        ack
    );
    let other = BusSubject::parse("writ.ack.eu.prod.eu-prod-2").unwrap();
    assert!(open::<Ack>(&other, &sealed.bytes, &trusted()).is_err());
}
