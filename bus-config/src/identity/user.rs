//! Users as tokens.
//!
//! Promises: names and tags are of checked types, so that none can be a wildcard; a token ends, and
//! not later than its role allows; it grants what its role does and nothing of its own.

use serde::Serialize;
use writ_core::name::{ClusterName, Region, Stage};

use super::{
    Error,
    jwt::{Claims, Jwt, VERSION},
    key::{AccountKey, Pair, PublicKey},
    roles::Role,
};
use crate::accounts::INBOX_WORDS;

#[derive(Serialize)]
struct User<'a> {
    issuer_account: &'a AccountKey,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(rename = "type")]
    kind: &'static str,
    version: u8,
}

/// From when until when, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) issued_s: u64,
    pub(super) expires_s: u64,
}

impl Life {
    fn check(self, role: &Role) -> Result<(), Error> {
        let life_s = self.expires_s.checked_sub(self.issued_s);
        match life_s {
            Some(life_s) if life_s > 0 && life_s <= role.life_max_s() => Ok(()),
            _ => Err(Error::Life {
                role: role.word(),
                max_s: role.life_max_s(),
            }),
        }
    }
}

/// Signs a user of a role. The caller has taken name and tags from checked types.
pub(super) fn sign(
    role: &Role,
    (account, signer): (&AccountKey, &Pair),
    name: &str,
    tags: Vec<String>,
    key: &PublicKey,
    life: Life,
) -> Result<Jwt, Error> {
    life.check(role)?;
    let claims = Claims {
        subject: key.to_string(),
        name: name.to_owned(),
        issued_s: life.issued_s,
        expires_s: Some(life.expires_s),
        nats: User {
            issuer_account: account,
            tags,
            kind: "user",
            version: VERSION,
        },
    };
    Ok(claims.sign(signer))
}

/// Signs a cluster's user.
pub(super) fn cluster(
    account: (&AccountKey, &Pair),
    (name, region, stage): (&ClusterName, &Region, &Stage),
    key: &PublicKey,
    life: Life,
) -> Result<Jwt, Error> {
    if INBOX_WORDS.contains(&region.as_str()) {
        return Err(Error::Reserved(region.clone()));
    }
    let tags = vec![format!("region:{region}"), format!("stage:{stage}")];
    sign(&Role::Cluster, account, name.as_str(), tags, key, life)
}
