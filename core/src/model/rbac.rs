//! Subjects, role references and rules: what Role and ClusterRole share, and RoleBinding and
//! ClusterRoleBinding. Checks what the API server checks, fills in the defaults that it fills in.

use serde_json::{Value, json};

use super::fields::{Fields, unknown};
use super::guard;
use super::limits::{ENTRIES_MAX, SUBJECT_NAME_MAX_BYTES};
use super::report::{Report, quoted};
use super::syntax;

/// The API group of roles and bindings.
pub(super) const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

/// Who is granted something (the bus has subjects too, hence the name).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RbacSubject {
    /// A user, by the name that the cluster's authentication gives.
    User(String),
    /// A group, likewise.
    Group(String),
    /// A service account of the cluster.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl RbacSubject {
    /// A user with a checked name.
    pub(super) fn user(name: &str) -> Result<RbacSubject, String> {
        check_subject_name(name).map(|()| RbacSubject::User(name.to_owned()))
    }

    /// A group with a checked name.
    pub(super) fn group(name: &str) -> Result<RbacSubject, String> {
        check_subject_name(name).map(|()| RbacSubject::Group(name.to_owned()))
    }

    /// A service account with checked names.
    pub(super) fn service_account(namespace: &str, name: &str) -> Result<RbacSubject, String> {
        syntax::check_dns_label(namespace)?;
        guard::check_namespace(namespace)?;
        syntax::check_dns_subdomain(name)?;
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        Ok(RbacSubject::ServiceAccount { namespace, name })
    }

    /// Reads the form that Kubernetes' bindings have. `namespace` is the binding's own: a service
    /// account without one is looked for there.
    fn read(
        fields: &Fields<'_>,
        namespace: Option<&str>,
        report: &mut Report,
    ) -> Option<RbacSubject> {
        let kind = fields.required_text("kind", report)?;
        let is_account = kind == "ServiceAccount";
        let group = if is_account { "" } else { RBAC_GROUP };
        if fields
            .text("apiGroup", report)
            .is_some_and(|given| given != group)
        {
            report.refuse(
                fields.path("apiGroup"),
                format!("must be {group:?} for a {kind}"),
            );
        }
        let name = fields.required_text("name", report)?;
        let given_namespace = fields.text("namespace", report);
        if !is_account && given_namespace.is_some() {
            report.refuse(
                fields.path("namespace"),
                format!("a {kind} has no namespace"),
            );
        }
        let subject = match kind {
            "User" => RbacSubject::user(name),
            "Group" => RbacSubject::group(name),
            "ServiceAccount" => match given_namespace.or(namespace) {
                Some(namespace) => RbacSubject::service_account(namespace, name),
                None => Err("a ServiceAccount needs a namespace here".to_owned()),
            },
            other => {
                let message = unknown("kind", other, &["User", "Group", "ServiceAccount"]);
                report.refuse(fields.path("kind"), message);
                return None;
            }
        };
        subject
            .map_err(|message| report.refuse(fields.path(""), message))
            .ok()
    }

    /// The form in bindings.
    pub(super) fn to_json(&self) -> Value {
        match self {
            RbacSubject::User(name) => {
                json!({"apiGroup": RBAC_GROUP, "kind": "User", "name": name})
            }
            RbacSubject::Group(name) => {
                json!({"apiGroup": RBAC_GROUP, "kind": "Group", "name": name})
            }
            RbacSubject::ServiceAccount { namespace, name } => {
                json!({"kind": "ServiceAccount", "name": name, "namespace": namespace})
            }
        }
    }
}

fn check_subject_name(name: &str) -> Result<(), String> {
    syntax::check_length(name, SUBJECT_NAME_MAX_BYTES)?;
    if name.trim() != name || name.chars().any(char::is_control) {
        return Err(format!(
            "{} must not begin or end with white space or hold control characters",
            quoted(name)
        ));
    }
    guard::check_subject_name(name)
}

/// The role that a binding or grant hands out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoleRef {
    /// A ClusterRole.
    ClusterRole(String),
    /// A Role of the binding's own namespace.
    Role(String),
}

