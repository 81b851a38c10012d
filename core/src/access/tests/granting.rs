//! What may be granted: an editor of a region is not its cluster-admin.

use super::*;

fn of(objects: Value, grants: Value) -> ClusterPolicy {
    let clusters = json!({"regions": ["eu"], "stages": ["prod"]});
    policy("payments-a", clusters, objects, grants)
}

fn object(kind: &str, name: &str, namespace: Option<&str>, body: Value) -> Value {
    let group = if matches!(kind, "Namespace" | "ConfigMap" | "Service") {
        "v1"
    } else {
        "rbac.authorization.k8s.io/v1"
    };
    let mut object = json!({"apiVersion": group, "kind": kind, "metadata": {"name": name}});
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = json!(namespace);
    }
    for (key, value) in body.as_object().unwrap() {
        match key.as_str() {
            "labels" => object["metadata"]["labels"] = value.clone(),
            key => object[key] = value.clone(),
        }
    }
    object
}

fn role(verbs: &[&str], resources: &[&str]) -> Value {
    json!({"rules": [{"apiGroups": [""], "resources": resources, "verbs": verbs}]})
}

fn grant(change: Value) -> Value {
    let mut grant = json!({
        "name": "g", "subjects": [{"group": "payments-x"}], "clusterRole": "view",
        "namespaces": ["payments-api"],
    });
    for (key, value) in change.as_object().unwrap() {
        match value {
            Value::Null => drop(grant.as_object_mut().unwrap().remove(key)),
            value => grant[key] = value.clone(),
        }
    }
    json!([grant])
}

#[test]
fn what_is_within_is_let_through() {
    let rules = [rule(payments())];
    for (objects, grants) in [
        (json!([]), grant(json!({}))),
        (
            json!([]),
            grant(json!({"subjects": [{"user": "dev-1"}, {"serviceAccount": "payments-ci/bot"}]})),
        ),
        (
            json!([object("Namespace", "payments-api", None, json!({}))]),
            json!([]),
        ),
        (
            json!([object(
                "Role",
                "r",
                Some("payments-api"),
                role(&["get"], &["pods", "x/scale"])
            )]),
            grant(json!({"clusterRole": null, "role": "r"})),
        ),
        (
            json!([object(
                "ClusterRole",
                "payments-r",
                None,
                role(&["get", "list"], &["pods"])
            )]),
            grant(json!({"clusterRole": "payments-r"})),
        ),
        (
            json!([object(
                "ConfigMap",
                "c",
                Some("payments-api"),
                json!({"data": {"a": "b"}})
            )]),
            json!([]),
        ),
    ] {
        assert_eq!(makes(&rules, &alice(), &of(objects, grants)), Ok(()));
    }
}

