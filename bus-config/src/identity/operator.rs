//! The secrets that people keep offline: the operator's identity, and the keys that sign publishers,
//! installers, backups, registrars and links.
//!
//! Promises: none of them is needed while a fleet runs, but where such a user is made or made anew.

use std::collections::BTreeMap;

use serde::Serialize;
use writ_core::name::{Name, Region};

use super::{
    Error,
    jwt::{Claims, Jwt, VERSION},
    key::{AccountKey, Kind, OperatorKey, Pair, PublicKey},
    realm::{LeafKeys, Realm},
    roles::Role,
    user::{self, Life},
};

/// The oldest nats-server that has all that the accounts rely on.
const SERVER_VERSION_MIN: &str = "2.14.0";

#[derive(Serialize)]
struct Operator<'a> {
    signing_keys: [&'a OperatorKey; 1],
    system_account: &'a AccountKey,
    assert_server_version: &'static str,
    strict_signing_key_usage: bool,
    #[serde(rename = "type")]
    kind: &'static str,
    version: u8,
}

/// The operator's own secrets.
#[derive(Debug)]
pub struct OperatorKeys {
    pub(super) realm: Realm,
    pub(super) root: Pair,
    pub(super) signers: BTreeMap<Role, Pair>,
}

impl OperatorKeys {
    /// Who is who.
    pub fn realm(&self) -> &Realm {
        &self.realm
    }

    /// The operator's token, which every server's configuration holds. Accounts are believed under the
    /// signing key that it names, and users under the signing keys that their account names: identities
    /// themselves sign neither.
    pub fn operator(&self, issued_s: u64) -> Jwt {
        let claims = Claims {
            subject: self.realm.operator.to_string(),
            name: "writ".to_owned(),
            issued_s,
            expires_s: None,
            nats: Operator {
                signing_keys: [&self.realm.operator_signing],
                system_account: &self.realm.system,
                assert_server_version: SERVER_VERSION_MIN,
                strict_signing_key_usage: true,
                kind: "operator",
                version: VERSION,
            },
        };
        claims.sign(&self.root)
    }

    /// Adds a region with a leaf node: its link's account and its two signing keys. The registrar has
    /// to [learn](super::RegistrarKeys::learn) of it. A region that is there stays as it is.
    pub fn add_leaf(&mut self, region: &Region) {
        if self.realm.leafs.contains_key(region) {
            return;
        }
        let [link, installer] = std::array::from_fn(|_| Pair::generate(Kind::Account));
        let leaf = LeafKeys {
            account: Pair::generate(Kind::Account).account(),
            link: link.account(),
            installer: installer.account(),
        };
        self.realm.leafs.insert(region.clone(), leaf);
        self.signers.insert(Role::Link(region.clone()), link);
        let role = Role::LeafInstaller(region.clone());
        self.signers.insert(role, installer);
    }

    /// The token of a publisher.
    pub fn publisher_user(
        &self,
        name: &Name,
        key: &PublicKey,
        issued_s: u64,
        expires_s: u64,
    ) -> Result<Jwt, Error> {
        let life = Life {
            issued_s,
            expires_s,
        };
        self.sign(&Role::Publisher, name.as_str(), key, life)
    }

    /// The token of a user that there is one of: of any role that is no cluster's and no publisher's.
    pub fn user(
        &self,
        role: &Role,
        key: &PublicKey,
        issued_s: u64,
        expires_s: u64,
    ) -> Result<Jwt, Error> {
        let life = Life {
            issued_s,
            expires_s,
        };
        if *role == Role::Publisher {
            // Its name is part of its subjects.
            return Err(Error::NoSigner(role.word()));
        }
        self.sign(role, role.word(), key, life)
    }

    fn sign(&self, role: &Role, name: &str, key: &PublicKey, life: Life) -> Result<Jwt, Error> {
        let signer = self.signers.get(role);
        let signer = signer.ok_or_else(|| Error::NoSigner(role.word()))?;
        let (account, _) = self.realm.signer(role)?;
        user::sign(role, (account, signer), name, Vec::new(), key, life)
    }
}
