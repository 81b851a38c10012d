//! How far edits have come, as tables and JSON.
//!
//! Owns the columns of `status`. Promises that the columns of a policy are exclusive and that a
//! silent cluster is shown as silent whatever it said before: the counts are the publisher's, never
//! counted again here.

use jiff::tz::TimeZone;
use writ_proto::v1;

use super::table::{Table, Tone, clean};
use super::words;

mod view;

pub(crate) use view::{counts_value, json, line_value, policy_value};

/// The whole answer, as people read it. Without a newline at the end.
pub(crate) fn text(
    status: &v1::StatusResponse,
    wide: bool,
    zone: &TimeZone,
    colour: bool,
) -> String {
    let as_of = status.as_of.as_ref();
    if let Some(cluster) = &status.cluster {
        return cluster_text(cluster, as_of, zone, colour);
    }
    let mut parts = vec![summary(&status.policies, as_of, wide, zone).render(colour)];
    for policy in &status.policies {
        if policy.generation < policy.latest_generation {
            parts.push(format!(
                "{}@{} is not the last generation: @{} is",
                policy.policy, policy.generation, policy.latest_generation
            ));
        }
        if !policy.clusters.is_empty() {
            parts.push(lines(policy, as_of, wide).render(colour));
            parts.extend(failing(policy));
        }
    }
    parts.join("\n\n")
}

fn summary(
    policies: &[v1::PolicyStatus],
    as_of: Option<&v1::AsOf>,
    wide: bool,
    zone: &TimeZone,
) -> Table {
    let said = words::as_of(as_of, zone);
    let row = |policy: &v1::PolicyStatus| {
        let counts = policy.counts.unwrap_or_default();
        let name = if policy.deleted {
            format!("{} (deleted)", policy.policy)
        } else {
            policy.policy.clone()
        };
        [
            name,
            policy.generation.to_string(),
            counts.target.to_string(),
            counts.applied.to_string(),
            counts.pending.to_string(),
            counts.refused.to_string(),
            counts.silent.to_string(),
            counts.later.to_string(),
            words::age(policy.committed_at.as_ref(), as_of),
            said.clone(),
        ]
    };
    if !wide {
        let mut table = Table::new([
            "POLICY", "GEN", "TARGET", "APPLIED", "PENDING", "REFUSED", "SILENT", "LATER", "AGE",
            "AS OF",
        ]);
        policies
            .iter()
            .for_each(|policy| table.row(tone(policy), row(policy)));
        return table;
    }
    let mut table = Table::new([
        "POLICY",
        "GEN",
        "TARGET",
        "APPLIED",
        "PENDING",
        "RECEIVED",
        "REFUSED",
        "SILENT",
        "LATER",
        "LEFT",
        "OBSERVING",
        "ASIDE",
        "REVISION",
        "AGE",
        "AS OF",
    ]);
    for policy in policies {
        let counts = policy.counts.unwrap_or_default();
        let [
            name,
            generation,
            target,
            applied,
            pending,
            refused,
            silent,
            later,
            age,
            said,
        ] = row(policy);
        let (received, left) = (counts.received.to_string(), counts.left.to_string());
        let (observing, aside, revision) = (
            counts.observing.to_string(),
            counts.aside.to_string(),
            words::revision(policy.revision.as_ref()),
        );
        table.row(
            tone(policy),
            [
                name, generation, target, applied, pending, received, refused, silent, later, left,
                observing, aside, revision, age, said,
            ],
        );
    }
    table
}

fn tone(policy: &v1::PolicyStatus) -> Tone {
    match policy.counts.unwrap_or_default() {
        counts if counts.refused > 0 => Tone::Bad,
        counts if counts.silent > 0 => Tone::Silent,
        counts if counts.pending > 0 => Tone::Waiting,
        _ => Tone::Plain,
    }
}

fn state_tone(state: v1::AckState) -> Tone {
    match state {
        v1::AckState::Refused => Tone::Bad,
        v1::AckState::Silent => Tone::Silent,
        v1::AckState::Pending => Tone::Waiting,
        v1::AckState::Applied | v1::AckState::Unspecified => Tone::Plain,
    }
}

fn lines(policy: &v1::PolicyStatus, as_of: Option<&v1::AsOf>, wide: bool) -> Table {
    let edit = policy.committed_at.as_ref();
    let row = |line: &v1::ClusterLine| {
        [
            line.cluster.clone(),
            state(line),
            words::after(line.received_at.as_ref(), edit),
            words::after(line.applied_at.as_ref(), edit),
            words::generation(line.generation_held),
            words::liveness(line.liveness.as_ref(), as_of),
            line.reason.clone(),
        ]
    };
    if !wide {
        let mut table = Table::new([
            "CLUSTER",
            "STATE",
            "RECEIVED",
            "APPLIED",
            "HOLDS",
            "CLUSTER IS",
            "REASON",
        ]);
        policy
            .clusters
            .iter()
            .for_each(|line| table.row(state_tone(line.state()), row(line)));
        return table;
    }
    let mut table = Table::new([
        "CLUSTER",
        "REGION",
        "STAGE",
        "STATE",
        "RECEIVED",
        "APPLIED",
        "HOLDS",
        "CLUSTER IS",
        "REASON",
        "MESSAGE",
    ]);
    for line in &policy.clusters {
        let [cluster, state, received, applied, holds, liveness, reason] = row(line);
        let (region, stage, message) = (
            line.region.clone(),
            line.stage.clone(),
            line.message.clone(),
        );
        let cells = [
            cluster, region, stage, state, received, applied, holds, liveness, reason, message,
        ];
        table.row(state_tone(line.state()), cells);
    }
    table
}

