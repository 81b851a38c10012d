//! What is believed: order, scopes, alarms, beats, refusals, and what a policy waits for.

use serde_json::json;

use super::{
    super::{Ignored, Past, Read},
    documents,
    scene::{BEAT_EXPIRES_AFTER_MS, Scene, beat, feed, local, own_entry, policy},
};
use crate::{
    beat::Beat,
    hash::Hash,
    model::Mode,
    revision::{Generation, Revision},
    scope::Kind,
};

#[test]
fn an_event_of_a_foreign_scope_is_ignored_and_one_of_an_own_scope_is_applied() {
    let mut scene = Scene::holding(&[]);
    let foreign = scene.commit(&documents::policy("a", &json!({"regions": ["us"]})));
    assert_eq!(scene.hear(foreign[0]), Err(Ignored::ForeignScope));
    assert!(scene.follower.word(&policy("a")).is_none());
    let own = scene.commit(&documents::policy("b", &json!({"regions": ["eu"]})));
    assert_eq!(scene.hear(own[0]), Ok(()));
    assert_eq!(scene.act(), ["apply b@1"]);
}

#[test]
fn an_older_generation_is_ignored_after_a_restart_and_a_newer_one_is_not() {
    let mut scene = Scene::holding(&[]);
    let (first, second) = (scene.commit(&local("a"))[0], scene.commit(&local("a"))[0]);
    assert_eq!(scene.hear(first), Ok(()));
    assert_eq!(scene.hear(second), Ok(()));
    assert_eq!(scene.act(), ["apply a@2"]);
    for _ in 0..2 {
        assert_eq!(scene.hear(first), Err(Ignored::Older));
        assert_eq!(scene.hear(second), Err(Ignored::Older));
        assert!(scene.act().is_empty());
        scene.restart();
    }
    let third = scene.commit(&local("a"))[0];
    assert_eq!(scene.hear(third), Ok(()));
    assert_eq!(scene.act(), ["apply a@3"]);
}

#[test]
fn an_event_that_comes_late_fills_the_index_and_takes_nothing_back() {
    let mut scene = Scene::holding(&[]);
    let positions: Vec<usize> = (0..3).map(|_| scene.commit(&local("a"))[0]).collect();
    assert_eq!(scene.hear(positions[2]), Ok(()));
    assert_eq!(scene.act(), ["apply a@3"]);
    // It continues no index that is held.
    assert_eq!(scene.hear(positions[1]), Err(Ignored::Older));
    assert_eq!(scene.hear(positions[0]), Ok(()));
    assert_eq!(scene.hear(positions[1]), Ok(()));
    assert!(scene.act().is_empty());
    assert_eq!(scene.read_all(), ["index policy.eu.prod"]);
}

#[test]
fn what_was_seen_keeps_out_a_policy_that_is_gone_and_forgotten() {
    let mut scene = Scene::holding(&[]);
    let first = scene.commit(&local("a"))[0];
    assert_eq!(scene.hear(first), Ok(()));
    assert_eq!(scene.act(), ["apply a@1"]);
    scene.edit_live(&documents::delete(Kind::Policy, "a"));
    assert_eq!(scene.act(), ["remove a"]);
    assert_eq!(scene.catch_up(), ["forget a"]);
    assert!(scene.follower.word(&policy("a")).is_none());
    for _ in 0..2 {
        assert_eq!(scene.hear(first), Err(Ignored::Older));
        assert!(scene.act().is_empty());
        scene.restart();
    }
}

#[test]
fn the_mode_is_unknown_before_the_own_entry_and_outlasts_a_restart_without_a_mirror_of_it() {
    let mut scene = Scene::registered();
    assert_eq!(scene.follower.mode(), None);
    scene.catch_up();
    assert_eq!(scene.follower.mode(), Some(Mode::Enforce));
    let observer = documents::observer("eu-prod-1", ("eu", "prod"));
    let position = scene.commit(&observer)[0];
    assert_eq!(scene.hear(position), Ok(()));
    assert_eq!(scene.follower.mode(), Some(Mode::Observe));

    // An observer writes no mirror: the one that is there says what was before.
    let kept = scene.follower.own_signed().unwrap().clone();
    scene.restart();
    assert_eq!(scene.follower.mode(), Some(Mode::Enforce));
    let (event, signed) = scene.log.event(position);
    assert_eq!(*signed, kept);
    scene.follower.restore_own(event, signed);
    assert_eq!(scene.follower.mode(), Some(Mode::Observe));
}

