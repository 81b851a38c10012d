//! The grammar of the command line.
//!
//! Owns names, options and help texts. Verbs that kubectl has mean what they mean there. Parsing
//! only: what a command does is in its own file.

mod cluster;
mod edit;
mod identity;
mod read;
mod value;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

#[cfg(test)]
pub(crate) use self::read::ImportOutput;
pub(crate) use self::{
    cluster::{
        Cluster, ClusterAdd, ClusterApprove, ClusterCommand, ClusterReenrol, ClusterRemove,
        ClusterStep, JoinOutput, Joining,
    },
    edit::{Apply, Approve, Delete, EditOutput, Level, Reject, Rollback, Waiting},
    identity::{AddFleet, Audit, CreateToken, ExportAudit, Fleets, Login, Token, Whoami},
    read::{
        Dashboard, Diff, DocumentOutput, EventOutput, Events, Explain, Get, GetOutput, History,
        Import, Render, Resource, Status, Wait, WaitLevel, Why,
    },
    value::{Reference, When, parse_duration},
};

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
    /// Show what happens: edits, what the clusters say to them, drift, and who is not heard.
    Events(Events),
    /// Wait until policies are on their clusters; the exit code says how it ended.
    Wait(Wait),
    /// Say why a cluster is not good, and what to do; the exit code says how bad it is.
    Why(Why),
    /// Serve the fleet's pages on this machine, as oneself, until Ctrl-C; prints where they are.
    Dashboard(Dashboard),
    /// Explain a reason that a cluster gives, or a field of a document. Needs no network.
    Explain(Explain),
    /// Take a policy away everywhere, or a cluster out of the registry.
    Delete(Delete),
    /// Let clusters join the fleet, and leave it.
    Cluster(Cluster),
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::CommandFactory as _;
    use jiff::SignedDuration;

    use super::*;
    use crate::input::Kind;

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
