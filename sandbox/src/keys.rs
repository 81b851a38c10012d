//! The keys of a fleet: the offline key, one signing key and one bus identity per publisher, and the
//! trust bundle under the offline key. Clusters make their own. All are made anew for each fleet and lie in files that only their owner can read.

use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use rand::TryRng;
use rand::rngs::SysRng;
use writ_bus::identity::{Credentials, KeyError, PublicKey as BusPublicKey, Role};
use writ_core::envelope::SigningKey;
use writ_core::epoch::Record;
use writ_core::name::Name;
use writ_proto::trust::{self, TrustBundle};

use crate::files;
use crate::identity::{self, BusKeys};

/// Why keys could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    Random(#[source] rand::rngs::SysError),
    /// An identity on the bus could not be made.
    #[error(transparent)]
    Identity(#[from] identity::Error),
    /// The bus does not take the key.
    #[error("the bus does not take a key that was made for it")]
    BusKey(#[source] KeyError),
    /// A name that is part of the fleet is not valid.
    #[error("a name of the fleet is not valid")]
    Name(#[from] writ_core::name::Error),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] files::Error),
}

/// Writes credentials where their user finds them, and gives the user's key.
pub(crate) fn keep(path: &Path, credentials: &Credentials) -> Result<BusPublicKey, Error> {
    files::write(path, credentials.to_file().as_bytes())?;
    BusPublicKey::parse(&credentials.summary().key).map_err(Error::BusKey)
}

/// An Ed25519 key whose seed is written as base64.
fn signing_key(path: &Path) -> Result<SigningKey, Error> {
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).map_err(Error::Random)?;
    files::write(path, BASE64.encode(&seed))?;
    Ok(SigningKey::from_seed(&seed))
}

/// A publisher's keys, and the trust file that names its signing key.
#[derive(Debug)]
pub(crate) struct PublisherKeys {
    pub(crate) signing_file: PathBuf,
    pub(crate) bus_file: PathBuf,
    pub(crate) trust_file: PathBuf,
    /// Holds what lets clusters in and cuts them off.
    pub(crate) registrar_folder: PathBuf,
}

impl PublisherKeys {
    /// Makes the offline key with its record of epochs, the publisher's two keys and the trust bundle
    /// in `folder`, with the bus's keys.
    pub(crate) fn make(bus: &BusKeys, name: &str, folder: &Path) -> Result<Self, Error> {
        let signing_file = folder.join(format!("{name}.signing"));
        let bus_file = folder.join(format!("{name}.creds"));
        let trust_file = folder.join("trust");
        let offline = signing_key(&folder.join("offline.signing"))?;
        let publishers = vec![signing_key(&signing_file)?.public()];
        let bundle = TrustBundle::first(publishers);
        files::write(&trust_file, trust::to_file(&bundle, &offline))?;
        files::write(&folder.join("offline.epochs"), Record::new().to_string())?;
        keep(&bus_file, &bus.publisher(&Name::parse(name)?)?)?;
        let registrar_folder = folder.join("registrar");
        bus.store(&folder.join("operator"), &registrar_folder)?;
        let registrar = bus.user(&Role::Registrar)?;
        keep(
            &registrar_folder.join(writ_bus::identity::folder::REGISTRAR),
            &registrar,
        )?;
        Ok(Self {
            signing_file,
            bus_file,
            trust_file,
            registrar_folder,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trust_file_names_the_publisher() {
        let folder = tempfile::tempdir().unwrap();
        let bus = BusKeys::generate(&[]).unwrap();
        let publisher = PublisherKeys::make(&bus, "publisher-1", folder.path()).unwrap();
        let file = std::fs::read(&publisher.trust_file).unwrap();
        let bundle = trust::Trust::from_file(&file).unwrap().bundle;
        let seed = std::fs::read_to_string(&publisher.signing_file).unwrap();
        assert!(bundle.is_active(&SigningKey::from_base64(&seed).unwrap().public()));
    }
}
