//! Rule 9 in a cluster: what it removed and forgot, and a log that was recovered from before that.

use super::{
    super::Read,
    documents::{self, delete},
    scene::{Scene, feed, local, own_entry, policy},
};
use crate::{epoch::Opening, name::Name, scope::Kind};

/// A cluster that removed `b` and forgot it, and a log of the next epoch that has it.
fn recovered() -> Scene {
    let mut scene = removed();
    scene.log.restore(1);
    scene.recover(2, false);
    scene
}

fn removed() -> Scene {
    let mut scene = Scene::holding(&[local("a"), local("b")]);
    scene.commit(&delete(Kind::Policy, "b"));
    assert_eq!(scene.catch_up(), ["remove b", "forget b"]);
    scene
}

fn go(scene: &mut Scene) -> Vec<String> {
    let _ = scene.beat();
    scene.read_all();
    scene.act()
}

#[test]
fn what_was_removed_and_forgotten_does_not_come_back_with_a_recovered_log() {
    let mut scene = recovered();
    assert_eq!(go(&mut scene), ["apply a@1"]);
    assert_eq!(scene.exceptions(), ["b@1 Received NotRecovered"]);
    // Edited anew it counts.
    scene.commit(&local("b"));
    assert_eq!(scene.catch_up(), ["apply b@2"]);
    assert_eq!(scene.exceptions(), [""; 0]);
    assert!(scene.follower.before().is_empty() || go(&mut scene).is_empty());
}

#[test]
fn it_is_waited_for_before_the_own_entry_is_known() {
    let mut scene = recovered();
    go(&mut scene);
    scene.records.clear();
    scene.restart();
    scene.beat().unwrap();
    let own = feed("policy.eu.prod");
    for read in [
        Read::Root,
        Read::Index(own.clone()),
        Read::Base(own.clone()),
        Read::Body(own.clone(), Name::parse("a").unwrap()),
        Read::Body(own.clone(), Name::parse("b").unwrap()),
    ] {
        scene.answer(&read);
    }
    // The list is told as held: whoever is not told of the name takes it for applied.
    let held = scene.follower.summary().feeds[&own].revision;
    assert!(held >= scene.follower.word(&policy("b")).unwrap().revision);
    let named = scene.exceptions();
    assert!(
        named.contains(&"b@1 Received NotRecovered".to_owned()),
        "{named:?}"
    );
}

#[test]
fn nor_does_it_by_a_restart_before_or_after() {
    let restarts: [fn(&mut Scene); 2] = [Scene::restart, Scene::restart_with_root];
    for restart in restarts {
        let mut scene = recovered();
        restart(&mut scene);
        assert_eq!(go(&mut scene), ["apply a@1"], "before");
        restart(&mut scene);
        assert_eq!(go(&mut scene), [""; 0], "after");
        assert_eq!(scene.exceptions(), ["b@1 Received NotRecovered"]);
        scene.commit(&local("b"));
        assert_eq!(scene.catch_up(), ["apply b@2"]);
    }
}

#[test]
fn nor_by_its_event_that_is_heard_before_anything_was_read() {
    for is_opened in [true, false] {
        let mut scene = recovered();
        let opening = scene.log.openings[&2].clone();
        if is_opened {
            scene.follower.on_opening(&opening);
        } else {
            // A record of the new epoch is all that was kept of it.
            scene.restart();
            scene.follower.raise_epoch(2);
        }
        for at in 0..scene.log.len() {
            if matches!(scene.log.at(at).message, crate::edit::Message::Event(_)) {
                let _ = scene.hear(at);
            }
        }
        assert!(!scene.act().iter().any(|act| act.contains("apply b")));
    }
}

#[test]
fn a_removal_that_is_not_forgotten_yet_is_not_forgotten_at_the_new_epochs_cut() {
    let mut scene = Scene::holding(&[local("a"), local("b")]);
    scene.edit_live(&delete(Kind::Policy, "b"));
    assert_eq!(scene.act_unkept(), ["remove b"]);
    scene.log.restore(1);
    scene.recover(2, false);
    assert_eq!(go(&mut scene), ["apply a@1"]);
    scene.restart();
    assert_eq!(go(&mut scene), [""; 0]);
    assert_eq!(scene.exceptions(), ["b@1 Received NotRecovered"]);
}

