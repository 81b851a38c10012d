//! What can go wrong with a fleet.

use std::path::PathBuf;

use thiserror::Error;
use writ_core::name::ClusterName;

use super::pod;
use crate::{api, bus, cluster, files, keys, parts, process};

/// Why a fleet, or one of its members, is not as it should be.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The real parts are neither there nor could be built.
    #[error(transparent)]
    Parts(#[from] parts::Error),
    /// The fleet did not start; everything was ended again.
    #[error("the fleet did not start; its state and logs are kept in {folder}", folder = folder.display())]
    Start {
        /// Where they are.
        folder: PathBuf,
        /// Why it did not.
        source: Box<Error>,
    },
    /// A file could not be written or read.
    #[error(transparent)]
    File(#[from] files::Error),
    /// Keys could not be made.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// The bus is not as it should be.
    #[error(transparent)]
    Bus(#[from] bus::Error),
    /// A cluster did not start.
    #[error("the cluster {name} did not start")]
    Cluster {
        /// Which one.
        name: String,
        /// Why.
        source: Box<cluster::Error>,
    },
    /// A kubeconfig could not be written.
    #[error("could not write the kubeconfig of the fleet")]
    Kubeconfig(#[source] Box<cluster::Error>),
    /// A process did not start or serve.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// The launcher does not know the executable that has publisher and subscriber in it.
    #[error("a fleet needs the writ executable: make the launcher with Launcher::writ")]
    NoWrit,
    /// There is no way to the publisher's API.
    #[error(transparent)]
    Api(#[from] api::Error),
    /// The publisher refused or did not answer.
    #[error("the publisher did not {action} the cluster {name}: {}", .source.message())]
    Registry {
        /// What was asked.
        action: &'static str,
        /// Of which cluster.
        name: String,
        /// What it answered.
        source: Box<tonic::Status>,
    },
    /// `writ cluster add` failed, or its manifest could not be applied.
    #[error("the cluster {name} could not join: {said}")]
    Join {
        /// Which one.
        name: String,
        /// What was said.
        said: String,
    },
    /// The applied Deployment can't be run.
    #[error("the subscriber of {name} can't be run")]
    Pod {
        /// Of which cluster.
        name: String,
        /// Why.
        source: pod::Error,
    },
    /// The fleet has no cluster of that name.
    #[error("the fleet has no cluster {name}; it has {}", .names.join(", "))]
    UnknownCluster {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        names: Vec<String>,
    },
    /// Another sandbox uses the folder.
    #[error("another sandbox runs in {}; end it with `writ sandbox down --dir {}`", .0.display(), .0.display())]
    InUse(PathBuf),
    /// The folder holds something that no sandbox has made.
    #[error("{} is not empty and no sandbox made it; name an empty folder", .0.display())]
    Foreign(PathBuf),
}

impl Error {
    pub(super) fn unknown<'a>(
        name: &ClusterName,
        names: impl Iterator<Item = &'a ClusterName>,
    ) -> Self {
        let names = names.map(ToString::to_string).collect();
        Self::UnknownCluster {
            name: name.to_string(),
            names,
        }
    }
}
