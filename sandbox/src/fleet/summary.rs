//! What is said of a fleet that is ready: where everything listens and lies. Also the form of
//! the `ready` file, from which a detached sandbox is described.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Fleet;

/// A fleet that is ready.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Summary {
    /// The state folder.
    pub dir: PathBuf,
    /// The publisher's API, `https://127.0.0.1:PORT`.
    pub address: String,
    /// The dashboard, `http://127.0.0.1:PORT`.
    pub dashboard: String,
    /// The bus, `nats://127.0.0.1:PORT`.
    pub bus_url: String,
    /// A context of an administrator per cluster.
    pub kubeconfig: PathBuf,
    /// A file to source.
    pub env: PathBuf,
    /// The clusters in the order of their names.
    pub clusters: Vec<ClusterSummary>,
}

/// A cluster that is ready.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClusterSummary {
    /// Its name, also that of its kubeconfig context.
    pub name: String,
    /// The URLs of its API servers.
    pub endpoints: Vec<String>,
}

impl Fleet {
    /// Where everything listens and lies.
    pub fn summary(&self) -> Summary {
        let clusters = self.clusters().map(|cluster| ClusterSummary {
            name: cluster.name().to_owned(),
            endpoints: cluster.endpoints().map(str::to_owned).collect(),
        });
        Summary {
            dir: self.dir().to_owned(),
            address: self.address().to_owned(),
            dashboard: self.dashboard().to_owned(),
            bus_url: self.bus_url().to_owned(),
            kubeconfig: self.kubeconfig_file(),
            env: self.env_file(),
            clusters: clusters.collect(),
        }
    }
}
