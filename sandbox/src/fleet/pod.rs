//! The pod of an applied Deployment, as far as a process needs one: its arguments, variables and mounts.
//!
//! Nothing schedules pods here, so that the sandbox does for one container what a kubelet would: reads
//! the Deployment from the cluster, puts ConfigMaps, Secrets and the account's token where they are
//! mounted, and keeps them as the cluster has them. Owns no decision: what runs is what was applied.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Container, PodSpec, Secret, Volume};
use kube::Client;
use kube::api::Api;
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::files;

const NAMESPACE: &str = "writ-system";
const DEPLOYMENT: &str = "writ-subscriber";

/// The ConfigMap that a controller puts into every namespace of a real cluster; here nobody does.
const ROOT_CA: &str = "kube-root-ca.crt";

/// How a pod names its cluster's API server; there is no DNS here.
const API_SERVER: &str = "https://kubernetes.default.svc";

/// What a container listens on, and what it does here.
const ANY_ADDRESS: &str = "0.0.0.0";
const OWN_ADDRESS: &str = "127.0.0.1:0";

/// Between two looks at what is mounted; a kubelet takes up to a minute.
const MOUNT_PERIOD: Duration = Duration::from_secs(2);

/// Why a Deployment can't be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The cluster was asked, and refused.
    #[error("could not read {what} of {NAMESPACE}")]
    Read {
        /// What.
        what: String,
        /// What the API server answered.
        source: kube::Error,
    },
    /// The Deployment has no container.
    #[error("the Deployment {DEPLOYMENT} has no container")]
    NoContainer,
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] files::Error),
}

/// A container that can be started.
#[derive(Debug)]
pub(super) struct Pod {
    /// Its arguments, with variables put in and mounts where they are on this machine.
    pub(super) args: Vec<String>,
    mounts: JoinHandle<()>,
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.mounts.abort();
    }
}

struct Reader {
    client: Client,
    folder: PathBuf,
    authority_file: PathBuf,
    token_file: PathBuf,
    spec: PodSpec,
}

impl Pod {
    /// Reads the Deployment that was applied, and mounts what it names below `folder`.
    pub(super) async fn read(cluster: &Cluster, folder: &Path) -> Result<Pod, Error> {
        let client = cluster.client().clone();
        let deployments = Api::<Deployment>::namespaced(client.clone(), NAMESPACE);
        let found = deployments.get(DEPLOYMENT).await;
        let found = found.map_err(|source| read(format!("Deployment {DEPLOYMENT}"), source))?;
        let spec = found.spec.and_then(|spec| spec.template.spec);
        let spec = spec.ok_or(Error::NoContainer)?;
        let container = spec.containers.first().ok_or(Error::NoContainer)?.clone();
        let reader = Reader {
            client,
            folder: folder.join("mounts"),
            authority_file: cluster.authority_file().to_owned(),
            token_file: cluster.token_file().to_owned(),
            spec,
        };
        reader.mount().await?;
        let variables = reader.variables(&container, cluster.name()).await?;
        let endpoint = cluster.endpoints().next().unwrap_or_default().to_owned();
        let args = container.args.iter().flatten();
        let args = args
            .map(|arg| {
                let arg = variables.iter().fold(arg.clone(), |arg, (name, value)| {
                    arg.replace(&format!("$({name})"), value)
                });
                let arg = arg.replace(API_SERVER, &endpoint);
                let arg = listen_here(&container, arg);
                reader.locate(&container, &arg)
            })
            .collect();
        let mounts = tokio::spawn(async move {
            loop {
                tokio::time::sleep(MOUNT_PERIOD).await;
                if let Err(error) = reader.mount().await {
                    tracing::debug!(error = &error as &dyn std::error::Error, "not mounted anew");
                }
            }
        });
        Ok(Pod { args, mounts })
    }
}

