//! A bus and a publisher of a test's own, ended with it.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use nkeys::KeyPair;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use writ_bus::{
    Client,
    config::{ClusterUser, PublicKey, PublisherUser, ServerConfig},
    connection::{FirstConnect, Options},
    streams::{self, Settings},
};
use writ_core::{
    envelope::SigningKey,
    name::{ClusterName, Name, Region, Stage},
};
use writ_proto::{
    trust::{self, TrustBundle},
    v1::{
        ack_service_client::AckServiceClient, cluster_service_client::ClusterServiceClient,
        history_service_client::HistoryServiceClient, policy_service_client::PolicyServiceClient,
    },
};
use writ_sandbox::{
    api::ApiKeys,
    parts::{Part, Parts},
    progress::Progress,
};

/// Longest wait for anything; reached only by a failure.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Waits until `look` finds something.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// A bus, the keys of one publisher and of two clusters, and the publisher.
pub(crate) struct Fleet {
    pub(crate) folder: TempDir,
    pub(crate) url: String,
    pub(crate) bus_seeds: Vec<(ClusterName, String)>,
    _server: Child,
    publisher: Option<Child>,
    pub(crate) api: ApiKeys,
    pub(crate) further_args: Vec<String>,
    address: Option<SocketAddr>,
}

/// The clusters that the bus lets in.
pub(crate) const CLUSTERS: [&str; 2] = ["eu-prod-1", "eu-prod-2"];

/// The key with which publishers sign.
pub(crate) fn signing_key() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

/// The key with which a cluster signs what it says.
pub(crate) fn ack_key(cluster: &str) -> SigningKey {
    let place = CLUSTERS
        .iter()
        .position(|name| *name == cluster)
        .unwrap_or(CLUSTERS.len());
    SigningKey::from_seed(&[u8::try_from(10 + place).unwrap(); 32])
}

fn public(pair: &KeyPair) -> PublicKey {
    PublicKey::parse(&pair.public_key()).unwrap()
}

impl Fleet {
    /// Starts everything.
    pub(crate) async fn start() -> Fleet {
        let mut fleet = Fleet::start_bus().await;
        fleet.start_publisher().await;
        fleet
    }