/// A cluster that is not counted says why: `applied (later)`, never plain `applied`.
fn state(line: &v1::ClusterLine) -> String {
    let state = match line.state() {
        v1::AckState::Pending if line.received_at.is_some() => "pending, received",
        other => words::ack_state(other),
    };
    match words::membership(line.membership()) {
        "" => state.to_owned(),
        membership => format!("{state} ({membership})"),
    }
}

/// What the clusters said about what failed, as blocks of lines.
fn failing(policy: &v1::PolicyStatus) -> Vec<String> {
    policy
        .clusters
        .iter()
        .filter(|line| !line.message.is_empty() || !line.failing.is_empty())
        .map(|line| {
            let title = if line.generation_held > 0 && line.generation_held != policy.generation {
                format!(
                    "{} (still in force there: @{})",
                    line.cluster, line.generation_held
                )
            } else {
                line.cluster.clone()
            };
            exception(
                &title,
                line.state(),
                &line.reason,
                &line.message,
                &line.failing,
            )
        })
        .collect()
}

fn exception(
    title: &str,
    state: v1::AckState,
    reason: &str,
    message: &str,
    failing: &[v1::FailingObject],
) -> String {
    let mut block = format!("{title}: {}", words::ack_state(state));
    for part in [reason, message] {
        if !part.is_empty() {
            block.push_str(&format!(": {}", clean(part)));
        }
    }
    // A single object's message is the cluster's message.
    let more = failing
        .iter()
        .filter(|object| object.message.is_empty() || !message.contains(&object.message));
    for object in more {
        let (object, reason, message) = (
            clean(&object.object),
            clean(&object.reason),
            clean(&object.message),
        );
        block.push_str(&format!("\n  {object}: {reason}: {message}"));
    }
    block
}

/// The columns that are not zero, in one line: `10 of 12 applied, 1 refused, 1 silent`.
pub(crate) fn counts(policy: &v1::PolicyStatus) -> String {
    let counts = policy.counts.unwrap_or_default();
    if counts.target == 0 {
        return "no cluster is a target".to_owned();
    }
    let mut text = format!("{} of {} applied", counts.applied, counts.target);
    for (count, word) in [
        (counts.pending, "pending"),
        (counts.refused, "refused"),
        (counts.silent, "silent"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {count} {word}"));
        }
    }
    text
}

/// The targets that have not applied the edit, each with its reason.
pub(crate) fn missing(policy: &v1::PolicyStatus) -> Vec<String> {
    policy
        .clusters
        .iter()
        .filter(|line| {
            line.membership() == v1::Membership::Target && line.state() != v1::AckState::Applied
        })
        .map(|line| {
            exception(
                &line.cluster,
                line.state(),
                &line.reason,
                &line.message,
                &line.failing,
            )
        })
        .collect()
}

fn cluster_text(
    cluster: &v1::ClusterStatus,
    as_of: Option<&v1::AsOf>,
    zone: &TimeZone,
    colour: bool,
) -> String {
    let counts = cluster.counts.unwrap_or_default();
    let mut table = Table::new([
        "CLUSTER",
        "REGION",
        "STAGE",
        "MODE",
        "STATE",
        "REVISION",
        "POLICIES",
        "APPLIED",
        "PENDING",
        "REFUSED",
        "SILENT",
        "KUBERNETES",
        "AS OF",
    ]);
    let is_live = words::liveness_state(cluster.liveness.as_ref()) == "live";
    let tone = match (is_live, counts.refused) {
        (false, _) => Tone::Silent,
        (true, 0) => Tone::Plain,
        (true, _) => Tone::Bad,
    };
    table.row(
        tone,
        [
            cluster.cluster.clone(),
            cluster.region.clone(),
            cluster.stage.clone(),
            cluster.mode.clone(),
            words::liveness(cluster.liveness.as_ref(), as_of),
            words::revision(cluster.revision.as_ref()),
            counts.target.to_string(),
            counts.applied.to_string(),
            counts.pending.to_string(),
            counts.refused.to_string(),
            counts.silent.to_string(),
            cluster.kubernetes_version.clone(),
            words::as_of(as_of, zone),
        ],
    );
    let mut parts = vec![table.render(colour)];
    if !cluster.exceptions.is_empty() {
        let mut table = Table::new(["POLICY", "GEN", "HOLDS", "STATE", "REASON"]);
        for line in &cluster.exceptions {
            table.row(
                state_tone(line.state()),
                [
                    line.policy.clone(),
                    line.generation.to_string(),
                    words::generation(line.generation_held),
                    words::ack_state(line.state()).to_owned(),
                    line.reason.clone(),
                ],
            );
        }
        parts.push(table.render(colour));
        parts.extend(
            cluster
                .exceptions
                .iter()
                .filter(|line| !line.message.is_empty() || !line.failing.is_empty())
                .map(|line| {
                    exception(
                        &line.policy,
                        line.state(),
                        &line.reason,
                        &line.message,
                        &line.failing,
                    )
                }),
        );
    }
    parts.join("\n\n")
}

/// `kind/name@generation` of everything in the answer, a line each.
pub(crate) fn names(status: &v1::StatusResponse) -> Vec<String> {
    match &status.cluster {
        Some(cluster) => vec![format!("cluster/{}", cluster.cluster)],
        None => status
            .policies
            .iter()
            .map(|policy| format!("clusterpolicy/{}@{}", policy.policy, policy.generation))
            .collect(),
    }
}

#[cfg(test)]
mod tests;
