//! What removes, what does not, and how long a removal is remembered.

use serde_json::json;

use super::{
    super::{Past, Read, Standing},
    documents,
    log::Log,
    scene::{Scene, feed, local, own_entry, policy},
};
use crate::{
    name::Name,
    scope::{Feed, Kind},
};

fn in_region(name: &str) -> crate::edit::Edit {
    documents::policy(name, &json!({"regions": ["eu"]}))
}

#[test]
fn a_tombstone_that_names_none_of_the_own_scopes_removes_at_once() {
    let elsewhere = documents::policy("a", &json!({"regions": ["us"], "stages": ["prod"]}));
    for end in [documents::delete(Kind::Policy, "a"), elsewhere] {
        let mut scene = Scene::holding(&[local("a")]);
        scene.edit_live(&end);
        assert_eq!(scene.act(), ["remove a"]);
        assert_eq!(scene.follower.wanted(), []);
    }
}

#[test]
fn a_tombstone_that_names_another_own_scope_removes_nothing_and_the_root_is_wanted() {
    let mut scene = Scene::holding(&[local("a")]);
    let events = scene.commit(&in_region("a"));
    let left = |at: &&usize| scene.log.event(**at).0.body.is_none();
    let tombstone = *events.iter().find(left).unwrap();
    assert_eq!(scene.hear(tombstone), Ok(()));
    assert!(scene.act().is_empty());
    assert_eq!(scene.follower.wanted(), [Read::Root]);
    assert_eq!(scene.catch_up(), ["apply a@2"]);
}

#[test]
fn of_one_edit_the_content_counts_before_the_tombstone_in_whichever_order_they_come() {
    for back in [false, true] {
        let mut scene = Scene::holding(&[local("a")]);
        let mut events = scene.commit(&in_region("a"));
        if back {
            events.reverse();
        }
        events
            .into_iter()
            .for_each(|at| assert_eq!(scene.hear(at), Ok(())));
        assert_eq!(scene.act(), ["apply a@2"]);
    }
}

#[test]
fn a_policy_whose_new_selector_leaves_this_cluster_out_is_removed() {
    let mut scene = Scene::holding(&[documents::policy("a", &json!({"all": true}))]);
    let others = json!({"all": true, "exclude": {"names": ["eu-prod-1"]}});
    scene.edit_live(&documents::policy("a", &others));
    assert_eq!(scene.act(), ["remove a"]);
    // One that never was for this cluster leaves nothing to do, and nothing to tell.
    scene.edit_live(&documents::policy("b", &others));
    assert!(scene.act().is_empty());
    assert!(scene.exceptions().is_empty());
}

#[test]
fn a_cluster_that_is_to_leave_gives_everything_back_at_a_cut_and_takes_nothing_new() {
    let everywhere = documents::policy("b", &json!({"all": true}));
    let mut scene = Scene::holding(&[local("a"), everywhere]);
    scene.edit_live(&documents::draining("eu-prod-1", ("eu", "prod")));
    scene.edit_live(&local("c"));
    let policies = |done: Vec<String>| -> Vec<String> {
        let of = |text: &String| {
            ["a", "b", "c"]
                .iter()
                .any(|name| text.contains(&format!(" {name}")))
        };
        done.into_iter().filter(of).collect()
    };
    assert_eq!(policies(scene.act()), [""; 0]);
    let mut done = policies(scene.catch_up());
    done.sort();
    assert_eq!(done, ["forget a", "forget b", "remove a", "remove b"]);
    let summary = scene.follower.summary();
    assert_eq!(summary.counts, crate::ack::Counts::default());
    assert_eq!(summary.revision, scene.log.state.revision());
}

#[test]
fn absence_removes_at_a_consistent_cut_and_not_before() {
    let mut scene = Scene::holding(&[local("a"), local("b")]);
    scene.commit(&documents::delete(Kind::Policy, "a"));
    let index = Read::Index(feed("policy.eu.prod"));
    // The index alone lacks it: the name may be in another scope by now.
    scene.answer(&index);
    assert!(scene.act().is_empty());
    assert_eq!(scene.catch_up(), ["remove a", "forget a"]);
    assert!(scene.records.contains_key(&policy("b")));
}

