//! Reads a `PolicyCeiling`. Strict: a field that is not known is refused, because it could be a
//! limit that this version would not keep; one that is missing is refused, because the API server
//! fills in every field.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Ceiling, KIND, NAME, Pattern};
use crate::hash::Hash;
use crate::model::API_VERSION;

/// The object is no ceiling that this version understands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Error {
    /// Path of the field.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

fn refuse(field: impl Into<String>, message: impl Into<String>) -> Error {
    let (field, message) = (field.into(), message.into());
    Error { field, message }
}

pub(super) fn ceiling(object: &Value) -> Result<Ceiling, Error> {
    for (path, pointer, wanted) in [
        ("apiVersion", "/apiVersion", API_VERSION),
        ("kind", "/kind", KIND),
        ("metadata.name", "/metadata/name", NAME),
    ] {
        if object.pointer(pointer).and_then(Value::as_str) != Some(wanted) {
            return Err(refuse(path, format!("must be {wanted}")));
        }
    }
    let spec = &object["spec"];
    let Value::Object(fields) = spec else {
        return Err(refuse("spec", "must be a map"));
    };
    let canonical = serde_json_canonicalizer::to_vec(spec)
        .map_err(|cause| refuse("spec", cause.to_string()))?;
    let mut fields = Spec(fields.clone());
    let ceiling = Ceiling {
        protected_namespaces: fields.patterns("protectedNamespaces")?,
        protected_names: fields.patterns("protectedNames")?,
        bindable_cluster_roles: fields.take("bindableClusterRoles")?,
        bind_own_cluster_roles: fields.take("bindOwnClusterRoles")?,
        allow_aggregation: fields.take("allowAggregation")?,
        denied_verbs: fields.take("deniedVerbs")?,
        denied_resources: fields.take("deniedResources")?,
        read_only_resources: fields.take("readOnlyResources")?,
        denied_api_groups: fields.take("deniedAPIGroups")?,
        read_only_api_groups: fields.take("readOnlyAPIGroups")?,
        allowed_urls: fields.patterns("allowedNonResourceURLs")?,
        denied_users: fields.patterns("deniedUsers")?,
        denied_groups: fields.patterns("deniedGroups")?,
        pod_security_minimum: fields.take("podSecurityMinimum")?,
        pod_security_required: fields.take("podSecurityRequired")?,
        adoptable: fields.take("adoptable")?,
        hash: Hash::of(&canonical),
    };
    match fields.0.keys().next() {
        Some(unknown) => Err(refuse(
            format!("spec.{unknown}"),
            "is not known to this version of Writ, which could not keep it",
        )),
        None => Ok(ceiling),
    }
}

/// The fields that were not read yet.
struct Spec(Map<String, Value>);

impl Spec {
    fn take<T: DeserializeOwned>(&mut self, key: &str) -> Result<T, Error> {
        let field = format!("spec.{key}");
        let Some(value) = self.0.remove(key) else {
            return Err(refuse(field, "is missing"));
        };
        serde_json::from_value(value).map_err(|cause| refuse(field, cause.to_string()))
    }

    fn patterns(&mut self, key: &str) -> Result<Vec<Pattern>, Error> {
        let texts: Vec<String> = self.take(key)?;
        let parse = |(index, text): (usize, &String)| {
            Pattern::parse(text).map_err(|message| refuse(format!("spec.{key}[{index}]"), message))
        };
        texts.iter().enumerate().map(parse).collect()
    }
}
