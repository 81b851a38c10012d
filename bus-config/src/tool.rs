//! `writ-bus`: what an operator does with the keys of a bus, on the machine where they lie.
//!
//! Owns the commands that make keys, users and configurations, as files. Promises: a key that is there
//! is never made anew; what it writes of secrets is its owner's alone.
//! Never: talks to a server.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use writ_core::name::{Name, Region};

use crate::{
    config::{Accounts, Peers, ServerConfig},
    identity::{
        self, Credentials, CredentialsError, OperatorKeys, PublicKey, RegistrarKeys, Role, UserKey,
        folder,
    },
    leaf::{LeafConfig, Link},
    registrar::now_s,
    secret,
};

/// Seconds of a day.
const DAY_S: u64 = 24 * 60 * 60;

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There are keys already.
    #[error("{} holds keys: they are not made anew", .0.display())]
    Exists(PathBuf),
    /// A leaf's role without its region.
    #[error("a leaf's role is one of a region: name it with --region")]
    NoRegion,
    /// Keys were not read or written.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// A secret was not read.
    #[error(transparent)]
    Secret(#[from] secret::Error),
    /// Something was not signed.
    #[error(transparent)]
    Sign(#[from] identity::Error),
    /// What was signed can't be shown.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// A configuration was not written.
    #[error(transparent)]
    Config(#[from] crate::config::Error),
}

/// Where keys lie.
#[derive(Debug, Clone, clap::Args)]
pub struct Keys {
    /// The operator's folder, which is kept offline
    #[arg(long, value_name = "DIR")]
    pub operator_dir: PathBuf,
    /// The registrar's folder
    #[arg(long, value_name = "DIR")]
    pub registrar_dir: PathBuf,
}

/// What to do.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Make the keys of a new bus: the operator's folder, and the registrar's with its credentials
    Init(Keys),
    /// Let a region have a leaf node: adds the keys of its link
    AddLeaf {
        /// Where the keys lie.
        #[command(flatten)]
        keys: Keys,
        /// The region
        region: Region,
    },
    /// Take a user's key from it, of a publisher, an installer, a link: its credentials count no more. A
    /// cluster is cut off by `writ cluster cut-off`
    Revoke {
        /// Where the keys lie.
        #[command(flatten)]
        keys: Keys,
        /// The user's public key (U…)
        key: PublicKey,
    },
    /// Replace the key that signs the users of a role: from now on the new one signs, and whom the one
    /// before it signed is let in until `retire`
    Rotate {
        /// Where the keys lie.
        #[command(flatten)]
        keys: Keys,
        /// Whose signing key.
        #[command(flatten)]
        signer: Signer,
    },
    /// End a replacement: the key before counts no more, and everybody whom it signed is out
    Retire {
        /// Where the keys lie.
        #[command(flatten)]
        keys: Keys,
        /// Whose signing key.
        #[command(flatten)]
        signer: Signer,
    },
    /// Make the credentials of a user; prints where they are
    User {
        /// The operator's folder
        #[arg(long, value_name = "DIR")]
        operator_dir: PathBuf,
        /// What the user is for
        #[command(subcommand)]
        who: Who,
        /// The file to write
        #[arg(long, value_name = "FILE", global = true, default_value = "bus.creds")]
        out: PathBuf,
        /// Days until it has to be made anew
        #[arg(long, default_value_t = 365, global = true, value_parser = clap::value_parser!(u64).range(1..=400))]
        days: u64,
    },
    /// Print whose credentials a file holds, and until when
    Show {
        /// The file
        file: PathBuf,
    },
    /// Print the configuration of a server of the hub
    Hub {
        /// Where the keys lie.
        #[command(flatten)]
        keys: Keys,
        /// What every server has.
        #[command(flatten)]
        server: Server,
        /// Name of the server
        #[arg(long)]
        name: Name,
        /// Where it listens to leaf nodes
        #[arg(long, value_name = "ADDRESS")]
        leafs: Option<SocketAddr>,
        /// Name of the NATS cluster, where there are several servers
        #[arg(long, requires_all = ["cluster_listen", "cluster_secret_file"])]
        cluster: Option<Name>,
        /// Where it listens to the other servers
        #[arg(long, value_name = "ADDRESS")]
        cluster_listen: Option<SocketAddr>,
        /// Another server of the cluster
        #[arg(long, value_name = "ADDRESS")]
        route: Vec<SocketAddr>,
        /// File with what the servers show each other
        #[arg(long, value_name = "FILE")]
        cluster_secret_file: Option<PathBuf>,
    },
    /// Print the configuration of a region's leaf node
    Leaf {
        /// Where the keys lie.
        #[command(flatten)]
        keys: Keys,
        /// What every server has.
        #[command(flatten)]
        server: Server,
        /// The region
        #[arg(long)]
        region: Region,
        /// Where the hub listens to leaf nodes
        #[arg(long, value_name = "ADDRESS", required = true)]
        hub: Vec<SocketAddr>,
        /// Credentials of the link, where the leaf finds them
        #[arg(long, value_name = "FILE")]
        link_credentials: PathBuf,
        /// Credentials of the link for revocations, where the leaf finds them
        #[arg(long, value_name = "FILE")]
        claims_credentials: PathBuf,
    },
}

/// A role whose users a key signs.
#[derive(Debug, Clone, clap::Args)]
pub struct Signer {
    /// The role
    #[arg(value_enum)]
    pub role: RoleName,
    /// The region of a leaf's link, or of its installer
    #[arg(long, required_if_eq_any([("role", "link"), ("role", "leaf-installer")]))]
    pub region: Option<Region>,
}

/// The roles by their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs, reason = "they are the names of roles")]
pub enum RoleName {
    Cluster,
    Enrolment,
    Request,
    Publisher,
    Installer,
    Backup,
    Registrar,
    ClaimsLink,
    Link,
    LeafInstaller,
}

impl Signer {
    fn role(&self) -> Option<Role> {
        let region = self.region.clone();
        Some(match self.role {
            RoleName::Cluster => Role::Cluster,
            RoleName::Enrolment => Role::Enrolment,
            RoleName::Request => Role::Request,
            RoleName::Publisher => Role::Publisher,
            RoleName::Installer => Role::Installer,
            RoleName::Backup => Role::Backup,
            RoleName::Registrar => Role::Registrar,
            RoleName::ClaimsLink => Role::ClaimsLink,
            RoleName::Link => Role::Link(region?),
            RoleName::LeafInstaller => Role::LeafInstaller(region?),
        })
    }
}

/// What every server has.
#[derive(Debug, Clone, clap::Args)]
pub struct Server {
    /// Where clients connect
    #[arg(long, value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Where the streams are kept
    #[arg(long, value_name = "DIR")]
    pub store_dir: PathBuf,
    /// Where accounts are kept
    #[arg(long, value_name = "DIR")]
    pub accounts_dir: PathBuf,
}

/// The users that people make.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Who {
    /// A publisher
    Publisher {
        /// Its name
        name: Name,
    },
    /// Who makes the streams
    Installer,
    /// Who takes backups
    Backup,
    /// Who tells the bus of cut-off clusters
    Registrar,
    /// A leaf's link
    Link {
        /// Its region
        region: Region,
    },
    /// A leaf's link for revocations
    ClaimsLink,
    /// Who makes the mirror, at the leaf
    LeafInstaller {
        /// Its region
        region: Region,
    },
}

