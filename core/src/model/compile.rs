//! The compiled form: what events carry and clusters keep. It has the shape of the user's document,
//! with grants expanded into bindings (those with a namespace selector travel as they are), what
//! servers own stripped and objects sorted, as canonical
//! JSON (RFC 8785): the same policy gives the same bytes, whatever the order of its document.
//!
//! Decoding is as strict as parsing. A field that this version does not know is a refusal: a newer
//! publisher may have narrowed the policy by it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::choice::{Adopt, Enforcement, Removal};
use super::cluster::Cluster;
use super::document;
use super::grant::SelectorGrant;
use super::limits::COMPILED_SIZE_MAX_BYTES;
use super::metadata;
use super::object::Object;
use super::policy::ClusterPolicy;
use super::report::Violation;
use super::selector::ClusterSelector;
use crate::name::PolicyName;

/// A document in the form that events carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    bytes: Vec<u8>,
    object_count: usize,
}

impl Compiled {
    /// Canonical JSON; at most [`COMPILED_SIZE_MAX_BYTES`] for a document that was parsed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, taken out.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// How many Kubernetes objects it holds; 0 for a registry entry.
    pub fn object_count(&self) -> usize {
        self.object_count
    }
}

impl ClusterPolicy {
    /// Compiles the policy. The same policy gives the same bytes; reason and deletion protection are
    /// no part of them.
    pub fn compile(&self) -> Compiled {
        let object_count = self.all_objects().len();
        Compiled {
            bytes: policy_bytes(self),
            object_count,
        }
    }
}

impl Cluster {
    /// Compiles the registry entry.
    pub fn compile(&self) -> Compiled {
        let metadata = metadata_to_json(self.name.as_str(), &self.labels, &self.annotations);
        let bytes = to_bytes(document::CLUSTER, metadata, self.spec_to_json());
        Compiled {
            bytes,
            object_count: 0,
        }
    }
}

/// The compiled form of a policy.
pub(super) fn policy_bytes(policy: &ClusterPolicy) -> Vec<u8> {
    let objects: Vec<Value> = policy
        .all_objects()
        .into_iter()
        .map(|object| object.content)
        .collect();
    let mut spec = json!({
        "clusters": policy.clusters.to_json(),
        "enforcement": policy.enforcement.as_str(),
        "removal": policy.removal.as_str(),
        "adopt": policy.adopt.as_str(),
        "objects": objects,
    });
    // Left out where there are none, so that what uses nothing new keeps its bytes.
    let grants: Vec<Value> = policy
        .selector_grants()
        .iter()
        .map(SelectorGrant::to_json)
        .collect();
    if !grants.is_empty() {
        spec["grants"] = grants.into();
    }
    let metadata = metadata_to_json(policy.name.as_str(), &policy.labels, &policy.annotations);
    to_bytes(document::CLUSTER_POLICY, metadata, spec)
}

fn metadata_to_json(
    name: &str,
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
) -> Value {
    let mut map = Map::from_iter([("name".to_owned(), Value::from(name))]);
    metadata::insert_map(&mut map, "labels", labels);
    metadata::insert_map(&mut map, "annotations", annotations);
    Value::Object(map)
}

fn to_bytes(kind: &str, metadata: Value, spec: Value) -> Vec<u8> {
    let document = json!({
        "apiVersion": document::API_VERSION, "kind": kind, "metadata": metadata, "spec": spec,
    });
    // Only numbers that are not finite lack a canonical form, and JSON has none.
    serde_json_canonicalizer::to_vec(&document).expect("a document that was read from JSON")
}

/// Why bytes are not a compiled document.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Over the limit; not even read.
    #[error("compiled document of {0} bytes, the limit is {COMPILED_SIZE_MAX_BYTES}")]
    TooLarge(usize),
    /// Not JSON.
    #[error("compiled document is not JSON")]
    ReadJson(#[source] serde_json::Error),
    /// Not what this version knows as a compiled document.
    #[error("compiled document is refused: {}", list(.0))]
    Refused(Vec<Violation>),
}

/// The first violations; a refusal's reason travels in an ack, which is small.
fn list(violations: &[Violation]) -> String {
    const LISTED_MAX: usize = 3;
    let first: Vec<String> = violations
        .iter()
        .take(LISTED_MAX)
        .map(ToString::to_string)
        .collect();
    let more = violations.len().saturating_sub(LISTED_MAX);
    let rest = if more > 0 {
        format!("; and {more} more")
    } else {
        String::new()
    };
    format!("{}{rest}", first.join("; "))
}

/// A policy as a cluster receives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompiledPolicy {
    /// Its name.
    pub name: PolicyName,
    /// Labels of the policy itself.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the policy itself.
    pub annotations: BTreeMap<String, String>,
    /// Which clusters; evaluated in each cluster.
    pub clusters: ClusterSelector,
    /// What happens to drift.
    pub enforcement: Enforcement,
    /// What happens to objects that leave the policy.
    pub removal: Removal,
    /// Whether foreign objects may be taken over.
    pub adopt: Adopt,
    /// All objects, in the order in which they are applied. Shared: parsed objects are some twenty
    /// times as large as their text.
    pub objects: Arc<[Object]>,
    /// The grants whose bindings depend on the cluster's namespaces, sorted by name.
    pub grants: Arc<[SelectorGrant]>,
}

impl CompiledPolicy {
    /// Decodes what [`ClusterPolicy::compile`] made. Refuses all that parsing refuses.
    pub fn decode(bytes: &[u8]) -> Result<CompiledPolicy, DecodeError> {
        let value = read_json(bytes)?;
        let policy = document::read_compiled(
            &value,
            document::CLUSTER_POLICY,
            ClusterPolicy::read_compiled,
        )
        .map_err(DecodeError::Refused)?;
        Ok(CompiledPolicy {
            objects: policy.all_objects().into(),
            grants: policy.selector_grants().into(),
            name: policy.name,
            labels: policy.labels,
            annotations: policy.annotations,
            clusters: policy.clusters,
            enforcement: policy.enforcement,
            removal: policy.removal,
            adopt: policy.adopt,
        })
    }
}

/// A registry entry as a cluster receives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompiledCluster {
    /// The entry; nothing of it is lost by compiling.
    pub cluster: Cluster,
}

impl CompiledCluster {
    /// Decodes what [`Cluster::compile`] made. Refuses all that parsing refuses.
    pub fn decode(bytes: &[u8]) -> Result<CompiledCluster, DecodeError> {
        let value = read_json(bytes)?;
        let cluster = document::read_compiled(&value, document::CLUSTER, Cluster::read)
            .map_err(DecodeError::Refused)?;
        Ok(CompiledCluster { cluster })
    }
}

fn read_json(bytes: &[u8]) -> Result<Value, DecodeError> {
    if bytes.len() > COMPILED_SIZE_MAX_BYTES {
        return Err(DecodeError::TooLarge(bytes.len()));
    }
    serde_json::from_slice(bytes).map_err(DecodeError::ReadJson)
}
