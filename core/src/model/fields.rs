//! Reads the fields of one JSON object and keeps their paths. Every field that is not known is
//! refused when the object is opened, with the nearest known name; `null` counts as absent, as it
//! does for the Kubernetes API.

use serde_json::{Map, Value};

use super::limits::{DEPTH_MAX, ENTRIES_MAX};
use super::report::{Report, quoted};

/// One JSON object of the input and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a> {
    path: String,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// Opens an object of which only the `known` fields may be there.
    pub(super) fn open(
        value: &'a Value,
        path: impl Into<String>,
        known: &[&str],
        report: &mut Report,
    ) -> Option<Fields<'a>> {
        let fields = Fields::open_map(value, path, report)?;
        for key in fields
            .map
            .keys()
            .filter(|key| !known.contains(&key.as_str()))
        {
            report.refuse(fields.path(key), unknown("field", key, known));
        }
        Some(fields)
    }

    /// Opens an object with keys of the user's choice, such as labels.
    pub(super) fn open_map(
        value: &'a Value,
        path: impl Into<String>,
        report: &mut Report,
    ) -> Option<Fields<'a>> {
        let path = path.into();
        match value {
            Value::Object(map) => Some(Fields { path, map }),
            other => {
                report.refuse(path, format!("must be a map, not {}", kind_of(other)));
                None
            }
        }
    }

    /// The path of a field of this object; with no key it is the object's own.
    pub(super) fn path(&self, key: &str) -> String {
        path_of(&self.path, key)
    }

    /// The field's value, unless it is absent or null.
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Whether the field is written down with nothing in it: null, an empty list or an empty map.
    pub(super) fn is_empty(&self, key: &str) -> bool {
        match self.map.get(key) {
            Some(Value::Null) => true,
            Some(Value::Array(items)) => items.is_empty(),
            Some(Value::Object(map)) => map.is_empty(),
            _ => false,
        }
    }

    /// Keys and values, in the order of the keys.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
        self.map.iter()
    }

    /// A field that holds an object of known fields.
    pub(super) fn open_field(
        &self,
        key: &str,
        known: &[&str],
        report: &mut Report,
    ) -> Option<Fields<'a>> {
        Fields::open(self.get(key)?, self.path(key), known, report)
    }

    /// A text.
    pub(super) fn text(&self, key: &str, report: &mut Report) -> Option<&'a str> {
        text(self.get(key)?, self.path(key), report)
    }

    /// A text that has to be there.
    pub(super) fn required_text(&self, key: &str, report: &mut Report) -> Option<&'a str> {
        if self.get(key).is_none() {
            report.refuse(self.path(key), "is required");
        }
        self.text(key, report)
    }

    /// A text that has to be there and is read by `parse`, whose error is the message.
    pub(super) fn parsed<T, E: std::fmt::Display>(
        &self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
        report: &mut Report,
    ) -> Option<T> {
        let text = self.required_text(key, report)?;
        parse(text)
            .map_err(|error| report.refuse(self.path(key), error.to_string()))
            .ok()
    }

    /// A yes or no.
    pub(super) fn flag(&self, key: &str, report: &mut Report) -> Option<bool> {
        let value = self.get(key)?;
        if value.as_bool().is_none() {
            let message = format!("must be true or false, not {}", kind_of(value));
            report.refuse(self.path(key), message);
        }
        value.as_bool()
    }

    /// The items of a list with their paths, at most `max` of them.
    pub(super) fn items(
        &self,
        key: &str,
        max: usize,
        report: &mut Report,
    ) -> Vec<(String, &'a Value)> {
        let path = self.path(key);
        match self.get(key) {
            None => Vec::new(),
            Some(Value::Array(items)) if items.len() > max => {
                report.refuse(
                    path,
                    format!("holds {} entries, the limit is {max}", items.len()),
                );
                Vec::new()
            }
            Some(Value::Array(items)) => items
                .iter()
                .enumerate()
                .map(|(i, item)| (format!("{path}[{i}]"), item))
                .collect(),
            Some(other) => {
                report.refuse(path, format!("must be a list, not {}", kind_of(other)));
                Vec::new()
            }
        }
    }

    /// The texts of a list with their paths.
    pub(super) fn texts(&self, key: &str, report: &mut Report) -> Vec<(String, &'a str)> {
        let items = self.items(key, ENTRIES_MAX, report);
        items
            .into_iter()
            .filter_map(|(path, item)| {
                let text = text(item, path.clone(), report)?;
                Some((path, text))
            })
            .collect()
    }

    /// Refuses a field that is not supported yet; nothing happens when it is absent, null or empty.
    pub(super) fn refuse_unsupported(&self, key: &str, report: &mut Report) {
        if self.get(key).is_some() && !self.is_empty(key) {
            report.refuse(self.path(key), format!("{key} is not supported yet"));
        }
    }
}

