//! A nats-server of one test: own folder, own keys, a port that the server picks.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use bytes::Bytes;
use nkeys::KeyPair;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};
use writ_bus::{
    Client, Options, accounts,
    batch::{self, Batch, Message, Outcome},
    config::{ClusterUser, PublicKey, PublisherUser, ServerConfig},
    connect,
    connection::FirstConnect,
    live::{Live, Signal},
    streams::{self, Settings},
};
use writ_core::{
    name::{ClusterName, Name, Region, Stage},
    subject::{BusSubject, Sender},
};
use writ_sandbox::{
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
    pub(crate) keys: KeyPair,
}

pub(crate) struct Bus {
    folder: Option<TempDir>,
    server: Child,
    pub(crate) config: ServerConfig,
    installer: KeyPair,
    publisher: KeyPair,
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
        let (installer, publisher) = (KeyPair::new_user(), KeyPair::new_user());
        let (eu, us) = (member("eu-1", "eu", "prod"), member("us-1", "us", "stage"));
        let mut config = ServerConfig {
            name: Name::parse("hub-1").unwrap(),
            listen: "127.0.0.1:0".parse().unwrap(),
            store_dir: folder.path().join("store"),
            ports_dir: Some(folder.path().to_owned()),
            peers: None,
            leafs: None,
            installer: public(&installer),
            publishers: vec![PublisherUser {
                name: Name::parse("publisher-1").unwrap(),
                key: public(&publisher),
            }],
            clusters: vec![user(&eu), user(&us)],
        };
        complete(&mut config);
        std::fs::write(folder.path().join("nats.conf"), config.render().unwrap()).unwrap();
        let server = spawn(folder.path()).await;
        let url = wait_for_url(folder.path()).await;
        Bus {
            folder: Some(folder),
            server,
            config,
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
        open(&self.url, &member.keys, &inbox).await
    }

    pub(crate) async fn client_with_inbox(&self, member: &Member, inbox: &str) -> Client {
        open(&self.url, &member.keys, inbox).await
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A connection of the client library itself, for what writ-bus has no function for.
    pub(crate) async fn plain(&self, keys: &KeyPair, inbox: &str) -> Plain {
        plain(&self.url, keys, inbox).await
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

    pub(crate) async fn plain_publisher(&self) -> Plain {
        self.plain(&self.publisher, "_INBOX.publisher.publisher-1")
            .await
    }

    /// Writes the configuration again and has the server read it.
    pub(crate) async fn reload(&mut self) {
        std::fs::write(self.path().join("nats.conf"), self.config.render().unwrap()).unwrap();
        let pid = self.server.id().unwrap();
        let status = Command::new(find_server().await)
            .arg("--signal")
            .arg(format!("reload={pid}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .await
            .unwrap();
        assert!(status.success());
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
        let leafs = self.config.leafs.is_some().then(|| self.leaf_address());
        if let (Some(leafs), Some(address)) = (&mut self.config.leafs, leafs) {
            leafs.listen = address;
        }
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
pub(crate) async fn plain(url: &str, keys: &KeyPair, inbox: &str) -> Plain {
    let (sender, violations) = tokio::sync::mpsc::unbounded_channel();
    let client = async_nats::ConnectOptions::with_nkey(keys.seed().unwrap())
        .custom_inbox_prefix(inbox)
        .event_callback(move |event| {
            if let async_nats::Event::ServerError(error) = event {
                let _ = sender.send(error.to_string());
            }
            std::future::ready(())
        })
        .connect(url)
        .await
        .unwrap();
    Plain { client, violations }
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
}

impl Plain {
    /// The next violation, which has to come.
    pub(crate) async fn violation(&mut self) -> String {
        timeout(DEADLINE, self.violations.recv())
            .await
            .expect("no violation")
            .unwrap()
    }
}

pub(crate) fn member(name: &str, region: &str, stage: &str) -> Member {
    let sender = Sender {
        region: Region::parse(region).unwrap(),
        stage: Stage::parse(stage).unwrap(),
        cluster: ClusterName::parse(name).unwrap(),
    };
    Member {
        sender,
        keys: KeyPair::new_user(),
    }
}

pub(crate) fn user(member: &Member) -> ClusterUser {
    ClusterUser {
        name: member.sender.cluster.clone(),
        region: member.sender.region.clone(),
        stage: member.sender.stage.clone(),
        key: public(&member.keys),
    }
}

pub(crate) fn public(keys: &KeyPair) -> PublicKey {
    PublicKey::parse(&keys.public_key()).unwrap()
}

pub(crate) async fn open(url: &str, keys: &KeyPair, inbox: &str) -> Client {
    connect(Options {
        url: url.to_owned(),
        seed: keys.seed().unwrap(),
        inbox: inbox.to_owned(),
        name: "test".to_owned(),
        first_connect: FirstConnect::Now,
    })
    .await
    .unwrap()
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
pub(crate) async fn next_message(live: &mut Live) -> (String, String) {
    match timeout(DEADLINE, live.next())
        .await
        .expect("no live message")
        .unwrap()
    {
        Signal::Message { subject, bytes } => (
            subject.to_string(),
            String::from_utf8(bytes.to_vec()).unwrap(),
        ),
        other => panic!("not a message: {other:?}"),
    }
}