#[test]
fn a_cluster_that_knows_no_more_than_the_recovery_takes_all_of_it() {
    // It was asked itself.
    let mut scene = removed();
    scene.log.restore(1);
    scene.recover(2, true);
    assert_eq!(go(&mut scene), ["apply a@1"]);
    assert_eq!(scene.exceptions(), [""; 0]);
    // It lags, or is new.
    let mut scene = Scene::holding(&[local("a")]);
    scene.commit(&local("b"));
    scene.log.restore(0);
    scene.recover(2, false);
    assert_eq!(go(&mut scene), ["apply a@1", "apply b@1"]);
    let mut scene = Scene::registered();
    scene.commit(&local("b"));
    scene.recover(2, false);
    assert_eq!(go(&mut scene), ["apply b@1"]);
}

#[test]
fn an_opening_that_does_not_state_its_lists_is_taken_as_it_was() {
    let mut scene = recovered();
    let opening = scene.log.openings.get_mut(&2).unwrap();
    *opening = Opening {
        recovered: None,
        ..opening.clone()
    };
    assert_eq!(go(&mut scene), ["apply a@1", "apply b@1"]);
}

#[test]
fn what_a_younger_list_had_and_is_for_others_may_be_for_this_cluster_later() {
    let silver = serde_json::json!({
        "regions": ["eu"], "stages": ["prod"], "matchLabels": {"tier": "silver"},
    });
    let mut scene = Scene::holding(&[documents::policy("c", &silver), local("b")]);
    scene.commit(&delete(Kind::Policy, "b"));
    assert_eq!(scene.catch_up(), ["remove b", "forget b"]);
    scene.log.restore(1);
    scene.recover(2, false);
    assert_eq!(go(&mut scene), [""; 0]);
    assert_eq!(scene.exceptions(), ["b@1 Received NotRecovered"]);
    scene.commit(&own_entry("silver"));
    assert_eq!(scene.catch_up(), ["apply c@1"]);
}

#[test]
fn without_its_list_a_younger_cluster_takes_back_nothing_that_is_not_here() {
    let mut scene = removed();
    // The list was not kept, or an older one was.
    scene.restart();
    scene.log.restore(1);
    scene.recover(2, false);
    assert_eq!(go(&mut scene), ["apply a@1"]);
    let own = feed("policy.eu.prod");
    let bygone = scene.follower.before()[&own].bygone.clone().unwrap();
    assert_eq!(bygone.len(), 1, "{bygone:?}");
}

#[test]
fn it_stays_away_through_a_further_recovery_and_counts_once_it_was_edited() {
    let mut scene = recovered();
    go(&mut scene);
    scene.recover(3, false);
    assert_eq!(go(&mut scene), ["apply a@1"]);
    assert_eq!(scene.exceptions(), ["b@1 Received NotRecovered"]);
    // Edited while the cluster was away, and said again in the next epoch.
    scene.commit(&local("b"));
    scene.recover(4, false);
    assert_eq!(go(&mut scene), ["apply a@1", "apply b@2"]);
}

#[test]
fn a_name_that_is_not_for_this_cluster_is_not_named() {
    let mut scene = removed();
    scene.log.restore(1);
    scene.recover(2, false);
    go(&mut scene);
    scene.commit(&delete(Kind::Policy, "b"));
    assert_eq!(scene.catch_up(), [""; 0]);
    assert_eq!(scene.exceptions(), [""; 0]);
}

#[test]
fn a_list_without_it_does_not_bring_it_back_from_the_cut_before() {
    let mut scene = recovered();
    go(&mut scene);
    scene.commit(&delete(Kind::Policy, "b"));
    // The list is read, and the root is not.
    let list = Read::Index(feed("policy.eu.prod"));
    let _ = scene.beat();
    scene.answer(&list);
    assert_eq!(scene.act(), [""; 0]);
    assert_eq!(scene.catch_up(), [""; 0]);
    assert_eq!(scene.exceptions(), [""; 0]);
}