#[test]
fn an_observer_whose_entry_moves_observes_until_the_other_event_comes_or_a_cut_is_without_it() {
    let own = ("eu-prod-1", ("eu", "prod"));
    let begun = || {
        let mut scene = Scene::registered();
        scene.catch_up();
        scene.edit_live(&documents::observer(own.0, own.1));
        assert_eq!(scene.follower.mode(), Some(Mode::Observe));
        scene
    };
    let mut scene = begun();
    let moved = scene.commit(&documents::cluster(own.0, own.1, "gold", "stage"));
    let is_left = |at: &usize| scene.log.event(*at).0.body.is_none();
    let (left, entered): (Vec<usize>, Vec<usize>) = moved.into_iter().partition(is_left);
    assert_eq!(scene.hear(left[0]), Ok(()));
    assert_eq!(scene.follower.mode(), Some(Mode::Observe));
    assert!(scene.follower.own_signed().is_some());
    assert_eq!(scene.hear(entered[0]), Ok(()));
    assert_eq!(scene.follower.mode(), Some(Mode::Enforce));

    // It has left the registry since: what it said is over.
    let mut scene = begun();
    let moved = scene.commit(&documents::cluster(own.0, own.1, "gold", "stage"));
    let is_left = |at: &&usize| scene.log.event(**at).0.body.is_none();
    let left = *moved.iter().find(is_left).unwrap();
    assert_eq!(scene.hear(left), Ok(()));
    scene.commit(&documents::delete(Kind::Cluster, own.0));
    scene.beat().unwrap();
    scene.read_all();
    assert_eq!(scene.follower.mode(), None);
}

#[test]
fn nothing_goes_back_behind_the_record_of_what_was_begun() {
    let mut scene = Scene::holding(&[]);
    let positions: Vec<usize> = (0..3).map(|_| scene.commit(&local("a"))[0]).collect();
    let event = scene.log.event(positions[1]).0.clone();
    let past = Past {
        as_of: event.revision,
        word: event.revision,
        generation: event.generation,
        feed: feed("policy.all.all"),
        hash: event.hash(),
        removed: false,
        done: false,
    };
    // The record names another feed, so what was seen of this one does not help.
    scene.follower.restore(policy("a"), past, None);
    assert_eq!(scene.hear(positions[0]), Ok(()));
    assert!(scene.act().is_empty());
    assert_eq!(scene.hear(positions[2]), Ok(()));
    assert_eq!(scene.act(), ["apply a@3"]);
}

#[test]
fn a_record_alone_removes_nothing_until_a_cut_says_the_same() {
    for (is_proven, acts) in [(true, &["remove a"][..]), (false, &[])] {
        let mut scene = Scene::holding(&[local("a")]);
        let (past, _) = scene.records.remove(&policy("a")).unwrap();
        scene.restart();
        let forged = Past {
            removed: true,
            done: false,
            ..past
        };
        match is_proven {
            true => scene.follower.restore(policy("a"), forged, None),
            false => scene.follower.restore_unproven(policy("a"), forged),
        }
        assert_eq!(scene.act(), acts);
        if !is_proven {
            assert_eq!(scene.catch_up(), ["apply a@1"]);
        }
    }
}

#[test]
fn other_bytes_under_one_revision_are_an_alarm_and_the_same_bytes_are_a_replay() {
    let mut scene = Scene::holding(&[]);
    let position = scene.commit(&local("a"))[0];
    let mut other = scene.log.event(position).0.clone();
    assert_eq!(scene.hear(position), Ok(()));
    assert_eq!(scene.hear(position), Err(Ignored::Older));
    other.body = Some(b"{}".to_vec());
    assert_eq!(scene.hear_event(&other), Err(Ignored::Conflicting));
    other.body = None;
    assert_eq!(scene.hear_event(&other), Err(Ignored::Conflicting));
    assert_eq!(scene.act(), ["apply a@1"]);
}

#[test]
fn other_bytes_are_an_alarm_even_where_they_continue_the_index() {
    let mut scene = Scene::holding(&[local("a")]);
    let held = scene.log.state.revision();
    scene.commit(&local("b"));
    let position = scene.commit(&local("a"))[0];
    assert_eq!(scene.hear(position), Ok(()));
    let mut other = scene.log.event(position).0.clone();
    (other.previous, other.body) = (held, Some(b"{}".to_vec()));
    assert_eq!(scene.hear_event(&other), Err(Ignored::Conflicting));
}

