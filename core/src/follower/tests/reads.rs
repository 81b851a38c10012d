//! What is read, how little of it, and which answers are none.

use super::{
    super::{Ignored, Read},
    documents,
    scene::{Scene, feed, local, policy},
};
use crate::{name::Name, scope::Kind};

fn index() -> Read {
    Read::Index(feed("policy.eu.prod"))
}

fn body(name: &str) -> Read {
    Read::Body(feed("policy.eu.prod"), Name::parse(name).unwrap())
}

#[test]
fn what_came_live_and_in_order_is_not_read() {
    let mut scene = Scene::holding(&[local("a")]);
    scene.edit_live(&local("b"));
    scene.edit_live(&documents::delete(Kind::Policy, "a"));
    assert_eq!(scene.follower.wanted(), []);
    scene.beat().unwrap();
    assert_eq!(scene.read_all(), ["root"]);
    assert_eq!(scene.act(), ["remove a", "apply b@1", "forget a"]);
}

#[test]
fn who_missed_one_edit_reads_one_index_and_one_body_and_no_base() {
    let mut scene = Scene::holding(&[local("a"), local("b")]);
    scene.commit(&local("a"));
    scene.beat().unwrap();
    assert_eq!(
        scene.read_all(),
        ["root", "index policy.eu.prod", "body policy.eu.prod a"]
    );
    assert_eq!(scene.act(), ["apply a@2"]);
}

#[test]
fn who_missed_more_than_the_tail_holds_reads_the_base_too() {
    let mut scene = Scene::holding(&[local("a")]);
    for _ in 0..crate::index::TAIL_LENGTH_MAX + 1 {
        scene.commit(&local("b"));
    }
    scene.beat().unwrap();
    let read = [
        "root",
        "index policy.eu.prod",
        "base policy.eu.prod",
        "body policy.eu.prod b",
    ];
    assert_eq!(scene.read_all(), read);
}

#[test]
fn a_gap_makes_the_root_be_read_at_once_and_then_what_was_missed() {
    let mut scene = Scene::holding(&[local("a")]);
    scene.commit(&documents::delete(Kind::Policy, "a"));
    assert_eq!(scene.follower.wanted(), []);
    scene.follower.on_gap();
    assert_eq!(scene.read_all(), ["root", "index policy.eu.prod"]);
    assert_eq!(scene.act(), ["remove a", "forget a"]);
}

#[test]
fn an_event_after_a_lost_one_counts_and_the_lost_one_is_read() {
    let mut scene = Scene::holding(&[]);
    scene.commit(&local("a"));
    let second = scene.commit(&local("b"))[0];
    assert_eq!(scene.hear(second), Ok(()));
    assert_eq!(scene.act(), ["apply b@1"]);
    assert_eq!(
        scene.read_all(),
        ["index policy.eu.prod", "body policy.eu.prod a"]
    );
    assert_eq!(scene.act(), ["apply a@1"]);
}

#[test]
fn an_event_whose_digest_does_not_come_out_makes_the_feed_be_read() {
    let mut scene = Scene::holding(&[]);
    let position = scene.commit(&local("a"))[0];
    let mut event = scene.log.event(position).0.clone();
    event.digest = crate::hash::Hash::of(b"another");
    assert_eq!(scene.hear_event(&event), Ok(()));
    assert_eq!(scene.follower.wanted(), [index()]);
}

#[test]
fn an_index_below_what_was_seen_is_no_answer() {
    let mut scene = Scene::holding(&[]);
    let before = scene.log.len();
    scene.commit(&local("a"));
    let second = scene.commit(&local("b"))[0];
    scene.hear(second).unwrap();
    scene.answer_from(&index(), before);
    assert_eq!(scene.follower.wanted(), [index()]);
    scene.answer(&index());
    assert_eq!(scene.follower.wanted(), [body("a")]);
}

#[test]
fn a_body_older_than_its_entry_is_no_answer_and_a_newer_one_makes_the_index_be_read_again() {
    let mut scene = Scene::holding(&[local("a")]);
    let first = scene.log.len();
    scene.commit(&local("a"));
    scene.answer(&index());
    scene.answer_from(&body("a"), first);
    assert_eq!(scene.follower.wanted(), [body("a")]);
    scene.commit(&local("a"));
    scene.answer(&body("a"));
    assert_eq!(scene.act(), ["apply a@3"]);
    assert_eq!(scene.follower.wanted(), [index()]);
    scene.answer(&index());
    assert_eq!(scene.follower.wanted(), []);
}

