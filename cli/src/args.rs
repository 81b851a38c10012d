//! The grammar of the command line.
//!
//! Owns names, options and help texts. Verbs that kubectl has mean what they mean there. Parsing
//! only: what a command does is in its own file.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::{SignedDuration, Timestamp};

use crate::guards::Guards;
use crate::input::Kind;

/// Change who may do what on every cluster, in milliseconds, and see that it arrived.
#[derive(Debug, Parser)]
#[command(
    name = "writ",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = EXITS
)]
pub struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXITS: &str = "\
Exit codes: 0 done, 1 failed, 2 usage, 3 there are differences (diff; an observing cluster that would be
changed), 4 time ran out or still pending, 5 refused on a cluster, 6 only silent clusters are missing,
7 the base generation is not current, 8 not allowed, 9 a guard said no, 130 interrupted.";

#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The fleet: a name (see `writ fleet`), or the path of a fleet's file.
    #[arg(
        long,
        global = true,
        env = "WRIT_FLEET",
        value_name = "NAME|FILE",
        hide_env_values = true
    )]
    pub(crate) fleet: Option<String>,
    /// Where the publisher listens, as HOST:PORT; several with commas between them, of which one that
    /// answers is asked. http://HOST:PORT, on the loopback alone, is without TLS.
    #[arg(
        long,
        global = true,
        env = "WRIT_ADDRESS",
        value_name = "ADDRESS",
        hide_env_values = true
    )]
    pub(crate) address: Option<String>,
    /// A file with the token to show; without it, what `writ login` kept. WRIT_TOKEN holds one itself.
    #[arg(
        long,
        global = true,
        env = "WRIT_TOKEN_FILE",
        value_name = "FILE",
        hide_env_values = true
    )]
    pub(crate) token_file: Option<PathBuf>,
    /// The authority of the publishers' certificates, in PEM; without it, those of this machine.
    #[arg(
        long,
        global = true,
        env = "WRIT_CA_FILE",
        value_name = "FILE",
        hide_env_values = true
    )]
    pub(crate) ca_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Put policies and clusters in place, from files.
    Apply(Apply),
    /// Show policies or clusters of the registry.
    Get(Get),
    /// Show how far policies have come, as the clusters themselves say.
    Status(Status),
    /// Wait until policies are on their clusters; the exit code says how it ended.
    Wait(Wait),
    /// Say why a cluster is not good, and what to do; the exit code says how bad it is.
    Why(Why),
    /// Explain a reason that a cluster gives, or a field of a document. Needs no network.
    Explain(Explain),
    /// Take a policy away everywhere, or a cluster out of the registry.
    Delete(Delete),
    /// Show the edits of a policy or a cluster that the log keeps, oldest first.
    History(History),
    /// Compare two generations of a policy or a cluster; exit code 3 where they differ.
    Diff(Diff),
    /// Put an earlier generation in place again, as a new edit.
    Rollback(Rollback),
    /// Show what a cluster is told to hold, or was at a time, as YAML that kubectl applies.
    Render(Render),
    /// Turn what a cluster has into policies, by kubectl; nothing is changed.
    Import(Import),
    /// Make the edit that a proposal stands for; it is shown first. Never one's own.
    Approve(Approve),
    /// Take a proposal away.
    Reject(Reject),
    /// Log in at the fleet's issuer, or keep the token of --token-file for the fleet.
    Login(Login),
    /// Forget the token that is kept for the fleet.
    Logout,
    /// Show who one is to the publisher, and how that was shown.
    Whoami(Whoami),
    /// Tokens for pipelines and machines that have no other way to say who they are.
    #[command(subcommand)]
    Token(Token),
    /// Keep the record of every call, and check what is kept.
    #[command(subcommand)]
    Audit(Audit),
    /// The fleets that this user knows.
    #[command(name = "fleet", subcommand)]
    Fleets(Fleets),
    /// Show which version this is.
    Version,
    #[cfg(feature = "sandbox")]
    #[command(flatten)]
    Fleet(crate::fleet::Command),
}

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
    /// Check that no line is missing, doubled or changed. Needs no network.
    Verify {
        /// The folder.
        #[arg(value_name = "DIR")]
        dir: PathBuf,
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

#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// File, folder (*.yaml, *.yml, *.json) or - for standard input; may be repeated.
    #[arg(short, long = "filename", required = true, value_name = "FILE|DIR|-")]
    pub(crate) files: Vec<String>,
    /// Also read the folders below.
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
    /// Why; wins over the document's own reason.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// Only if this is the current generation (0: only if the name does not exist); for a single
    /// document.
    #[arg(long, value_name = "G")]
    pub(crate) base: Option<u64>,
    /// Check everything on the publisher and store nothing.
    #[arg(long, conflicts_with = "wait")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) guards: Guards,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// How to print what was done.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<EditOutput>,
}

