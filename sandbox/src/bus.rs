//! The bus of a fleet: one nats-server with the accounts, users and streams that `writ-bus`
//! defines. Owns the server's configuration file and its reload when a cluster joins. Never
//! looks into a message.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::Mutex;
use writ_bus::config::{ClusterUser, PublisherUser, ServerConfig};
use writ_bus::connection::FirstConnect;
use writ_core::name::Name;

use crate::files;
use crate::keys::{self, BusKey};
use crate::parts::{Part, Parts};
use crate::process::{self, Launcher, Process, STOP_LIMIT, Spec, log};

/// How long the server may take to serve, or to read its configuration again; both take well
/// under a second on an idle machine.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// What the server logs when a changed configuration is in force.
const RELOADED_TEXT: &str = "Reloaded server configuration";
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
    /// The server stays with its old configuration.
    #[error("the bus refused its new configuration; see {}", .0.display())]
    Reload(PathBuf),
}

/// A running bus with its streams. Dropping it kills the server.
#[derive(Debug)]
pub struct Bus {
    launcher: Launcher,
    process: Process,
    /// What the server is started with.
    spec: Spec,
    url: String,
    config_file: PathBuf,
    config: Mutex<ServerConfig>,
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
    ) -> Result<Self, Error> {
        let installer = BusKey::make(&folder.join("keys/installer.seed"))?;
        let (own, ports) = (folder.join("nats"), folder.join("nats/ports"));
        files::make_folder(&ports)?;
        let config = ServerConfig {
            name: Name::parse("sandbox").map_err(keys::Error::from)?,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            store_dir: own.join("jetstream"),
            ports_dir: Some(ports.clone()),
            peers: None,
            installer: installer.public.clone(),
            publishers,
            clusters,
        };
        let config_file = own.join("server.conf");
        files::write(&config_file, config.render()?)?;
        let log = folder.join("logs/nats-server.log");
        let spec = Spec::new("nats-server", parts.path(Part::NatsServer), log)
            .flag("config", &config_file);
        let process = launcher.start(spec.clone()).await?;
        let url = async || read_url(&ports, process.pid());
        let url = process
            .ready("it took connections", READY_LIMIT, url)
            .await?;
        install(&url, &installer).await?;
        Ok(Self {
            launcher: launcher.clone(),
            process,
            spec,
            url,
            config_file,
            config: Mutex::new(config),
        })
    }

    /// Where clients connect, `nats://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lets one more cluster in; returns when the server knows it.
    pub async fn admit(&self, user: ClusterUser) -> Result<(), Error> {
        let mut config = self.config.lock().await;
        let mut wanted = config.clone();
        wanted.clusters.push(user);
        files::write(&self.config_file, wanted.render()?)?;
        let offset = log::length(self.process.log());
        self.process.hang_up().await;
        let answer = async || {
            let said = log::since(self.process.log(), offset);
            let refused = said.contains(NOT_RELOADED_TEXT);
            (refused || said.contains(RELOADED_TEXT)).then_some(refused)
        };
        let what = "it read its configuration again";
        if self.process.ready(what, READY_LIMIT, answer).await? {
            return Err(Error::Reload(self.process.log_path()));
        }
        *config = wanted;
        Ok(())
    }

    /// Kills the server (SIGKILL); its files stay.
    pub async fn kill(&self) {
        self.process.kill().await;
    }

    /// Starts a server that was killed, on the port that it had, so that clients find it again.
    pub async fn start_again(&mut self) -> Result<(), Error> {
        let config = self.config.get_mut();
        let address = self.url.trim_start_matches("nats://");
        // The first start picked the port. A server does not change it while it runs.
        config.listen = address.parse().unwrap_or(config.listen);
        files::write(&self.config_file, config.render()?)?;
        let process = self.launcher.start(self.spec.clone()).await?;
        let open = async || tokio::net::TcpStream::connect(address).await.ok();
        process
            .ready("it took connections", READY_LIMIT, open)
            .await?;
        self.process = process;
        Ok(())
    }

    /// Ends the server.
    pub async fn stop(&self) {
        self.process.stop(STOP_LIMIT).await;
    }
}

async fn install(url: &str, installer: &BusKey) -> Result<(), Error> {
    let options = writ_bus::Options {
        url: url.to_owned(),
        seed: installer.seed.clone(),
        inbox: writ_bus::accounts::INSTALLER_INBOX.to_owned(),
        name: "sandbox installer".to_owned(),
        first_connect: FirstConnect::Now,
    };
    let client = writ_bus::connect(options).await?;
    // One server holds one copy.
    Ok(writ_bus::streams::install(&client, writ_bus::streams::Settings::with_replicas(1)).await?)
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
