//! The bus of a fleet: one nats-server with the accounts, users and streams that `writ-bus`
//! defines. Owns the server's configuration file and its reload when a cluster joins. Never
//! looks into a message.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::Mutex;
use writ_bus::config::{ClusterUser, LeafLink, Leafs, PublisherUser, ServerConfig};
use writ_bus::connection::FirstConnect;
use writ_core::name::{Name, Region};

use crate::files;
use crate::keys::{self, BusKey};
use crate::leaf::Leaf;
use crate::parts::{Part, Parts};
use crate::process::{self, Launcher, Process, STOP_LIMIT, Spec, log};

/// How long the server may take to serve, or to read its configuration again; both take well
/// under a second on an idle machine.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// What the server logs when a changed configuration is in force.
const RELOADED_TEXT: &str = "Reloaded server configuration";
/// What it logs before the address where it takes leaf nodes.
const LEAF_ADDRESS_TEXT: &str = "Listening for leafnode connections on ";
/// What it logs when it stays with the old one.
const NOT_RELOADED_TEXT: &str = "Failed to reload server configuration";

/// Why the bus is not as it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server did not start or serve.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// Its configuration could not be written as text.
    #[error("could not make the configuration of the bus")]
    Config(#[from] writ_bus::config::Error),
    /// A key could not be made.
    #[error(transparent)]
    Keys(#[from] keys::Error),
    /// A file could not be written.
    #[error(transparent)]
    File(#[from] files::Error),
    /// The installer could not connect.
    #[error("could not connect to the bus as its installer")]
    Connect(#[from] writ_bus::connection::Error),
    /// The streams could not be made.
    #[error("could not make the streams of the bus")]
    Streams(#[from] writ_bus::streams::Error),
    /// The link of a leaf node could not be made.
    #[error("could not make the link of a leaf node")]
    Relay(#[source] std::io::Error),
    /// The server did not say where it takes leaf nodes.
    #[error("the bus does not say where it takes leaf nodes; see {}", .0.display())]
    LeafAddress(PathBuf),
    /// The server stays with its old configuration.
    #[error("the bus refused its new configuration; see {}", .0.display())]
    Reload(PathBuf),
}

/// A running bus with its streams. Dropping it kills the server.
#[derive(Debug)]
pub struct Bus {
    process: Process,
    launcher: Launcher,
    server: PathBuf,
    ports: PathBuf,
    log: PathBuf,
    installer: BusKey,
    url: String,
    config_file: PathBuf,
    config: Mutex<ServerConfig>,
    leafs: BTreeMap<Region, Leaf>,
}

impl Bus {
    /// Starts the server on a port that it picks itself, and makes the streams. State, keys
    /// and logs are kept in `folder`.
    pub async fn start(
        launcher: &Launcher,
        parts: &Parts,
        folder: &Path,
        publishers: Vec<PublisherUser>,
        clusters: Vec<ClusterUser>,
        leaf_regions: &[Region],
    ) -> Result<Self, Error> {
        let mut links = BTreeMap::new();
        for region in leaf_regions {
            let file = folder.join(format!("keys/leaf-{region}.seed"));
            links.insert(region.clone(), BusKey::make(&file)?);
        }
        // Who is behind a leaf is known there, and nowhere else.
        let (behind, clusters): (Vec<_>, Vec<_>) = clusters
            .into_iter()
            .partition(|user| links.contains_key(&user.region));
        let installer = BusKey::make(&folder.join("keys/installer.seed"))?;
        let (own, ports) = (folder.join("nats"), folder.join("nats/ports"));
        files::make_folder(&ports)?;
        let config = ServerConfig {
            name: Name::parse("sandbox").map_err(keys::Error::from)?,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            store_dir: own.join("jetstream"),
            ports_dir: Some(ports.clone()),
            peers: None,
            leafs: leafs(&links),
            installer: installer.public.clone(),
            publishers,
            clusters,
        };
        let config_file = own.join("server.conf");
        files::write(&config_file, config.render()?)?;
        let log = folder.join("logs/nats-server.log");
        let server = parts.path(Part::NatsServer).to_owned();
        let (process, url) = serve(launcher, &server, &log, &config_file, &ports).await?;
        let client = install(&url, &installer).await?;
        let mut bus = Self {
            process,
            launcher: launcher.clone(),
            server,
            ports,
            log,
            installer,
            url,
            config_file,
            config: Mutex::new(config),
            leafs: BTreeMap::new(),
        };
        for (region, link) in links {
            writ_bus::mirror::install_feed(&client, &region).await?;
            let users = behind.iter().filter(|user| user.region == region);
            let users = users.cloned().collect();
            let hub = bus.leaf_address()?;
            let leaf = Leaf::start(launcher, parts, folder, &region, hub, &link, users).await?;
            bus.leafs.insert(region, leaf);
        }
        Ok(bus)
    }

    /// Where clients connect, `nats://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the clusters of a region connect: its leaf node, if it has one.
    pub fn url_of(&self, region: &Region) -> &str {
        self.leafs.get(region).map_or(&self.url, Leaf::url)
    }

    /// A region's leaf node.
    pub fn leaf(&self, region: &Region) -> Option<&Leaf> {
        self.leafs.get(region)
    }

    /// It picked the port itself, and names it in its log only.
    fn leaf_address(&self) -> Result<SocketAddr, Error> {
        let said = log::since(self.process.log(), 0);
        let address = said.lines().find_map(|line| {
            let (_, address) = line.split_once(LEAF_ADDRESS_TEXT)?;
            address.trim().parse().ok()
        });
        address.ok_or_else(|| Error::LeafAddress(self.process.log_path()))
    }

    /// Lets one more cluster in; returns when the server knows it.
    pub async fn admit(&self, user: ClusterUser) -> Result<(), Error> {
        if let Some(leaf) = self.leafs.get(&user.region) {
            return leaf.admit(user).await;
        }
        let mut config = self.config.lock().await;
        let mut wanted = config.clone();
        wanted.clusters.push(user);
        files::write(&self.config_file, wanted.render()?)?;
        reload(&self.process).await?;
        *config = wanted;
        Ok(())
    }

    /// Ends the server.
    pub async fn stop(&self) {
        for leaf in self.leafs.values() {
            leaf.stop().await;
        }
        self.process.stop(STOP_LIMIT).await;
    }

    /// Kills the server (SIGKILL); its leaf nodes go on.
    pub async fn kill(&self) {
        self.process.kill().await;
    }

    /// Ends the server; its leaf nodes go on.
    pub async fn stop_hub(&self) {
        self.process.stop(STOP_LIMIT).await;
    }

    /// Makes the streams that are missing, and the feeds of the leaf nodes.
    pub async fn install(&self) -> Result<(), Error> {
        let client = install(&self.url, &self.installer).await?;
        for region in self.leafs.keys() {
            writ_bus::mirror::install_feed(&client, region).await?;
        }
        Ok(())
    }

    /// Has a region's leaf node throw away its mirror and begin another.
    pub async fn mirror_anew(&mut self, region: &Region) -> Result<(), Error> {
        let client = connect(&self.url, &self.installer).await?;
        writ_bus::mirror::remove_feed(&client, region).await?;
        writ_bus::mirror::install_feed(&client, region).await?;
        match self.leafs.get_mut(region) {
            Some(leaf) => leaf.mirror_anew().await,
            None => Ok(()),
        }
    }

    /// Starts the server again after its end, on the same addresses, with whatever lies in its store
    /// by now.
    pub async fn start_again(&mut self) -> Result<(), Error> {
        let mut config = self.config.lock().await;
        let address = self.url.strip_prefix("nats://").unwrap_or(&self.url);
        if let Ok(address) = address.parse() {
            config.listen = address;
        }
        let leaf_address = self.leaf_address();
        if let Some(leafs) = &mut config.leafs {
            leafs.listen = leaf_address?;
        }
        files::write(&self.config_file, config.render()?)?;
        let (process, url) = serve(
            &self.launcher,
            &self.server,
            &self.log,
            &self.config_file,
            &self.ports,
        )
        .await?;
        (self.process, self.url) = (process, url);
        Ok(())
    }
}

/// Starts the server and waits until it takes connections.
async fn serve(
    launcher: &Launcher,
    server: &Path,
    log: &Path,
    config_file: &Path,
    ports: &Path,
) -> Result<(Process, String), Error> {
    let spec = Spec::new("nats-server", server, log.to_owned()).flag("config", config_file);
    let process = launcher.start(spec).await?;
    let url = wait_for_url(&process, ports).await?;
    Ok((process, url))
}

fn leafs(links: &BTreeMap<Region, BusKey>) -> Option<Leafs> {
    let link = |(region, key): (&Region, &BusKey)| LeafLink {
        region: region.clone(),
        key: key.public.clone(),
    };
    (!links.is_empty()).then(|| Leafs {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        links: links.iter().map(link).collect(),
    })
}

/// Waits until a server takes connections, and says where.
pub(crate) async fn wait_for_url(process: &Process, ports: &Path) -> Result<String, Error> {
    let url = async || read_url(ports, process.pid());
    Ok(process
        .ready("it took connections", READY_LIMIT, url)
        .await?)
}

/// Has a server read its configuration again.
pub(crate) async fn reload(process: &Process) -> Result<(), Error> {
    let offset = log::length(process.log());
    process.hang_up().await;
    let answer = async || {
        let said = log::since(process.log(), offset);
        let refused = said.contains(NOT_RELOADED_TEXT);
        (refused || said.contains(RELOADED_TEXT)).then_some(refused)
    };
    let what = "it read its configuration again";
    if process.ready(what, READY_LIMIT, answer).await? {
        return Err(Error::Reload(process.log_path()));
    }
    Ok(())
}

/// Makes the streams that are missing.
async fn install(url: &str, installer: &BusKey) -> Result<writ_bus::Client, Error> {
    let client = connect(url, installer).await?;
    // One server holds one copy.
    let settings = writ_bus::streams::Settings::with_replicas(1);
    writ_bus::streams::install(&client, settings).await?;
    Ok(client)
}

/// Connects as an installer.
pub(crate) async fn connect(url: &str, installer: &BusKey) -> Result<writ_bus::Client, Error> {
    let options = writ_bus::Options {
        url: url.to_owned(),
        seed: installer.seed.clone(),
        inbox: writ_bus::accounts::INSTALLER_INBOX.to_owned(),
        name: "sandbox installer".to_owned(),
        first_connect: FirstConnect::Now,
    };
    Ok(writ_bus::connect(options).await?)
}

/// The server writes `<executable>_<pid>.ports` when it listens: `{"nats": ["nats://…"]}`.
fn read_url(folder: &Path, pid: u32) -> Option<String> {
    let suffix = format!("_{pid}.ports");
    let mut entries = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let file = entries.find(|entry| entry.file_name().to_string_lossy().ends_with(&suffix))?;
    let ports: serde_json::Value =
        serde_json::from_slice(&std::fs::read(file.path()).ok()?).ok()?;
    ports.get("nats")?.get(0)?.as_str().map(str::to_owned)
}
