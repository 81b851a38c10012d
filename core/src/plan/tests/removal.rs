//! What leaves a policy: deleted, released, or left because it is not ours.

use serde_json::json;

use super::*;

fn deletable() -> Object {
    let mut namespace = namespace();
    namespace.content["metadata"]["annotations"] = json!({"writ.dev/removal": "delete"});
    namespace
}

#[test]
fn an_orphaning_policy_releases_everything_and_takes_it_back() {
    let policy = policy();
    let mut cluster = Cluster::with(&team());
    let made = cluster.bring_as(&Wanted {
        removal: Removal::Orphan,
        ..wanted(&policy, &[])
    });
    assert_eq!(made.steps().count(), 4);
    assert!(
        made.steps()
            .all(|step| matches!(step.action, Action::Release { .. }))
    );
    assert_eq!((cluster.objects.len(), cluster.inventory.len()), (4, 0));
    assert_eq!(
        phases(&made)[0],
        Phase::RemoveBindings,
        "the order is the same"
    );
    let back = cluster.bring(&team());
    assert!(back.held.is_empty() && cluster.plan(&team()).is_settled());
}

#[test]
fn a_namespace_is_deleted_only_where_its_policy_said_so() {
    let mut objects = team();
    objects.pop();
    objects.push(deletable());
    let mut cluster = Cluster::with(&objects);
    let removal = cluster.bring(&[]);
    assert_eq!(
        phases(&removal).last(),
        Some(&Phase::RemoveNamespaces),
        "last of all"
    );
    assert!(cluster.objects.is_empty());

    let mut cluster = Cluster::with(&[deletable()]);
    // The edit that takes the word back comes before the one that takes the namespace out.
    cluster.bring(&[namespace()]);
    cluster.bring(&[]);
    assert_eq!(cluster.objects.len(), 1);
}

#[test]
fn orphaning_outweighs_a_deletable_namespace() {
    let policy = policy();
    let mut cluster = Cluster::with(&[deletable()]);
    cluster.bring_as(&Wanted {
        removal: Removal::Orphan,
        ..wanted(&policy, &[])
    });
    assert_eq!(cluster.objects.len(), 1);
}

#[test]
fn a_namespace_that_is_being_deleted_is_waited_for() {
    let mut cluster = Cluster::with(&[deletable()]);
    cluster.edit(&namespace().reference)["status"] = json!({"phase": "Terminating"});
    assert_eq!(
        reasons(&cluster.plan(&[])),
        [("payments".to_owned(), Reason::NamespaceTerminating)]
    );
}

#[test]
fn a_mark_taken_off_by_hand_is_put_back_before_the_deletion() {
    let mut cluster = Cluster::with(&team());
    let edited = cluster.edit(&role().reference);
    edited["metadata"]["labels"] = json!({"team": "a"});
    edited["metadata"]["managedFields"] = json!([{"manager": "writ"}]);
    let made = cluster.plan(&[binding("reader"), account(), namespace()]);
    let step = made.steps().next().unwrap();
    let Action::Delete {
        remarked: Some(content),
        ..
    } = &step.action
    else {
        panic!("{step:?}")
    };
    assert_eq!(content["metadata"]["labels"][POLICY], "payments");
    assert_eq!(content["metadata"]["labels"]["team"], "a");
    assert_eq!(content["rules"], role().content["rules"]);
    assert_eq!(content["metadata"].get("uid"), None);
}

#[test]
fn an_inventory_entry_alone_takes_no_object_away() {
    let mut cluster = Cluster::with(&team());
    let edited = cluster.edit(&role().reference);
    edited["metadata"]["labels"] = json!({});
    edited["metadata"]["managedFields"] = json!([{"manager": "kubectl"}]);
    let made = cluster.plan(&[binding("reader"), account(), namespace()]);
    assert_eq!(made.dropped, [role().reference]);
    assert_eq!(made.steps().count(), 0);
}

#[test]
fn another_object_with_our_mark_is_neither_deleted_nor_passed_over() {
    let mut cluster = Cluster::with(&team());
    cluster.edit(&role().reference)["metadata"]["uid"] = "another".into();
    let made = cluster.plan(&[account(), namespace()]);
    assert_eq!(
        reasons(&made),
        [("reader".to_owned(), Reason::ForeignObject)]
    );
    assert_eq!(phases(&made), [Phase::RemoveBindings]);
}

#[test]
fn what_may_still_be_wanted_is_not_removed() {
    let cluster = Cluster::with(&team());
    let mut observed = cluster.observe(&[]);
    let binding = binding("reader").reference;
    observed.undecided.insert(
        binding.clone(),
        "the namespaces are not known yet".to_owned(),
    );
    let policy = policy();
    let made = plan(
        &wanted(&policy, &[]),
        &cluster.inventory,
        &observed,
        &Limits::NONE,
    );
    assert_eq!(reasons(&made), [(binding.name, Reason::Unavailable)]);
    assert_eq!(made.steps().count(), 3);
}