/// Waiting for the clusters after an edit.
#[derive(Debug, Args)]
pub(crate) struct Waiting {
    /// Then wait until the clusters say so (policies only).
    #[arg(
        long,
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "applied",
        value_name = "LEVEL"
    )]
    pub(crate) wait: Option<Level>,
    /// How long to wait at most.
    #[arg(long, default_value = "60s", value_parser = parse_duration, value_name = "DURATION")]
    pub(crate) timeout: Duration,
    /// Do not count silent clusters as missing; they are listed.
    #[arg(long)]
    pub(crate) allow_silent: bool,
}

/// How far an edit should have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// Verified, admitted and kept by every cluster.
    Received,
    /// Every object confirmed by every cluster's API server.
    Applied,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// What to show.
    #[arg(value_enum)]
    pub(crate) resource: Resource,
    /// Only these; NAME@GENERATION is never answered from an older state.
    #[arg(value_name = "NAME[@G]")]
    pub(crate) names: Vec<Reference>,
    /// Only what carries these labels, as key=value,key=value.
    #[arg(
        short = 'l',
        long,
        value_delimiter = ',',
        value_parser = parse_label,
        value_name = "KEY=VALUE",
        conflicts_with = "names"
    )]
    pub(crate) selector: Vec<(String, String)>,
    /// Only clusters of this region, or policies that are for it.
    #[arg(long, conflicts_with = "names")]
    pub(crate) region: Option<String>,
    /// Only clusters of this stage, or policies that are for it.
    #[arg(long, conflicts_with = "names")]
    pub(crate) stage: Option<String>,
    /// As it was then: a time (2026-11-25T14:00:00Z) or how long ago (90m, 2d).
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<When>,
    /// How to print it; yaml gives documents that apply takes.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<GetOutput>,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// One policy with a line for each of its clusters; without it, all policies.
    #[arg(value_name = "POLICY[@G]")]
    pub(crate) policy: Option<Reference>,
    /// One cluster, with what is not good there.
    #[arg(long, value_name = "CLUSTER", conflicts_with = "policy")]
    pub(crate) cluster: Option<Reference>,
    /// Go on showing it as it changes, until Ctrl-C.
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// How to print it; json with --watch is one document a line.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<GetOutput>,
}

#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// The policies to wait for, each at its last generation or the one named.
    #[arg(required = true, value_name = "POLICY[@G]")]
    pub(crate) policies: Vec<Reference>,
    /// For what.
    #[arg(
        long = "for",
        value_enum,
        default_value = "applied",
        value_name = "LEVEL"
    )]
    pub(crate) level: WaitLevel,
    /// How long to wait at most.
    #[arg(long, default_value = "60s", value_parser = parse_duration, value_name = "DURATION")]
    pub(crate) timeout: Duration,
    /// Do not count silent clusters as missing; they are listed.
    #[arg(long)]
    pub(crate) allow_silent: bool,
}

/// What `wait` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WaitLevel {
    /// Verified, admitted and kept by every cluster.
    Received,
    /// Every object confirmed by every cluster's API server.
    Applied,
    /// Taken away, and every object confirmed gone.
    Deleted,
}

