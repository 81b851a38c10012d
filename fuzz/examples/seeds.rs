//! Writes the first inputs of every target, from which the fuzzer goes on: `cargo run --example seeds FOLDER` makes a
//! folder for each target there. Run again, into `seeds/`, after a message got another form.

use std::{collections::BTreeMap, env, fs, path::Path};

use writ_core::{
    ack::{Ack, Counts},
    beat::Beat,
    edit::{Change, Edit, Kind, Message, State},
    envelope::SigningKey,
    hash::Hash,
    model::{self, Document},
    name::Name,
    revision::Revision,
    subject::BusSubject,
};
use writ_fuzz::input;
use writ_proto::{
    log::{self, Payload},
    trust::{self, TrustBundle},
};

const DOCUMENTS: [&str; 3] = [
    r#"{"apiVersion":"writ.dev/v1alpha1","kind":"Cluster","metadata":{"name":"eu-prod-1","labels":{"team":"core"}},
        "spec":{"region":"eu","stage":"prod","endpoint":"https://a.example:6443","visibility":"stage","mode":"observe"}}"#,
    r#"{"apiVersion":"writ.dev/v1alpha1","kind":"ClusterPolicy","metadata":{"name":"team"},
        "spec":{"clusters":{"regions":["eu"],"stages":["prod"],"matchLabels":{"a":"b"},"exclude":{"names":["x"]}},"objects":[
        {"apiVersion":"v1","kind":"Namespace","metadata":{"name":"team"}},
        {"apiVersion":"v1","kind":"ResourceQuota","metadata":{"name":"q","namespace":"team"},"spec":{"hard":{"pods":"200","requests.memory":"1024Mi"}}}],
        "grants":[{"name":"o","subjects":[{"group":"g"},{"serviceAccount":"a/b"}],"clusterRole":"view","namespaces":["team"]},
        {"name":"s","subjects":[{"user":"u"}],"clusterRole":"view","namespaceSelector":{"matchExpressions":[{"key":"t","operator":"Exists"}]}}]}}"#,
    r#"{"apiVersion":"writ.dev/v1alpha1","kind":"ClusterPolicy","metadata":{"name":"all"},"spec":{"clusters":{"all":true},
        "objects":[{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"r"},
        "rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}]}],
        "grants":[{"name":"g","subjects":[{"group":"g"}],"clusterRole":"r","clusterWide":true}]}}"#,
];

fn key() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

fn batch() -> Vec<Message> {
    let change = Change::Put {
        manifest: "{}".into(),
        object: serde_json::json!({"a": 1}),
        requires: vec!["x".into()],
        scopes: ["eu.prod".parse().expect("a scope")].into(),
        listens: None,
    };
    let edit = Edit {
        kind: Kind::Policy,
        name: Name::parse("payments").expect("a name"),
        change,
        request_id: "r".into(),
        author: "oidc:alice".into(),
        reason: "because".into(),
        inlet: "grpc".into(),
        committed_ms: 5,
        targets: vec!["eu-prod-1".into()],
        revoked: vec![],
    };
    State::default().build(&edit).messages
}

fn beat() -> Beat {
    Beat {
        revision: revision(),
        root: Hash::of(b"root"),
        issued_ms: 1,
        expires_after_ms: 30_000,
        publisher: "publisher-1".into(),
    }
}

fn revision() -> Revision {
    Revision {
        epoch: 1,
        number: 2,
    }
}

fn ack() -> Ack {
    let subject = BusSubject::parse("writ.ack.eu.prod.eu-prod-1").expect("a subject");
    let BusSubject::Ack(sender) = subject else {
        unreachable!("it is an ack's")
    };
    Ack {
        sender,
        revision: revision(),
        feeds: BTreeMap::new(),
        counts: Counts::default(),
        exceptions: vec![],
        exceptions_total: 0,
        edits: vec![],
        refused_messages: 0,
        boot_id: "b".into(),
        boot: 1,
        counter: 1,
        previous: Hash([0; 32]),
        sent_ms: 1,
        witness: vec![],
    }
}

/// A payload as it stands on the bus, and as it is inside.
fn both<T: Payload>(value: &T) -> [(&'static str, Vec<u8>); 2] {
    let subject = value.subject();
    let sealed = log::seal(value, &key()).bytes;
    [
        ("payload", input(&subject, &value.encode())),
        ("envelope", input(&subject, &sealed)),
    ]
}

fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut seeds = Vec::new();
    for message in batch() {
        seeds.extend(match &message {
            Message::Intent(value) => both(value),
            Message::Event(value) => both(value),
            Message::Base(value) => both(value),
            Message::Index(value) => both(value),
            Message::Root(value) => both(value),
        });
    }
    seeds.extend(both(&beat()));
    seeds.extend(both(&ack()));
    let bundle = TrustBundle::first([key().public()]);
    seeds.push(("unsigned", trust::to_file(&bundle, &key())));
    seeds.push(("unsigned", log::seal(&ack(), &key()).bytes));
    for text in DOCUMENTS {
        seeds.push(("manifest", text.as_bytes().to_vec()));
        let value = serde_json::from_str(text).expect("a document is JSON");
        let parsed = model::parse(&value).expect("a seed is accepted");
        let compiled = match parsed.document {
            Document::Policy(policy) => policy.compile(),
            Document::Cluster(cluster) => cluster.compile(),
            #[allow(unreachable_patterns, reason = "documents that travel to no cluster")]
            _ => continue,
        };
        seeds.push(("compiled", compiled.into_bytes()));
    }
    seeds
}

fn main() -> std::io::Result<()> {
    let folder = env::args().nth(1).expect("usage: seeds FOLDER");
    for (number, (target, bytes)) in seeds().into_iter().enumerate() {
        let folder = Path::new(&folder).join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("seed-{number}")), bytes)?;
    }
    Ok(())
}
