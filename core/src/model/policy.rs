//! A policy: what a set of clusters must hold, as a user states it or as it was compiled.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::choice::{self, Adopt, Enforcement, Removal};
use super::compile;
use super::fields::Fields;
use super::grant::{Grant, SelectorGrant};
use super::kind::ObjectIdentity;
use super::limits::{COMPILED_SIZE_MAX_BYTES, ENTRIES_MAX, OBJECTS_MAX, REASON_MAX_BYTES};
use super::metadata::{self, Metadata};
use super::object::Object;
use super::report::{Report, quoted};
use super::selector::ClusterSelector;
use super::syntax;
use crate::name::PolicyName;

/// Fields of the spec that travel to clusters.
const COMPILED_SPEC: [&str; 6] = [
    "clusters",
    "enforcement",
    "removal",
    "adopt",
    "objects",
    "grants",
];

/// Fields of the spec that stay with the publisher.
const OWN_SPEC: [&str; 3] = ["reason", "deletionProtection", "overrides"];

/// What a set of clusters must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterPolicy {
    /// Its name.
    pub name: PolicyName,
    /// Labels of the policy itself.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the policy itself.
    pub annotations: BTreeMap<String, String>,
    /// Which clusters.
    pub clusters: ClusterSelector,
    /// What happens to drift.
    pub enforcement: Enforcement,
    /// What happens to objects that leave the policy.
    pub removal: Removal,
    /// Whether foreign objects may be taken over.
    pub adopt: Adopt,
    /// Whether deleting the policy, or taking something out of it, is refused; no part of the compiled
    /// form.
    pub deletion_protection: bool,
    /// Why the edit is made; part of the intent, not of the compiled form.
    pub reason: Option<String>,
    /// The objects, in the order of the document.
    pub objects: Vec<Object>,
    /// The grants, in the order of the document.
    pub grants: Vec<Grant>,
}

impl ClusterPolicy {
    /// Reads a document of kind `ClusterPolicy`, limits of the compiled form included.
    pub(super) fn read(document: &Fields<'_>, report: &mut Report) -> Option<ClusterPolicy> {
        let before = report.refused();
        let metadata = metadata::read_document(document, PolicyName::parse, report);
        let known = [&COMPILED_SPEC[..], &OWN_SPEC].concat();
        let spec = open_spec(document, &known, report)?;
        let common = Common::read(&spec, report);
        let objects = read_objects(&spec, Object::read, report);
        let grants = read_grants(&spec, Grant::read, report);
        let own = Own {
            deletion_protection: spec.flag("deletionProtection", report).unwrap_or(false),
            reason: read_reason(&spec, report),
        };
        spec.refuse_unsupported("overrides", report);
        let (metadata, common) = (metadata?, common?);
        let policy = assemble(metadata, common, objects, grants, own);
        if report.refused() == before {
            policy.check_limits(&spec, report);
        }
        Some(policy)
    }

    /// Reads a compiled policy: nothing to strip, bindings of its own grants among the objects, and of
    /// grants only those with a namespace selector.
    pub(super) fn read_compiled(
        document: &Fields<'_>,
        report: &mut Report,
    ) -> Option<ClusterPolicy> {
        let metadata = metadata::read_document(document, PolicyName::parse, report)?;
        let spec = open_spec(document, &COMPILED_SPEC, report)?;
        let common = Common::read(&spec, report);
        let grants_of = Some(metadata.name.as_str());
        let objects = read_objects(
            &spec,
            |item, path, report| Object::read_clean(item, path, grants_of, report),
            report,
        );
        let grants = read_grants(&spec, SelectorGrant::read, report);
        let own = Own::default();
        Some(assemble(metadata, common?, objects, grants, own))
    }

    /// All objects, grants expanded, in the order in which they are applied.
    pub(super) fn all_objects(&self) -> Vec<Object> {
        let expanded = self
            .grants
            .iter()
            .flat_map(|grant| grant.expand(&self.name));
        let mut objects: Vec<Object> = self.objects.iter().cloned().chain(expanded).collect();
        objects.sort_by(|a, b| a.reference.cmp(&b.reference));
        objects
    }

    /// The grants whose bindings depend on a cluster's namespaces, sorted by name.
    pub(super) fn selector_grants(&self) -> Vec<SelectorGrant> {
        let grants = self.grants.iter();
        let mut grants: Vec<SelectorGrant> = grants.filter_map(Grant::to_selector_grant).collect();
        grants.sort_by(|a, b| a.name.cmp(&b.name));
        grants
    }

