//! What a connection shows to the server, each time that it connects.
//!
//! Promises: what is shown is the newest: a file is read again, and credentials that were renewed are
//! taken, whenever the connection is made anew.
//! Never: keeps a seed longer than it takes to sign the server's nonce, where it is read from a file.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_nats::{Auth, AuthError};
use tokio::sync::watch;

use crate::{
    identity::{Credentials, CredentialsError},
    secret,
};

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be read, or is not its owner's alone.
    #[error(transparent)]
    Read(#[from] secret::Error),
    /// The file holds none.
    #[error("can't use the credentials {}", .0.display())]
    Credentials(PathBuf, #[source] CredentialsError),
}

/// Where a connection's credentials come from.
#[derive(Debug, Clone)]
pub enum Login {
    /// A file, which is read at each connection.
    File(PathBuf),
    /// Whatever was last put there.
    Latest(watch::Receiver<Arc<Credentials>>),
}

impl Login {
    /// Credentials that stay as they are.
    pub fn of(credentials: Credentials) -> Login {
        Login::Latest(watch::channel(Arc::new(credentials)).1)
    }

    /// The credentials as they are now.
    pub fn read(&self) -> Result<Arc<Credentials>, Error> {
        match self {
            Login::File(path) => read(path).map(Arc::new),
            Login::Latest(latest) => Ok(Arc::clone(&latest.borrow())),
        }
    }

    /// The answer to a server's nonce.
    pub(crate) fn answer(&self, nonce: &[u8]) -> Result<Auth, AuthError> {
        let credentials = self.read().map_err(AuthError::new)?;
        let mut auth = Auth::new();
        auth.signature = credentials.sign(nonce);
        auth.jwt = Some(credentials.token().to_string());
        Ok(auth)
    }
}

fn read(path: &Path) -> Result<Credentials, Error> {
    let text = secret::read(path)?;
    Credentials::parse(&text).map_err(|source| Error::Credentials(path.to_owned(), source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{UserKey, folder, generate};
    use writ_core::name::Name;

    #[test]
    fn a_file_is_read_again_and_renewed_credentials_are_taken() {
        let (_, _, operator) = generate();
        let name = Name::parse("publisher-1").unwrap();
        let made = |life_s| {
            let key = UserKey::generate();
            let token = operator.publisher_user(&name, &key.public(), 1, 1 + life_s);
            Credentials::new(&token.unwrap(), Some(key)).unwrap()
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bus.creds");
        let login = Login::File(path.clone());
        assert!(matches!(login.read(), Err(Error::Read(..))));
        for life_s in [10, 20] {
            folder::write_credentials(&path, &made(life_s)).unwrap();
            let read = login.read().unwrap();
            assert_eq!(read.summary().expires_s, Some(1 + life_s));
        }
        std::fs::write(&path, "SUSECRET").unwrap();
        let error = login.read().unwrap_err();
        assert!(!format!("{error:?}").contains("SUSECRET"));

        let (sender, latest) = watch::channel(Arc::new(made(10)));
        let login = Login::Latest(latest);
        sender.send(Arc::new(made(30))).unwrap();
        assert_eq!(login.read().unwrap().summary().expires_s, Some(31));
    }
}