#[derive(Debug, Args)]
pub(crate) struct Why {
    /// The cluster.
    #[arg(value_name = "CLUSTER")]
    pub(crate) cluster: Reference,
    /// Only about this policy there.
    #[arg(value_name = "POLICY[@G]")]
    pub(crate) policy: Option<Reference>,
    /// How to print it.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<DocumentOutput>,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// A reason (ForeignObject) or a field (ClusterPolicy.spec.grants); without it, a list.
    #[arg(value_name = "REASON|KIND.FIELD")]
    pub(crate) topic: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The context of the kubeconfig to read; its user's rights, plugins and proxies are used.
    #[arg(long)]
    pub(crate) context: String,
    /// The kubeconfig; without it, where kubectl looks.
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Only this namespace, without what is cluster-wide; may be repeated.
    #[arg(short, long = "namespace", value_name = "NAMESPACE")]
    pub(crate) namespaces: Vec<String>,
    /// Only objects whose labels match, as kubectl takes it.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
    /// The cluster's name in Writ's registry; without it, the context's name.
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
    /// Name what was left out, not only how much.
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// How to print it.
    #[arg(short, long, value_enum, default_value = "yaml")]
    pub(crate) output: ImportOutput,
}

/// How imported policies are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportOutput {
    /// Documents that apply takes.
    Yaml,
}

/// How a document is printed for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DocumentOutput {
    /// One JSON document.
    Json,
    /// YAML.
    Yaml,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Which sort of thing.
    #[arg(value_enum)]
    pub(crate) resource: Resource,
    /// Which ones; NAME@GENERATION only if that is the current one.
    #[arg(required = true, value_name = "NAME[@G]")]
    pub(crate) names: Vec<Reference>,
    /// Only if this is the current generation; for a single name.
    #[arg(long, value_name = "G")]
    pub(crate) base: Option<u64>,
    /// Why.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// Check everything on the publisher and store nothing.
    #[arg(long, conflicts_with = "wait")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) guards: Guards,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// How to print what was done.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<EditOutput>,
}

#[derive(Debug, Args)]
pub(crate) struct Approve {
    /// The policy whose proposal it is; NAME@GENERATION only if that is the proposal's generation.
    #[arg(value_name = "NAME[@G]")]
    pub(crate) name: Reference,
    /// Repeat the number that a guard asked for.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) confirm: Option<u32>,
    /// Added to the proposer's reason.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// Show the proposal, check everything on the publisher, and store nothing.
    #[arg(long, conflicts_with = "wait")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// How to print what was done.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<EditOutput>,
}

#[derive(Debug, Args)]
pub(crate) struct Reject {
    /// The policy whose proposal it is; NAME@GENERATION only if that is the proposal's generation.
    #[arg(value_name = "NAME[@G]")]
    pub(crate) name: Reference,
    /// Why.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// Which policy, or cluster/NAME.
    #[arg(value_name = "POLICY|cluster/NAME")]
    pub(crate) name: Reference,
    /// How to print it.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<DocumentOutput>,
}

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// Which policy, or cluster/NAME.
    #[arg(value_name = "POLICY|cluster/NAME")]
    pub(crate) name: Reference,
    /// The older generation; without it, the one before --to.
    #[arg(long, value_name = "G", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) from: Option<u64>,
    /// The newer generation; without it, the last one.
    #[arg(long, value_name = "G", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) to: Option<u64>,
    /// How to print it.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<DocumentOutput>,
}

#[derive(Debug, Args)]
pub(crate) struct Rollback {
    /// Which policy, or cluster/NAME; NAME@GENERATION only if that is the current one.
    #[arg(value_name = "POLICY[@G]|cluster/NAME[@G]")]
    pub(crate) name: Reference,
    /// The generation whose document is put in place again.
    #[arg(long, value_name = "G", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) to: u64,
    /// Why; without it, "rolled back to NAME@G".
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// Show what would change, check everything on the publisher, and store nothing.
    #[arg(long, conflicts_with = "wait")]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) guards: Guards,
    #[command(flatten)]
    pub(crate) waiting: Waiting,
    /// How to print what was done.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<EditOutput>,
}

