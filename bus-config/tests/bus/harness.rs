//! A nats-server of one test: own folder, own keys, a port that the server picks.

use std::{
    collections::BTreeSet,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};
use writ_bus::{
    Client, Options, accounts,
    batch::{self, Batch, Message, Outcome},
    config::ServerConfig,
    connect,
    connection::{FirstConnect, Login},
    identity::{PublicKey, RegistrarKeys, Role},
    live::{self, Live, Signal},
    read::{self, Via},
    registrar::Registrar,
    streams::{self, Settings},
};
use writ_core::{
    name::{ClusterName, Name, Region, Stage},
    subject::{BusSubject, Sender},
};
use writ_sandbox::{
    identity::BusKeys,
    parts::{Part, Parts},
    progress::Progress,
};

/// How long a test waits for what has to come. Generous, for machines that do much at once.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Sizes that fit on a small disk.
pub(crate) const SETTINGS: Settings = Settings {
    replicas: 1,
    log_bytes_max: 64 << 20,
    acks_bytes_max: 16 << 20,
    audit_bytes_max: 16 << 20,
};

/// A cluster of the test's fleet.
pub(crate) struct Member {
    pub(crate) sender: Sender,
    pub(crate) login: Login,
}

impl Member {
    /// The key of its identity.
    pub(crate) fn key(&self) -> PublicKey {
        PublicKey::parse(&self.login.read().unwrap().summary().key).unwrap()
    }
}

pub(crate) struct Bus {
    folder: Option<TempDir>,
    server: Child,
    pub(crate) config: ServerConfig,
    pub(crate) keys: BusKeys,
    installer: Login,
    publisher: Login,
    pub(crate) eu: Member,
    pub(crate) us: Member,
    url: String,
}

impl Bus {
    /// A running server with the clusters `eu-1` (eu, prod) and `us-1` (us, stage), and both streams.
    pub(crate) async fn start() -> Bus {
        let bus = Bus::start_without_streams().await;
        streams::install(&bus.installer().await, SETTINGS)
            .await
            .unwrap();
        bus
    }

    /// The same, with a configuration that is completed first.
    pub(crate) async fn start_with(complete: impl FnOnce(&mut ServerConfig)) -> Bus {
        let bus = Bus::start_server(complete).await;
        streams::install(&bus.installer().await, SETTINGS)
            .await
            .unwrap();
        bus
    }

    pub(crate) async fn start_without_streams() -> Bus {
        Bus::start_server(|_| {}).await
    }

    async fn start_server(complete: impl FnOnce(&mut ServerConfig)) -> Bus {
        let folder = tempfile::Builder::new()
            .prefix("writ-bus-")
            .tempdir()
            .unwrap();
        let keys = BusKeys::generate(&[Region::parse("eu").unwrap()]).unwrap();
        let installer = Login::of(keys.user(&Role::Installer).unwrap());
        let publisher = keys.publisher(&Name::parse("publisher-1").unwrap());
        let publisher = Login::of(publisher.unwrap());
        let eu = member(&keys, "eu-1", "eu", "prod");
        let us = member(&keys, "us-1", "us", "stage");
        let mut config = ServerConfig {
            name: Name::parse("hub-1").unwrap(),
            listen: "127.0.0.1:0".parse().unwrap(),
            store_dir: folder.path().join("store"),
            ports_dir: Some(folder.path().to_owned()),
            peers: None,
            leafs: None,
            accounts: keys.accounts(folder.path().join("accounts")).unwrap(),
        };
        complete(&mut config);
        std::fs::write(folder.path().join("nats.conf"), config.render().unwrap()).unwrap();
        let server = spawn(folder.path()).await;
        let url = wait_for_url(folder.path()).await;
        Bus {
            folder: Some(folder),
            server,
            config,
            keys,
            installer,
            publisher,
            eu,
            us,
            url,
        }
    }