#[test]
fn a_policy_that_moves_between_two_reads_is_never_removed() {
    let mut scene = Scene::holding(&[local("a")]);
    scene.commit(&in_region("a"));
    scene.beat().unwrap();
    scene.answer(&Read::Root);
    // Its new scope is read from a replica that does not have the edit yet, its old one is not.
    let stale = scene.log.len() - 6;
    scene.answer(&Read::Index(feed("policy.eu.prod")));
    scene.answer_from(&Read::Index(feed("policy.eu.all")), stale);
    assert!(scene.act().is_empty());
    assert_eq!(scene.catch_up(), ["apply a@2"]);
}

#[test]
fn a_removal_is_forgotten_only_after_a_cut_above_it() {
    let mut scene = Scene::holding(&[local("a")]);
    scene.edit_live(&documents::delete(Kind::Policy, "a"));
    assert_eq!(scene.act(), ["remove a"]);
    scene.restart();
    assert!(scene.act().is_empty());
    assert!(scene.records[&policy("a")].0.removed);
    assert_eq!(scene.catch_up(), ["forget a"]);
    assert!(scene.follower.word(&policy("a")).is_none());
}

#[test]
fn a_removal_is_forgotten_only_once_what_was_seen_is_kept() {
    let mut scene = Scene::holding(&[local("a")]);
    let kept = scene.follower.seen().clone();
    scene.commit(&documents::delete(Kind::Policy, "a"));
    scene.beat().unwrap();
    scene.read_all();
    // Else a restart would find neither the removal nor what was seen, and an older log would bring
    // the policy back.
    scene.follower.on_kept(&kept);
    assert_eq!(scene.act_unkept(), ["remove a"]);
    assert!(scene.records[&policy("a")].0.removed);
    let seen = scene.follower.seen().clone();
    scene.follower.on_kept(&seen);
    assert_eq!(scene.act_unkept(), ["forget a"]);
}

#[test]
fn a_registry_entry_is_removed_only_once_what_was_seen_is_kept() {
    let entry = documents::cluster("us-prod-1", ("us", "prod"), "gold", "fleet");
    let mut scene = Scene::holding(&[entry]);
    let kept = scene.follower.seen().clone();
    scene.commit(&documents::delete(Kind::Cluster, "us-prod-1"));
    scene.beat().unwrap();
    scene.read_all();
    // Its mirror is the only record of it: without that and what was seen, a restart would mirror an
    // older entry again.
    scene.follower.on_kept(&kept);
    scene.act_unkept();
    let key = (Kind::Cluster, Name::parse("us-prod-1").unwrap());
    assert!(!scene.records[&key].0.removed);
    let seen = scene.follower.seen().clone();
    scene.follower.on_kept(&seen);
    scene.act_unkept();
    assert!(!scene.records.contains_key(&key));
}

#[test]
fn a_late_root_brings_the_mirror_of_the_own_entry_not_back() {
    let mut scene = Scene::holding(&[]);
    let length = scene.log.len();
    let own = (Kind::Cluster, Name::parse("eu-prod-1").unwrap());
    let signed = scene.follower.own_signed().unwrap().clone();
    scene.commit(&documents::delete(own.0, "eu-prod-1"));
    scene.catch_up();
    assert!(!scene.records.contains_key(&own));

    scene.restart();
    let (event, signed) = scene.log.event(Log::position(&signed));
    scene.follower.restore_own(event, signed);
    for read in scene.follower.wanted() {
        match read {
            Read::Root => scene.answer_from(&read, length),
            _ => scene.answer(&read),
        }
    }
    while let Some(read) = scene
        .follower
        .wanted()
        .into_iter()
        .find(|it| *it != Read::Root)
    {
        scene.answer(&read);
    }
    scene.act_unkept();
    assert!(scene.follower.cut().unwrap().holds(&own), "an older cut");
    assert!(!scene.records.contains_key(&own));
    scene.catch_up();
    assert!(!scene.records.contains_key(&own));
}

