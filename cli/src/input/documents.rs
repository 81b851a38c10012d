//! From texts to documents: which kind, which name, which place.
//!
//! Owns the kinds that `apply` takes, the opening of lists, the order in which documents are sent
//! (clusters, then policies, since a policy is placed by the clusters there are), and the refusal
//! of two documents of one name. Promises that what it gives back has a kind and a name; whether
//! the rest is right is the publisher's to say.

use std::collections::HashMap;
use std::fmt;

use serde_json::Value;

use super::files::Text;
use super::{Place, Problem, json, yaml};

/// The group and version of the documents.
pub(crate) const API_VERSION: &str = "writ.dev/v1alpha1";

/// The most documents of one run: a registry of 10,000 clusters and as many policies.
pub(crate) const DOCUMENTS_MAX: usize = 20_000;

/// What a document is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// A cluster of the registry.
    Cluster,
    /// A policy.
    ClusterPolicy,
    /// Who may do what.
    AccessRule,
    /// What an edit of a stage needs.
    StageRules,
}

impl Kind {
    /// As documents spell it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Kind::Cluster => "Cluster",
            Kind::ClusterPolicy => "ClusterPolicy",
            Kind::AccessRule => "AccessRule",
            Kind::StageRules => "StageRules",
        }
    }

    /// As references on the command line spell it, for instance in `clusterpolicy/payments`.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Kind::Cluster => "cluster",
            Kind::ClusterPolicy => "clusterpolicy",
            Kind::AccessRule | Kind::StageRules => "access",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One document to submit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Document {
    /// Where it stands.
    pub(crate) place: Place,
    /// What it is about.
    pub(crate) kind: Kind,
    /// `metadata.name`, as it was written.
    pub(crate) name: String,
    /// The whole of it.
    pub(crate) value: Value,
}

impl Document {
    /// Kind and name, for people: `ClusterPolicy payments`.
    pub(crate) fn subject(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }
}

/// Everything in these texts, in the order to send it; or everything that is wrong with it.
pub(crate) fn parse(texts: &[Text]) -> (Vec<Document>, Vec<Problem>) {
    let mut documents = Vec::new();
    let mut problems = Vec::new();
    for text in texts {
        let pieces = json::split(&text.content).unwrap_or_else(|| yaml::split(&text.content));
        for (index, piece) in pieces.into_iter().enumerate() {
            let place = Place {
                file: text.file.clone(),
                document: index + 1,
                item: None,
            };
            match yaml::parse(piece.text) {
                // Like an empty document.
                Ok(Value::Null) => {}
                Ok(value) => open(place, value, &mut documents, &mut problems),
                Err(fault) => problems.push(problem(place, piece.line, fault)),
            }
        }
    }
    if documents.is_empty() && problems.is_empty() {
        let file = texts
            .first()
            .map_or_else(String::new, |text| text.file.clone());
        problems.push(Problem::in_file(file, "holds no document"));
    }
    if documents.len() > DOCUMENTS_MAX {
        let file = documents[DOCUMENTS_MAX].place.file.clone();
        problems.push(Problem::in_file(
            file,
            format!("more than {DOCUMENTS_MAX} documents in one run"),
        ));
        documents.truncate(DOCUMENTS_MAX);
    }
    refuse_twins(&documents, &mut problems);
    // Stable: within a kind the author's order stays.
    documents.sort_by_key(|document| document.kind);
    (documents, problems)
}

fn problem(place: Place, first_line: u64, fault: yaml::Fault) -> Problem {
    let mut problem = Problem::at(place, fault.message);
    problem.line = fault.line.map(|line| first_line + line - 1);
    problem.field = fault.field;
    problem
}

