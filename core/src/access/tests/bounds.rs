//! Who, as what, where.

use super::*;

#[test]
fn without_a_rule_only_the_glass_and_the_configuration_administer() {
    let made = reader("payments-readers");
    let denied = makes(&[], &alice(), &made).unwrap_err();
    assert!(
        denied.contains("oidc:alice may not make policy payments-readers"),
        "{denied}"
    );
    assert!(denied.contains("no access rule is for them"), "{denied}");
    assert_eq!(makes(&[], &who(Inlet::BreakGlass, "x", &[]), &made), Ok(()));
    let configured = Administrators([AccessSubject::group("mtls:admins").unwrap()].into());
    let action = Action::Policy {
        before: None,
        after: Some(&made),
    };
    let by = |who: &Identity| Rights::of(who, &configured, &[]).decide(action).is_ok();
    assert!(by(&who(Inlet::Certificate, "x", &["admins"])));
    // The same group of another inlet is another group.
    assert!(!by(&who(Inlet::Oidc, "x", &["admins"])));
    assert!(!by(&who(Inlet::Certificate, "admins", &[])));
}

#[test]
fn a_dashboard_sees_everything_and_changes_nothing_and_no_rule_names_it() {
    let dashboard = who(Inlet::Dashboard, "local", &[]);
    let rights = Rights::of(&dashboard, &Administrators::default(), &[]);
    assert!(rights.are_unbounded() && !rights.are_none());
    assert_eq!(rights.described(), ["viewer of the whole fleet"]);
    let denied = makes(&[], &dashboard, &reader("payments-readers")).unwrap_err();
    assert!(denied.contains("a dashboard only reads"), "{denied}");
    assert!(rights.decide(Action::Fleet).is_err());
    assert_eq!(AccessSubject::user("dashboard:local"), None);
}

#[test]
fn what_somebody_may_is_said_rule_by_rule() {
    let rules = [
        rule(
            json!({"subjects": [{"user": "oidc:alice"}], "role": "viewer", "regions": ["eu"], "stages": ["prod"]}),
        ),
        rule(payments()),
    ];
    let (alice, none) = (alice(), Administrators::default());
    assert_eq!(
        Rights::of(&alice, &none, &rules).described(),
        [
            "editor of regions eu; stages dev, prod; names payments-*",
            "viewer of regions eu; stages prod",
        ]
    );
    assert!(Rights::of(&alice, &none, &[]).described().is_empty());
}

#[test]
fn a_subject_is_of_one_inlet() {
    let rules = [rule(
        json!({"subjects": [{"user": "oidc:alice"}], "role": "administrator"}),
    )];
    let made = reader("payments-readers");
    assert_eq!(makes(&rules, &alice(), &made), Ok(()));
    for other in [
        who(Inlet::ServiceToken, "alice", &[]),
        who(Inlet::Certificate, "alice", &[]),
        who(Inlet::Oidc, "alice2", &["alice"]),
    ] {
        assert!(makes(&rules, &other, &made).is_err(), "{other}");
    }
}

#[test]
fn an_editor_stays_inside_regions_stages_and_names_by_the_scope() {
    let rules = [rule(payments())];
    let of = |name: &str, clusters: Value| policy(name, clusters, json!([]), json!([]));
    let inside = json!({"regions": ["eu"], "stages": ["dev", "prod"], "matchLabels": {"a": "b"}});
    assert_eq!(
        makes(&rules, &alice(), &of("payments-a", inside.clone())),
        Ok(())
    );
    for (name, clusters, said) in [
        ("other", inside, "the name is outside names (payments-*)"),
        (
            "payments-a",
            json!({"all": true}),
            "say spec.clusters.regions",
        ),
        (
            "payments-a",
            json!({"regions": ["eu"]}),
            "say spec.clusters.stages",
        ),
        (
            "payments-a",
            json!({"regions": ["eu", "us"], "stages": ["prod"]}),
            "it goes to us.prod",
        ),
        (
            "payments-a",
            json!({"regions": ["eu"], "stages": ["test"]}),
            "it goes to eu.test",
        ),
        // Names and labels bound nothing: whatever is called so receives it.
        (
            "payments-a",
            json!({"names": ["eu-prod-1"]}),
            "it goes to all.all",
        ),
        (
            "payments-a",
            json!({"matchLabels": {"region": "eu"}}),
            "it goes to all.all",
        ),
    ] {
        let denied = makes(&rules, &alice(), &of(name, clusters)).unwrap_err();
        assert!(denied.contains(said), "{denied}");
        assert!(
            denied.contains("rule r (editor)") && denied.contains("widen a rule"),
            "{denied}"
        );
    }
}