#[test]
fn a_removal_is_not_forgotten_before_it_is_confirmed() {
    let mut scene = Scene::holding(&[local("a")]);
    scene.edit_live(&documents::delete(Kind::Policy, "a"));
    scene.beat().unwrap();
    scene.read_all();
    for _ in 0..2 {
        let decided = scene.follower.decide();
        let [super::super::Action::Remove { key, past }] = &decided[..] else {
            panic!("{decided:?}");
        };
        // It failed midway.
        scene
            .follower
            .on_brought(key, past.clone(), Standing::refused("x".into(), "y".into()));
    }
    assert_eq!(scene.act(), ["remove a", "forget a"]);
}

#[test]
fn a_policy_that_does_not_select_this_cluster_again_is_forgotten_too() {
    let others = json!({"regions": ["eu"], "stages": ["prod"], "names": ["eu-prod-2"]});
    let mut scene = Scene::holding(&[local("a")]);
    scene.edit_live(&documents::policy("a", &others));
    assert_eq!(scene.act(), ["remove a"]);
    scene.edit_live(&documents::policy("a", &others));
    assert!(scene.exceptions().is_empty());
    assert_eq!(scene.catch_up(), ["forget a"]);
}

#[test]
fn what_was_begun_for_a_policy_that_is_over_meanwhile_is_undone() {
    let mut scene = Scene::holding(&[]);
    scene.edit_live(&local("a"));
    let decided = scene.follower.decide();
    let [super::super::Action::Apply { key, past, .. }] = &decided[..] else {
        panic!("{decided:?}");
    };
    scene.edit_live(&documents::delete(Kind::Policy, "a"));
    assert!(scene.catch_up().is_empty());
    let past = Past {
        done: true,
        ..past.clone()
    };
    scene.follower.on_brought(key, past, Standing::applied());
    scene.read_all();
    assert_eq!(scene.act(), ["remove a", "forget a"]);
}

#[test]
fn while_an_attempt_is_under_way_nothing_is_said_to_be_applied_or_gone() {
    let gold = json!({"matchLabels": {"tier": "gold"}});
    let mut scene = Scene::holding(&[documents::policy("a", &gold)]);
    let of_a = |scene: &Scene| {
        let exceptions = scene.exceptions().into_iter();
        exceptions.filter(|it| it.starts_with("a@")).count()
    };
    let turn = |scene: &mut Scene, tier: &str| {
        scene.commit(&own_entry(tier));
        assert_eq!(scene.beat(), Ok(()));
        scene.read_all();
        let decided = scene.follower.decide();
        decided.iter().any(|action| *action.key() == policy("a"))
    };
    // It is not called applied from the moment on at which it should go.
    assert!(turn(&mut scene, "silver"));
    assert_eq!(of_a(&scene), 1);
    // Half of it may be deleted when it should stay after all.
    scene.follower.on_begun(policy("a"));
    assert!(!turn(&mut scene, "gold"));
    assert_eq!(of_a(&scene), 1);
    scene.follower.on_ended(&policy("a"));
    assert_eq!(of_a(&scene), 0);
    // What is removed is not called gone from the moment on at which it should come back.
    assert!(turn(&mut scene, "silver"));
    assert_eq!(scene.act_unkept(), ["remove a"]);
    assert_eq!(of_a(&scene), 0);
    assert!(turn(&mut scene, "gold"));
    assert_eq!(of_a(&scene), 1);
    scene.act();

    // Half of it may be there when the policy goes elsewhere.
    scene.edit_live(&local("b"));
    assert_eq!(scene.follower.decide().len(), 1);
    scene.follower.on_begun(policy("b"));
    scene.edit_live(&documents::policy("b", &json!({"regions": ["us"]})));
    assert_eq!(scene.exceptions().len(), 1);
    scene.catch_up();
    assert_eq!(scene.exceptions().len(), 1);
    scene.follower.on_ended(&policy("b"));
    assert!(scene.exceptions().is_empty());
}

