//! A fleet of one test, and what people and thieves do to it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use kube::{
    Api,
    api::{ApiResource, DynamicObject},
};
use serde_json::{Value, json};
use tokio::process::Command;
use writ_bus::{
    Client, accounts,
    batch::{Batch, Message, Outcome, commit},
    connection::{FirstConnect, Login, Options},
    read,
    streams::Stream,
};
use writ_core::{
    ack::Ack,
    envelope::{Keyring, PublicKey, SigningKey},
    subject::BusSubject,
};
use writ_proto::log;
use writ_sandbox::{
    fleet::{Fleet, FleetOptions},
    process::Launcher,
};
use writ_tests::wait::within;

/// How long anything may take; these machines are shared.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);
const POLL_PERIOD: Duration = Duration::from_millis(50);
const RBAC: &str = "rbac.authorization.k8s.io/v1";

pub(crate) const CLUSTERS: [&str; 2] = ["eu-prod-1", "eu-stage-1"];

pub(crate) struct Scene {
    pub(crate) fleet: Fleet,
}

impl Scene {
    pub(crate) async fn start() -> Scene {
        let launcher = Launcher::writ(PathBuf::from(env!("CARGO_BIN_EXE_writ-under-test")));
        let stages = vec!["prod".parse().unwrap(), "stage".parse().unwrap()];
        let options = FleetOptions::new(launcher, vec!["eu".parse().unwrap()], stages);
        let fleet = Fleet::start(options).await.unwrap();
        eprintln!("state and logs: {}", fleet.dir().display());
        Scene { fleet }
    }

    pub(crate) fn key_file(&self, name: &str) -> PathBuf {
        self.fleet.dir().join("keys").join(name)
    }

    pub(crate) fn signing_key(&self) -> SigningKey {
        let text = fs::read_to_string(self.key_file("publisher-1.signing")).unwrap();
        SigningKey::from_base64(&text).unwrap()
    }

    /// Runs the command line as a person does who sourced the fleet's `env`.
    pub(crate) async fn writ(&self, line: &str) -> Output {
        writ_in(self.fleet.dir(), line).await
    }

    /// The same; it has to succeed.
    pub(crate) async fn done(&self, line: &str) -> String {
        let output = self.writ(line).await;
        assert!(output.status.success(), "writ {line}: {output:?}");
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    }

    /// Applies a policy of one ClusterRole for both clusters.
    pub(crate) async fn try_apply(&self, name: &str, verb: &str, more: &str) -> Output {
        apply_in(self.fleet.dir(), name, verb, more).await
    }

    /// The same, and waits until both clusters have it.
    pub(crate) async fn apply(&self, name: &str, verb: &str) {
        let output = self.try_apply(name, verb, "--wait --timeout 120s").await;
        assert!(output.status.success(), "{name} {verb}: {output:?}");
        self.check(name, Some(verb)).await;
    }

    /// The verbs of a ClusterRole in a cluster; nothing where there is none.
    pub(crate) async fn verbs(&self, cluster: &str, name: &str) -> Option<Value> {
        let cluster = self.fleet.cluster(&cluster.parse().unwrap()).unwrap();
        let resource = ApiResource {
            group: "rbac.authorization.k8s.io".into(),
            version: "v1".into(),
            api_version: RBAC.into(),
            kind: "ClusterRole".into(),
            plural: "clusterroles".into(),
        };
        let roles: Api<DynamicObject> = Api::all_with(cluster.client().clone(), &resource);
        let found = roles.get_opt(name).await.unwrap()?;
        Some(found.data["rules"][0]["verbs"].clone())
    }

    /// What is in force of a name in every cluster.
    pub(crate) async fn check(&self, name: &str, verb: Option<&str>) {
        for cluster in CLUSTERS {
            let verbs = verb.map(|verb| json!([verb]));
            assert_eq!(
                self.verbs(cluster, name).await,
                verbs,
                "{name} in {cluster}"
            );
        }
    }

