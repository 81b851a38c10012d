//! What an edit does to the fleet, and what the guards ask.

use super::*;
use crate::{model::RbacSubject, scope::Scope};

fn fleet(count: usize) -> Vec<Cluster> {
    let of = |number| {
        cluster(
            &format!("eu-prod-{number}"),
            "eu",
            "prod",
            json!({"a": "b"}),
        )
    };
    (0..count).map(of).collect()
}

fn impact(
    before: Option<&ClusterPolicy>,
    after: Option<&ClusterPolicy>,
    clusters: &[Cluster],
) -> Impact {
    let clusters: Vec<Pair<'_, Cluster>> = clusters.iter().map(|of| (Some(of), Some(of))).collect();
    Impact::of([(before, after)], clusters)
}

fn of(grants: Value) -> ClusterPolicy {
    policy("p", json!({"all": true}), json!([]), grants)
}

fn grants(users: usize) -> Value {
    let users: Vec<Value> = (0..users)
        .map(|n| json!({"user": format!("u{n}")}))
        .collect();
    json!([{"name": "g", "subjects": users, "clusterRole": "view", "namespaces": ["x", "y"]}])
}

#[test]
fn who_loses_is_counted_once_and_who_gains_not() {
    let clusters = fleet(2);
    let was = of(grants(4));
    let losing =
        |after: Option<&ClusterPolicy>| impact(Some(&was), after, &clusters).losing_count();
    assert_eq!(losing(Some(&was)), 0);
    assert_eq!(losing(Some(&of(grants(9)))), 0);
    assert_eq!(losing(Some(&of(grants(1)))), 3);
    assert_eq!(losing(None), 4);
    let mut fewer = grants(4);
    fewer[0]["namespaces"] = json!(["x"]);
    assert_eq!(losing(Some(&of(fewer))), 4);
    let mut wider = grants(4);
    wider[0]["clusterWide"] = json!(true);
    wider[0].as_object_mut().unwrap().remove("namespaces");
    assert_eq!(
        losing(Some(&of(wider))),
        0,
        "the same role everywhere is no loss"
    );
    let elsewhere = policy("p", json!({"names": ["other"]}), json!([]), grants(4));
    assert_eq!(losing(Some(&elsewhere)), 4);
    assert_eq!(impact(None, Some(&was), &clusters).losing_count(), 0);
}

#[test]
fn a_role_that_shrinks_takes_from_all_who_have_it() {
    let of = |verbs: Value| {
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "r"},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}],
        });
        let grants = json!([{"name": "g", "subjects": [{"user": "a"}, {"user": "b"}], "clusterRole": "r", "clusterWide": true}]);
        policy("p", json!({"all": true}), json!([role]), grants)
    };
    let losing =
        |was: Value, is: Value| impact(Some(&of(was)), Some(&of(is)), &fleet(1)).losing_count();
    assert_eq!(losing(json!(["get", "list"]), json!(["get"])), 2);
    assert_eq!(losing(json!(["get"]), json!(["get", "list"])), 0);
    assert_eq!(losing(json!(["get"]), json!(["*"])), 0);
}

#[test]
fn above_a_limit_the_number_is_asked_for_stage_by_stage() {
    let (few, many) = (fleet(25), fleet(26));
    let confirm = |clusters: &[Cluster], rules: &[StageRules]| {
        impact(None, Some(&of(grants(1))), clusters).to_confirm(rules)
    };
    assert_eq!(confirm(&few, &[]), None);
    let asked = confirm(&many, &[]).unwrap();
    assert_eq!(asked.number, 26);
    assert_eq!(
        asked.reasons,
        ["it reaches 26 clusters of stage prod (more than 25)"]
    );
    let lax = stage(json!({"stage": "prod", "confirmAboveClusters": 100}));
    let strict = stage(json!({"stage": "prod", "confirmAboveClusters": 3}));
    let of_dev = stage(json!({"stage": "dev", "confirmAboveClusters": 0}));
    assert_eq!(confirm(&many, std::slice::from_ref(&lax)), None);
    assert_eq!(confirm(&few, &[of_dev]), None);
    // Of several the strictest counts.
    assert_eq!(confirm(&fleet(4), &[lax, strict]).unwrap().number, 4);
    let was = of(grants(11));
    let asked = impact(Some(&was), None, &fleet(1)).to_confirm(&[]).unwrap();
    assert_eq!((asked.number, asked.reasons.len()), (11, 1));
}

