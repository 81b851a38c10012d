//! Rule 9 in a cluster: a log that was lost, restored, recovered, or forged.

use super::{
    super::{Ignored, Read},
    documents::delete,
    scene::{Scene, beat, local, own_entry, policy},
};
use crate::{beat::Beat, revision::Revision, root::Root, scope::Kind};

fn named(name: &str) -> Vec<String> {
    vec![format!("{name}@1 Received NotRecovered")]
}

/// A cluster that holds `a` and `b`, and a log that was put back to before `b`.
fn restored() -> Scene {
    let mut scene = Scene::holding(&[local("a"), local("b")]);
    scene.log.restore(1);
    scene
}

#[test]
fn a_log_that_was_restored_from_an_old_backup_takes_nothing_back() {
    let mut scene = restored();
    assert_eq!(scene.beat(), Err(Ignored::Older));
    scene.follower.on_gap();
    for read in scene.follower.wanted() {
        scene.answer(&read);
    }
    assert_eq!(scene.act(), [""; 0]);
    assert_eq!(
        scene.follower.cut().unwrap().revision,
        Revision {
            epoch: 1,
            number: 3
        }
    );
    scene.restart();
    for _ in 0..5 {
        for read in scene.follower.wanted() {
            scene.answer(&read);
        }
        assert_eq!(scene.act(), [""; 0], "not after a restart either");
    }
}

#[test]
fn a_new_epoch_without_the_offline_keys_opening_is_not_followed() {
    let mut scene = restored();
    let plan = scene.recover(2, false);
    // Whoever has a publisher's key can write all of this; not the opening.
    scene.log.openings.clear();
    assert!(plan.items.iter().all(|item| item.key.1 != policy("b").1));
    assert_eq!(scene.beat(), Err(Ignored::Unopened));
    assert!(
        scene.follower.wanted().contains(&Read::Root),
        "the root tells whether it is true"
    );
    for _ in 0..5 {
        for read in scene.follower.wanted() {
            scene.answer(&read);
        }
        assert_eq!(scene.act(), [""; 0]);
    }
    let events = 0..scene.log.len();
    for at in events {
        if matches!(scene.log.at(at).message, crate::edit::Message::Event(_)) {
            assert!(scene.hear(at).is_err(), "no event of it is taken");
        }
    }
    assert_eq!((scene.act(), scene.follower.epoch()), (vec![], 1));
    let still = Beat {
        issued_ms: 90,
        ..beat(Revision {
            epoch: 1,
            number: 3,
        })
    };
    assert_eq!(
        scene.follower.on_beat(&still, 5),
        Ok(()),
        "a forged beat ends none"
    );
}

#[test]
fn an_opening_of_another_beginning_opens_nothing() {
    let mut scene = restored();
    scene.recover(2, true);
    let opening = scene.log.openings[&2].clone();
    let mut follower = scene.follower;
    follower.on_opening(&opening);
    let root = Root {
        revision: opening.revision,
        ..Root::default()
    };
    follower.on_root(Some((root, crate::hash::Hash::of(b"other"))));
    assert_eq!(follower.held_at_root().unwrap().0.revision.epoch, 1);
}

#[test]
fn the_recovered_epoch_is_gone_to_and_what_is_of_the_old_one_is_over() {
    let mut scene = Scene::holding(&[local("a"), local("b")]);
    let late = scene.commit(&local("c"));
    scene.log.restore(2);
    let plan = scene.recover(2, true);
    assert_eq!(plan.unknown_count(), 0);
    assert_eq!(scene.beat(), Err(Ignored::Unopened));
    scene.read_all();
    // Nothing changes in the cluster but the records, which are of the new epoch now.
    assert_eq!(scene.act(), ["apply a@1", "apply b@1"]);
    assert_eq!(scene.beat(), Ok(()));
    assert_eq!(scene.hear(late[0]), Err(Ignored::Older));
    assert_eq!(
        scene.follower.on_beat(
            &beat(Revision {
                epoch: 1,
                number: 90
            }),
            1
        ),
        Err(Ignored::Older)
    );
    assert_eq!(scene.act(), [""; 0]);
    scene.restart_with_root();
    assert_eq!(
        scene.hear(late[0]),
        Err(Ignored::Older),
        "after a restart too"
    );
    assert_eq!(scene.read_all(), ["root"]);
    let next = scene.commit(&delete(Kind::Policy, "b"));
    next.into_iter()
        .for_each(|at| scene.hear(at).expect("it is newer"));
    assert_eq!(scene.act(), ["remove b"]);
}

