//! The configuration of a nats-server of the hub, as text.
//!
//! Owns the file's form. Promises: the same input gives the same bytes; nothing goes into the text
//! that was not checked, so that no name, key or path can add a setting of its own. No user and no
//! permission stands in it: those are tokens, signed under the operator's (see [`crate::identity`]).
//! Never: does I/O; whoever runs the server writes the file.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use writ_core::name::Name;

use crate::{
    accounts::HUB_DOMAIN,
    identity::{AccountKey, Jwt},
};

/// Largest message that a server takes, headers included: [`crate::batch::MESSAGE_BYTES_MAX`] and
/// room for the headers of a batch. It is also the default of nats-server.
pub const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;

/// Shortest secret between the servers of one cluster, in characters.
const ROUTE_SECRET_LENGTH_MIN: usize = 22;

/// Most accounts that a server keeps: the three, and one for each region with a leaf.
const ACCOUNTS_MAX: usize = 1_000;

/// Messages that wait to be stored in a stream; what comes on top is refused, and sent again. Every one is
/// synced: at 1 to 6 ms for each, a flood that has filled the server's default of 100,000 keeps genuine acks
/// from being stored for minutes after its end. Five whole batches fit.
const STREAM_QUEUE_MESSAGES_MAX: usize = 5 * crate::batch::MESSAGES_MAX;

/// How often the servers of one NATS cluster compare the accounts that they keep, in seconds. The
/// registrar's minute is what a revocation that one of them missed waits for.
const ACCOUNTS_COMPARED_PERIOD_S: u32 = 60;

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

/// Whom a server believes, and what it begins with.
#[derive(Debug, Clone)]
pub struct Accounts {
    /// Where the server keeps the accounts that it was told of. What it was told later than what
    /// stands here is kept over a restart.
    pub dir: PathBuf,
    /// The operator's token.
    pub operator: Jwt,
    /// The accounts that it begins with.
    pub preload: BTreeMap<AccountKey, Jwt>,
}

impl Accounts {
    pub(crate) fn render(&self, file: &mut File) -> Result<(), Error> {
        file.line(format_args!("operator: \"{}\"", self.operator));
        file.open("resolver {");
        file.line("type: full");
        file.line(format_args!("dir: {}", quote_path(&self.dir)?));
        file.line("allow_delete: false");
        file.line(format_args!("interval: \"{ACCOUNTS_COMPARED_PERIOD_S}s\""));
        file.line(format_args!("limit: {ACCOUNTS_MAX}"));
        file.close("}");
        file.open("resolver_preload {");
        for (account, token) in &self.preload {
            file.line(format_args!("{account}: \"{token}\""));
        }
        file.close("}");
        Ok(())
    }
}

/// One server of the hub.
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
    /// Where the server listens to leaf nodes, where regions have them. Port 0 lets the server pick
    /// one, which only its log names.
    pub leafs: Option<SocketAddr>,
    /// Whom it believes.
    pub accounts: Accounts,
}

impl ServerConfig {
    /// The text of the configuration file.
    pub fn render(&self) -> Result<String, Error> {
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
        file.line(
            "# What a flood leaves behind in a stream's queue is stored before what is said next.",
        );
        file.line(format_args!(
            "max_buffered_msgs: {STREAM_QUEUE_MESSAGES_MAX}"
        ));
        file.close("}");
        if let Some(peers) = &self.peers {
            render_peers(&mut file, peers)?;
        }
        if let Some(leafs) = &self.leafs {
            file.open("leafnodes {");
            file.line(format_args!("host: \"{}\"", leafs.ip()));
            file.line(format_args!("port: {}", port(*leafs)));
            file.close("}");
        }
        self.accounts.render(&mut file)?;
        Ok(file.text)
    }
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
pub(crate) mod tests;
