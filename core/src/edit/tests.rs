use super::*;

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
        assert_eq!(follow(&mut reader, &batch.messages), batch.revision);
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
    assert_eq!(us.previous, first.revision);
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
    assert_eq!(cut_off.revision(), first.revision);
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
    assert!(refused && without_index.revision() == first.revision);
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
    assert_eq!(state.revision(), second.revision);
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
    assert_eq!(state.revision(), first.revision);
    assert!(
        state
            .intent(Kind::Policy, &Name::parse("b").unwrap())
            .is_none()
    );
}