#[test]
fn a_repair_that_was_overtaken_says_nothing_of_the_attempt_that_is_under_way() {
    let mut scene = Scene::holding(&[local("a")]);
    // The removal goes on in a repair, while the policy comes back and an attempt at that begins.
    scene.edit_live(&documents::delete(Kind::Policy, "a"));
    let decided = scene.follower.decide();
    let [super::super::Action::Remove { key, past }] = &decided[..] else {
        panic!("{decided:?}");
    };
    scene.edit_live(&local("a"));
    assert_eq!(scene.follower.decide().len(), 1);
    scene.follower.on_begun(policy("a"));
    // It ends, and what the other attempt comes to is not known.
    let open = past.clone();
    scene.follower.on_brought(key, open, Standing::applied());
    // The policy goes again. Half of it may be there.
    scene.edit_live(&documents::delete(Kind::Policy, "a"));
    assert_eq!(scene.exceptions(), ["a@4 Received Waiting"]);
    scene.follower.on_ended(&policy("a"));
    assert_eq!(scene.exceptions(), ["a@4 Received Waiting"]);
    assert_eq!(scene.act(), ["remove a"]);
    assert!(scene.exceptions().is_empty());
}

#[test]
fn what_its_feed_does_not_list_any_more_is_not_said_to_be_as_it_should_until_it_is_gone() {
    let mut scene = Scene::holding(&[local("a")]);
    scene.commit(&documents::delete(Kind::Policy, "a"));
    scene.beat().unwrap();
    let own = Feed::listened_by(&"eu".parse().unwrap(), &"prod".parse().unwrap());
    for feed in own {
        scene.answer(&Read::Index(feed));
    }
    // The position in that feed is above the deletion, and no cut was met: what is here stays.
    assert!(scene.follower.decide().is_empty());
    assert_eq!(scene.exceptions(), ["a@1 Received Waiting"]);
    scene.read_all();
    assert_eq!(scene.exceptions(), ["a@1 Received Waiting"]);
    assert_eq!(scene.act(), ["remove a", "forget a"]);
    assert!(scene.exceptions().is_empty());
}

#[test]
fn a_damaged_memory_removes_nothing_before_the_log_was_read() {
    for gone in [false, true] {
        let mut scene = Scene::holding(&[local("a")]);
        if gone {
            scene.commit(&documents::delete(Kind::Policy, "a"));
        }
        let (_, signed) = scene.records.get_mut(&policy("a")).unwrap();
        *signed = None;
        scene.restart();
        assert!(scene.act().is_empty());
        let expected: &[&str] = if gone { &["remove a", "forget a"] } else { &[] };
        assert_eq!(scene.catch_up(), expected);
        assert!(scene.exceptions().is_empty());
    }
}

#[test]
fn nothing_found_is_never_empty() {
    let mut scene = Scene::holding(&[local("a")]);
    scene.commit(&documents::delete(Kind::Policy, "a"));
    for restarted in [false, true] {
        if restarted {
            scene.restart();
        }
        scene.beat().unwrap();
        let own = Feed::listened_by(&"eu".parse().unwrap(), &"prod".parse().unwrap());
        for feed in own {
            scene.answer_from(&Read::Index(feed.clone()), 0);
            scene.answer_from(&Read::Base(feed), 0);
        }
        scene.answer_from(&Read::Root, 0);
        assert!(scene.act().is_empty());
        assert!(!scene.follower.wanted().is_empty());
    }
    assert_eq!(scene.catch_up(), ["remove a", "forget a"]);
}

/// A root is met by the states that are held. One that is older than all of them removes nothing, and the
/// next one is met.
#[test]
fn a_root_that_is_older_than_every_state_that_is_held_is_no_cut_and_the_next_one_is() {
    for (edits, is_met) in [(60, true), (70, false)] {
        let mut scene = Scene::holding(&[local("a"), in_region("gone")]);
        scene.commit(&documents::delete(Kind::Policy, "gone"));
        scene.beat().unwrap();
        scene.answer(&Read::Root);
        // The one feed goes on before the other is read.
        for _ in 0..edits {
            scene.edit_live(&local("a"));
        }
        scene.answer(&Read::Index(feed("policy.eu.all")));
        let acts = scene.act();
        assert_eq!(acts.contains(&"remove gone".to_owned()), is_met, "{acts:?}");
        let acts = scene.catch_up();
        assert_eq!(
            acts.contains(&"remove gone".to_owned()),
            !is_met,
            "{acts:?}"
        );
        assert!(!scene.records.contains_key(&policy("gone")));
        assert!(scene.records.contains_key(&policy("a")));
    }
}
