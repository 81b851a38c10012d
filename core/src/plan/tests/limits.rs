//! What the cluster's owner forbids, what is only reported, and what others fight over.

use serde_json::json;

use super::*;

fn quota(pods: &str) -> Object {
    object(
        reference("ResourceQuota", Some("payments"), "team"),
        json!({"spec": {"hard": {"pods": pods, "requests.memory": "1024Mi"}}}),
    )
}

#[test]
fn what_exceeds_the_ceiling_is_left_as_it_is_and_the_rest_goes_on() {
    let mut cluster = Cluster::with(&team());
    let before = cluster.objects[&role().reference].clone();
    let mut wider = team();
    wider[1].content["rules"][0]["verbs"] = json!(["get", "escalate"]);
    wider[2].content["automountServiceAccountToken"] = json!(false);
    let forbids = |object: &Object| {
        let escalates = object.content.to_string().contains("escalate");
        escalates.then(|| "verb escalate: PolicyCeiling/default denies it".to_owned())
    };
    let limits = Limits {
        forbids: &forbids,
        ..Limits::NONE
    };
    let observed = cluster.observe(&wider);
    let policy = policy();
    let made = plan(
        &wanted(&policy, &wider),
        &cluster.inventory,
        &observed,
        &limits,
    );
    assert_eq!(
        reasons(&made),
        [("reader".to_owned(), Reason::CeilingExceeded)]
    );
    assert_eq!(phases(&made), [Phase::Accounts]);
    cluster.carry_out(&made);
    assert_eq!(cluster.objects[&role().reference], before);
}

#[test]
fn a_binding_to_a_role_that_the_ceiling_keeps_away_waits() {
    let cluster = Cluster::with(&[namespace()]);
    let limits = Limits {
        forbids: &|object| (object.reference.kind == "Role").then(|| "no".to_owned()),
        ..Limits::NONE
    };
    let policy = policy();
    let made = plan(
        &wanted(&policy, &team()),
        &cluster.inventory,
        &cluster.observe(&team()),
        &limits,
    );
    let words: Vec<Reason> = reasons(&made)
        .into_iter()
        .map(|(_, reason)| reason)
        .collect();
    assert_eq!(words, [Reason::CeilingExceeded, Reason::RoleMissing]);
}

#[test]
fn bounds_come_before_access_and_go_after_it() {
    let range = object(
        reference("LimitRange", Some("payments"), "defaults"),
        json!({"spec": {"limits": []}}),
    );
    let settings = object(
        reference("ConfigMap", Some("payments"), "settings"),
        json!({"data": {"a": "b"}}),
    );
    let mut objects = team();
    objects.extend([settings, quota("200"), range]);
    let mut cluster = Cluster::default();
    assert_eq!(
        phases(&cluster.bring(&objects)),
        [
            Phase::Namespaces,
            Phase::Accounts,
            Phase::LimitRanges,
            Phase::Quotas,
            Phase::Roles,
            Phase::Bindings,
            Phase::Rest
        ]
    );
    assert_eq!(
        phases(&cluster.bring(&[])),
        [
            Phase::RemoveBindings,
            Phase::RemoveRest,
            Phase::RemoveRoles,
            Phase::RemoveAccounts,
            Phase::RemoveQuotas,
            Phase::RemoveNamespaces
        ]
    );
}

#[test]
fn a_quantity_in_another_spelling_is_no_change_and_another_amount_is_one() {
    let objects = [quota("200"), namespace()];
    let mut cluster = Cluster::with(&objects);
    let at = quota("200").reference;
    cluster.edit(&at)["spec"]["hard"]["requests.memory"] = json!("1Gi");
    assert!(cluster.plan(&objects).is_settled());
    cluster.edit(&at)["spec"]["hard"]["requests.memory"] = json!("2Gi");
    assert_eq!(cluster.plan(&objects).steps().count(), 1);
}

#[test]
fn a_reporting_policy_names_drift_and_writes_nothing() {
    let policy = policy();
    let mut cluster = Cluster::with(&team());
    let report = Wanted {
        drift: OnDrift::Report,
        ..wanted(&policy, &[])
    };
    let objects = team();
    let report = Wanted {
        objects: &objects,
        ..report
    };
    assert!(cluster.plan_as(&report).is_settled());

    cluster.objects.remove(&account().reference);
    let edited = cluster.edit(&role().reference);
    edited["rules"][0]["verbs"] = json!(["*"]);
    edited["metadata"]["managedFields"] =
        json!([{"manager": "writ", "time": "2"}, {"manager": "kubectl", "time": "1"}]);
    cluster.edit(&binding("reader").reference)["roleRef"]["name"] = json!("admin");
    let made = cluster.plan_as(&report);
    assert!(made.waves.is_empty());
    let told: Vec<_> = made
        .held
        .iter()
        .map(|held| (held.reason, held.message.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (Reason::Drifted, "deleted"),
            (Reason::Drifted, "changed by kubectl"),
            (Reason::Drifted, "bound to another role")
        ]
    );

    // What is new is applied all the same.
    let mut more = team();
    more.push(quota("1"));
    let more = Wanted {
        objects: &more,
        ..report
    };
    assert_eq!(phases(&cluster.plan_as(&more)), [Phase::Quotas]);

    // Healed by hand: another object, as it should be.
    let mut cluster = Cluster::with(&team());
    cluster.edit(&role().reference)["metadata"]["uid"] = "made-by-hand".into();
    assert!(cluster.plan_as(&report).is_settled());
}

#[test]
fn steps_that_put_back_say_what_they_undo_and_an_edit_undoes_nothing() {
    let mut cluster = Cluster::with(&team());
    cluster.objects.remove(&account().reference);
    let mut edited = team();
    edited[1].content["rules"][0]["verbs"] = json!(["list"]);
    let made = cluster.plan(&edited);
    let undone: Vec<_> = made.steps().map(|step| step.undoes).collect();
    assert_eq!(undone, [Some(Change::Deleted), None]);
}

#[test]
fn what_others_fight_over_is_left_alone_unless_it_is_edited() {
    let mut cluster = Cluster::with(&team());
    cluster.edit(&role().reference)["rules"] = json!([]);
    let mut observed = cluster.observe(&team());
    let message = "argocd keeps changing it".to_owned();
    observed.contended.insert(role().reference, message.clone());
    let policy = policy();
    let made = plan(
        &wanted(&policy, &team()),
        &cluster.inventory,
        &observed,
        &Limits::NONE,
    );
    assert!(made.waves.is_empty());
    assert_eq!(
        (made.held[0].reason, &made.held[0].message),
        (Reason::Contended, &message)
    );

    let mut edited = team();
    edited[1].content["rules"][0]["verbs"] = json!(["list"]);
    let made = plan(
        &wanted(&policy, &edited),
        &cluster.inventory,
        &observed,
        &Limits::NONE,
    );
    assert_eq!(made.steps().count(), 1);
}
