//! Whose an object is: adopted, restored, or somebody else's.

use serde_json::json;

use super::*;

fn foreign(adoptable: bool, verbs: &[&str]) -> Cluster {
    let mut cluster = Cluster::with(&[namespace()]);
    let mut content = role().content;
    content["rules"][0]["verbs"] = json!(verbs);
    if adoptable {
        content["metadata"]["annotations"] = json!({ADOPTABLE: "true"});
    }
    cluster.put(&role().reference, content);
    cluster
}

#[test]
fn an_object_is_adopted_only_where_policy_and_owner_agree() {
    let objects = [role(), namespace()];
    let policy = policy();
    let cases = [
        // adopt, the owner says so, the object says the same, adopted
        (Adopt::Never, true, true, false),
        (Adopt::IfIdentical, false, true, false),
        (Adopt::IfIdentical, true, false, false),
        (Adopt::IfIdentical, true, true, true),
        (Adopt::Always, false, false, false),
        (Adopt::Always, true, false, true),
        (Adopt::Always, true, true, true),
    ];
    for (adopt, adoptable, identical, expected) in cases {
        let verbs = if identical { ["get"] } else { ["list"] };
        let by_ceiling = Limits {
            adoptable: &|at: &ObjectRef| adoptable && *at == role().reference,
            ..Limits::NONE
        };
        for (marked, limits) in [(adoptable, Limits::NONE), (false, by_ceiling)] {
            let cluster = foreign(marked, &verbs);
            let wanted = Wanted {
                adopt,
                ..wanted(&policy, &objects)
            };
            let observed = cluster.observe(&objects);
            let made = plan(&wanted, &cluster.inventory, &observed, &limits);
            let adopted = matches!(
                made.steps().next().map(|step| &step.action),
                Some(Action::Update { .. })
            );
            assert_eq!(
                adopted, expected,
                "{adopt} {adoptable} {identical} {marked}"
            );
            assert_eq!(made.held.is_empty(), expected);
            for held in &made.held {
                let word = match adopt {
                    Adopt::Never => "by this policy",
                    Adopt::IfIdentical if !identical => "differs from what the policy says",
                    Adopt::IfIdentical | Adopt::Always => "once its owner marks it",
                };
                assert!(held.message.contains(word), "{adopt}: {}", held.message);
            }
        }
    }
}

#[test]
fn an_object_of_another_policy_is_not_adopted() {
    let policy = policy();
    let mut cluster = foreign(true, &["get"]);
    cluster.edit(&role().reference)["metadata"]["labels"] =
        json!({MANAGED: "true", POLICY: "other"});
    let objects = [role(), namespace()];
    let made = cluster.plan_as(&Wanted {
        adopt: Adopt::Always,
        ..wanted(&policy, &objects)
    });
    assert_eq!(
        reasons(&made),
        [("reader".to_owned(), Reason::ClaimedByPolicy)]
    );
}

#[test]
fn a_restored_object_with_equal_content_is_taken_back_with_marks_or_without() {
    for labels in [json!({}), role_labels()] {
        let mut cluster = Cluster::with(&team());
        let restored = cluster.edit(&role().reference);
        restored["metadata"]["uid"] = "restored".into();
        restored["metadata"]["labels"] = labels;
        let made = cluster.bring(&team());
        assert!(made.held.is_empty(), "{made:?}");
        assert!(matches!(
            made.steps().next().unwrap().action,
            Action::Update { .. }
        ));
        assert!(cluster.plan(&team()).is_settled());
    }
}

fn role_labels() -> Value {
    marked(&policy(), &role().content)["metadata"]["labels"].clone()
}

#[test]
fn a_restored_object_that_says_something_else_is_foreign_without_the_mark() {
    let mut cluster = Cluster::with(&team());
    let restored = cluster.edit(&role().reference);
    restored["metadata"]["uid"] = "restored".into();
    restored["metadata"]["labels"] = json!({});
    restored["rules"][0]["verbs"] = json!(["*"]);
    let held = reasons(&cluster.plan(&team()));
    assert_eq!(held[0], ("reader".to_owned(), Reason::ForeignObject));
}

#[test]
fn what_is_adopted_is_ours_from_then_on() {
    let policy = policy();
    let objects = [role(), namespace()];
    let mut cluster = foreign(true, &["list"]);
    cluster.bring_as(&Wanted {
        adopt: Adopt::Always,
        ..wanted(&policy, &objects)
    });
    assert!(cluster.plan(&objects).is_settled());
    let made = cluster.plan(&[namespace()]);
    assert_eq!(phases(&made), [Phase::RemoveRoles]);
}

#[test]
fn what_was_recorded_of_a_place_that_another_object_has_is_dropped() {
    let mut cluster = Cluster::with(&team());
    let edited = cluster.edit(&role().reference);
    edited["metadata"] = json!({"uid": "another", "resourceVersion": "9"});
    edited["rules"] = json!([]);
    let made = cluster.plan(&team());
    assert_eq!(made.dropped, [role().reference]);
    assert_eq!(
        reasons(&made)[0],
        ("reader".to_owned(), Reason::ForeignObject)
    );
}
