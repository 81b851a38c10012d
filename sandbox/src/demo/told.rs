//! How the story is told: plain lines on standard output. Does no checking.

use std::{
    io::{self, Write},
    time::Duration,
};

use writ_proto::v1::{AckState, StatusResponse};

/// Writes lines; the story is read by people and by tests.
pub(super) fn line(text: impl AsRef<str>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", text.as_ref())?;
    out.flush()
}

pub(super) fn title() -> io::Result<()> {
    line(
        "Writ: change who may do what on every cluster, in milliseconds, and see that it arrived.",
    )?;
    line("Everything below is real: nats-server, etcd, kube-apiserver, kube-controller-manager.")
}

pub(super) fn step(number: u32, title: &str) -> io::Result<()> {
    line("")?;
    line(format!("{number}. {title}"))
}

/// A claim that was seen to be true.
pub(super) fn seen(text: impl AsRef<str>) -> io::Result<()> {
    line(format!("   ✓ {}", text.as_ref()))
}

pub(super) fn aside(text: impl AsRef<str>) -> io::Result<()> {
    line(format!("     {}", text.as_ref()))
}

pub(super) fn ms(time: Duration) -> String {
    format!("{:.0} ms", time.as_secs_f64() * 1e3)
}

/// The line of a policy as `writ status` shows it.
pub(super) fn status(response: &StatusResponse) -> io::Result<()> {
    aside(format!(
        "{:<16} {:>3} {:>7} {:>8} {:>8} {:>8} {:>7} {:>6}",
        "POLICY", "GEN", "TARGET", "APPLIED", "PENDING", "REFUSED", "SILENT", "LATER"
    ))?;
    for policy in &response.policies {
        let counts = policy.counts.unwrap_or_default();
        aside(format!(
            "{:<16} {:>3} {:>7} {:>8} {:>8} {:>8} {:>7} {:>6}",
            policy.policy,
            policy.generation,
            counts.target,
            counts.applied,
            counts.pending,
            counts.refused,
            counts.silent,
            counts.later
        ))?;
    }
    Ok(())
}

/// The word for a state; never a colour alone.
pub(super) fn word(state: AckState) -> &'static str {
    match state {
        AckState::Applied => "applied",
        AckState::Pending => "pending",
        AckState::Refused => "REFUSED",
        AckState::Silent => "SILENT",
        AckState::Unspecified => "unknown",
    }
}

pub(super) fn farewell() -> io::Result<()> {
    line("")?;
    line("Every step above was asked of the clusters themselves.")?;
    line("A fleet of your own to play with:")?;
    line("   writ sandbox up --dir fleet --detach && source fleet/env")?;
    line(
        "   writ apply -f examples/ && writ status && kubectl --context eu-prod-1 get clusters.writ.dev",
    )
}
