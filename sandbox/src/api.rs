//! Who may call a publisher's API on this machine: an authority of its own, the publisher's certificate,
//! and an administrator's client certificate, as files that only their owner can read.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::KeyPair;
use tonic::transport::Channel;
use writ_connect::{Fleet, Way, channel};
use writ_core::access::ADMINISTRATORS;

use crate::cluster::certs::{self, Authority, Identity};
use crate::files;

/// The administrator's name.
const ADMINISTRATOR: &str = "sandbox-admin";

/// Why there is no way to the API.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Certificates could not be made.
    #[error(transparent)]
    Certificates(#[from] certs::Error),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] files::Error),
    /// A key that was made can't be read again.
    #[error("can't read {}", .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What was made is not taken.
    #[error("the way to the publisher can't be used")]
    Way(#[from] channel::Error),
}

/// The certificates of one API, and the files that they are in.
pub struct ApiKeys {
    folder: PathBuf,
    authority: Authority,
}

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKeys")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl ApiKeys {
    /// Makes all of them in a folder.
    pub fn make(folder: &Path) -> Result<ApiKeys, Error> {
        let authority = certs::authority("writ-sandbox API")?;
        let serving = certs::serving(&authority, "writ-publisher")?;
        files::write(&folder.join("ca.pem"), authority.pem())?;
        let keys = ApiKeys {
            folder: folder.to_owned(),
            authority,
        };
        keys.write("serving", &serving)?;
        keys.user(ADMINISTRATOR, Some(ADMINISTRATORS))?;
        Ok(keys)
    }

    /// Makes a client certificate for somebody, and says what a fleet's file says for them.
    pub fn user(&self, name: &str, group: Option<&str>) -> Result<Fleet, Error> {
        let identity = certs::client(&self.authority, name, group)?;
        self.write(name, &identity)?;
        Ok(self.shows(name))
    }

    /// The same, with a certificate that ended years ago.
    pub fn former_user(&self, name: &str) -> Result<Fleet, Error> {
        let identity = certs::expired_client(&self.authority, name)?;
        self.write(name, &identity)?;
        Ok(self.shows(name))
    }

    /// Writes the list of revoked client certificates, those of these users, and says where it is.
    pub fn revoke(&self, number: u64, users: &[&str]) -> Result<PathBuf, Error> {
        let key = |user: &&str| {
            let path = self.file(&format!("{user}.key"));
            let text = std::fs::read_to_string(&path);
            let text = text.map_err(|source| Error::Read { path, source })?;
            Ok(KeyPair::from_pem(&text).map_err(certs::Error::from)?)
        };
        let keys: Result<Vec<KeyPair>, Error> = users.iter().map(key).collect();
        let list = certs::revocations(&self.authority, number, &keys?)?;
        let path = self.file("revoked.pem");
        files::write(&path, list)?;
        Ok(path)
    }

    fn write(&self, name: &str, identity: &Identity) -> Result<(), Error> {
        files::write(&self.file(&format!("{name}.pem")), &identity.certificate)?;
        files::write(&self.file(&format!("{name}.key")), &identity.key)?;
        Ok(())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What a publisher is started with, to serve with these.
    pub fn arguments(&self) -> Vec<OsString> {
        let files = [
            ("tls-cert-file", "serving.pem"),
            ("tls-key-file", "serving.key"),
            ("client-ca-file", "ca.pem"),
        ];
        let argument = |(name, file): (&str, &str)| {
            let mut argument = OsString::from(format!("--{name}="));
            argument.push(self.file(file));
            argument
        };
        files.map(argument).into()
    }

    /// The fleet's file for the administrator; the address is one or several, with commas between them.
    pub fn administrator(&self, address: &str) -> Fleet {
        Fleet {
            address: address.to_owned(),
            ..self.shows(ADMINISTRATOR)
        }
    }

    /// What a fleet's file says for somebody who shows no certificate.
    pub fn nobody(&self, address: &str) -> Fleet {
        Fleet {
            address: address.to_owned(),
            ca_file: Some(self.file("ca.pem")),
            ..Fleet::default()
        }
    }

    fn shows(&self, name: &str) -> Fleet {
        Fleet {
            ca_file: Some(self.file("ca.pem")),
            certificate_file: Some(self.file(&format!("{name}.pem"))),
            key_file: Some(self.file(&format!("{name}.key"))),
            ..Fleet::default()
        }
    }

    /// A channel of the administrator's that connects when it is used, and again when it broke.
    pub fn channel(
        &self,
        address: &str,
        call_time_max: Option<Duration>,
    ) -> Result<Channel, Error> {
        channel_of(&self.administrator(address), call_time_max)
    }
}

/// A channel of whoever a fleet's file is for, that connects when it is used, and again when it broke.
pub fn channel_of(fleet: &Fleet, call_time_max: Option<Duration>) -> Result<Channel, Error> {
    let way = Way::of(fleet)?;
    let endpoint = way.endpoint();
    let endpoint = match call_time_max {
        Some(time) => endpoint.timeout(time),
        None => endpoint,
    };
    Ok(endpoint.connect_with_connector_lazy(way.connector()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn every_file_is_for_its_owner_alone_and_the_authoritys_key_is_in_none() {
        let folder = tempfile::tempdir().unwrap();
        let keys = ApiKeys::make(folder.path()).unwrap();
        Way::of(&keys.administrator("127.0.0.1:1")).unwrap();
        let files: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .collect();
        assert_eq!(files.len(), 5);
        for file in files {
            let mode = file.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{:?}", file.path());
        }
    }
}
