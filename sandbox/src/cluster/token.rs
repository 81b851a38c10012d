//! The subscriber's token: asked for by TokenRequest, written to a file, and asked for again
//! at half of its life, so that a running subscriber never holds one that has expired.

use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::task::JoinHandle;

use super::Error;
use crate::files;

/// Where Writ lives in a cluster.
const NAMESPACE: &str = "writ-system";
/// The subscriber's account.
const ACCOUNT: &str = "writ-subscriber";

/// A token's life. The API server refuses less than ten minutes.
const LIFE: Duration = Duration::from_secs(3600);
/// Between attempts while the API server does not answer.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// A token file that is kept fresh; dropping it ends that.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    renewal: JoinHandle<()>,
}

impl TokenFile {
    /// Writes a first token and keeps the file fresh from then on.
    pub(super) async fn keep(client: &Client, path: PathBuf) -> Result<Self, Error> {
        request(client, &path).await?;
        let renewal = tokio::spawn(renew(client.clone(), path.clone()));
        Ok(Self { path, renewal })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

async fn renew(client: Client, path: PathBuf) {
    loop {
        tokio::time::sleep(LIFE / 2).await;
        while let Err(error) = request(&client, &path).await {
            tracing::warn!(path = %path.display(), %error, "could not renew the subscriber's token");
            tokio::time::sleep(RETRY_DELAY).await;
        }
    }
}

async fn request(client: &Client, path: &Path) -> Result<(), Error> {
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), NAMESPACE);
    let wanted = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: i64::try_from(LIFE.as_secs()).ok(),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let answer = accounts
        .create_token_request(ACCOUNT, &PostParams::default(), &wanted)
        .await;
    let status = answer.map_err(Error::Token)?.status;
    let token = status
        .and_then(|status| status.token)
        .ok_or(Error::NoToken)?;
    Ok(files::write(path, token)?)
}
