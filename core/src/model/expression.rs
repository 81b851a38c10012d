//! Label expressions, `matchExpressions`, with the meaning that Kubernetes gives them: a label that
//! is not there satisfies `NotIn` and `DoesNotExist`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::fields::{Fields, unknown};
use super::limits::ENTRIES_MAX;
use super::report::Report;
use super::syntax;

/// The four operators, as documents spell them.
const OPERATORS: [&str; 4] = ["In", "NotIn", "Exists", "DoesNotExist"];

/// What is asked of one label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Test {
    In(BTreeSet<String>),
    NotIn(BTreeSet<String>),
    Exists,
    DoesNotExist,
}

impl Requirement {
    /// Whether labels satisfy it.
    pub(super) fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match &self.test {
            Test::In(values) => value.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Test::Exists => value.is_some(),
            Test::DoesNotExist => value.is_none(),
        }
    }

    /// The form of documents, its values sorted.
    pub(super) fn to_json(&self) -> Value {
        match &self.test {
            Test::In(values) => json!({"key": self.key, "operator": "In", "values": values}),
            Test::NotIn(values) => json!({"key": self.key, "operator": "NotIn", "values": values}),
            Test::Exists => json!({"key": self.key, "operator": "Exists"}),
            Test::DoesNotExist => json!({"key": self.key, "operator": "DoesNotExist"}),
        }
    }

    fn read(fields: &Fields<'_>, report: &mut Report) -> Option<Requirement> {
        let key = fields.parsed(
            "key",
            |text| syntax::check_key(text).map(|()| text.to_owned()),
            report,
        );
        let operator = fields.required_text("operator", report)?;
        let mut values = BTreeSet::new();
        for (path, text) in fields.texts("values", report) {
            if let Err(message) = syntax::check_label_value(text) {
                report.refuse(path, message);
            }
            values.insert(text.to_owned());
        }
        let lists_values = matches!(operator, "In" | "NotIn");
        if lists_values && values.is_empty() {
            report.refuse(
                fields.path("values"),
                format!("operator {operator} needs values"),
            );
        }
        if !lists_values && !values.is_empty() && OPERATORS.contains(&operator) {
            report.refuse(
                fields.path("values"),
                format!("operator {operator} takes no values"),
            );
        }
        let test = match operator {
            "In" => Test::In(values),
            "NotIn" => Test::NotIn(values),
            "Exists" => Test::Exists,
            "DoesNotExist" => Test::DoesNotExist,
            other => {
                report.refuse(
                    fields.path("operator"),
                    unknown("operator", other, &OPERATORS),
                );
                return None;
            }
        };
        Some(Requirement { key: key?, test })
    }
}

/// Reads a list of requirements.
pub(super) fn read_all(
    fields: &Fields<'_>,
    key: &str,
    report: &mut Report,
) -> BTreeSet<Requirement> {
    let mut requirements = BTreeSet::new();
    for (path, item) in fields.items(key, ENTRIES_MAX, report) {
        let known = ["key", "operator", "values"];
        let Some(fields) = Fields::open(item, path, &known, report) else {
            continue;
        };
        requirements.extend(Requirement::read(&fields, report));
    }
    requirements
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: Value) -> Result<Requirement, Vec<String>> {
        let document = json!({"matchExpressions": [value]});
        let mut report = Report::default();
        let fields = Fields::open_map(&document, "", &mut report).unwrap();
        let found = read_all(&fields, "matchExpressions", &mut report).pop_first();
        match report.finish() {
            Ok(_) => Ok(found.unwrap()),
            Err(violations) => Err(violations.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn operators_mean_what_kubernetes_means() {
        let aws = BTreeMap::from([("provider".to_owned(), "aws".to_owned())]);
        let none = BTreeMap::new();
        for (operator, values, with, without) in [
            ("In", vec!["aws", "gcp"], true, false),
            ("In", vec!["gcp"], false, false),
            ("NotIn", vec!["aws"], false, true),
            ("Exists", vec![], true, false),
            ("DoesNotExist", vec![], false, true),
        ] {
            let value = json!({"key": "provider", "operator": operator, "values": values});
            let requirement = read(value).unwrap();
            assert_eq!(requirement.holds(&aws), with, "{operator} {values:?}");
            assert_eq!(requirement.holds(&none), without, "{operator} {values:?}");
        }
    }

    #[test]
    fn operators_and_values_have_to_fit() {
        for (value, message) in [
            (
                json!({"key": "a", "operator": "In"}),
                "values: operator In needs values",
            ),
            (
                json!({"key": "a", "operator": "Exists", "values": ["b"]}),
                "takes no values",
            ),
            (
                json!({"key": "a", "operator": "Equals", "values": ["b"]}),
                "unknown operator",
            ),
            (
                json!({"key": "-a", "operator": "Exists"}),
                "begins and ends",
            ),
            (json!({"key": "a"}), "operator: is required"),
        ] {
            let messages = read(value).unwrap_err();
            assert!(
                messages.iter().any(|text| text.contains(message)),
                "{messages:?}"
            );
        }
    }
}
