//! Reads of single subjects.

use writ_bus::{
    read::{self, Via},
    streams::Stream,
};

use crate::harness::{Bus, batch_of, commit, subject};

#[tokio::test]
async fn many_subjects_are_read_side_by_side_and_answered_in_their_order() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let names: Vec<_> = (0..500)
        .map(|number| format!("writ.event.policy.eu.prod.p{number}"))
        .collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    commit(&publisher, &batch_of(&names, "1", 0)).await;
    let cluster = bus.cluster(&bus.eu).await;
    let mut wanted: Vec<_> = names.iter().map(|name| subject(name)).collect();
    wanted.push(subject("writ.event.policy.eu.prod.missing"));
    let read = read::get_all(&cluster, wanted.clone(), Via::Near).await;
    assert_eq!(read.len(), 501);
    for (position, (asked, result)) in read.into_iter().enumerate() {
        assert_eq!(asked, wanted[position]);
        match result.unwrap() {
            Some(stored) => {
                assert_eq!(stored.subject, asked);
                assert_eq!(stored.sequence, position as u64 + 1);
                assert_eq!(stored.bytes, format!("{asked} 1"));
            }
            None => assert_eq!(position, 500),
        }
    }
}

#[tokio::test]
async fn the_leader_tells_which_message_of_a_subject_came_next() {
    let bus = Bus::start().await;
    let publisher = bus.publisher().await;
    let intent = "writ.intent.policy.a";
    let first = commit(&publisher, &batch_of(&[intent], "1", 0)).await;
    let second = commit(&publisher, &batch_of(&["writ.intent.policy.b"], "2", first)).await;
    let third = commit(&publisher, &batch_of(&[intent], "3", second)).await;
    let next = |after| {
        let publisher = publisher.clone();
        async move {
            read::next_by_subject(&publisher, Stream::Log, &subject(intent), after)
                .await
                .unwrap()
        }
    };
    assert_eq!(next(0).await.unwrap().sequence, 1);
    let found = next(first).await.unwrap();
    assert_eq!(
        (found.sequence, &found.bytes[..]),
        (5, b"writ.intent.policy.a 3".as_slice())
    );
    assert_eq!(next(third).await, None);
    let last = read::last_by_subject(&publisher, Stream::Log, &subject(intent))
        .await
        .unwrap();
    assert_eq!(last, Some(found));
    let missing = subject("writ.intent.policy.missing");
    assert_eq!(
        read::last_by_subject(&publisher, Stream::Log, &missing)
            .await
            .unwrap(),
        None
    );
}
