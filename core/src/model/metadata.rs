//! Names, labels and annotations, of documents and of Kubernetes objects alike, and the marks among
//! them that are Writ's own.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde_json::{Map, Value};

use super::fields::{Fields, text};
use super::limits::ENTRIES_MAX;
use super::report::{Report, quoted};
use super::syntax;

/// The domain of our labels and annotations. Who could write them could make foreign objects ours.
const MARK_DOMAIN: &str = "writ.dev";

/// Marks that a person may set one day.
const LATER_MARKS: [&str; 2] = ["writ.dev/removal", "writ.dev/adoptable"];

/// The label that says, for people, who manages an object.
const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// The value that the subscriber writes there.
const MANAGED_BY: &str = "writ";

/// The label of a Namespace that the API server sets and holds.
const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// What a document is called and marked with.
#[derive(Debug)]
pub(super) struct Metadata<N> {
    pub(super) name: N,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
}

/// Reads the `metadata` of a document.
pub(super) fn read_document<N, E: Display>(
    document: &Fields<'_>,
    parse_name: impl FnOnce(&str) -> Result<N, E>,
    report: &mut Report,
) -> Option<Metadata<N>> {
    if document.get("metadata").is_none() {
        report.refuse(document.path("metadata"), "is required");
    }
    let fields = document.open_field("metadata", &["name", "labels", "annotations"], report)?;
    let labels = read_labels(&fields, "labels", report);
    let annotations = read_annotations(&fields, report);
    let name = fields.parsed("name", parse_name, report)?;
    Some(Metadata {
        name,
        labels,
        annotations,
    })
}

/// Reads a map of labels: keys and values in Kubernetes' grammar, none of them ours.
pub(super) fn read_labels(
    fields: &Fields<'_>,
    key: &str,
    report: &mut Report,
) -> BTreeMap<String, String> {
    read_map(fields, key, syntax::check_label_value, report)
}

/// Reads `annotations`: keys as those of labels, any text as value.
pub(super) fn read_annotations(
    fields: &Fields<'_>,
    report: &mut Report,
) -> BTreeMap<String, String> {
    read_map(fields, "annotations", |_| Ok(()), report)
}

/// Refuses labels of an object that somebody else will write anyway.
pub(super) fn check_object_labels(
    fields: &Fields<'_>,
    labels: &BTreeMap<String, String>,
    report: &mut Report,
) {
    if labels
        .get(MANAGED_BY_LABEL)
        .is_some_and(|value| value != MANAGED_BY)
    {
        let message = format!("is set to {MANAGED_BY:?} on every object of a policy, leave it out");
        report.refuse(
            format!("{}[{MANAGED_BY_LABEL}]", fields.path("labels")),
            message,
        );
    }
    if labels.contains_key(NAMESPACE_NAME_LABEL) {
        let message = "belongs to the API server, leave it out";
        report.refuse(
            format!("{}[{NAMESPACE_NAME_LABEL}]", fields.path("labels")),
            message,
        );
    }
}

fn read_map(
    fields: &Fields<'_>,
    key: &str,
    check_value: impl Fn(&str) -> Result<(), String>,
    report: &mut Report,
) -> BTreeMap<String, String> {
    let mut entries = BTreeMap::new();
    let Some(value) = fields.get(key) else {
        return entries;
    };
    let Some(map) = Fields::open_map(value, fields.path(key), report) else {
        return entries;
    };
    if map.entries().count() > ENTRIES_MAX {
        report.refuse(
            fields.path(key),
            format!("holds more than {ENTRIES_MAX} entries"),
        );
        return entries;
    }
    for (name, value) in map.entries() {
        let path = map.path(name);
        if let Err(message) = syntax::check_key(name).and_then(|()| check_mark(name)) {
            report.refuse(path.clone(), message);
        }
        let Some(value) = text(value, path.clone(), report) else {
            continue;
        };
        if let Err(message) = check_value(value) {
            report.refuse(path, message);
        }
        entries.insert(name.clone(), value.to_owned());
    }
    entries
}

fn check_mark(key: &str) -> Result<(), String> {
    let Some((domain, _)) = key.split_once('/') else {
        return Ok(());
    };
    let is_ours = domain == MARK_DOMAIN
        || domain
            .strip_suffix(MARK_DOMAIN)
            .is_some_and(|rest| rest.ends_with('.'));
    if LATER_MARKS.contains(&key) {
        Err(format!("{key} is not supported yet"))
    } else if is_ours {
        Err(format!(
            "{} is reserved: marks under {MARK_DOMAIN} are Writ's own",
            quoted(key)
        ))
    } else {
        Ok(())
    }
}

/// Writes a map of texts into `metadata`, unless it is empty.
pub(super) fn insert_map(
    metadata: &mut Map<String, Value>,
    key: &str,
    entries: &BTreeMap<String, String>,
) {
    if !entries.is_empty() {
        metadata.insert(key.to_owned(), to_json(entries));
    }
}

/// A map of texts as JSON.
pub(super) fn to_json(entries: &BTreeMap<String, String>) -> Value {
    entries
        .iter()
        .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
        .collect()
}
