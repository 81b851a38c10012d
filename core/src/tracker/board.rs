//! The board: how every policy stands on every cluster, kept as the words come instead of counted anew.
//!
//! Owns one small piece per policy and cluster, and the sums of each policy. Whoever looks pays for what
//! changed since somebody looked last, not for clusters × policies.
//! Promises: after a look the columns are those of [`Tracker::policies_status`], and a line is that of
//! [`Tracker::cluster_status`], whatever came in between.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ClusterStatus, Committed, Counts, Liveness, Membership, Now, PolicyStatus, State, Tracker,
    cluster::{self, Member},
    policy::{self, Policy},
    spread::{Spread, Times},
};
use crate::{
    model::Mode,
    name::{ClusterName, PolicyName, Region, Stage},
};

/// One policy on one cluster, as it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    membership: Membership,
    state: State,
    is_received: bool,
    is_selected: bool,
    /// From the commit until applied, of a target.
    applied_after_ms: Option<u64>,
}

impl Piece {
    /// What left and is confirmed gone is no longer the cluster's business.
    fn is_of_cluster(&self) -> bool {
        self.membership != Membership::Left && (self.is_selected || self.state != State::Applied)
    }
}

/// The sums of a policy.
#[derive(Debug, Clone, Default)]
struct Tally {
    counts: Counts,
    times: Times,
    spread: Spread,
    is_moved: bool,
}

impl Tally {
    fn exchange(&mut self, before: Option<Piece>, after: Option<Piece>) {
        self.is_moved = true;
        if let Some(piece) = before {
            self.counts
                .take(piece.membership, piece.state, piece.is_received);
            self.times.take(piece.applied_after_ms);
        }
        if let Some(piece) = after {
            self.counts
                .add(piece.membership, piece.state, piece.is_received);
            self.times.add(piece.applied_after_ms);
        }
    }
}

/// A cluster's pieces, by the place of their policy.
#[derive(Debug, Clone, Default)]
struct Row {
    pieces: Vec<Option<Piece>>,
    /// Whether it was silent when it was looked at.
    is_silent: bool,
    /// When it is to be looked at again for silence.
    silent_at_ms: Option<u64>,
}

/// What is kept between two looks.
#[derive(Debug, Clone, Default)]
pub(super) struct Board {
    places: BTreeMap<PolicyName, usize>,
    tallies: Vec<Tally>,
    rows: BTreeMap<ClusterName, Row>,
    /// One entry for each cluster that is not silent; it may be early, never late.
    silences: BTreeSet<(u64, ClusterName)>,
    touched: BTreeSet<ClusterName>,
    edited: BTreeSet<PolicyName>,
}

impl Board {
    /// Something about a cluster is not as it was.
    pub(super) fn touch(&mut self, cluster: &ClusterName) {
        if !self.touched.contains(cluster) {
            self.touched.insert(cluster.clone());
        }
    }

    /// A policy has another edit.
    pub(super) fn edit(&mut self, policy: &PolicyName) {
        self.edited.insert(policy.clone());
    }

    /// Nobody is silent for now.
    pub(super) fn forgive(&mut self) {
        let silent = self.rows.iter().filter(|(_, row)| row.is_silent);
        self.touched.extend(silent.map(|(name, _)| name.clone()));
    }

    /// A cluster would be silent from then on: sooner than was thought where its own period is shorter.
    pub(super) fn expect(&mut self, cluster: &ClusterName, at_ms: u64) {
        let Some(row) = self.rows.get_mut(cluster).filter(|row| !row.is_silent) else {
            return;
        };
        if row.silent_at_ms.is_some_and(|known| known <= at_ms) {
            return;
        }
        if let Some(known) = row.silent_at_ms.replace(at_ms) {
            self.silences.remove(&(known, cluster.clone()));
        }
        self.silences.insert((at_ms, cluster.clone()));
    }

    fn place(&mut self, policy: &PolicyName) -> usize {
        if let Some(place) = self.places.get(policy) {
            return *place;
        }
        self.tallies.push(Tally::default());
        self.places.insert(policy.clone(), self.tallies.len() - 1);
        self.tallies.len() - 1
    }

    fn look(&mut self, tracker: &Tracker, now: Now) -> BTreeSet<ClusterName> {
        self.find_silent(tracker, now);
        let mut changed = BTreeSet::new();
        for name in std::mem::take(&mut self.edited) {
            self.count_policy(tracker, &name, now, &mut changed);
        }
        for name in std::mem::take(&mut self.touched) {
            self.count_cluster(tracker, &name, now);
            changed.insert(name);
        }
        for tally in self.tallies.iter_mut().filter(|tally| tally.is_moved) {
            tally.spread = tally.times.spread();
            tally.is_moved = false;
        }
        changed
    }

