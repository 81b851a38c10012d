use std::collections::BTreeSet;

use super::*;
use crate::revision::Generation;

fn put(kind: Kind, name: &str, scopes: &[&str], content: u64) -> Edit {
    let change = Change::Put {
        manifest: format!("{{\"n\":{content}}}"),
        object: serde_json::json!({ "n": content }),
        requires: vec![],
        scopes: scopes.iter().map(|scope| scope.parse().unwrap()).collect(),
        listens: (kind == Kind::Cluster)
            .then(|| (Region::parse("eu").unwrap(), Stage::parse("prod").unwrap())),
    };
    edit(kind, name, change)
}

fn edit(kind: Kind, name: &str, change: Change) -> Edit {
    Edit {
        kind,
        name: Name::parse(name).unwrap(),
        change,
        request_id: "r".into(),
        author: "a".into(),
        reason: String::new(),
        inlet: "grpc".into(),
        committed_ms: 1,
        targets: vec![],
        revoked: vec![],
    }
}

fn follow(state: &mut State, messages: &[Message]) -> Revision {
    let mut reached = None;
    for message in messages {
        reached = state.follow(message.clone()).unwrap().or(reached);
    }
    reached.unwrap()
}

#[test]
fn who_follows_the_log_holds_what_the_writer_holds() {
    let (mut writer, mut reader) = (State::default(), State::default());
    let edits = [
        put(Kind::Cluster, "eu-prod-1", &["all.all"], 1),
        put(Kind::Policy, "a", &["eu.prod", "us.prod"], 2),
        put(Kind::Policy, "a", &["us.prod", "all.stage"], 3),
        edit(Kind::Policy, "a", Change::Delete),
        put(Kind::Policy, "a", &["eu.all"], 4),
    ];
    for edit in &edits {
        let batch = writer.build(edit);
        assert!(matches!(batch.messages.last(), Some(Message::Root(_))));
        assert_eq!(follow(&mut reader, &batch.messages), batch.next.revision());
        writer = batch.next;
        assert_eq!(reader.feeds(), writer.feeds());
    }
    let name = Name::parse("a").unwrap();
    assert_eq!(
        reader.intent(Kind::Policy, &name).unwrap().generation,
        Generation(4)
    );
}

#[test]
fn leaving_a_scope_is_a_tombstone_there_and_the_events_of_a_feed_chain() {
    let first = State::default().build(&put(Kind::Policy, "a", &["eu.prod", "us.prod"], 1));
    let second = first.next.build(&put(Kind::Policy, "a", &["us.prod"], 2));
    let events = |batch: &Batch| -> Vec<Event> {
        let event = |message: &Message| match message {
            Message::Event(event) => Some(event.clone()),
            _ => None,
        };
        batch.messages.iter().filter_map(event).collect()
    };
    let (before, after) = (events(&first), events(&second));
    assert!(before.iter().all(|event| event.body.is_some()));
    let eu = after
        .iter()
        .find(|event| event.feed.to_string() == "policy.eu.prod")
        .unwrap();
    let us = after
        .iter()
        .find(|event| event.feed.to_string() == "policy.us.prod")
        .unwrap();
    assert!(eu.body.is_none() && us.body.is_some());
    assert_eq!(eu.scopes, us.scopes);
    assert_eq!(us.previous, first.next.revision());
}

#[test]
fn registering_a_cluster_writes_the_empty_indexes_of_its_feeds_once() {
    let first = State::default().build(&put(Kind::Cluster, "eu-prod-1", &["all.all"], 1));
    let indexes = |batch: &Batch| {
        batch
            .messages
            .iter()
            .filter(|message| matches!(message, Message::Index(_)))
            .count()
    };
    assert_eq!(indexes(&first), 8);
    let second = first
        .next
        .build(&put(Kind::Cluster, "eu-prod-2", &["all.all"], 2));
    assert_eq!(indexes(&second), 1);
}

#[test]
fn a_batch_counts_only_with_its_root_and_only_as_the_root_states_it() {
    let first = State::default().build(&put(Kind::Policy, "a", &["eu.prod"], 1));
    let second = first.next.build(&put(Kind::Policy, "b", &["eu.prod"], 2));

    let mut cut_off = first.next.clone();
    for message in &second.messages[..second.messages.len() - 1] {
        assert_eq!(cut_off.follow(message.clone()), Ok(None));
    }
    assert_eq!(cut_off.revision(), first.next.revision());
    assert!(
        cut_off
            .intent(Kind::Policy, &Name::parse("b").unwrap())
            .is_none()
    );

    let mut without_index = first.next.clone();
    let mut refused = false;
    for message in second
        .messages
        .iter()
        .filter(|m| !matches!(m, Message::Index(_)))
    {
        refused |= without_index.follow(message.clone()).is_err();
    }
    assert!(refused && without_index.revision() == first.next.revision());
}

