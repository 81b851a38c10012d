//! The tracker: how far every edit has come, as the clusters themselves say.
//!
//! Owns the view over edits, acks and pulses that `status` shows. It is rebuilt at any time from the
//! last intent of every name and the last ack of every cluster; pulses are only heard.
//! Promises: columns are exclusive and add up to the targets, which were fixed when the edit was
//! committed; a cluster counts as applied only by its own word, and never while it is silent; the
//! same edits and acks in any order, and any number of times, give the same answers.
//! Never verifies a signature (what it takes was verified) and never reads a clock.

mod board;
mod chain;
mod cluster;
mod edit;
mod life;
mod overview;
mod policy;
mod progress;
mod spread;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::{board::Board, cluster::Member, policy::Policy, spread::Times};
pub use self::{
    chain::{Fork, Link},
    cluster::{ClusterStatus, PolicyLine},
    edit::{Committed, ReadError, Subject, read_manifest},
    life::{Liveness, Now},
    overview::{Overview, Sign},
    policy::{ClusterLine, Counts, IDENTITY_FORKED, Membership, PolicyStatus, State},
    progress::{Drift, Progress},
    spread::Spread,
};
use crate::{
    ack::{Ack, Pulse},
    envelope::{Keyring, PublicKey},
    model::{Mode, Phase},
    name::{ClusterName, PolicyName, Region, Stage},
    revision::{Generation, Revision},
    subject::Sender,
};

/// Generations of one policy that are held, the last ones. Earlier ones are asked for while somebody
/// waits for them, which is seconds after their edit.
pub const GENERATIONS_MAX: usize = 16;

/// Why a cluster's message says nothing to the tracker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The registry has no such cluster, or has it no longer.
    #[error("cluster {0} is not registered")]
    NotRegistered(ClusterName),
    /// It speaks from another place than the registry says.
    #[error("cluster {0} is registered in another region or stage")]
    Misplaced(ClusterName),
    /// Its keys are revoked.
    #[error("cluster {0} is cut off")]
    CutOff(ClusterName),
    /// It was made before the cluster was registered anew, or before what is held.
    #[error("the message of cluster {0} is older than what is known")]
    Older(ClusterName),
}

impl Refused {
    /// A closed set of labels.
    pub fn category(&self) -> &'static str {
        match self {
            Refused::NotRegistered(_) => "not_registered",
            Refused::Misplaced(_) => "misplaced",
            Refused::CutOff(_) => "cut_off",
            Refused::Older(_) => "older",
        }
    }
}

/// What a pulse told beside the sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PulseNews {
    /// The cluster has sent an ack that was not seen here: read the last one again.
    pub ack_missing: bool,
    /// What is shown of the cluster changed.
    pub changed: bool,
    /// It shows that two speak for the cluster, which was not known.
    pub forked: bool,
}

/// The state machine.
#[derive(Debug, Clone)]
pub struct Tracker {
    members: BTreeMap<ClusterName, Member>,
    policies: BTreeMap<PolicyName, Policy>,
    /// The newest edit that was taken.
    revision: Revision,
    /// Since when pulses would have been heard: silence before that says nothing.
    listening_since: Now,
    /// Expected until a cluster states its own.
    pulse_period_ms: u64,
    board: Board,
}

impl Tracker {
    /// A tracker that knows of nothing and begins to listen now.
    pub fn new(now: Now, pulse_period_ms: u64) -> Tracker {
        Tracker {
            members: BTreeMap::new(),
            policies: BTreeMap::new(),
            revision: Revision::ZERO,
            listening_since: now,
            pulse_period_ms,
            board: Board::default(),
        }
    }

    /// Pulses may have been missed until now, so that nobody is called silent for that.
    pub fn listen_anew(&mut self, now: Now) {
        self.listening_since = now;
        self.board.forgive();
    }