    /// Looks at whoever may have turned silent.
    fn find_silent(&mut self, tracker: &Tracker, now: Now) {
        while let Some((at_ms, name)) = self.silences.pop_first() {
            if at_ms > now.monotonic_ms {
                self.silences.insert((at_ms, name));
                return;
            }
            if let Some(row) = self.rows.get_mut(&name) {
                row.silent_at_ms = None;
            }
            match tracker.silent_at_ms(&name) {
                Some(at_ms) if at_ms > now.monotonic_ms => self.expect(&name, at_ms),
                _ => self.touch(&name),
            }
        }
    }

    fn count_policy(
        &mut self,
        tracker: &Tracker,
        name: &PolicyName,
        now: Now,
        changed: &mut BTreeSet<ClusterName>,
    ) {
        let place = self.place(name);
        let Some((policy, edit)) = tracker.last_edit(name) else {
            return;
        };
        let known = self.rows.iter();
        let known = known.filter(|(_, row)| row.pieces.get(place).is_some_and(Option::is_some));
        let mut all: BTreeSet<&ClusterName> = known.map(|(name, _)| name).collect();
        all.extend(&edit.targets);
        let selected = tracker.members.values().filter(|member| {
            let entry = member.entry.as_ref();
            entry.is_some_and(|entry| policy.selects(entry))
        });
        all.extend(selected.map(|member| &member.name));
        // Whoever is touched is counted as a whole right after.
        let all = all.into_iter().filter(|name| !self.touched.contains(*name));
        let all: Vec<ClusterName> = all.cloned().collect();
        for cluster in all {
            let liveness = tracker.liveness(&cluster, now);
            let piece = piece(tracker, policy, edit, &cluster, liveness);
            self.put(&cluster, place, piece);
            changed.insert(cluster);
        }
    }

    fn count_cluster(&mut self, tracker: &Tracker, name: &ClusterName, now: Now) {
        let liveness = tracker.liveness(name, now);
        for (policy_name, policy) in &tracker.policies {
            let place = self.place(policy_name);
            if let Some(edit) = policy.find(None) {
                let piece = piece(tracker, policy, edit, name, liveness);
                self.put(name, place, piece);
            }
        }
        let row = self.rows.entry(name.clone()).or_default();
        row.is_silent = liveness.is_some_and(Liveness::is_silent);
        if let Some(known) = row.silent_at_ms.take() {
            self.silences.remove(&(known, name.clone()));
        }
        if let Some(at_ms) = tracker.silent_at_ms(name) {
            self.expect(name, at_ms);
        }
    }

    fn put(&mut self, cluster: &ClusterName, place: usize, piece: Option<Piece>) {
        let row = match self.rows.get_mut(cluster) {
            Some(row) => row,
            None => self.rows.entry(cluster.clone()).or_default(),
        };
        if row.pieces.len() <= place {
            row.pieces.resize(place + 1, None);
        }
        if row.pieces[place] != piece {
            self.tallies[place].exchange(row.pieces[place], piece);
            row.pieces[place] = piece;
        }
    }
}

/// How the last edit of a policy counts on a cluster, if it does at all.
fn piece(
    tracker: &Tracker,
    policy: &Policy,
    edit: &Committed,
    cluster: &ClusterName,
    liveness: Option<Liveness>,
) -> Option<Piece> {
    let member = tracker.members.get(cluster);
    let entry = member.and_then(|member| member.entry.as_ref());
    let is_target = edit.targets.contains(cluster);
    let (Some(member), Some(entry), Some(liveness)) = (member, entry, liveness) else {
        return is_target.then_some(Piece {
            membership: Membership::Left,
            state: State::Pending,
            is_received: false,
            is_selected: false,
            applied_after_ms: None,
        });
    };
    let is_selected = policy.selects(entry);
    let enforcing = match (is_target, is_selected) {
        (true, _) => Membership::Target,
        (false, true) => Membership::Later,
        (false, false) => return None,
    };
    let membership = policy::membership(entry, enforcing);
    let standing = policy::standing(member, edit, liveness);
    let is_done = membership == Membership::Target && standing.state == State::Applied;
    let applied_ms = standing.applied_ms.filter(|_| is_done);
    Some(Piece {
        membership,
        state: standing.state,
        is_received: standing.received_ms.is_some(),
        is_selected,
        applied_after_ms: applied_ms.map(|at| at.saturating_sub(edit.committed_ms)),
    })
}

