//! Each rule of the planner, and beside it the neighbour that is refused.

use serde_json::json;

use super::*;

#[test]
fn what_others_lean_on_comes_first_and_a_second_plan_is_empty() {
    let mut cluster = Cluster::default();
    let first = cluster.bring(&team());
    assert_eq!(
        phases(&first),
        [
            Phase::Namespaces,
            Phase::Accounts,
            Phase::Roles,
            Phase::Bindings
        ]
    );
    assert!(first.held.is_empty());
    let second = cluster.plan(&team());
    assert!(second.is_settled(), "{second:?}");
    assert_eq!(second.unchanged.len(), 4);
}

#[test]
fn the_order_of_the_input_makes_no_difference() {
    let cluster = Cluster::default();
    let mut turned = team();
    turned.reverse();
    assert_eq!(cluster.plan(&team()), cluster.plan(&turned));
}

#[test]
fn everything_sent_carries_the_marks() {
    for step in Cluster::default().plan(&team()).steps() {
        let Action::Create { content } = &step.action else {
            panic!("{step:?}")
        };
        let labels = &content["metadata"]["labels"];
        assert_eq!(labels[MANAGED], "true");
        assert_eq!(labels[POLICY], "payments");
        assert_eq!(labels[MANAGED_BY], "writ");
    }
}

#[test]
fn a_removed_policy_loses_bindings_before_roles_before_accounts_and_keeps_its_namespace() {
    let mut cluster = Cluster::with(&team());
    let removal = cluster.bring(&[]);
    assert_eq!(
        phases(&removal),
        [
            Phase::RemoveBindings,
            Phase::RemoveRoles,
            Phase::RemoveAccounts,
            Phase::RemoveNamespaces
        ]
    );
    let left: Vec<_> = cluster.objects.keys().collect();
    assert_eq!(left, [&namespace().reference]);
    assert!(cluster.inventory.is_empty() && cluster.plan(&[]).is_settled());
}

#[test]
fn a_namespace_left_behind_is_taken_back_and_one_made_by_others_is_not() {
    let mut cluster = Cluster::with(&team());
    cluster.bring(&[]);
    assert!(cluster.plan(&team()).held.is_empty());
    let at = namespace().reference;
    // The same manifest under another uid: somebody copied it.
    cluster.edit(&at)["metadata"]["uid"] = "another".into();
    assert_eq!(
        reasons(&cluster.plan(&team())),
        [("payments".to_owned(), Reason::ForeignObject)]
    );
}

#[test]
fn what_leaves_the_policy_is_deleted_after_what_comes() {
    let mut cluster = Cluster::with(&team());
    let mut renamed = binding("reader");
    renamed.reference.name = "writ:payments:team".to_owned();
    renamed.content["metadata"]["name"] = "writ:payments:team".into();
    let made = cluster.bring(&[renamed, role(), account(), namespace()]);
    assert_eq!(phases(&made), [Phase::Bindings, Phase::RemoveBindings]);
}

#[test]
fn a_foreign_object_is_refused_and_the_rest_goes_on() {
    let mut cluster = Cluster::default();
    cluster.put(&role().reference, role().content);
    let made = cluster.plan(&team());
    let owners = "writ:payments:owners".to_owned();
    assert_eq!(
        reasons(&made),
        [
            ("reader".to_owned(), Reason::ForeignObject),
            // It would grant what somebody else wrote.
            (owners, Reason::RoleMissing),
        ]
    );
    assert_eq!(made.steps().count(), 2);
}

#[test]
fn a_mark_without_an_inventory_entry_proves_nothing() {
    let mut cluster = Cluster::default();
    cluster.put(&role().reference, marked(&policy(), &role().content));
    assert_eq!(
        reasons(&cluster.plan(&[role()])),
        [("reader".to_owned(), Reason::ForeignObject)]
    );
}

#[test]
fn an_entry_without_uid_is_ours_with_the_mark_and_foreign_without() {
    let mut cluster = Cluster::with(&team());
    for item in &mut cluster.inventory {
        (item.uid, item.content) = (None, None);
    }
    let made = cluster.plan(&team());
    assert!(made.held.is_empty());
    assert_eq!(
        made.steps().count(),
        4,
        "what was never confirmed is sent again"
    );
    cluster.edit(&role().reference)["metadata"]["labels"] = json!({});
    assert_eq!(
        reasons(&cluster.plan(&team()))[..1],
        [("reader".to_owned(), Reason::ForeignObject)]
    );
}