#[test]
fn the_record_of_a_removal_is_no_second_truth_about_the_event_that_it_rests_on() {
    let mut scene = Scene::holding(&[own_entry("silver")]);
    let gold = json!({"regions": ["eu"], "stages": ["prod"], "matchLabels": {"tier": "silver"}});
    let position = scene.commit(&documents::policy("a", &gold))[0];
    assert_eq!(scene.catch_up(), ["apply a@1"]);
    scene.commit(&own_entry("gold"));
    assert_eq!(scene.catch_up()[0], "remove a");
    let (past, _) = scene.records.remove(&policy("a")).unwrap_or_else(|| {
        let event = scene.log.event(position).0;
        let (as_of, word) = (scene.log.state.revision(), event.revision);
        let (generation, feed) = (event.generation, event.feed.clone());
        (
            Past {
                as_of,
                word,
                generation,
                feed,
                hash: None,
                removed: true,
                done: true,
            },
            None,
        )
    });
    scene.records.insert(policy("a"), (past, None));
    scene.restart();
    assert_eq!(scene.hear(position), Err(Ignored::Older));
    assert_eq!(scene.catch_up(), ["forget a"]);
}

#[test]
fn a_beat_below_the_one_held_is_ignored_and_an_equal_one_with_another_root_is_an_alarm() {
    let mut scene = Scene::registered();
    let first = beat(scene.log.state.revision());
    scene.commit(&local("a"));
    let second = beat(scene.log.state.revision());
    assert_eq!(scene.follower.on_beat(&second, 1), Ok(()));
    assert_eq!(scene.follower.on_beat(&first, 2), Err(Ignored::Older));
    let mut next = second.clone();
    next.issued_ms += 1;
    assert_eq!(scene.follower.on_beat(&next, 2), Ok(()));
    let mut other = second.clone();
    other.root = Hash::of(b"another");
    assert_eq!(scene.follower.on_beat(&other, 2), Err(Ignored::Conflicting));
}

#[test]
fn a_beat_that_is_repeated_does_not_keep_a_cluster_from_being_stale() {
    let mut scene = Scene::registered();
    let of = |issued_ms, publisher: &str| Beat {
        issued_ms,
        publisher: publisher.to_owned(),
        ..beat(Revision::START)
    };
    let start_ms = 1_000_000_000;
    let mut hear = |beat: &Beat, at_ms| {
        (
            scene.follower.on_beat(beat, at_ms),
            scene.follower.is_stale(at_ms),
        )
    };
    let (first, second) = (of(start_ms, "publisher-1"), of(start_ms + 1, "publisher-1"));
    assert_eq!(hear(&first, start_ms), (Ok(()), false));
    assert_eq!(hear(&second, start_ms + 1), (Ok(()), false));
    let over_ms = start_ms + 2 + BEAT_EXPIRES_AFTER_MS;
    for repeated in [&first, &second] {
        assert_eq!(hear(repeated, over_ms), (Err(Ignored::Older), true));
    }
    // Another publisher's clock is behind, and is heard all the same.
    let other = of(start_ms - 5_000, "publisher-2");
    assert_eq!(hear(&other, over_ms), (Ok(()), false));
    // One that somebody kept for a day is no sign of life, also for who never heard it.
    let mut started = Scene::registered();
    let day_ms = 24 * 60 * 60 * 1000;
    assert_eq!(started.follower.on_beat(&first, start_ms + day_ms), Ok(()));
    assert!(started.follower.is_stale(start_ms + day_ms));
}

#[test]
fn a_beat_that_differs_from_the_root_that_was_read_is_an_alarm() {
    let mut scene = Scene::registered();
    scene.answer(&Read::Root);
    let mut other = beat(scene.log.state.revision());
    assert_eq!(scene.follower.on_beat(&other, 1), Ok(()));
    let mut scene = Scene::registered();
    scene.answer(&Read::Root);
    other.root = Hash::of(b"another");
    assert_eq!(scene.follower.on_beat(&other, 1), Err(Ignored::Conflicting));
}

