//! Label selectors as Kubernetes has them: `matchLabels` and `matchExpressions`, of which all have to
//! hold. What an empty one means differs from place to place, so each place says whether it may be.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::expression::{self, Requirement};
use super::fields::Fields;
use super::metadata;
use super::report::Report;

/// Fields of a label selector.
pub(super) const LABEL_SELECTOR: [&str; 2] = ["matchLabels", "matchExpressions"];

/// What is asked of labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LabelSelector {
    match_labels: BTreeMap<String, String>,
    match_expressions: BTreeSet<Requirement>,
}

impl LabelSelector {
    /// Whether labels satisfy it; an empty selector is satisfied by all.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |(key, value)| labels.get(key) == Some(value);
        self.match_labels.iter().all(has)
            && self.match_expressions.iter().all(|of| of.holds(labels))
    }

    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }

    /// Reads a selector at the field `key`, where there is one. An empty one is read too.
    pub(super) fn read(
        fields: &Fields<'_>,
        key: &str,
        report: &mut Report,
    ) -> Option<LabelSelector> {
        let selector = fields.open_field(key, &LABEL_SELECTOR, report)?;
        Some(LabelSelector::read_of(&selector, report))
    }

    /// Reads the fields of a selector, which may be among others.
    pub(super) fn read_of(fields: &Fields<'_>, report: &mut Report) -> LabelSelector {
        LabelSelector {
            match_labels: metadata::read_selected_labels(fields, "matchLabels", report),
            match_expressions: expression::read_all(fields, "matchExpressions", report),
        }
    }

    /// The form of documents, sorted, without what is empty.
    pub(super) fn to_json(&self) -> Map<String, Value> {
        let mut map = Map::new();
        metadata::insert_map(&mut map, "matchLabels", &self.match_labels);
        if !self.match_expressions.is_empty() {
            let expressions = self.match_expressions.iter().map(Requirement::to_json);
            map.insert("matchExpressions".to_owned(), expressions.collect());
        }
        map
    }
}
