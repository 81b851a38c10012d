//! Keys in folders: the registrar's, and the operator's, who is offline.
//!
//! Promises: a folder is its owner's alone (0700), a file too (0600), and appears whole. What is read is
//! checked against the realm beside it, so that keys of two buses are never mixed.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::secret;

use super::{
    credentials::Credentials,
    jwt::Jwt,
    key::{self, Kind, Pair},
    operator::OperatorKeys,
    realm::Realm,
    registrar::{AgentsKeys, RegistrarKeys},
    roles::Role,
};

/// Who is who. No secret.
pub const REALM: &str = "realm.json";

/// The registrar's credentials, in its folder.
pub const REGISTRAR: &str = "registrar.creds";

/// The operator's token, for the servers' configurations. No secret.
const OPERATOR_TOKEN: &str = "operator.jwt";

const OPERATOR: &str = "operator.seed";
const OPERATOR_SIGNING: &str = "operator-signing.seed";

/// Why keys were not read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system.
    #[error("can't {action} {}", .path.display())]
    File {
        /// What.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of the folder is not its owner's alone, or can't be read.
    #[error(transparent)]
    Secret(#[from] secret::Error),
    /// Not a realm.
    #[error("{} does not say who is who on a bus", .path.display())]
    Realm {
        /// Where.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// Not a seed.
    #[error("{} holds no key that can be used", .path.display())]
    Seed {
        /// Where.
        path: PathBuf,
        /// Why.
        source: key::Error,
    },
    /// A seed of another bus, or of another role.
    #[error("{} is not the key that {REALM} beside it names", .0.display())]
    OtherKey(PathBuf),
    /// A token that is none.
    #[error("{} holds no token", .0.display())]
    Token(PathBuf),
}

/// Writes a file for its owner alone; whoever reads it sees the old or the new, and never a part.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    secret::replace(path, text).map_err(|source| Error::File {
        action: "write",
        path: path.to_owned(),
        source,
    })
}

/// Writes credentials into a file.
pub fn write_credentials(path: &Path, credentials: &Credentials) -> Result<(), Error> {
    write(path, &credentials.to_file())
}

/// One folder with keys.
struct Folder<'a>(&'a Path);

impl Folder<'_> {
    fn make(&self) -> Result<(), Error> {
        secret::make_folder(self.0).map_err(|source| Error::File {
            action: "make",
            path: self.0.to_owned(),
            source,
        })
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        write(&self.0.join(name), text)
    }

    fn read(&self, name: &str) -> Result<Zeroizing<String>, Error> {
        Ok(secret::read(&self.0.join(name))?)
    }

    fn realm(&self) -> Result<Realm, Error> {
        serde_json::from_str(&self.read(REALM)?).map_err(|source| Error::Realm {
            path: self.0.join(REALM),
            source,
        })
    }

    fn write_realm(&self, realm: &Realm) -> Result<(), Error> {
        // Strings and maps of them: there is nothing in them that could fail.
        self.write(
            REALM,
            &serde_json::to_string_pretty(realm).unwrap_or_default(),
        )
    }

    /// Reads a seed, whose public half is known.
    fn pair(&self, name: &str, kind: Kind, public: &str) -> Result<Pair, Error> {
        let path = self.0.join(name);
        let of = |name: &str| {
            Pair::from_seed(kind, &self.read(name)?).map_err(|source| Error::Seed {
                path: self.0.join(name),
                source,
            })
        };
        let pair = of(name)?;
        if pair.public() == public {
            return Ok(pair);
        }
        // A replacement that ended after the realm was written: the seed that it names lies here.
        let next = next_of(name);
        match of(&next) {
            Ok(pair) if pair.public() == public => {
                self.rename(&next, name)?;
                Ok(pair)
            }
            _ => Err(Error::OtherKey(path)),
        }
    }

    /// Writes seeds and who is who, so that a process which ends in between leaves behind a folder that
    /// can be read: with the keys from before, or with these.
    fn write_keys(
        &self,
        seeds: &[(String, Zeroizing<String>)],
        realm: &Realm,
    ) -> Result<(), Error> {
        self.make()?;
        let is_first = !self.0.join(REALM).exists();
        let mut replaced = Vec::new();
        for (name, seed) in seeds {
            if is_first || !self.0.join(name).exists() {
                self.write(name, seed)?;
            } else if self.read(name)?.trim() != seed.trim() {
                self.write(&next_of(name), seed)?;
                replaced.push(name);
            }
        }
        self.write_realm(realm)?;
        for name in replaced {
            self.rename(&next_of(name), name)?;
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), Error> {
        let path = self.0.join(to);
        fs::rename(self.0.join(from), &path).map_err(|source| Error::File {
            action: "replace",
            path,
            source,
        })
    }
}

