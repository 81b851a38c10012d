//! Rule 9 in a cluster, guard by guard: what raises the epoch that is believed, and what counts in it.

use super::{
    super::{Ignored, Read},
    documents::{self, delete},
    scene::{Scene, beat, feed, local, own_entry, policy},
};
use crate::{
    epoch::Opening, event::Event, hash::Hash, index::Index, model::Mode, revision::Revision,
    root::Root, scope::Kind,
};

fn at(epoch: u64, number: u64) -> Revision {
    Revision { epoch, number }
}

/// A root of no feeds, which differs from every other one by its revision alone.
fn root(epoch: u64, number: u64) -> (Root, Hash) {
    let revision = at(epoch, number);
    let root = Root {
        revision,
        ..Root::default()
    };
    (root, Hash::of(revision.to_string().as_bytes()))
}

/// The revision of the root last taken.
fn taken(scene: &Scene) -> Revision {
    scene.follower.held_at_root().unwrap().0.revision
}

#[test]
fn an_index_of_an_unopened_epoch_is_no_answer_and_opens_none() {
    let mut scene = Scene::holding(&[local("a")]);
    let (forged, _) = Index::empty(&feed("policy.eu.prod"), at(2, 90));
    scene.follower.on_index(Some(forged));
    assert_eq!(scene.follower.epoch(), 1);
    assert_eq!(
        scene.follower.wanted(),
        [Read::Root],
        "the root tells whether it is true"
    );
    scene.follower.on_root(Some(root(2, 90)));
    assert_eq!(taken(&scene).epoch, 1);
}

#[test]
fn a_body_of_an_unopened_epoch_is_no_answer_and_opens_none() {
    let mut scene = Scene::holding(&[local("a")]);
    let position = scene.commit(&local("b"))[0];
    let forged = Event {
        revision: at(2, 90),
        ..scene.log.event(position).0.clone()
    };
    let signed = std::sync::Arc::from([]);
    scene.follower.on_body(Some(&forged), &signed, scene.now_ms);
    assert_eq!(scene.follower.epoch(), 1);
    assert_eq!(scene.act(), [""; 0]);
    assert_eq!(
        scene.follower.wanted(),
        [Read::Root],
        "the root tells whether it is true"
    );
}

#[test]
fn a_kept_root_of_an_unopened_epoch_is_not_taken_back() {
    let mut scene = Scene::empty();
    let (forged, hash) = root(2, 90);
    scene
        .follower
        .restore_root(forged, hash, Default::default());
    assert!(scene.follower.held_at_root().is_none());
}

#[test]
fn a_kept_root_does_not_replace_one_that_was_read() {
    let mut scene = Scene::holding(&[local("a")]);
    let read = taken(&scene);
    let (old, hash) = root(1, 1);
    scene.follower.restore_root(old, hash, Default::default());
    assert_eq!(taken(&scene), read);
}

#[test]
fn after_a_restart_the_root_is_read_although_the_kept_one_is_a_cut() {
    let mut scene = Scene::holding(&[local("a")]);
    scene.restart_with_root();
    scene.act();
    assert_eq!(scene.follower.wanted(), [Read::Root]);
}

#[test]
fn of_one_epoch_the_first_opening_counts() {
    let mut scene = Scene::holding(&[local("a")]);
    let (first, hash) = root(2, 9);
    scene.follower.on_opening(&Opening::of(&first, 0));
    scene.follower.on_opening(&Opening::of(&root(2, 90).0, 1));
    scene.follower.on_root(Some((first.clone(), hash)));
    assert_eq!(taken(&scene), first.revision);
}

#[test]
fn an_opening_of_an_older_epoch_takes_nothing_from_the_one_believed() {
    let mut scene = Scene::holding(&[local("a")]);
    let newest = root(3, 9);
    scene.follower.on_opening(&Opening::of(&newest.0, 0));
    scene.follower.on_opening(&Opening::of(&root(2, 5).0, 0));
    assert_eq!(scene.follower.epoch(), 3);
    scene.follower.on_root(Some(newest));
    assert_eq!(taken(&scene), at(3, 9));
}

#[test]
fn memory_of_a_later_epoch_is_not_held_to_the_opening_of_an_earlier_one() {
    let mut scene = Scene::holding(&[local("a")]);
    scene.follower.on_opening(&Opening::of(&root(2, 5).0, 0));
    scene
        .follower
        .restore_seen(&feed("policy.eu.prod"), at(3, 8));
    scene.follower.on_root(Some(root(3, 9)));
    assert_eq!(taken(&scene), at(3, 9));
}

#[test]
fn what_was_being_read_of_the_old_epoch_is_asked_for_no_more() {
    let mut scene = Scene::holding(&[local("a")]);
    scene.commit(&local("b"));
    scene.beat().unwrap();
    let body = Read::Body(feed("policy.eu.prod"), policy("b").1);
    for _ in 0..2 {
        for read in scene.follower.wanted() {
            if read != body {
                scene.answer(&read);
            }
        }
    }
    assert!(scene.follower.wanted().contains(&body));
    scene.follower.on_opening(&Opening::of(&root(2, 9).0, 0));
    assert!(!scene.follower.wanted().contains(&body));
}