/// The path of a field of the object at `parent`; with no key it is the object's own.
pub(super) fn path_of(parent: &str, key: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    match (parent.is_empty(), key.bytes().all(plain)) {
        (_, true) if key.is_empty() => parent.to_owned(),
        (true, true) => key.to_owned(),
        (false, true) => format!("{parent}.{key}"),
        (_, false) => format!("{parent}[{}]", quoted(key).trim_matches('"')),
    }
}

/// A text at a path.
pub(super) fn text<'a>(value: &'a Value, path: String, report: &mut Report) -> Option<&'a str> {
    if value.as_str().is_none() {
        let hint = if value.is_boolean() || value.is_number() {
            ", quote it"
        } else {
            ""
        };
        report.refuse(
            path,
            format!("must be a text, not {}{hint}", kind_of(value)),
        );
    }
    value.as_str()
}

/// Says that something is unknown and which known word is nearest.
pub(super) fn unknown(what: &str, given: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|known| {
            (
                distance(&given.to_lowercase(), &known.to_lowercase()),
                known,
            )
        })
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
        .min();
    match nearest {
        Some((_, known)) => {
            format!(
                "unknown {what} {}, did you mean {}?",
                quoted(given),
                quoted(known)
            )
        }
        None if known.is_empty() => format!("unknown {what} {}, none is known here", quoted(given)),
        None => format!(
            "unknown {what} {}, known here: {}",
            quoted(given),
            known.join(", ")
        ),
    }
}

/// Whether a value nests deeper than a document may.
pub(super) fn is_too_deep(value: &Value) -> bool {
    fn exceeds(value: &Value, left: usize) -> bool {
        match value {
            Value::Array(_) | Value::Object(_) if left == 0 => true,
            Value::Array(items) => items.iter().any(|item| exceeds(item, left - 1)),
            Value::Object(map) => map.values().any(|item| exceeds(item, left - 1)),
            _ => false,
        }
    }
    exceeds(value, DEPTH_MAX)
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// Edit distance of two words. Long input is far from every known word, so it is not measured.
fn distance(given: &str, known: &str) -> usize {
    const MEASURED_MAX_BYTES: usize = 64;
    if given.len() > MEASURED_MAX_BYTES {
        return usize::MAX;
    }
    let known: Vec<char> = known.chars().collect();
    let mut row: Vec<usize> = (0..=known.len()).collect();
    for (i, a) in given.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in known.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[known.len()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_unknown_field_is_refused_with_the_nearest_known_one() {
        let known = ["clusterRole", "clusterWide", "role", "namespaces"];
        assert!(unknown("field", "clusterrole", &known).ends_with("did you mean \"clusterRole\"?"));
        assert!(unknown("field", "namespace", &known).ends_with("did you mean \"namespaces\"?"));
        assert!(unknown("field", "colour", &known).contains("known here: clusterRole"));
    }

    #[test]
    fn paths_name_fields_items_and_keys() {
        let value = json!({"items": ["a"], "labels": {"example.com/a": 1}});
        let report = &mut Report::default();
        let fields = Fields::open_map(&value, "spec", report).unwrap();
        assert_eq!(
            fields.texts("items", report),
            [("spec.items[0]".to_owned(), "a")]
        );
        assert_eq!(fields.path("example.com/a"), "spec[example.com/a]");
    }

    #[test]
    fn depth_is_counted_without_walking_below_the_limit() {
        let nested = |depth| (0..depth).fold(json!("leaf"), |inner, _| json!([inner]));
        assert!(!is_too_deep(&nested(DEPTH_MAX)));
        assert!(is_too_deep(&nested(DEPTH_MAX + 1)));
    }
}
