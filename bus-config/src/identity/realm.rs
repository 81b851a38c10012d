//! Who is who on one bus: the public keys of its operator, of its accounts, and of the keys that sign
//! for them. No secret.
//!
//! Owns how all of it is made at first, and what a leaf adds.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use writ_core::name::Region;

use super::{
    Error,
    key::{AccountKey, Kind, OperatorKey, Pair, PublicKey},
    operator::OperatorKeys,
    registrar::{AgentsKeys, RegistrarKeys},
    roles::Role,
};

/// The public keys of one bus. Written down as JSON, it is all that a server's configuration needs
/// beside signed tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Realm {
    /// The operator's identity, which signs nothing but the operator's own token.
    pub operator: OperatorKey,
    /// The key with which accounts are signed.
    pub operator_signing: OperatorKey,
    /// The system account.
    pub system: AccountKey,
    /// The account of the streams and the publishers.
    pub core: AccountKey,
    /// The account of the subscribers.
    pub agents: AccountKey,
    /// The keys that sign users.
    pub signers: Signers,
    /// What regions with a leaf node add.
    #[serde(default)]
    pub leafs: BTreeMap<Region, LeafKeys>,
    /// Of each role whose signing key is being replaced, the key before: whom it signed is still let in.
    #[serde(default)]
    pub outgoing: BTreeMap<String, AccountKey>,
    /// Keys of users that people made, and that count no more: of publishers, installers, links. Those of
    /// clusters are the registry's.
    #[serde(default)]
    pub revoked: BTreeSet<PublicKey>,
}

/// The keys that sign users, one a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signers {
    /// Of clusters.
    pub cluster: AccountKey,
    /// Of clusters that enrol with a token.
    pub enrolment: AccountKey,
    /// Of clusters that ask without a secret.
    pub request: AccountKey,
    /// Of publishers.
    pub publisher: AccountKey,
    /// Of who makes the streams.
    pub installer: AccountKey,
    /// Of who takes backups.
    pub backup: AccountKey,
    /// Of who pushes accounts.
    pub registrar: AccountKey,
    /// Of the leafs' links to the system account.
    pub claims_link: AccountKey,
}

/// What a region with a leaf node adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeafKeys {
    /// The account of its link at the hub.
    pub account: AccountKey,
    /// The key that signs its link's user.
    pub link: AccountKey,
    /// The key that signs who makes its mirror. The hub does not know it, so that a leaf's
    /// administrator is nobody there.
    pub installer: AccountKey,
}

impl Realm {
    /// The account of a role's users, and the key that signs them.
    pub(super) fn signer(&self, role: &Role) -> Result<(&AccountKey, &AccountKey), Error> {
        let leaf = |region: &Region| {
            let leaf = self.leafs.get(region);
            leaf.ok_or_else(|| Error::NoLeaf(region.clone()))
        };
        Ok(match role {
            Role::Cluster => (&self.agents, &self.signers.cluster),
            Role::Enrolment => (&self.agents, &self.signers.enrolment),
            Role::Request => (&self.agents, &self.signers.request),
            Role::Publisher => (&self.core, &self.signers.publisher),
            Role::Installer => (&self.core, &self.signers.installer),
            Role::Backup => (&self.core, &self.signers.backup),
            Role::Registrar => (&self.system, &self.signers.registrar),
            Role::ClaimsLink => (&self.system, &self.signers.claims_link),
            Role::Link(region) => {
                let leaf = leaf(region)?;
                (&leaf.account, &leaf.link)
            }
            Role::LeafInstaller(region) => (&self.core, &leaf(region)?.installer),
        })
    }
}

/// A new bus: its public keys and both halves of its secrets. The private halves of the accounts'
/// own identities are dropped at once: only signing keys sign, and no server takes anything else.
pub fn generate() -> (Realm, RegistrarKeys, OperatorKeys) {
    let account = || Pair::generate(Kind::Account).account();
    let signer = || Pair::generate(Kind::Account);
    let (root, signing) = (
        Pair::generate(Kind::Operator),
        Pair::generate(Kind::Operator),
    );
    let [cluster, enrolment, request] = std::array::from_fn(|_| signer());
    let [publisher, installer, backup, registrar, claims_link] = std::array::from_fn(|_| signer());
    let realm = Realm {
        operator: root.operator(),
        operator_signing: signing.operator(),
        system: account(),
        core: account(),
        agents: account(),
        signers: Signers {
            cluster: cluster.account(),
            enrolment: enrolment.account(),
            request: request.account(),
            publisher: publisher.account(),
            installer: installer.account(),
            backup: backup.account(),
            registrar: registrar.account(),
            claims_link: claims_link.account(),
        },
        leafs: BTreeMap::new(),
        outgoing: BTreeMap::new(),
        revoked: BTreeSet::new(),
    };
    let registrar_keys = RegistrarKeys {
        realm: realm.clone(),
        operator: signing,
        agents: AgentsKeys {
            account: realm.agents.clone(),
            cluster,
            enrolment,
            request,
        },
    };
    let signers = [
        (Role::Publisher, publisher),
        (Role::Installer, installer),
        (Role::Backup, backup),
        (Role::Registrar, registrar),
        (Role::ClaimsLink, claims_link),
    ];
    let operator = OperatorKeys {
        realm: realm.clone(),
        root,
        signers: signers.into_iter().collect(),
    };
    (realm, registrar_keys, operator)
}
