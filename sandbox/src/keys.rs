//! The keys of a fleet before enrolment exists: the offline key, one signing key and one bus
//! key per publisher, two pairs per cluster, and the trust bundle under the offline key. All
//! are made anew for each fleet and lie in files that only their owner can read.

use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use rand::TryRng;
use rand::rngs::SysRng;
use writ_bus::config::{ClusterUser, PublicKey as BusPublicKey, PublisherUser};
use writ_core::envelope::{PublicKey, SigningKey};
use writ_core::epoch::Record;
use writ_core::name::{ClusterName, Name, Region, Stage};
use writ_proto::trust::{self, TrustBundle};

use crate::files;

/// Why keys could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    Random(#[source] rand::rngs::SysError),
    /// A bus key could not be made.
    #[error("could not make a key for the bus")]
    Bus(#[source] nkeys::error::Error),
    /// The bus does not take the key.
    #[error("the bus does not take a key that was made for it")]
    BusKey(#[source] writ_bus::identity::KeyError),
    /// A name that is part of the fleet is not valid.
    #[error("a name of the fleet is not valid")]
    Name(#[from] writ_core::name::Error),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] files::Error),
}

/// A user's key pair on the bus.
#[derive(Debug)]
pub(crate) struct BusKey {
    /// The private seed, `SU…`.
    pub(crate) seed: String,
    /// The public half, `U…`.
    pub(crate) public: BusPublicKey,
}

impl BusKey {
    /// Makes a pair and writes the seed.
    pub(crate) fn make(path: &Path) -> Result<Self, Error> {
        let pair = nkeys::KeyPair::new_user();
        let seed = pair.seed().map_err(Error::Bus)?;
        files::write(path, &seed)?;
        let public = BusPublicKey::parse(&pair.public_key()).map_err(Error::BusKey)?;
        Ok(Self { seed, public })
    }
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
    pub(crate) user: PublisherUser,
    pub(crate) signing_file: PathBuf,
    pub(crate) bus_file: PathBuf,
    pub(crate) trust_file: PathBuf,
}

impl PublisherKeys {
    /// Makes the offline key with its record of epochs, the publisher's two keys and the trust bundle
    /// in `folder`.
    pub(crate) fn make(name: &str, folder: &Path) -> Result<Self, Error> {
        let signing_file = folder.join(format!("{name}.signing"));
        let bus_file = folder.join(format!("{name}.seed"));
        let trust_file = folder.join("trust");
        let offline = signing_key(&folder.join("offline.signing"))?;
        let publishers = vec![signing_key(&signing_file)?.public()];
        let bundle = TrustBundle::first(publishers);
        files::write(&trust_file, trust::to_file(&bundle, &offline))?;
        files::write(&folder.join("offline.epochs"), Record::new().to_string())?;
        let key = BusKey::make(&bus_file)?.public;
        let user = PublisherUser {
            name: Name::parse(name)?,
            key,
        };
        Ok(Self {
            user,
            signing_file,
            bus_file,
            trust_file,
        })
    }
}

/// A cluster's keys, as its subscriber finds them.
#[derive(Debug)]
pub(crate) struct ClusterKeys {
    pub(crate) user: ClusterUser,
    pub(crate) ack: PublicKey,
    /// Holds `bus.seed` and `ack.seed`.
    pub(crate) folder: PathBuf,
}

impl ClusterKeys {
    /// Makes both pairs in `folder`.
    pub(crate) fn make(
        name: ClusterName,
        region: Region,
        stage: Stage,
        folder: &Path,
    ) -> Result<Self, Error> {
        let key = BusKey::make(&folder.join("bus.seed"))?.public;
        let ack = signing_key(&folder.join("ack.seed"))?.public();
        let user = ClusterUser {
            name,
            region,
            stage,
            key,
        };
        Ok(Self {
            user,
            ack,
            folder: folder.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trust_file_names_the_publisher_and_two_clusters_share_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let publisher = PublisherKeys::make("publisher-1", folder.path()).unwrap();
        let file = std::fs::read(&publisher.trust_file).unwrap();
        let bundle = trust::Trust::from_file(&file).unwrap().bundle;
        let seed = std::fs::read_to_string(&publisher.signing_file).unwrap();
        assert!(bundle.is_active(&SigningKey::from_base64(&seed).unwrap().public()));

        let keys = ["eu-prod-1", "us-prod-1"].map(|name| {
            let region = Region::parse(&name[..2]).unwrap();
            let stage = Stage::parse("prod").unwrap();
            let folder = folder.path().join(name);
            ClusterKeys::make(ClusterName::parse(name).unwrap(), region, stage, &folder).unwrap()
        });
        assert_ne!(keys[0].user.key, keys[1].user.key);
        assert_ne!(keys[0].ack, keys[1].ack);
    }
}
