//! The secrets of the process that lets clusters in and cuts them off.
//!
//! Owns the operator's signing key and the signing keys of the subscribers' account. Whoever has them
//! decides who is a cluster; they sign no publisher and no installer.

use std::collections::BTreeSet;

use writ_core::name::{ClusterName, Region, Stage};

use super::{
    Error, account,
    jwt::Jwt,
    key::{AccountKey, Pair, PublicKey},
    realm::Realm,
    roles::Role,
    user::{self, Life},
};

/// The keys that sign the users of the subscribers' account.
#[derive(Debug)]
pub struct AgentsKeys {
    pub(super) account: AccountKey,
    pub(super) cluster: Pair,
    pub(super) enrolment: Pair,
    pub(super) request: Pair,
}

impl AgentsKeys {
    /// The token of a cluster's subscriber.
    pub fn cluster_user(
        &self,
        name: &ClusterName,
        region: &Region,
        stage: &Stage,
        key: &PublicKey,
        issued_s: u64,
        expires_s: u64,
    ) -> Result<Jwt, Error> {
        let life = Life {
            issued_s,
            expires_s,
        };
        let account = (&self.account, &self.cluster);
        user::cluster(account, (name, region, stage), key, life)
    }

    /// The token with which a cluster enrols: it reaches `writ.enrol.<cluster>` and the answers to it
    /// (see [`crate::accounts::enrol_inbox`]), for an hour at most.
    pub fn enrolment_user(
        &self,
        cluster: &ClusterName,
        key: &PublicKey,
        issued_s: u64,
        expires_s: u64,
    ) -> Result<Jwt, Error> {
        let account = (&self.account, &self.enrolment);
        let life = Life {
            issued_s,
            expires_s,
        };
        let name = cluster.as_str();
        user::sign(&Role::Enrolment, account, name, Vec::new(), key, life)
    }

    /// The token with which a cluster asks to be let in: it reaches `writ.request.<cluster>` and the
    /// answers to it. It needs no seed, so that `key` may be one whose seed nobody kept, and is no
    /// secret: what it grants is to ask, and to be refused.
    pub fn request_user(
        &self,
        cluster: &ClusterName,
        key: &PublicKey,
        issued_s: u64,
        expires_s: u64,
    ) -> Result<Jwt, Error> {
        let account = (&self.account, &self.request);
        let life = Life {
            issued_s,
            expires_s,
        };
        let name = cluster.as_str();
        user::sign(&Role::Request, account, name, Vec::new(), key, life)
    }
}

/// All secrets of the registrar.
#[derive(Debug)]
pub struct RegistrarKeys {
    pub(super) realm: Realm,
    pub(super) operator: Pair,
    pub(super) agents: AgentsKeys,
}

impl RegistrarKeys {
    /// Who is who.
    pub fn realm(&self) -> &Realm {
        &self.realm
    }

    /// The keys that sign clusters.
    pub fn agents(&self) -> &AgentsKeys {
        &self.agents
    }

    /// The subscribers' account, without whoever holds a revoked key: the one account that changes
    /// while a fleet runs, and the same at the hub and at every leaf.
    pub fn agents_account(
        &self,
        revoked: &BTreeSet<PublicKey>,
        issued_s: u64,
    ) -> Result<Jwt, Error> {
        account::agents(&self.realm, &self.operator, revoked, issued_s)
    }

    /// The streams' account at the hub.
    pub fn core_account(&self, issued_s: u64) -> Result<Jwt, Error> {
        account::core(&self.realm, &self.operator, issued_s)
    }

    /// The system account at the hub.
    pub fn system_account(&self, issued_s: u64) -> Result<Jwt, Error> {
        account::system(&self.realm, &self.operator, issued_s)
    }

    /// The account in which a region's link ends at the hub.
    pub fn link_account(&self, region: &Region, issued_s: u64) -> Result<Jwt, Error> {
        account::link(&self.realm, region, &self.operator, issued_s)
    }

    /// The streams' account of a region's leaf, for that leaf alone.
    pub fn leaf_core_account(&self, region: &Region, issued_s: u64) -> Result<Jwt, Error> {
        account::leaf_core(&self.realm, region, &self.operator, issued_s)
    }

    /// The system account of a leaf, for leafs alone.
    pub fn leaf_system_account(&self, issued_s: u64) -> Jwt {
        account::leaf_system(&self.realm, &self.operator, issued_s)
    }

    /// Takes over what a leaf added to the realm.
    pub fn learn(&mut self, realm: Realm) -> Result<(), Error> {
        let own = &self.realm;
        let same = realm.operator_signing == own.operator_signing
            && (&realm.core, &realm.agents, &realm.system) == (&own.core, &own.agents, &own.system)
            && realm.signers == own.signers;
        if !same {
            return Err(Error::OtherRealm);
        }
        self.realm = realm;
        Ok(())
    }
}
