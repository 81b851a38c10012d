//! What is told once: what an ack says for the first time, and the fleet in numbers.

use super::*;

#[test]
fn what_an_ack_tells_of_an_edit_is_news_once() {
    let mut tracker = Tracker::new(now(0), PERIOD_MS);
    tracker.edit(cluster("eu-prod-1", 1), now(0));
    tracker.edit(policy(2, &["eu-prod-1"]), now(0));

    let mut first = ack("eu-prod-1", 1, 1);
    first.edits = vec![acked_at(2, ack::State::Received, 12, 0)];
    let news = tracker.progress(&first);
    // The edit was committed at 5.
    assert_eq!(news.len(), 1);
    assert_eq!(news[0].received_after_ms, Some(7));
    assert_eq!(news[0].applied_after_ms, None);
    tracker.ack(first.clone(), Some(now(1))).unwrap();
    assert!(tracker.progress(&first).is_empty());

    let mut second = ack("eu-prod-1", 2, 2);
    second.edits = vec![acked_at(2, ack::State::Applied, 12, 25)];
    let news = tracker.progress(&second);
    assert_eq!(news[0].received_after_ms, None);
    assert_eq!(news[0].applied_after_ms, Some(20));
    tracker.ack(second, Some(now(2))).unwrap();

    // A clock that is behind makes no negative time, a repair is not the edit's, and a refusal says why.
    let mut third = ack("eu-prod-1", 3, 2);
    let mut drift = acked_at(2, ack::State::Applied, 99, 99);
    drift.drift = true;
    third.edits = vec![acked_at(2, ack::State::Applied, 12, 25), drift];
    assert!(tracker.progress(&third).is_empty());
    tracker.edit(policy(3, &["eu-prod-1"]), now(3));
    third.edits.push(acked_at(3, ack::State::Refused, 1, 0));
    third.exceptions = vec![Exception {
        kind: scope::Kind::Policy,
        name: Name::parse("p").unwrap(),
        generation: Generation(3),
        revision: at(3),
        state: ack::State::Refused,
        reason: "ForeignObject".into(),
        message: String::new(),
    }];
    let news = tracker.progress(&third);
    assert_eq!(news.len(), 1);
    assert_eq!(news[0].received_after_ms, Some(0));
    let (reason, _) = news[0].refused.as_ref().unwrap();
    assert_eq!(reason, "ForeignObject");
}

#[test]
fn what_is_told_of_an_edit_before_it_is_known_is_news_when_it_is() {
    let mut tracker = Tracker::new(now(0), PERIOD_MS);
    tracker.edit(cluster("eu-prod-1", 1), now(0));
    let mut early = ack("eu-prod-1", 1, 2);
    early.edits = vec![acked_at(2, ack::State::Applied, 12, 25)];
    assert!(tracker.progress(&early).is_empty());
    tracker.ack(early.clone(), Some(now(1))).unwrap();

    let name = PolicyName::parse("p").unwrap();
    assert!(tracker.overtaken(&name, at(2)).is_empty());
    tracker.edit(policy(2, &["eu-prod-1"]), now(2));
    let news = tracker.overtaken(&name, at(2));
    assert_eq!(news.len(), 1);
    assert_eq!(news[0].0, early.sender);
    assert_eq!(news[0].1.received_after_ms, Some(7));
    assert_eq!(news[0].1.applied_after_ms, Some(20));
    // The next edit is not told of.
    tracker.edit(policy(3, &["eu-prod-1"]), now(3));
    assert!(tracker.overtaken(&name, at(3)).is_empty());
}

#[test]
fn a_change_by_hand_is_news_when_it_is_seen_and_when_it_is_put_back() {
    let mut tracker = Tracker::new(now(0), PERIOD_MS);
    tracker.edit(cluster("eu-prod-1", 1), now(0));
    let drifted = |counter, applied_ms| {
        let mut told = ack("eu-prod-1", counter, 2);
        let mut drift = acked_at(2, ack::State::Received, 40, applied_ms);
        drift.drift = true;
        told.edits = vec![acked_at(2, ack::State::Applied, 12, 25), drift];
        told
    };
    let told = |tracker: &Tracker, ack: &Ack| -> Vec<bool> {
        let news = tracker.drift(ack);
        news.iter().map(|drift| drift.repaired).collect()
    };
    let seen = drifted(1, 0);
    assert_eq!(told(&tracker, &seen), [false]);
    tracker.ack(seen.clone(), Some(now(1))).unwrap();
    assert!(told(&tracker, &seen).is_empty());
    let repaired = drifted(2, 60);
    assert_eq!(told(&tracker, &repaired), [true]);
    tracker.ack(repaired.clone(), Some(now(2))).unwrap();
    assert!(told(&tracker, &repaired).is_empty());
}

#[test]
fn a_sign_of_life_is_told_for_those_that_are_waited_for() {
    let mut tracker = Tracker::new(now(0), PERIOD_MS);
    tracker.edit(cluster("eu-prod-1", 1), now(0));
    let told = |tracker: &Tracker, at| {
        let signs = tracker.signs(now(at)).collect::<Vec<_>>();
        assert_eq!(signs.len(), 1);
        (signs[0].liveness.is_silent(), signs[0].stale)
    };
    tracker.ack(ack("eu-prod-1", 1, 1), Some(now(1))).unwrap();
    assert_eq!(told(&tracker, 2), (false, false));
    assert_eq!(told(&tracker, 60_000), (true, false));
}

#[test]
fn the_overview_counts_what_is_silent_apart_and_missed_pulses_by_the_clusters_own_period() {
    let mut tracker = Tracker::new(now(0), PERIOD_MS);
    for name in ["eu-prod-1", "eu-prod-2"] {
        tracker.edit(cluster(name, 1), now(0));
        let mut said = ack(name, 1, 1);
        said.counts.applied = 3;
        tracker.ack(said, Some(now(1))).unwrap();
    }
    tracker.edit(policy(4, &["eu-prod-1"]), now(1));
    let overview = tracker.overview(now(2));
    assert_eq!(
        (overview.live, overview.applied, overview.revisions_behind),
        (2, 6, 3)
    );
    tracker
        .ack(ack("eu-prod-1", 2, 4), Some(now(5_000)))
        .unwrap();
    let overview = tracker.overview(now(5_000));
    assert_eq!(
        (overview.live, overview.silent, overview.applied),
        (1, 1, 0)
    );
    assert_eq!(overview.revisions_behind, 0);
    let name = ClusterName::parse("eu-prod-1").unwrap();
    assert_eq!(tracker.pulses_missed(&name, now(6_400)), 0);
    assert_eq!(tracker.pulses_missed(&name, now(8_100)), 2);
}
