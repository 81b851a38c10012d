//! The leaf node of a hub: a nats-server of its own, of the configuration that Writ generates, to which the
//! hub's clusters connect. It knows the addresses of all servers and keeps a link to one of them.

use std::net::SocketAddr;

use writ_bus::{
    accounts,
    connection::Login,
    identity::Role,
    leaf::{LeafConfig, Link},
    mirror,
};
use writ_core::name::Region;
use writ_sandbox::{
    identity::BusKeys,
    parts::Part,
    process::{Process, Spec},
};

use super::{DEADLINE, Hub, connect, port, until};

/// What the server logs after the far end of a link that stands.
const LINKED_TEXT: &str = "Leafnode connection created";

/// How it names the account of the link to the log; the other one is for revocations.
const LINKED_ACCOUNT: &str = "/CORE ";

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

pub(super) fn region() -> Region {
    Region::parse("eu").expect("a region")
}

impl Hub {
    pub(super) async fn start_leaf(&mut self, keys: &BusKeys, hub_installer: &Login) {
        let url = self.nats_url();
        let inbox = accounts::INSTALLER_INBOX;
        until("the feed of the mirror is made", async || {
            let hub = connect(&url, hub_installer.clone(), inbox.to_owned()).await?;
            mirror::install_feed(&hub, &region()).await.ok()
        })
        .await;
        let folder = self.path().join("leaf");
        std::fs::create_dir(&folder).expect("a folder");
        let listen = ([127, 0, 0, 1], port()).into();
        let leafs = self.servers.iter();
        let leafs = leafs.filter_map(|server| server.config.leafs);
        let user = |role: &Role| keys.user(role).expect("a user");
        let realm = keys.operator().realm();
        let link = |role: &Role, account, name: &str| {
            let credentials = folder.join(name);
            std::fs::write(&credentials, user(role).to_file()).expect("it is written");
            Link {
                account,
                credentials,
            }
        };
        let config = LeafConfig {
            region: region(),
            listen,
            store_dir: folder.join("store"),
            ports_dir: None,
            hub: leafs.collect(),
            link: link(&Role::Link(region()), realm.core.clone(), "link.creds"),
            claims: link(&Role::ClaimsLink, realm.system.clone(), "claims.creds"),
            accounts: keys
                .leaf_accounts(&region(), folder.join("accounts"))
                .expect("accounts"),
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
        let own = Login::of(user(&Role::LeafInstaller(region())));
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
            .filter(|line| line.contains(LINKED_TEXT) && line.contains(LINKED_ACCOUNT))
            .collect();
        let far = links.last()?.split_whitespace();
        let far = far
            .filter_map(|word| word.parse::<SocketAddr>().ok())
            .next()?;
        let servers = &mut self.servers.iter();
        let server = servers.position(|server| server.config.leafs == Some(far))?;
        Some((server, links.len()))
    }
}
