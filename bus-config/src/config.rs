//! The configuration of a nats-server, as text.
//!
//! Owns the file's form. Promises: the same input gives the same bytes; nothing goes into the text
//! that was not checked, so that no name, key or path can add a setting of its own.
//! Never: does I/O; whoever runs the server writes the file and asks for the reload.

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use writ_core::name::{ClusterName, Name, Region, Stage};

pub use crate::identity::PublicKey;
use crate::{
    accounts::{self, AGENTS, CORE, HUB_DOMAIN, LIVE, LinkService, Permissions, SERVICES},
    mirror,
};

/// Largest message that a server takes, headers included: [`crate::batch::MESSAGE_BYTES_MAX`] and
/// room for the headers of a batch. It is also the default of nats-server.
pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// Shortest secret between the servers of one cluster, in characters.
const ROUTE_SECRET_LENGTH_MIN: usize = 22;

/// Why a configuration can't be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path that could end its quotation, or is not text.
    #[error("{} can't stand in a server configuration", .0.display())]
    Path(PathBuf),
    /// A secret that is short or has other characters than letters and digits.
    #[error(
        "the secret between servers has to be at least {ROUTE_SECRET_LENGTH_MIN} letters and digits"
    )]
    Secret,
    /// Not the seed of a NATS user (`SU…`).
    #[error("the link's seed is not that of a user")]
    Seed,
    /// A cluster of another region.
    #[error("cluster {cluster} is not of the region {region} of this leaf node")]
    Region {
        /// Which.
        cluster: ClusterName,
        /// The leaf's.
        region: Region,
    },
    /// Two links of one region: the server would feed two mirrors from one consumer.
    #[error("the region {0} has two links")]
    RegionTwice(Region),
    /// Two users with one key: the server would give one of them the other's permissions.
    #[error("the key {0} belongs to two users")]
    KeyTwice(PublicKey),
}

/// A publisher's user.
#[derive(Debug, Clone)]
pub struct PublisherUser {
    /// Its name, which is part of its inboxes.
    pub name: Name,
    /// Its key.
    pub key: PublicKey,
}

/// A cluster's user.
#[derive(Debug, Clone)]
pub struct ClusterUser {
    /// Name of the registry entry.
    pub name: ClusterName,
    /// Its region.
    pub region: Region,
    /// Its stage.
    pub stage: Stage,
    /// The key of its NATS identity.
    pub key: PublicKey,
}

/// What servers of one NATS cluster know of each other.
#[derive(Debug, Clone)]
pub struct Peers {
    /// Name of the NATS cluster, the same on all its servers.
    pub name: Name,
    /// Where this server listens to the others.
    pub listen: SocketAddr,
    /// The other servers.
    pub routes: Vec<SocketAddr>,
    /// What they show each other; letters and digits, at least 22.
    pub secret: String,
}

/// The link of a region's leaf node.
#[derive(Debug, Clone)]
pub struct LeafLink {
    /// The region that it serves.
    pub region: Region,
    /// The key with which the leaf links.
    pub key: PublicKey,
}

/// The leaf nodes that a hub takes.
#[derive(Debug, Clone)]
pub struct Leafs {
    /// Where the hub listens to them; port 0 lets the server pick one, which only its log names.
    pub listen: SocketAddr,
    /// One for each region that has a leaf.
    pub links: Vec<LeafLink>,
}

/// One server of the bus.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Name of the server, unique in its NATS cluster.
    pub name: Name,
    /// Where clients connect; port 0 lets the server pick one (see `ports_dir`).
    pub listen: SocketAddr,
    /// Where the streams are kept.
    pub store_dir: PathBuf,
    /// Where the server writes the ports that it picked, as `<executable>_<pid>.ports`.
    pub ports_dir: Option<PathBuf>,
    /// The other servers, where the streams have replicas.
    pub peers: Option<Peers>,
    /// The leaf nodes, where regions have them.
    pub leafs: Option<Leafs>,
    /// The user that creates the streams.
    pub installer: PublicKey,
    /// The publishers.
    pub publishers: Vec<PublisherUser>,
    /// The clusters.
    pub clusters: Vec<ClusterUser>,
}