/// Carries a command out, and gives what it prints.
pub fn run(command: Command) -> Result<String, Error> {
    match command {
        Command::Init(keys) => init(&keys),
        Command::AddLeaf { keys, region } => change(&keys, |operator| operator.add_leaf(&region)),
        Command::Revoke { keys, key } => change(&keys, |operator| operator.revoke(key)),
        Command::Rotate { keys, signer } => replace(
            &keys,
            &signer,
            identity::rotate,
            "end it with retire, once all its users have credentials of the new key",
        ),
        Command::Retire { keys, signer } => replace(
            &keys,
            &signer,
            identity::retire,
            "whoever has credentials of the key before is out, once that is done",
        ),
        Command::User {
            operator_dir,
            who,
            out,
            days,
        } => {
            let operator = OperatorKeys::load(&operator_dir)?;
            let credentials = make(&operator, &who, days)?;
            folder::write_credentials(&out, &credentials)?;
            Ok(format!("{}\n", out.display()))
        }
        Command::Show { file } => {
            let credentials = Credentials::parse(&secret::read(&file)?)?;
            let of = credentials.summary();
            let ends_s = of.expires_s.unwrap_or_default();
            Ok(format!(
                "{}\n{}\nends at {ends_s} s since 1970\n",
                of.key, of.name
            ))
        }
        Command::Hub {
            keys,
            server,
            name,
            leafs,
            cluster,
            cluster_listen,
            route,
            cluster_secret_file,
        } => {
            let peers = match (cluster, cluster_listen, cluster_secret_file) {
                (Some(name), Some(listen), Some(file)) => Some(Peers {
                    name,
                    listen,
                    routes: route,
                    secret: secret::read(&file)?.to_string(),
                }),
                _ => None,
            };
            let registrar = RegistrarKeys::load(&keys.registrar_dir)?;
            let config = ServerConfig {
                name,
                listen: server.listen,
                store_dir: server.store_dir,
                ports_dir: None,
                peers,
                leafs,
                accounts: Accounts {
                    dir: server.accounts_dir,
                    operator: folder::operator_token(&keys.operator_dir)?,
                    preload: registrar.hub_accounts(now_s())?,
                },
            };
            Ok(config.render()?)
        }
        Command::Leaf {
            keys,
            server,
            region,
            hub,
            link_credentials,
            claims_credentials,
        } => {
            let registrar = RegistrarKeys::load(&keys.registrar_dir)?;
            let realm = registrar.realm();
            let config = LeafConfig {
                listen: server.listen,
                store_dir: server.store_dir,
                ports_dir: None,
                hub,
                link: Link {
                    account: realm.core.clone(),
                    credentials: link_credentials,
                },
                claims: Link {
                    account: realm.system.clone(),
                    credentials: claims_credentials,
                },
                accounts: Accounts {
                    dir: server.accounts_dir,
                    operator: folder::operator_token(&keys.operator_dir)?,
                    preload: registrar.leaf_accounts(&region, now_s())?,
                },
                region,
            };
            Ok(config.render()?)
        }
    }
}