#[test]
fn an_edit_after_the_opening_counts_although_its_generation_is_lower() {
    let changed = documents::policy("a", &serde_json::json!({"regions": ["eu"]}));
    let mut scene = Scene::holding(&[local("a"), changed.clone(), local("a")]);
    scene.log.restore(2);
    scene.recover(2, false);
    let _ = scene.beat();
    scene.read_all();
    assert_eq!(scene.exceptions(), ["a@1 Received NotRecovered"]);
    scene.commit(&changed);
    assert_eq!(scene.catch_up(), ["apply a@2"], "3 was here");
    assert_eq!(scene.exceptions(), [""; 0]);
}

#[test]
fn what_was_recovered_in_a_lower_generation_and_is_listed_no_more_is_removed() {
    let changed = documents::policy("a", &serde_json::json!({"regions": ["eu"]}));
    let mut scene = Scene::holding(&[local("a"), changed]);
    scene.log.restore(1);
    scene.recover(2, false);
    let _ = scene.beat();
    scene.read_all();
    assert_eq!(scene.exceptions(), ["a@1 Received NotRecovered"]);
    scene.commit(&delete(Kind::Policy, "a"));
    scene.beat().unwrap();
    let reads = scene.read_all();
    assert!(
        !reads.iter().any(|read| read.starts_with("body")),
        "{reads:?}"
    );
    assert_eq!(scene.act(), ["remove a", "forget a"]);
}

#[test]
fn a_removal_that_was_heard_is_carried_out_although_the_new_epoch_knows_nothing_of_the_name() {
    let mut scene = Scene::holding(&[local("a"), local("b")]);
    scene.edit_live(&delete(Kind::Policy, "b"));
    scene.log.restore(2);
    scene.recover(2, false);
    let _ = scene.beat();
    scene.read_all();
    assert_eq!(scene.act(), ["apply a@1", "remove b", "forget b"]);
}

#[test]
fn what_is_not_listed_is_asked_about_again_at_a_beat_a_gap_or_a_further_epoch() {
    let ways: [fn(&mut Scene); 3] = [
        |scene| scene.beat().unwrap(),
        |scene| scene.follower.on_gap(),
        |scene| scene.follower.on_opening(&Opening::of(&root(3, 90).0, 0)),
    ];
    for again in ways {
        let mut scene = Scene::holding(&[local("a"), local("b")]);
        scene.log.restore(1);
        scene.recover(2, false);
        let _ = scene.beat();
        scene.read_all();
        scene.act();
        assert_eq!(scene.follower.wanted(), [], "not before that");
        again(&mut scene);
        let body = Read::Body(feed("policy.eu.prod"), policy("b").1);
        assert!(scene.follower.wanted().contains(&body));
    }
}

#[test]
fn an_observer_keeps_its_own_entry_where_a_recovered_log_does_not_list_it() {
    let mut scene = Scene::empty();
    scene.commit(&local("a"));
    scene.commit(&documents::observer("eu-prod-1", ("eu", "prod")));
    scene.beat().unwrap();
    scene.read_all();
    assert_eq!(scene.follower.mode(), Some(Mode::Observe));
    scene.log.restore(1);
    scene.recover(2, false);
    let _ = scene.beat();
    scene.read_all();
    assert_eq!(scene.follower.cut().unwrap().revision.epoch, 2);
    assert_eq!(scene.follower.mode(), Some(Mode::Observe));
}

#[test]
fn entries_that_nobody_signed_are_not_offered_either() {
    let mut scene = Scene::holding(&[own_entry("silver"), local("a")]);
    let (root, feeds) = scene.follower.held_at_root().unwrap();
    let root = root.clone();
    let shortened = feeds
        .into_iter()
        .map(|held| (held.feed, Default::default()))
        .collect();
    scene.restart();
    scene.restore_root(root, shortened);
    let offered = scene.follower.held_feeds();
    assert!(
        !offered
            .iter()
            .any(|held| held.feed == feed("policy.eu.prod"))
    );
}

#[test]
fn a_kept_feed_that_is_behind_what_was_seen_lets_no_replay_continue_it() {
    let mut scene = Scene::holding(&[local("a")]);
    let (root, feeds) = scene.follower.held_at_root().unwrap();
    let (root, kept) = (
        root.clone(),
        feeds
            .into_iter()
            .map(|held| (held.feed, held.entries.as_ref().clone()))
            .collect(),
    );
    let replayed = scene.commit(&local("b"))[0];
    assert_eq!(scene.hear(replayed), Ok(()));
    scene.act();
    scene.edit_live(&delete(Kind::Policy, "b"));
    scene.act();
    assert_eq!(scene.catch_up(), ["forget b"]);
    scene.restart();
    scene.restore_root(root, kept);
    assert_eq!(scene.hear(replayed), Err(Ignored::Older));
}