impl ServerConfig {
    /// The text of the configuration file. Users are written in the order of their names, so that
    /// the order of registration doesn't change the file.
    pub fn render(&self) -> Result<String, Error> {
        self.check()?;
        let mut file = File::default();
        file.line("# Written by Writ; changes by hand are overwritten.");
        file.line(format_args!("server_name: {:?}", self.name.as_str()));
        file.line(format_args!("host: \"{}\"", self.listen.ip()));
        file.line(format_args!("port: {}", port(self.listen)));
        if let Some(dir) = &self.ports_dir {
            file.line(format_args!("ports_file_dir: {}", quote_path(dir)?));
        }
        file.line(format_args!("max_payload: {PAYLOAD_BYTES_MAX}"));
        file.open("jetstream {");
        file.line(format_args!("store_dir: {}", quote_path(&self.store_dir)?));
        file.line(format_args!("domain: {HUB_DOMAIN}"));
        file.line("# The default of two minutes loses acknowledged writes when the power goes.");
        file.line("sync_interval: always");
        file.close("}");
        if let Some(peers) = &self.peers {
            render_peers(&mut file, peers)?;
        }
        if let Some(leafs) = &self.leafs {
            file.open("leafnodes {");
            file.line(format_args!("host: \"{}\"", leafs.listen.ip()));
            file.line(format_args!("port: {}", port(leafs.listen)));
            file.close("}");
        }
        file.open("accounts {");
        self.render_core(&mut file);
        self.render_agents(&mut file);
        self.render_links(&mut file);
        file.close("}");
        Ok(file.text)
    }

    fn render_core(&self, file: &mut File) {
        file.open(format_args!("{CORE} {{"));
        file.line("jetstream: enabled");
        file.open("exports: [");
        let served: BTreeSet<_> = accounts::direct_gets()
            .into_iter()
            .map(|get| get.served)
            .collect();
        let links = self.links();
        let accounts: Vec<String> = std::iter::once(AGENTS.to_owned())
            .chain(
                links
                    .iter()
                    .map(|link| accounts::link_account(&link.region)),
            )
            .collect();
        let all = accounts.join(", ");
        for subject in served.iter().map(String::as_str).chain(SERVICES) {
            file.line(format_args!(
                "{{ service: \"{subject}\", accounts: [{all}] }}"
            ));
        }
        file.line(format_args!("{{ stream: \"{LIVE}\", accounts: [{all}] }}"));
        for link in links {
            let own = accounts::link_account(&link.region);
            let services = accounts::link_services(&link.region).into_iter();
            let served: BTreeSet<_> = services.map(|service| service.served).collect();
            for served in served {
                file.line(format_args!(
                    "{{ service: \"{served}\", accounts: [{own}] }}"
                ));
            }
            let delivered = mirror::deliver_subject(&link.region);
            file.line(format_args!(
                "{{ stream: \"{delivered}\", accounts: [{own}] }}"
            ));
        }
        file.close("]");
        file.open("users: [");
        render_user(
            file,
            "the installer",
            &self.installer,
            &accounts::installer(),
        );
        let mut publishers: Vec<_> = self.publishers.iter().collect();
        publishers.sort_by(|a, b| a.name.cmp(&b.name));
        for user in publishers {
            render_user(
                file,
                user.name.as_str(),
                &user.key,
                &accounts::publisher().of(user.name.as_str(), None),
            );
        }
        file.close("]");
        file.close("}");
    }

    fn render_agents(&self, file: &mut File) {
        file.open(format_args!("{AGENTS} {{"));
        file.open("imports: [");
        self.render_common_imports(file);
        file.close("]");
        render_cluster_users(file, &self.clusters);
        file.close("}");
    }

    /// What every account of clusters is given, whether they are at the hub or behind a leaf.
    fn render_common_imports(&self, file: &mut File) {
        for get in accounts::direct_gets() {
            render_service_import(file, &get.asked, &get.served);
        }
        for subject in SERVICES {
            render_service_import(file, subject, subject);
        }
        file.line(format_args!(
            "{{ stream: {{ account: {CORE}, subject: \"{LIVE}\" }} }}"
        ));
    }

    /// An account for each link, so that no leaf sees what another one is answered.
    fn render_links(&self, file: &mut File) {
        for link in self.links() {
            let region = &link.region;
            file.open(format_args!("{} {{", accounts::link_account(region)));
            file.open("imports: [");
            self.render_common_imports(file);
            for LinkService { asked, served } in accounts::link_services(region) {
                render_service_import(file, &asked, &served);
            }
            let delivered = mirror::deliver_subject(region);
            file.line(format_args!(
                "{{ stream: {{ account: {CORE}, subject: \"{delivered}\" }} }}"
            ));
            file.close("]");
            file.open("users: [");
            let who = format!("the leaf of {region}");
            render_user(file, &who, &link.key, &accounts::link(region));
            file.close("]");
            file.close("}");
        }
    }

