//! Edits that this build can't act on: what they leave in force, and what is ended all the same.

use serde_json::json;

use super::{
    super::{Action, Past, Standing},
    documents,
    scene::{Scene, local, own_entry, policy},
};
use crate::{
    ack::State,
    edit::{Change, Edit},
    revision::Generation,
    scope::Kind,
};

fn requiring(feature: &str, mut edit: Edit) -> Edit {
    if let Change::Put { requires, .. } = &mut edit.change {
        requires.push(feature.to_owned());
    }
    edit
}

#[test]
fn an_unknown_requirement_is_refused_by_name_and_the_last_good_state_stays() {
    let mut scene = Scene::holding(&[local("a")]);
    scene.edit_live(&requiring("telepathy", local("a")));
    assert!(scene.catch_up().is_empty());
    assert_eq!(scene.exceptions(), ["a@2 Refused Unsupported"]);
    assert_eq!(scene.follower.summary().counts.refused, 1);
    assert_eq!(scene.records[&policy("a")].0.generation, Generation(1));
    scene.restart();
    assert!(scene.catch_up().is_empty());
    assert_eq!(scene.exceptions(), ["a@2 Refused Unsupported"]);
    scene.edit_live(&local("a"));
    assert_eq!(scene.act(), ["apply a@3"]);
    assert!(scene.exceptions().is_empty());
}

#[test]
fn a_refused_policy_that_is_deleted_or_goes_elsewhere_is_no_exception_any_more() {
    let elsewhere = documents::policy("a", &json!({"names": ["us-prod-1"]}));
    for end in [documents::delete(Kind::Policy, "a"), elsewhere] {
        let mut scene = Scene::holding(&[requiring("telepathy", local("a"))]);
        assert_eq!(scene.exceptions(), ["a@1 Refused Unsupported"]);
        scene.edit_live(&end);
        scene.act();
        assert!(scene.exceptions().is_empty(), "{:?}", scene.exceptions());
    }
}

#[test]
fn what_was_begun_before_a_refused_edit_is_ended() {
    for restarts in [false, true] {
        let mut scene = Scene::holding(&[local("a")]);
        scene.edit_live(&local("a"));
        begin(&mut scene);
        scene.edit_live(&requiring("telepathy", local("a")));
        if restarts {
            scene.restart();
            scene.edit_live(&own_entry("gold"));
        }
        assert_eq!(scene.catch_up(), ["apply a@2"]);
        assert_eq!(scene.exceptions(), ["a@3 Refused Unsupported"]);
        assert!(scene.catch_up().is_empty(), "once");
    }
}

#[test]
fn a_removal_that_was_begun_before_a_refused_edit_is_ended() {
    let mut scene = Scene::holding(&[local("a")]);
    scene.edit_live(&documents::delete(Kind::Policy, "a"));
    begin(&mut scene);
    scene.edit_live(&requiring("telepathy", local("a")));
    assert_eq!(scene.act(), ["remove a"]);
    assert_eq!(scene.exceptions(), ["a@3 Refused Unsupported"]);
}

#[test]
fn a_record_without_a_publishers_word_for_it_removes_nothing_where_the_newest_edit_is_refused() {
    let mut scene = Scene::holding(&[local("a")]);
    let (past, _) = scene.records.remove(&policy("a")).unwrap();
    scene.restart();
    let (removed, done) = (true, false);
    let past = Past {
        removed,
        done,
        ..past
    };
    scene.follower.restore_unproven(policy("a"), past);
    scene.edit_live(&requiring("telepathy", local("a")));
    assert!(scene.catch_up().is_empty());
}

#[test]
fn a_cluster_that_leaves_gives_back_what_is_there_of_a_refused_policy_too() {
    let mut scene = Scene::holding(&[local("a")]);
    scene.edit_live(&requiring("telepathy", local("a")));
    scene.edit_live(&documents::draining("eu-prod-1", ("eu", "prod")));
    assert_eq!(scene.catch_up(), ["remove a", "forget a"]);
    assert_eq!(scene.follower.summary().counts.refused, 0);
}

/// Begins what is decided, and comes no further than the record.
fn begin(scene: &mut Scene) {
    for action in scene.follower.decide() {
        let (key, past, signed) = match action {
            Action::Apply {
                key, past, signed, ..
            } => (key, past, Some(signed)),
            Action::Remove { key, past } => (key, past, None),
            Action::Forget { key } => panic!("forgets {key:?}"),
        };
        scene.records.insert(key.clone(), (past.clone(), signed));
        let standing = Standing {
            state: State::Received,
            ..Standing::applied()
        };
        scene.follower.on_brought(&key, past, standing);
    }
}