impl RoleRef {
    /// Checks the name of a role that somebody refers to.
    pub(super) fn check_name(name: &str) -> Result<String, String> {
        syntax::check_path_segment(name)?;
        guard::check_role_name(name)?;
        Ok(name.to_owned())
    }

    /// Reads `roleRef` of a binding.
    pub(super) fn read(
        binding: &Fields<'_>,
        namespaced: bool,
        report: &mut Report,
    ) -> Option<RoleRef> {
        if binding.get("roleRef").is_none() {
            report.refuse(binding.path("roleRef"), "is required");
        }
        let fields = binding.open_field("roleRef", &["apiGroup", "kind", "name"], report)?;
        if fields
            .text("apiGroup", report)
            .is_some_and(|given| given != RBAC_GROUP)
        {
            report.refuse(fields.path("apiGroup"), format!("must be {RBAC_GROUP:?}"));
        }
        let name = fields.parsed("name", RoleRef::check_name, report);
        match fields.required_text("kind", report)? {
            "ClusterRole" => name.map(RoleRef::ClusterRole),
            "Role" if namespaced => name.map(RoleRef::Role),
            other => {
                let kinds = if namespaced {
                    "Role or ClusterRole"
                } else {
                    "ClusterRole"
                };
                let message = format!("must be {kinds} here, not {}", quoted(other));
                report.refuse(fields.path("kind"), message);
                None
            }
        }
    }

    /// The form in bindings.
    pub(super) fn to_json(&self) -> Value {
        let (kind, name) = match self {
            RoleRef::ClusterRole(name) => ("ClusterRole", name),
            RoleRef::Role(name) => ("Role", name),
        };
        json!({"apiGroup": RBAC_GROUP, "kind": kind, "name": name})
    }
}

/// Reads `subjects` of a binding in its namespace, if it has one.
pub(super) fn read_subjects(
    binding: &Fields<'_>,
    namespace: Option<&str>,
    report: &mut Report,
) -> Vec<RbacSubject> {
    let items = binding.items("subjects", ENTRIES_MAX, report);
    if binding.get("subjects").is_none() || binding.is_empty("subjects") {
        let message = "is required: a binding without subjects grants nothing, leave it out";
        report.refuse(binding.path("subjects"), message);
    }
    items
        .into_iter()
        .filter_map(|(path, item)| {
            let known = ["apiGroup", "kind", "name", "namespace"];
            let fields = Fields::open(item, path, &known, report)?;
            RbacSubject::read(&fields, namespace, report)
        })
        .collect()
}

/// Checks `rules` of a role.
pub(super) fn check_rules(role: &Fields<'_>, namespaced: bool, report: &mut Report) {
    for (path, item) in role.items("rules", ENTRIES_MAX, report) {
        let known = [
            "verbs",
            "apiGroups",
            "resources",
            "resourceNames",
            "nonResourceURLs",
        ];
        let Some(rule) = Fields::open(item, path, &known, report) else {
            continue;
        };
        let lists = known.map(|key| rule.texts(key, report));
        let [_, groups, resources, names, urls] = &lists;
        for (path, text) in lists.iter().flatten() {
            let is_group = groups.iter().any(|(group_path, _)| group_path == path);
            if text.is_empty() && !is_group {
                report.refuse(path.clone(), "must not be empty");
            }
        }
        let require = |key: &str, report: &mut Report| {
            if rule.get(key).is_none() || rule.is_empty(key) {
                report.refuse(rule.path(key), "a rule needs at least one");
            }
        };
        require("verbs", report);
        if urls.is_empty() {
            require("apiGroups", report);
            require("resources", report);
        } else if namespaced {
            report.refuse(
                rule.path("nonResourceURLs"),
                "only a ClusterRole can name URLs",
            );
        } else if !(groups.is_empty() && resources.is_empty() && names.is_empty()) {
            let message = "a rule is for URLs or for resources, not for both";
            report.refuse(rule.path("nonResourceURLs"), message);
        }
    }
}
