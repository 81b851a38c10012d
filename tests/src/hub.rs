//! A bus of one or three nats-servers with some publishers on it, all real processes that a test kills,
//! pauses and starts again. Without clusters: what is tested is the log and who writes it.
//!
//! Every process keeps its address over a restart, so that clients find it again.

mod files;
mod leaf;

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::transport::Channel;
use writ_bus::{
    Client, accounts,
    config::ServerConfig,
    connection::{FirstConnect, Login, Options},
    identity::{Credentials, Role},
    streams::{self, Settings, Stream},
};
use writ_core::{
    envelope::{Keyring, SigningKey},
    name::{ClusterName, Name, Region, Stage},
    subject::Sender,
};
use writ_proto::v1::{
    ack_service_client::AckServiceClient, cluster_service_client::ClusterServiceClient,
    policy_service_client::PolicyServiceClient,
};
use writ_sandbox::{
    api::ApiKeys,
    identity::BusKeys,
    parts::{Part, Parts},
    process::{Launcher, Process, Spec, free_port},
    progress::Progress,
};

use self::files::{server_configs, write_keys};
use crate::wait::within;

/// Longest wait for anything; reached only by a failure.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The user with which a test reads the log.
const READER: &str = "reader";

/// How long one call may take: an edit's own time, and that of a batch in doubt.
const CALL_TIME_MAX: Duration = Duration::from_secs(35);

/// Waits until `look` finds something.
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    within(DEADLINE, Duration::from_millis(10), what, look).await
}

/// The key with which a cluster of the hub signs what it says.
pub fn ack_key(cluster: &str) -> SigningKey {
    let number = cluster
        .bytes()
        .fold(0u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    SigningKey::from_seed(&[number | 0x80; 32])
}

/// A registry entry in eu and prod, with the ack key of [`ack_key`].
pub fn cluster(name: &str) -> Value {
    json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": name},
        "spec": {
            "region": "eu", "stage": "prod",
            "keys": {"bus": format!("U{}", "A".repeat(55)), "ack": ack_key(name).public().to_base64()},
        },
    })
}

/// A policy for eu that lets a group read.
pub fn policy(name: &str, group: &str) -> Value {
    json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy", "metadata": {"name": name},
        "spec": {
            "clusters": {"regions": ["eu"]},
            "grants": [{
                "name": "readers", "subjects": [{"group": group}], "clusterRole": "view",
                "clusterWide": true,
            }],
        },
    })
}

/// What a hub is made of.
#[derive(Debug, Clone)]
pub struct Size {
    /// nats-servers, one or three.
    pub servers: usize,
    /// Publishers.
    pub publishers: usize,
    /// Clusters that the bus lets in, in eu and prod.
    pub clusters: Vec<String>,
    /// Three of them without a word and a cluster is silent.
    pub pulse_period_s: u64,
    /// Whether the clusters are behind a leaf node of eu, which knows all servers.
    pub leaf: bool,
    /// Further flags of the publishers.
    pub publisher_flags: Vec<(&'static str, String)>,
    /// Whether the first publisher serves the dashboard.
    pub dashboard: bool,
}

impl Size {
    /// Without clusters.
    pub fn of(servers: usize, publishers: usize) -> Size {
        let clusters = Vec::new();
        Size {
            servers,
            publishers,
            clusters,
            pulse_period_s: 1,
            leaf: false,
            publisher_flags: Vec::new(),
            dashboard: false,
        }
    }
}

struct Server {
    config: ServerConfig,
    process: Option<Process>,
}

struct Publisher {
    name: Name,
    port: u16,
    /// Where it finds the bus, if not at all servers.
    nats_url: Option<String>,
    process: Option<Process>,
}

/// The bus and its publishers.
pub struct Hub {
    folder: Option<TempDir>,
    launcher: Launcher,
    parts: Parts,
    servers: Vec<Server>,
    leaf: Option<leaf::Leaf>,
    publishers: Vec<Publisher>,
    pulse_period_s: u64,
    publisher_flags: Vec<(&'static str, String)>,
    has_dashboard: bool,
    reader: Login,
    cluster_logins: BTreeMap<String, Login>,
    keys: Option<Box<BusKeys>>,
    api: ApiKeys,
}

impl Drop for Hub {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            eprintln!("kept: {}", folder.keep().display());
        }
    }
}

fn port() -> u16 {
    free_port().expect("a free port")
}

fn signing_seed(publisher: usize) -> [u8; 32] {
    [u8::try_from(publisher + 1).expect("a few publishers"); 32]
}

fn publisher_name(number: usize) -> Name {
    Name::parse(&format!("publisher-{}", number + 1)).expect("a name")
}

impl Hub {
    /// The seed of the key that signs bundles.
    pub const OFFLINE_SEED: [u8; 32] = [99; 32];