#[test]
fn an_event_of_an_epoch_that_is_over_is_old_before_anything_of_the_new_one_was_read() {
    let mut scene = Scene::holding(&[local("a")]);
    let late = scene.commit(&local("b"))[0];
    scene.follower.on_opening(&Opening::of(&root(2, 9).0, 0));
    assert_eq!(scene.hear(late), Err(Ignored::Older));
}

#[test]
fn a_deletion_of_a_lower_generation_takes_nothing_back_and_is_not_asked_for_again() {
    let mut scene = Scene::holding(&[local("a")]);
    scene.commit(&delete(Kind::Policy, "a"));
    scene.catch_up();
    scene.commit(&local("a"));
    assert_eq!(scene.catch_up(), ["apply a@3"]);
    scene.log.restore(1);
    scene.recover(2, false);
    let _ = scene.beat();
    let reads = scene.read_all();
    let asked = "body policy.eu.prod a".to_owned();
    assert_eq!(reads.iter().filter(|read| **read == asked).count(), 1);
    assert_eq!(scene.act(), [""; 0]);
    assert_eq!(scene.exceptions().len(), 1, "it is named");
}

#[test]
fn what_a_lagging_replica_still_has_of_the_lost_log_is_not_asked_for_again() {
    let mut scene = Scene::holding(&[local("a"), local("b")]);
    scene.log.restore(1);
    scene.recover(2, false);
    let _ = scene.beat();
    let body = Read::Body(feed("policy.eu.prod"), policy("b").1);
    for _ in 0..10 {
        for read in scene.follower.wanted() {
            let found = match read == body {
                true => scene.log.find_lost(&read),
                false => scene.log.find(&read, scene.log.len()),
            };
            assert!(read != body || found.is_some());
            scene
                .log
                .answer(&mut scene.follower, &read, found, scene.now_ms);
        }
        scene.follower.decide();
    }
    assert_eq!(scene.follower.wanted(), []);
    scene.act();
    assert_eq!(scene.exceptions(), ["b@1 Received NotRecovered"]);
}

#[test]
fn a_kept_root_says_what_was_seen_where_nothing_else_does() {
    let scene = Scene::holding(&[local("a")]);
    let (root, feeds) = scene.follower.held_at_root().unwrap();
    let kept = feeds
        .into_iter()
        .map(|held| (held.feed, held.entries.as_ref().clone()))
        .collect();
    let mut fresh = Scene::empty();
    fresh.restore_root(root.clone(), kept);
    let own = feed("policy.eu.prod");
    assert_eq!(fresh.follower.seen()[&own], root.feeds[&own].revision);
    // Its bodies are missing, and it is still held as the root states it; not under another root.
    let is_held = |scene: &Scene| {
        let (_, feeds) = scene.follower.held_at_root().unwrap();
        feeds.iter().any(|held| held.feed == own)
    };
    assert!(is_held(&fresh) && is_held(&scene));
    for mut scene in [fresh, scene] {
        let mut other = scene.follower.held_at_root().unwrap().0.clone();
        other.feeds.get_mut(&own).unwrap().digest = Hash::of(b"other");
        other.revision.number += 1;
        scene
            .follower
            .on_root(Some((other, Hash::of(b"another root"))));
        assert!(!is_held(&scene));
    }
}

#[test]
fn a_name_of_which_nothing_is_here_is_not_missed_in_a_recovered_log() {
    let elsewhere = serde_json::json!({
        "regions": ["eu"], "stages": ["prod"], "matchLabels": {"tier": "none"},
    });
    let mut scene = Scene::holding(&[local("a"), documents::policy("b", &elsewhere)]);
    assert_eq!(scene.exceptions(), [""; 0]);
    scene.log.restore(1);
    scene.recover(2, false);
    let _ = scene.beat();
    let reads = scene.read_all();
    assert!(!reads.contains(&"body policy.eu.prod b".to_owned()));
    scene.act();
    assert_eq!(scene.exceptions(), [""; 0]);
}

/// A mirror behind a leaf node still has the log that is lost, for long: the hub has to be asked.
#[test]
fn a_root_of_the_old_epoch_is_no_answer_to_a_beat_of_the_next_one_for_a_while() {
    let mut scene = Scene::holding(&[local("a")]);
    let mirror = scene.log.len();
    scene.recover(2, true);
    assert_eq!(scene.beat(), Err(Ignored::Unopened));
    for _ in 0..4 {
        assert_eq!(scene.follower.wanted(), [Read::Root]);
        scene.answer_from(&Read::Root, mirror);
    }
    assert_eq!(scene.follower.wanted(), [Read::Root]);
    scene.read_all();
    assert_eq!(scene.follower.epoch(), 2);

    // Of an epoch that never comes it is not asked for ever.
    let beat = beat(Revision {
        epoch: 9,
        number: 90,
    });
    assert_eq!(scene.follower.on_beat(&beat, 1), Err(Ignored::Unopened));
    let mut asked = 0;
    while scene.follower.wanted().contains(&Read::Root) {
        scene.answer(&Read::Root);
        asked += 1;
    }
    assert!((5..10).contains(&asked), "{asked}");
}
