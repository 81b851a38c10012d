//! Reads access rules. Nothing in one may be empty: a template that filled in nothing would otherwise
//! bound nothing.

use std::collections::BTreeSet;
use std::fmt::Display;

use crate::access::{
    ANY, AccessRule, AccessSubject, Bounds, GrantedRule, MayGrant, Prefixes, Role,
};
use crate::model::fields::{Fields, unknown};
use crate::model::limits::ENTRIES_MAX;
use crate::model::metadata;
use crate::model::report::{Report, quoted};
use crate::name::{Name, Region, Stage};

const SPEC: [&str; 6] = ["subjects", "role", "regions", "stages", "names", "mayGrant"];

const MAY_GRANT: [&str; 5] = [
    "clusterRoles",
    "rules",
    "clusterWide",
    "namespaces",
    "subjects",
];

const RULE: [&str; 4] = ["apiGroups", "resources", "verbs", "nonResourceURLs"];

const GRANTED_TO: [&str; 3] = ["users", "groups", "serviceAccounts"];

pub(super) fn read(document: &Fields<'_>, report: &mut Report) -> Option<AccessRule> {
    let metadata = metadata::read_document(document, Name::parse, report);
    if document.get("spec").is_none() {
        report.refuse(document.path("spec"), "is required");
    }
    let spec = document.open_field("spec", &SPEC, report)?;
    let subjects = read_subjects(&spec, report);
    let role = spec.parsed("role", parse_role, report);
    let bounds = read_bounds(&spec, report);
    let may_grant = read_may_grant(&spec, role, report);
    let metadata = metadata?;
    Some(AccessRule {
        name: metadata.name,
        labels: metadata.labels,
        annotations: metadata.annotations,
        subjects,
        role: role?,
        bounds,
        may_grant,
    })
}

fn parse_role(text: &str) -> Result<Role, String> {
    let found = Role::ALL.into_iter().find(|role| role.as_str() == text);
    found.ok_or_else(|| unknown("role", text, &Role::ALL.map(Role::as_str)))
}

/// The bounds of a rule: regions, stages, and beginnings of names.
fn read_bounds(spec: &Fields<'_>, report: &mut Report) -> Bounds {
    Bounds {
        regions: read_set(spec, "regions", Region::parse, report),
        stages: read_set(spec, "stages", Stage::parse, report),
        names: read_set(spec, "names", parse_name_prefix, report).map(Prefixes),
    }
}

fn read_subjects(spec: &Fields<'_>, report: &mut Report) -> BTreeSet<AccessSubject> {
    if spec.get("subjects").is_none() || spec.is_empty("subjects") {
        let message = "is required: a rule for nobody grants nothing, delete it instead";
        report.refuse(spec.path("subjects"), message);
    }
    let mut subjects = BTreeSet::new();
    for (path, item) in spec.items("subjects", ENTRIES_MAX, report) {
        let Some(fields) = Fields::open(item, path.as_str(), &["user", "group"], report) else {
            continue;
        };
        let form = |what: &str| {
            format!(
                "must be INLET:{what} with the inlet oidc, mtls or token, such as oidc:{}",
                if what == "USER" {
                    "alice@example.com"
                } else {
                    "payments"
                }
            )
        };
        let subject = match (fields.get("user"), fields.get("group")) {
            (Some(_), None) => {
                let parse = |text: &str| AccessSubject::user(text).ok_or_else(|| form("USER"));
                fields.parsed("user", parse, report)
            }
            (None, Some(_)) => {
                let parse = |text: &str| AccessSubject::group(text).ok_or_else(|| form("GROUP"));
                fields.parsed("group", parse, report)
            }
            _ => {
                report.refuse(path.as_str(), "needs either user or group");
                None
            }
        };
        if let Some(subject) = subject
            && !subjects.insert(subject)
        {
            report.refuse(path, "is listed twice");
        }
    }
    subjects
}