    /// Takes a committed edit. One at or below what is held of its name changes nothing.
    pub fn edit(&mut self, edit: Committed, now: Now) {
        self.revision = self.revision.max(edit.revision);
        match edit.subject.clone() {
            Subject::Policy(selector) => {
                let name = PolicyName::from(&edit.name);
                self.board.edit(&name);
                self.policies
                    .entry(name)
                    .or_default()
                    .push(edit, selector.map(|selector| *selector));
            }
            Subject::Cluster(entry) => {
                let name = ClusterName::from(&edit.name);
                self.board.touch(&name);
                let entry = entry.map(|entry| *entry);
                match self.members.get_mut(&name) {
                    Some(member) => member.edit(edit.revision, entry, now),
                    None => {
                        let member = Member::new(name.clone(), edit.revision, entry, now);
                        self.members.insert(name, member);
                    }
                }
            }
        }
    }

    /// The keys whose signatures count in a cluster's acks and pulses: its own, as registered.
    pub fn keyring(&self, cluster: &ClusterName) -> Keyring {
        let entry = self
            .members
            .get(cluster)
            .and_then(|member| member.entry.as_ref());
        let keys = entry
            .filter(|entry| entry.phase != Phase::CutOff)
            .and_then(|entry| entry.keys.clone());
        // A key that can't be read is the same as none: nothing that claims to be the cluster counts.
        Keyring::new(keys.and_then(|keys| PublicKey::from_base64(&keys.ack).ok()))
    }

    /// Takes a verified ack. `heard` is set when it came just now, not out of the past of the log: it
    /// then is a sign of life too. Answers whether anything changed.
    ///
    /// # Errors
    /// [`Refused`]: nothing changed.
    pub fn ack(&mut self, ack: Ack, heard: Option<Now>) -> Result<bool, Refused> {
        let cluster = ack.sender.cluster.clone();
        let changed = self.member_of(&ack.sender)?.ack(ack, heard)?;
        if changed {
            self.board.touch(&cluster);
        }
        Ok(changed)
    }

    /// Takes the place of a verified ack in its cluster's chain, before the ack itself; it may be any that
    /// the log keeps, in any order. Answers a fork that it shows and that was not known.
    pub fn link(&mut self, sender: &Sender, link: &Link) -> Option<Fork> {
        let fork = self.member_of(sender).ok()?.chain.link(link)?;
        self.board.touch(&sender.cluster);
        Some(fork)
    }

    /// Why what a cluster says is not one voice, if so.
    pub fn fork(&self, cluster: &ClusterName) -> Option<&Fork> {
        self.members.get(cluster)?.chain.fork()
    }

    /// Takes a verified pulse.
    ///
    /// # Errors
    /// [`Refused`]: nothing changed.
    pub fn pulse(&mut self, pulse: Pulse, now: Now) -> Result<PulseNews, Refused> {
        let cluster = pulse.sender.cluster.clone();
        let was_live = matches!(self.liveness(&cluster, now), Some(Liveness::Live { .. }));
        let mut news = self.member_of(&pulse.sender)?.pulse(pulse, now)?;
        // It is live now.
        news.changed |= !was_live;
        if news.changed {
            self.board.touch(&cluster);
        } else if let Some(at_ms) = self.silent_at_ms(&cluster) {
            self.board.expect(&cluster, at_ms);
        }
        Ok(news)
    }

    fn member_of(&mut self, sender: &Sender) -> Result<&mut Member, Refused> {
        let name = || sender.cluster.clone();
        let member = self
            .members
            .get_mut(&sender.cluster)
            .ok_or_else(|| Refused::NotRegistered(name()))?;
        let entry = member
            .entry
            .as_ref()
            .ok_or_else(|| Refused::NotRegistered(name()))?;
        if entry.region != sender.region || entry.stage != sender.stage {
            return Err(Refused::Misplaced(name()));
        }
        if entry.phase == Phase::CutOff {
            return Err(Refused::CutOff(name()));
        }
        Ok(member)
    }

