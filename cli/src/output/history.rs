//! The edits of one name, as a table and as JSON.

use serde::Serialize;
use writ_proto::v1;

use super::json::{AsOf, Document, Revision};
use super::table::{Table, Tone};
use super::words;
use crate::input::Kind;

/// What an edit did, in a word.
pub(crate) fn kind(edit: &v1::Edit) -> &'static str {
    match edit.kind() {
        v1::EditKind::Created => "created",
        v1::EditKind::Changed => "changed",
        v1::EditKind::Moved => "moved",
        v1::EditKind::Deleted => "deleted",
        v1::EditKind::Recreated => "recreated",
        // What was before it is not kept, so that nobody can say which of these it was.
        v1::EditKind::Put => "put",
        v1::EditKind::Unspecified => "unknown",
    }
}

/// The table, oldest first.
pub(crate) fn table(told: &v1::ListEditsResponse) -> Table {
    let mut table = Table::new([
        "GEN", "EDIT", "TIME", "REVISION", "TARGET", "SCOPES", "INLET", "AUTHOR", "REASON",
    ]);
    for edit in &told.edits {
        let row = [
            edit.generation.to_string(),
            kind(edit).to_owned(),
            words::instant(edit.committed_at.as_ref()).unwrap_or_default(),
            words::revision(edit.revision.as_ref()),
            edit.targets.len().to_string(),
            edit.scopes.join(","),
            edit.inlet.clone(),
            edit.author.clone(),
            edit.reason.clone(),
        ];
        table.row(Tone::Plain, row);
    }
    table
}

/// Where the kept history begins.
pub(crate) fn begins(name: &str, told: &v1::ListEditsResponse) -> String {
    if told.revoked > 0 {
        return format!(
            "the history of {name} that can be believed begins at {name}@{}: {} edits before are \
             signed by a key that was revoked since, and nobody can tell them from those of its thief",
            told.oldest_generation, told.revoked
        );
    }
    match told.oldest_generation {
        0 | 1 => format!("the whole history of {name} is kept"),
        oldest => format!(
            "the kept history begins at {name}@{oldest}: the log keeps {} edits of a name, the {} \
             before are evicted",
            told.kept_max,
            oldest - 1
        ),
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct History {
    /// `Cluster` or `ClusterPolicy`.
    entry_kind: &'static str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<AsOf>,
    /// The first generation that is kept; those before it are unknown.
    oldest_generation: u64,
    kept_max: u32,
    /// Edits that are in the log and not listed: signed by a key that was revoked since.
    #[serde(skip_serializing_if = "is_zero")]
    revoked: u64,
    /// Oldest first.
    items: Vec<EditView>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// An edit without its document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EditView {
    generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<Revision>,
    /// `created`, `changed`, `moved`, `deleted`, `recreated`, or `put` where what was before it is
    /// not kept.
    edit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    committed_at: Option<String>,
    author: String,
    reason: String,
    inlet: String,
    request_id: String,
    targets: Vec<String>,
    scopes: Vec<String>,
}

impl EditView {
    pub(crate) fn new(edit: &v1::Edit) -> Self {
        Self {
            generation: edit.generation,
            revision: Revision::from_proto(edit.revision.as_ref()),
            edit: kind(edit),
            committed_at: words::instant(edit.committed_at.as_ref()),
            author: edit.author.clone(),
            reason: edit.reason.clone(),
            inlet: edit.inlet.clone(),
            request_id: edit.request_id.clone(),
            targets: edit.targets.clone(),
            scopes: edit.scopes.clone(),
        }
    }
}

/// `-o json`.
pub(crate) fn document(kind: Kind, name: &str, told: &v1::ListEditsResponse) -> Document<History> {
    Document::new(
        "History",
        History {
            entry_kind: kind.as_str(),
            name: name.to_owned(),
            as_of: AsOf::from_proto(told.as_of.as_ref()),
            oldest_generation: told.oldest_generation,
            kept_max: told.kept_max,
            revoked: told.revoked,
            items: told.edits.iter().map(EditView::new).collect(),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_reads_from_the_oldest_to_the_newest_and_says_where_it_begins() {
        let edit = |generation, kind: v1::EditKind| v1::Edit {
            generation,
            revision: Some(v1::Revision {
                epoch: 1,
                number: generation + 100,
            }),
            kind: kind.into(),
            committed_at: Some(prost_types::Timestamp {
                seconds: 1_000,
                nanos: 42_000_000,
            }),
            author: "ann".into(),
            inlet: "grpc".into(),
            targets: vec!["a".into(), "b".into()],
            scopes: vec!["eu.all".into()],
            ..Default::default()
        };
        let told = v1::ListEditsResponse {
            edits: vec![edit(7, v1::EditKind::Put), edit(8, v1::EditKind::Changed)],
            oldest_generation: 7,
            kept_max: 64,
            ..Default::default()
        };
        assert_eq!(
            table(&told).render(false),
            "GEN  EDIT     TIME                      REVISION  TARGET  SCOPES  INLET  AUTHOR  REASON\n\
             7    put      1970-01-01T00:16:40.042Z  107       2       eu.all  grpc   ann     -\n\
             8    changed  1970-01-01T00:16:40.042Z  108       2       eu.all  grpc   ann     -"
        );
        assert_eq!(
            begins("payments", &told),
            "the kept history begins at payments@7: the log keeps 64 edits of a name, the 6 before \
             are evicted"
        );
    }
}