fn read_may_grant(spec: &Fields<'_>, role: Option<Role>, report: &mut Report) -> MayGrant {
    let path = spec.path("mayGrant");
    match (role, spec.get("mayGrant")) {
        (Some(Role::Editor), None) => {
            let message = "is required of an editor: say what their policies may hold and grant";
            report.refuse(path, message);
            return MayGrant::default();
        }
        (Some(role @ (Role::Viewer | Role::Administrator)), Some(_)) => {
            report.refuse(path, format!("bounds editors only, a {role} has none"));
            return MayGrant::default();
        }
        _ => {}
    }
    if spec.is_empty("mayGrant") {
        report.refuse(path, "must not be empty");
        return MayGrant::default();
    }
    let Some(fields) = spec.open_field("mayGrant", &MAY_GRANT, report) else {
        return MayGrant::default();
    };
    let subjects = fields.open_field("subjects", &GRANTED_TO, report);
    let mut to = |key: &str| {
        let subjects = subjects.as_ref();
        let set = subjects.and_then(|subjects| read_set(subjects, key, parse_prefix, report));
        Prefixes(set.unwrap_or_default())
    };
    let (users, groups, service_accounts) = (to("users"), to("groups"), to("serviceAccounts"));
    let namespaces = read_set(&fields, "namespaces", parse_name_prefix, report);
    MayGrant {
        cluster_roles: read_set(&fields, "clusterRoles", parse_role_name, report)
            .unwrap_or_default(),
        rules: read_rules(&fields, report),
        cluster_wide: fields.flag("clusterWide", report).unwrap_or(false),
        namespaces: Prefixes(namespaces.unwrap_or_default()),
        users,
        groups,
        service_accounts,
    }
}

fn read_rules(fields: &Fields<'_>, report: &mut Report) -> Vec<GrantedRule> {
    if fields.is_empty("rules") {
        report.refuse(fields.path("rules"), "must not be empty, leave it out");
    }
    let mut rules = Vec::new();
    for (path, item) in fields.items("rules", ENTRIES_MAX, report) {
        let Some(rule) = Fields::open(item, path.as_str(), &RULE, report) else {
            continue;
        };
        let mut set = |key: &str| -> BTreeSet<String> {
            let keep = |text: &str| match (key, text) {
                // The core group has no name.
                ("apiGroups", "") => Ok(String::new()),
                (_, "") => Err("must not be empty"),
                _ => Ok(text.to_owned()),
            };
            read_set(&rule, key, keep, report).unwrap_or_default()
        };
        let granted = GrantedRule {
            api_groups: set("apiGroups"),
            resources: set("resources"),
            verbs: set("verbs"),
            urls: set("nonResourceURLs"),
        };
        let has_groups = !granted.api_groups.is_empty();
        let has_resources = !granted.resources.is_empty();
        let is_one_sort = has_groups == has_resources && has_groups == granted.urls.is_empty();
        if granted.verbs.is_empty() || !is_one_sort {
            let message = "needs verbs, and either apiGroups and resources or nonResourceURLs";
            report.refuse(path, message);
        }
        rules.push(granted);
    }
    rules
}

/// A list without doubles; nothing where it is not given, and refused where it is given empty.
fn read_set<T: Ord, E: Display>(
    fields: &Fields<'_>,
    key: &str,
    parse: impl Fn(&str) -> Result<T, E>,
    report: &mut Report,
) -> Option<BTreeSet<T>> {
    if fields.is_empty(key) {
        report.refuse(fields.path(key), "must not be empty, leave it out");
    }
    fields.get(key)?;
    let mut set = BTreeSet::new();
    for (path, text) in fields.texts(key, report) {
        match parse(text) {
            Ok(value) => {
                if !set.insert(value) {
                    report.refuse(path, format!("{} is listed twice", quoted(text)));
                }
            }
            Err(error) => report.refuse(path, error.to_string()),
        }
    }
    Some(set)
}

/// A beginning of what somebody is called; `*` stands for any, and only alone.
fn parse_prefix(text: &str) -> Result<String, String> {
    if text == ANY {
        return Ok(text.to_owned());
    }
    if text.is_empty() || text.trim() != text || text.contains('*') {
        return Err(format!(
            "{} must be the beginning of a name, or {ANY:?} alone for any",
            quoted(text)
        ));
    }
    Ok(text.to_owned())
}

/// A beginning of an RFC 1123 label.
fn parse_name_prefix(text: &str) -> Result<String, String> {
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let prefix = parse_prefix(text)?;
    if prefix == ANY || prefix.bytes().all(is_inner) {
        Ok(prefix)
    } else {
        Err(format!("{} begins no name", quoted(text)))
    }
}

/// A ClusterRole by its whole name.
fn parse_role_name(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err("must be the whole name of a ClusterRole".to_owned());
    }
    crate::model::rbac::RoleRef::check_name(text)
}