#[test]
fn of_several_rules_of_a_stage_the_strictest_counts_in_every_respect() {
    let rules = [
        stage(json!({"stage": "prod", "confirmAboveSubjects": 100})),
        stage(json!({"stage": "prod", "confirmAboveSubjects": 2, "protectedGroups": ["sre"]})),
    ];
    let was = of(grants(3));
    let asked = impact(Some(&was), None, &fleet(1)).to_confirm(&rules);
    assert_eq!(asked.unwrap().number, 3);
    let sre = of(
        json!([{"name": "g", "subjects": [{"group": "sre"}], "clusterRole": "admin", "clusterWide": true}]),
    );
    let clusters = fleet(1);
    let left = |others: &[ClusterPolicy]| {
        impact(Some(&sre), None, &clusters).unprotected(&rules, others, &clusters)
    };
    assert_eq!(left(&[]).len(), 1);
    // What another group has is no grant of this one.
    let of_others = policy(
        "b",
        json!({"all": true}),
        json!([]),
        json!([{"name": "g", "subjects": [{"group": "devs"}], "clusterRole": "admin", "clusterWide": true}]),
    );
    assert_eq!(left(&[of_others]).len(), 1);
}

#[test]
fn clusters_that_only_observe_count_for_nothing() {
    let mut clusters = fleet(30);
    for cluster in &mut clusters {
        cluster.mode = crate::model::Mode::Observe;
    }
    assert_eq!(
        impact(None, Some(&of(grants(1))), &clusters).cluster_count(),
        0
    );
}

#[test]
fn the_last_grant_of_a_protected_group_is_noticed_in_each_cluster() {
    let sre = |name: &str, clusters: Value| {
        policy(
            name,
            clusters,
            json!([]),
            json!([{"name": "g", "subjects": [{"group": "sre"}, {"user": "x"}], "clusterRole": "admin", "clusterWide": true}]),
        )
    };
    let was = sre("a", json!({"all": true}));
    let (clusters, rules) = (
        fleet(2),
        [stage(json!({"stage": "prod", "protectedGroups": ["sre"]}))],
    );
    let left = |after: Option<&ClusterPolicy>, others: &[ClusterPolicy]| {
        impact(Some(&was), after, &clusters).unprotected(&rules, others, &clusters)
    };
    assert_eq!(
        left(None, &[]),
        ["group sre would have no grant left in eu-prod-0, eu-prod-1"]
    );
    let elsewhere = sre("b", json!({"names": ["eu-prod-0"]}));
    assert_eq!(
        left(None, std::slice::from_ref(&elsewhere)),
        ["group sre would have no grant left in eu-prod-1"]
    );
    assert_eq!(left(None, &[sre("b", json!({"all": true}))]), [""; 0]);
    assert_eq!(left(Some(&was), &[]), [""; 0]);
    let only_user = policy(
        "a",
        json!({"all": true}),
        json!([]),
        json!([{"name": "g", "subjects": [{"user": "x"}], "clusterRole": "admin", "clusterWide": true}]),
    );
    assert_eq!(left(Some(&only_user), &[]).len(), 1);
    assert_eq!(
        impact(Some(&was), None, &clusters).unprotected(&[], &[], &clusters),
        [""; 0]
    );
}

#[test]
fn a_label_that_goes_takes_what_was_selected_by_it() {
    let selected = policy(
        "p",
        json!({"matchLabels": {"a": "b"}}),
        json!([]),
        grants(3),
    );
    let was = cluster("eu-prod-1", "eu", "prod", json!({"a": "b"}));
    let is = cluster("eu-prod-1", "eu", "prod", json!({"a": "c"}));
    let policies = [(Some(&selected), Some(&selected))];
    let told = Impact::of(policies, [(Some(&was), Some(&is))]);
    assert_eq!((told.cluster_count(), told.losing_count()), (1, 3));
    assert!(
        told.losing
            .values()
            .flatten()
            .all(|of| matches!(of, RbacSubject::User(_)))
    );
    assert_eq!(
        Impact::of(policies, [(Some(&was), Some(&was))]).losing_count(),
        0
    );
    assert_eq!(Impact::of(policies, [(Some(&was), None)]).losing_count(), 0);
}

#[test]
fn a_scope_of_all_stages_needs_the_approval_of_each() {
    let rules = [
        stage(json!({"stage": "prod", "requireApproval": true})),
        stage(json!({"stage": "dev"})),
    ];
    let needs = |texts: &[&str]| {
        let scopes: Vec<Scope> = texts.iter().map(|text| text.parse().unwrap()).collect();
        needs_approval(&rules, &scopes).map(ToString::to_string)
    };
    assert_eq!(needs(&["eu.dev", "us.test"]), None);
    assert_eq!(needs(&["eu.dev", "us.prod"]).as_deref(), Some("prod"));
    assert_eq!(needs(&["eu.all"]).as_deref(), Some("prod"));
}
