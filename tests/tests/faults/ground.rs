//! What all tests of faults stand on: the fleet for themselves, and eyes on the log.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::sync::Mutex;
use tonic::transport::Channel;
use writ_bus::{
    Client, accounts,
    connection::{self, FirstConnect, Login, Options},
};
use writ_core::{
    edit::{Intent, Kind},
    envelope::Keyring,
    name::Name,
    subject::BusSubject,
};
use writ_proto::{
    trust::Trust,
    v1::{ClusterLine, PolicyStatus, PolicyVersion, StatusRequest, status_request::Of},
};
use writ_tests::history::{self, Edits, Made};

use crate::{
    compare,
    harness::{LIMIT, PROD, STAGE, Shared, run, wait_for},
    row::Row,
};

/// The clusters of the fleet.
pub(crate) const CLUSTERS: [&str; 2] = [PROD, STAGE];

/// How long one call may take: an edit's own time, and that of a batch in doubt.
const CALL_TIME_MAX: Duration = Duration::from_secs(35);

/// What happens to one happens to all, so the tests take turns.
static TURN: Mutex<()> = Mutex::const_new(());

/// The fleet, and how the log is read.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) fleet: &'static Shared,
    pub(crate) publisher: Channel,
    pub(crate) reader: Client,
    pub(crate) trusted: Keyring,
}

/// Runs a test when it is its turn.
pub(crate) fn alone<F: Future<Output = ()>>(test: impl FnOnce(Ground) -> F) {
    run(async |fleet: &'static Shared| {
        let _turn = TURN.lock().await;
        test(Ground::of(fleet).await).await;
    });
}

impl Ground {
    async fn of(fleet: &'static Shared) -> Ground {
        let channel = {
            let fleet = fleet.fleet.lock().await;
            let address = fleet.address();
            fleet.api().channel(address, Some(CALL_TIME_MAX)).unwrap()
        };
        let publisher = Name::parse("publisher-1").unwrap();
        let reader = connection::connect(Options {
            url: fleet.bus_url.clone(),
            login: Login::File(fleet.publisher_credentials()),
            inbox: accounts::publisher_inbox(&publisher),
            name: "reader".into(),
            first_connect: FirstConnect::Now,
        });
        let trust = std::fs::read(fleet.dir.join("keys/trust")).unwrap();
        Ground {
            fleet,
            publisher: channel,
            reader: reader.await.unwrap(),
            trusted: Trust::from_file(&trust).unwrap().bundle.keyring(),
        }
    }

    /// The last edit of a policy, as the log has it.
    pub(crate) async fn last(&self, name: &str) -> Option<Intent> {
        let (kind, name) = (Kind::Policy, Name::parse(name).unwrap());
        let subject = BusSubject::Intent { kind, name };
        let kept = history::kept::<Intent>(&self.reader, &subject, &self.trusted).await;
        kept.into_iter().next_back()
    }

    /// Where an edit of a policy stands; generation 0 is the last one.
    pub(crate) async fn status(&self, name: &str, generation: u64) -> Option<PolicyStatus> {
        let name = name.to_owned();
        let of = PolicyVersion { name, generation };
        let request = StatusRequest {
            of: Some(Of::Policy(of)),
            ..Default::default()
        };
        let status = self.fleet.acks().get_status(request).await.ok()?;
        status.into_inner().policies.into_iter().next()
    }

    /// Where the last edit of a policy stands on a cluster.
    pub(crate) async fn line(&self, name: &str, cluster: &str) -> Option<ClusterLine> {
        let status = self.status(name, 0).await?;
        let mut lines = status.clusters.into_iter();
        lines.find(|line| line.cluster == cluster)
    }