#[test]
fn another_object_under_our_name_is_not_touched() {
    let mut cluster = Cluster::with(&team());
    let at = role().reference;
    cluster.edit(&at)["metadata"]["uid"] = "another".into();
    cluster.edit(&at)["metadata"]["labels"] = json!({});
    cluster.edit(&at)["rules"] = json!([]);
    assert_eq!(
        reasons(&cluster.plan(&team()))[..1],
        [("reader".to_owned(), Reason::ForeignObject)]
    );
    let without = [binding("reader"), account(), namespace()];
    let removal = cluster.plan(&without);
    assert_eq!(removal.dropped, [at]);
    assert!(removal.waves.is_empty());
}

#[test]
fn an_object_of_another_policy_is_refused_by_mark_and_by_claim() {
    let other = PolicyName::parse("sre").unwrap();
    let mut cluster = Cluster::default();
    cluster.put(&role().reference, marked(&other, &role().content));
    let claimed = [("reader".to_owned(), Reason::ClaimedByPolicy)];
    assert_eq!(reasons(&cluster.plan(&[role()])), claimed);

    // Not written yet, but the other policy is about to.
    let mut observed = Cluster::default().observe(&[role()]);
    observed
        .namespaces
        .insert("payments".to_owned(), NamespaceState::Active);
    observed.claims.insert(role().reference, other);
    let made = plan(&wanted(&policy(), &[role()]), &[], &observed, &Limits::NONE);
    assert_eq!(reasons(&made), claimed);
    observed.claims.insert(role().reference, policy());
    assert!(
        plan(&wanted(&policy(), &[role()]), &[], &observed, &Limits::NONE)
            .held
            .is_empty()
    );
}

#[test]
fn a_label_taken_off_by_hand_is_put_back() {
    let mut cluster = Cluster::with(&team());
    cluster.edit(&role().reference)["metadata"]["labels"] = json!({});
    let made = cluster.bring(&team());
    assert!(
        matches!(made.steps().next().unwrap().action, Action::Update { .. }),
        "{made:?}"
    );
    assert!(cluster.plan(&team()).is_settled());
}

#[test]
fn a_subject_added_by_hand_is_taken_away() {
    let mut cluster = Cluster::with(&team());
    let subjects = &mut cluster.edit(&binding("reader").reference)["subjects"];
    subjects
        .as_array_mut()
        .unwrap()
        .push(json!({"kind": "User", "name": "eve"}));
    assert_eq!(cluster.plan(&team()).steps().count(), 1);
}

#[test]
fn a_field_that_leaves_the_content_is_sent_although_the_object_contains_the_rest() {
    let mut labelled = namespace();
    labelled.content["metadata"]["labels"] = json!({"team": "payments"});
    let cluster = Cluster::with(&[labelled]);
    assert_eq!(cluster.plan(&[namespace()]).steps().count(), 1);
}

#[test]
fn a_changed_role_replaces_the_binding_and_changed_subjects_update_it() {
    let mut cluster = Cluster::with(&team());
    let replaced = cluster.plan(&[
        binding("reader2"),
        named_role("reader2"),
        account(),
        namespace(),
    ]);
    let actions: Vec<_> = replaced.steps().collect();
    assert!(
        matches!(
            actions[..],
            [
                _,
                Step {
                    action: Action::Replace { narrowed: None, .. },
                    ..
                },
                _
            ]
        ),
        "{actions:?}"
    );

    let mut wider = binding("reader");
    wider.content["subjects"][0]["name"] = "alice".into();
    let updated = cluster.bring(&[wider, role(), account(), namespace()]);
    assert!(matches!(
        updated.steps().next().unwrap().action,
        Action::Update { .. }
    ));
}

