//! A region's leaf node: a nats-server of its own for the region's clusters, with a mirror of what
//! they may read, behind a link that can be cut.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tokio::sync::Mutex;
use writ_bus::config::ClusterUser;
use writ_bus::leaf::LeafConfig;
use writ_core::name::Region;

use crate::bus::{self, Error};
use crate::files;
use crate::keys::BusKey;
use crate::parts::{Part, Parts};
use crate::process::{Launcher, Process, STOP_LIMIT, Spec};
use crate::relay::Relay;

/// A running leaf node. Dropping it kills the server.
pub struct Leaf {
    process: Process,
    launcher: Launcher,
    spec: Spec,
    ports: PathBuf,
    installer: BusKey,
    url: String,
    config_file: PathBuf,
    config: Mutex<LeafConfig>,
    relay: Relay,
}

impl std::fmt::Debug for Leaf {
    // The configuration holds the link's seed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leaf")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Leaf {
    /// Starts the server and makes the mirror.
    pub(crate) async fn start(
        launcher: &Launcher,
        parts: &Parts,
        folder: &Path,
        region: &Region,
        hub: SocketAddr,
        link: &BusKey,
        clusters: Vec<ClusterUser>,
    ) -> Result<Leaf, Error> {
        let name = format!("leaf-{region}");
        let installer = BusKey::make(&folder.join(format!("keys/{name}-installer.seed")))?;
        let own = folder.join(&name);
        let ports = own.join("ports");
        files::make_folder(&ports)?;
        let relay = Relay::to(hub).await.map_err(Error::Relay)?;
        let config = LeafConfig {
            region: region.clone(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            store_dir: own.join("jetstream"),
            ports_dir: Some(ports.clone()),
            hub: vec![relay.address()],
            seed: link.seed.clone(),
            installer: installer.public.clone(),
            clusters,
        };
        let config_file = own.join("server.conf");
        files::write(&config_file, config.render()?)?;
        let log = folder.join(format!("logs/{name}.log"));
        let spec = Spec::new(name, parts.path(Part::NatsServer), log).flag("config", &config_file);
        let process = launcher.start(spec.clone()).await?;
        let url = bus::wait_for_url(&process, &ports).await?;
        let client = bus::connect(&url, &installer).await?;
        writ_bus::mirror::install(&client, region).await?;
        Ok(Leaf {
            process,
            launcher: launcher.clone(),
            spec,
            ports,
            installer,
            url,
            config_file,
            config: Mutex::new(config),
            relay,
        })
    }

    /// Where the region's clusters connect.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The link to the hub.
    pub fn link(&self) -> &Relay {
        &self.relay
    }

    /// Lets one more cluster in.
    pub(crate) async fn admit(&self, user: ClusterUser) -> Result<(), Error> {
        let mut config = self.config.lock().await;
        let mut wanted = config.clone();
        wanted.clusters.push(user);
        files::write(&self.config_file, wanted.render()?)?;
        bus::reload(&self.process).await?;
        *config = wanted;
        Ok(())
    }

    /// Throws away the mirror and begins another, on the same address.
    pub(crate) async fn mirror_anew(&mut self) -> Result<(), Error> {
        self.stop().await;
        let mut config = self.config.lock().await;
        files::remove_folder(&config.store_dir)?;
        let address = self.url.strip_prefix("nats://").unwrap_or(&self.url);
        if let Ok(address) = address.parse() {
            config.listen = address;
        }
        files::write(&self.config_file, config.render()?)?;
        self.process = self.launcher.start(self.spec.clone()).await?;
        self.url = bus::wait_for_url(&self.process, &self.ports).await?;
        let client = bus::connect(&self.url, &self.installer).await?;
        Ok(writ_bus::mirror::install(&client, &config.region).await?)
    }

    pub(crate) async fn stop(&self) {
        self.process.stop(STOP_LIMIT).await;
    }
}
