//! The Kubernetes objects of a policy. Each is checked as the API server would, so that what the
//! publisher accepted does not fail in a thousand clusters; its content is rebuilt from what was
//! checked, so nothing unknown travels.

use serde_json::{Map, Value, json};

use super::config_map;
use super::fields::{Fields, unknown};
use super::further;
use super::guard;
use super::kind::{ObjectKind, ObjectRef};
use super::label_selector::{LABEL_SELECTOR, LabelSelector};
use super::limit_range;
use super::limits::ENTRIES_MAX;
use super::metadata;
use super::network_policy;
use super::quota;
use super::rbac::{self, RbacSubject, RoleRef};
use super::report::Report;
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
        Object::build(ObjectRef::of(kind, namespace, name), metadata, body)
    }

    fn build(
        reference: ObjectRef,
        metadata: Map<String, Value>,
        mut body: Map<String, Value>,
    ) -> Object {
        body.insert(
            "apiVersion".to_owned(),
            reference.api_version.as_str().into(),
        );
        body.insert("kind".to_owned(), reference.kind.as_str().into());
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
        let object = match kind {
            KindName::Known(kind) => {
                let known = [&["apiVersion", "kind", "metadata"][..], kind.fields()].concat();
                Fields::open(item, path, &known, report)?
            }
            KindName::Further { .. } => Fields::open_map(item, path, report)?,
        };
        let (reference, metadata) = read_metadata(kind, &object, grants_of, report)?;
        let body = match kind {
            KindName::Known(kind) => {
                read_body(kind, &object, reference.namespace.as_deref(), report)
            }
            KindName::Further { .. } => further::read_body(item, path, report),
        };
        (report.refused() == before).then(|| Object::build(reference, metadata, body))
    }

    /// Whether Writ may delete the object when it leaves its policy. A Namespace takes all that is in
    /// it along, so it has to say so itself: annotation `writ.dev/removal: delete`.
    pub fn may_be_deleted_with_policy(&self) -> bool {
        let of = &self.reference;
        let is_namespace =
            ObjectKind::find(&of.api_version, &of.kind) == Some(ObjectKind::Namespace);
        let wish = &self.content["metadata"]["annotations"][metadata::REMOVAL];
        !is_namespace || wish == metadata::REMOVAL_DELETE
    }
}

/// What an object is an object of.
#[derive(Debug, Clone, Copy)]
enum KindName<'a> {
    /// A kind whose body is checked.
    Known(ObjectKind),
    /// Any other that may travel.
    Further { api_version: &'a str, kind: &'a str },
}

impl<'a> KindName<'a> {
    fn known(self) -> Option<ObjectKind> {
        match self {
            KindName::Known(kind) => Some(kind),
            KindName::Further { .. } => None,
        }
    }

    fn check_name(self, name: &str) -> Result<(), String> {
        match self {
            KindName::Known(kind) => kind.check_name(name),
            KindName::Further { .. } => syntax::check_path_segment(name),
        }
    }

    fn reference(self, namespace: Option<&str>, name: &str) -> ObjectRef {
        match self {
            KindName::Known(kind) => ObjectRef::of(kind, namespace, name),
            KindName::Further { api_version, kind } => ObjectRef {
                api_version: api_version.to_owned(),
                kind: kind.to_owned(),
                namespace: namespace.map(str::to_owned),
                name: name.to_owned(),
            },
        }
    }
}

fn read_kind<'a>(object: &Fields<'a>, report: &mut Report) -> Option<KindName<'a>> {
    let api_version = object.required_text("apiVersion", report);
    let kind = object.required_text("kind", report)?;
    let api_version = api_version?;
    let Some(known) = ObjectKind::find(api_version, kind) else {
        return read_further(object, api_version, kind, report);
    };
    if kind != known.name() {
        report.refuse(object.path("kind"), unknown("kind", kind, &[known.name()]));
        return None;
    }
    if api_version != known.api_version() {
        let message = format!("must be {} for a {kind}", known.api_version());
        report.refuse(object.path("apiVersion"), message);
        return None;
    }
    Some(KindName::Known(known))
}

fn read_further<'a>(
    object: &Fields<'a>,
    api_version: &'a str,
    kind: &'a str,
    report: &mut Report,
) -> Option<KindName<'a>> {
    if let Err(message) = further::check_api_version(api_version) {
        report.refuse(object.path("apiVersion"), message);
        return None;
    }
    let checked =
        further::check_kind_name(kind).and_then(|()| further::check_kind(api_version, kind));
    checked
        .map_err(|message| report.refuse(object.path("kind"), message))
        .ok()?;
    Some(KindName::Further { api_version, kind })
}

fn read_metadata(
    kind: KindName<'_>,
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
    let annotations = if kind.known() == Some(ObjectKind::Namespace) {
        metadata::read_namespace_annotations(&fields, report)
    } else {
        metadata::read_annotations(&fields, report)
    };
    metadata::check_object_labels(&fields, &labels, report);
    let namespace = read_namespace(kind, &fields, report);
    let check = |name: &str| kind.check_name(name).map(|()| name.to_owned());
    let name = fields.parsed("name", check, report)?;
    let reference = kind.reference(namespace, &name);
    if let Err(message) = guard::check_object_name(kind.known(), &reference, grants_of) {
        report.refuse(fields.path("name"), message);
    }
    let mut content = Map::from_iter([("name".to_owned(), Value::from(name))]);
    content.extend(namespace.map(|namespace| ("namespace".to_owned(), namespace.into())));
    metadata::insert_map(&mut content, "labels", &labels);
    metadata::insert_map(&mut content, "annotations", &annotations);
    Some((reference, content))
}

fn read_namespace<'a>(
    kind: KindName<'_>,
    metadata: &Fields<'a>,
    report: &mut Report,
) -> Option<&'a str> {
    let namespace = metadata.text("namespace", report);
    if let Err(message) = check_namespace(kind, namespace) {
        report.refuse(metadata.path("namespace"), message);
    }
    namespace
}

/// Of a further kind nobody knows here whether it lives in a namespace: what is written decides, and
/// the cluster refuses what is wrong.
fn check_namespace(kind: KindName<'_>, namespace: Option<&str>) -> Result<(), String> {
    let is_namespaced = kind.known().map(|kind| (kind.name(), kind.is_namespaced()));
    match (namespace, is_namespaced) {
        (None, Some((name, true))) => Err(format!("is required: a {name} lives in a namespace")),
        (Some(_), Some((name, false))) => {
            Err(format!("a {name} is cluster-wide and has no namespace"))
        }
        (None, _) => Ok(()),
        (Some(namespace), _) => {
            syntax::check_dns_label(namespace)?;
            guard::check_namespace(namespace)?;
            match kind.known() {
                Some(ObjectKind::ConfigMap) => guard::check_config_map(namespace),
                _ => Ok(()),
            }
        }
    }
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
        ObjectKind::LimitRange => insert_spec(limit_range::read(object, report), &mut body),
        ObjectKind::ResourceQuota => insert_spec(quota::read(object, report), &mut body),
        ObjectKind::NetworkPolicy => {
            network_policy::check(object, report);
            copy(object, kind.fields(), &mut body);
        }
        ObjectKind::ConfigMap => {
            config_map::check(object, report);
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

fn insert_spec(spec: Option<Map<String, Value>>, body: &mut Map<String, Value>) {
    body.extend(spec.map(|spec| ("spec".to_owned(), Value::Object(spec))));
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
        if let Some(selector) = Fields::open(item, path, &LABEL_SELECTOR, report) {
            LabelSelector::read_of(&selector, report);
        }
    }
}
