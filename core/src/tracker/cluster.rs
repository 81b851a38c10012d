//! One cluster: its registry entry, its last word, and where it is not good.

use std::collections::BTreeMap;

use super::{
    Counts, Fork, Liveness, Now, PulseNews, Refused, State, chain::Chain, life::Life, policy,
};
use crate::{
    ack::{self, Ack, AckedEdit, Failure, Pulse},
    hash::Hash,
    model::{Cluster, Phase},
    name::{ClusterName, PolicyName, Region, Stage},
    revision::{Generation, Revision},
    root::FeedState,
    scope::Feed,
};

/// Most exceptions that a cluster's status lists.
const EXCEPTIONS_MAX: usize = 1_000;

/// How far a cluster says that it has come.
#[derive(Debug, Clone, Default)]
pub(super) struct Reach {
    /// The root that all its feeds were last equal to.
    pub(super) revision: Revision,
    /// What it holds of each feed.
    pub(super) feeds: BTreeMap<Feed, FeedState>,
}

impl Reach {
    fn extend(&mut self, revision: Revision, feeds: &BTreeMap<Feed, FeedState>) -> bool {
        let mut changed = revision > self.revision;
        self.revision = self.revision.max(revision);
        for (feed, state) in feeds {
            if self
                .feeds
                .get(feed)
                .is_none_or(|held| held.revision < state.revision)
            {
                self.feeds.insert(feed.clone(), *state);
                changed = true;
            }
        }
        changed
    }
}

/// A name of the registry, removed or not.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) name: ClusterName,
    /// The last edit of the entry.
    revision: Revision,
    pub(super) entry: Option<Cluster>,
    /// The edit that removed it last: an ack from before speaks of another life.
    removed_at: Revision,
    pub(super) life: Life,
    pub(super) ack: Option<Ack>,
    pub(super) pulse: Option<Pulse>,
    pub(super) reach: Reach,
    /// The cluster's clock minus ours when it was last heard.
    clock_skew_ms: i64,
    pub(super) chain: Chain,
}

impl Member {
    pub(super) fn new(
        name: ClusterName,
        revision: Revision,
        entry: Option<Cluster>,
        now: Now,
    ) -> Member {
        let removed_at = if entry.is_none() {
            revision
        } else {
            Revision::ZERO
        };
        Member {
            name,
            revision,
            entry,
            removed_at,
            life: Life::new(now),
            ack: None,
            pulse: None,
            reach: Reach::default(),
            clock_skew_ms: 0,
            chain: Chain::default(),
        }
    }

    pub(super) fn edit(&mut self, revision: Revision, entry: Option<Cluster>, now: Now) {
        if revision <= self.revision {
            return;
        }
        match entry {
            None => *self = Member::new(self.name.clone(), revision, None, now),
            Some(entry) => {
                let before = self.entry.as_ref();
                if before.is_some_and(|before| before.keys != entry.keys) {
                    // What was said under other keys was said by another.
                    let removed_at = self.removed_at;
                    *self = Member::new(self.name.clone(), revision, None, now);
                    self.removed_at = removed_at;
                } else if before.is_none() {
                    self.life = Life::new(now);
                }
                if entry.phase == Phase::CutOff {
                    (self.ack, self.pulse, self.reach) = (None, None, Reach::default());
                }
                self.entry = Some(entry);
                self.revision = revision;
            }
        }
    }

    /// The edit since which it drains, if it has come that far and nothing is left there.
    pub(super) fn withdrawn(&self) -> Option<Revision> {
        let drains = self.entry.as_ref()?.phase == Phase::Draining;
        let ack = self
            .ack
            .as_ref()
            .filter(|ack| drains && ack.revision >= self.revision)?;
        (ack.counts == ack::Counts::default()).then_some(self.revision)
    }

    pub(super) fn place(&self) -> Option<(Region, Stage)> {
        self.entry
            .as_ref()
            .map(|entry| (entry.region.clone(), entry.stage.clone()))
    }

    pub(super) fn ack(&mut self, ack: Ack, heard: Option<Now>) -> Result<bool, Refused> {
        let older = Refused::Older(ack.sender.cluster.clone());
        if ack.revision < self.removed_at {
            return Err(older);
        }
        if let Some(held) = &self.ack {
            // Sent again as it was. No sign of life: anybody who heard it once could do that.
            if *held == ack {
                return Ok(false);
            }
            // Counters go on over restarts. A cluster that lost its own state begins again, under a
            // new boot id; then its clock decides.
            let begins_again = ack.boot_id != held.boot_id && ack.sent_ms > held.sent_ms;
            if ack.counter <= held.counter && !begins_again {
                return Err(older);
            }
        }
        match heard {
            Some(now) => self.hear(ack.sent_ms, now),
            None => self.life.say(ack.sent_ms),
        }
        self.reach = Reach {
            revision: ack.revision,
            feeds: ack.feeds.clone(),
        };
        self.ack = Some(ack);
        Ok(true)
    }