#[derive(Debug, Args)]
pub(crate) struct Render {
    /// Only this policy.
    #[arg(value_name = "POLICY")]
    pub(crate) policy: Option<Reference>,
    /// For which cluster.
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) cluster: Reference,
    /// As it was then: a time (2026-11-25T14:00:00Z) or how long ago (90m, 2d).
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<When>,
    /// Render the rest where some policies are unknown at that time; they are named in a comment.
    #[arg(long)]
    pub(crate) allow_unknown: bool,
    /// How to print it; json is one List, which kubectl takes too.
    #[arg(short, long, value_enum, default_value = "yaml")]
    pub(crate) output: DocumentOutput,
}

/// The sorts of things there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Resource {
    /// Clusters of the registry (also: cluster, wcl).
    #[value(aliases = ["cluster", "wcl", "clusters.writ.dev"])]
    Clusters,
    /// Policies (also: policy, clusterpolicies, wpol).
    #[value(aliases = ["policy", "clusterpolicy", "clusterpolicies", "wpol", "clusterpolicies.writ.dev"])]
    Policies,
    /// Who may do what, and what an edit of a stage needs (also: accessrule, stagerules).
    #[value(aliases = ["accessrule", "accessrules", "stagerules"])]
    Access,
    /// Edits that wait for a second person (also: proposal); `writ reject` takes one away.
    #[value(aliases = ["proposal"])]
    Proposals,
}

impl Resource {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Resource::Clusters => Kind::Cluster,
            Resource::Policies | Resource::Proposals => Kind::ClusterPolicy,
            Resource::Access => Kind::AccessRule,
        }
    }
}

/// How an edit is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EditOutput {
    /// One JSON document.
    Json,
    /// One `kind/name@generation` a line.
    Name,
}

/// How a view is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GetOutput {
    /// The table with more columns.
    Wide,
    /// One JSON document.
    Json,
    /// YAML.
    Yaml,
    /// One `kind/name@generation` a line.
    Name,
}

/// A name, with the generation that the answer must not be older than: `payments@42`,
/// `clusterpolicy/payments@42`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The kind that stood before it.
    pub(crate) kind: Option<Kind>,
    /// The name; the publisher judges its form.
    pub(crate) name: String,
    /// 0: none was named.
    pub(crate) generation: u64,
}

impl Reference {
    /// The name, if the reference may be for this kind.
    pub(crate) fn expect(&self, kind: Kind) -> Result<&str, crate::error::Error> {
        match self.kind {
            Some(other) if other != kind => Err(crate::error::Error::Usage(format!(
                "`{}/{}` is a {other}, and a {kind} is asked for",
                other.prefix(),
                self.name
            ))),
            _ => Ok(&self.name),
        }
    }
}

/// A time in the past: named, or by how long ago it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// This time.
    Time(Timestamp),
    /// This long before now.
    Ago(SignedDuration),
}

impl When {
    /// The time that is meant.
    pub(crate) fn time(self) -> Timestamp {
        match self {
            When::Time(time) => time,
            // One so long ago that no calendar has it is before everything.
            When::Ago(ago) => (Timestamp::now().checked_sub(ago)).unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(When::Time(time));
        }
        let days = text
            .strip_suffix('d')
            .and_then(|days| days.parse::<i64>().ok())
            .and_then(|days| days.checked_mul(24))
            .and_then(SignedDuration::try_from_hours);
        days.or_else(|| text.parse::<SignedDuration>().ok())
            .filter(|ago| !ago.is_negative())
            .map(When::Ago)
            .ok_or_else(|| {
                "expected a time with its zone (2026-11-25T14:00:00Z) or how long ago it was \
                 (90s, 30m, 2h, 7d)"
                    .to_owned()
            })
    }
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = match text.split_once('/') {
            None => (None, text),
            Some(("cluster" | "clusters" | "wcl", rest)) => (Some(Kind::Cluster), rest),
            Some(("clusterpolicy" | "clusterpolicies" | "policy" | "policies" | "wpol", rest)) => {
                (Some(Kind::ClusterPolicy), rest)
            }
            Some(("access", rest)) => (Some(Kind::AccessRule), rest),
            Some((kind, _)) => {
                return Err(format!(
                    "`{kind}` is neither cluster, clusterpolicy nor access"
                ));
            }
        };
        let (name, generation) = match rest.split_once('@') {
            None => (rest, 0),
            Some((name, generation)) => match generation.parse() {
                Ok(generation) if generation > 0 => (name, generation),
                _ => {
                    return Err(format!(
                        "`{generation}` is not a generation (a number from 1)"
                    ));
                }
            },
        };
        if name.is_empty() {
            return Err("the name is missing".to_owned());
        }
        Ok(Self {
            kind,
            name: name.to_owned(),
            generation,
        })
    }
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !key.ends_with('!') => {
            Ok((key.to_owned(), value.trim_start_matches('=').to_owned()))
        }
        _ => Err("expected key=value; other forms of selectors are not supported".to_owned()),
    }
}

