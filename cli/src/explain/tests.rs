//! Pages and fields: complete, and shown as people read them.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::*;

/// The whole format by example, fields that come later included.
const FORMAT: &str = include_str!("../../tests/data/format.yaml");

/// Where keys are the user's own, or Kubernetes'.
const OPAQUE: [&str; 6] = [
    "Cluster.metadata.labels",
    "ClusterPolicy.metadata.labels",
    "ClusterPolicy.spec.objects",
    "ClusterPolicy.spec.clusters.matchLabels",
    "ClusterPolicy.spec.clusters.exclude.matchLabels",
    "ClusterPolicy.spec.grants.namespaceSelector.matchLabels",
];

fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    found.insert(path.to_owned());
    match value {
        Value::Object(map) if !OPAQUE.contains(&path) => {
            for (key, item) in map {
                paths(item, &format!("{path}.{key}"), found);
            }
        }
        Value::Array(items) if !OPAQUE.contains(&path) => {
            items.iter().for_each(|item| paths(item, path, found));
        }
        _ => {}
    }
}

#[test]
fn every_field_of_the_format_is_explained() {
    let documents: Vec<Value> = serde_saphyr::from_multiple(FORMAT).unwrap();
    assert!(documents.len() >= 6, "{}", documents.len());
    let mut found = BTreeSet::new();
    for document in &documents {
        paths(document, document["kind"].as_str().unwrap(), &mut found);
    }
    let explained: BTreeSet<_> = fields::ALL.iter().map(|f| f.path.to_owned()).collect();
    let missing: Vec<_> = found.difference(&explained).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_field_has_a_parent_and_no_field_stands_twice() {
    let all: BTreeSet<_> = fields::ALL.iter().map(|field| field.path).collect();
    assert_eq!(all.len(), fields::ALL.len());
    for path in &all {
        let parent = path.rsplit_once('.').map(|(parent, _)| parent);
        assert!(parent.is_none_or(|parent| all.contains(parent)), "{path}");
    }
}

#[test]
fn every_reason_of_the_planner_has_a_page() {
    for reason in writ_core::plan::Reason::ALL {
        let page = reasons::find(reason.as_str()).unwrap_or_else(|| panic!("{reason}"));
        let (state, _) = page.headline();
        let expected = if reason.is_transient() {
            "Received"
        } else {
            "Refused"
        };
        assert_eq!(state, expected, "{reason}");
    }
}

#[cfg(feature = "sandbox")]
#[test]
fn every_word_that_an_answer_carries_has_a_page() {
    let words: BTreeSet<_> = writ_publisher::words::ALL.into();
    let pages: BTreeSet<_> = reasons::EDITS.iter().map(|page| page.name).collect();
    assert_eq!(words, pages);
}

#[test]
fn every_page_is_of_a_reason_and_in_the_index() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors");
    let index = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let pages: BTreeSet<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    let known: BTreeSet<String> = reasons::all()
        .map(|page| format!("{}.md", page.name))
        .collect();
    assert_eq!(pages, known);
    for page in reasons::all() {
        let line = format!("[{name}]({name}.md)", name = page.name);
        assert!(index.contains(&line), "{line}");
    }
}

#[test]
fn every_page_has_all_of_its_parts() {
    for page in reasons::all() {
        let text = page.plain();
        assert!(text.starts_with(&format!("# {}\n\n", page.name)));
        let (state, summary) = page.headline();
        assert!(
            ["Received", "Refused", "As the policy's"].contains(&state),
            "{}",
            page.name
        );
        assert!(summary.ends_with('.'), "{}", page.name);
        assert!(page.remedies().count() > 0, "{}", page.name);
        for part in ["What it means", "How it looks", "What it is not"] {
            let heading = format!("\n## {part}\n\n");
            assert!(text.contains(&heading), "{}: {part}", page.name);
        }
        assert!(!text.contains("]("), "{}: {text}", page.name);
    }
}

#[test]
fn a_field_is_found_as_people_write_it() {
    for topic in [
        "ClusterPolicy.spec.grants",
        "clusterpolicy.spec.grants[]",
        "policy.spec.grants[0]",
        "wpol.spec.GRANTS",
    ] {
        assert_eq!(
            fields::find(topic).unwrap().path,
            "ClusterPolicy.spec.grants"
        );
    }
    assert_eq!(fields::find("Pod.spec"), None);
    assert_eq!(fields::find("ClusterPolicy.spec.grant"), None);
}

#[test]
fn a_field_is_shown_with_what_is_in_it() {
    let field = fields::find("Cluster.spec.keys").unwrap();
    assert_eq!(
        describe(field),
        "\
KIND:   Cluster (writ.dev/v1alpha1)
FIELD:  spec.keys <map>

  Its public keys, both made in the cluster. Set by enrolment, not by applying a document.

FIELDS:
  bus  Its identity on the bus: the public key of an nkey user, U…
  ack  The Ed25519 public key under which its acknowledgements are verified"
    );
}

#[test]
fn an_unknown_word_is_answered_with_the_nearest() {
    let said = |topic| unknown(topic).to_string();
    assert_eq!(
        said("ForeignObjekt"),
        "`ForeignObjekt` is neither a reason nor a field: did you mean `writ explain ForeignObject`?"
    );
    assert!(said("ClusterPolicy.spec.grant").contains("ClusterPolicy.spec.grants`"));
    assert!(said("xyzzy").ends_with("`writ explain` lists what there is"));
    assert_eq!(unknown("xyzzy").exit(), Exit::Failed);
}

#[test]
fn the_list_has_a_line_for_every_reason_and_kind() {
    let list = list();
    for page in reasons::all() {
        let line = format!("\n  {} ", page.name);
        assert!(list.contains(&line), "{line}");
    }
    assert!(list.contains("\n  ClusterPolicy "), "{list}");
}
