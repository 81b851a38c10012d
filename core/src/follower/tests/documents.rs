//! Edits from documents as a user writes them: parsed, placed and compiled as the publisher does it.

use std::{cell::RefCell, collections::HashMap};

use serde_json::{Value, json};

use crate::{
    edit::{Change, Edit},
    model::{self, Document},
    name::Name,
    placement,
    scope::Kind,
};

thread_local! {
    /// Parsing takes longer than all the rest of a history, and few documents differ.
    static COMPILED: RefCell<HashMap<String, (Value, Document)>> = RefCell::default();
}

/// Registers or changes a cluster that is listed in scope `visibility`.
pub(super) fn cluster(name: &str, place: (&str, &str), tier: &str, visibility: &str) -> Edit {
    put(&json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "Cluster",
        "metadata": {"name": name, "labels": {"tier": tier}},
        "spec": {"region": place.0, "stage": place.1, "visibility": visibility},
    }))
}

/// The same cluster, of which nothing but observing is wanted.
pub(super) fn observer(name: &str, place: (&str, &str)) -> Edit {
    put(&json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "Cluster",
        "metadata": {"name": name},
        "spec": {"region": place.0, "stage": place.1, "mode": "observe"},
    }))
}

/// The same cluster, which is to give everything back.
pub(super) fn draining(name: &str, place: (&str, &str)) -> Edit {
    put(&json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "Cluster",
        "metadata": {"name": name},
        "spec": {"region": place.0, "stage": place.1, "phase": "draining"},
    }))
}

/// Applies a policy of one namespace, placed as its selector says.
pub(super) fn policy(name: &str, clusters: &Value) -> Edit {
    put(&json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy",
        "metadata": {"name": name},
        "spec": {
            "clusters": clusters,
            "objects": [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}],
        },
    }))
}

pub(super) fn delete(kind: Kind, name: &str) -> Edit {
    edit(kind, name, Change::Delete)
}

/// The document of an edit as it was parsed; nothing for a deletion.
pub(super) fn parsed(edit: &Edit) -> Option<Document> {
    let Change::Put { manifest, .. } = &edit.change else {
        return None;
    };
    COMPILED.with_borrow(|compiled| compiled.get(manifest).map(|(_, document)| document.clone()))
}

fn put(document: &Value) -> Edit {
    let manifest = document.to_string();
    let (object, parsed) = COMPILED.with_borrow_mut(|compiled| {
        compiled
            .entry(manifest.clone())
            .or_insert_with(|| compile(document))
            .clone()
    });
    let (kind, name, scopes, listens) = match &parsed {
        Document::Cluster(cluster) => {
            let listens = Some((cluster.region.clone(), cluster.stage.clone()));
            (
                Kind::Cluster,
                cluster.name.as_str(),
                placement::cluster_scopes(cluster),
                listens,
            )
        }
        Document::Policy(policy) => {
            let scopes = placement::policy_scopes(&policy.clusters);
            (Kind::Policy, policy.name.as_str(), scopes, None)
        }
        Document::Record(_) => panic!("no cluster hears of it"),
    };
    edit(
        kind,
        name,
        Change::Put {
            manifest,
            object,
            requires: vec![],
            scopes,
            listens,
        },
    )
}

fn compile(document: &Value) -> (Value, Document) {
    let parsed = model::parse(document).expect("a valid document").document;
    let compiled = match &parsed {
        Document::Cluster(cluster) => cluster.compile(),
        Document::Policy(policy) => policy.compile(),
        Document::Record(_) => panic!("no cluster hears of it"),
    };
    (
        serde_json::from_slice(compiled.bytes()).expect("compiled JSON"),
        parsed,
    )
}

fn edit(kind: Kind, name: &str, change: Change) -> Edit {
    Edit {
        kind: kind.into(),
        name: Name::parse(name).expect("a name"),
        change,
        request_id: String::new(),
        author: String::new(),
        reason: String::new(),
        inlet: "grpc".into(),
        committed_ms: 0,
        targets: vec![],
        revoked: vec![],
    }
}