#[test]
fn what_is_beyond_is_refused_and_named() {
    let rules = [rule(payments())];
    let pod_reader = |name: &str, labels: Value| {
        let mut body = role(&["get"], &["pods"]);
        body["labels"] = labels;
        object("ClusterRole", name, None, body)
    };
    let aggregated =
        json!({"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}});
    let binding = json!({
        "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "Group", "name": "payments"}],
    });
    let urls = json!({"rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]});
    for (objects, grants, said) in [
        (
            json!([]),
            grant(json!({"clusterRole": "cluster-admin"})),
            "gives ClusterRole cluster-admin",
        ),
        (
            json!([]),
            grant(json!({"clusterRole": "admin"})),
            "not in mayGrant.clusterRoles (edit, view)",
        ),
        (
            json!([]),
            grant(json!({"clusterRole": null, "role": "somebodys"})),
            "which the policy does not carry in that namespace",
        ),
        (
            json!([]),
            grant(json!({"namespaces": ["kube-system"]})),
            "outside mayGrant.namespaces (payments-*)",
        ),
        (
            json!([]),
            grant(json!({"namespaces": null, "clusterWide": true})),
            "holds in the whole cluster",
        ),
        (
            json!([]),
            grant(json!({"namespaces": null, "namespaceSelector": {"matchLabels": {"a": "b"}}})),
            "selects namespaces by label",
        ),
        (
            json!([]),
            grant(json!({"subjects": [{"group": "other"}]})),
            "is for group other",
        ),
        (
            json!([]),
            grant(json!({"subjects": [{"user": "payments"}]})),
            "is for user payments",
        ),
        (
            json!([]),
            grant(json!({"subjects": [{"serviceAccount": "payments-c/bot"}]})),
            "is for service account payments-c/bot",
        ),
        (
            json!([object(
                "RoleBinding",
                "b",
                Some("payments-api"),
                binding.clone()
            )]),
            json!([]),
            "gives ClusterRole cluster-admin",
        ),
        (
            json!([object("ClusterRoleBinding", "payments-b", None, binding)]),
            json!([]),
            "holds in the whole cluster",
        ),
        (
            json!([object(
                "Role",
                "r",
                Some("payments-api"),
                role(&["delete"], &["pods"])
            )]),
            json!([]),
            "delete pods is not in mayGrant.rules",
        ),
        (
            json!([object(
                "Role",
                "r",
                Some("payments-api"),
                role(&["*"], &["pods"])
            )]),
            json!([]),
            "* pods is not in",
        ),
        (
            json!([object(
                "Role",
                "r",
                Some("payments-api"),
                role(&["get"], &["*"])
            )]),
            json!([]),
            "get * is not in",
        ),
        (
            json!([object(
                "Role",
                "r",
                Some("payments-api"),
                role(&["get"], &["pods/exec"])
            )]),
            json!([]),
            "get pods/exec is not in",
        ),
        (
            json!([object(
                "Role",
                "r",
                Some("payments-api"),
                role(&["get"], &["secrets"])
            )]),
            json!([]),
            "get secrets is not in",
        ),
        (
            json!([object("ClusterRole", "payments-r", None, urls)]),
            json!([]),
            "get /metrics is not in",
        ),
        (
            json!([object(
                "Role",
                "r",
                Some("default"),
                role(&["get"], &["pods"])
            )]),
            json!([]),
            "Role default/r is outside",
        ),
        (
            json!([object("Namespace", "default", None, json!({}))]),
            json!([]),
            "Namespace default is outside",
        ),
        (
            json!([object(
                "ClusterRole",
                "view",
                None,
                role(&["get"], &["pods"])
            )]),
            json!([]),
            "its name is outside names",
        ),
        (
            json!([object("ClusterRole", "payments-r", None, aggregated)]),
            json!([]),
            "filled from other roles",
        ),
        (
            json!([pod_reader(
                "payments-r",
                json!({"rbac.authorization.k8s.io/aggregate-to-admin": "true"})
            )]),
            json!([]),
            "other roles may be filled from it",
        ),
        (
            json!([pod_reader("payments-r", json!({"monitoring": "true"}))]),
            json!([]),
            "other roles may be filled from it",
        ),
        (
            json!([object(
                "Service",
                "s",
                Some("payments-api"),
                json!({"spec": {}})
            )]),
            json!([]),
            "of a kind of which only",
        ),
        (
            json!([object(
                "Namespace",
                "payments-x",
                None,
                json!({"labels": {"pod-security.kubernetes.io/enforce": "privileged"}})
            )]),
            json!([]),
            "all privileges",
        ),
    ] {
        let denied = makes(&rules, &alice(), &of(objects.clone(), grants)).expect_err(said);
        assert!(denied.contains(said), "{said}: {denied}");
    }
}

#[test]
fn a_carried_role_of_another_namespace_is_not_the_one_that_is_given() {
    let rules = [rule(payments())];
    let objects = json!([object(
        "Role",
        "r",
        Some("payments-a"),
        role(&["get"], &["pods"])
    )]);
    let grants = grant(
        json!({"clusterRole": null, "role": "r", "namespaces": ["payments-a", "payments-b"]}),
    );
    let denied = makes(&rules, &alice(), &of(objects, grants)).unwrap_err();
    assert!(
        denied.contains("RoleBinding payments-b/writ:payments-a:g gives Role r"),
        "{denied}"
    );
}

#[test]
fn who_may_grant_everything_is_bounded_by_place_alone() {
    let mut spec = payments();
    spec["mayGrant"] = json!({
        "clusterRoles": ["cluster-admin"], "clusterWide": true, "namespaces": ["*"],
        "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
        "subjects": {"users": ["*"], "groups": ["*"], "serviceAccounts": ["*"]},
    });
    let rules = [rule(spec)];
    let objects = json!([
        object(
            "ClusterRole",
            "payments-r",
            None,
            role(&["*"], &["*", "pods/exec"])
        ),
        object(
            "Role",
            "r",
            Some("default"),
            role(&["escalate"], &["roles"])
        ),
    ]);
    let grants = grant(
        json!({"clusterRole": "cluster-admin", "namespaces": null, "clusterWide": true, "subjects": [{"user": "x"}]}),
    );
    assert_eq!(makes(&rules, &alice(), &of(objects, grants)), Ok(()));
}

#[test]
fn a_rule_is_read_as_strictly_as_every_other_document() {
    let refused = |change: fn(&mut Value), field: &str, said: &str| {
        let mut spec = payments();
        change(&mut spec);
        let document = json!({
            "apiVersion": "writ.dev/v1alpha1", "kind": "AccessRule", "metadata": {"name": "r"}, "spec": spec,
        });
        let problems = parse(&document).expect_err(said);
        let found = problems
            .iter()
            .any(|problem| problem.field == field && problem.message.contains(said));
        assert!(found, "{field}: {said}: {problems:?}");
    };
    refused(
        |s| s["subjects"] = json!([]),
        "spec.subjects",
        "is required",
    );
    refused(
        |s| s["subjects"] = json!([{"user": "alice"}]),
        "spec.subjects[0].user",
        "INLET:USER",
    );
    refused(
        |s| s["subjects"] = json!([{"user": "break-glass:a"}]),
        "spec.subjects[0].user",
        "INLET:USER",
    );
    refused(
        |s| s["subjects"] = json!([{"user": "unauthenticated:a"}]),
        "spec.subjects[0].user",
        "INLET:USER",
    );
    refused(
        |s| s["subjects"] = json!([{"group": "oidc:"}]),
        "spec.subjects[0].group",
        "INLET:GROUP",
    );
    refused(
        |s| s["subjects"] = json!([{"user": "oidc:a", "group": "oidc:b"}]),
        "spec.subjects[0]",
        "either user or group",
    );
    refused(|s| s["role"] = json!("admin"), "spec.role", "administrator");
    refused(
        |s| s["role"] = json!("viewer"),
        "spec.mayGrant",
        "bounds editors only",
    );
    refused(
        |s| s["mayGrant"] = json!(null),
        "spec.mayGrant",
        "is required of an editor",
    );
    refused(
        |s| s["regions"] = json!([]),
        "spec.regions",
        "must not be empty",
    );
    refused(
        |s| s["regions"] = json!(["all"]),
        "spec.regions[0]",
        "reserved",
    );
    refused(
        |s| s["names"] = json!(["pay*"]),
        "spec.names[0]",
        "beginning of a name",
    );
    refused(
        |s| s["names"] = json!([""]),
        "spec.names[0]",
        "beginning of a name",
    );
    refused(|s| s["region"] = json!(["eu"]), "spec.region", "regions");
    refused(
        |s| s["mayGrant"]["clusterRoles"] = json!(["*"]),
        "spec.mayGrant.clusterRoles[0]",
        "whole name",
    );
    refused(
        |s| s["mayGrant"]["clusterRoles"] = json!(["writ-subscriber"]),
        "spec.mayGrant.clusterRoles[0]",
        "Writ itself",
    );
    refused(
        |s| s["mayGrant"]["rules"][0]["verbs"] = json!([]),
        "spec.mayGrant.rules[0].verbs",
        "must not be empty",
    );
    refused(
        |s| s["mayGrant"]["rules"] = json!([{"verbs": ["get"], "apiGroups": [""]}]),
        "spec.mayGrant.rules[0]",
        "needs verbs",
    );
    refused(
        |s| s["mayGrant"]["subjects"]["user"] = json!(["a"]),
        "spec.mayGrant.subjects.user",
        "users",
    );
}

#[test]
fn a_rule_of_more_combinations_than_anybody_looks_at_is_refused() {
    let mut may = payments();
    may["mayGrant"]["rules"] = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get"]}]);
    let rules = [rule(may)];
    let names = |letter: &str, count: usize| -> Vec<String> {
        (0..count).map(|n| format!("{letter}{n}")).collect()
    };
    let holding = |count: usize| {
        let body = json!({"rules": [{
            "apiGroups": names("g", count), "resources": names("r", count), "verbs": ["get"],
        }]});
        of(
            json!([object("Role", "r", Some("payments-api"), body)]),
            json!([]),
        )
    };
    assert_eq!(makes(&rules, &alice(), &holding(100)), Ok(()));
    let said = makes(&rules, &alice(), &holding(150)).unwrap_err();
    assert!(said.contains("22500 combinations"), "{said}");
}