#[test]
fn a_temporary_binding_left_by_a_crash_is_deleted() {
    let mut cluster = Cluster::with(&team());
    let at = temporary_reference(&binding("reader").reference);
    let mut temporary = marked(&policy(), &binding("writer").content);
    temporary["metadata"]["name"] = at.name.as_str().into();
    cluster.put(&at, temporary);
    cluster.inventory.push(InventoryItem::intended(at.clone()));
    let made = cluster.bring(&team());
    assert_eq!(phases(&made), [Phase::RemoveBindings]);
    assert!(!cluster.objects.contains_key(&at));
}

#[test]
fn an_object_waits_for_a_namespace_that_the_policy_does_not_bring() {
    let cluster = Cluster::default();
    let made = cluster.plan(&[role()]);
    assert_eq!(
        reasons(&made),
        [("reader".to_owned(), Reason::NamespaceMissing)]
    );
    assert!(made.waves.is_empty());
    assert!(cluster.plan(&[role(), namespace()]).held.is_empty());
}

#[test]
fn nothing_is_made_in_a_namespace_that_is_going_away() {
    let mut cluster = Cluster::with(&[namespace()]);
    cluster.edit(&namespace().reference)["status"] = json!({"phase": "Terminating"});
    let desired = [namespace(), role()];
    let mut observed = cluster.observe(&desired);
    observed
        .namespaces
        .insert("payments".to_owned(), NamespaceState::Terminating);
    let made = plan(
        &wanted(&policy(), &desired),
        &cluster.inventory,
        &observed,
        &Limits::NONE,
    );
    let held = reasons(&made);
    assert!(
        held.iter()
            .all(|(_, reason)| *reason == Reason::NamespaceTerminating),
        "{held:?}"
    );
    assert_eq!(held.len(), 2);
}

#[test]
fn a_finalizer_holds_a_removal_until_the_object_is_gone() {
    let mut cluster = Cluster::with(&team());
    cluster.edit(&role().reference)["metadata"]["deletionTimestamp"] =
        "2026-01-01T00:00:00Z".into();
    let without = [binding("reader"), account(), namespace()];
    assert_eq!(
        reasons(&cluster.plan(&without)),
        [("reader".to_owned(), Reason::Finalizing)]
    );
    cluster.objects.remove(&role().reference);
    assert_eq!(cluster.plan(&without).dropped, [role().reference]);
}

#[test]
fn what_could_not_be_read_is_neither_written_nor_forgotten() {
    let cluster = Cluster::with(&team());
    let made = plan(
        &wanted(&policy(), &[role()]),
        &cluster.inventory,
        &Observed::default(),
        &Limits::NONE,
    );
    assert!(made.waves.is_empty() && made.dropped.is_empty());
    assert!(
        made.held
            .iter()
            .all(|held| held.reason == Reason::Unavailable)
    );
    assert_eq!(made.held.len(), 4);
}

#[test]
fn an_aggregated_role_is_sent_without_rules_and_what_its_controller_fills_in_is_no_drift() {
    let at = reference("ClusterRole", None, "all-readers");
    let selectors = json!([{"matchLabels": {"aggregate": "yes"}}]);
    let aggregated = object(
        at.clone(),
        json!({"rules": [], "aggregationRule": {"clusterRoleSelectors": selectors}}),
    );
    let mut cluster = Cluster::with(std::slice::from_ref(&aggregated));
    assert!(cluster.edit(&at).get("rules").is_none());
    cluster.edit(&at)["rules"] = json!([{"verbs": ["get"]}]);
    assert!(cluster.plan(&[aggregated]).is_settled());
}

#[test]
fn a_record_reads_back_as_it_was_written() {
    let record = Record {
        as_of: "1:12".parse().unwrap(),
        word: "1:11".parse().unwrap(),
        generation: crate::revision::Generation(3),
        hash: crate::hash::Hash::of(b"body"),
        feed: "policy.eu.prod".parse().unwrap(),
        removed: false,
        done: true,
        tried: true,
        removal: Removal::Orphan,
        objects: Cluster::with(&team()).inventory,
    };
    let stored = serde_json::to_value(&record).unwrap();
    assert_eq!(stored["feed"], "policy.eu.prod");
    assert_eq!(serde_json::from_value::<Record>(stored).unwrap(), record);
    assert!(record.is_newer_than("1:11".parse().unwrap()));
    assert!(!record.is_newer_than("1:12".parse().unwrap()));
}