    /// Where a publisher finds the key that it signs with.
    pub fn signing_key_file(&self, number: usize) -> std::path::PathBuf {
        self.path().join(format!("publisher-{number}.signing"))
    }

    /// Starts servers, makes the streams, and starts the publishers. `writ`: the executable under test.
    pub async fn start(writ: &str, size: Size) -> Hub {
        let mut hub = Hub::start_without_publishers(writ, size).await;
        for number in 0..hub.publishers.len() {
            hub.start_publisher(number).await;
        }
        hub
    }

    /// Starts servers and makes the streams.
    pub async fn start_without_publishers(writ: &str, size: Size) -> Hub {
        let builder = tempfile::Builder::new().prefix("writ-hub-").tempdir();
        let folder = builder.expect("a folder");
        let path = folder.path();
        let parts = Parts::find_some(&[Part::NatsServer], &Progress::stderr()).await;
        let region = leaf::region();
        let leafs = std::slice::from_ref(&region).get(..usize::from(size.leaf));
        let keys = Box::new(BusKeys::generate(leafs.unwrap_or_default()).expect("keys"));
        let publisher = |name: &Name| Login::of(keys.publisher(name).expect("a publisher"));
        let cluster = |name: &String| {
            let credentials = keys.cluster(
                &ClusterName::parse(name).expect("a name"),
                &Region::parse("eu").expect("a region"),
                &Stage::parse("prod").expect("a stage"),
            );
            (name.clone(), Login::of(credentials.expect("a cluster")))
        };
        let clusters: Vec<(String, Login)> = size.clusters.iter().map(cluster).collect();

        write_keys(path, &keys, size.publishers);
        let api = ApiKeys::make(&path.join("api")).expect("certificates");
        let mut hub = Hub {
            api,
            launcher: Launcher::writ(writ.into()),
            parts: parts.expect("nats-server is there or can be built"),
            servers: server_configs(path, size.servers, &keys),
            leaf: None,
            publishers: (0..size.publishers)
                .map(|number| Publisher {
                    name: publisher_name(number),
                    port: port(),
                    nats_url: None,
                    process: None,
                })
                .collect(),
            pulse_period_s: size.pulse_period_s,
            publisher_flags: size.publisher_flags,
            has_dashboard: size.dashboard,
            reader: publisher(&Name::parse(READER).expect("a name")),
            cluster_logins: clusters.into_iter().collect(),
            keys: None,
            folder: Some(folder),
        };
        for number in 0..size.servers {
            hub.start_server(number).await;
        }
        let installer = Login::of(keys.user(&Role::Installer).expect("an installer"));
        hub.install(installer.clone(), size.servers).await;
        if size.leaf {
            hub.start_leaf(&keys, &installer).await;
        }
        hub.keys = Some(keys);
        hub
    }

    async fn install(&self, login: Login, replicas: usize) {
        let settings = Settings {
            log_bytes_max: 256 << 20,
            acks_bytes_max: 64 << 20,
            ..Settings::with_replicas(replicas)
        };
        // Servers that just found each other take no streams until they have chosen a leader.
        until("the streams are made", async || {
            let inbox = accounts::INSTALLER_INBOX.to_owned();
            let installer = connect(&self.nats_url(), login.clone(), inbox).await?;
            streams::install(&installer, settings).await.ok()
        })
        .await;
    }

    fn path(&self) -> &Path {
        self.folder.as_ref().expect("kept only at the end").path()
    }

    /// All servers, as clients are told them.
    pub fn nats_url(&self) -> String {
        let urls = self
            .servers
            .iter()
            .map(|server| format!("nats://{}", server.config.listen));
        urls.collect::<Vec<_>>().join(",")
    }

    /// The leaf node, if there is one, as its clients are told it.
    pub fn leaf_url(&self) -> Option<String> {
        self.leaf.as_ref().map(leaf::Leaf::url)
    }

    /// Where one server listens.
    pub fn server_address(&self, number: usize) -> std::net::SocketAddr {
        self.servers[number].config.listen
    }

    /// Reads the log as a publisher may.
    pub async fn reader(&self) -> Client {
        let inbox = accounts::publisher_inbox(&Name::parse(READER).expect("a name"));
        until("the reader connects", async || {
            connect(&self.nats_url(), self.reader.clone(), inbox.clone()).await
        })
        .await
    }

    /// Speaks on the bus as a publisher, as whoever stole its identity there can.
    pub async fn publisher_client(&self, number: usize) -> Client {
        let login = Login::File(self.path().join(format!("publisher-{number}.creds")));
        let inbox = accounts::publisher_inbox(&publisher_name(number));
        until("the publisher's identity connects", async || {
            connect(&self.nats_url(), login.clone(), inbox.clone()).await
        })
        .await
    }

