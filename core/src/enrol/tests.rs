//! The life of an entry, step by step.

use serde_json::{Value, json};

use super::*;
use crate::model::{self, Cluster, Document, Phase, TokenKey};

fn parse(value: &Value) -> Cluster {
    match model::parse(value).unwrap().document {
        Document::Cluster(cluster) => cluster,
        _ => panic!("not a cluster"),
    }
}

fn manifest() -> Value {
    json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "Cluster",
        "metadata": {"name": "eu-prod-1"},
        "spec": {"region": "eu", "stage": "prod"},
    })
}

fn keys(seed: u8) -> ClusterKeys {
    let key = |seed| crate::envelope::SigningKey::from_seed(&[seed; 32]).public();
    ClusterKeys {
        bus: nkey::public_text(&key(seed)),
        ack: key(seed + 100).to_base64(),
    }
}

fn token(seed: u8) -> TokenKey {
    TokenKey {
        key: crate::envelope::SigningKey::from_seed(&[seed; 32])
            .public()
            .to_base64(),
        expires_ms: 1_000,
    }
}

fn request(keys: ClusterKeys, token: Option<&TokenKey>) -> Request {
    Request {
        cluster: ClusterName::parse("eu-prod-1").unwrap(),
        keys,
        token: token.map(|token| token.key.clone()),
        nonce: [0; 16],
    }
}