#[test]
fn an_edit_is_judged_before_and_after() {
    let rules = [rule(payments())];
    let own = reader("payments-readers");
    let foreign = policy(
        "payments-readers",
        json!({"regions": ["eu", "us"], "stages": ["prod"]}),
        json!([]),
        json!([]),
    );
    let edit = |before, after| decide(&rules, &alice(), Action::Policy { before, after });
    assert_eq!(edit(Some(&own), Some(&own)), Ok(()));
    assert_eq!(edit(Some(&own), None), Ok(()));
    let takes_over = edit(Some(&foreign), Some(&own)).unwrap_err().to_string();
    assert!(takes_over.contains("as it is, rule r"), "{takes_over}");
    assert!(edit(Some(&foreign), None).is_err(), "deletes");
    let moves_out = edit(Some(&own), Some(&foreign)).unwrap_err().to_string();
    assert!(moves_out.contains("as it would be"), "{moves_out}");
}

#[test]
fn two_rules_do_not_add_up() {
    let mut of_us = payments();
    of_us["regions"] = json!(["us"]);
    let rules = [rule(payments()), rule(of_us)];
    let both = policy(
        "payments-a",
        json!({"regions": ["eu", "us"], "stages": ["prod"]}),
        json!([]),
        json!([]),
    );
    let denied = makes(&rules, &alice(), &both).unwrap_err();
    assert!(
        denied.contains("us.prod") && denied.contains("eu.prod"),
        "{denied}"
    );
}

#[test]
fn viewers_and_editors_edit_neither_clusters_nor_records() {
    let viewer = rule(json!({"subjects": [{"user": "oidc:alice"}], "role": "viewer"}));
    let rules = [viewer.clone(), rule(payments())];
    let of_eu = cluster("eu-prod-1", "eu", "prod", json!({}));
    let record = Record::Rule(viewer);
    let viewer_only = makes(&rules[..1], &alice(), &reader("payments-a")).unwrap_err();
    assert!(viewer_only.contains("a viewer only reads"), "{viewer_only}");
    for action in [
        Action::Cluster {
            before: None,
            after: Some(&of_eu),
        },
        Action::Record {
            before: Some(&record),
            after: None,
        },
        Action::Fleet,
    ] {
        assert!(decide(&rules, &alice(), action).is_err(), "{action:?}");
    }
}

#[test]
fn a_bounded_administrator_gives_no_more_than_they_have() {
    let own =
        json!({"subjects": [{"user": "oidc:alice"}], "role": "administrator", "regions": ["eu"]});
    let rules = [rule(own)];
    let edit = |spec: Value| {
        let record = Record::Rule(rule(spec));
        decide(
            &rules,
            &alice(),
            Action::Record {
                before: None,
                after: Some(&record),
            },
        )
    };
    let subjects = json!([{"user": "oidc:bob"}]);
    assert_eq!(
        edit(
            json!({"subjects": subjects, "role": "administrator", "regions": ["eu"], "stages": ["dev"]})
        ),
        Ok(())
    );
    for spec in [
        json!({"subjects": subjects, "role": "viewer"}),
        json!({"subjects": subjects, "role": "administrator", "regions": ["us"]}),
        json!({"subjects": subjects, "role": "administrator", "regions": ["eu", "us"]}),
        json!({"subjects": subjects, "role": "administrator", "stages": ["dev"]}),
    ] {
        assert!(edit(spec.clone()).is_err(), "{spec}");
    }
    let stage = Record::Stage(stage(json!({"stage": "prod"})));
    let of_stage = Action::Record {
        before: None,
        after: Some(&stage),
    };
    assert!(
        decide(&rules, &alice(), of_stage).is_err(),
        "it is of all regions"
    );
    let of = |name: &str, region: &str| cluster(name, region, "prod", json!({}));
    let register = |cluster: &Cluster| {
        decide(
            &rules,
            &alice(),
            Action::Cluster {
                before: None,
                after: Some(cluster),
            },
        )
    };
    assert_eq!(register(&of("eu-1", "eu")), Ok(()));
    assert!(register(&of("us-1", "us")).is_err());
    assert!(decide(&rules, &alice(), Action::Fleet).is_err());
}