impl Pod {
    /// Nothing is mounted any more when this returns: the folder may go.
    pub(super) async fn end(&self) {
        self.mounts.abort();
        while !self.mounts.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Every pod has an address of its own, and here all share this machine's: a port of the container becomes a free
/// one of loopback. Nobody probes it here; where it is, is said by its file.
fn listen_here(container: &Container, arg: String) -> String {
    let ports = container.ports.iter().flatten();
    ports.fold(arg, |arg, port| {
        let there = format!("={ANY_ADDRESS}:{}", port.container_port);
        match arg.strip_suffix(&there) {
            Some(name) => format!("{name}={OWN_ADDRESS}"),
            None => arg,
        }
    })
}

fn read(what: String, source: kube::Error) -> Error {
    Error::Read { what, source }
}

impl Reader {
    async fn config_map(&self, name: &str) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let api = Api::<ConfigMap>::namespaced(self.client.clone(), NAMESPACE);
        let found = api.get_opt(name).await;
        let found = found.map_err(|source| read(format!("ConfigMap {name}"), source))?;
        let found = found.unwrap_or_default();
        let texts = found.data.unwrap_or_default().into_iter();
        let texts = texts.map(|(key, text)| (key, text.into_bytes()));
        let binary = found.binary_data.unwrap_or_default().into_iter();
        Ok(texts
            .chain(binary.map(|(key, bytes)| (key, bytes.0)))
            .collect())
    }

    async fn secret(&self, name: &str) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let api = Api::<Secret>::namespaced(self.client.clone(), NAMESPACE);
        let found = api.get_opt(name).await;
        let found = found.map_err(|source| read(format!("Secret {name}"), source))?;
        let data = found.unwrap_or_default().data.unwrap_or_default();
        Ok(data
            .into_iter()
            .map(|(key, bytes)| (key, bytes.0))
            .collect())
    }

    async fn variables(
        &self,
        container: &Container,
        pod: &str,
    ) -> Result<BTreeMap<String, String>, Error> {
        let mut variables = BTreeMap::new();
        for variable in container.env.iter().flatten() {
            let source = variable.value_from.as_ref();
            let key = source.and_then(|source| source.config_map_key_ref.as_ref());
            let value = match (&variable.value, key) {
                (Some(value), _) => value.clone(),
                (None, Some(key)) => {
                    let held = self.config_map(&key.name).await?;
                    let value = held.get(&key.key).map(Vec::as_slice).unwrap_or_default();
                    String::from_utf8_lossy(value).into_owned()
                }
                // The one field that is asked for is the pod's name.
                (None, None) => pod.to_owned(),
            };
            variables.insert(variable.name.clone(), value);
        }
        Ok(variables)
    }

    /// Where a path of the container is on this machine.
    fn locate(&self, container: &Container, arg: &str) -> String {
        let mounts = container.volume_mounts.iter().flatten();
        mounts.fold(arg.to_owned(), |arg, mount| {
            let here = self.folder.join(&mount.name);
            arg.replace(&mount.mount_path, &here.to_string_lossy())
        })
    }

    /// Puts everything that is mounted where it belongs, as the cluster has it now.
    async fn mount(&self) -> Result<(), Error> {
        for volume in self.spec.volumes.iter().flatten() {
            let folder = self.folder.join(&volume.name);
            files::make_folder(&folder)?;
            let content = self.content(volume, &folder).await?;
            for (name, bytes) in &content {
                let path = folder.join(name);
                if std::fs::read(&path).ok().as_deref() != Some(bytes.as_slice()) {
                    files::write(&path, bytes)?;
                }
            }
        }
        Ok(())
    }

    async fn content(
        &self,
        volume: &Volume,
        folder: &Path,
    ) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let mut content = BTreeMap::new();
        if let Some(of) = &volume.config_map {
            content.extend(self.config_map(&of.name).await?);
        }
        if let Some(name) = volume
            .secret
            .as_ref()
            .and_then(|of| of.secret_name.as_ref())
        {
            content.extend(self.secret(name).await?);
        }
        let sources = volume
            .projected
            .iter()
            .flat_map(|of| of.sources.iter().flatten());
        for source in sources {
            if let Some(token) = &source.service_account_token {
                // Kept fresh where it is.
                link(&self.token_file, &folder.join(&token.path))?;
            }
            match &source.config_map {
                Some(of) if of.name == ROOT_CA => {
                    link(&self.authority_file, &folder.join("ca.crt"))?;
                }
                Some(of) => content.extend(self.config_map(&of.name).await?),
                None => {}
            }
            if let Some(of) = &source.secret {
                content.extend(self.secret(&of.name).await?);
            }
        }
        Ok(content)
    }
}

fn link(target: &Path, link: &Path) -> Result<(), files::Error> {
    if std::fs::read_link(link).ok().as_deref() == Some(target) {
        return Ok(());
    }
    files::remove(link)?;
    std::os::unix::fs::symlink(target, link).map_err(|error| files::Error::new("make", link, error))
}
