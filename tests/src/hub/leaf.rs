//! The leaf node of a hub: a nats-server of its own, of the configuration that Writ generates, to which the
//! hub's clusters connect. It knows the addresses of all servers and keeps a link to one of them.

use std::net::SocketAddr;

use nkeys::KeyPair;
use writ_bus::{
    accounts,
    config::{ClusterUser, LeafLink},
    leaf::LeafConfig,
    mirror,
};
use writ_core::name::Region;
use writ_sandbox::{
    parts::Part,
    process::{Process, Spec},
};

use super::{DEADLINE, Hub, connect, port, public, seed, until};

/// What the server logs after the far end of a link that stands.
const LINKED_TEXT: &str = "Leafnode connection created";

/// A leaf node that runs.
pub(super) struct Leaf {
    process: Process,
    listen: SocketAddr,
}

impl Leaf {
    pub(super) fn url(&self) -> String {
        format!("nats://{}", self.listen)
    }
}

fn region() -> Region {
    Region::parse("eu").expect("a region")
}

/// The link as the hub's servers know it.
pub(super) fn link(key: &KeyPair) -> LeafLink {
    LeafLink {
        region: region(),
        key: public(key),
    }
}

impl Hub {
    pub(super) async fn start_leaf(
        &mut self,
        link: &KeyPair,
        hub_installer: &KeyPair,
        clusters: Vec<ClusterUser>,
    ) {
        let (url, hub_seed) = (self.nats_url(), seed(hub_installer));
        let inbox = accounts::INSTALLER_INBOX;
        until("the feed of the mirror is made", async || {
            let hub = connect(&url, hub_seed.clone(), inbox.to_owned()).await?;
            mirror::install_feed(&hub, &region()).await.ok()
        })
        .await;
        let folder = self.path().join("leaf");
        std::fs::create_dir(&folder).expect("a folder");
        let (installer, listen) = (KeyPair::new_user(), ([127, 0, 0, 1], port()).into());
        let leafs = self.servers.iter();
        let leafs = leafs.filter_map(|server| Some(server.config.leafs.as_ref()?.listen));
        let config = LeafConfig {
            region: region(),
            listen,
            store_dir: folder.join("store"),
            ports_dir: None,
            hub: leafs.collect(),
            seed: seed(link),
            installer: public(&installer),
            clusters,
        };
        let file = folder.join("nats.conf");
        std::fs::write(&file, config.render().expect("a configuration")).expect("it is written");
        let log = folder.join("nats.log");
        let spec = Spec::new("leaf", self.parts.path(Part::NatsServer), log).flag("config", file);
        let process = self.launcher.start(spec).await.expect("it starts");
        let listens = async || tokio::net::TcpStream::connect(listen).await.ok();
        let ready = process.ready("it listened", DEADLINE, listens).await;
        ready.expect("it listens");
        let leaf = Leaf { process, listen };
        let own = seed(&installer);
        until("the mirror is made", async || {
            let client = connect(&leaf.url(), own.clone(), inbox.to_owned()).await?;
            mirror::install(&client, &region()).await.ok()
        })
        .await;
        self.leaf = Some(leaf);
    }

    /// The server at which the leaf's newest link ends, and how many links there have been.
    pub fn linked(&self) -> Option<(usize, usize)> {
        let log = std::fs::read_to_string(self.leaf.as_ref()?.process.log()).ok()?;
        let links: Vec<&str> = log
            .lines()
            .filter(|line| line.contains(LINKED_TEXT))
            .collect();
        let far = links.last()?.split_whitespace();
        let far = far
            .filter_map(|word| word.parse::<SocketAddr>().ok())
            .next()?;
        let server = self.servers.iter().position(|server| {
            server
                .config
                .leafs
                .as_ref()
                .is_some_and(|own| own.listen == far)
        })?;
        Some((server, links.len()))
    }
}
