//! The Kubernetes objects of a policy. Each is checked as the API server would, so that what the
//! publisher accepted does not fail in a thousand clusters; its content is rebuilt from what was
//! checked, so nothing unknown travels.

use serde_json::{Map, Value, json};

use super::expression;
use super::fields::{Fields, unknown};
use super::guard;
use super::kind::{ObjectKind, ObjectRef};
use super::limits::ENTRIES_MAX;
use super::metadata;
use super::rbac::{self, RbacSubject, RoleRef};
use super::report::{Report, quoted};
use super::strip;
use super::syntax;

/// Fields that a reference to an object may have (`secrets` of a service account).
const OBJECT_REFERENCE: [&str; 7] = [
    "apiVersion",
    "fieldPath",
    "kind",
    "name",
    "namespace",
    "resourceVersion",
    "uid",
];

/// One Kubernetes object that a cluster must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Which object.
    pub reference: ObjectRef,
    /// The whole manifest, without what servers own and without our marks.
    pub content: Value,
}

impl Object {
    /// A binding, of one namespace or of the whole cluster.
    pub(super) fn binding(
        namespace: Option<&str>,
        name: &str,
        role: &RoleRef,
        subjects: &[RbacSubject],
    ) -> Object {
        let kind = match namespace {
            Some(_) => ObjectKind::RoleBinding,
            None => ObjectKind::ClusterRoleBinding,
        };
        let mut metadata = Map::from_iter([("name".to_owned(), Value::from(name))]);
        metadata.extend(namespace.map(|namespace| ("namespace".to_owned(), namespace.into())));
        let mut body = Map::new();
        insert_binding(&mut body, role, subjects);
        Object::build(kind, ObjectRef::of(kind, namespace, name), metadata, body)
    }

    fn build(
        kind: ObjectKind,
        reference: ObjectRef,
        metadata: Map<String, Value>,
        mut body: Map<String, Value>,
    ) -> Object {
        body.insert("apiVersion".to_owned(), kind.api_version().into());
        body.insert("kind".to_owned(), kind.name().into());
        body.insert("metadata".to_owned(), Value::Object(metadata));
        Object {
            reference,
            content: Value::Object(body),
        }
    }

    /// Reads an object as a user wrote it: what servers own is stripped first.
    pub(super) fn read(item: &Value, path: &str, report: &mut Report) -> Option<Object> {
        let mut item = item.clone();
        strip::drop_nulls(&mut item);
        strip::strip(&mut item, path, report);
        strip::strip_aggregated_rules(&mut item, path, report);
        Object::read_clean(&item, path, None, report)
    }

    /// Reads an object that has to be clean already. `grants_of` is the policy whose expanded grants
    /// may be among the objects.
    pub(super) fn read_clean(
        item: &Value,
        path: &str,
        grants_of: Option<&str>,
        report: &mut Report,
    ) -> Option<Object> {
        let before = report.refused();
        let kind = read_kind(&Fields::open_map(item, path, report)?, report)?;
        let known = [&["apiVersion", "kind", "metadata"][..], kind.fields()].concat();
        let object = Fields::open(item, path, &known, report)?;
        let (reference, metadata) = read_metadata(kind, &object, grants_of, report)?;
        let body = read_body(kind, &object, reference.namespace.as_deref(), report);
        (report.refused() == before).then(|| Object::build(kind, reference, metadata, body))
    }
}

fn read_kind(object: &Fields<'_>, report: &mut Report) -> Option<ObjectKind> {
    let api_version = object.required_text("apiVersion", report);
    let name = object.required_text("kind", report)?;
    let Some(kind) = ObjectKind::find(name) else {
        let known = ObjectKind::ALL.map(ObjectKind::name);
        let message = if known.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            unknown("kind", name, &known)
        } else {
            format!(
                "kind {} is not supported yet",
                quoted(name).trim_matches('"')
            )
        };
        report.refuse(object.path("kind"), message);
        return None;
    };
    if api_version? != kind.api_version() {
        let message = format!("must be {} for a {name}", kind.api_version());
        report.refuse(object.path("apiVersion"), message);
        return None;
    }
    Some(kind)
}

fn read_metadata(
    kind: ObjectKind,
    object: &Fields<'_>,
    grants_of: Option<&str>,
    report: &mut Report,
) -> Option<(ObjectRef, Map<String, Value>)> {
    if object.get("metadata").is_none() {
        report.refuse(object.path("metadata"), "is required");
    }
    let known = ["name", "namespace", "labels", "annotations"];
    let fields = object.open_field("metadata", &known, report)?;
    let labels = metadata::read_labels(&fields, "labels", report);
    let annotations = metadata::read_annotations(&fields, report);
    metadata::check_object_labels(&fields, &labels, report);
    let namespace = read_namespace(kind, &fields, report);
    let check = |name: &str| kind.check_name(name).map(|()| name.to_owned());
    let name = fields.parsed("name", check, report)?;
    let reference = ObjectRef::of(kind, namespace, &name);
    if let Err(message) = guard::check_object_name(kind, &reference, grants_of) {
        report.refuse(fields.path("name"), message);
    }
    let mut content = Map::from_iter([("name".to_owned(), Value::from(name))]);
    content.extend(namespace.map(|namespace| ("namespace".to_owned(), namespace.into())));
    metadata::insert_map(&mut content, "labels", &labels);
    metadata::insert_map(&mut content, "annotations", &annotations);
    Some((reference, content))
}