/// `30s`, `5m`, `1h30m`, `500ms`; plain numbers are refused, since nobody agrees on their unit.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| {
            "expected a duration with its unit, for instance 30s, 5m or 1h30m".to_owned()
        })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("writ").chain(line.split_whitespace()))
    }

    #[test]
    fn the_grammar_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn references_carry_kind_name_and_generation() {
        let reference: Reference = "clusterpolicy/payments@42".parse().unwrap();
        assert_eq!(
            reference,
            Reference {
                kind: Some(Kind::ClusterPolicy),
                name: "payments".into(),
                generation: 42
            }
        );
        assert_eq!("payments".parse::<Reference>().unwrap().generation, 0);
        for wrong in [
            "",
            "@4",
            "payments@",
            "payments@0",
            "payments@x",
            "node/payments",
            "cluster/",
        ] {
            assert!(wrong.parse::<Reference>().is_err(), "{wrong}");
        }
        assert!(reference.expect(Kind::Cluster).is_err());
    }

    #[test]
    fn wait_takes_its_level_only_with_an_equals_sign() {
        let Command::Apply(apply) = parse("apply -f x --wait").unwrap().command else {
            panic!("apply")
        };
        assert_eq!(apply.waiting.wait, Some(Level::Applied));
        let Command::Apply(apply) = parse("apply -f x --wait=received -f y --timeout 2m")
            .unwrap()
            .command
        else {
            panic!("apply")
        };
        assert_eq!(apply.waiting.wait, Some(Level::Received));
        assert_eq!(apply.waiting.timeout, Duration::from_secs(120));
        assert_eq!(apply.files, ["x", "y"]);
    }

    #[test]
    fn a_time_is_named_or_counted_back() {
        let ago = |hours| Ok(When::Ago(SignedDuration::from_hours(hours)));
        assert_eq!("2h".parse::<When>(), ago(2));
        assert_eq!("120m".parse::<When>(), ago(2));
        assert_eq!("7d".parse::<When>(), ago(168));
        let time = "2026-11-25T14:00:00.120+01:00";
        let expected = "2026-11-25T13:00:00.12Z".parse().unwrap();
        assert_eq!(time.parse::<When>(), Ok(When::Time(expected)));
        for wrong in [
            "",
            "yesterday",
            "-2h",
            "7",
            "2026-11-25",
            "2026-11-25T14:00:00",
        ] {
            assert!(wrong.parse::<When>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        for (text, seconds) in [("30s", 30), ("1h30m", 5400)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)));
        }
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["30", "-5s", "soon", ""] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn kinds_go_by_the_names_that_kubectl_knows() {
        for name in ["policies", "policy", "clusterpolicy", "wpol"] {
            let Command::Get(get) = parse(&format!("get {name}")).unwrap().command else {
                panic!("get")
            };
            assert_eq!(get.resource, Resource::Policies, "{name}");
        }
    }

    #[test]
    fn usage_errors_end_with_two() {
        for line in [
            "apply",
            "get",
            "get pods",
            "get policies -l x",
            "status a --cluster b",
            "delete policy",
            "apply -f x --dry-run --wait",
            "rollback a",
            "rollback a --to 0",
            "render",
            "get policies --at yesterday",
        ] {
            assert_eq!(parse(line).expect_err(line).exit_code(), 2, "{line}");
        }
    }
}