    /// Waits until every cluster of every policy that was edited is as the log says, and status says so;
    /// then compares what clients were told with the log. What does not hold goes into the row.
    pub(crate) async fn settle(&self, row: &mut Row, made: &[Made]) -> history::Report {
        let mut names: Vec<&str> = made.iter().map(Made::name).collect();
        names.sort_unstable();
        names.dedup();
        let until = Instant::now() + LIMIT;
        for name in names {
            let Some(intent) = self.last(name).await else {
                continue;
            };
            let mut differs = self.differences(&intent).await;
            while !differs.is_empty() && Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(50)).await;
                differs = self.differences(&intent).await;
            }
            row.violations.extend(differs);
        }
        let report = history::check_edits(made, &self.reader, &self.trusted).await;
        let broken = report.broken().into_iter().cloned();
        row.violations.extend(broken);
        report
    }

    /// What of the last edit of a policy is not in its clusters, or not in the status.
    async fn differences(&self, intent: &Intent) -> Vec<String> {
        let name = intent.name.as_str();
        let manifest = intent.manifest.as_deref().unwrap_or("null");
        let expected = compare::expected(&serde_json::from_str(manifest).unwrap());
        let mut found = Vec::new();
        for cluster in &intent.targets {
            let actual = compare::actual(self.fleet, cluster, name).await;
            if actual.as_ref() != Some(&expected) {
                found.push(format!(
                    "{name} on {cluster}: {actual:?} and not {expected:?}"
                ));
            }
        }
        let status = self.status(name, 0).await.unwrap_or_default();
        let counts = status.counts.unwrap_or_default();
        let targets = u32::try_from(intent.targets.len()).unwrap();
        if (counts.target, counts.applied) != (targets, targets)
            || status.generation != intent.generation.0
        {
            found.push(format!("{name}: the status is {counts:?}"));
        }
        found
    }

    /// Kills a cluster's subscriber and starts it with another way to the bus; `None`: the direct one.
    pub(crate) async fn lead(&self, cluster: &str, bus_url: Option<String>) {
        let cluster = cluster.parse().unwrap();
        let mut fleet = self.fleet.fleet.lock().await;
        fleet.kill_subscriber(&cluster).await.unwrap();
        fleet.lead_subscriber(&cluster, bus_url).unwrap();
        fleet.start_subscriber(&cluster).await.unwrap();
    }

    /// Waits until a cluster role is there, and says when it was seen.
    pub(crate) async fn role_on(&self, cluster: &str, name: &str) -> Instant {
        let roles = self.fleet.objects(cluster, "ClusterRole", "");
        wait_for(&format!("{name} is on {cluster}"), async || {
            roles.get_opt(name).await.ok()?.map(|_| Instant::now())
        })
        .await
    }
}

/// Edits of one small policy for the clusters that are named.
pub(crate) fn small(prefix: &str) -> Edits {
    Edits {
        prefix: prefix.to_owned(),
        document: |name, group, _| document(name, &[STAGE], group, 0),
        pause: Duration::ZERO,
    }
}

/// Edits of policies with several objects for all clusters: objects come, go and change, and a binding gets
/// another role.
pub(crate) fn large(prefix: &str, pause: Duration) -> Edits {
    Edits {
        prefix: prefix.to_owned(),
        document: |name, group, number| document(name, &CLUSTERS, group, number + 1),
        pause,
    }
}

/// The cluster role of the policy's own name holds the group, so that it tells which edit is in force.
fn document(name: &str, clusters: &[&str], group: &str, number: usize) -> Value {
    let rules = |verb: &str| {
        json!([{
            "apiGroups": [""], "resources": ["pods"], "resourceNames": [group], "verbs": [verb],
        }])
    };
    let object = |kind: &str, name: &str, namespace: Option<&str>, verb: &str| {
        let mut object = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name},
            "rules": rules(verb),
        });
        if let Some(namespace) = namespace {
            object["metadata"]["namespace"] = namespace.into();
        }
        object
    };
    let subjects = json!([{"group": group}]);
    let mut objects = vec![object("ClusterRole", name, None, "get")];
    let role = if number % 3 == 1 { "view" } else { name };
    let mut grants = vec![json!({
        "name": "all", "subjects": subjects, "clusterRole": role, "clusterWide": true,
    })];
    if number > 0 {
        objects.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
        objects.push(object("Role", "local", Some(name), "list"));
        grants.push(json!({
            "name": "local", "subjects": subjects, "role": "local", "namespaces": [name],
        }));
    }
    if number % 2 == 1 {
        objects.push(object(
            "ClusterRole",
            &format!("{name}-more"),
            None,
            "watch",
        ));
        objects.push(object("Role", "more", Some(name), "get"));
    } else if number > 0 {
        grants.push(json!({
            "name": "more", "subjects": subjects, "clusterRole": "view", "namespaces": [name],
        }));
    }
    json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy", "metadata": {"name": name},
        "spec": {"clusters": {"names": clusters}, "objects": objects, "grants": grants},
    })
}