#[test]
fn what_came_with_a_root_whose_index_was_replaced_counts_with_the_next_root() {
    let first = State::default().build(&put(Kind::Policy, "a", &["eu.prod"], 1));
    let second = first.next.build(&put(Kind::Policy, "b", &["eu.prod"], 2));
    let third = second.next.build(&put(Kind::Policy, "c", &["eu.prod"], 3));
    let mut state = first.next.clone();
    let is_index = |message: &&Message| matches!(message, Message::Index(_));
    let mut replaced = second.messages.iter().filter(|message| !is_index(message));
    assert!(replaced.any(|message| state.follow(message.clone()).is_err()));
    assert_eq!(follow(&mut state, &third.messages), third.next.revision());
    let intent = state.intent(Kind::Policy, &Name::parse("b").unwrap());
    assert!(intent.is_some(), "it would be edited as if it were new");
}

#[test]
fn a_root_that_goes_back_is_refused() {
    let first = State::default().build(&put(Kind::Policy, "a", &["eu.prod"], 1));
    let second = first.next.build(&put(Kind::Policy, "b", &["eu.prod"], 2));
    let mut state = second.next.clone();
    let root = first.messages.last().unwrap().clone();
    assert!(matches!(
        state.follow(root),
        Err(FollowError::WentBack { .. })
    ));
    assert_eq!(state.revision(), second.next.revision());
}

#[test]
fn the_same_root_again_changes_nothing_and_drops_what_stands_before_it() {
    let first = State::default().build(&put(Kind::Policy, "a", &["eu.prod"], 1));
    let second = first.next.build(&put(Kind::Policy, "b", &["eu.prod"], 2));
    let mut state = first.next.clone();
    assert_eq!(state.follow(second.messages[0].clone()), Ok(None));
    assert_eq!(
        state.follow(first.messages.last().unwrap().clone()),
        Ok(None)
    );
    assert_eq!(state.revision(), first.next.revision());
    assert!(
        state
            .intent(Kind::Policy, &Name::parse("b").unwrap())
            .is_none()
    );
}

#[test]
fn edits_of_a_group_are_as_if_one_were_made_after_the_other_under_one_root() {
    let first = State::default().build(&put(Kind::Cluster, "eu-prod-1", &["all.all"], 1));
    let edits = [
        put(Kind::Policy, "a", &["eu.prod", "us.prod"], 2),
        put(Kind::Policy, "b", &["eu.prod"], 3),
        put(Kind::Cluster, "eu-prod-2", &["all.all"], 4),
        edit(Kind::Cluster, "eu-prod-1", Change::Delete),
    ];
    let mut one_by_one = first.next.clone();
    let mut group = Group::new(&first.next);
    let mut events = Vec::new();
    for edit in &edits {
        let batch = one_by_one.build(edit);
        events.extend(batch.messages.into_iter().filter(is_for_readers));
        assert!(group.takes(edit));
        assert_eq!(
            group.add(edit),
            (batch.edits[0].revision, batch.edits[0].generation)
        );
        one_by_one = batch.next;
    }
    let batch = group.finish();
    assert_eq!(batch.next.feeds(), one_by_one.feeds());
    assert_eq!(batch.next.revision(), one_by_one.revision());
    let of_group: Vec<Message> = batch
        .messages
        .iter()
        .filter(|m| is_for_readers(m))
        .cloned()
        .collect();
    assert_eq!(
        of_group, events,
        "intents and events are the same, each continuing the one before"
    );

    let mut reader = first.next.clone();
    assert_eq!(follow(&mut reader, &batch.messages), one_by_one.revision());
    assert_eq!(reader.feeds(), one_by_one.feeds());
    let subjects: Vec<String> = batch
        .messages
        .iter()
        .map(|m| m.subject().to_string())
        .collect();
    let once: BTreeSet<&String> = subjects.iter().collect();
    assert_eq!(once.len(), subjects.len(), "each subject is written once");
}

