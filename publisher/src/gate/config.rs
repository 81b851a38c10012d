//! The file that says which issuers' tokens are taken, and what of them counts.
//!
//! Promises that an issuer without an audience, with an unsafe URL, or with a prefix that another has is
//! refused at the start.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use writ_connect::{https, pem};

/// Issuers of one publisher.
const ISSUERS_MAX: usize = 32;

/// What the file says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Authentication {
    /// Whose tokens are taken.
    #[serde(default)]
    pub(crate) issuers: Vec<Issuer>,
}

/// One issuer of ID tokens: of a company's people, or of a platform's pipelines.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Issuer {
    /// Exactly as `iss` in its tokens; its discovery document is below it.
    pub(crate) issuer: String,
    /// One of them must be in `aud`.
    pub(crate) audiences: Vec<String>,
    /// Where its keys are, if it has no discovery document.
    pub(crate) keys: Option<String>,
    /// The authority of its certificate; without it, those of this machine.
    pub(crate) ca_file: Option<PathBuf>,
    /// The claim that is the user's name.
    #[serde(default = "default_user_claim")]
    pub(crate) user_claim: String,
    /// What is put before the name, so that names of several issuers can't meet.
    #[serde(default)]
    pub(crate) user_prefix: String,
    /// The claim that holds the user's groups.
    pub(crate) groups_claim: Option<String>,
    /// What is put before each of them.
    #[serde(default)]
    pub(crate) group_prefix: String,
    /// Groups of everybody whom it vouches for.
    #[serde(default)]
    pub(crate) groups: BTreeSet<String>,
    /// How it signs people in to the dashboard, if it does.
    pub(crate) dashboard: Option<Pages>,
    /// Claims that must hold one of the values listed; one set of them must fit. None: all tokens are
    /// taken.
    #[serde(default)]
    pub(crate) conditions: Vec<BTreeMap<String, Vec<String>>>,
}

/// The dashboard, as an issuer knows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Pages {
    /// Its name there, which is among the audiences.
    pub(crate) client_id: String,
    /// A file with its secret there, if it has one.
    pub(crate) client_secret_file: Option<PathBuf>,
    /// What is asked for.
    #[serde(default = "default_scopes")]
    pub(crate) scopes: String,
}

fn default_scopes() -> String {
    "openid profile email".to_owned()
}

fn default_user_claim() -> String {
    "sub".to_owned()
}

/// Why the file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't be read.
    #[error(transparent)]
    File(#[from] pem::Error),
    /// It says something else.
    #[error("{}: {why}", .path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl Authentication {
    /// Reads the file; paths in it are beside it.
    pub(crate) fn read(path: &Path) -> Result<Authentication, Error> {
        let wrong = |why: String| Error::Content {
            path: path.to_owned(),
            why,
        };
        let bytes = pem::read(path)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong("is not text".to_owned()))?;
        let mut read: Authentication =
            serde_saphyr::from_str(text).map_err(|error| wrong(error.to_string()))?;
        read.check().map_err(wrong)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        for issuer in &mut read.issuers {
            let pages = issuer.dashboard.as_mut();
            let secret = pages.and_then(|pages| pages.client_secret_file.as_mut());
            for file in issuer.ca_file.as_mut().into_iter().chain(secret) {
                *file = folder.join(&*file);
            }
        }
        Ok(read)
    }

    fn check(&self) -> Result<(), String> {
        if self.issuers.len() > ISSUERS_MAX {
            return Err(format!("has more than {ISSUERS_MAX} issuers"));
        }
        let mut urls = BTreeSet::new();
        let mut prefixes = BTreeSet::new();
        for issuer in &self.issuers {
            let name = &issuer.issuer;
            if !https::is_safe(name) {
                return Err(format!("issuer `{name}` is no https:// URL"));
            }
            if let Some(keys) = issuer.keys.as_ref().filter(|keys| !https::is_safe(keys)) {
                return Err(format!("keys `{keys}` of {name} is no https:// URL"));
            }
            if issuer.audiences.is_empty() || issuer.audiences.iter().any(String::is_empty) {
                // A token for somebody else would be taken.
                return Err(format!("issuer {name} has no audiences"));
            }
            let is_unheard = |pages: &Pages| !issuer.audiences.contains(&pages.client_id);
            if let Some(pages) = issuer.dashboard.as_ref().filter(|pages| is_unheard(pages)) {
                return Err(format!(
                    "dashboard.clientId `{}` of {name} is none of its audiences: no token that it gets would be taken",
                    pages.client_id
                ));
            }
            if issuer.conditions.iter().any(BTreeMap::is_empty) {
                return Err(format!(
                    "issuer {name} has a condition that asks for nothing"
                ));
            }
            if !urls.insert(name) {
                return Err(format!("issuer {name} stands there twice"));
            }
            if !prefixes.insert((&issuer.user_prefix, "user")) {
                let why = "two issuers have the same userPrefix: a user of one could be taken for another's";
                return Err(why.to_owned());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Authentication, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("authentication.yaml");
        std::fs::write(&path, text).unwrap();
        Authentication::read(&path)
    }

    #[test]
    fn an_issuer_is_read_and_its_dangerous_neighbours_are_refused() {
        let good =
            "issuers:\n- issuer: https://a.example\n  audiences: [writ]\n  groupsClaim: groups\n";
        let read_good = read(good).unwrap();
        assert_eq!(read_good.issuers[0].user_claim, "sub");
        for (wrong, why) in [
            (
                "issuers:\n- issuer: https://a.example\n  audiences: []\n",
                "no audiences",
            ),
            (
                "issuers:\n- issuer: http://a.example\n  audiences: [writ]\n",
                "no https://",
            ),
            (
                "issuers:\n- {issuer: https://a.example, audiences: [writ]}\n- {issuer: https://b.example, audiences: [writ]}\n",
                "same userPrefix",
            ),
            (
                "issuers:\n- {issuer: https://a.example, audiences: [writ], conditions: [{}]}\n",
                "asks for nothing",
            ),
            (
                "issuers:\n- {issuer: https://a.example, audiences: [writ], dashboard: {clientId: other}}\n",
                "none of its audiences",
            ),
            (
                "issuers:\n- {issuer: https://a.example, audiences: [writ], skipVerify: true}\n",
                "skipVerify",
            ),
        ] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
