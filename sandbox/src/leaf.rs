//! A region's leaf node: a nats-server of its own for the region's clusters, with a mirror of what
//! they may read, behind a link that can be cut.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use writ_bus::connection::Login;
use writ_bus::identity::Role;
use writ_bus::leaf::{LeafConfig, Link};
use writ_core::name::Region;

use crate::bus::{self, Error};
use crate::files;
use crate::identity::BusKeys;
use crate::keys;
use crate::parts::{Part, Parts};
use crate::process::{Launcher, Process, STOP_LIMIT, Spec};
use crate::relay::Relay;

/// A running leaf node. Dropping it kills the server.
#[derive(Debug)]
pub struct Leaf {
    process: Process,
    launcher: Launcher,
    spec: Spec,
    ports: PathBuf,
    installer: Login,
    url: String,
    config_file: PathBuf,
    config: LeafConfig,
    relay: Relay,
}

impl Leaf {
    /// Starts the server and makes the mirror.
    pub(crate) async fn start(
        launcher: &Launcher,
        parts: &Parts,
        folder: &Path,
        region: &Region,
        hub: SocketAddr,
        bus_keys: &BusKeys,
    ) -> Result<Leaf, Error> {
        let name = format!("leaf-{region}");
        let installer = bus_keys.user(&Role::LeafInstaller(region.clone()))?;
        keys::keep(
            &folder.join(format!("keys/{name}-installer.creds")),
            &installer,
        )?;
        let realm = bus_keys.operator().realm();
        let link = |role: &Role, account, word: &str| {
            let credentials = folder.join(format!("keys/{name}-{word}.creds"));
            keys::keep(&credentials, &bus_keys.user(role)?)?;
            Ok::<_, Error>(Link {
                account,
                credentials,
            })
        };
        let own = folder.join(&name);
        let ports = own.join("ports");
        files::make_folder(&ports)?;
        let relay = Relay::to(hub).await.map_err(Error::Relay)?;
        let config = LeafConfig {
            region: region.clone(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            store_dir: own.join("jetstream"),
            ports_dir: Some(ports.clone()),
            hub: vec![relay.address()],
            link: link(&Role::Link(region.clone()), realm.core.clone(), "link")?,
            claims: link(&Role::ClaimsLink, realm.system.clone(), "claims")?,
            accounts: bus_keys.leaf_accounts(region, own.join("accounts"))?,
        };
        let config_file = own.join("server.conf");
        files::write(&config_file, config.render()?)?;
        let log = folder.join(format!("logs/{name}.log"));
        let spec = Spec::new(name, parts.path(Part::NatsServer), log).flag("config", &config_file);
        let process = launcher.start(spec.clone()).await?;
        let url = bus::wait_for_url(&process, &ports).await?;
        let installer = Login::of(installer);
        let client = bus::connect(&url, &installer).await?;
        writ_bus::mirror::install(&client, region).await?;
        Ok(Leaf {
            process,
            launcher: launcher.clone(),
            spec,
            ports,
            installer,
            url,
            config_file,
            config,
            relay,
        })
    }

    /// Where the region's clusters connect.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The link to the hub.
    pub fn link(&self) -> &Relay {
        &self.relay
    }

    /// Throws away the mirror and begins another, on the same address.
    pub(crate) async fn mirror_anew(&mut self) -> Result<(), Error> {
        self.stop().await;
        files::remove_folder(&self.config.store_dir)?;
        let address = self.url.strip_prefix("nats://").unwrap_or(&self.url);
        if let Ok(address) = address.parse() {
            self.config.listen = address;
        }
        files::write(&self.config_file, self.config.render()?)?;
        self.process = self.launcher.start(self.spec.clone()).await?;
        self.url = bus::wait_for_url(&self.process, &self.ports).await?;
        let client = bus::connect(&self.url, &self.installer).await?;
        Ok(writ_bus::mirror::install(&client, &self.config.region).await?)
    }

    pub(crate) async fn stop(&self) {
        self.process.stop(STOP_LIMIT).await;
    }
}