    fn path(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    pub(crate) async fn installer(&self) -> Client {
        open(&self.url, &self.installer, accounts::INSTALLER_INBOX).await
    }

    pub(crate) async fn publisher(&self) -> Client {
        open(&self.url, &self.publisher, "_INBOX.publisher.publisher-1").await
    }

    pub(crate) async fn cluster(&self, member: &Member) -> Client {
        let inbox = accounts::cluster_inbox(&member.sender.region, &member.sender.cluster);
        open(&self.url, &member.login, &inbox).await
    }

    pub(crate) async fn client_with_inbox(&self, member: &Member, inbox: &str) -> Client {
        open(&self.url, &member.login, inbox).await
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A connection of the client library itself, for what writ-bus has no function for.
    pub(crate) async fn plain(&self, login: &Login, inbox: &str) -> Plain {
        plain(&self.url, login, inbox).await
    }

    /// Where it listens to leaf nodes; it says so in its log only.
    pub(crate) fn leaf_address(&self) -> std::net::SocketAddr {
        let log = self.log();
        let said = log
            .lines()
            .find_map(|line| line.split_once("Listening for leafnode connections on "));
        said.unwrap().1.trim().parse().unwrap()
    }

    /// What the server logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("nats.log")).unwrap_or_default()
    }

    /// Kills the server; [`Bus::restart`] starts another one in its place.
    pub(crate) async fn kill(&mut self) {
        self.server.kill().await.unwrap();
    }

    pub(crate) async fn plain_installer(&self) -> Plain {
        self.plain(&self.installer, accounts::INSTALLER_INBOX).await
    }

    /// The registrar, which tells the servers of whatever is put into the other end.
    pub(crate) async fn start_registrar(
        &self,
    ) -> tokio::sync::watch::Sender<Option<BTreeSet<PublicKey>>> {
        let folder = self.path().join("registrar");
        self.keys
            .store(&self.path().join("operator"), &folder)
            .unwrap();
        let keys = RegistrarKeys::load(&folder).unwrap();
        let login = self.user(&Role::Registrar);
        let inbox = format!("{}.1", accounts::REGISTRAR_INBOX);
        let client = open(&self.url, &login, &inbox).await;
        let registrar = Registrar::new(client, keys).await.unwrap();
        let (sender, receiver) = tokio::sync::watch::channel(None);
        tokio::spawn(registrar.run(receiver));
        sender
    }

    /// A user of a role that there is one of.
    pub(crate) fn user(&self, role: &Role) -> Login {
        Login::of(self.keys.user(role).unwrap())
    }

    pub(crate) async fn plain_publisher(&self) -> Plain {
        self.plain(&self.publisher, "_INBOX.publisher.publisher-1")
            .await
    }

    /// Kills the server and starts another on the same port, with nothing stored.
    pub(crate) async fn restart_empty(&mut self) {
        self.server.kill().await.unwrap();
        std::fs::remove_dir_all(&self.config.store_dir).unwrap();
        self.restart().await;
    }

    /// Kills the server and starts another on the same port and store.
    pub(crate) async fn restart(&mut self) {
        self.server.kill().await.unwrap();
        let address = self.url.strip_prefix("nats://").unwrap().parse().unwrap();
        self.config.listen = address;
        self.config.leafs = self.config.leafs.map(|_| self.leaf_address());
        for ports in std::fs::read_dir(self.path()).unwrap() {
            let path = ports.unwrap().path();
            if path
                .extension()
                .is_some_and(|extension| extension == "ports")
            {
                std::fs::remove_file(path).unwrap();
            }
        }
        std::fs::write(self.path().join("nats.conf"), self.config.render().unwrap()).unwrap();
        self.server = spawn(self.path()).await;
        assert_eq!(wait_for_url(self.path()).await, self.url);
    }
}

/// A connection of the client library itself.
pub(crate) async fn plain(url: &str, login: &Login, inbox: &str) -> Plain {
    try_plain(url, login, inbox).await.unwrap()
}

/// A connection of the client library itself, if the server lets the user in.
pub(crate) async fn try_plain(
    url: &str,
    login: &Login,
    inbox: &str,
) -> Result<Plain, async_nats::ConnectError> {
    let (sender, violations) = tokio::sync::mpsc::unbounded_channel();
    let (lost, losses) = tokio::sync::mpsc::unbounded_channel();
    let credentials = login.read().unwrap().to_file();
    let client = async_nats::ConnectOptions::with_credentials(&credentials)
        .unwrap()
        .custom_inbox_prefix(inbox)
        .event_callback(move |event| {
            match event {
                async_nats::Event::ServerError(error) => {
                    let _ = sender.send(error.to_string());
                }
                async_nats::Event::Disconnected => {
                    let _ = lost.send(Instant::now());
                }
                _ => {}
            }
            std::future::ready(())
        })
        .connect(url)
        .await?;
    Ok(Plain {
        client,
        violations,
        losses,
    })
}

impl Drop for Bus {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            eprintln!("kept: {}", folder.keep().display());
        }
    }
}

/// A connection of the client library, with what the server says against it.
pub(crate) struct Plain {
    pub(crate) client: async_nats::Client,
    pub(crate) violations: tokio::sync::mpsc::UnboundedReceiver<String>,
    /// When the connection was lost, each time.
    losses: tokio::sync::mpsc::UnboundedReceiver<Instant>,
}

impl Plain {
    /// When the connection is lost, which it has to be.
    pub(crate) async fn lost(&mut self) -> Instant {
        timeout(DEADLINE, self.losses.recv())
            .await
            .expect("the connection stands")
            .unwrap()
    }

