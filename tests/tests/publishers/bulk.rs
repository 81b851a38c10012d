//! `writ apply` of a thousand policies on real parts: how long it takes, and what it says when it is
//! interrupted or its publisher dies midway, compared with what is in the log.

use std::{collections::BTreeMap, path::PathBuf, process::Stdio, time::Instant};

use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, Command},
};
use writ_proto::v1;
use writ_tests::hub::{Hub, Size, cluster, policy};

use crate::WRIT;

const POLICIES: usize = 1_000;
const CLUSTERS: usize = 20;

/// Lines of what landed after which something happens: well before the end.
const MIDWAY: usize = 150;

/// The documents of a fleet in one file.
fn documents(folder: &TempDir) -> PathBuf {
    let clusters = (0..CLUSTERS).map(|number| {
        let mut cluster = cluster(&format!("eu-prod-{number}"));
        cluster["spec"].as_object_mut().unwrap().remove("keys");
        cluster
    });
    let policies = (0..POLICIES).map(|number| policy(&format!("p{number}"), "devs"));
    let list = json!({
        "apiVersion": "v1", "kind": "List",
        "items": policies.chain(clusters).collect::<Vec<_>>(),
    });
    let path = folder.path().join("fleet.json");
    std::fs::write(&path, list.to_string()).unwrap();
    path
}

/// A `writ apply` that runs.
struct Apply {
    child: Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    landed: Vec<String>,
}

/// What it said: its exit, and the name and word of every document that it gave account of.
struct Ended {
    code: Option<i32>,
    landed: Vec<String>,
    account: BTreeMap<String, String>,
    errors: String,
}

impl Apply {
    fn start(hub: &Hub, addresses: &str, documents: &PathBuf) -> Apply {
        let fleet = hub.fleet_file(addresses);
        let mut child = Command::new(WRIT)
            .args(["apply", "--fleet", &fleet, "-o", "name", "-f"])
            .arg(documents)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Apply {
            child,
            lines,
            landed: Vec::new(),
        }
    }

    /// Waits until so many are said to have landed.
    async fn until(&mut self, count: usize) {
        while self.landed.len() < count {
            let line = self.lines.next_line().await.unwrap().expect("it goes on");
            self.landed.push(line);
        }
    }

    /// Presses Ctrl-C.
    async fn interrupt(&self) {
        let pid = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status().await;
        assert!(sent.unwrap().success());
    }

    async fn end(mut self) -> Ended {
        let mut errors = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        let read = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.landed.push(line);
            }
        };
        let (read, ()) = tokio::join!(stderr.read_to_string(&mut errors), read);
        read.unwrap();
        let status = self.child.wait().await.unwrap();
        let account = errors.lines().filter_map(|line| {
            let (word, rest) = line.split_once(':')?;
            let name = rest.split_once("ClusterPolicy ")?.1.split_once(')')?.0;
            Some((name.to_owned(), word.to_owned()))
        });
        let account = account.collect();
        Ended {
            code: status.code(),
            landed: self.landed,
            account,
            errors,
        }
    }
}

/// The names and generations of all policies in force.
async fn stored(hub: &Hub, publisher: usize) -> BTreeMap<String, u64> {
    let (mut policies, mut found) = (hub.policies(publisher), BTreeMap::new());
    let mut page_token = String::new();
    loop {
        let request = v1::ListRequest {
            page_token,
            page_size: 1_000,
            ..Default::default()
        };
        let page = policies.list(request).await.unwrap().into_inner();
        found.extend(
            page.policies
                .into_iter()
                .map(|policy| (policy.name, policy.generation)),
        );
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return found;
        }
    }
}

/// The account names every policy, and is as the log says.
fn check(ended: &Ended, stored: &BTreeMap<String, u64>) {
    assert_eq!(ended.account.len(), POLICIES, "{}", ended.errors);
    let mut words: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, word) in &ended.account {
        *words.entry(word).or_default() += 1;
        match word.as_str() {
            "landed" => assert_eq!(stored.get(name), Some(&1), "{name}"),
            "not known" => {}
            "not landed" | "not sent" => assert!(!stored.contains_key(name), "{name} {word}"),
            other => panic!("{other}"),
        }
    }
    println!("{words:?}, in the log {}", stored.len());
    let said = ended
        .landed
        .iter()
        .filter(|line| line.starts_with("clusterpolicy/"));
    assert_eq!(Some(&said.count()), words.get("landed"));
    assert!(stored.len() < POLICIES, "it stopped midway");
}