    pub(super) fn pulse(&mut self, pulse: Pulse, now: Now) -> Result<PulseNews, Refused> {
        // A pulse of the past that somebody kept and sends again is no sign of life.
        if self
            .pulse
            .as_ref()
            .is_some_and(|held| pulse.sent_ms <= held.sent_ms)
        {
            return Err(Refused::Older(pulse.sender.cluster));
        }
        let forked = self.chain.speak(&pulse.boot_id, pulse.sent_ms);
        self.hear(pulse.sent_ms, now);
        self.life.pulse(pulse.period_ms, now);
        let held_counter = self.ack.as_ref().map_or(0, |ack| ack.counter);
        // Between acks only the position moves. It counts where the cluster says that nothing else has
        // changed since the ack at hand: an edit under way that the ack does not list would be called
        // applied. Equal numbers are not enough: one policy may be done and another begun since.
        let same_words = self.ack.as_ref().is_some_and(|ack| {
            ack.counter == pulse.ack_counter && ack.boot_id == pulse.boot_id && pulse.as_acked
        });
        let moved = same_words && self.reach.extend(pulse.revision, &pulse.feeds);
        let ack_missing = pulse.ack_counter > held_counter;
        let shows_the_same = self
            .pulse
            .as_ref()
            .is_some_and(|held| (held.stale, &held.version) == (pulse.stale, &pulse.version));
        self.pulse = Some(pulse);
        Ok(PulseNews {
            ack_missing,
            changed: moved || forked.is_some() || !shows_the_same,
            forked: forked.is_some(),
        })
    }

    fn hear(&mut self, sent_ms: u64, now: Now) {
        self.life.hear(now);
        let (sent, wall) = (i128::from(sent_ms), i128::from(now.wall_ms));
        self.clock_skew_ms = i64::try_from(sent - wall).unwrap_or(i64::MAX);
    }
}

/// One policy on one cluster, where it is not applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyLine {
    /// The policy.
    pub policy: PolicyName,
    /// The generation that should be in force.
    pub generation: Generation,
    /// The generation that the cluster says it holds.
    pub generation_held: Option<Generation>,
    /// The last generation that it said to have applied in full, as far as its last ack tells.
    pub last_applied: Option<Generation>,
    /// When it had received the edit, by its own clock.
    pub received_ms: Option<u64>,
    /// Where it stands.
    pub state: State,
    /// Machine-readable.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Objects that are not as wanted.
    pub failures: Vec<Failure>,
}

/// Where one cluster stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterStatus {
    /// The cluster.
    pub name: ClusterName,
    /// Its registry entry's place.
    pub place: Option<(Region, Stage)>,
    /// Whether it only observes.
    pub observes: bool,
    /// How far it belongs to the fleet.
    pub phase: Phase,
    /// Whether it gives signs of life.
    pub liveness: Liveness,
    /// The root that it was last equal to.
    pub revision: Option<Revision>,
    /// When it last acknowledged, by its own clock.
    pub acked_ms: Option<u64>,
    /// The policies that are for it.
    pub counts: Counts,
    /// Those that are not applied, by name.
    pub exceptions: Vec<PolicyLine>,
    /// Version of its subscriber.
    pub subscriber_version: String,
    /// Version of its API server.
    pub kubernetes_version: String,
    /// Its clock minus the listener's, when it was last heard.
    pub clock_skew_ms: i64,
    /// The run of its subscriber.
    pub boot_id: String,
    /// Hash of the ceiling that its API server was seen to enforce.
    pub ceiling: Option<Hash>,
    /// Why what it says is not one voice, if so.
    pub fork: Option<Fork>,
    /// What was changed by hand lately, oldest first.
    pub drift: Vec<AckedEdit>,
    /// Whether it says that it hears no beat.
    pub is_stale: bool,
    /// How many policies stand where by its own last ack.
    pub said: ack::Counts,
}

pub(super) fn status(
    name: &ClusterName,
    member: &Member,
    liveness: Liveness,
    counts: Counts,
    lines: Vec<(PolicyName, Generation, policy::ClusterLine)>,
    observes: bool,
) -> ClusterStatus {
    let exceptions = lines
        .into_iter()
        .filter(|(_, _, line)| line.state != State::Applied)
        .take(EXCEPTIONS_MAX)
        .map(|(policy, generation, line)| PolicyLine {
            policy,
            generation,
            generation_held: line.generation_held,
            last_applied: line.last_applied,
            received_ms: line.received_ms,
            state: line.state,
            reason: line.reason,
            message: line.message,
            failures: line.failures,
        })
        .collect();
    let pulse = member.pulse.as_ref();
    let ack = member.ack.as_ref();
    ClusterStatus {
        name: name.clone(),
        place: member.place(),
        observes,
        phase: member
            .entry
            .as_ref()
            .map_or(Phase::Pending, |entry| entry.phase),
        liveness,
        revision: ack.map(|_| member.reach.revision),
        acked_ms: ack.map(|ack| ack.sent_ms),
        counts,
        exceptions,
        subscriber_version: pulse.map(|pulse| pulse.version.clone()).unwrap_or_default(),
        kubernetes_version: pulse
            .map(|pulse| pulse.kubernetes_version.clone())
            .unwrap_or_default(),
        clock_skew_ms: member.clock_skew_ms,
        boot_id: pulse
            .map(|pulse| pulse.boot_id.clone())
            .or_else(|| ack.map(|ack| ack.boot_id.clone()))
            .unwrap_or_default(),
        ceiling: pulse.and_then(|pulse| pulse.ceiling),
        fork: member.chain.fork().cloned(),
        drift: ack.map(drift_of).unwrap_or_default(),
        is_stale: pulse.is_some_and(|pulse| pulse.stale),
        said: ack.map(|ack| ack.counts).unwrap_or_default(),
    }
}

fn drift_of(ack: &Ack) -> Vec<AckedEdit> {
    let drifted = ack.edits.iter().filter(|edit| edit.drift);
    drifted.cloned().collect()
}
