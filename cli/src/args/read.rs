//! What only reads.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::value::parse_label;
use super::{Reference, When, parse_duration};
use crate::input::Kind;

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
pub(crate) struct Dashboard {
    /// Where to serve it: an address of loopback; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7080")]
    pub(crate) listen: SocketAddr,
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
pub(crate) struct Events {
    /// Go on with each as it comes, until Ctrl-C.
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// How many of the last ones to begin with; a publisher remembers 4096, since its start.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(..=4096))]
    pub(crate) last: u32,
    /// Only what is about this policy.
    #[arg(value_name = "POLICY")]
    pub(crate) policy: Option<Reference>,
    /// Only what is about this cluster.
    #[arg(long, value_name = "CLUSTER")]
    pub(crate) cluster: Option<Reference>,
    /// Only what happens on clusters of this region.
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// Only what happens on clusters of this stage.
    #[arg(long)]
    pub(crate) stage: Option<String>,
    /// How to print it; json is one document a line.
    #[arg(short, long, value_enum)]
    pub(crate) output: Option<EventOutput>,
}

/// How happenings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EventOutput {
    /// With the reason in full, and the objects that somebody changed.
    Wide,
    /// One JSON document a line.
    Json,
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