    /// Speaks as a cluster.
    pub async fn cluster_client(&self, name: &str) -> Client {
        let inbox = accounts::cluster_inbox(
            &Region::parse("eu").expect("a region"),
            &ClusterName::parse(name).expect("a name"),
        );
        until("the cluster connects", async || {
            let url = match &self.leaf {
                Some(leaf) => leaf.url(),
                None => self.nats_url(),
            };
            connect(&url, self.cluster_logins[name].clone(), inbox.clone()).await
        })
        .await
    }

    /// Makes the bus's identity of a cluster anywhere.
    pub fn identity_of(&self, sender: &Sender) -> Credentials {
        let keys = self.keys.as_ref().expect("it has started");
        let made = keys.cluster(&sender.cluster, &sender.region, &sender.stage);
        made.expect("a cluster")
    }

    /// Speaks as a cluster anywhere, with an identity of it.
    pub async fn client_of(&self, sender: &Sender, identity: Credentials) -> Client {
        let inbox = accounts::cluster_inbox(&sender.region, &sender.cluster);
        let (url, login) = (self.nats_url(), Login::of(identity));
        until("the cluster connects", async || {
            connect(&url, login.clone(), inbox.clone()).await
        })
        .await
    }

    /// A file in the hub's folder.
    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.path().join(name)
    }

    /// The keys that the publishers sign with.
    pub fn trusted(&self) -> Keyring {
        let keys = 0..self.publishers.len();
        Keyring::new(keys.map(|number| SigningKey::from_seed(&signing_seed(number)).public()))
    }

    /// Starts a server that is not running, and waits until it takes connections.
    pub async fn start_server(&mut self, number: usize) {
        let folder = self.path().join(format!("nats-{number}"));
        let log = folder.join("nats.log");
        let spec = Spec::new(
            format!("nats-server {number}"),
            self.parts.path(Part::NatsServer),
            log,
        )
        .flag("config", folder.join("nats.conf"));
        let process = self.launcher.start(spec).await.expect("it starts");
        let address = self.servers[number].config.listen;
        let listens = async || tokio::net::TcpStream::connect(address).await.ok();
        process
            .ready("it listened", DEADLINE, listens)
            .await
            .expect("it listens");
        self.servers[number].process = Some(process);
    }

    /// Kills a server where it stands.
    pub async fn kill_server(&mut self, number: usize) {
        if let Some(process) = self.servers[number].process.take() {
            process.kill().await;
        }
    }

    /// The server that leads the log, once there is one.
    pub async fn leader(&self) -> usize {
        let reader = self.reader().await;
        until("the log has a leader", async || {
            let leader = streams::leader(&reader, Stream::Log).await.ok().flatten()?;
            self.servers
                .iter()
                .position(|server| server.config.name.as_str() == leader)
        })
        .await
    }

    /// Lets a publisher find the bus elsewhere from its next start on: behind a proxy.
    pub fn lead_through(&mut self, publisher: usize, address: std::net::SocketAddr) {
        self.publishers[publisher].nats_url = Some(format!("nats://{address}"));
    }

    /// Starts a publisher that is not running, and waits until it serves.
    pub async fn start_publisher(&mut self, number: usize) {
        self.start_publisher_with(number, None).await;
    }

    /// The same, with a step at which it ends (see the feature `failpoints` of the publisher).
    pub async fn start_publisher_with(&mut self, number: usize, failpoint: Option<&str>) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let process = self.spawn_publisher(number, failpoint).await;
            // Whoever supervises it starts it again where the bus was not there yet.
            let address = ([127, 0, 0, 1], self.publishers[number].port).into();
            let serves = async || {
                let _: &std::net::SocketAddr = &address;
                tokio::net::TcpStream::connect(address).await.ok()?;
                let _ = std::fs::read(self.address_file(number)).ok()?;
                Some(())
            };
            match process.ready("it served", DEADLINE, serves).await {
                Ok(()) => {
                    self.publishers[number].process = Some(process);
                    return;
                }
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
        }
    }

    /// Publishers are started with a variable more, or another value of it, from now on.
    pub fn variable(&mut self, name: &str, value: &str) {
        self.launcher = self.launcher.clone().variable(name, value);
    }

    /// The certificates of every publisher's API.
    pub fn api(&self) -> &ApiKeys {
        &self.api
    }

    /// A file that describes publishers at these addresses to their administrator, for `writ --fleet`.
    pub fn fleet_file(&self, addresses: &str) -> String {
        let name = addresses.replace([':', ','], "-");
        let path = self.path().join(format!("fleet-{name}.yaml"));
        let fleet = self.api.administrator(addresses);
        std::fs::write(&path, fleet.to_text()).expect("the folder can be written");
        path.to_string_lossy().into_owned()
    }

    fn address_file(&self, number: usize) -> std::path::PathBuf {
        self.path().join(format!("publisher-{number}.address"))
    }

    async fn spawn_publisher(&self, number: usize, failpoint: Option<&str>) -> Process {
        let publisher = &self.publishers[number];
        let file = |name: &str| self.path().join(name);
        let _ = std::fs::remove_file(self.address_file(number));
        let writ = self.launcher.writ_executable().expect("writ is known");
        let log = file(&format!("publisher-{number}.log"));
        let url = publisher
            .nats_url
            .clone()
            .unwrap_or_else(|| self.nats_url());
        let mut spec = Spec::new(publisher.name.to_string(), writ, log)
            .arg("__publisher")
            .flag("name", publisher.name.as_str())
            .flag("listen", format!("127.0.0.1:{}", publisher.port))
            .flag("address-file", self.address_file(number))
            .flag("nats-url", url)
            .flag(
                "nats-credentials-file",
                file(&format!("publisher-{number}.creds")),
            )
            .flag(
                "signing-key-file",
                file(&format!("publisher-{number}.signing")),
            )
            .flag(
                match number {
                    0 => "registrar-key-dir",
                    _ => "enrolment-key-dir",
                },
                file("registrar"),
            )
            .flag("trust-file", file("trust"))
            .flag("beat-period-s", "1")
            .flag("beat-expiry-s", "5")
            .flag("pulse-period-s", self.pulse_period_s.to_string());
        for argument in self.api.arguments() {
            spec = spec.arg(argument);
        }
        for (name, value) in &self.publisher_flags {
            spec = spec.flag(name, value);
        }
        if self.has_dashboard && number == 0 {
            spec = spec
                .flag("dashboard", "127.0.0.1:0")
                .flag("dashboard-address-file", file("dashboard.address"));
        }
        if let Some(failpoint) = failpoint {
            spec = spec.env("WRIT_FAILPOINT", failpoint);
        }
        self.launcher.start(spec).await.expect("it starts")
    }

    /// Where the dashboard is, once it is.
    pub async fn dashboard(&self) -> std::net::SocketAddr {
        let path = self.path().join("dashboard.address");
        until("the dashboard has its address", async || {
            std::fs::read_to_string(&path).ok()?.trim().parse().ok()
        })
        .await
    }

    /// What a publisher has logged so far.
    pub fn publisher_log(&self, number: usize) -> String {
        let path = self.path().join(format!("publisher-{number}.log"));
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// Kills a publisher where it stands.
    pub async fn kill_publisher(&mut self, number: usize) {
        if let Some(process) = self.publishers[number].process.take() {
            process.kill().await;
        }
    }

    /// Asks a publisher to end, as whoever replaces it does, and waits for it.
    pub async fn end_publisher(&mut self, number: usize) {
        if let Some(process) = self.publishers[number].process.take() {
            process.stop(DEADLINE).await;
            let status = process.ended();
            assert!(status.is_some_and(|status| status.success()), "{status:?}");
        }
    }

    /// The publishers that ended by themselves.
    pub fn ended_publishers(&self) -> Vec<String> {
        let has_ended = |publisher: &&Publisher| {
            let process = publisher.process.as_ref();
            process.is_none_or(|process| process.ended().is_some())
        };
        let ended = self.publishers.iter().filter(has_ended);
        ended.map(|publisher| publisher.name.to_string()).collect()
    }

    /// The process of a publisher that runs.
    pub fn publisher(&self, number: usize) -> &Process {
        self.publishers[number].process.as_ref().expect("it runs")
    }

    /// Where a publisher serves.
    pub fn address(&self, number: usize) -> String {
        format!("127.0.0.1:{}", self.publishers[number].port)
    }

    /// A way to a publisher that is taken up again whenever it is back.
    pub fn channel(&self, number: usize) -> Channel {
        let channel = self.api.channel(&self.address(number), Some(CALL_TIME_MAX));
        channel.expect("an address")
    }

    /// Policies, by a publisher.
    pub fn policies(&self, number: usize) -> PolicyServiceClient<Channel> {
        PolicyServiceClient::new(self.channel(number))
    }

    /// Clusters, by a publisher.
    pub fn clusters(&self, number: usize) -> ClusterServiceClient<Channel> {
        ClusterServiceClient::new(self.channel(number))
    }

    /// Statuses, by a publisher.
    pub fn acks(&self, number: usize) -> AckServiceClient<Channel> {
        AckServiceClient::new(self.channel(number))
    }
}

async fn connect(url: &str, login: Login, inbox: String) -> Option<Client> {
    let options = Options {
        url: url.to_owned(),
        login,
        inbox,
        name: "test".to_owned(),
        first_connect: FirstConnect::Now,
    };
    writ_bus::connect(options).await.ok()
}
