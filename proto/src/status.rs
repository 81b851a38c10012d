//! The status of a policy as a stream of changes: what its sender leaves out, and how its reader puts it together.
//!
//! Both ends are here, since each is only right beside the other: whatever [`Sent`] makes of a sequence of statuses,
//! [`merge`] makes that sequence of it again, but for when live clusters were last heard. Never waits or reads a clock.

use std::{collections::BTreeMap, mem};

use prost::Message as _;
use writ_core::hash::Hash;

use crate::v1::{self, liveness::State};

/// What one stream was sent of a policy. It holds of each line a part of its hash, not the line: a stream costs its
/// sender less than 100 bytes for each cluster, however much the clusters have to say.
#[derive(Debug, Default)]
pub struct Sent {
    /// Everything but the lines; nothing before the first status.
    head: Option<v1::PolicyStatus>,
    /// By cluster, with the count of the last status that had it.
    lines: BTreeMap<Box<str>, (Mark, u64)>,
    count: u64,
}

impl Sent {
    /// Takes a status as it is now and leaves in it what this stream has to be told: everything at first, then what is
    /// other than it was told before. Answers whether that is anything at all.
    ///
    /// Everything that is left in it has to be sent, if the answer is yes: it counts as told.
    pub fn narrow(&mut self, status: &mut v1::PolicyStatus) -> bool {
        let lines = mem::take(&mut status.clusters);
        let is_other = self.head.as_ref() != Some(&*status);
        let is_first = self.head.is_none();
        if is_other {
            self.head = Some(status.clone());
        }
        self.count += 1;
        status.clusters = lines
            .into_iter()
            .filter_map(|line| self.take(line))
            .collect();
        let count = self.count;
        self.lines.retain(|name, (_, seen)| {
            let is_there = *seen == count;
            if !is_there {
                status.removed.push(name.to_string());
            }
            is_there
        });
        status.is_change = !is_first;
        is_other || !status.clusters.is_empty() || !status.removed.is_empty()
    }

    /// The line, if it is other than it was told.
    fn take(&mut self, mut line: v1::ClusterLine) -> Option<v1::ClusterLine> {
        if let Some(liveness) = &mut line.liveness
            && liveness.state() == State::Live
        {
            liveness.last_heard = None;
        }
        let hash = mark(&line);
        match self.lines.get_mut(&*line.cluster) {
            Some((held, seen)) => {
                *seen = self.count;
                let is_same = mem::replace(held, hash) == hash;
                (!is_same).then_some(line)
            }
            None => {
                self.lines
                    .insert(line.cluster.as_str().into(), (hash, self.count));
                Some(line)
            }
        }
    }
}

/// Enough of a hash to tell a line from the one before it.
type Mark = [u8; 8];

fn mark(line: &v1::ClusterLine) -> Mark {
    let hash = Hash::of(&line.encode_to_vec());
    std::array::from_fn(|at| hash.0[at])
}

/// What a stream told does not go on from what it told before: ask anew, by another stream.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a change of the status of {policy:?} came, and no whole one before it")]
pub struct NoWhole {
    /// The policy.
    pub policy: String,
}

/// Takes the next answer of a stream of statuses into what that stream told so far (nothing, at the beginning of each
/// stream), so that this is whole again. After an error nothing is held.
pub fn merge(
    held: &mut Option<v1::StatusResponse>,
    mut told: v1::StatusResponse,
) -> Result<(), NoWhole> {
    let mut before = held.take().unwrap_or_default().policies;
    for change in told.policies.iter_mut().filter(|told| told.is_change) {
        let held = before.iter_mut().find(|held| held.policy == change.policy);
        let Some(held) = held else {
            let policy = mem::take(&mut change.policy);
            return Err(NoWhole { policy });
        };
        complete(change, mem::take(&mut held.clusters));
    }
    *held = Some(told);
    Ok(())
}

/// Makes a change whole, by the lines as they were before it.
fn complete(change: &mut v1::PolicyStatus, mut lines: Vec<v1::ClusterLine>) {
    let removed = mem::take(&mut change.removed);
    if !removed.is_empty() {
        lines.retain(|line| removed.binary_search(&line.cluster).is_err());
    }
    let known = lines.len();
    for line in mem::take(&mut change.clusters) {
        match lines[..known].binary_search_by(|held| held.cluster.cmp(&line.cluster)) {
            Ok(at) => lines[at] = line,
            Err(_) => lines.push(line),
        }
    }
    if lines.len() > known {
        lines.sort_by(|a, b| a.cluster.cmp(&b.cluster));
    }
    change.clusters = lines;
    change.is_change = false;
}

#[cfg(test)]
mod tests;