fn init(keys: &Keys) -> Result<String, Error> {
    for folder in [&keys.operator_dir, &keys.registrar_dir] {
        if folder.join(folder::REALM).exists() {
            return Err(Error::Exists(folder.clone()));
        }
    }
    let (_, registrar, operator) = identity::generate();
    operator.store(&keys.operator_dir, now_s())?;
    registrar.store(&keys.registrar_dir)?;
    let own = make(&operator, &Who::Registrar, 365)?;
    folder::write_credentials(&keys.registrar_dir.join(folder::REGISTRAR), &own)?;
    let (operator, registrar) = (&keys.operator_dir, &keys.registrar_dir);
    Ok(said(
        operator,
        registrar,
        "keep the first offline, and give the second to one publisher",
    ))
}

/// Changes who is who, on both sides.
fn change(keys: &Keys, change: impl FnOnce(&mut OperatorKeys)) -> Result<String, Error> {
    let mut operator = OperatorKeys::load(&keys.operator_dir)?;
    let mut registrar = RegistrarKeys::load(&keys.registrar_dir)?;
    change(&mut operator);
    registrar.learn(operator.realm().clone())?;
    operator.store(&keys.operator_dir, now_s())?;
    registrar.store(&keys.registrar_dir)?;
    let (operator, registrar) = (&keys.operator_dir, &keys.registrar_dir);
    Ok(said(
        operator,
        registrar,
        "render the hub's configuration again, and restart its servers one by one",
    ))
}

/// One step of the replacement of a signing key.
fn replace(
    keys: &Keys,
    signer: &Signer,
    step: impl FnOnce(&mut OperatorKeys, &mut RegistrarKeys, &Role) -> Result<(), identity::Error>,
    advice: &str,
) -> Result<String, Error> {
    let Some(role) = signer.role() else {
        return Err(Error::NoRegion);
    };
    let mut operator = OperatorKeys::load(&keys.operator_dir)?;
    let mut registrar = RegistrarKeys::load(&keys.registrar_dir)?;
    step(&mut operator, &mut registrar, &role)?;
    // Whoever holds the key first: a step that ended in between is repeated from there.
    if role.is_of_registrar() {
        registrar.store(&keys.registrar_dir)?;
        operator.store(&keys.operator_dir, now_s())?;
    } else {
        operator.store(&keys.operator_dir, now_s())?;
        registrar.store(&keys.registrar_dir)?;
    }
    let bring = match role {
        role if role.is_of_registrar() => {
            "give the registrar's folder to its publisher and start that again: it tells all servers"
        }
        Role::LeafInstaller(_) => "render the leaf's configuration again, and restart it",
        _ => "render the hub's configuration again, and restart its servers one by one",
    };
    let (operator, registrar) = (&keys.operator_dir, &keys.registrar_dir);
    Ok(said(operator, registrar, &format!("{bring}; {advice}")))
}

fn said(operator: &Path, registrar: &Path, advice: &str) -> String {
    let (operator, registrar) = (operator.display(), registrar.display());
    format!("{operator}\n{registrar}\n{advice}\n")
}

fn make(operator: &OperatorKeys, who: &Who, days: u64) -> Result<Credentials, Error> {
    let (key, issued_s) = (UserKey::generate(), now_s());
    let expires_s = issued_s + days * DAY_S;
    let role = match who {
        Who::Publisher { name } => {
            let token = operator.publisher_user(name, &key.public(), issued_s, expires_s)?;
            return Ok(Credentials::new(&token, Some(key))?);
        }
        Who::Installer => Role::Installer,
        Who::Backup => Role::Backup,
        Who::Registrar => Role::Registrar,
        Who::Link { region } => Role::Link(region.clone()),
        Who::ClaimsLink => Role::ClaimsLink,
        Who::LeafInstaller { region } => Role::LeafInstaller(region.clone()),
    };
    let token = operator.user(&role, &key.public(), issued_s, expires_s)?;
    Ok(Credentials::new(&token, Some(key))?)
}
