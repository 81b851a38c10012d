//! Which clusters a policy is for. All criteria of a selector have to hold; `exclude` takes clusters
//! out again, those for which all of *its* criteria hold. Nothing in a selector may be empty: a
//! template that filled in nothing would otherwise reach the whole fleet.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::label_selector::LabelSelector;
use super::report::{Report, quoted};
use crate::name::{ClusterName, Region, Stage};
use crate::placement;

/// Fields of a set of criteria.
const CRITERIA: [&str; 5] = [
    "regions",
    "stages",
    "names",
    "matchLabels",
    "matchExpressions",
];

/// What a selector looks at in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterIdentity {
    /// Its name in the registry.
    pub name: ClusterName,
    /// Its region.
    pub region: Region,
    /// Its stage.
    pub stage: Stage,
    /// The labels of its registry entry.
    pub labels: BTreeMap<String, String>,
}

/// Criteria that all have to hold; one that is not given holds for every cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Criteria {
    pub(crate) regions: BTreeSet<Region>,
    pub(crate) stages: BTreeSet<Stage>,
    names: BTreeSet<ClusterName>,
    labels: LabelSelector,
}

/// The clusters of a policy: the whole fleet or what the criteria say, without what is excluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSelector {
    /// `None` is the whole fleet, which was said as `all: true`.
    include: Option<Criteria>,
    exclude: Option<Criteria>,
}

impl ClusterSelector {
    /// The whole fleet.
    pub fn all() -> ClusterSelector {
        ClusterSelector {
            include: None,
            exclude: None,
        }
    }

    /// Whether the policy is for this cluster.
    pub fn matches(&self, cluster: &ClusterIdentity) -> bool {
        self.include
            .as_ref()
            .is_none_or(|criteria| criteria.hold(cluster))
            && !self
                .exclude
                .as_ref()
                .is_some_and(|criteria| criteria.hold(cluster))
    }

    /// Whether the answer depends on labels, so that it changes with the registry entry.
    pub fn needs_labels(&self) -> bool {
        self.include
            .iter()
            .chain(&self.exclude)
            .any(Criteria::need_labels)
    }

    /// The names that the policy lists, for a hint about those that the registry lacks.
    pub fn names(&self) -> impl Iterator<Item = &ClusterName> {
        self.include.iter().flat_map(|criteria| &criteria.names)
    }

    /// The criteria, or `None` for the whole fleet.
    pub(crate) fn include(&self) -> Option<&Criteria> {
        self.include.as_ref()
    }

    /// What is taken out.
    pub(crate) fn exclude(&self) -> Option<&Criteria> {
        self.exclude.as_ref()
    }

    /// Reads `clusters`.
    pub(super) fn read(spec: &Fields<'_>, report: &mut Report) -> Option<ClusterSelector> {
        let path = spec.path("clusters");
        if spec.get("clusters").is_none() || spec.is_empty("clusters") {
            report.refuse(path, "is required; the whole fleet is said as {all: true}");
            return None;
        }
        let known = [&["all", "exclude"][..], &CRITERIA].concat();
        let before = report.refused();
        let fields = spec.open_field("clusters", &known, report)?;
        let criteria = Criteria::read(&fields, report);
        let exclude = read_exclude(&fields, report);
        let all = fields.flag("all", report).unwrap_or(false);
        if all && criteria != Criteria::default() {
            report.refuse(
                fields.path("all"),
                "the whole fleet can only be narrowed by exclude",
            );
        }
        if report.refused() != before {
            return None;
        }
        if !all && criteria == Criteria::default() {
            report.refuse(
                path,
                "selects nothing; the whole fleet is said as {all: true}",
            );
            return None;
        }
        let selector = ClusterSelector {
            include: (!all).then_some(criteria),
            exclude,
        };
        if placement::policy_scopes(&selector).is_empty() {
            report.refuse(
                fields.path("exclude"),
                "takes out every cluster that is selected",
            );
            return None;
        }
        Some(selector)
    }

    /// The form of documents, sorted.
    pub(super) fn to_json(&self) -> Value {
        let mut map = match &self.include {
            None => Map::from_iter([("all".to_owned(), json!(true))]),
            Some(criteria) => criteria.to_json(),
        };
        if let Some(exclude) = &self.exclude {
            map.insert("exclude".to_owned(), Value::Object(exclude.to_json()));
        }
        Value::Object(map)
    }
}

fn read_exclude(clusters: &Fields<'_>, report: &mut Report) -> Option<Criteria> {
    if clusters.is_empty("exclude") {
        report.refuse(clusters.path("exclude"), "must not be empty, leave it out");
        return None;
    }
    let fields = clusters.open_field("exclude", &CRITERIA, report)?;
    Some(Criteria::read(&fields, report))
}

impl Criteria {
    fn hold(&self, cluster: &ClusterIdentity) -> bool {
        fn allows<T: Ord>(set: &BTreeSet<T>, value: &T) -> bool {
            set.is_empty() || set.contains(value)
        }
        allows(&self.regions, &cluster.region)
            && allows(&self.stages, &cluster.stage)
            && allows(&self.names, &cluster.name)
            && self.labels.matches(&cluster.labels)
    }

    fn need_labels(&self) -> bool {
        !self.labels.is_empty()
    }

    /// Whether region and stage alone decide.
    pub(crate) fn is_of_places(&self) -> bool {
        self.names.is_empty() && !self.need_labels()
    }

    fn read(fields: &Fields<'_>, report: &mut Report) -> Criteria {
        for key in CRITERIA.into_iter().filter(|key| fields.is_empty(key)) {
            report.refuse(fields.path(key), "must not be empty, leave it out");
        }
        Criteria {
            regions: read_set(fields, "regions", Region::parse, report),
            stages: read_set(fields, "stages", Stage::parse, report),
            names: read_set(fields, "names", ClusterName::parse, report),
            labels: LabelSelector::read_of(fields, report),
        }
    }

    fn to_json(&self) -> Map<String, Value> {
        fn texts<T: AsRef<str>>(set: &BTreeSet<T>) -> Value {
            set.iter().map(|name| Value::from(name.as_ref())).collect()
        }
        let fields = [
            ("regions", !self.regions.is_empty(), texts(&self.regions)),
            ("stages", !self.stages.is_empty(), texts(&self.stages)),
            ("names", !self.names.is_empty(), texts(&self.names)),
        ];
        let given = fields.into_iter().filter(|(_, given, _)| *given);
        given
            .map(|(key, _, value)| (key.to_owned(), value))
            .chain(self.labels.to_json())
            .collect()
    }
}

fn read_set<T: Ord, E: Display>(
    fields: &Fields<'_>,
    key: &str,
    parse: impl Fn(&str) -> Result<T, E>,
    report: &mut Report,
) -> BTreeSet<T> {
    let mut set = BTreeSet::new();
    for (path, text) in fields.texts(key, report) {
        match parse(text) {
            Ok(name) => {
                if !set.insert(name) {
                    report.refuse(path, format!("{} is listed twice", quoted(text)));
                }
            }
            Err(error) => report.refuse(path, error.to_string()),
        }
    }
    set
}
