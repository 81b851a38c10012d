//! The Kubernetes side of a fleet: one etcd and the clusters over it. Usable without a bus,
//! by tests that need real API servers alone.

use std::path::{Path, PathBuf};

use crate::cluster::{self, Cluster, Context};
use crate::etcd::Etcd;
use crate::parts::Parts;
use crate::process::{self, Launcher};

/// A running etcd, ready for clusters. Dropping it kills etcd.
#[derive(Debug)]
pub struct Kubernetes {
    launcher: Launcher,
    parts: Parts,
    folder: PathBuf,
    etcd: Etcd,
}

impl Kubernetes {
    /// Starts etcd; all state and logs are kept in `folder`.
    pub async fn start(
        launcher: &Launcher,
        parts: &Parts,
        folder: &Path,
    ) -> Result<Self, process::Error> {
        let log = folder.join("logs/etcd.log");
        let etcd = Etcd::start(launcher, parts, &folder.join("etcd"), &log).await?;
        let (launcher, parts, folder) = (launcher.clone(), parts.clone(), folder.to_owned());
        Ok(Self {
            launcher,
            parts,
            folder,
            etcd,
        })
    }

    /// Starts a cluster with `api_servers` API servers, at least one. Several can be started
    /// side by side; a name must be used once only, as it is the prefix in etcd.
    pub async fn cluster(&self, name: &str, api_servers: usize) -> Result<Cluster, cluster::Error> {
        let (folder, logs) = (self.cluster_folder(name), self.folder.join("logs"));
        let context = Context {
            launcher: &self.launcher,
            parts: &self.parts,
            etcd: self.etcd.endpoint(),
            name,
            folder: &folder,
            logs: &logs,
        };
        Cluster::start(context, api_servers).await
    }

    /// Where the etcd of all clusters is asked; a cluster's keys begin with `/<name>/`.
    pub fn etcd_endpoint(&self) -> &str {
        self.etcd.endpoint()
    }

    /// Ends etcd. The clusters are ended before, by whoever holds them.
    pub async fn stop(&self) {
        self.etcd.stop().await;
    }

    /// Where a cluster's own files are.
    pub(crate) fn cluster_folder(&self, name: &str) -> PathBuf {
        self.folder.join("clusters").join(name)
    }
}