/// Applied again, everything is there, once.
async fn apply_the_rest(hub: &Hub, addresses: &str, documents: &PathBuf) {
    let ended = Apply::start(hub, addresses, documents).end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    let stored = stored(hub, 0).await;
    assert_eq!(stored.len(), POLICIES);
    assert!(stored.values().all(|generation| *generation == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_policies_land_and_a_second_time_nothing_changes() {
    let hub = Hub::start(WRIT, Size::of(1, 1)).await;
    let folder = tempfile::tempdir().unwrap();
    let documents = documents(&folder);
    // Enrolled already, as edits wait for no other clusters.
    for number in 0..CLUSTERS {
        let request = v1::AddClusterRequest {
            manifest: cluster(&format!("eu-prod-{number}")).to_string(),
            ..Default::default()
        };
        hub.clusters(0).add(request).await.unwrap();
    }
    for what in ["new", "unchanged"] {
        let begun = Instant::now();
        let ended = Apply::start(&hub, &hub.address(0), &documents).end().await;
        println!(
            "{POLICIES} policies, {CLUSTERS} clusters, {what}: {:?}",
            begun.elapsed()
        );
        assert_eq!(ended.code, Some(0), "{}", ended.errors);
        assert_eq!(ended.landed.len(), POLICIES + CLUSTERS);
    }
    let stored = stored(&hub, 0).await;
    assert_eq!(stored.len(), POLICIES);
    assert!(stored.values().all(|generation| *generation == 1));
    let request = v1::GetRequest {
        name: "p7".to_owned(),
        ..Default::default()
    };
    let policy = hub
        .policies(0)
        .get(request)
        .await
        .unwrap()
        .into_inner()
        .policy
        .unwrap();
    assert_eq!(policy.targets.len(), CLUSTERS);
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_midway_it_says_what_landed() {
    let hub = Hub::start(WRIT, Size::of(1, 1)).await;
    let folder = tempfile::tempdir().unwrap();
    let documents = documents(&folder);
    let mut apply = Apply::start(&hub, &hub.address(0), &documents);
    apply.until(MIDWAY).await;
    apply.interrupt().await;
    let ended = apply.end().await;
    assert_eq!(ended.code, Some(130), "{}", ended.errors);
    check(&ended, &stored(&hub, 0).await);
    apply_the_rest(&hub, &hub.address(0), &documents).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_its_only_publisher_dead_it_says_what_landed() {
    let mut hub = Hub::start(WRIT, Size::of(1, 1)).await;
    let folder = tempfile::tempdir().unwrap();
    let documents = documents(&folder);
    let mut apply = Apply::start(&hub, &hub.address(0), &documents);
    apply.until(MIDWAY).await;
    hub.kill_publisher(0).await;
    let ended = apply.end().await;
    assert_eq!(ended.code, Some(1), "{}", ended.errors);
    hub.start_publisher(0).await;
    check(&ended, &stored(&hub, 0).await);
    apply_the_rest(&hub, &hub.address(0), &documents).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_another_publisher_it_goes_on_and_every_policy_lands_once() {
    let mut hub = Hub::start(WRIT, Size::of(1, 3)).await;
    let folder = tempfile::tempdir().unwrap();
    let documents = documents(&folder);
    let addresses: Vec<String> = (0..3).map(|number| hub.address(number)).collect();
    let addresses = addresses.join(",");
    let mut apply = Apply::start(&hub, &addresses, &documents);
    apply.until(MIDWAY).await;
    hub.kill_publisher(0).await;
    apply.until(3 * MIDWAY).await;
    // The next one hangs: it takes connections and answers nothing.
    hub.publisher(1).pause().await;
    let ended = apply.end().await;
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    assert_eq!(ended.landed.len(), POLICIES + CLUSTERS);
    let stored = stored(&hub, 2).await;
    assert_eq!(stored.len(), POLICIES);
    assert!(stored.values().all(|generation| *generation == 1));
}