    /// The newest edit that was taken.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Whether a registered cluster gives signs of life.
    pub fn liveness(&self, cluster: &ClusterName, now: Now) -> Option<Liveness> {
        let member = self
            .members
            .get(cluster)
            .filter(|member| member.entry.is_some())?;
        Some(
            member
                .life
                .liveness(self.listening_since, self.pulse_period_ms, now),
        )
    }

    /// The last edit of each policy that is in force, or was deleted and is not confirmed gone
    /// everywhere: access that was to be taken away and is still there must not drop out of sight.
    pub fn policies_status(&self, now: Now) -> impl Iterator<Item = PolicyStatus> {
        self.policies
            .keys()
            .filter_map(move |name| self.policy_status(name, None, now))
            .filter(|status| !status.is_deleted || !status.counts.is_reached())
    }

    /// How far a policy's edit has come; the last edit if no generation is named. Nothing where the
    /// policy or that generation is not known (here, any more).
    pub fn policy_status(
        &self,
        name: &PolicyName,
        generation: Option<Generation>,
        now: Now,
    ) -> Option<PolicyStatus> {
        self.policy_status_of(name, generation, now, |_| true)
    }

    /// The same over those clusters alone that `sees` says yes to: lines, columns and times, as if there were no
    /// others. It is told where a cluster is, and nothing where that is not known any more.
    pub fn policy_status_of(
        &self,
        name: &PolicyName,
        generation: Option<Generation>,
        now: Now,
        sees: impl Fn(Option<(&Region, &Stage)>) -> bool,
    ) -> Option<PolicyStatus> {
        let policy = self.policies.get(name)?;
        let edit = policy.find(generation)?;
        let mut lines = policy::lines(self, policy, edit, now);
        lines.retain(|line| sees(line.place.as_ref().map(|(region, stage)| (region, stage))));
        let done = lines
            .iter()
            .filter(|line| (line.membership, line.state) == (Membership::Target, State::Applied));
        let times = done.filter_map(|line| line.applied_ms);
        let times = times.map(|at| at.saturating_sub(edit.committed_ms));
        let counted = lines
            .iter()
            .map(|line| (line.membership, line.state, line.received_ms));
        let counts = Counts::of(counted);
        let spread = times.collect::<Times>().spread();
        Some(policy.status(name, edit, (counts, spread), lines))
    }

    /// The draining clusters that have said that nothing is left of what was applied there, with the
    /// edit that told them: they leave.
    pub fn withdrawn(&self) -> impl Iterator<Item = (&ClusterName, Revision)> {
        let members = self.members.values();
        members.filter_map(|member| Some((&member.name, member.withdrawn()?)))
    }

    /// Where every registered cluster stands, by name.
    pub fn fleet_status(&self, now: Now) -> impl Iterator<Item = ClusterStatus> {
        self.members
            .keys()
            .filter_map(move |name| self.cluster_status(name, now))
    }

    /// Where a registered cluster stands.
    pub fn cluster_status(&self, name: &ClusterName, now: Now) -> Option<ClusterStatus> {
        let member = self.members.get(name)?;
        let entry = member.entry.as_ref()?;
        let liveness = self.liveness(name, now)?;
        let mut lines = Vec::new();
        for (policy_name, policy) in &self.policies {
            let Some(edit) = policy.find(None) else {
                continue;
            };
            let selected = policy.selects(entry);
            let leaves = !selected && edit.targets.contains(name);
            if selected || leaves {
                let line = policy::line(member, edit, liveness, Membership::Target);
                // What left and is confirmed gone is no longer the cluster's business.
                if selected || line.state != State::Applied {
                    lines.push((policy_name.clone(), edit.generation, line));
                }
            }
        }
        let counts = Counts::of(
            lines
                .iter()
                .map(|(_, _, line)| (Membership::Target, line.state, line.received_ms)),
        );
        let observes = entry.mode == Mode::Observe;
        Some(cluster::status(
            name, member, liveness, counts, lines, observes,
        ))
    }
}
