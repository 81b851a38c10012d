//! The keys of this cluster, where they are kept: in the Secret `writ-system/writ-keys`, or in a folder.

use std::{
    io,
    path::{Path, PathBuf},
};

use data_encoding::BASE64;
use rand::TryRng as _;
use serde_json::{Value, json};
use writ_bus::secret;
use writ_core::{
    enrol::nkey,
    envelope::SigningKey,
    model::{ClusterKeys, ObjectRef},
};
use zeroize::Zeroizing;

use super::Error;
use crate::{
    cluster::ClusterApi,
    resource::{SECRETS, SYSTEM_NAMESPACE},
};

/// Name of the Secret. It is part of the installation, and only ever updated.
const SECRET: &str = "writ-keys";

const BUS: &str = "bus.seed";
const ACK: &str = "ack.seed";
const CREDENTIALS: &str = "bus.creds";

/// Both pairs. Has no `Debug`.
#[derive(Clone)]
pub(crate) struct Keys {
    /// The seed of its user on the bus, `SU…`.
    pub(crate) bus_seed: Zeroizing<String>,
    pub(crate) bus: SigningKey,
    pub(crate) ack: SigningKey,
    /// What the user shows to the bus, as a credentials file; nothing before it enrolled.
    pub(crate) credentials: Option<Zeroizing<String>>,
}

impl Keys {
    /// The public halves.
    pub(crate) fn public(&self) -> ClusterKeys {
        ClusterKeys {
            bus: nkey::public_text(&self.bus.public()),
            ack: self.ack.public().to_base64(),
        }
    }
}

/// Where they are kept.
pub(crate) enum KeyStore<C> {
    /// Files that only their owner can read.
    Folder(PathBuf),
    /// The Secret.
    Secret(C),
}

impl<C: ClusterApi> KeyStore<C> {
    fn place(&self) -> String {
        match self {
            KeyStore::Folder(folder) => folder.display().to_string(),
            KeyStore::Secret(_) => format!("Secret {SYSTEM_NAMESPACE}/{SECRET}"),
        }
    }

    fn failed(&self, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::Keys(self.place(), Box::new(cause))
    }

    /// The keys that are there; makes and keeps both where there is none.
    pub(crate) async fn load(&self) -> Result<Keys, Error> {
        let texts = match self {
            KeyStore::Folder(folder) => in_folder(folder)?,
            KeyStore::Secret(api) => {
                let found = self.found(api).await?;
                [BUS, ACK, CREDENTIALS].map(|name| entry(&found, name))
            }
        };
        let [bus, ack, credentials] = texts;
        let credentials = credentials.filter(|text| !text.is_empty());
        // Whoever was given credentials in a file has the seed in it.
        let bus = bus.or_else(|| Some(Zeroizing::new(seed_in(credentials.as_ref()?)?.to_owned())));
        match (bus, ack) {
            (Some(bus_seed), Some(ack)) => Ok(Keys {
                bus: nkey::seed(&bus_seed).ok_or_else(|| Error::NoKey(BUS, self.place()))?,
                ack: SigningKey::from_base64(&ack).map_err(|_| Error::NoKey(ACK, self.place()))?,
                bus_seed,
                credentials,
            }),
            (None, None) => self.make().await,
            _ => Err(Error::HalfKeys(self.place())),
        }
    }

    /// Makes and keeps keys, in place of those that are there.
    pub(crate) async fn make(&self) -> Result<Keys, Error> {
        let (bus, ack) = (random()?, random()?);
        let texts = [
            (BUS, nkey::seed_text(&bus)),
            (ACK, Zeroizing::new(BASE64.encode(&*ack))),
            (CREDENTIALS, Zeroizing::default()),
        ];
        self.keep(&texts).await?;
        let keys = Keys {
            bus_seed: texts[0].1.clone(),
            bus: SigningKey::from_seed(&bus),
            ack: SigningKey::from_seed(&ack),
            credentials: None,
        };
        tracing::info!(place = self.place(), "this cluster has made its keys");
        Ok(keys)
    }

