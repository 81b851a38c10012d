//! Who one is to which fleet: logins, service tokens, the record of calls, fleets.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{DocumentOutput, parse_duration};

#[derive(Debug, Args)]
pub(crate) struct Login {
    /// Do not ask the publisher afterwards who one is to it.
    #[arg(long)]
    pub(crate) offline: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Whoami {
    /// How to print it.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<DocumentOutput>,
}

/// What is done with service tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Give out a token; it is printed once, and kept nowhere.
    Create(CreateToken),
    /// List what tokens there are.
    List,
    /// Take a token away at once.
    Revoke {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
        /// Why.
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// Make the administrator's emergency token, and the file with its hash for the publishers. Needs no
    /// network.
    BreakGlass {
        /// The file for --break-glass-file of the publishers.
        #[arg(long, value_name = "FILE")]
        hash_file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateToken {
    /// Its name; whoever shows it is `token:NAME`.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// A group that its bearer is in; may be repeated.
    #[arg(long = "group", value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
    /// For how long it is taken, at most 366 days.
    #[arg(long = "for", default_value = "90d", value_parser = parse_duration, value_name = "DURATION")]
    pub(crate) lifetime: Duration,
    /// Why.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}

/// What is done with the record of calls.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Write it into a folder, a file for each day and a line for each call; goes on where it was.
    Export(ExportAudit),
    /// Check that no line is missing, doubled, changed or false. Needs no network.
    Verify {
        /// The folder.
        #[arg(value_name = "DIR")]
        dir: PathBuf,
        /// The trust file whose offline key is believed, where the folder's own is not to be.
        #[arg(long, value_name = "FILE")]
        trust_file: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ExportAudit {
    /// The folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Go on with what is added, until Ctrl-C or SIGTERM.
    #[arg(long)]
    pub(crate) follow: bool,
}

/// What is done with the fleets that this user knows.
#[derive(Debug, Subcommand)]
pub(crate) enum Fleets {
    /// Write down a fleet under a name.
    Add(Box<AddFleet>),
    /// List the fleets by name; the one that is used without --fleet is marked.
    List,
    /// Use this fleet where --fleet names none.
    Use {
        /// Its name.
        name: String,
    },
    /// Forget a fleet, and the token that is kept for it.
    Remove {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct AddFleet {
    /// The name: letters, digits, `-`, `_` and `.`.
    pub(crate) name: String,
    /// The name that the publishers' certificates are for, where it is not the host of the address.
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<String>,
    /// A client certificate, in PEM, by which a machine says who it is.
    #[arg(long, value_name = "FILE", requires = "key_file")]
    pub(crate) cert_file: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    pub(crate) key_file: Option<PathBuf>,
    /// The issuer at which `writ login` logs in.
    #[arg(long, value_name = "URL", requires = "client_id")]
    pub(crate) issuer: Option<String>,
    /// What the issuer knows the command line as.
    #[arg(long, value_name = "ID", requires = "issuer")]
    pub(crate) client_id: Option<String>,
    /// What is asked of the issuer; without it, `openid profile email offline_access`.
    #[arg(long, value_name = "SCOPES", requires = "issuer")]
    pub(crate) scopes: Option<String>,
    /// The authority of the issuer's certificate; without it, those of this machine.
    #[arg(long, value_name = "FILE", requires = "issuer")]
    pub(crate) issuer_ca_file: Option<PathBuf>,
}
