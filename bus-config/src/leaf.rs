//! The configuration of a region's leaf node: a nats-server of its own to which the clusters of one
//! region connect, and which holds a mirror of the log.
//!
//! Owns the file's form on the leaf's side; the hub's side is part of [`crate::config`].
//! Promises: the same input gives the same bytes; a cluster behind the leaf may say and hear what it
//! may at the hub, and no more. It is in an account of its own there too, apart from the mirror and
//! from the link: what it asks goes up through the link under reply subjects that the leaf makes.
//! Never: does I/O.

use std::{net::SocketAddr, path::PathBuf};

use nkeys::{KeyPair, KeyPairType};
use writ_core::name::Region;

use crate::{
    accounts::{self, AGENTS, CORE, DIRECT_GET_PREFIXES, LIVE, READABLE, SERVICES},
    config::{
        ClusterUser, Error, File, PAYLOAD_BYTES_MAX, PublicKey, check_keys, port, quote_path,
        render_cluster_users, render_user,
    },
    streams::LOG,
};

/// How soon a leaf tries again to reach the hub, in seconds: what heals is converged within 20 s.
const RECONNECT_DELAY_S: u32 = 1;

/// How often an idle link is probed, in seconds; two missing answers end it. As the clients do.
const PING_PERIOD_S: u32 = 5;

/// One leaf node. Has no `Debug`, because of the seed.
#[derive(Clone)]
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
    /// The seed of the link's key (`SU…`), whose public half the hub knows. It stands in the file.
    pub seed: String,
    /// The user that creates the mirror.
    pub installer: PublicKey,
    /// The region's clusters.
    pub clusters: Vec<ClusterUser>,
}

/// The JetStream domain of a region's leaf: never that of the hub.
pub fn domain(region: &Region) -> String {
    format!("leaf-{region}")
}

impl LeafConfig {
    /// The text of the configuration file. It holds a secret.
    pub fn render(&self) -> Result<String, Error> {
        let seed = self.seed.trim();
        let link = KeyPair::from_seed(seed).ok();
        let link = link.filter(|link| link.key_pair_type() == KeyPairType::User);
        if link.is_none() {
            return Err(Error::Seed);
        }
        let keys = self.clusters.iter().map(|user| &user.key);
        check_keys(std::iter::once(&self.installer).chain(keys))?;
        if let Some(stray) = self.clusters.iter().find(|user| user.region != self.region) {
            return Err(Error::Region {
                cluster: stray.name.clone(),
                region: self.region.clone(),
            });
        }
        let name = domain(&self.region);
        let mut file = File::default();
        file.line("# Written by Writ; changes by hand are overwritten. Holds a secret.");
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
        self.render_link(&mut file, seed);
        file.open("accounts {");
        self.render_core(&mut file);
        self.render_agents(&mut file);
        file.close("}");
        Ok(file.text)
    }

    /// One link. At the hub it is in an account of its own, out of reach of the streams.
    fn render_link(&self, file: &mut File, seed: &str) {
        file.open("leafnodes {");
        file.line(format_args!("reconnect: \"{RECONNECT_DELAY_S}s\""));
        file.open("remotes: [");
        file.open("{");
        let urls: Vec<String> = self
            .hub
            .iter()
            .map(|hub| format!("\"nats-leaf://{hub}\""))
            .collect();
        file.line(format_args!("urls: [{}]", urls.join(", ")));
        file.line(format_args!("account: {CORE}"));
        file.line(format_args!("nkey: {seed}"));
        file.close("}");
        file.close("]");
        file.close("}");
    }

    fn render_core(&self, file: &mut File) {
        file.open(format_args!("{CORE} {{"));
        file.line("jetstream: enabled");
        file.open("exports: [");
        for subject in services() {
            file.line(format_args!(
                "{{ service: \"{subject}\", accounts: [{AGENTS}] }}"
            ));
        }
        file.line(format_args!(
            "{{ stream: \"{LIVE}\", accounts: [{AGENTS}] }}"
        ));
        file.close("]");
        file.open("users: [");
        render_user(
            file,
            "the installer",
            &self.installer,
            &accounts::leaf_installer(),
        );
        file.close("]");
        file.close("}");
    }

    fn render_agents(&self, file: &mut File) {
        file.open(format_args!("{AGENTS} {{"));
        file.open("imports: [");
        for subject in services() {
            file.line(format_args!(
                "{{ service: {{ account: {CORE}, subject: \"{subject}\" }} }}"
            ));
        }
        file.line(format_args!(
            "{{ stream: {{ account: {CORE}, subject: \"{LIVE}\" }} }}"
        ));
        file.close("]");
        render_cluster_users(file, &self.clusters);
        file.close("}");
    }
}

/// What the clusters' account is given: reads of the mirror, reads of the hub, and what goes up.
fn services() -> impl Iterator<Item = String> {
    let reads = DIRECT_GET_PREFIXES.iter().flat_map(|prefix| {
        READABLE
            .iter()
            .map(move |subject| format!("{prefix}.{LOG}.{subject}"))
    });
    reads.chain(SERVICES.map(str::to_owned))
}

#[cfg(test)]
#[path = "leaf_tests.rs"]
mod tests;
