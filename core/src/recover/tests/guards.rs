//! Guard by guard: what is refused of what is left and of what is offered.

use super::*;
use crate::edit::Intent;

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

#[test]
fn what_stands_before_the_same_root_again_is_in_no_later_batch() {
    let (log, _) = a_in_eu();
    let mut state = log.state.clone();
    let intent = state.intent(Kind::Policy, &key("a").1).unwrap().clone();
    let stray = Intent {
        manifest: None,
        ..intent.as_ref().clone()
    };
    state.follow(Message::Intent(stray)).unwrap();
    assert_eq!(state.follow(Message::Root(log.root())), Ok(None));
    let batch = log.state.build(&policy("b", &["eu"], "devs"));
    for message in batch.messages {
        state.follow(message).unwrap();
    }
    assert_eq!(state.intent(Kind::Policy, &key("a").1), Some(&intent));
}

#[test]
fn a_log_of_messages_without_a_root_is_torn_once_all_of_it_was_read() {
    let (log, _) = a_in_eu();
    let mut state = State::default();
    state.follow(log.messages[0].clone()).unwrap();
    assert!(state.is_torn(true) && !state.is_torn(false));
}

#[test]
fn a_recovery_that_was_interrupted_is_needed_although_nobody_holds_more() {
    let (mut log, _) = a_in_eu();
    let nothing = Found::default();
    let begun = Plan::make(&log.copy(), &nothing).build(2, 5);
    log.messages.push(begun.messages[0].clone());
    assert!(Plan::make(&log.copy(), &nothing).is_needed());
}

/// The events of the newest edit of a name: what puts it somewhere, and the tombstone where it left.
fn moved() -> (Log, Event, Event) {
    let (mut log, eu) = a_in_eu();
    log.commit(&policy("a", &["us"], "devs"));
    let events = log.copy().events[&key("a")].clone();
    let us: Feed = "policy.us.all".parse().unwrap();
    (log, events[&us].clone(), events[&eu].clone())
}

#[test]
fn of_one_edit_the_content_counts_before_the_tombstone_in_a_scope_that_was_left() {
    let (_, put, tombstone) = moved();
    for events in [[put.clone(), tombstone.clone()], [tombstone, put]] {
        let mut found = Found::default();
        events.into_iter().for_each(|event| found.event("c", event));
        let plan = Plan::make(&Copy::default(), &found);
        assert_eq!(verdict(&plan, "a"), (Verdict::Found, 2));
    }
}

#[test]
fn a_tombstone_in_one_scope_of_a_name_that_is_in_another_is_no_deletion() {
    let (_, _, tombstone) = moved();
    let mut found = Found::default();
    found.event("c", tombstone);
    let plan = Plan::make(&Copy::default(), &found);
    assert_eq!(verdict(&plan, "a").0, Verdict::Unknown);
}

#[test]
fn a_body_is_said_again_in_its_scopes_and_a_tombstone_where_it_left() {
    let (log, put, tombstone) = moved();
    let recovery = Plan::make(&log.copy(), &Found::default()).build(2, 5);
    let is_put = |feed: &Feed| {
        recovery.messages.iter().find_map(|message| match message {
            Message::Event(event) if event.name == key("a").1 && event.feed == *feed => {
                assert_eq!(event.previous, Revision::ZERO, "its feed is read");
                Some(event.body.is_some())
            }
            _ => None,
        })
    };
    assert_eq!(is_put(&put.feed), Some(true));
    assert_eq!(is_put(&tombstone.feed), Some(false));
}

#[test]
fn a_body_is_said_again_byte_by_byte_although_a_tombstone_of_the_edit_comes_first() {
    let (mut log, put, tombstone) = moved();
    assert!(tombstone.feed < put.feed);
    // As another build wrote it.
    let mut written = put.body.clone().unwrap();
    written.push(b'\n');
    for message in &mut log.messages {
        if let Message::Event(event) = message
            && *event == put
        {
            event.body = Some(written.clone());
        }
    }
    let recovery = Plan::make(&log.copy(), &Found::default()).build(2, 5);
    let is_said = |message: &Message| matches!(message, Message::Event(event) if event.body.as_ref() == Some(&written));
    assert!(recovery.messages.iter().any(is_said));
}

