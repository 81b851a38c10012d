//! The user's model: clusters and policies, from the document that a person writes to the compiled
//! form that a cluster receives.
//!
//! Owns the format `writ.dev/v1alpha1` on both sides: [`parse`] checks a document,
//! `compile` makes the bytes that events carry, [`CompiledPolicy::decode`] and
//! [`CompiledCluster::decode`] read them in the cluster.
//! Promises: what was parsed is valid, within its limits, and compiles to the same bytes every time;
//! a refusal names every field that is wrong; a field is supported or refused, never ignored.
//! Never talks to a cluster: whether a namespace exists or a role is there is not its question.

mod choice;
mod cluster;
mod compile;
mod config_map;
mod document;
mod enrolment;
mod expression;
mod feature;
mod fields;
mod further;
mod given;
mod grant;
mod guard;
mod kind;
mod label_selector;
mod limit_range;
pub mod limits;
mod loss;
mod metadata;
mod network_policy;
mod object;
mod policy;
mod quantity;
mod quota;
mod rbac;
mod record;
mod report;
mod resource;
mod selector;
mod strip;
mod syntax;
#[cfg(test)]
mod tests;

pub use choice::{Adopt, Enforcement, Mode, Phase, Removal, Visibility};
pub use cluster::{Cluster, ClusterKeys};
pub use compile::{Compiled, CompiledCluster, CompiledPolicy, DecodeError};
pub use document::{API_VERSION, Document, Parsed, parse};
pub use enrolment::{Enrolment, TokenKey};
pub use feature::FEATURES;
pub use given::{Carried, CarriedRule, Given, GivenIn};
pub use grant::{Grant, Reach, SelectorGrant};
pub use guard::OWN_NAMESPACE;
pub use kind::{ObjectIdentity, ObjectRef};
pub use label_selector::LabelSelector;
pub use object::Object;
pub use policy::ClusterPolicy;
pub use quantity::quantities_equal;
pub use rbac::{RbacSubject, RoleRef};
pub use record::Record;
pub use report::{Notice, Violation};
pub use selector::{ClusterIdentity, ClusterSelector, Criteria};
