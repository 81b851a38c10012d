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

/// The annotation by which a Namespace of a policy says that it goes when it leaves the policy.
pub(super) const REMOVAL: &str = "writ.dev/removal";

/// The one value that it may have.
pub(super) const REMOVAL_DELETE: &str = "delete";

/// The annotation by which the owner of an object that is already there agrees to its adoption.
const ADOPTABLE: &str = "writ.dev/adoptable";

/// The label that says, for people, who manages an object.
const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// The value that the subscriber writes there.
const MANAGED_BY: &str = "writ";

/// The label of a Namespace that the API server sets and holds.
pub(super) const NAMESPACE_NAME_LABEL: &str = "kubernetes.io/metadata.name";

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
    let check = |key: &str, value: &str| {
        check_mark(key)?;
        syntax::check_label_value(value)
    };
    read_map(fields, key, check, report)
}

/// Reads a map of labels that are looked for and not written: Writ's own may be among them.
pub(super) fn read_selected_labels(
    fields: &Fields<'_>,
    key: &str,
    report: &mut Report,
) -> BTreeMap<String, String> {
    let check = |_: &str, value: &str| syntax::check_label_value(value);
    read_map(fields, key, check, report)
}

/// Reads `annotations`: keys as those of labels, any text as value, none of them ours.
pub(super) fn read_annotations(
    fields: &Fields<'_>,
    report: &mut Report,
) -> BTreeMap<String, String> {
    read_map(fields, "annotations", |key, _| check_mark(key), report)
}

/// Reads `annotations` of a Namespace, which may say how it is removed.
pub(super) fn read_namespace_annotations(
    fields: &Fields<'_>,
    report: &mut Report,
) -> BTreeMap<String, String> {
    let check = |key: &str, value: &str| match key {
        REMOVAL if value == REMOVAL_DELETE => Ok(()),
        REMOVAL => Err(format!(
            "must be {REMOVAL_DELETE:?}, or left out: then the Namespace stays"
        )),
        _ => check_mark(key),
    };
    read_map(fields, "annotations", check, report)
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
    check: impl Fn(&str, &str) -> Result<(), String>,
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
        let Some(value) = text(value, path.clone(), report) else {
            continue;
        };
        if let Err(message) = syntax::check_key(name).and_then(|()| check(name, value)) {
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
    match key {
        REMOVAL => Err("is an annotation, and only of a Namespace: all other objects go with the policy".to_owned()),
        ADOPTABLE => Err("is set in the cluster, by the owner of the object that is there: a policy can't agree for them".to_owned()),
        _ if is_ours => Err(format!(
            "{} is reserved: marks under {MARK_DOMAIN} are Writ's own",
            quoted(key)
        )),
        _ => Ok(()),
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
