//! Guard by guard: what is refused of what is left and of what is offered.

use super::*;

fn a_in_eu() -> (Log, Feed) {
    let log = Log::of(&[cluster(), policy("a", &["eu"], "devs")]);
    (log, "policy.eu.all".parse().unwrap())
}

fn key(name: &str) -> Key {
    (Kind::Policy, Name::parse(name).unwrap())
}

/// Publishers begin the epoch of a recovery, its root with signed bytes in it.
fn begin(state: &mut State, recovery: &Recovery, opening: &[u8]) {
    state.admit(&recovery.opening);
    for message in recovery.messages.iter().cloned() {
        state.follow(message).unwrap();
    }
    let root = Root {
        opening: Some(opening.into()),
        ..recovery.root.clone()
    };
    state.follow(Message::Root(root)).unwrap();
}

#[test]
fn every_later_root_of_an_epoch_carries_its_opening_on() {
    let (log, _) = a_in_eu();
    let recovery = Plan::make(&log.copy(), &Found::default()).build(2, 5);
    let mut state = log.state;
    begin(&mut state, &recovery, b"signed");
    let batch = state.build(&policy("b", &["eu"], "devs"));
    let Some(Message::Root(root)) = batch.messages.last() else {
        panic!("a batch ends with its root")
    };
    assert_eq!(root.opening.as_deref(), Some(b"signed".as_slice()));
    let again = batch.next.build(&policy("c", &["eu"], "devs"));
    let Some(Message::Root(root)) = again.messages.last() else {
        panic!("a batch ends with its root")
    };
    assert_eq!(root.opening.as_deref(), Some(b"signed".as_slice()));
}

#[test]
fn an_older_opening_does_not_close_a_publishers_epoch() {
    let (log, _) = a_in_eu();
    let plan = Plan::make(&log.copy(), &Found::default());
    let (second, third) = (plan.build(2, 5), plan.build(3, 6));
    let mut state = log.state;
    state.admit(&third.opening);
    state.admit(&second.opening);
    for message in third.messages.iter().cloned() {
        state.follow(message).unwrap();
    }
    let root = Message::Root(third.root.clone());
    assert_eq!(state.follow(root), Ok(Some(third.root.revision)));
}

#[test]
fn what_came_before_a_root_that_was_refused_is_in_no_later_batch() {
    let (log, _) = a_in_eu();
    let forged = Plan::make(&log.copy(), &Found::default()).build(2, 5);
    let mut state = log.state.clone();
    for message in forged.messages {
        state.follow(message).unwrap();
    }
    state.follow(Message::Root(forged.root)).unwrap_err();
    let batch = log.state.build(&policy("b", &["eu"], "devs"));
    let mut reached = None;
    for message in batch.messages {
        reached = state.follow(message).unwrap();
    }
    assert_eq!(reached, Some(batch.next.revision()));
    let intent = state.intent(Kind::Policy, &key("a").1).unwrap();
    assert_eq!(intent.revision.epoch, 1);
}

#[test]
fn a_proof_is_of_the_one_revision_that_was_signed() {
    let (log, feed) = a_in_eu();
    let (revision, entries) = log.copy().feeds[&feed].clone();
    let event = log.copy().events[&key("a")][&feed].clone();
    // A later one would make of what the list lacks a deletion.
    let later = Revision {
        number: revision.number + 1,
        ..revision
    };
    for proof in [Proof::Root(log.root()), Proof::Event(event)] {
        let mut found = Found::default();
        let taken = found.feed("c", &feed, later, entries.clone(), &proof);
        assert!(taken.is_err(), "{proof:?}");
        assert_eq!(found.highest, Revision::ZERO);
        assert!(
            found
                .feed("c", &feed, revision, entries.clone(), &proof)
                .is_ok()
        );
    }
}

#[test]
fn who_lags_and_answers_last_takes_nothing_back() {
    let (mut log, feed) = a_in_eu();
    let before = log.clone();
    log.commit(&policy("a", &["eu"], "others"));
    log.commit(&policy("b", &["eu"], "devs"));
    let mut found = Found::default();
    log.held(&["policy.eu.all"], true, &mut found);
    before.held(&["policy.eu.all"], true, &mut found);
    assert_eq!(found.feed_revision(&feed), Some(log.copy().feeds[&feed].0));
    let plan = Plan::make(&before.copy(), &found);
    assert_eq!(verdict(&plan, "a"), (Verdict::Found, 2));
    assert_eq!(verdict(&plan, "b"), (Verdict::Found, 1));
}

#[test]
fn a_list_that_is_older_than_a_name_does_not_prove_that_it_left() {
    let (mut log, _) = a_in_eu();
    let mut found = Found::default();
    log.held(&["policy.eu.all"], true, &mut found);
    log.commit(&policy("b", &["eu"], "devs"));
    let plan = Plan::make(&log.copy(), &found);
    assert_eq!(verdict(&plan, "b"), (Verdict::Kept, 1));
}

#[test]
fn a_copy_is_the_same_in_whatever_order_the_log_is_read() {
    let (mut log, _) = a_in_eu();
    log.commit(&policy("a", &["eu"], "others"));
    let forth = log.copy();
    log.messages.reverse();
    let back = log.copy();
    assert_eq!(back.root, forth.root);
    assert_eq!(back.intents, forth.intents);
    assert_eq!((back.events, back.feeds), (forth.events, forth.feeds));
    assert!(back.damaged.is_empty());
}

#[test]
fn a_feed_that_is_not_as_its_root_states_it_is_damaged() {
    let (mut log, feed) = a_in_eu();
    for message in &mut log.messages {
        match message {
            Message::Base(base) if base.feed == feed => base.entries.clear(),
            Message::Index(index) if index.feed == feed => {
                index.tail.clear();
                index.base_digest = index::digest(&feed, &Entries::new());
            }
            _ => {}
        }
    }
    let copy = log.copy();
    assert_eq!(copy.damaged, std::slice::from_ref(&feed));
    assert!(!copy.feeds.contains_key(&feed));
}