    /// Keeps credentials beside the keys.
    pub(crate) async fn keep_credentials(&self, credentials: &str) -> Result<(), Error> {
        let text = Zeroizing::new(credentials.to_owned());
        self.keep(&[(CREDENTIALS, text)]).await
    }

    async fn keep(&self, texts: &[(&str, Zeroizing<String>)]) -> Result<(), Error> {
        match self {
            KeyStore::Folder(folder) => {
                secret::make_folder(folder).map_err(|cause| self.failed(cause))?;
                for (name, text) in texts {
                    let written = secret::replace(&folder.join(name), text);
                    written.map_err(|cause| self.failed(cause))?;
                }
            }
            KeyStore::Secret(api) => {
                let mut found = self.found(api).await?;
                for (name, text) in texts {
                    found["data"][*name] = json!(BASE64.encode(text.as_bytes()));
                }
                // Over the very state that was read: of two that make keys, one finds the other's.
                let written = api.replace(&reference(), &found).await;
                written.map_err(|cause| self.failed(cause))?;
            }
        }
        Ok(())
    }

    async fn found(&self, api: &C) -> Result<Value, Error> {
        let found = api.get(&reference()).await;
        let found = found.map_err(|cause| self.failed(cause))?;
        found.ok_or_else(|| {
            self.failed(io::Error::new(
                io::ErrorKind::NotFound,
                "it is missing: apply the subscriber's manifest",
            ))
        })
    }
}

/// Looks whether the keys in a folder, if there are any, are for nobody else: needs neither the bus nor the
/// API server.
///
/// # Errors
/// [`Error::Keys`]: others may read one, or it can't be read.
pub(crate) fn check(folder: &Path) -> Result<(), Error> {
    in_folder(folder).map(drop)
}

fn in_folder(folder: &Path) -> Result<[Option<Zeroizing<String>>; 3], Error> {
    let read = |name: &str| {
        let failed = |cause| Error::Keys(folder.display().to_string(), Box::new(cause));
        read(&folder.join(name)).map_err(failed)
    };
    Ok([read(BUS)?, read(ACK)?, read(CREDENTIALS)?])
}

/// The seed in a credentials file.
fn seed_in(credentials: &str) -> Option<&str> {
    credentials
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with("SU"))
}

fn reference() -> ObjectRef {
    SECRETS.reference(Some(SYSTEM_NAMESPACE), SECRET)
}

fn random() -> Result<Zeroizing<[u8; 32]>, Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::rngs::SysRng
        .try_fill_bytes(bytes.as_mut_slice())
        .map_err(Error::Random)?;
    Ok(bytes)
}

fn entry(secret: &Value, name: &str) -> Option<Zeroizing<String>> {
    let bytes = BASE64
        .decode(secret["data"][name].as_str()?.as_bytes())
        .ok()?;
    String::from_utf8(bytes).ok().map(Zeroizing::new)
}

fn read(path: &Path) -> Result<Option<Zeroizing<String>>, secret::Error> {
    match secret::read(path) {
        Ok(text) => Ok(Some(text)),
        Err(secret::Error::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;
    use crate::fake::Fake;

    #[tokio::test]
    async fn keys_are_made_once_and_nobody_else_reads_them() {
        let folder = std::env::temp_dir().join(format!("writ-keys-{}", uuid::Uuid::new_v4()));
        let store: KeyStore<Fake> = KeyStore::Folder(folder.clone());
        let made = store.load().await.unwrap();
        store.keep_credentials("creds").await.unwrap();
        let again = store.load().await.unwrap();
        assert_eq!(again.public(), made.public());
        assert_eq!(
            again.credentials.as_ref().map(|it| it.as_str()),
            Some("creds")
        );
        for name in [BUS, ACK, CREDENTIALS] {
            let mode = fs::metadata(folder.join(name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        fs::remove_file(folder.join(ACK)).unwrap();
        assert!(matches!(store.load().await, Err(Error::HalfKeys(_))));
        fs::remove_dir_all(folder).unwrap();
    }
}