/// Where a seed waits for the realm that names it.
fn next_of(name: &str) -> String {
    format!("{name}.next")
}

fn seed_file(role: &Role) -> String {
    format!("{}.seed", role.label())
}

impl AgentsKeys {
    /// Reads the keys of a registrar's folder that sign clusters, without the operator's.
    pub fn load(folder: &Path) -> Result<AgentsKeys, Error> {
        let folder = Folder(folder);
        AgentsKeys::read(&folder, &folder.realm()?)
    }

    fn read(folder: &Folder<'_>, realm: &Realm) -> Result<AgentsKeys, Error> {
        let signer =
            |role: &Role, public: &str| folder.pair(&seed_file(role), Kind::Account, public);
        Ok(AgentsKeys {
            account: realm.agents.clone(),
            cluster: signer(&Role::Cluster, realm.signers.cluster.as_str())?,
            enrolment: signer(&Role::Enrolment, realm.signers.enrolment.as_str())?,
            request: signer(&Role::Request, realm.signers.request.as_str())?,
        })
    }
}

impl RegistrarKeys {
    /// Writes the keys into a folder.
    pub fn store(&self, folder: &Path) -> Result<(), Error> {
        let mut seeds = vec![(OPERATOR_SIGNING.to_owned(), self.operator.seed())];
        for (role, pair) in [
            (Role::Cluster, &self.agents.cluster),
            (Role::Enrolment, &self.agents.enrolment),
            (Role::Request, &self.agents.request),
        ] {
            seeds.push((seed_file(&role), pair.seed()));
        }
        Folder(folder).write_keys(&seeds, &self.realm)
    }

    /// Reads the keys that [`RegistrarKeys::store`] wrote.
    pub fn load(folder: &Path) -> Result<RegistrarKeys, Error> {
        let folder = Folder(folder);
        let realm = folder.realm()?;
        let agents = AgentsKeys::read(&folder, &realm)?;
        let public = realm.operator_signing.as_str();
        Ok(RegistrarKeys {
            operator: folder.pair(OPERATOR_SIGNING, Kind::Operator, public)?,
            agents,
            realm,
        })
    }
}

impl OperatorKeys {
    /// Writes the keys into a folder, and the operator's token beside them.
    pub fn store(&self, folder: &Path, issued_s: u64) -> Result<(), Error> {
        let folder = Folder(folder);
        let mut seeds = vec![(OPERATOR.to_owned(), self.root.seed())];
        for (role, pair) in &self.signers {
            seeds.push((seed_file(role), pair.seed()));
        }
        folder.write_keys(&seeds, &self.realm)?;
        folder.write(OPERATOR_TOKEN, self.operator(issued_s).as_str())
    }

    /// Reads the keys that [`OperatorKeys::store`] wrote.
    pub fn load(folder: &Path) -> Result<OperatorKeys, Error> {
        let folder = Folder(folder);
        let realm = folder.realm()?;
        let mut roles = vec![
            Role::Publisher,
            Role::Installer,
            Role::Backup,
            Role::Registrar,
            Role::ClaimsLink,
        ];
        for region in realm.leafs.keys() {
            roles.push(Role::Link(region.clone()));
            roles.push(Role::LeafInstaller(region.clone()));
        }
        let mut signers = std::collections::BTreeMap::new();
        for role in roles {
            let name = seed_file(&role);
            // Each of these roles is one of the realm's.
            let Ok((_, public)) = realm.signer(&role) else {
                return Err(Error::OtherKey(folder.0.join(name)));
            };
            let pair = folder.pair(&name, Kind::Account, public.as_str())?;
            signers.insert(role, pair);
        }
        Ok(OperatorKeys {
            root: folder.pair(OPERATOR, Kind::Operator, realm.operator.as_str())?,
            signers,
            realm,
        })
    }
}

/// Reads the operator's token from the operator's folder.
pub fn operator_token(folder: &Path) -> Result<Jwt, Error> {
    let text = Folder(folder).read(OPERATOR_TOKEN)?;
    let token = text.trim();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if token.is_empty() || !token.bytes().all(plain) {
        return Err(Error::Token(folder.join(OPERATOR_TOKEN)));
    }
    Ok(Jwt(token.to_owned()))
}
