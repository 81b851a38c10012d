//! One Kubernetes cluster of the fleet: one or two API servers over a prefix of the shared
//! etcd, their controllers, what Writ needs installed there, and the subscriber's token.
//! Promises that a started cluster serves, has working controllers and established
//! definitions, and enforces the ceiling. Never runs pods.

pub(crate) mod access;
mod api_server;
mod ceiling;
pub(crate) mod certs;
mod controllers;
mod install;
mod token;

use std::path::{Path, PathBuf};

use access::Access;
use api_server::ApiServer;
use certs::Certificates;
use controllers::Controllers;
use kube::Client;
use token::TokenFile;

use crate::parts::Parts;
use crate::process::Launcher;
use crate::{files, process};

/// Why a cluster did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// One of its processes did not.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// Its certificates could not be made.
    #[error(transparent)]
    Certificates(#[from] certs::Error),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] files::Error),
    /// The kubeconfig could not be built.
    #[error("could not build a kubeconfig")]
    Kubeconfig(#[source] serde_json::Error),
    /// The kubeconfig could not be used.
    #[error("could not use the kubeconfig")]
    ReadKubeconfig(#[from] kube::config::KubeconfigError),
    /// No client could be made.
    #[error("could not make a client for the API server")]
    Client(#[source] kube::Error),
    /// A manifest of `deploy/` is not readable.
    #[error("{file} is not readable")]
    Manifest {
        /// The file.
        file: &'static str,
        /// What is wrong with it.
        source: Box<serde_saphyr::Error>,
    },
    /// An object of `deploy/` was refused.
    #[error("could not apply {object} of {file}")]
    Install {
        /// Kind and name.
        object: String,
        /// The file that it comes from.
        file: &'static str,
        /// What the API server answered.
        source: kube::Error,
    },
    /// A definition is not served in time.
    #[error("the definition {name} was not established within {limit_s} s")]
    NotEstablished {
        /// The definition.
        name: String,
        /// The limit, in seconds.
        limit_s: u64,
    },
    /// The ceiling is not in force in time.
    #[error("an API server did not enforce the ceiling within {limit_s} s")]
    NotEnforced {
        /// The limit, in seconds.
        limit_s: u64,
    },
    /// The subscriber's token was refused.
    #[error("could not get a token for the subscriber's account")]
    Token(#[source] kube::Error),
    /// The answer held no token.
    #[error("the API server answered a token request without a token")]
    NoToken,
}

/// What the parts of a cluster start with.
pub(crate) struct Context<'a> {
    pub(crate) launcher: &'a Launcher,
    pub(crate) parts: &'a Parts,
    /// The client URL of the shared etcd.
    pub(crate) etcd: &'a str,
    pub(crate) name: &'a str,
    /// The cluster's own folder.
    pub(crate) folder: &'a Path,
    /// The folder of all logs.
    pub(crate) logs: &'a Path,
}

/// A running cluster. Dropping it kills its processes.
#[derive(Debug)]
pub struct Cluster {
    name: String,
    authority_file: PathBuf,
    authority: String,
    api_servers: Vec<ApiServer>,
    controllers: Controllers,
    token: TokenFile,
}

impl Cluster {
    /// Starts `api_servers` API servers (at least one) side by side and everything else.
    pub(crate) async fn start(context: Context<'_>, api_servers: usize) -> Result<Self, Error> {
        let certificates = Certificates::make(context.name, &context.folder.join("pki"))?;
        let starts = (1..=api_servers.max(1)).map(|number| {
            let (context, certificates) = (&context, &certificates);
            async move {
                let suffix = if number == 1 {
                    String::new()
                } else {
                    format!("-{number}")
                };
                let name = format!("kube-apiserver{suffix} {}", context.name);
                let log = context.log(&format!("kube-apiserver{suffix}"));
                ApiServer::start(context, certificates, &name, &log).await
            }
        });
        let api_servers = futures::future::try_join_all(starts).await?;
        let Some(first) = api_servers.first().map(|server| server.access.clone()) else {
            unreachable!("at least one API server was started")
        };
        let log = context.log("kube-controller-manager");
        let (controllers, token) = tokio::try_join!(
            Controllers::start(&context, &certificates, &first, &log),
            async {
                install::install(&first.client).await?;
                let enforced = api_servers
                    .iter()
                    .map(|server| ceiling::enforced(&server.access.client));
                futures::future::try_join_all(enforced).await?;
                TokenFile::keep(&first.client, context.folder.join("subscriber/token")).await
            }
        )?;
        Ok(Self {
            name: context.name.to_owned(),
            authority_file: certificates.authority_file(),
            authority: certificates.authority,
            api_servers,
            controllers,
            token,
        })
    }

    /// The cluster's name, which is also the name of its kubeconfig context.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The URLs of its API servers; the first is written to.
    pub fn endpoints(&self) -> impl Iterator<Item = &str> {
        self.api_servers
            .iter()
            .map(|server| server.access.url.as_str())
    }

    /// An administrator's client per API server, in the order of `endpoints`.
    pub fn clients(&self) -> impl Iterator<Item = &Client> {
        self.api_servers.iter().map(|server| &server.access.client)
    }

    /// The administrator's client of the first API server.
    pub fn client(&self) -> &Client {
        &self.first().client
    }

    /// The certificate authority of its API servers, in PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The file that holds the certificate authority.
    pub fn authority_file(&self) -> &Path {
        &self.authority_file
    }

    /// The file with the subscriber's token, kept fresh.
    pub fn token_file(&self) -> &Path {
        self.token.path()
    }

    /// Applies a manifest as the administrator, as `kubectl apply --server-side` does.
    pub async fn apply(&self, manifest: &str) -> Result<(), Error> {
        install::apply_manifest(self.client(), manifest).await
    }

    /// The administrator's kubeconfig for this cluster alone.
    pub fn kubeconfig(&self) -> Result<String, Error> {
        access::render(&[self.entry()], &self.name)
    }

    /// Stops the time of its API servers (SIGSTOP): connections stand, and nobody answers.
    pub async fn pause_api_servers(&self) {
        for server in &self.api_servers {
            server.pause().await;
        }
    }

    /// Lets them go on.
    pub async fn resume_api_servers(&self) {
        for server in &self.api_servers {
            server.resume().await;
        }
    }

    /// Kills its API servers (SIGKILL); etcd and the controllers go on.
    pub async fn kill_api_servers(&self) {
        for server in &self.api_servers {
            server.kill().await;
        }
    }

    /// Starts them again, on the same addresses and what etcd holds by now; returns when they are ready.
    pub async fn start_api_servers(&mut self) -> Result<(), Error> {
        for server in &mut self.api_servers {
            server.start_again().await?;
        }
        Ok(())
    }

    pub(crate) fn entry(&self) -> access::Entry {
        self.first().entry()
    }

    /// Ends its processes, side by side.
    pub(crate) async fn stop(&self) {
        let servers = self.api_servers.iter().map(ApiServer::stop);
        tokio::join!(self.controllers.stop(), futures::future::join_all(servers));
    }

    fn first(&self) -> &Access {
        &self.api_servers[0].access
    }
}

impl Context<'_> {
    fn log(&self, part: &str) -> PathBuf {
        self.logs.join(format!("{}.{part}.log", self.name))
    }
}
