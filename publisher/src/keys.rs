//! What is done with keys beside a publisher that runs: making one, and signing bundles offline.
//!
//! Promises: a key file is for its owner alone and never replaces another one; a bundle is only ever
//! signed upon one that the same offline key signed. Never sends anything.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use data_encoding::BASE64;
use rand::{TryRng as _, rngs::SysRng};
use writ_bus::secret;
use writ_core::{
    envelope::{self, KeyId, SigningKey},
    trust::{Bundle, Error as BundleError},
};
use writ_proto::{log::OpenError, trust::Trust};
use zeroize::Zeroizing;

use crate::track;

/// Why something was not done with keys.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key file can't be read.
    #[error(transparent)]
    Secret(#[from] secret::Error),
    /// What is in a key file.
    #[error("{} holds no key (32 bytes in base64)", .path.display())]
    Key {
        /// Which.
        path: PathBuf,
        /// Why.
        source: envelope::Error,
    },
    /// A key file can't be made.
    #[error("can't make the key file {}", .path.display())]
    Make {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    Random(#[source] rand::rngs::SysError),
    /// No trust file.
    #[error("it holds no trust bundle that its offline key signed")]
    Trust(#[source] OpenError),
    /// Another offline key.
    #[error("{} is not the offline key that the trust file names", .0.display())]
    OfflineKey(PathBuf),
    /// The bundle can't follow.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Not the short name of a key.
    #[error("{0:?} is no key id: 16 hexadecimal digits, as `writ keys list` shows them")]
    NotAKeyId(String),
}

/// Makes a signing key in a file that does not exist yet.
///
/// # Errors
/// [`Error`]: nothing was made.
pub fn make(path: &Path) -> Result<SigningKey, Error> {
    let mut seed = Zeroizing::new([0; 32]);
    SysRng
        .try_fill_bytes(seed.as_mut_slice())
        .map_err(Error::Random)?;
    let text = Zeroizing::new(BASE64.encode(seed.as_slice()));
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
    made.map_err(|source| Error::Make {
        path: path.to_owned(),
        source,
    })?;
    Ok(SigningKey::from_seed(&seed))
}

/// Reads a signing key.
///
/// # Errors
/// [`Error`].
pub fn read(path: &Path) -> Result<SigningKey, Error> {
    SigningKey::from_base64(&secret::read(path)?).map_err(|source| Error::Key {
        path: path.to_owned(),
        source,
    })
}

/// Signs the bundle that follows the one of a trust file.
///
/// # Errors
/// [`Error`] where the offline key is another one, or no such bundle can follow.
pub fn sign_next(
    file: &[u8],
    offline_key_file: &Path,
    next: impl FnOnce(&Bundle) -> Result<Bundle, Error>,
) -> Result<Trust, Error> {
    let trust = Trust::from_file(file).map_err(Error::Trust)?;
    let offline = read(offline_key_file)?;
    if offline.public() != trust.offline {
        return Err(Error::OfflineKey(offline_key_file.to_owned()));
    }
    Ok(Trust::sign(next(&trust.bundle)?, &offline))
}

/// Reads the short name of a key.
///
/// # Errors
/// [`Error::NotAKeyId`].
pub fn key_id(text: &str) -> Result<KeyId, Error> {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes());
    let id = bytes.ok().and_then(|bytes| KeyId::from_slice(&bytes));
    id.ok_or_else(|| Error::NotAKeyId(text.to_owned()))
}

/// The wall clock, milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    track::wall_ms()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_file_is_its_owners_alone_and_replaces_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing");
        let key = make(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap().public(), key.public());
        assert!(matches!(make(&path), Err(Error::Make { .. })));
        assert_eq!(
            key_id(&key.public().id().to_string()).unwrap(),
            key.public().id()
        );
        assert!(key_id("12").is_err() && key_id("zz").is_err());
    }

    #[test]
    fn only_the_offline_key_of_a_trust_file_signs_what_follows_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let offline = make(&path("offline")).unwrap();
        make(&path("other")).unwrap();
        let old = make(&path("old")).unwrap();
        let new = make(&path("new")).unwrap();
        let file = writ_proto::trust::to_file(&Bundle::first([old.public()]), &offline);
        let with_new = |bundle: &Bundle| Ok(bundle.with(new.public(), "p", 1)?);
        let signed = sign_next(&file, &path("offline"), with_new).unwrap();
        assert_eq!(signed.bundle.version, 2);
        let by_other = sign_next(&file, &path("other"), with_new);
        assert!(matches!(by_other, Err(Error::OfflineKey(_))));
    }
}