    /// The version of the trust bundle that a cluster keeps for its next start.
    pub(crate) async fn kept_trust(&self, cluster: &str) -> Option<Vec<u8>> {
        let cluster = self.fleet.cluster(&cluster.parse().unwrap()).unwrap();
        let maps: Api<k8s_openapi::api::core::v1::ConfigMap> =
            Api::namespaced(cluster.client().clone(), "writ-system");
        let kept = maps.get("writ-state").await.unwrap();
        Some(kept.binary_data?.remove("trust")?.0)
    }

    /// The bus, as whoever has stolen the publisher's identity on it sees it.
    pub(crate) async fn bus(&self) -> Client {
        let options = Options {
            url: self.fleet.bus_url().to_owned(),
            login: Login::File(self.key_file("publisher-1.creds")),
            inbox: accounts::publisher_inbox(&"publisher-1".parse().unwrap()),
            name: "thief".to_owned(),
            first_connect: FirstConnect::Now,
        };
        writ_bus::connect(options).await.unwrap()
    }

    /// Stores messages as part of no edit.
    pub(crate) async fn store(&self, messages: Vec<(BusSubject, Vec<u8>)>) {
        let client = self.bus().await;
        let message = |(subject, bytes): (BusSubject, Vec<u8>)| Message {
            subject,
            bytes: bytes.into(),
        };
        let batch = Batch::part(messages.into_iter().map(message).collect()).unwrap();
        let outcome = commit(&client, &batch).await.unwrap();
        assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
    }

    /// What the log holds under a subject.
    pub(crate) async fn stored(&self, subject: &BusSubject) -> Vec<u8> {
        let client = self.bus().await;
        let stored = read::last_by_subject(&client, Stream::Log, subject).await;
        stored.unwrap().unwrap().bytes.to_vec()
    }

    /// How many messages a cluster has refused, by its last ack.
    pub(crate) async fn refused_messages(&self, cluster: &str) -> u64 {
        let place: Vec<&str> = cluster.split('-').collect();
        let subject = format!("writ.ack.{}.{}.{cluster}", place[0], place[1]);
        let subject = BusSubject::parse(&subject).unwrap();
        let client = self.bus().await;
        let stored = read::last_by_subject(&client, Stream::Acks, &subject).await;
        let entry = self.writ(&format!("get clusters {cluster} -o json")).await;
        let entry: Value = serde_json::from_slice(&entry.stdout).unwrap();
        let key = entry["items"][0]["manifest"]["spec"]["keys"]["ack"].as_str();
        let own = Keyring::new([PublicKey::from_base64(key.unwrap()).unwrap()]);
        let ack = log::open::<Ack>(&subject, &stored.unwrap().unwrap().bytes, &own);
        ack.unwrap().value.refused_messages
    }

    /// What a process has logged so far.
    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.fleet.dir().join("logs").join(format!("{name}.log"))).unwrap()
    }

    pub(crate) fn subscriber_log(&self, cluster: &str) -> String {
        self.log(&format!("{cluster}.subscriber"))
    }
}

/// Runs the command line with a fleet's `env` sourced.
pub(crate) async fn writ_in(folder: &Path, line: &str) -> Output {
    let program = env!("CARGO_BIN_EXE_writ-under-test");
    let script = format!(". '{}/env' && exec '{program}' {line}", folder.display());
    Command::new("sh")
        .args(["-c", &script])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap()
}

pub(crate) async fn apply_in(folder: &Path, name: &str, verb: &str, more: &str) -> Output {
    let file = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
    fs::write(file.path(), role(name, verb).to_string()).unwrap();
    writ_in(
        folder,
        &format!("apply -f '{}' {more}", file.path().display()),
    )
    .await
}

/// A policy of one ClusterRole for all clusters of eu.
pub(crate) fn role(name: &str, verb: &str) -> Value {
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": [verb]}]);
    json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy", "metadata": {"name": name},
        "spec": {
            "clusters": {"regions": ["eu"]},
            "objects": [{"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}],
        },
    })
}

pub(crate) async fn wait_for<T>(what: &str, condition: impl AsyncFn() -> Option<T>) -> T {
    within(LIMIT, POLL_PERIOD, what, condition).await
}