fn is_for_readers(message: &Message) -> bool {
    matches!(message, Message::Intent(_) | Message::Event(_))
}

#[test]
fn a_base_that_is_rewritten_twice_by_a_group_is_written_once_and_fits_its_index() {
    let mut state = State::default();
    for number in 0..100 {
        state = state
            .build(&put(
                Kind::Policy,
                &format!("p{number}"),
                &["eu.prod"],
                number,
            ))
            .next;
    }
    let mut group = Group::new(&state);
    for number in 0..100 {
        let edit = put(Kind::Policy, &format!("q{number}"), &["eu.prod"], number);
        assert!(group.takes(&edit));
        group.add(&edit);
    }
    let batch = group.finish();
    let bases = batch
        .messages
        .iter()
        .filter(|m| matches!(m, Message::Base(_)));
    assert_eq!(bases.count(), 1);
    assert_eq!(follow(&mut state, &batch.messages), batch.next.revision());
}

#[test]
fn a_group_takes_a_name_once_and_no_more_than_its_root_and_its_batch_hold() {
    let state = State::default();
    let mut group = Group::new(&state);
    group.add(&put(Kind::Policy, "p0", &["eu.prod"], 0));
    assert!(!group.takes(&put(Kind::Policy, "p0", &["eu.prod"], 1)));
    assert!(group.takes(&put(Kind::Cluster, "p0", &["eu.prod"], 1)));
    for number in 1..crate::root::EDITS_MAX {
        let edit = put(Kind::Policy, &format!("p{number}"), &["eu.prod"], 0);
        assert!(group.takes(&edit));
        group.add(&edit);
    }
    assert!(!group.takes(&put(Kind::Policy, "one-more", &["eu.prod"], 0)));

    let scopes: Vec<String> = (0..120).map(|number| format!("r{number}.prod")).collect();
    let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
    let mut group = Group::new(&state);
    let mut taken = 0;
    while group.takes(&put(Kind::Policy, &format!("w{taken}"), &scopes, 0)) {
        group.add(&put(Kind::Policy, &format!("w{taken}"), &scopes, 0));
        taken += 1;
    }
    assert!(taken > 1 && group.finish().messages.len() <= BATCH_LENGTH_MAX);
}

fn record(kind: Kind, name: &str, content: u64) -> Edit {
    let manifest = format!("{{\"n\":{content}}}");
    edit(kind, name, Change::Record { manifest })
}

#[test]
fn a_record_is_an_intent_and_a_root_and_changes_no_feed() {
    let mut state = State::default()
        .build(&put(Kind::Policy, "a", &["eu.prod"], 1))
        .next;
    let feeds = state.feeds();
    let edits = [
        record(Kind::Access, "a", 1),
        record(Kind::Token, "a", 2),
        record(Kind::Proposal, "a", 3),
        record(Kind::Access, "a", 4),
        edit(Kind::Access, "a", Change::Delete),
        record(Kind::Access, "a", 5),
    ];
    for edit in &edits {
        let batch = state.build(edit);
        let subjects: Vec<String> = batch
            .messages
            .iter()
            .map(|m| m.subject().to_string())
            .collect();
        assert_eq!(
            subjects,
            [format!("writ.intent.{}.a", edit.kind).as_str(), "writ.root"]
        );
        assert_eq!(follow(&mut state, &batch.messages), batch.next.revision());
        assert_eq!(state.feeds(), feeds);
    }
    let name = Name::parse("a").unwrap();
    let generation = |kind| state.intent(kind, &name).unwrap().generation.0;
    assert_eq!(
        Kind::ALL.map(|kind| match kind {
            Kind::Cluster => 0,
            kind => generation(kind),
        }),
        [0, 1, 4, 1, 1]
    );
    assert_eq!(state.revision().number, 7);
}

#[test]
fn records_and_policies_share_a_group() {
    let state = State::default();
    let mut group = Group::new(&state);
    for edit in [
        put(Kind::Policy, "a", &["eu.prod"], 1),
        record(Kind::Access, "a", 1),
        record(Kind::Proposal, "a", 1),
    ] {
        assert!(group.takes(&edit));
        group.add(&edit);
    }
    assert!(!group.takes(&record(Kind::Access, "a", 2)));
    let batch = group.finish();
    let mut reader = State::default();
    assert_eq!(follow(&mut reader, &batch.messages), batch.next.revision());
    assert_eq!(reader.intents(Kind::Access).count(), 1);
}
