//! The configuration of a region's leaf node: a nats-server of its own to which the clusters of one
//! region connect, and which holds a mirror of the log.
//!
//! Owns the file's form on the leaf's side. Promises: the same input gives the same bytes; a cluster
//! behind the leaf may say and hear what it may at the hub, and no more, because its account is the
//! same token at both. It is in an account of its own there too, apart from the mirror and from the link:
//! what it asks goes up through the link under reply subjects that the leaf makes.
//! Never: does I/O, or writes a secret: the links' credentials are files of their own, which the
//! server reads whenever it connects.

use std::{net::SocketAddr, path::PathBuf};

use writ_core::name::Region;

use crate::{
    config::{Accounts, Error, File, PAYLOAD_BYTES_MAX, port, quote_path},
    identity::AccountKey,
};

/// How soon a leaf tries again to reach the hub, in seconds: what heals is converged within 20 s.
const RECONNECT_DELAY_S: u32 = 1;

/// How often an idle link is probed, in seconds; two missing answers end it. As the clients do.
const PING_PERIOD_S: u32 = 5;

/// One of the two links of a leaf.
#[derive(Debug, Clone)]
pub struct Link {
    /// The leaf's account at this end.
    pub account: AccountKey,
    /// The credentials of its user at the other end.
    pub credentials: PathBuf,
}

/// One leaf node.
#[derive(Debug, Clone)]
pub struct LeafConfig {
    /// The region that it serves; its name, and that of its JetStream domain, are made of it.
    pub region: Region,
    /// Where the region's clusters connect; port 0 lets the server pick one.
    pub listen: SocketAddr,
    /// Where the mirror is kept.
    pub store_dir: PathBuf,
    /// Where the server writes the ports that it picked.
    pub ports_dir: Option<PathBuf>,
    /// Where the hub listens to leaf nodes; several where it has several servers.
    pub hub: Vec<SocketAddr>,
    /// The link of the streams' account: the log, and what clusters say.
    pub link: Link,
    /// The link of the system account: revocations.
    pub claims: Link,
    /// Whom it believes: the operator's token, and the leaf's own accounts.
    pub accounts: Accounts,
}

/// The JetStream domain of a region's leaf: never that of the hub.
pub fn domain(region: &Region) -> String {
    format!("leaf-{region}")
}

impl LeafConfig {
    /// The text of the configuration file.
    pub fn render(&self) -> Result<String, Error> {
        let name = domain(&self.region);
        let mut file = File::default();
        file.line("# Written by Writ; changes by hand are overwritten.");
        file.line(format_args!("server_name: {name:?}"));
        file.line(format_args!("host: \"{}\"", self.listen.ip()));
        file.line(format_args!("port: {}", port(self.listen)));
        if let Some(dir) = &self.ports_dir {
            file.line(format_args!("ports_file_dir: {}", quote_path(dir)?));
        }
        file.line(format_args!("max_payload: {PAYLOAD_BYTES_MAX}"));
        file.line(format_args!("ping_interval: \"{PING_PERIOD_S}s\""));
        file.open("jetstream {");
        file.line(format_args!("store_dir: {}", quote_path(&self.store_dir)?));
        file.line(format_args!("domain: {name:?}"));
        file.close("}");
        file.open("leafnodes {");
        file.line(format_args!("reconnect: \"{RECONNECT_DELAY_S}s\""));
        file.open("remotes: [");
        // At the hub, the first is in an account of its own, out of reach of the streams.
        for link in [&self.link, &self.claims] {
            self.render_link(&mut file, link)?;
        }
        file.close("]");
        file.close("}");
        self.accounts.render(&mut file)?;
        Ok(file.text)
    }

    fn render_link(&self, file: &mut File, link: &Link) -> Result<(), Error> {
        let hub = self.hub.iter();
        let urls: Vec<String> = hub.map(|hub| format!("\"nats-leaf://{hub}\"")).collect();
        file.open("{");
        file.line(format_args!("urls: [{}]", urls.join(", ")));
        file.line(format_args!("account: {}", link.account));
        file.line(format_args!(
            "credentials: {}",
            quote_path(&link.credentials)?
        ));
        file.close("}");
        Ok(())
    }
}

#[cfg(test)]
#[path = "leaf_tests.rs"]
mod tests;
