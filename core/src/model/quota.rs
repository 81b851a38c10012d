//! The body of a ResourceQuota, checked as the API server does (`ValidateResourceQuotaSpec`).

use serde_json::{Map, Value};

use super::fields::{Fields, path_of, unknown};
use super::limits::ENTRIES_MAX;
use super::quantity::Quantities;
use super::report::{Report, quoted};
use super::resource;

/// What a quota may be narrowed to.
const SCOPES: [&str; 6] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
];

/// Scopes that no pod is in both of.
const CONTRARY: [(&str, &str); 2] = [
    ("BestEffort", "NotBestEffort"),
    ("Terminating", "NotTerminating"),
];

const OPERATORS: [&str; 4] = ["In", "NotIn", "Exists", "DoesNotExist"];

/// Reads `spec`.
pub(super) fn read(object: &Fields<'_>, report: &mut Report) -> Option<Map<String, Value>> {
    if object.get("spec").is_none() {
        report.refuse(object.path("spec"), "is required");
    }
    let spec = object.open_field("spec", &["hard", "scopes", "scopeSelector"], report)?;
    let hard = Quantities::read(&spec, "hard", resource::check_of_quota, report);
    let hard_path = spec.path("hard");
    for (name, quantity) in hard.iter() {
        if resource::is_counted(name) && !quantity.is_whole() {
            report.refuse(path_of(&hard_path, name), "must be a whole number");
        }
    }
    let mut scopes = read_scopes(&spec, report);
    scopes.extend(read_scope_selector(&spec, report));
    check_scopes(&scopes, &hard, report);
    let mut body = Map::new();
    hard.insert_into(&mut body, "hard");
    for key in ["scopes", "scopeSelector"] {
        body.extend(spec.get(key).map(|value| (key.to_owned(), value.clone())));
    }
    Some(body)
}

/// The scopes with their paths.
type Scopes<'a> = Vec<(String, &'a str)>;

fn read_scopes<'a>(spec: &Fields<'a>, report: &mut Report) -> Scopes<'a> {
    let scopes = spec.texts("scopes", report);
    for (index, (path, scope)) in scopes.iter().enumerate() {
        check_scope(path, scope, report);
        if scopes[..index].iter().any(|(_, earlier)| earlier == scope) {
            report.refuse(path.clone(), format!("{} is listed twice", quoted(scope)));
        }
    }
    scopes
}

fn read_scope_selector<'a>(spec: &Fields<'a>, report: &mut Report) -> Scopes<'a> {
    let Some(selector) = spec.open_field("scopeSelector", &["matchExpressions"], report) else {
        return Vec::new();
    };
    let mut scopes = Vec::new();
    for (path, item) in selector.items("matchExpressions", ENTRIES_MAX, report) {
        let known = ["scopeName", "operator", "values"];
        let Some(fields) = Fields::open(item, path, &known, report) else {
            continue;
        };
        let Some(scope) = fields.required_text("scopeName", report) else {
            continue;
        };
        check_scope(&fields.path("scopeName"), scope, report);
        check_operator(&fields, scope, report);
        scopes.push((fields.path("scopeName"), scope));
    }
    scopes
}

fn check_scope(path: &str, scope: &str, report: &mut Report) {
    if !SCOPES.contains(&scope) {
        report.refuse(path, unknown("scope", scope, &SCOPES));
    }
}

fn check_operator(fields: &Fields<'_>, scope: &str, report: &mut Report) {
    let has_values = !fields.texts("values", report).is_empty();
    let Some(operator) = fields.required_text("operator", report) else {
        return;
    };
    let problem = match operator {
        "Exists" | "DoesNotExist" if has_values => {
            ("values", format!("operator {operator} takes no values"))
        }
        "In" | "NotIn" if !has_values => ("values", format!("operator {operator} needs values")),
        known if !OPERATORS.contains(&known) => {
            ("operator", unknown("operator", known, &OPERATORS))
        }
        other if other != "Exists" && scope != "PriorityClass" => {
            ("operator", format!("must be Exists for scope {scope}"))
        }
        _ => return,
    };
    report.refuse(fields.path(problem.0), problem.1);
}

fn check_scopes(scopes: &Scopes<'_>, hard: &Quantities, report: &mut Report) {
    let has = |scope: &str| scopes.iter().any(|(_, given)| *given == scope);
    for (a, b) in CONTRARY.into_iter().filter(|(a, b)| has(a) && has(b)) {
        if let Some((path, _)) = scopes.iter().rfind(|(_, scope)| *scope == a || *scope == b) {
            report.refuse(path.clone(), format!("no pod is both {a} and {b}"));
        }
    }
    for (path, scope) in scopes.iter().filter(|(_, scope)| SCOPES.contains(scope)) {
        for (name, _) in hard.iter() {
            if !resource::fits_scope(name, scope) {
                let message = format!("a quota of scope {scope} can't count {}", quoted(name));
                report.refuse(path.clone(), message);
            }
        }
    }
}