#[test]
fn a_name_that_only_a_list_tells_of_is_named() {
    let (log, feed) = a_in_eu();
    let mut found = Found::default();
    log.held(&["policy.eu.all"], false, &mut found);
    let plan = Plan::make(&Copy::default(), &found);
    assert_eq!(verdict(&plan, "a"), (Verdict::Unknown, 1));
    // It is asked for, unless the log has it.
    assert_eq!(found.missing(&feed, Revision::ZERO), [key("a")]);
    assert_eq!(found.missing(&feed, log.copy().revision()), []);
}

#[test]
fn an_older_event_than_the_list_tells_of_is_still_missing() {
    let (mut log, feed) = a_in_eu();
    let mut found = Found::default();
    log.held(&["policy.eu.all"], true, &mut found);
    assert_eq!(found.missing(&feed, Revision::ZERO), []);
    log.commit(&policy("a", &["eu"], "others"));
    log.held(&["policy.eu.all"], false, &mut found);
    assert_eq!(found.missing(&feed, Revision::ZERO), [key("a")]);
}

#[test]
fn of_several_lists_the_highest_generation_goes_on() {
    let mut log = Log::of(&[cluster(), policy("a", &["eu", "us"], "devs")]);
    let mut found = Found::default();
    log.held(&["policy.us.all"], false, &mut found);
    log.commit(&policy("a", &["eu", "us"], "others"));
    log.held(&["policy.eu.all"], false, &mut found);
    let plan = Plan::make(&Copy::default(), &found);
    assert_eq!(verdict(&plan, "a"), (Verdict::Unknown, 2));
}

#[test]
fn what_lists_prove_to_be_gone_has_a_tombstone_where_it_was() {
    let (mut log, feed) = a_in_eu();
    let mut found = Found::default();
    log.held(&["policy.eu.all"], true, &mut found);
    log.commit(&delete("a"));
    log.held(&["policy.eu.all"], false, &mut found);
    let plan = Plan::make(&Copy::default(), &found);
    assert_eq!(verdict(&plan, "a"), (Verdict::Gone, 2));
    let is_tombstone = |message: &Message| matches!(message, Message::Event(event) if event.feed == feed && event.body.is_none());
    assert!(plan.build(2, 5).messages.iter().any(is_tombstone));
}

#[test]
fn a_feed_of_the_log_goes_on_although_nobody_registered_listens_to_it() {
    let log = Log::of(&[cluster(), edit(Kind::Cluster, "eu-prod-1", Change::Delete)]);
    let recovery = Plan::make(&log.copy(), &Found::default()).build(2, 5);
    for feed in log.root().feeds.keys() {
        assert!(recovery.root.feeds.contains_key(feed), "{feed}");
    }
}

#[test]
fn an_edit_whose_event_is_lost_is_not_told_from_the_one_before_it() {
    let (mut log, _) = a_in_eu();
    let complete = log.messages.len();
    log.commit(&policy("a", &["eu"], "others"));
    let last = log.messages.split_off(complete);
    let is_event = |message: &Message| matches!(message, Message::Event(_));
    log.messages
        .extend(last.into_iter().filter(|message| !is_event(message)));
    let recovery = Plan::make(&log.copy(), &Found::default()).build(2, 5);
    let body = recovery.messages.iter().find_map(|message| match message {
        Message::Event(event) if event.name == key("a").1 => event.body.clone(),
        _ => None,
    });
    let body = String::from_utf8(body.unwrap()).unwrap();
    assert!(body.contains("others") && !body.contains("devs"), "{body}");
}