fn enter(entry: &Cluster, request: &Request, now_ms: u64) -> Cluster {
    match judge(Some(entry), &[], request, now_ms) {
        Verdict::Enter(step) => change(entry, &step, now_ms).unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_token_lets_one_pair_of_keys_in_within_its_hour_and_the_same_ones_again() {
    let entry = add(&parse(&manifest()), Some(token(1)));
    assert_eq!(entry.phase, Phase::Pending);
    let asked = request(keys(1), Some(&token(1)));
    let active = enter(&entry, &asked, 999);
    assert_eq!(
        (active.phase, &active.keys),
        (Phase::Active, &Some(keys(1)))
    );
    assert_eq!(active.enrolment, None);
    // The answer was lost; also long after the token's end, and without it.
    for again in [&asked, &request(keys(1), None)] {
        assert_eq!(
            judge(Some(&active), &[], again, 5_000),
            Verdict::Credentials
        );
    }
    let stolen = request(keys(2), Some(&token(1)));
    let used = Verdict::Refuse(Refusal::TokenUsed);
    assert_eq!(judge(Some(&active), &[], &stolen, 999), used);
    // The same where both were judged before either was committed.
    let Verdict::Enter(late) = judge(Some(&entry), &[], &stolen, 999) else {
        panic!("the token is out")
    };
    assert_eq!(
        change(&active, &late, 999),
        Err(Refused::Enter(Refusal::TokenUsed))
    );
}

#[test]
fn a_token_that_is_expired_another_or_of_an_unknown_cluster_is_refused_as_what_it_is() {
    let entry = add(&parse(&manifest()), Some(token(1)));
    let refusals = [
        (Some(&entry), &token(1), 1_000, Refusal::TokenExpired),
        (Some(&entry), &token(2), 10, Refusal::WrongToken),
        (None, &token(1), 10, Refusal::UnknownCluster),
    ];
    for (entry, token, now_ms, refusal) in refusals {
        let asked = request(keys(1), Some(token));
        assert_eq!(judge(entry, &[], &asked, now_ms), Verdict::Refuse(refusal));
    }
    let cut_off = change(&entry, &Change::CutOff, 5).unwrap();
    let asked = request(keys(1), Some(&token(1)));
    assert_eq!(
        judge(Some(&cut_off), &[], &asked, 10),
        Verdict::Refuse(Refusal::CutOff)
    );
}

#[test]
fn without_a_token_exactly_the_approved_keys_enter() {
    let entry = add(&parse(&manifest()), None);
    let asked = request(keys(1), None);
    assert_eq!(judge(Some(&entry), &[], &asked, 0), Verdict::Wait);
    let approved = change(&entry, &Change::Approve(asked.fingerprint()), 0).unwrap();
    assert_eq!(
        judge(Some(&approved), &[], &request(keys(2), None), 0),
        Verdict::Wait
    );
    let active = enter(&approved, &asked, 0);
    assert_eq!(active.keys, Some(keys(1)));
    // Somebody who approves again what is in force changes nothing; other keys are refused.
    let same = change(&active, &Change::Approve(asked.fingerprint()), 0);
    assert_eq!(same, Ok(active.clone()));
    let other = Fingerprint::of(&active.name, &keys(2));
    assert!(matches!(
        change(&active, &Change::Approve(other), 0),
        Err(Refused::Enrolled { .. })
    ));
    // A fingerprint is of one cluster.
    let elsewhere = ClusterName::parse("eu-prod-2").unwrap();
    assert_ne!(Fingerprint::of(&elsewhere, &keys(1)), asked.fingerprint());
    let text = asked.fingerprint().to_string();
    assert_eq!(Fingerprint::parse(&text), Ok(asked.fingerprint()));
    assert_eq!(
        Fingerprint::parse(&text.replace('-', "").to_uppercase()),
        Ok(asked.fingerprint())
    );
    assert!(Fingerprint::parse(&text[1..]).is_err());
}

#[test]
fn a_cluster_that_is_enrolled_anew_loses_its_keys_and_one_that_is_cut_off_comes_back_no_other_way()
{
    let active = enter(
        &add(&parse(&manifest()), Some(token(1))),
        &request(keys(1), Some(&token(1))),
        0,
    );
    let anew = change(&active, &Change::Reenrol(Some(token(2))), 0).unwrap();
    assert_eq!((anew.phase, &anew.keys), (Phase::Pending, &None));
    // The old keys with the old token, and without one.
    assert_eq!(
        judge(Some(&anew), &[], &request(keys(1), Some(&token(1))), 0),
        Verdict::Refuse(Refusal::WrongToken)
    );
    assert_eq!(
        judge(Some(&anew), &[], &request(keys(1), None), 0),
        Verdict::Wait
    );
    // Keys that were given up are not let in by the new token either.
    let gone = revoked(&[], Some(&active), Some(&anew), 5);
    let old = request(keys(1), Some(&token(2)));
    assert_eq!(
        judge(Some(&anew), &gone, &old, 6),
        Verdict::Refuse(Refusal::KeysRevoked)
    );
    let back = enter(&anew, &request(keys(2), Some(&token(2))), 0);
    assert_eq!(back.keys, Some(keys(2)));

    let cut_off = change(&active, &Change::CutOff, 0).unwrap();
    assert_eq!(
        judge(Some(&cut_off), &[], &request(keys(1), None), 0),
        Verdict::Refuse(Refusal::CutOff)
    );
    for step in [
        Change::Drain,
        Change::Approve(Fingerprint::of(&active.name, &keys(1))),
    ] {
        assert!(change(&cut_off, &step, 0).is_err(), "{step:?}");
    }
    assert!(change(&cut_off, &Change::Reenrol(None), 0).is_ok());
}

#[test]
fn a_draining_cluster_is_still_answered_so_that_it_can_give_back_what_it_holds() {
    let active = add(&with_keys(1), None);
    let draining = change(&active, &Change::Drain, 0).unwrap();
    assert_eq!(draining.phase, Phase::Draining);
    let asked = request(keys(1), None);
    assert_eq!(judge(Some(&draining), &[], &asked, 0), Verdict::Credentials);
    let pending = add(&parse(&manifest()), None);
    assert!(matches!(
        change(&pending, &Change::Drain, 0),
        Err(Refused::NothingToDrain { .. })
    ));
}

fn with_keys(seed: u8) -> Cluster {
    Cluster {
        keys: Some(keys(seed)),
        ..parse(&manifest())
    }
}

#[test]
fn a_document_changes_neither_keys_nor_phase_and_may_state_what_is_in_force() {
    let active = add(&with_keys(1), None);
    let bare = manifest();
    assert_eq!(
        carry(&parse(&bare), &bare, Some(&active)),
        Ok(active.clone())
    );
    let stated = with_fields(&bare, &active);
    assert_eq!(
        carry(&parse(&stated), &stated, Some(&active)),
        Ok(active.clone())
    );
    assert_eq!(submitted(&stated), bare);

    let fields = |value: &Value, in_force| {
        let violations = carry(&parse(value), value, in_force).unwrap_err();
        let fields = violations.into_iter().map(|violation| violation.field);
        fields.collect::<Vec<_>>()
    };
    let other = with_fields(&bare, &add(&with_keys(2), None));
    assert_eq!(fields(&other, Some(&active)), ["spec.keys"]);
    assert_eq!(fields(&stated, None), ["spec.phase", "spec.keys"]);
    let cut_off = change(&active, &Change::CutOff, 0).unwrap();
    assert_eq!(fields(&stated, Some(&cut_off)), ["spec.phase"]);
    let new = carry(&parse(&bare), &bare, None).unwrap();
    assert_eq!((new.phase, new.keys), (Phase::Pending, None));
    let pending = add(&parse(&bare), Some(token(1)));
    let stated = with_fields(&bare, &pending);
    assert_eq!(parse(&stated), pending);
}

#[test]
fn a_key_that_is_given_up_stays_revoked_until_its_credentials_have_ended() {
    let active = add(&with_keys(1), None);
    let cut_off = change(&active, &Change::CutOff, 0).unwrap();
    let gone = revoked(&[], Some(&active), Some(&cut_off), 7);
    let one = Revoked {
        bus: keys(1).bus,
        at_ms: 7,
    };
    assert_eq!(gone, std::slice::from_ref(&one));
    // Another edit of the same entry, its deletion, and the name's next life change nothing of that.
    assert_eq!(revoked(&gone, Some(&cut_off), None, 8), gone);
    let anew = add(&with_keys(2), None);
    assert_eq!(revoked(&gone, None, Some(&anew), 9), gone);
    let both = revoked(&gone, Some(&anew), None, 10);
    assert_eq!(both.len(), 2);
    let later = 7 + CREDENTIALS_LIFE_MAX_MS;
    assert_eq!(revoked(&both, None, None, later).len(), 1);
    let many = (0..2 * REVOKED_MAX as u64).fold(Vec::new(), |before, at_ms| {
        let old = add(&with_keys(1), None);
        let mut before: Vec<Revoked> = revoked(&before, Some(&old), None, at_ms);
        if let Some(last) = before.last_mut() {
            last.bus = format!("U{at_ms}");
        }
        before
    });
    assert_eq!(many.len(), REVOKED_MAX);
}

#[test]
fn a_token_gives_two_keys_of_its_cluster_alone() {
    let token = Token::new([9; 32]);
    let names = ["eu-prod-1", "eu-prod-2"].map(|name| ClusterName::parse(name).unwrap());
    let again = Token::parse(&token.to_text()).unwrap();
    assert_eq!(
        again.signing_key(&names[0]).public(),
        token.signing_key(&names[0]).public()
    );
    assert_ne!(token.bus_seed(&names[0]), token.bus_seed(&names[1]));
    let bus = crate::envelope::SigningKey::from_seed(&token.bus_seed(&names[0]));
    assert_ne!(bus.public(), token.signing_key(&names[0]).public());
    assert!(Token::parse("short").is_none());
    assert_eq!(format!("{token:?}"), "Token(..)");
}
