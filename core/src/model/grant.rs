//! Grants: who gets which role, and where. A grant with fixed namespaces is expanded into one
//! RoleBinding each, a cluster-wide one into a ClusterRoleBinding, named `writ:<policy>:<grant>`, so
//! that the binding stays when its subjects change.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fields::{Fields, unknown};
use super::guard;
use super::limits::ENTRIES_MAX;
use super::object::Object;
use super::rbac::{RbacSubject, RoleRef};
use super::report::{Report, quoted};
use super::syntax;
use crate::name::PolicyName;

const GRANT: [&str; 8] = [
    "name",
    "subjects",
    "clusterRole",
    "role",
    "namespaces",
    "clusterWide",
    "namespaceSelector",
    "expires",
];

const SUBJECT: [&str; 3] = ["user", "group", "serviceAccount"];

/// Where a grant holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// In the whole cluster.
    ClusterWide,
    /// In these namespaces.
    Namespaces(BTreeSet<String>),
}

/// A role for subjects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its name within the policy, an RFC 1123 label.
    pub name: String,
    /// Who gets the role; never empty.
    pub subjects: BTreeSet<RbacSubject>,
    /// The role. A [`RoleRef::Role`] is never cluster-wide.
    pub role: RoleRef,
    /// Where.
    pub reach: Reach,
}

impl Grant {
    /// The bindings that the grant means.
    pub fn expand(&self, policy: &PolicyName) -> Vec<Object> {
        let name = format!("{}{policy}:{}", guard::GRANT_PREFIX, self.name);
        let subjects: Vec<RbacSubject> = self.subjects.iter().cloned().collect();
        let binding = |namespace| Object::binding(namespace, &name, &self.role, &subjects);
        match &self.reach {
            Reach::ClusterWide => vec![binding(None)],
            Reach::Namespaces(namespaces) => namespaces
                .iter()
                .map(|namespace| binding(Some(namespace)))
                .collect(),
        }
    }

    /// How many bindings the grant means.
    pub(super) fn object_count(&self) -> usize {
        match &self.reach {
            Reach::ClusterWide => 1,
            Reach::Namespaces(namespaces) => namespaces.len(),
        }
    }

    /// Reads one item of `grants`.
    pub(super) fn read(item: &Value, path: &str, report: &mut Report) -> Option<Grant> {
        let fields = Fields::open(item, path, &GRANT, report)?;
        fields.refuse_unsupported("namespaceSelector", report);
        fields.refuse_unsupported("expires", report);
        let check = |name: &str| syntax::check_dns_label(name).map(|()| name.to_owned());
        let name = fields.parsed("name", check, report);
        let subjects = read_subjects(&fields, report);
        let role = read_role(&fields, report);
        let reach = read_reach(&fields, report);
        let (role, reach) = (role?, reach?);
        if matches!((&role, &reach), (RoleRef::Role(_), Reach::ClusterWide)) {
            let message = "a Role lives in a namespace: give namespaces, or a clusterRole";
            report.refuse(fields.path("role"), message);
        }
        Some(Grant {
            name: name?,
            subjects,
            role,
            reach,
        })
    }
}

fn read_role(fields: &Fields<'_>, report: &mut Report) -> Option<RoleRef> {
    match (fields.get("clusterRole"), fields.get("role")) {
        (Some(_), None) => fields
            .parsed("clusterRole", RoleRef::check_name, report)
            .map(RoleRef::ClusterRole),
        (None, Some(_)) => fields
            .parsed("role", RoleRef::check_name, report)
            .map(RoleRef::Role),
        _ => {
            report.refuse(fields.path(""), "needs one of clusterRole and role");
            None
        }
    }
}

fn read_reach(fields: &Fields<'_>, report: &mut Report) -> Option<Reach> {
    let cluster_wide = fields.flag("clusterWide", report).unwrap_or(false);
    let namespaces = read_namespaces(fields, report);
    match (cluster_wide, fields.get("namespaces")) {
        (true, None) => Some(Reach::ClusterWide),
        (false, Some(_)) if !fields.is_empty("namespaces") => Some(Reach::Namespaces(namespaces)),
        // The refusal of the selector says it all.
        (false, None) if fields.get("namespaceSelector").is_some() => None,
        (true, Some(_)) => {
            let message = "must not stand beside namespaces: a grant is one or the other";
            report.refuse(fields.path("clusterWide"), message);
            None
        }
        (false, _) => {
            report.refuse(fields.path(""), "needs namespaces, or clusterWide: true");
            None
        }
    }
}

fn read_namespaces(fields: &Fields<'_>, report: &mut Report) -> BTreeSet<String> {
    let mut namespaces = BTreeSet::new();
    for (path, text) in fields.texts("namespaces", report) {
        let checked = syntax::check_dns_label(text).and_then(|()| guard::check_namespace(text));
        if let Err(message) = checked {
            report.refuse(path.clone(), message);
        }
        if !namespaces.insert(text.to_owned()) {
            report.refuse(path, format!("{} is listed twice", quoted(text)));
        }
    }
    namespaces
}

fn read_subjects(fields: &Fields<'_>, report: &mut Report) -> BTreeSet<RbacSubject> {
    let mut subjects = BTreeSet::new();
    let items = fields.items("subjects", ENTRIES_MAX, report);
    if fields.get("subjects").is_none() || fields.is_empty("subjects") {
        let message = "is required; a grant to nobody is left out";
        report.refuse(fields.path("subjects"), message);
    }
    for (path, item) in items {
        if let Some(subject) = read_subject(item, &path, report)
            && !subjects.insert(subject)
        {
            report.refuse(path, "is listed twice");
        }
    }
    subjects
}

fn read_subject(item: &Value, path: &str, report: &mut Report) -> Option<RbacSubject> {
    let fields = Fields::open_map(item, path, report)?;
    let mut given = fields.entries();
    let (Some((key, _)), None) = (given.next(), given.next()) else {
        report.refuse(path, format!("needs exactly one of {}", SUBJECT.join(", ")));
        return None;
    };
    match key.as_str() {
        "user" => fields.parsed("user", RbacSubject::user, report),
        "group" => fields.parsed("group", RbacSubject::group, report),
        "serviceAccount" => fields.parsed(
            "serviceAccount",
            |text| match text.split_once('/') {
                Some((namespace, name)) => RbacSubject::service_account(namespace, name),
                None => Err(format!("{} must be NAMESPACE/NAME", quoted(text))),
            },
            report,
        ),
        other => {
            report.refuse(fields.path(other), unknown("field", other, &SUBJECT));
            None
        }
    }
}
