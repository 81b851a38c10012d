//! How the subscriber reaches its API server: a kubeconfig, or an address, a CA and a token that is
//! renewed in its file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig, KubeconfigError};

/// A connection that takes longer is given up: the next attempt may meet a healthy API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the API server is and how to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// The current context of a kubeconfig.
    Kubeconfig(PathBuf),
    /// The three things that a ServiceAccount needs. CA and token are read again when their files
    /// change (within a minute).
    Token {
        /// URL of the API server.
        server: String,
        /// PEM file of the CA.
        ca_file: PathBuf,
        /// File of the bearer token.
        token_file: PathBuf,
    },
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig cannot be read, or lacks something.
    #[error("read the kubeconfig {0}")]
    Kubeconfig(PathBuf, #[source] Box<KubeconfigError>),
    /// The API server's address is not a URL.
    #[error("the API server's address {0:?} is not a URL")]
    Server(String, #[source] http::uri::InvalidUri),
    /// The credentials or the CA cannot be used.
    #[error("make a client for {0}")]
    Client(String, #[source] Box<kube::Error>),
}

/// Makes a client; does not connect yet.
pub async fn client(access: &Access) -> Result<kube::Client, Error> {
    let mut config = match access {
        Access::Kubeconfig(path) => from_kubeconfig(path).await?,
        Access::Token {
            server,
            ca_file,
            token_file,
        } => {
            let uri = server
                .parse()
                .map_err(|cause| Error::Server(server.clone(), cause))?;
            let mut config = kube::Config::new(uri);
            config.root_cert_file = Some(ca_file.clone());
            let token_file = Some(token_file.to_string_lossy().into_owned());
            config.auth_info = AuthInfo {
                token_file,
                ..AuthInfo::default()
            };
            config
        }
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // A creation that is repeated after a lost answer would find its own object and call it foreign.
    config.default_retry = false;
    let server = config.cluster_url.to_string();
    kube::Client::try_from(config).map_err(|cause| Error::Client(server, Box::new(cause)))
}

async fn from_kubeconfig(path: &Path) -> Result<kube::Config, Error> {
    let refuse = |cause| Error::Kubeconfig(path.to_owned(), Box::new(cause));
    let kubeconfig = Kubeconfig::read_from(path).map_err(refuse)?;
    let options = KubeConfigOptions::default();
    kube::Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(refuse)
}