fn read_namespace<'a>(
    kind: ObjectKind,
    metadata: &Fields<'a>,
    report: &mut Report,
) -> Option<&'a str> {
    let name = kind.name();
    let namespace = metadata.text("namespace", report);
    let problem = match (namespace, kind.is_namespaced()) {
        (None, true) => Err(format!("is required: a {name} lives in a namespace")),
        (Some(_), false) => Err(format!("a {name} is cluster-wide and has no namespace")),
        (Some(namespace), true) => {
            syntax::check_dns_label(namespace).and_then(|()| guard::check_namespace(namespace))
        }
        (None, false) => Ok(()),
    };
    if let Err(message) = problem {
        report.refuse(metadata.path("namespace"), message);
    }
    namespace
}

/// What an object holds beside its metadata.
fn read_body(
    kind: ObjectKind,
    object: &Fields<'_>,
    namespace: Option<&str>,
    report: &mut Report,
) -> Map<String, Value> {
    let mut body = Map::new();
    match kind {
        ObjectKind::Namespace => {
            object.open_field("spec", &[], report);
        }
        ObjectKind::ServiceAccount => {
            object.flag("automountServiceAccountToken", report);
            check_references(object, "imagePullSecrets", &["name"], report);
            check_references(object, "secrets", &OBJECT_REFERENCE, report);
            copy(object, kind.fields(), &mut body);
        }
        ObjectKind::ClusterRole if object.get("aggregationRule").is_some() => {
            check_aggregation(object, report);
            copy(object, &["aggregationRule"], &mut body);
        }
        ObjectKind::ClusterRole | ObjectKind::Role => {
            rbac::check_rules(object, kind.is_namespaced(), report);
            // Said even when empty: rules that are not sent are nobody's, and anybody could add some.
            let rules = object.get("rules").cloned().unwrap_or_else(|| json!([]));
            body.insert("rules".to_owned(), rules);
        }
        ObjectKind::ClusterRoleBinding | ObjectKind::RoleBinding => {
            let role = RoleRef::read(object, kind.is_namespaced(), report);
            let subjects = rbac::read_subjects(object, namespace, report);
            if let Some(role) = role {
                insert_binding(&mut body, &role, &subjects);
            }
        }
    }
    body
}

fn insert_binding(body: &mut Map<String, Value>, role: &RoleRef, subjects: &[RbacSubject]) {
    body.insert("roleRef".to_owned(), role.to_json());
    body.insert(
        "subjects".to_owned(),
        subjects.iter().map(RbacSubject::to_json).collect(),
    );
}

fn copy(object: &Fields<'_>, keys: &[&str], body: &mut Map<String, Value>) {
    let given = keys.iter().filter_map(|key| Some((*key, object.get(key)?)));
    body.extend(given.map(|(key, value)| (key.to_owned(), value.clone())));
}

fn check_references(object: &Fields<'_>, key: &str, known: &[&str], report: &mut Report) {
    for (path, item) in object.items(key, ENTRIES_MAX, report) {
        let Some(reference) = Fields::open(item, path, known, report) else {
            continue;
        };
        reference.required_text("name", report);
        for key in known.iter().filter(|key| **key != "name") {
            reference.text(key, report);
        }
    }
}

/// Checks `aggregationRule`. Beside it no rules are sent: the controller fills them, and `[]` would
/// empty the role until it did.
fn check_aggregation(role: &Fields<'_>, report: &mut Report) {
    if role.get("rules").is_some() {
        report.refuse(role.path("rules"), "must not stand beside aggregationRule");
    }
    let Some(rule) = role.open_field("aggregationRule", &["clusterRoleSelectors"], report) else {
        return;
    };
    let selectors = rule.items("clusterRoleSelectors", ENTRIES_MAX, report);
    if rule.get("clusterRoleSelectors").is_none() || rule.is_empty("clusterRoleSelectors") {
        report.refuse(
            rule.path("clusterRoleSelectors"),
            "at least one is required",
        );
    }
    for (path, item) in selectors {
        let known = ["matchLabels", "matchExpressions"];
        let Some(selector) = Fields::open(item, path, &known, report) else {
            continue;
        };
        metadata::read_labels(&selector, "matchLabels", report);
        expression::read_all(&selector, "matchExpressions", report);
    }
}
