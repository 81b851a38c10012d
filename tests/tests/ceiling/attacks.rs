//! The table of attacks, and that each admission policy is needed for it.

use futures::stream::{self, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use writ_subscriber::ceiling::{CeilingGuard, NotEnforced};

use crate::guard::api;
use crate::kubectl::{Answer, Fixture, Who, until};

const ATTACKS: &str = include_str!("attacks.yaml");
/// kubectl processes at a time; each is mostly its own start.
const SIDE_BY_SIDE: usize = 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    given: Vec<Value>,
    attacks: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    #[serde(default)]
    rights: Option<Rights>,
    attack: Step,
    refused: String,
    permitted: Step,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Rights {
    TooMany,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    run: Vec<String>,
    #[serde(default)]
    input: Option<Value>,
}

impl Step {
    async fn run(&self, fixture: &Fixture) -> Answer {
        let run: Vec<&str> = self.run.iter().map(String::as_str).collect();
        let input = self.input.as_ref().map(Value::to_string);
        fixture
            .kubectl(Who::Subscriber, &run, input.as_deref())
            .await
    }
}

impl Row {
    /// What went otherwise than the row says. The attack comes first: its neighbour may leave
    /// something behind.
    async fn failure(&self, fixture: &Fixture) -> Option<String> {
        let attack = self.attack.run(fixture).await;
        if attack.succeeded || !attack.text.contains(&self.refused) {
            return Some(format!("{}: attack: {}", self.name, attack.text));
        }
        let permitted = self.permitted.run(fixture).await;
        (!permitted.succeeded).then(|| format!("{}: neighbour: {}", self.name, permitted.text))
    }
}

async fn failures(fixture: &Fixture, rows: impl Iterator<Item = &Row>) -> Vec<String> {
    stream::iter(rows)
        .map(|row| row.failure(fixture))
        .buffer_unordered(SIDE_BY_SIDE)
        .filter_map(async |failure| failure)
        .collect()
        .await
}

/// Makes what the table needs, and waits until the API server's caches of roles have all of it: the
/// last role of each kind is refused by then.
async fn prepare(fixture: &Fixture, given: &[Value]) {
    fixture.create(given).await;
    let role = |kind: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "rules": [],
            "metadata": {"name": "last", "namespace": (kind == "Role").then_some("ours")},
        })
    };
    fixture.create(&[role("Role"), role("ClusterRole")]).await;
    for kind in ["role", "clusterrole"] {
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": "last", "namespace": "ours", "labels": {"writ.dev/policy": "p"}},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "name": "last",
                "kind": if kind == "role" { "Role" } else { "ClusterRole" },
            },
        });
        let asked = ["create", "--dry-run=server", "-f", "-"];
        until("the roles are known", async || {
            let answer = fixture
                .kubectl(Who::Subscriber, &asked, Some(&binding.to_string()))
                .await;
            answer.text.contains("may not be bound")
        })
        .await;
    }
}

/// Binds the account to cluster-admin, as a careless administrator might.
async fn give_too_many_rights(fixture: &Fixture) {
    let account = "--serviceaccount=writ-system:writ-subscriber";
    let role = "--clusterrole=cluster-admin";
    fixture
        .admin(
            &["create", "clusterrolebinding", "careless", role, account],
            None,
        )
        .await;
    until("the rights are there", async || {
        let asked = ["auth", "can-i", "delete", "secrets", "-A"];
        fixture
            .kubectl(Who::Subscriber, &asked, None)
            .await
            .succeeded
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attack_is_refused_and_its_neighbour_is_not() {
    let fixture = Fixture::start().await;
    let table: Table = serde_saphyr::from_str(ATTACKS).unwrap();
    prepare(&fixture, &table.given).await;
    let has = |row: &&Row, too_many| (row.rights == Some(Rights::TooMany)) == too_many;
    let usual = table.attacks.iter().filter(|row| has(row, false));
    let mut failed = failures(&fixture, usual).await;
    give_too_many_rights(&fixture).await;
    let careless = table.attacks.iter().filter(|row| has(row, true));
    failed.extend(failures(&fixture, careless).await);
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_writ_made_and_left_may_be_taken_back_and_a_lost_label_put_back() {
    let fixture = Fixture::start().await;
    let subscriber = async |run: &[&str], input: Option<&str>| {
        fixture.kubectl(Who::Subscriber, run, input).await
    };
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "left"}});
    fixture.create(&[namespace]).await;
    let label = ["label", "namespace", "left", "writ.dev/policy=p"];
    let refused = subscriber(&label, None).await;
    assert!(refused.text.contains("ForeignObject"), "{}", refused.text);
    let uid = ["get", "namespace", "left", "-o", "jsonpath={.metadata.uid}"];
    let sign = format!("writ.dev/released={}", fixture.admin(&uid, None).await);
    fixture
        .admin(&["annotate", "namespace", "left", &sign], None)
        .await;
    let taken = subscriber(&label, None).await;
    assert!(taken.succeeded, "{}", taken.text);

    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "rules": [],
        "metadata": {"name": "ours", "labels": {"writ.dev/policy": "p"}},
    })
    .to_string();
    let apply = ["apply", "--server-side", "--field-manager=writ", "-f", "-"];
    assert!(subscriber(&apply, Some(&role)).await.succeeded);
    fixture
        .admin(&["label", "clusterrole", "ours", "writ.dev/policy-"], None)
        .await;
    let put_back = subscriber(&apply, Some(&role)).await;
    assert!(put_back.succeeded, "{}", put_back.text);
}

/// For each admission policy, what only it refuses.
const ONLY_BY: [(&str, &str); 6] = [
    ("writ-ceiling-fence", "binds in its own namespace"),
    (
        "writ-ceiling-objects",
        "labels the account of others as its own, to delete it",
    ),
    ("writ-ceiling-roles", "writes a wildcard role"),
    ("writ-ceiling-bindings", "binds itself to cluster-admin"),
    ("writ-ceiling-bound-clusterroles", "binds a role of others"),
    (
        "writ-ceiling-bound-roles",
        "binds a role of others in a namespace",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn without_any_one_policy_an_attack_succeeds_and_the_guard_says_so() {
    let fixture = Fixture::start().await;
    let table: Table = serde_saphyr::from_str(ATTACKS).unwrap();
    prepare(&fixture, &table.given).await;
    let guard = CeilingGuard::new(api(&fixture).await);
    guard.examine().await.unwrap();
    for (policy, name) in ONLY_BY {
        let row = table.attacks.iter().find(|row| row.name == name).unwrap();
        let before = row.attack.run(&fixture).await;
        assert!(!before.succeeded, "{name}: {}", before.text);
        let delete = ["delete", "validatingadmissionpolicybinding", policy];
        fixture.admin(&delete, None).await;
        until(&format!("without {policy}: {name}"), async || {
            row.attack.run(&fixture).await.succeeded
        })
        .await;
        // The twin of the policy for ClusterRoles is not asked by itself.
        if policy != "writ-ceiling-bound-roles" {
            let said = guard.examine().await.unwrap_err();
            assert!(
                matches!(&said, NotEnforced::Allowed { policy: named, .. } if *named == policy),
                "{policy}: {said:?}"
            );
        }
        fixture.deploy("ceiling.yaml").await;
        until(&format!("{policy} is back"), async || {
            guard.examine().await.is_ok()
        })
        .await;
    }
}
