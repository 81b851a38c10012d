//! What a policy gives, to whom and where, and what it carries: read from its objects and grants alike,
//! so that it does not matter whether a binding was written out or stands for a grant.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::guard::GRANT_PREFIX;
use super::kind::{ObjectKind, ObjectRef};
use super::label_selector::LabelSelector;
use super::object::Object;
use super::policy::ClusterPolicy;
use super::rbac::{RbacSubject, RoleRef};

/// Where a role is given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum GivenIn {
    /// The whole cluster.
    Cluster,
    /// One namespace.
    Namespace(String),
    /// Every namespace with such labels.
    Selected(LabelSelector),
}

impl fmt::Display for GivenIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GivenIn::Cluster => f.write_str("the whole cluster"),
            GivenIn::Namespace(name) => write!(f, "namespace {name}"),
            GivenIn::Selected(_) => f.write_str("namespaces by their labels"),
        }
    }
}

/// A role that somebody is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The binding or grant, for people.
    pub what: String,
    /// Whether it is a binding that the policy writes out, and its name.
    pub binding: Option<String>,
    /// Which role.
    pub role: RoleRef,
    /// Where.
    pub place: GivenIn,
    /// To whom.
    pub subjects: BTreeSet<RbacSubject>,
}

/// One rule of a role that a policy carries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CarriedRule {
    /// Its verbs.
    pub verbs: Vec<String>,
    /// Its API groups.
    pub api_groups: Vec<String>,
    /// Its resources.
    pub resources: Vec<String>,
    /// Its URLs.
    pub urls: Vec<String>,
}

/// What an object of a policy is, as far as access goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carried {
    /// A Namespace.
    Namespace {
        /// Whether its labels let pods have all privileges.
        is_privileged: bool,
    },
    /// A Role or ClusterRole.
    Role {
        /// What it holds.
        rules: Vec<CarriedRule>,
        /// Whether it is filled from other roles, which nobody here can see.
        is_filled: bool,
        /// A label by which other roles may be filled from it.
        feeds: Option<String>,
    },
    /// A binding, which is told as given.
    Binding,
    /// Anything else whose body is checked; it lives in a namespace.
    Other,
    /// A kind of which nothing is known here.
    Further,
}

/// Labels that say who manages an object, and nothing else.
const PLAIN_LABELS: &str = "app.kubernetes.io/";

/// By what a Namespace says which pods it admits.
const POD_SECURITY: &str = "pod-security.kubernetes.io/enforce";

impl ClusterPolicy {
    /// Every role that the policy gives.
    pub fn given(&self) -> Vec<Given> {
        let bindings = self.all_objects();
        let bindings = bindings.iter().filter_map(read_binding);
        let selected = self.selector_grants().into_iter().map(|grant| Given {
            what: format!("grant {}", grant.name),
            binding: None,
            role: grant.role,
            place: GivenIn::Selected(grant.selector),
            subjects: grant.subjects,
        });
        bindings.chain(selected).collect()
    }

    /// Every object that the policy writes out, and what it is.
    pub fn carried(&self) -> impl Iterator<Item = (&ObjectRef, Carried)> {
        self.objects
            .iter()
            .map(|object| (&object.reference, carried(object)))
    }
}

fn kind_of(reference: &ObjectRef) -> Option<ObjectKind> {
    ObjectKind::find(&reference.api_version, &reference.kind)
}

fn read_binding(object: &Object) -> Option<Given> {
    let of = &object.reference;
    // Nothing that a policy writes out may have such a name.
    let is_written = !of.name.starts_with(GRANT_PREFIX);
    kind_of(of).filter(|kind| kind.is_binding())?;
    let role = &object.content["roleRef"];
    let name = role["name"].as_str()?.to_owned();
    let role = match role["kind"].as_str()? {
        "ClusterRole" => RoleRef::ClusterRole(name),
        _ => RoleRef::Role(name),
    };
    let subjects = object.content["subjects"].as_array()?;
    let place = of.namespace.clone().map(GivenIn::Namespace);
    Some(Given {
        what: of.to_string(),
        binding: is_written.then(|| of.name.clone()),
        role,
        place: place.unwrap_or(GivenIn::Cluster),
        subjects: subjects.iter().filter_map(read_subject).collect(),
    })
}

fn read_subject(subject: &Value) -> Option<RbacSubject> {
    let text = |key: &str| subject[key].as_str().map(str::to_owned);
    Some(match subject["kind"].as_str()? {
        "User" => RbacSubject::User(text("name")?),
        "Group" => RbacSubject::Group(text("name")?),
        _ => RbacSubject::ServiceAccount {
            namespace: text("namespace")?,
            name: text("name")?,
        },
    })
}

fn carried(object: &Object) -> Carried {
    let labels = object.content["metadata"]["labels"].as_object();
    match kind_of(&object.reference) {
        None => Carried::Further,
        Some(ObjectKind::Namespace) => Carried::Namespace {
            is_privileged: labels.is_some_and(|of| {
                of.get(POD_SECURITY).and_then(Value::as_str) == Some("privileged")
            }),
        },
        Some(ObjectKind::Role | ObjectKind::ClusterRole) => {
            let mut labels = labels.into_iter().flat_map(|labels| labels.keys());
            let is_cluster_wide = object.reference.namespace.is_none();
            Carried::Role {
                rules: read_rules(&object.content["rules"]),
                is_filled: !object.content["aggregationRule"].is_null(),
                // Any label may be what an aggregated role of the cluster looks for.
                feeds: labels
                    .find(|key| is_cluster_wide && !key.starts_with(PLAIN_LABELS))
                    .cloned(),
            }
        }
        Some(kind) if kind.is_binding() => Carried::Binding,
        Some(_) => Carried::Other,
    }
}

fn read_rules(rules: &Value) -> Vec<CarriedRule> {
    let texts = |rule: &Value, key: &str| -> Vec<String> {
        let items = rule[key].as_array().into_iter().flatten();
        items
            .filter_map(|item| item.as_str().map(str::to_owned))
            .collect()
    };
    let rules = rules.as_array().into_iter().flatten();
    rules
        .map(|rule| CarriedRule {
            verbs: texts(rule, "verbs"),
            api_groups: texts(rule, "apiGroups"),
            resources: texts(rule, "resources"),
            urls: texts(rule, "nonResourceURLs"),
        })
        .collect()
}

impl fmt::Display for RoleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RoleRef::ClusterRole(name) => write!(f, "ClusterRole {name}"),
            RoleRef::Role(name) => write!(f, "Role {name}"),
        }
    }
}

impl fmt::Display for RbacSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RbacSubject::User(name) => write!(f, "user {name}"),
            RbacSubject::Group(name) => write!(f, "group {name}"),
            RbacSubject::ServiceAccount { namespace, name } => {
                write!(f, "service account {namespace}/{name}")
            }
        }
    }
}