#[test]
fn what_a_recovered_log_says_nothing_of_stays_and_is_named() {
    let mut scene = restored();
    scene.recover(2, false);
    let _ = scene.beat();
    scene.read_all();
    assert_eq!(scene.act(), ["apply a@1"]);
    assert_eq!(scene.exceptions(), named("b"));
    scene.restart_with_root();
    scene.read_all();
    assert_eq!((scene.act(), scene.exceptions()), (vec![], named("b")));
    // Applied anew it is the log's again.
    assert_eq!(scene.commit(&local("b")).len(), 1);
    assert_eq!(scene.catch_up(), ["apply b@1"]);
    assert_eq!(scene.exceptions(), [""; 0]);
}

#[test]
fn what_a_recovered_log_has_as_deleted_is_removed_however_long_a_cluster_was_away() {
    let mut scene = Scene::holding(&[local("a"), local("b")]);
    scene.commit(&delete(Kind::Policy, "b"));
    scene.commit(&local("c"));
    scene.log.restore(1);
    scene.recover(2, false);
    let _ = scene.beat();
    let reads = scene.read_all();
    assert!(
        reads.contains(&"body policy.eu.prod b".to_owned()),
        "{reads:?}"
    );
    assert_eq!(scene.act(), ["apply a@1", "remove b", "forget b"]);
    assert_eq!(scene.exceptions(), [""; 0]);
}

#[test]
fn an_older_generation_in_a_recovered_log_takes_nothing_back() {
    let changed = super::documents::policy("a", &serde_json::json!({"regions": ["eu"]}));
    let mut scene = Scene::holding(&[local("a"), changed.clone()]);
    scene.log.restore(1);
    let plan = scene.recover(2, false);
    assert_eq!(
        plan.items
            .iter()
            .find(|item| item.key.1 == policy("a").1)
            .unwrap()
            .generation
            .0,
        1
    );
    let _ = scene.beat();
    scene.read_all();
    assert_eq!(scene.act(), [""; 0]);
    assert_eq!(scene.exceptions(), ["a@1 Received NotRecovered"]);
    // An edit after the opening counts, whatever its generation.
    scene.commit(&changed);
    assert_eq!(scene.catch_up(), ["apply a@2"]);
}

#[test]
fn a_log_that_is_gone_is_said_again_from_what_one_cluster_holds() {
    let mut scene = Scene::holding(&[own_entry("silver"), local("a"), local("b")]);
    scene.restart_with_root();
    scene.read_all();
    scene.log.restore(1_000);
    scene.log.subjects.clear();
    scene.log.state = crate::edit::State::default();
    scene.log.tails.clear();
    let plan = scene.recover(2, true);
    let verdicts: Vec<_> = plan.items.iter().map(|item| item.verdict).collect();
    assert_eq!(verdicts, [crate::recover::Verdict::Found; 3]);
    let _ = scene.beat();
    scene.read_all();
    assert_eq!(scene.act(), ["apply a@1", "apply b@1"]);
    assert_eq!(scene.exceptions(), [""; 0]);
}

#[test]
fn a_cluster_that_missed_nothing_reads_the_root_alone_after_a_restart() {
    let mut scene = Scene::holding(&[local("a"), local("b")]);
    scene.restart_with_root();
    assert_eq!(scene.read_all(), ["root"]);
    assert_eq!(scene.act(), [""; 0]);
    // And one that missed an edit, what that changed.
    scene.restart_with_root();
    scene.commit(&local("c"));
    assert_eq!(
        scene.read_all(),
        ["root", "index policy.eu.prod", "body policy.eu.prod c"]
    );
}

#[test]
fn entries_that_are_not_those_of_the_signed_root_are_not_taken_back() {
    let mut scene = Scene::holding(&[local("a"), local("b")]);
    let (root, feeds) = scene.follower.held_at_root().unwrap();
    let root = root.clone();
    let mut kept: std::collections::BTreeMap<_, _> = feeds
        .into_iter()
        .map(|held| (held.feed, held.entries.as_ref().clone()))
        .collect();
    for entries in kept.values_mut() {
        entries.retain(|name, _| name.as_str() != "b");
    }
    scene.restart();
    scene.restore_root(root, kept);
    assert_eq!(
        scene.act(),
        [""; 0],
        "a list that somebody shortened removes nothing"
    );
    scene.read_all();
    assert_eq!(scene.act(), [""; 0]);
}