#[test]
fn without_a_beat_in_force_the_cluster_is_stale_and_goes_on() {
    let mut scene = Scene::holding(&[]);
    assert!(
        !scene
            .follower
            .is_stale(scene.now_ms + BEAT_EXPIRES_AFTER_MS)
    );
    assert!(
        scene
            .follower
            .is_stale(scene.now_ms + BEAT_EXPIRES_AFTER_MS + 1)
    );
    assert!(
        Scene::registered().follower.is_stale(0),
        "before the first beat"
    );
    scene.now_ms += 2 * BEAT_EXPIRES_AFTER_MS;
    scene.edit_live(&local("a"));
    assert_eq!(scene.act(), ["apply a@1"]);
    assert_eq!(scene.beat(), Ok(()));
    assert!(!scene.follower.is_stale(scene.now_ms));
}

#[test]
fn a_body_that_does_not_say_what_its_event_says_is_refused() {
    let mut scene = Scene::holding(&[]);
    let position = scene.commit(&local("a"))[0];
    let mut event = scene.log.event(position).0.clone();
    event.generation = Generation(7);
    assert_eq!(scene.hear_event(&event), Ok(()));
    assert!(scene.act().is_empty());
    assert_eq!(scene.exceptions(), ["a@7 Refused InvalidEvent"]);
}

#[test]
fn no_policy_is_applied_before_the_clusters_own_entry_is_held() {
    let mut scene = Scene::empty();
    let own = scene.commit(&own_entry("gold"))[0];
    scene.edit_live(&local("a"));
    assert!(scene.act().is_empty());
    assert_eq!(scene.exceptions(), ["a@1 Received Waiting"]);
    assert_eq!(scene.hear(own), Ok(()));
    assert_eq!(scene.act(), ["apply a@1"]);
}

#[test]
fn a_cluster_that_is_taken_from_the_registry_keeps_its_policies() {
    let mut scene = Scene::holding(&[local("a")]);
    scene.edit_live(&documents::delete(Kind::Cluster, "eu-prod-1"));
    assert!(scene.act().is_empty());
    scene.edit_live(&local("a"));
    scene.edit_live(&local("b"));
    assert!(scene.catch_up().is_empty());
    assert_eq!(scene.records[&policy("a")].0.generation, Generation(1));
    scene.edit_live(&own_entry("gold"));
    assert_eq!(scene.act(), ["apply a@2", "apply b@1"]);
}

#[test]
fn a_label_selector_waits_for_the_cut_and_the_root_is_wanted_at_once() {
    let mut scene = Scene::holding(&[]);
    scene.edit_live(&documents::policy(
        "a",
        &json!({"matchLabels": {"tier": "gold"}}),
    ));
    assert!(scene.act().is_empty());
    assert_eq!(scene.follower.wanted(), [Read::Root]);
    scene.answer(&Read::Root);
    assert_eq!(scene.act(), ["apply a@1"]);
    assert_eq!(scene.follower.wanted(), []);
    // A selector of names needs no cut.
    scene.edit_live(&documents::policy("b", &json!({"names": ["eu-prod-1"]})));
    assert_eq!(scene.act(), ["apply b@1"]);
    assert_eq!(scene.follower.wanted(), []);
}

#[test]
fn labels_that_change_take_a_policy_away_at_a_cut_and_bring_it_back() {
    let gold = documents::policy("a", &json!({"matchLabels": {"tier": "gold"}}));
    let mut scene = Scene::holding(&[gold]);
    for (tier, expected) in [
        ("silver", &["remove a", "forget a"][..]),
        ("gold", &["apply a@1"]),
    ] {
        scene.edit_live(&own_entry(tier));
        assert!(scene.act().is_empty());
        assert_eq!(scene.read_all(), ["root"]);
        assert_eq!(scene.act(), expected);
    }
}

#[test]
fn the_summary_tells_the_cut_and_what_is_held_of_each_feed() {
    let mut scene = Scene::holding(&[local("a")]);
    let cut = scene.log.state.revision();
    scene.edit_live(&local("b"));
    let summary = scene.follower.summary();
    assert_eq!(summary.revision, cut);
    assert_eq!(
        summary.feeds[&feed("policy.eu.prod")].revision,
        scene.log.state.revision()
    );
    assert_eq!((summary.counts.applied, summary.counts.pending), (1, 1));
    scene.act();
    scene.catch_up();
    let summary = scene.follower.summary();
    let stated = scene.log.state.feeds();
    assert_eq!(summary.revision, scene.log.state.revision());
    assert_eq!((summary.counts.applied, summary.counts.pending), (2, 0));
    assert!(
        summary
            .feeds
            .iter()
            .all(|(feed, held)| stated.get(feed) == Some(held))
    );
    assert_eq!(
        Scene::registered().follower.summary().revision,
        Revision::ZERO
    );
}