    /// Starts everything but the publisher.
    pub(crate) async fn start_bus() -> Fleet {
        let folder = tempfile::Builder::new()
            .prefix("writ-publisher-")
            .tempdir()
            .unwrap();
        let [installer, publisher] = [KeyPair::new_user(), KeyPair::new_user()];
        let pairs = CLUSTERS.map(|name| (ClusterName::parse(name).unwrap(), KeyPair::new_user()));
        let user = |(name, pair): &(ClusterName, KeyPair)| ClusterUser {
            name: name.clone(),
            region: Region::parse("eu").unwrap(),
            stage: Stage::parse("prod").unwrap(),
            key: public(pair),
        };
        let ports = folder.path().join("ports");
        fs::create_dir(&ports).unwrap();
        let config = ServerConfig {
            name: Name::parse("test").unwrap(),
            listen: ([127, 0, 0, 1], 0).into(),
            store_dir: folder.path().join("store"),
            ports_dir: Some(ports.clone()),
            peers: None,
            leafs: None,
            installer: public(&installer),
            publishers: vec![PublisherUser {
                name: Name::parse("publisher-1").unwrap(),
                key: public(&publisher),
            }],
            clusters: pairs.iter().map(user).collect(),
        };
        write(
            folder.path(),
            "nats.conf",
            config.render().unwrap().as_bytes(),
        );
        write(
            folder.path(),
            "bus.seed",
            publisher.seed().unwrap().as_bytes(),
        );
        let seed = data_encoding::BASE64.encode(&[1; 32]);
        write(folder.path(), "signing.key", seed.as_bytes());
        let bundle = TrustBundle::first([signing_key().public()]);
        let trust = trust::to_file(&bundle, &SigningKey::from_seed(&[9; 32]));
        write(folder.path(), "trust", &trust);

        let api = ApiKeys::make(&folder.path().join("api")).unwrap();
        let parts = Parts::find_some(&[Part::NatsServer], &Progress::stderr())
            .await
            .expect("nats-server");
        let log = fs::File::create(folder.path().join("nats.log")).unwrap();
        let server = Command::new(parts.path(Part::NatsServer))
            .arg("--config")
            .arg(folder.path().join("nats.conf"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let url = until("nats-server listens", async || read_url(&ports)).await;
        let installer = until("the installer connects", async || {
            let seed = installer.seed().unwrap();
            connect(&url, seed, writ_bus::accounts::INSTALLER_INBOX.to_owned()).await
        })
        .await;
        streams::install(&installer, Settings::with_replicas(1))
            .await
            .unwrap();
        let bus_seeds = pairs
            .into_iter()
            .map(|(name, pair)| (name, pair.seed().unwrap()))
            .collect();
        Fleet {
            folder,
            url,
            bus_seeds,
            _server: server,
            publisher: None,
            api,
            further_args: Vec::new(),
            address: None,
        }
    }

    /// Starts the publisher and waits until it serves.
    pub(crate) async fn start_publisher(&mut self) {
        let file = |name: &str| self.folder.path().join(name);
        let address_file = file("address");
        let _ = fs::remove_file(&address_file);
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(file("publisher.log"));
        let child = Command::new(env!("CARGO_BIN_EXE_writ-publisher"))
            .args(["--nats-url", &self.url])
            .args([
                "--beat-period-s",
                "1",
                "--beat-expiry-s",
                "5",
                "--pulse-period-s",
                "1",
            ])
            .arg("--nats-nkey-file")
            .arg(file("bus.seed"))
            .arg("--signing-key-file")
            .arg(file("signing.key"))
            .arg("--trust-file")
            .arg(file("trust"))
            .arg("--address-file")
            .arg(&address_file)
            .args(self.api.arguments())
            .args(&self.further_args)
            .stderr(log.unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.publisher = Some(child);
        let address = until("the publisher serves", async || {
            if let Some(status) = self.publisher.as_mut().unwrap().try_wait().unwrap() {
                panic!("the publisher ended: {status}\n{}", self.log());
            }
            fs::read_to_string(&address_file).ok()?.trim().parse().ok()
        })
        .await;
        self.address = Some(address);
    }

    /// Kills the publisher where it stands, and starts another one.
    pub(crate) async fn restart_publisher(&mut self) {
        self.publisher.as_mut().unwrap().kill().await.unwrap();
        self.start_publisher().await;
    }

    /// Asks the publisher to end, and waits for it.
    pub(crate) async fn end_publisher(&mut self) -> std::process::ExitStatus {
        let mut child = self.publisher.take().unwrap();
        let pid = child.id().unwrap().to_string();
        let asked = Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .await
            .unwrap();
        assert!(asked.success());
        tokio::time::timeout(DEADLINE, child.wait())
            .await
            .expect("it ends")
            .unwrap()
    }

    /// The seed of the publisher's identity on the bus.
    pub(crate) fn publisher_seed(&self) -> String {
        fs::read_to_string(self.folder.path().join("bus.seed")).unwrap()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("publisher.log")).unwrap_or_default()
    }

    pub(crate) fn channel(&self) -> Channel {
        let address = self.address.unwrap().to_string();
        self.api.channel(&address, None).unwrap()
    }

    /// A channel of whoever shows what a fleet's file names, and this token.
    pub(crate) fn channel_of(&self, shows: &writ_connect::Fleet, token: Option<&str>) -> Line {
        let mut fleet = shows.clone();
        fleet.address = self.address().to_string();
        let way = writ_connect::Way::of(&fleet).unwrap();
        let channel = way.endpoint().connect_with_connector_lazy(way.connector());
        let token = token.map(|token| format!("Bearer {token}").parse().unwrap());
        InterceptedService::new(channel, Bearer(token))
    }

    /// Where the publisher serves.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address.unwrap()
    }

    pub(crate) fn policies(&self) -> PolicyServiceClient<Channel> {
        PolicyServiceClient::new(self.channel())
    }

    pub(crate) fn clusters(&self) -> ClusterServiceClient<Channel> {
        ClusterServiceClient::new(self.channel())
    }

    pub(crate) fn history(&self) -> HistoryServiceClient<Channel> {
        HistoryServiceClient::new(self.channel())
    }

    pub(crate) fn acks(&self) -> AckServiceClient<Channel> {
        AckServiceClient::new(self.channel())
    }
}

/// A channel that shows a token.
pub(crate) type Line = InterceptedService<Channel, Bearer>;

/// Puts a token into every call.
#[derive(Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// Connects to the bus; nothing while the server does not let one in.
pub(crate) async fn connect(url: &str, seed: String, inbox: String) -> Option<Client> {
    let (url, name) = (url.to_owned(), "test".to_owned());
    let first_connect = FirstConnect::Now;
    writ_bus::connect(Options {
        url,
        seed,
        inbox,
        name,
        first_connect,
    })
    .await
    .ok()
}

fn read_url(ports: &Path) -> Option<String> {
    let file = fs::read_dir(ports).ok()?.next()?.ok()?.path();
    let ports: serde_json::Value = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    Some(ports["nats"][0].as_str()?.to_owned())
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    path
}
