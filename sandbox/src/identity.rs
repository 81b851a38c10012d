//! The identities of one bus of this machine: operator, accounts, users. All keys are made anew for each
//! bus. Owns what a real bus has in three places (its operator's offline folder, its registrar, and its
//! servers' configurations), and hands each its part.

use std::path::{Path, PathBuf};

use writ_bus::config::Accounts;
use writ_bus::identity::{
    self, Credentials, CredentialsError, OperatorKeys, RegistrarKeys, Role, UserKey, folder,
};
pub use writ_bus::registrar::now_s;
use writ_core::name::{ClusterName, Name, Region, Stage};

/// Why an identity could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something was not signed.
    #[error("an identity on the bus could not be signed")]
    Sign(#[from] identity::Error),
    /// What was signed is not what its user can show.
    #[error("an identity on the bus can not be used")]
    Credentials(#[from] CredentialsError),
    /// The keys could not be kept.
    #[error("the keys of the bus could not be kept")]
    Keep(#[from] folder::Error),
}

/// All keys of a bus.
#[derive(Debug)]
pub struct BusKeys {
    registrar: RegistrarKeys,
    operator: OperatorKeys,
}

impl BusKeys {
    /// Makes the keys of a bus where some regions have a leaf node.
    pub fn generate(leafs: &[Region]) -> Result<Self, Error> {
        let (_, mut registrar, mut operator) = identity::generate();
        for region in leafs {
            operator.add_leaf(region);
        }
        registrar.learn(operator.realm().clone())?;
        Ok(Self {
            registrar,
            operator,
        })
    }

    /// Begins to replace the key that signs a role's users.
    pub fn rotate(&mut self, role: &Role) -> Result<(), Error> {
        Ok(identity::rotate(
            &mut self.operator,
            &mut self.registrar,
            role,
        )?)
    }

    /// Ends it.
    pub fn retire(&mut self, role: &Role) -> Result<(), Error> {
        Ok(identity::retire(
            &mut self.operator,
            &mut self.registrar,
            role,
        )?)
    }

    /// Writes the operator's keys and the registrar's into two folders.
    pub fn store(&self, operator: &Path, registrar: &Path) -> Result<(), Error> {
        self.operator.store(operator, now_s())?;
        self.registrar.store(registrar)?;
        Ok(())
    }

    /// What the registrar signs with.
    pub fn registrar(&self) -> &RegistrarKeys {
        &self.registrar
    }

    /// What the operator signs with.
    pub fn operator(&self) -> &OperatorKeys {
        &self.operator
    }

    /// What a server of the hub begins with; it keeps accounts in `dir`.
    pub fn accounts(&self, dir: PathBuf) -> Result<Accounts, Error> {
        Ok(Accounts {
            dir,
            operator: self.operator.operator(now_s()),
            preload: self.registrar.hub_accounts(now_s())?,
        })
    }

    /// What a region's leaf begins with.
    pub fn leaf_accounts(&self, region: &Region, dir: PathBuf) -> Result<Accounts, Error> {
        let registrar = &self.registrar;
        Ok(Accounts {
            dir,
            operator: self.operator.operator(now_s()),
            preload: registrar.leaf_accounts(region, now_s())?,
        })
    }

    /// Makes a user that there is one of.
    pub fn user(&self, role: &Role) -> Result<Credentials, Error> {
        let (key, now_s) = (UserKey::generate(), now_s());
        let expires_s = now_s + role.life_max_s();
        let token = self.operator.user(role, &key.public(), now_s, expires_s)?;
        Ok(Credentials::new(&token, Some(key))?)
    }

    /// Makes a publisher's user.
    pub fn publisher(&self, name: &Name) -> Result<Credentials, Error> {
        let (key, now_s) = (UserKey::generate(), now_s());
        let expires_s = now_s + Role::Publisher.life_max_s();
        let operator = &self.operator;
        let token = operator.publisher_user(name, &key.public(), now_s, expires_s)?;
        Ok(Credentials::new(&token, Some(key))?)
    }

    /// Makes a cluster's user.
    pub fn cluster(
        &self,
        name: &ClusterName,
        region: &Region,
        stage: &Stage,
    ) -> Result<Credentials, Error> {
        self.cluster_for(name, region, stage, Role::Cluster.life_max_s())
    }

    /// Makes a cluster's user that lives for a while.
    pub fn cluster_for(
        &self,
        name: &ClusterName,
        region: &Region,
        stage: &Stage,
        life_s: u64,
    ) -> Result<Credentials, Error> {
        let (key, now_s) = (UserKey::generate(), now_s());
        let (public, expires_s) = (key.public(), now_s + life_s);
        let agents = self.registrar.agents();
        let token = agents.cluster_user(name, region, stage, &public, now_s, expires_s)?;
        Ok(Credentials::new(&token, Some(key))?)
    }
}