#[test]
fn a_base_that_the_index_does_not_name_is_no_answer() {
    let mut scene = Scene::registered();
    scene.commit(&local("a"));
    let first = scene.log.len();
    for _ in 0..crate::index::TAIL_LENGTH_MAX {
        scene.commit(&local("a"));
    }
    let base = Read::Base(feed("policy.eu.prod"));
    scene.answer(&index());
    assert!(scene.follower.wanted().contains(&base));
    scene.answer_from(&base, first);
    assert!(
        scene.follower.wanted().contains(&index()),
        "the index is read again"
    );
    scene.answer(&index());
    scene.answer(&base);
    assert!(scene.follower.wanted().contains(&body("a")));
}

#[test]
fn a_body_that_comes_late_is_not_believed() {
    let mut scene = Scene::registered();
    scene.commit(&local("a"));
    let before = scene.log.len();
    for read in [index(), Read::Base(feed("policy.eu.prod"))] {
        scene.answer(&read);
    }
    assert!(scene.follower.wanted().contains(&body("a")));
    scene.commit(&documents::delete(Kind::Policy, "a"));
    let after = scene.commit(&local("b"))[0];
    assert_eq!(scene.hear(after), Ok(()));
    scene.answer_from(&body("a"), before);
    assert!(scene.follower.word(&policy("a")).is_none());
    assert_eq!(scene.catch_up(), ["apply b@1"]);
}

#[test]
fn a_feed_is_held_as_soon_as_its_last_body_came_by_whichever_way() {
    let mut both = local("a");
    if let crate::edit::Change::Put { scopes, .. } = &mut both.change {
        scopes.insert("eu.all".parse().unwrap());
    }
    // By the other scope that the name is in.
    let mut scene = Scene::holding(&[local("b")]);
    let events = scene.commit(&both);
    let (near, wide) = (index(), Read::Index(feed("policy.eu.all")));
    scene.answer(&near);
    scene.answer(&wide);
    scene.answer(&body("a"));
    assert_eq!(scene.follower.wanted(), []);
    // By a live event.
    let mut scene = Scene::holding(&[local("b")]);
    assert_eq!(scene.commit(&both).len(), events.len());
    scene.answer(&near);
    assert_eq!(scene.follower.wanted(), [body("a")]);
    let from_region = |at: &&usize| scene.log.event(**at).0.feed == feed("policy.eu.all");
    let live = *events.iter().find(from_region).unwrap();
    assert_eq!(scene.hear(live), Ok(()));
    assert_eq!(scene.follower.wanted(), []);
    assert_eq!(scene.hear(live), Err(Ignored::Older));
}

#[test]
fn a_newer_index_is_taken_back_by_its_tail_to_the_root_that_was_read() {
    let mut scene = Scene::holding(&[local("a")]);
    scene.commit(&documents::delete(Kind::Policy, "a"));
    scene.beat().unwrap();
    scene.answer(&Read::Root);
    let cut = scene.log.state.revision();
    scene.commit(&local("b"));
    scene.answer(&index());
    scene.answer(&body("b"));
    assert_eq!(scene.act()[0], "remove a");
    assert_eq!(scene.follower.cut().unwrap().revision, cut);
}

#[test]
fn an_older_root_does_not_replace_a_newer_one() {
    let mut scene = Scene::registered();
    let first = scene.log.len();
    scene.commit(&local("a"));
    scene.answer(&Read::Root);
    scene.answer_from(&Read::Root, first);
    scene.catch_up();
    assert_eq!(
        scene.follower.summary().revision,
        scene.log.state.revision()
    );
    scene.answer_from(&Read::Root, first);
    assert_eq!(scene.follower.wanted(), []);
    assert!(scene.act().is_empty());
}

#[test]
fn a_read_that_failed_is_wanted_again_from_its_index() {
    let mut scene = Scene::holding(&[]);
    scene.commit(&local("a"));
    scene.answer(&index());
    scene.follower.on_read_failed(&body("a"));
    assert_eq!(scene.catch_up(), ["apply a@1"]);
}