/// Takes a list apart, and puts everything else where it belongs.
fn open(place: Place, value: Value, documents: &mut Vec<Document>, problems: &mut Vec<Problem>) {
    let kind = value
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let api_version = value
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let is_list = matches!(
        (api_version, kind),
        ("v1" | API_VERSION, "List") | (API_VERSION, "ClusterList" | "ClusterPolicyList")
    );
    if !is_list || place.item.is_some() {
        match identify(place, value) {
            Ok(document) => documents.push(document),
            Err(found) => problems.extend(found),
        }
        return;
    }
    let Value::Object(mut list) = value else {
        return;
    };
    match list.remove("items") {
        Some(Value::Array(items)) => {
            for (index, item) in items.into_iter().enumerate() {
                open(
                    Place {
                        item: Some(index + 1),
                        ..place.clone()
                    },
                    item,
                    documents,
                    problems,
                );
            }
        }
        _ => problems.push(Problem::at(place, "must be a list").with_field("items")),
    }
}

fn identify(place: Place, value: Value) -> Result<Document, Vec<Problem>> {
    let Value::Object(fields) = &value else {
        return Err(vec![Problem::at(
            place,
            format!(
                "is {}, not a document with apiVersion and kind",
                describe(&value)
            ),
        )]);
    };
    let name = value
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .filter(|name| !name.is_empty());
    let kind = fields.get("kind").and_then(Value::as_str);
    let subject = match (kind, name) {
        (Some(kind), Some(name)) => Some(format!("{kind} {name}")),
        (Some(kind), None) => Some(kind.to_owned()),
        _ => None,
    };
    let refuse = |field: &str, message: String| Problem {
        place: place.clone(),
        line: None,
        subject: subject.clone(),
        field: Some(field.to_owned()),
        message,
    };

    let mut problems = Vec::new();
    let known = match kind {
        Some("Cluster") => Some(Kind::Cluster),
        Some("ClusterPolicy") => Some(Kind::ClusterPolicy),
        Some("AccessRule") => Some(Kind::AccessRule),
        Some("StageRules") => Some(Kind::StageRules),
        _ => None,
    };
    match fields.get("apiVersion").and_then(Value::as_str) {
        Some(API_VERSION) if known.is_some() => {}
        _ if kind.is_none() => problems.push(refuse(
            "kind",
            "is missing: Cluster, ClusterPolicy, AccessRule or StageRules".to_owned(),
        )),
        None => problems.push(refuse("apiVersion", format!("is missing: {API_VERSION}"))),
        Some(other) if known.is_some() => {
            problems.push(refuse(
                "apiVersion",
                format!("`{other}` is not supported: {API_VERSION}"),
            ));
        }
        Some(other) => problems.push(refuse(
            "kind",
            format!(
                "`{}` of {other} is not supported: Cluster, ClusterPolicy, AccessRule and StageRules of {API_VERSION} \
                 are, and lists of them; what the clusters shall hold goes into `spec.objects` \
                 of a ClusterPolicy",
                kind.unwrap_or("")
            ),
        )),
    }
    if name.is_none() {
        problems.push(refuse("metadata.name", "is missing".to_owned()));
    }
    match (known, name) {
        (Some(kind), Some(name)) if problems.is_empty() => {
            let name = name.to_owned();
            Ok(Document {
                place,
                kind,
                name,
                value,
            })
        }
        _ => Err(problems),
    }
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// Two documents of one name in one run: which of them was meant is not ours to guess.
fn refuse_twins(documents: &[Document], problems: &mut Vec<Problem>) {
    let mut seen: HashMap<(Kind, &str), &Place> = HashMap::new();
    for document in documents {
        if let Some(first) = seen.get(&(document.kind, document.name.as_str())) {
            let message = format!("the same {} stands in {first} already", document.kind);
            problems.push(
                Problem::at(document.place.clone(), message).with_subject(document.subject()),
            );
        } else {
            seen.insert((document.kind, &document.name), &document.place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "apiVersion: writ.dev/v1alpha1\nkind: ClusterPolicy\n\
                          metadata: {name: payments}\nspec: {}\n";
    const CLUSTER: &str =
        "apiVersion: writ.dev/v1alpha1\nkind: Cluster\nmetadata: {name: eu-prod-1}\nspec: {}\n";

    fn texts(files: &[(&str, &str)]) -> Vec<Text> {
        files
            .iter()
            .map(|(file, content)| Text {
                file: (*file).to_owned(),
                content: (*content).to_owned(),
            })
            .collect()
    }

    fn problems(content: &str) -> Vec<String> {
        parse(&texts(&[("f.yaml", content)]))
            .1
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn clusters_come_before_policies_and_keep_their_places() {
        let (documents, problems) =
            parse(&texts(&[("a.yaml", &format!("{POLICY}---\n{CLUSTER}"))]));
        assert_eq!(problems, []);
        assert_eq!(
            documents.iter().map(Document::subject).collect::<Vec<_>>(),
            ["Cluster eu-prod-1", "ClusterPolicy payments"]
        );
        assert_eq!(documents[0].place.to_string(), "a.yaml: document 2");
    }

    #[test]
    fn lists_are_opened_and_their_items_have_places() {
        let list = r#"{"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "writ.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "a"}},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}}]}"#;
        let (documents, problems) = parse(&texts(&[("l.json", list)]));
        assert_eq!(documents[0].place.to_string(), "l.json: document 1, item 1");
        assert!(problems[0].to_string().starts_with(
            "l.json: document 1, item 2 (ConfigMap b): kind: `ConfigMap` of v1 is not supported"
        ));
    }

    #[test]
    fn a_list_in_a_list_and_a_list_without_items_are_refused() {
        assert_eq!(
            problems(
                "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: List, items: []}]}"
            )
            .len(),
            2
        );
        assert_eq!(
            problems("{apiVersion: v1, kind: List}"),
            ["f.yaml: document 1: items: must be a list"]
        );
    }

    #[test]
    fn twins_are_refused_naming_both_places() {
        let (_, problems) = parse(&texts(&[
            ("a.yaml", POLICY),
            ("b.yaml", &format!("{CLUSTER}---\n{POLICY}")),
        ]));
        assert_eq!(
            problems[0].to_string(),
            "b.yaml: document 2 (ClusterPolicy payments): the same ClusterPolicy stands in a.yaml: document 1 already"
        );
    }

    #[test]
    fn a_broken_document_is_told_with_its_line_and_does_not_hide_the_others() {
        let (documents, problems) = parse(&texts(&[(
            "f.yaml",
            &format!("{POLICY}---\na:\n  b: 1\n c: 2\n---\n{CLUSTER}"),
        )]));
        assert_eq!(documents.len(), 2);
        let text = problems[0].to_string();
        assert!(text.starts_with("f.yaml: document 2, line 8: "), "{text}");
    }

    #[test]
    fn missing_kinds_versions_and_names_are_told() {
        assert_eq!(
            problems("metadata: {name: a}"),
            [
                "f.yaml: document 1: kind: is missing: Cluster, ClusterPolicy, AccessRule or StageRules"
            ]
        );
        assert_eq!(
            problems("kind: Cluster\nmetadata: {name: a}"),
            ["f.yaml: document 1 (Cluster a): apiVersion: is missing: writ.dev/v1alpha1"]
        );
        assert_eq!(
            problems("{apiVersion: writ.dev/v1, kind: Cluster, metadata: {name: a}}"),
            [
                "f.yaml: document 1 (Cluster a): apiVersion: `writ.dev/v1` is not supported: writ.dev/v1alpha1"
            ]
        );
        assert_eq!(
            problems("{apiVersion: writ.dev/v1alpha1, kind: Cluster, metadata: {}}"),
            ["f.yaml: document 1 (Cluster): metadata.name: is missing"]
        );
    }

    #[test]
    fn the_policy_of_another_project_is_not_ours() {
        let found =
            problems("{apiVersion: kyverno.io/v1, kind: ClusterPolicy, metadata: {name: a}}");
        assert!(
            found[0].contains("`kyverno.io/v1` is not supported"),
            "{found:?}"
        );
    }

    #[test]
    fn a_document_that_is_no_map_is_refused() {
        assert_eq!(
            problems("- a\n- b\n"),
            ["f.yaml: document 1: is a list, not a document with apiVersion and kind"]
        );
    }

    #[test]
    fn input_without_any_document_is_told() {
        assert_eq!(problems("# later\n"), ["f.yaml: holds no document"]);
        assert_eq!(
            parse(&texts(&[("a.yaml", "# later\n"), ("b.yaml", POLICY)])).1,
            []
        );
    }
}