impl Tracker {
    /// Brings the board up to now, and names the clusters whose line may be another one than when this was
    /// asked last.
    pub fn look(&mut self, now: Now) -> BTreeSet<ClusterName> {
        let mut board = std::mem::take(&mut self.board);
        let changed = board.look(self, now);
        self.board = board;
        changed
    }

    /// When the next cluster turns silent if nothing is heard, on the monotonic clock, as far as was looked.
    pub fn next_silence_ms(&mut self) -> Option<u64> {
        let mut board = std::mem::take(&mut self.board);
        let mut next = None;
        while let Some((known, name)) = board.silences.pop_first() {
            let at_ms = self.silent_at_ms(&name).unwrap_or(known).max(known);
            board.silences.insert((at_ms, name.clone()));
            if let Some(row) = board.rows.get_mut(&name) {
                row.silent_at_ms = Some(at_ms);
            }
            if at_ms == known {
                next = Some(known);
                break;
            }
        }
        self.board = board;
        next
    }

    pub(super) fn silent_at_ms(&self, cluster: &ClusterName) -> Option<u64> {
        let member = self.members.get(cluster)?;
        member.entry.as_ref()?;
        let life = &member.life;
        Some(life.silent_at_ms(self.listening_since, self.pulse_period_ms))
    }

    fn last_edit(&self, name: &PolicyName) -> Option<(&Policy, &Committed)> {
        let policy = self.policies.get(name)?;
        Some((policy, policy.find(None)?))
    }

    /// The policies as [`Tracker::policies_status`] has them, without their lines, as of the last look.
    pub fn columns(&self) -> impl Iterator<Item = PolicyStatus> {
        self.summed(|place| {
            let tally = &self.board.tallies[place];
            (tally.counts, tally.spread)
        })
    }

    /// The policies that are in force or not gone everywhere, by the sums of each one's place.
    fn summed(
        &self,
        sums: impl Fn(usize) -> (Counts, Spread),
    ) -> impl Iterator<Item = PolicyStatus> {
        let places = self.board.places.iter();
        places.filter_map(move |(name, place)| {
            let (policy, edit) = self.last_edit(name)?;
            let status = policy.status(name, edit, sums(*place), Vec::new());
            (!status.is_deleted || !status.counts.is_reached()).then_some(status)
        })
    }

    /// The same over those clusters alone that `sees` says yes to, added up anew from the pieces. What left the
    /// registry is in no place that is known, and counts for nobody here.
    pub fn columns_of(
        &self,
        sees: impl Fn(&Region, &Stage) -> bool,
    ) -> impl Iterator<Item = PolicyStatus> {
        let mut tallies = vec![Tally::default(); self.board.tallies.len()];
        // Many clusters, few places.
        let mut judged: BTreeMap<(&Region, &Stage), bool> = BTreeMap::new();
        for (name, row) in &self.board.rows {
            let member = self.members.get(name);
            let Some(entry) = member.and_then(|member| member.entry.as_ref()) else {
                continue;
            };
            let place = (&entry.region, &entry.stage);
            if !*judged
                .entry(place)
                .or_insert_with(|| sees(place.0, place.1))
            {
                continue;
            }
            for (tally, piece) in tallies.iter_mut().zip(&row.pieces) {
                tally.exchange(None, *piece);
            }
        }
        self.summed(move |place| (tallies[place].counts, tallies[place].times.spread()))
    }

    /// A cluster as [`Tracker::cluster_status`] has it, by the board: only what is not applied is looked at.
    pub fn line(&self, name: &ClusterName, now: Now) -> Option<ClusterStatus> {
        let member: &Member = self.members.get(name)?;
        let entry = member.entry.as_ref()?;
        let liveness = self.liveness(name, now)?;
        let empty = Row::default();
        let row = self.board.rows.get(name).unwrap_or(&empty);
        let (mut counts, mut lines) = (Counts::default(), Vec::new());
        for (policy_name, place) in &self.board.places {
            let piece = row.pieces.get(*place).copied().flatten();
            let Some(piece) = piece.filter(Piece::is_of_cluster) else {
                continue;
            };
            counts.add(Membership::Target, piece.state, piece.is_received);
            if piece.state == State::Applied {
                continue;
            }
            if let Some((_, edit)) = self.last_edit(policy_name) {
                let line = policy::line(member, edit, liveness, Membership::Target);
                lines.push((policy_name.clone(), edit.generation, line));
            }
        }
        let observes = entry.mode == Mode::Observe;
        Some(cluster::status(
            name, member, liveness, counts, lines, observes,
        ))
    }
}
