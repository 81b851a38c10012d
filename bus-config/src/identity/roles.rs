//! What each signing key can give out: one role a key, one template of rights a role.
//!
//! Promises: the account's token carries the template, so that a server gives a user the rights of
//! the key that signed it and no others, whatever the user's token says. Whoever steals the clusters'
//! signing key gets what clusters may, of any region and stage, and never the streams' account.

use serde::Serialize;
use writ_core::name::Region;

use super::{key::AccountKey, realm::Realm};
use crate::{
    accounts::{self, Permissions},
    config::PAYLOAD_BYTES_MAX,
};

/// A day, in seconds.
const DAY_S: u64 = 24 * 60 * 60;

/// Longest life of a cluster's token: how long a cluster that is cut off goes on behind a leaf that is
/// cut off too. Also how long a fleet stays connected when nobody renews.
pub const CLUSTER_LIFE_MAX_S: u64 = 7 * DAY_S;

/// Longest life of a token with which a cluster enrols.
pub const ENROLMENT_LIFE_MAX_S: u64 = 60 * 60;

/// Longest life of a token that is the right to ask. It may lie in a repository for a while.
pub const REQUEST_LIFE_MAX_S: u64 = 90 * DAY_S;

/// Longest life of the other users' tokens, which people make.
pub const OPERATED_LIFE_MAX_S: u64 = 400 * DAY_S;

/// Most subscriptions of a cluster's connection; the subscriber has some ten.
const CLUSTER_SUBSCRIPTIONS_MAX: i64 = 64;

/// Most subscriptions of who enrols or asks.
const ENROL_SUBSCRIPTIONS_MAX: i64 = 4;

/// Longest message of who enrols or asks, in bytes: a few keys and names.
const ENROL_PAYLOAD_BYTES_MAX: i64 = 8 * 1024;

/// NATS's word for "no limit of its own".
const UNLIMITED: i64 = -1;

/// What a signing key stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// A cluster's subscriber.
    Cluster,
    /// A cluster that enrols with a token.
    Enrolment,
    /// A cluster that asks to be let in, without a secret.
    Request,
    /// A publisher.
    Publisher,
    /// Who makes the streams.
    Installer,
    /// Who takes backups.
    Backup,
    /// Who pushes accounts.
    Registrar,
    /// A leaf's link to the system account.
    ClaimsLink,
    /// The link of a region's leaf.
    Link(Region),
    /// Who makes the mirror of a region's leaf, at the leaf.
    LeafInstaller(Region),
}

impl Role {
    /// The longest life of a user of this role, in seconds.
    pub fn life_max_s(&self) -> u64 {
        match self {
            Role::Cluster => CLUSTER_LIFE_MAX_S,
            Role::Enrolment => ENROLMENT_LIFE_MAX_S,
            Role::Request => REQUEST_LIFE_MAX_S,
            _ => OPERATED_LIFE_MAX_S,
        }
    }

    /// The role's name in an account's token.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Role::Cluster => "cluster",
            Role::Enrolment => "enrolment",
            Role::Request => "request",
            Role::Publisher => "publisher",
            Role::Installer => "installer",
            Role::Backup => "backup",
            Role::Registrar => "registrar",
            Role::ClaimsLink => "claims-link",
            Role::Link(_) => "link",
            Role::LeafInstaller(_) => "leaf-installer",
        }
    }

    /// The role's name on the bus, of which there is one.
    pub fn label(&self) -> String {
        match self {
            Role::Link(region) | Role::LeafInstaller(region) => format!("{}-{region}", self.word()),
            _ => self.word().to_owned(),
        }
    }

    /// Whether the registrar signs its users, and not the operator.
    pub(crate) fn is_of_registrar(&self) -> bool {
        matches!(self, Role::Cluster | Role::Enrolment | Role::Request)
    }

    fn permissions(&self, realm: &Realm) -> Permissions {
        match self {
            Role::Cluster => accounts::cluster(),
            Role::Enrolment => accounts::enrolment(),
            Role::Request => accounts::request(),
            Role::Publisher => accounts::publisher(),
            Role::Installer => accounts::installer(),
            Role::Backup => accounts::backup(),
            Role::Registrar => accounts::registrar(&realm.agents),
            Role::ClaimsLink => accounts::claims_link(&realm.agents),
            Role::Link(region) => accounts::link(region),
            Role::LeafInstaller(_) => accounts::leaf_installer(),
        }
    }

    /// The role as an account's token states it.
    pub(super) fn scope(&self, realm: &Realm, key: &AccountKey) -> Scope {
        let Permissions { publish, subscribe } = self.permissions(realm);
        let (subs, payload) = match self {
            Role::Cluster => (CLUSTER_SUBSCRIPTIONS_MAX, payload_max()),
            Role::Enrolment | Role::Request => (ENROL_SUBSCRIPTIONS_MAX, ENROL_PAYLOAD_BYTES_MAX),
            _ => (UNLIMITED, payload_max()),
        };
        let leaf = matches!(self, Role::ClaimsLink | Role::Link(_));
        Scope {
            kind: "user_scope",
            key: key.clone(),
            role: self.word(),
            description: "",
            template: Template {
                publish: Allow { allow: publish },
                subscribe: Allow { allow: subscribe },
                subs,
                data: UNLIMITED,
                payload,
                bearer_token: *self == Role::Request,
                allowed_connection_types: [if leaf { "LEAFNODE" } else { "STANDARD" }],
            },
        }
    }
}

fn payload_max() -> i64 {
    i64::try_from(PAYLOAD_BYTES_MAX).unwrap_or(UNLIMITED)
}

/// A signing key with its role.
#[derive(Debug, Serialize)]
pub(super) struct Scope {
    kind: &'static str,
    pub(super) key: AccountKey,
    role: &'static str,
    template: Template,
    description: &'static str,
}

#[derive(Debug, Serialize)]
struct Template {
    #[serde(rename = "pub")]
    publish: Allow,
    #[serde(rename = "sub")]
    subscribe: Allow,
    subs: i64,
    data: i64,
    payload: i64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    bearer_token: bool,
    allowed_connection_types: [&'static str; 1],
}

#[derive(Debug, Serialize)]
struct Allow {
    allow: Vec<String>,
}