    /// Both limits count the compiled form. The number comes first: it bounds the expansion.
    fn check_limits(&self, spec: &Fields<'_>, report: &mut Report) {
        let expanded: usize = self.grants.iter().map(Grant::object_count).sum();
        let count = self.objects.len() + expanded;
        if count > OBJECTS_MAX {
            let message = format!(
                "{count} objects with the bindings of its grants, the limit is {OBJECTS_MAX}"
            );
            report.refuse(spec.path(""), message);
            return;
        }
        let size = compile::policy_bytes(self).len();
        if size > COMPILED_SIZE_MAX_BYTES {
            let message = format!(
                "{size} bytes with the bindings of its grants, the limit is {COMPILED_SIZE_MAX_BYTES}"
            );
            report.refuse(spec.path(""), message);
        }
    }
}

/// The part of the spec that both forms share.
struct Common {
    clusters: ClusterSelector,
    enforcement: Enforcement,
    removal: Removal,
    adopt: Adopt,
}

impl Common {
    fn read(spec: &Fields<'_>, report: &mut Report) -> Option<Common> {
        let enforcement = choice::read(spec, "enforcement", report);
        let removal = choice::read(spec, "removal", report);
        let adopt = choice::read(spec, "adopt", report);
        let clusters = ClusterSelector::read(spec, report)?;
        Some(Common {
            clusters,
            enforcement,
            removal,
            adopt,
        })
    }
}

/// The part of the spec that stays with the publisher.
#[derive(Default)]
struct Own {
    deletion_protection: bool,
    reason: Option<String>,
}

fn assemble(
    metadata: Metadata<PolicyName>,
    common: Common,
    objects: Vec<Object>,
    grants: Vec<Grant>,
    own: Own,
) -> ClusterPolicy {
    ClusterPolicy {
        name: metadata.name,
        labels: metadata.labels,
        annotations: metadata.annotations,
        clusters: common.clusters,
        enforcement: common.enforcement,
        removal: common.removal,
        adopt: common.adopt,
        deletion_protection: own.deletion_protection,
        reason: own.reason,
        objects,
        grants,
    }
}

fn open_spec<'a>(document: &Fields<'a>, known: &[&str], report: &mut Report) -> Option<Fields<'a>> {
    if document.get("spec").is_none() {
        report.refuse(document.path("spec"), "is required");
    }
    document.open_field("spec", known, report)
}

fn read_objects(
    spec: &Fields<'_>,
    read: impl Fn(&serde_json::Value, &str, &mut Report) -> Option<Object>,
    report: &mut Report,
) -> Vec<Object> {
    let items = spec.items("objects", OBJECTS_MAX, report).into_iter();
    let objects: Vec<(String, Object)> = items
        .filter_map(|(path, item)| read(item, &path, report).map(|object| (path, object)))
        .collect();
    let mut places: BTreeMap<ObjectIdentity<'_>, &str> = BTreeMap::new();
    for (path, object) in &objects {
        let reference = &object.reference;
        match places.entry(reference.identity()) {
            Entry::Occupied(first) => {
                let first = first.get();
                report.refuse(path.as_str(), format!("{reference} is already at {first}"));
            }
            Entry::Vacant(place) => {
                place.insert(path);
            }
        }
    }
    objects.into_iter().map(|(_, object)| object).collect()
}

fn read_grants(
    spec: &Fields<'_>,
    read: impl Fn(&serde_json::Value, &str, &mut Report) -> Option<Grant>,
    report: &mut Report,
) -> Vec<Grant> {
    let mut places: BTreeMap<String, String> = BTreeMap::new();
    let mut grants = Vec::new();
    for (path, item) in spec.items("grants", ENTRIES_MAX, report) {
        let Some(grant) = read(item, &path, report) else {
            continue;
        };
        match places.get(&grant.name) {
            Some(first) => {
                let message = format!("grant {} is already at {first}", quoted(&grant.name));
                report.refuse(format!("{path}.name"), message);
            }
            None => {
                places.insert(grant.name.clone(), path);
                grants.push(grant);
            }
        }
    }
    grants
}

fn read_reason(spec: &Fields<'_>, report: &mut Report) -> Option<String> {
    let reason = spec
        .text("reason", report)
        .filter(|reason| !reason.is_empty())?;
    let checked = syntax::check_length(reason, REASON_MAX_BYTES).and_then(|()| {
        if reason.chars().any(|c| c.is_control() && c != '\n') {
            Err("must not hold control characters".to_owned())
        } else {
            Ok(())
        }
    });
    checked
        .map_err(|message| report.refuse(spec.path("reason"), message))
        .ok()?;
    Some(reason.to_owned())
}
