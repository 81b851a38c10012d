//! The fleet in a few numbers, as the clusters themselves count: cheap at any size.

use super::{Liveness, Now, Tracker};
use crate::{
    model::{Cluster, Mode, Phase},
    name::ClusterName,
};

/// The numbers; of clusters that are enrolled, and neither drain nor are cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overview {
    /// Registered clusters that are heard.
    pub live: u32,
    /// That are silent.
    pub silent: u32,
    /// That were not heard yet, and not listened for long enough.
    pub unknown: u32,
    /// Of the live ones: that hear no beat, and say so.
    pub stale: u32,
    /// That only observe.
    pub observing: u32,
    /// For which two speak.
    pub forked: u32,
    /// Policies on live clusters, by the clusters' own count: confirmed in full.
    pub applied: u64,
    /// Not done yet.
    pub pending: u64,
    /// Refused.
    pub refused: u64,
    /// Edits between the newest and the one that the slowest live cluster has reached.
    pub revisions_behind: u64,
}

/// Whether a registered cluster is heard, in short.
#[derive(Debug, Clone, Copy)]
pub struct Sign<'a> {
    /// Its name.
    pub cluster: &'a ClusterName,
    /// Its registry entry.
    pub entry: &'a Cluster,
    /// Whether it gives signs of life.
    pub liveness: Liveness,
    /// It is heard, and says that it hears no beat.
    pub stale: bool,
    /// Two speak for it.
    pub forked: bool,
}

impl Tracker {
    /// Every registered cluster's sign of life, by name.
    pub fn signs(&self, now: Now) -> impl Iterator<Item = Sign<'_>> {
        self.members.iter().filter_map(move |(cluster, member)| {
            let (entry, liveness) = (member.entry.as_ref()?, self.liveness(cluster, now)?);
            let said_stale = member.pulse.as_ref().is_some_and(|pulse| pulse.stale);
            Some(Sign {
                cluster,
                entry,
                liveness,
                stale: said_stale && matches!(liveness, Liveness::Live { .. }),
                forked: member.chain.fork().is_some(),
            })
        })
    }

    /// The fleet as it is now.
    pub fn overview(&self, now: Now) -> Overview {
        let mut overview = Overview::default();
        for (name, member) in &self.members {
            let (Some(entry), Some(liveness)) = (&member.entry, self.liveness(name, now)) else {
                continue;
            };
            // Who was not let in yet, leaves or was cut off is not waited for.
            if entry.phase != Phase::Active {
                continue;
            }
            overview.observing += u32::from(entry.mode == Mode::Observe);
            overview.forked += u32::from(member.chain.fork().is_some());
            match liveness {
                Liveness::Silent { .. } => overview.silent += 1,
                Liveness::Unknown { .. } => overview.unknown += 1,
                Liveness::Live { .. } => {
                    overview.live += 1;
                    let is_stale = member.pulse.as_ref().is_some_and(|pulse| pulse.stale);
                    overview.stale += u32::from(is_stale);
                    let Some(ack) = &member.ack else { continue };
                    overview.applied += u64::from(ack.counts.applied);
                    overview.pending += u64::from(ack.counts.pending);
                    overview.refused += u64::from(ack.counts.refused);
                    let reached = member.reach.revision;
                    if reached.epoch == self.revision.epoch {
                        let behind = self.revision.number.saturating_sub(reached.number);
                        overview.revisions_behind = overview.revisions_behind.max(behind);
                    }
                }
            }
        }
        overview
    }

    /// How many pulses of a cluster are missing between its last sign of life and now, by its own period.
    pub fn pulses_missed(&self, cluster: &ClusterName, now: Now) -> u64 {
        self.members
            .get(cluster)
            .map_or(0, |member| member.life.missed(self.pulse_period_ms, now))
    }
}