    /// It answers, and was never lost.
    pub(crate) async fn stands(&mut self) {
        let root = "$JS.API.DIRECT.GET.WRIT.writ.root";
        self.client.request(root, "".into()).await.unwrap();
        assert!(self.losses.try_recv().is_err(), "the connection was lost");
    }

    /// The next violation, which has to come.
    pub(crate) async fn violation(&mut self) -> String {
        timeout(DEADLINE, self.violations.recv())
            .await
            .expect("no violation")
            .unwrap()
    }
}

pub(crate) fn member(keys: &BusKeys, name: &str, region: &str, stage: &str) -> Member {
    let sender = Sender {
        region: Region::parse(region).unwrap(),
        stage: Stage::parse(stage).unwrap(),
        cluster: ClusterName::parse(name).unwrap(),
    };
    let credentials = keys.cluster(&sender.cluster, &sender.region, &sender.stage);
    Member {
        sender,
        login: Login::of(credentials.unwrap()),
    }
}

pub(crate) async fn open(url: &str, login: &Login, inbox: &str) -> Client {
    try_open(url, login, inbox).await.unwrap()
}

/// Connects, if the server lets the user in.
pub(crate) async fn try_open(
    url: &str,
    login: &Login,
    inbox: &str,
) -> Result<Client, writ_bus::connection::Error> {
    connect(Options {
        url: url.to_owned(),
        login: login.clone(),
        inbox: inbox.to_owned(),
        name: "test".to_owned(),
        first_connect: FirstConnect::Now,
    })
    .await
}

pub(crate) async fn spawn(folder: &Path) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("nats.log"))
        .unwrap();
    Command::new(find_server().await)
        .arg("-c")
        .arg(folder.join("nats.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

pub(crate) async fn wait_for_url(folder: &Path) -> String {
    let start = Instant::now();
    loop {
        if let Some(url) = read_url(folder) {
            return url;
        }
        if start.elapsed() > DEADLINE {
            let mut log = String::new();
            File::open(folder.join("nats.log"))
                .unwrap()
                .read_to_string(&mut log)
                .unwrap();
            panic!("nats-server did not start:\n{log}");
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// The server writes `<executable>_<pid>.ports`, a JSON object with a list of URLs for each protocol.
fn read_url(folder: &Path) -> Option<String> {
    let mut files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let path = files.find(|path| {
        path.extension()
            .is_some_and(|extension| extension == "ports")
    })?;
    let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    Some(ports["nats"][0].as_str()?.to_owned())
}

/// The nats-server that the sandbox uses: installed, or built once into its cache.
async fn find_server() -> PathBuf {
    let wanted = [Part::NatsServer];
    let parts = Parts::find_some(&wanted, &Progress::stderr()).await;
    parts
        .expect("nats-server is there or can be built")
        .path(Part::NatsServer)
        .to_owned()
}

pub(crate) fn subject(text: &str) -> BusSubject {
    BusSubject::parse(text).unwrap()
}

/// A batch of the given subjects and the root, each with a payload of its own name and a mark.
pub(crate) fn batch_of(subjects: &[&str], mark: &str, root_expected: u64) -> Batch {
    let messages = subjects
        .iter()
        .chain(&["writ.root"])
        .map(|text| Message {
            subject: subject(text),
            bytes: Bytes::from(format!("{text} {mark}")),
        })
        .collect();
    Batch::new(messages, root_expected).unwrap()
}

/// Commits, which has to succeed, and returns the sequence of the root.
pub(crate) async fn commit(client: &Client, batch: &Batch) -> u64 {
    match batch::commit(client, batch).await.unwrap() {
        Outcome::Committed { sequence, count } => {
            assert_eq!(count as usize, batch.messages().len());
            sequence
        }
        other => panic!("not committed: {other:?}"),
    }
}

/// The next live message as (subject, payload).
/// Listens as a cluster; the server knows of it by then, because it answered what was asked after it.
pub(crate) async fn listen(client: &Client, sender: &Sender) -> Live {
    let heard = live::listen_as_cluster(client, &sender.region, &sender.stage)
        .await
        .unwrap();
    read::get(client, &subject("writ.root"), Via::Near)
        .await
        .unwrap();
    heard
}

pub(crate) async fn next_message(live: &mut Live) -> (String, String) {
    match timeout(DEADLINE, live.next())
        .await
        .expect("no live message")
        .unwrap()
    {
        Signal::Message { subject, bytes, .. } => (
            subject.to_string(),
            String::from_utf8(bytes.to_vec()).unwrap(),
        ),
        other => panic!("not a message: {other:?}"),
    }
}
