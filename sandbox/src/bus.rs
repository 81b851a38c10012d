//! The bus of a fleet: one nats-server with the accounts and streams that `writ-bus` defines, and
//! the leaf nodes of regions. Owns the servers' configuration files. Who joins needs nothing of a
//! server: its token is signed. Never looks into a message.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use writ_bus::config::ServerConfig;
use writ_bus::connection::{FirstConnect, Login};
use writ_bus::identity::Role;
use writ_core::name::{Name, Region};

use crate::files;
use crate::identity::{self, BusKeys};
use crate::keys;
use crate::leaf::Leaf;
use crate::parts::{Part, Parts};
use crate::process::{self, Launcher, Process, STOP_LIMIT, Spec, log};

/// How long the server may take to serve; it takes well under a second on an idle machine.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// What it logs before the address where it takes leaf nodes.
const LEAF_ADDRESS_TEXT: &str = "Listening for leafnode connections on ";

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
    /// An identity could not be made.
    #[error(transparent)]
    Identity(#[from] identity::Error),
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
}

/// A running bus with its streams. Dropping it kills the server.
#[derive(Debug)]
pub struct Bus {
    process: Process,
    launcher: Launcher,
    server: PathBuf,
    ports: PathBuf,
    log: PathBuf,
    installer: Login,
    url: String,
    config_file: PathBuf,
    config: ServerConfig,
    leafs: BTreeMap<Region, Leaf>,
}

impl Bus {
    /// Starts the server on a port that it picks itself, makes the streams, and starts the leaf nodes
    /// that the keys know of. State, keys and logs are kept in `folder`.
    pub async fn start(
        launcher: &Launcher,
        parts: &Parts,
        folder: &Path,
        keys: &BusKeys,
    ) -> Result<Self, Error> {
        let credentials = keys.user(&Role::Installer)?;
        keys::keep(&folder.join("keys/installer.creds"), &credentials)?;
        let installer = Login::of(credentials);
        let (own, ports) = (folder.join("nats"), folder.join("nats/ports"));
        files::make_folder(&ports)?;
        let regions: Vec<Region> = keys.operator().realm().leafs.keys().cloned().collect();
        let config = ServerConfig {
            name: Name::parse("sandbox").map_err(keys::Error::from)?,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            store_dir: own.join("jetstream"),
            ports_dir: Some(ports.clone()),
            peers: None,
            leafs: (!regions.is_empty()).then(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            accounts: keys.accounts(own.join("accounts"))?,
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
            config,
            leafs: BTreeMap::new(),
        };
        for region in regions {
            writ_bus::mirror::install_feed(&client, &region).await?;
            let hub = bus.leaf_address()?;
            let leaf = Leaf::start(launcher, parts, folder, &region, hub, keys).await?;
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
        let address = self.url.strip_prefix("nats://").unwrap_or(&self.url);
        if let Ok(address) = address.parse() {
            self.config.listen = address;
        }
        if self.config.leafs.is_some() {
            self.config.leafs = Some(self.leaf_address()?);
        }
        files::write(&self.config_file, self.config.render()?)?;
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

/// Waits until a server takes connections, and says where.
pub(crate) async fn wait_for_url(process: &Process, ports: &Path) -> Result<String, Error> {
    let url = async || read_url(ports, process.pid());
    Ok(process
        .ready("it took connections", READY_LIMIT, url)
        .await?)
}

/// Makes the streams that are missing.
async fn install(url: &str, installer: &Login) -> Result<writ_bus::Client, Error> {
    let client = connect(url, installer).await?;
    // One server holds one copy.
    let settings = writ_bus::streams::Settings::with_replicas(1);
    writ_bus::streams::install(&client, settings).await?;
    Ok(client)
}

/// Connects as an installer.
pub(crate) async fn connect(url: &str, installer: &Login) -> Result<writ_bus::Client, Error> {
    let options = writ_bus::Options {
        url: url.to_owned(),
        login: installer.clone(),
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
