//! How a cluster of the sandbox joins: by the manifest that `writ cluster add` prints, applied to it.
//! There is no other way, for the sandbox either.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;
use writ_core::name::{ClusterName, Region, Stage};

use super::Error;
use crate::cluster::Cluster;

/// Shown as the reason of the edits.
const REASON: &str = "a cluster of the sandbox";

/// Which cluster, and where it belongs.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) name: ClusterName,
    pub(super) region: Region,
    pub(super) stage: Stage,
}

/// Registers the cluster, and applies what is printed for it.
pub(super) async fn join(
    writ: &Path,
    fleet_file: &Path,
    place: &Place,
    cluster: &Cluster,
    bus_url: &str,
) -> Result<(), Error> {
    let output = Command::new(writ)
        .env_remove("WRIT_ADDRESS")
        .env("WRIT_FLEET", fleet_file)
        .args(["cluster", "add", place.name.as_str()])
        .args(["--region", place.region.as_str()])
        .args(["--stage", place.stage.as_str()])
        .args(["--labels", "provider=sandbox", "--reason", REASON])
        .args(["--nats-url", bus_url])
        .args(
            cluster
                .endpoints()
                .take(1)
                .flat_map(|url| ["--endpoint", url]),
        )
        .arg("--endpoint-ca-file")
        .arg(cluster.authority_file())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    let failed = |said: String| Error::Join {
        name: place.name.to_string(),
        said,
    };
    let output = output.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let manifest = String::from_utf8_lossy(&output.stdout);
    cluster
        .apply(&manifest)
        .await
        .map_err(|source| Error::Cluster {
            name: place.name.to_string(),
            source: Box::new(source),
        })
}
