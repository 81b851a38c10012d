//! Two generations of one document, compared line by line as YAML.

use serde::Serialize;
use serde_json::Value;
use similar::TextDiff;
use writ_proto::v1;

use super::history::EditView;
use super::json::{Document, manifest};
use super::table::clean;
use super::words;
use crate::input::Kind;

/// Lines around a change, as `diff -u` shows them.
const CONTEXT_LINES: usize = 3;

/// A comparison.
#[derive(Debug)]
pub(crate) struct Difference {
    kind: Kind,
    name: String,
    from: v1::GetEditResponse,
    to: v1::GetEditResponse,
    unified: String,
}

impl Difference {
    pub(crate) fn new(
        kind: Kind,
        name: &str,
        from: &v1::GetEditResponse,
        to: &v1::GetEditResponse,
    ) -> Self {
        let (old, new) = (yaml(&from.manifest), yaml(&to.manifest));
        let unified = TextDiff::from_lines(&old, &new)
            .unified_diff()
            .context_radius(CONTEXT_LINES)
            .header(&title(name, from), &title(name, to))
            .to_string();
        let (from, to) = (from.clone(), to.clone());
        Self {
            kind,
            name: name.to_owned(),
            from,
            to,
            unified,
        }
    }

    pub(crate) fn differs(&self) -> bool {
        !self.unified.is_empty()
    }

    /// What is said where there is no difference.
    pub(crate) fn nothing(&self) -> String {
        let (from, to) = (generation(&self.from), generation(&self.to));
        let name = &self.name;
        format!("{name}@{from} and {name}@{to} say the same")
    }

    /// The unified diff. Colours only help to find the lines: their first letter says the same.
    pub(crate) fn text(&self, colour: bool) -> String {
        if !colour {
            return self.unified.clone();
        }
        let mut text = String::new();
        for line in self.unified.lines() {
            let escape = match line.as_bytes().first() {
                Some(b'+') => "\x1b[32m",
                Some(b'-') => "\x1b[31m",
                Some(b'@') => "\x1b[36m",
                _ => "",
            };
            let end = if escape.is_empty() { "" } else { "\x1b[0m" };
            text.push_str(&format!("{escape}{line}{end}\n"));
        }
        text
    }

    /// `-o json`.
    pub(crate) fn document(&self) -> Document<View> {
        Document::new(
            "Diff",
            View {
                entry_kind: self.kind.as_str(),
                name: self.name.clone(),
                differs: self.differs(),
                from: side(&self.from),
                to: side(&self.to),
                unified: self.unified.clone(),
            },
        )
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    entry_kind: &'static str,
    name: String,
    differs: bool,
    from: Side,
    to: Side,
    unified: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Side {
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    edit: Option<EditView>,
    /// Not there where the edit took the name away.
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<Value>,
}

fn side(response: &v1::GetEditResponse) -> Side {
    Side {
        edit: response.edit.as_ref().map(EditView::new),
        manifest: manifest(&response.manifest),
    }
}

fn generation(response: &v1::GetEditResponse) -> u64 {
    response.edit.as_ref().map_or(0, |edit| edit.generation)
}

/// `payments@41 (2026-11-25T14:00:00.12Z, ann: INC-1)`.
fn title(name: &str, response: &v1::GetEditResponse) -> String {
    let Some(edit) = &response.edit else {
        return name.to_owned();
    };
    let time = words::instant(edit.committed_at.as_ref()).unwrap_or_default();
    let deleted = if response.manifest.is_empty() {
        ", deleted"
    } else {
        ""
    };
    let said = match edit.reason.as_str() {
        "" => edit.author.clone(),
        reason => format!("{}: {reason}", edit.author),
    };
    clean(&format!(
        "{name}@{} ({time}, {said}{deleted})",
        edit.generation
    ))
}

/// The document with sorted keys; nothing for a deletion.
pub(crate) fn yaml(json: &str) -> String {
    manifest(json)
        .and_then(|value| serde_saphyr::to_string(&value).ok())
        .map(|text| format!("{}\n", text.trim_end()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(generation: u64, manifest: &str) -> v1::GetEditResponse {
        v1::GetEditResponse {
            edit: Some(v1::Edit {
                generation,
                committed_at: Some(prost_types::Timestamp {
                    seconds: 1_000,
                    nanos: 0,
                }),
                author: "ann".into(),
                reason: "INC\n1".into(),
                ..Default::default()
            }),
            manifest: manifest.into(),
            ..Default::default()
        }
    }

    fn compare(from: &str, to: &str) -> Difference {
        Difference::new(
            Kind::ClusterPolicy,
            "payments",
            &edit(1, from),
            &edit(2, to),
        )
    }

    #[test]
    fn a_difference_reads_as_a_unified_diff_of_the_yaml() {
        let difference = compare(r#"{"b":1,"a":[1,2]}"#, r#"{"a":[1,3],"b":1}"#);
        assert_eq!(
            difference.text(false),
            "--- payments@1 (1970-01-01T00:16:40Z, ann: INC 1)\n\
             +++ payments@2 (1970-01-01T00:16:40Z, ann: INC 1)\n\
             @@ -1,4 +1,4 @@\n a:\n - 1\n-- 2\n+- 3\n b: 1\n"
        );
        assert!(difference.text(true).contains("\x1b[31m-- 2\x1b[0m\n"));
    }

    #[test]
    fn a_deletion_is_an_empty_side_and_equal_documents_have_no_difference() {
        assert!(!compare(r#"{"a":1,"b":2}"#, r#"{"b":2,"a":1}"#).differs());
        let deleted = compare(r#"{"a":1}"#, "");
        assert!(deleted.text(false).contains("ann: INC 1, deleted)"));
        assert!(deleted.text(false).ends_with("-a: 1\n"));
    }
}
