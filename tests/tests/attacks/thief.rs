//! A server of the bus that is a thief's: of the fleet's own configuration, operator and accounts, with a
//! copy of what the log was at a time.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use writ_bus::{
    Client, accounts,
    batch::{Batch, Message, Outcome, commit},
    connection::{FirstConnect, Login, Options},
    log as bus_log,
    streams::Stream,
};
use writ_sandbox::{
    parts::Part,
    process::{Launcher, Process, Spec},
};
use writ_tests::folder::copy;

use crate::scene::{LIMIT, Scene, wait_for};

/// A copy of everything that the bus stored.
pub(crate) struct Copy(tempfile::TempDir);

impl Copy {
    /// Takes one of a bus that is stopped for it.
    pub(crate) async fn take(scene: &mut Scene) -> Copy {
        let folder = tempfile::tempdir().unwrap();
        scene.fleet.stop_bus().await;
        copy(
            &scene.fleet.store_folder(),
            &folder.path().join("jetstream"),
        );
        scene.fleet.start_bus().await.unwrap();
        Copy(folder)
    }
}

/// The thief's server. Dropping it kills it.
pub(crate) struct Thief {
    process: Process,
    address: SocketAddr,
    credentials: PathBuf,
}

impl Thief {
    /// Starts it with a copy, or with nothing.
    pub(crate) async fn start(scene: &Scene, name: &str, stored: Option<Copy>) -> Thief {
        let dir = scene.fleet.dir();
        let (genuine, own) = (dir.join("nats"), dir.join(name));
        fs::create_dir_all(own.join("ports")).unwrap();
        if let Some(stored) = stored {
            copy(stored.0.path(), &own);
        }
        let config = fs::read_to_string(genuine.join("server.conf")).unwrap();
        let (genuine, of_thief) = (genuine.display().to_string(), own.display().to_string());
        let port = scene.fleet.bus_url().rsplit(':').next().unwrap();
        let config = config
            .replace(&genuine, &of_thief)
            .replace(&format!("port: {port}"), "port: -1");
        fs::write(own.join("server.conf"), config).unwrap();
        let launcher = Launcher::writ(PathBuf::from(env!("CARGO_BIN_EXE_writ-under-test")));
        let log = dir.join("logs").join(format!("{name}.log"));
        let server = scene.fleet.part(Part::NatsServer);
        let spec = Spec::new(name, server, log).flag("config", own.join("server.conf"));
        let process = launcher.start(spec).await.unwrap();
        let listens = async || listening(&own.join("ports"));
        let address = process.ready("it listens", LIMIT, listens).await.unwrap();
        Thief {
            process,
            address,
            credentials: scene.key_file("publisher-1.creds"),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn stop(self) {
        self.process.kill().await;
    }

    /// Whoever owns the server is whom he wants to be on it.
    pub(crate) async fn client(&self) -> Client {
        let options = Options {
            url: format!("nats://{}", self.address),
            login: Login::File(self.credentials.clone()),
            inbox: accounts::publisher_inbox(&"publisher-1".parse().unwrap()),
            name: "thief".to_owned(),
            first_connect: FirstConnect::Now,
        };
        wait_for("the thief connects", async || {
            let options = Options {
                url: options.url.clone(),
                login: options.login.clone(),
                inbox: options.inbox.clone(),
                name: options.name.clone(),
                first_connect: FirstConnect::Now,
            };
            writ_bus::connect(options).await.ok()
        })
        .await
    }

    /// Stores every event again that he has, the last first: all of them are heard live. How many.
    pub(crate) async fn repeat_backwards(&self, client: &Client) -> usize {
        let (stored, _) = bus_log::read_all(client, Stream::Log).await.unwrap();
        let is_event = |subject: &str| subject.starts_with("writ.event.");
        let events = stored
            .into_iter()
            .rev()
            .filter(|stored| is_event(&stored.subject.to_string()));
        let messages: Vec<Message> = events
            .map(|stored| Message {
                subject: stored.subject,
                bytes: stored.bytes,
            })
            .collect();
        let count = messages.len();
        let outcome = commit(client, &Batch::part(messages).unwrap()).await;
        assert!(
            matches!(outcome, Ok(Outcome::Committed { .. })),
            "{outcome:?}"
        );
        count
    }
}

/// The server writes a file with its address when it listens.
fn listening(folder: &Path) -> Option<SocketAddr> {
    let file = fs::read_dir(folder).ok()?.flatten().next()?;
    let ports: serde_json::Value = serde_json::from_slice(&fs::read(file.path()).ok()?).ok()?;
    let url = ports["nats"][0].as_str()?.to_owned();
    url.strip_prefix("nats://")?.parse().ok()
}