#[test]
fn who_sees_what() {
    let rules = [rule(payments())];
    let alice = alice();
    let rights = Rights::of(&alice, &Administrators::default(), &rules);
    let scope = |text: &str| text.parse::<crate::scope::Scope>().unwrap();
    // What goes to all goes to one's own clusters, too.
    assert!(rights.see_policy("payments-a", [&scope("all.all")]));
    assert!(rights.see_policy("payments-a", [&scope("us.prod"), &scope("eu.dev")]));
    assert!(!rights.see_policy("payments-a", [&scope("us.prod"), &scope("all.test")]));
    assert!(!rights.see_policy("other", [&scope("eu.dev")]));
    assert!(rights.see_cluster(&scope("eu.prod")) && !rights.see_cluster(&scope("us.prod")));
    assert!(rights.see_record(&Record::Rule(rules[0].clone())));
    let other = rule(json!({"subjects": [{"user": "oidc:bob"}], "role": "viewer"}));
    assert!(!rights.see_record(&Record::Rule(other)));
    let bob = who(Inlet::Oidc, "bob", &[]);
    assert!(Rights::of(&bob, &Administrators::default(), &rules).are_none());
}

#[test]
fn prefixes_cover_what_begins_so_and_a_star_covers_all() {
    let of = |texts: &[&str]| Prefixes(texts.iter().map(|text| (*text).to_owned()).collect());
    assert!(of(&["pay"]).cover(&of(&["pay", "payments-"])));
    assert!(!of(&["payments-"]).cover(&of(&["pay"])));
    assert!(!of(&["pay"]).cover(&of(&["*"])) && of(&["*"]).cover(&of(&["*", "x"])));
    assert!(of(&["*"]).fit("x") && !of(&[]).fit("x"));
}

#[test]
fn a_proposal_is_approved_by_somebody_else_while_it_fits() {
    let proposal = Proposal {
        name: "p".parse().unwrap(),
        manifest: None,
        policy: None,
        base: 3,
        reason: String::new(),
        by: alice(),
        confirm: 0,
        expires_ms: 100,
    };
    let bob = who(Inlet::Oidc, "bob", &[]);
    assert_eq!(proposal.check(&bob, 3, 99), Ok(()));
    assert_eq!(proposal.check(&bob, 3, 100), Err(NotApproved::Expired));
    assert_eq!(
        proposal.check(&bob, 4, 99),
        Err(NotApproved::Stale {
            base: 3,
            current: 4
        })
    );
    for own in [
        alice(),
        who(Inlet::ServiceToken, "alice", &[]),
        who(Inlet::BreakGlass, "alice", &[]),
    ] {
        assert!(
            matches!(proposal.check(&own, 3, 99), Err(NotApproved::Own { .. })),
            "{own}"
        );
    }
}

#[test]
fn a_cluster_outside_is_not_taken_from_the_registry_by_a_bounded_administrator() {
    let own =
        json!({"subjects": [{"user": "oidc:alice"}], "role": "administrator", "regions": ["eu"]});
    let rules = [rule(own)];
    let removes = |region: &str| {
        let cluster = cluster("c", region, "prod", json!({}));
        let (before, after) = (Some(&cluster), None);
        decide(&rules, &alice(), Action::Cluster { before, after })
    };
    assert_eq!(removes("eu"), Ok(()));
    assert!(removes("us").is_err());
}