    /// The links in the order of their regions.
    fn links(&self) -> Vec<&LeafLink> {
        let mut links: Vec<_> = self.leafs.iter().flat_map(|leafs| &leafs.links).collect();
        links.sort_by(|a, b| a.region.cmp(&b.region));
        links
    }

    fn check(&self) -> Result<(), Error> {
        let publishers = self.publishers.iter().map(|user| &user.key);
        let clusters = self.clusters.iter().map(|user| &user.key);
        let links = self.links();
        check_keys(
            std::iter::once(&self.installer)
                .chain(publishers)
                .chain(clusters)
                .chain(links.iter().map(|link| &link.key)),
        )?;
        match links
            .windows(2)
            .find(|pair| pair[0].region == pair[1].region)
        {
            Some(pair) => Err(Error::RegionTwice(pair[0].region.clone())),
            None => Ok(()),
        }
    }
}

/// Refuses a key that is given twice.
pub(crate) fn check_keys<'a>(keys: impl Iterator<Item = &'a PublicKey>) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for key in keys {
        if !seen.insert(key) {
            return Err(Error::KeyTwice(key.clone()));
        }
    }
    Ok(())
}

fn render_service_import(file: &mut File, asked: &str, served: &str) {
    let to = if asked == served {
        String::new()
    } else {
        format!(", to: \"{asked}\"")
    };
    file.line(format_args!(
        "{{ service: {{ account: {CORE}, subject: \"{served}\" }}{to} }}"
    ));
}

/// The users of the clusters' account, in the order of their names.
pub(crate) fn render_cluster_users(file: &mut File, clusters: &[ClusterUser]) {
    file.open("users: [");
    let mut clusters: Vec<_> = clusters.iter().collect();
    clusters.sort_by(|a, b| a.name.cmp(&b.name));
    for user in clusters {
        let place = Some((&user.region, &user.stage));
        let permissions = accounts::cluster().of(user.name.as_str(), place);
        render_user(file, user.name.as_str(), &user.key, &permissions);
    }
    file.close("]");
}

fn render_peers(file: &mut File, peers: &Peers) -> Result<(), Error> {
    let plain = peers
        .secret
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric());
    if !plain || peers.secret.len() < ROUTE_SECRET_LENGTH_MIN {
        return Err(Error::Secret);
    }
    file.open("cluster {");
    file.line(format_args!("name: {:?}", peers.name.as_str()));
    file.line(format_args!("host: \"{}\"", peers.listen.ip()));
    file.line(format_args!("port: {}", port(peers.listen)));
    file.line(format_args!(
        "authorization {{ user: route, password: \"{}\" }}",
        peers.secret
    ));
    file.open("routes: [");
    for route in &peers.routes {
        file.line(format_args!("\"nats://route:{}@{route}\"", peers.secret));
    }
    file.close("]");
    file.close("}");
    Ok(())
}

pub(crate) fn render_user(file: &mut File, who: &str, key: &PublicKey, permissions: &Permissions) {
    file.line(format_args!("# {who}"));
    file.open(format_args!("{{ nkey: {key}, permissions: {{"));
    for (verb, subjects) in [
        ("publish", &permissions.publish),
        ("subscribe", &permissions.subscribe),
    ] {
        file.open(format_args!("{verb}: {{ allow: ["));
        for subject in subjects {
            file.line(format_args!("\"{subject}\""));
        }
        file.close("] }");
    }
    file.close("} }");
}

/// The server's word for "pick one" is -1.
pub(crate) fn port(address: SocketAddr) -> i32 {
    if address.port() == 0 {
        -1
    } else {
        i32::from(address.port())
    }
}

pub(crate) fn quote_path(path: &Path) -> Result<String, Error> {
    match path.to_str() {
        Some(text) if !text.is_empty() && !text.contains(['"', '\\']) && !has_control(text) => {
            Ok(format!("\"{text}\""))
        }
        _ => Err(Error::Path(path.to_owned())),
    }
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// Indented lines.
#[derive(Default)]
pub(crate) struct File {
    pub(crate) text: String,
    depth: usize,
}

impl File {
    pub(crate) fn line(&mut self, line: impl fmt::Display) {
        // Writing to a String can't fail.
        let _ = writeln!(self.text, "{:indent$}{line}", "", indent = 2 * self.depth);
    }

    pub(crate) fn open(&mut self, line: impl fmt::Display) {
        self.line(line);
        self.depth += 1;
    }

    pub(crate) fn close(&mut self, line: impl fmt::Display) {
        self.depth -= 1;
        self.line(line);
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
