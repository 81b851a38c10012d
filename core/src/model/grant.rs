//! Grants: who gets which role, and where. A grant with fixed namespaces is expanded into one
//! RoleBinding each, a cluster-wide one into a ClusterRoleBinding, named `writ:<policy>:<grant>`, so
//! that the binding stays when its subjects change. A grant with a namespace selector travels as it
//! is: which namespaces it means, each cluster knows, and again whenever one comes or goes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::fields::{Fields, unknown};
use super::guard;
use super::label_selector::LabelSelector;
use super::limits::ENTRIES_MAX;
use super::metadata::NAMESPACE_NAME_LABEL;
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

/// Fields of a grant that travels as it is.
const SELECTOR_GRANT: [&str; 5] = [
    "name",
    "subjects",
    "clusterRole",
    "role",
    "namespaceSelector",
];

const SUBJECT: [&str; 3] = ["user", "group", "serviceAccount"];

/// Where a grant holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// In the whole cluster.
    ClusterWide,
    /// In these namespaces.
    Namespaces(BTreeSet<String>),
    /// In every namespace with such labels, also those that come later.
    Selected(LabelSelector),
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
    /// The bindings that the grant means in every cluster; none where each cluster has to look at its
    /// namespaces first.
    pub fn expand(&self, policy: &PolicyName) -> Vec<Object> {
        let binding =
            |namespace| binding(policy, &self.name, &self.role, &self.subjects, namespace);
        match &self.reach {
            Reach::ClusterWide => vec![binding(None)],
            Reach::Namespaces(namespaces) => namespaces
                .iter()
                .map(|namespace| binding(Some(namespace)))
                .collect(),
            Reach::Selected(_) => Vec::new(),
        }
    }

    /// The grant as it travels, where each cluster has to look at its namespaces.
    pub(super) fn to_selector_grant(&self) -> Option<SelectorGrant> {
        let Reach::Selected(selector) = &self.reach else {
            return None;
        };
        Some(SelectorGrant {
            name: self.name.clone(),
            subjects: self.subjects.clone(),
            role: self.role.clone(),
            selector: selector.clone(),
        })
    }

    /// How many objects of the compiled form the grant becomes.
    pub(super) fn object_count(&self) -> usize {
        match &self.reach {
            Reach::ClusterWide => 1,
            Reach::Namespaces(namespaces) => namespaces.len(),
            Reach::Selected(_) => 0,
        }
    }

    /// Reads one item of `grants`.
    pub(super) fn read(item: &Value, path: &str, report: &mut Report) -> Option<Grant> {
        let fields = Fields::open(item, path, &GRANT, report)?;
        fields.refuse_unsupported("expires", report);
        Grant::read_fields(&fields, report)
    }

    fn read_fields(fields: &Fields<'_>, report: &mut Report) -> Option<Grant> {
        let check = |name: &str| syntax::check_dns_label(name).map(|()| name.to_owned());
        let name = fields.parsed("name", check, report);
        let subjects = read_subjects(fields, report);
        let role = read_role(fields, report);
        let reach = read_reach(fields, report);
        let (role, reach) = (role?, reach?);
        if matches!((&role, &reach), (RoleRef::Role(_), Reach::ClusterWide)) {
            let message = "a Role lives in a namespace: say which, or give a clusterRole";
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

/// A grant in every namespace with such labels, as clusters receive it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectorGrant {
    /// Its name within the policy.
    pub name: String,
    /// Who gets the role; never empty.
    pub subjects: BTreeSet<RbacSubject>,
    /// The role.
    pub role: RoleRef,
    /// Which namespaces; never empty.
    pub selector: LabelSelector,
}

impl SelectorGrant {
    /// Whether the grant holds in a namespace, by all labels that the API server shows of it. It never
    /// does in the subscriber's own, which is told by the label that the API server itself sets.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let name = labels.get(NAMESPACE_NAME_LABEL);
        name.is_none_or(|name| guard::check_namespace(name).is_ok())
            && self.selector.matches(labels)
    }

    /// The binding that the grant means in a namespace: named as those of grants with fixed namespaces.
    pub fn binding(&self, policy: &PolicyName, namespace: &str) -> Object {
        let namespace = Some(namespace);
        binding(policy, &self.name, &self.role, &self.subjects, namespace)
    }

    /// Reads one item of the compiled form.
    pub(super) fn read(item: &Value, path: &str, report: &mut Report) -> Option<Grant> {
        let fields = Fields::open(item, path, &SELECTOR_GRANT, report)?;
        Grant::read_fields(&fields, report)
    }

    /// The compiled form: that of documents, sorted.
    pub(super) fn to_json(&self) -> Value {
        let (role_key, role) = match &self.role {
            RoleRef::ClusterRole(name) => ("clusterRole", name),
            RoleRef::Role(name) => ("role", name),
        };
        let subjects = self.subjects.iter().map(subject_to_json).collect();
        let fields = [
            ("name", Value::from(self.name.as_str())),
            ("subjects", subjects),
            (role_key, Value::from(role.as_str())),
            ("namespaceSelector", Value::Object(self.selector.to_json())),
        ];
        let fields = fields.map(|(key, value)| (key.to_owned(), value));
        Value::Object(Map::from_iter(fields))
    }
}

fn binding(
    policy: &PolicyName,
    grant: &str,
    role: &RoleRef,
    subjects: &BTreeSet<RbacSubject>,
    namespace: Option<&str>,
) -> Object {
    let name = format!("{}{policy}:{grant}", guard::GRANT_PREFIX);
    let subjects: Vec<RbacSubject> = subjects.iter().cloned().collect();
    Object::binding(namespace, &name, role, &subjects)
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
    let selector = read_selector(fields, report);
    let is_given = |key: &str| fields.get(key).is_some();
    let given = [
        ("clusterWide", cluster_wide),
        ("namespaces", is_given("namespaces")),
        ("namespaceSelector", is_given("namespaceSelector")),
    ];
    let mut given = given.into_iter().filter(|(_, given)| *given);
    match (given.next(), given.next()) {
        (Some((first, _)), Some((second, _))) => {
            let message = format!("must not stand beside {first}: a grant is one or the other");
            report.refuse(fields.path(second), message);
            None
        }
        (Some(("clusterWide", _)), None) => Some(Reach::ClusterWide),
        (Some(("namespaceSelector", _)), None) => selector.map(Reach::Selected),
        (Some(_), None) if !fields.is_empty("namespaces") => Some(Reach::Namespaces(namespaces)),
        _ => {
            let message = "needs namespaces, a namespaceSelector, or clusterWide: true";
            report.refuse(fields.path(""), message);
            None
        }
    }
}

/// An empty selector would mean every namespace of the cluster: that is never meant by leaving out.
fn read_selector(fields: &Fields<'_>, report: &mut Report) -> Option<LabelSelector> {
    let before = report.refused();
    let selector = LabelSelector::read(fields, "namespaceSelector", report)?;
    if selector.is_empty() && report.refused() == before {
        let message = "is empty; all namespaces are said as clusterWide: true";
        report.refuse(fields.path("namespaceSelector"), message);
        return None;
    }
    Some(selector)
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

fn subject_to_json(subject: &RbacSubject) -> Value {
    let (key, text) = match subject {
        RbacSubject::User(name) => ("user", name.clone()),
        RbacSubject::Group(name) => ("group", name.clone()),
        RbacSubject::ServiceAccount { namespace, name } => {
            ("serviceAccount", format!("{namespace}/{name}"))
        }
    };
    Value::Object(Map::from_iter([(key.to_owned(), text.into())]))
}
