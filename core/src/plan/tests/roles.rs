//! Bindings and the roles that they name.

use serde_json::json;

use super::*;

fn team_with(role: &str, users: &[&str]) -> Vec<Object> {
    let mut binding = binding(role);
    let subject = |user: &&str| json!({"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"});
    binding.content["subjects"] = users.iter().map(subject).collect();
    vec![
        binding,
        named_role("reader"),
        named_role("writer"),
        namespace(),
    ]
}

fn replacement(made: &Plan) -> Option<Value> {
    match &made.steps().next().unwrap().action {
        Action::Replace { narrowed, .. } => narrowed.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_binding_waits_for_its_role_and_a_standing_one_is_kept() {
    let lonely = [binding("reader"), namespace()];
    let mut cluster = Cluster::with(&[namespace()]);
    let waits = [("writ:payments:owners".to_owned(), Reason::RoleMissing)];
    let made = cluster.plan(&lonely);
    assert_eq!(reasons(&made), waits);
    assert_eq!(made.steps().count(), 0);

    // Another policy brings it.
    cluster.put(&role().reference, role().content);
    cluster.bring(&lonely);
    assert!(cluster.plan(&lonely).is_settled());

    cluster.objects.remove(&role().reference);
    let made = cluster.plan(&lonely);
    assert_eq!(reasons(&made), waits);
    assert_eq!(made.steps().count(), 0, "what stands stays");
}

#[test]
fn a_binding_whose_role_is_gone_still_loses_the_subjects_that_leave() {
    let cluster = &mut Cluster::with(&team_with("reader", &["alice", "bob"]));
    cluster.objects.remove(&role().reference);
    cluster
        .inventory
        .retain(|item| item.reference != role().reference);
    let narrower = [team_with("reader", &["bob"]).remove(0), namespace()];
    let made = cluster.plan(&narrower);
    let update = made
        .steps()
        .find(|step| matches!(step.action, Action::Update { .. }));
    let Some(Action::Update { content, .. }) = update.map(|step| &step.action) else {
        panic!("{made:?}")
    };
    assert_eq!(content["subjects"].as_array().unwrap().len(), 1);
    assert_eq!(reasons(&made)[0].1, Reason::RoleMissing);
}

#[test]
fn a_role_that_could_not_be_read_holds_nothing_that_stands() {
    let lonely = [binding("reader"), namespace()];
    let mut cluster = Cluster::with(&[namespace()]);
    cluster.put(&role().reference, role().content);
    cluster.bring(&lonely);
    let mut observed = cluster.observe(&lonely);
    observed.roles.clear();
    let policy = policy();
    let made = plan(
        &wanted(&policy, &lonely),
        &cluster.inventory,
        &observed,
        &Limits::NONE,
    );
    assert!(made.is_settled(), "{made:?}");
}

#[test]
fn subjects_that_leave_go_before_the_role_changes() {
    let cluster = Cluster::with(&team_with("reader", &["alice", "bob"]));
    let narrowed = replacement(&cluster.plan(&team_with("writer", &["bob", "carl"]))).unwrap();
    assert_eq!(narrowed["roleRef"]["name"], "reader");
    let names: Vec<_> = narrowed["subjects"].as_array().unwrap().iter().collect();
    assert_eq!(names.len(), 1);
    assert_eq!(names[0]["name"], "bob");
    assert_eq!(narrowed["metadata"]["labels"][POLICY], "payments");
}

#[test]
fn where_nobody_leaves_the_old_binding_stays_as_it_is() {
    let mut cluster = Cluster::with(&team_with("reader", &["bob"]));
    // As the server may answer it.
    cluster.edit(&binding("reader").reference)["subjects"][0]["apiGroup"] = json!("");
    let made = cluster.plan(&team_with("writer", &["bob", "carl"]));
    assert_eq!(replacement(&made), None);
}

#[test]
fn a_binding_without_our_mark_is_marked_before_it_is_replaced() {
    let mut cluster = Cluster::with(&team_with("reader", &["bob"]));
    cluster.edit(&binding("reader").reference)["metadata"]["labels"] = json!({});
    assert!(replacement(&cluster.plan(&team_with("writer", &["bob"]))).is_some());
}
