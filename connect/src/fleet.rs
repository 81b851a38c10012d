//! The file that describes a fleet to those who use it: where its publishers are, whom to believe that
//! they are it, and how to say who one is.
//!
//! Holds no secret itself: keys and tokens are in files of their own, named here.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::pem;

/// A fleet, as its users see it. Paths that are not absolute are beside the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fleet {
    /// The publishers, as HOST:PORT, with commas between them.
    pub address: String,
    /// The authority of the publishers' certificates; without it, those of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The name that the publishers' certificates are for, where it is not the host of the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// A client certificate, by which a machine says who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<PathBuf>,
    /// Its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// A file with a token, read at every start: a service token, or one that a platform renews.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Where people log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Login>,
}

/// An issuer at which people log in from a terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Login {
    /// Its URL, as it stands in its tokens.
    pub issuer: String,
    /// What it knows the command line as.
    pub client_id: String,
    /// What is asked of it; without it, `openid profile email offline_access`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<String>,
    /// The authority of its certificate; without it, those of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// Why a fleet's file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file.
    #[error(transparent)]
    File(#[from] pem::Error),
    /// What it holds.
    #[error("{} does not describe a fleet: {why}", .path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong about it.
        why: String,
    },
}

impl Fleet {
    /// Reads a fleet's file.
    ///
    /// # Errors
    /// It can't be read, or says something else than a fleet.
    pub fn read(path: &Path) -> Result<Fleet, Error> {
        let wrong = |why: String| Error::Content {
            path: path.to_owned(),
            why,
        };
        let bytes = pem::read(path)?;
        let text = String::from_utf8(bytes).map_err(|_| wrong("it is not text".to_owned()))?;
        let fleet: Fleet = serde_saphyr::from_str(&text).map_err(|error| {
            let text = error.to_string();
            wrong(text.lines().next().unwrap_or_default().to_owned())
        })?;
        if fleet.certificate_file.is_some() != fleet.key_file.is_some() {
            return Err(wrong("certificateFile and keyFile go together".to_owned()));
        }
        Ok(fleet.beside(path.parent().unwrap_or(Path::new("."))))
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        serde_saphyr::to_string(self).unwrap_or_default()
    }

    fn beside(mut self, folder: &Path) -> Fleet {
        let login = self.login.as_mut();
        let files = [
            &mut self.ca_file,
            &mut self.certificate_file,
            &mut self.key_file,
            &mut self.token_file,
        ];
        let files = files
            .into_iter()
            .chain(login.map(|login| &mut login.ca_file));
        for file in files.flatten() {
            *file = folder.join(&*file);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_is_read_with_its_files_beside_it_and_what_is_not_known_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleet.yaml");
        std::fs::write(
            &path,
            "address: a:1,b:2\ncaFile: ca.pem\ntokenFile: /run/token\n",
        )
        .unwrap();
        let fleet = Fleet::read(&path).unwrap();
        assert_eq!(fleet.address, "a:1,b:2");
        assert_eq!(fleet.ca_file, Some(folder.path().join("ca.pem")));
        assert_eq!(fleet.token_file, Some(PathBuf::from("/run/token")));
        std::fs::write(&path, fleet.to_text()).unwrap();
        assert_eq!(Fleet::read(&path).unwrap(), fleet);
        for wrong in [
            "address: a:1\ninsecure: true\n",
            "caFile: ca.pem\n",
            "address: a:1\nkeyFile: a.key\n",
        ] {
            std::fs::write(&path, wrong).unwrap();
            assert!(
                matches!(Fleet::read(&path), Err(Error::Content { .. })),
                "{wrong}"
            );
        }
    }
}
