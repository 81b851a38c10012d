//! Credentials, by the keys that sign the subscribers' users.

use std::time::Duration;

use writ_bus::{
    identity::{self, AgentsKeys, Jwt, KeyError, PublicKey, RegistrarKeys, roles},
    registrar::now_s,
};
use writ_core::{model::Cluster, name::ClusterName};

/// What may go wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The registry has a key that is none.
    #[error("the key is no user's key of the bus")]
    Key(#[from] KeyError),
    /// Not signed.
    #[error("no credentials are signed")]
    Sign(#[from] identity::Error),
}

/// Credentials with their life, in seconds since the Unix epoch.
#[derive(Debug, Clone)]
pub(crate) struct Minted {
    pub(crate) token: Jwt,
    pub(crate) issued_s: u64,
    pub(crate) expires_s: u64,
}

/// Signs users of the subscribers' account.
#[derive(Debug)]
pub(crate) struct Minter {
    keys: RegistrarKeys,
    life_s: u64,
}

impl Minter {
    /// `life`: of a cluster's credentials; cut to the longest that the role has.
    pub(crate) fn new(keys: RegistrarKeys, life: Duration) -> Minter {
        let life_s = life.as_secs().clamp(1, roles::CLUSTER_LIFE_MAX_S);
        Minter { keys, life_s }
    }

    fn agents(&self) -> &AgentsKeys {
        self.keys.agents()
    }

    /// A cluster's own.
    pub(crate) fn cluster(&self, cluster: &Cluster, bus_key: &str) -> Result<Minted, Error> {
        let (issued_s, expires_s) = life(self.life_s);
        let key = PublicKey::parse(bus_key)?;
        let place = (&cluster.region, &cluster.stage);
        let keys = self.agents();
        let token =
            keys.cluster_user(&cluster.name, place.0, place.1, &key, issued_s, expires_s)?;
        Ok(Minted {
            token,
            issued_s,
            expires_s,
        })
    }

    /// A token's user, until the token ends.
    pub(crate) fn enrolment(
        &self,
        cluster: &ClusterName,
        bus_key: &str,
        expires_ms: u64,
    ) -> Result<Jwt, Error> {
        let key = PublicKey::parse(bus_key)?;
        let (issued_s, latest_s) = life(roles::ENROLMENT_LIFE_MAX_S);
        let expires_s = (expires_ms / 1_000).clamp(issued_s + 1, latest_s);
        Ok(self
            .agents()
            .enrolment_user(cluster, &key, issued_s, expires_s)?)
    }

    /// The user by which a cluster asks without a secret: nobody has its seed, and nobody needs it.
    pub(crate) fn request(&self, cluster: &ClusterName) -> Result<Jwt, Error> {
        let key = identity::UserKey::generate().public();
        let (issued_s, expires_s) = life(roles::REQUEST_LIFE_MAX_S);
        Ok(self
            .agents()
            .request_user(cluster, &key, issued_s, expires_s)?)
    }
}

/// From now on.
fn life(life_s: u64) -> (u64, u64) {
    let now_s = now_s();
    (now_s, now_s + life_s)
}

#[cfg(test)]
mod tests {
    use writ_core::enrol::CREDENTIALS_LIFE_MAX_MS;

    use super::*;

    #[test]
    fn a_revoked_key_is_remembered_for_as_long_as_its_credentials_may_live() {
        const { assert!(CREDENTIALS_LIFE_MAX_MS >= roles::CLUSTER_LIFE_MAX_S * 1_000) };
    }
}
