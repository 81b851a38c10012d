//! How far one edit of one policy has come, cluster by cluster.

use std::collections::VecDeque;

use super::{Committed, GENERATIONS_MAX, Liveness, Spread, Subject, Tracker, cluster::Member};
use crate::{
    ack::{self, AckedEdit, Exception, Failure},
    model::{Cluster, ClusterSelector, Mode, Phase},
    name::{ClusterName, Name, PolicyName, Region, Stage},
    revision::{Generation, Revision},
    scope::{Feed, Kind, Scope},
    tracker::Now,
};

/// The reason of every line of a cluster for which two speak.
pub const IDENTITY_FORKED: &str = "IdentityForked";

/// How far an edit has come on one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// The cluster has not said that it applied the edit.
    Pending,
    /// It said so.
    Applied,
    /// It said no.
    Refused,
    /// It says nothing at all; what it said before is not shown as if it still held.
    Silent,
}

/// Why a cluster is counted where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Membership {
    /// A target of the edit.
    Target,
    /// Selected, and no target: it joined after the edit was committed.
    Later,
    /// A target that was taken out of the registry since.
    Left,
    /// Selected, or a target once, and only observes now: nothing is applied there.
    Observing,
    /// Selected, or a target once, and not enrolled (any more).
    Unenrolled,
    /// It is to give back everything, and leave.
    Draining,
    /// Its keys are revoked: what it does is not known.
    CutOff,
}

/// The columns of a status; `applied + pending + refused + silent = target`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Targets that are active and enforce.
    pub target: u32,
    /// Of those: applied.
    pub applied: u32,
    /// Of those: pending.
    pub pending: u32,
    /// Of those: refused.
    pub refused: u32,
    /// Of those: silent.
    pub silent: u32,
    /// Joined after the edit.
    pub later: u32,
    /// Left the registry since.
    pub left: u32,
    /// Only observe.
    pub observing: u32,
    /// Not enrolled, draining or cut off.
    pub aside: u32,
    /// Of the pending: received, and at work.
    pub received: u32,
}

impl Counts {
    pub(super) fn of(lines: impl Iterator<Item = (Membership, State, Option<u64>)>) -> Counts {
        let mut counts = Counts::default();
        for (membership, state, received_ms) in lines {
            counts.add(membership, state, received_ms.is_some());
        }
        counts
    }

    pub(super) fn add(&mut self, membership: Membership, state: State, is_received: bool) {
        self.each(membership, state, is_received, |count| *count += 1);
    }

    pub(super) fn take(&mut self, membership: Membership, state: State, is_received: bool) {
        self.each(membership, state, is_received, |count| *count -= 1);
    }

    /// Every column in which one line counts.
    fn each(
        &mut self,
        membership: Membership,
        state: State,
        is_received: bool,
        change: impl Fn(&mut u32),
    ) {
        match membership {
            Membership::Later => change(&mut self.later),
            Membership::Left => change(&mut self.left),
            Membership::Observing => change(&mut self.observing),
            Membership::Unenrolled | Membership::Draining | Membership::CutOff => {
                change(&mut self.aside);
            }
            Membership::Target => {
                change(&mut self.target);
                match state {
                    State::Pending => {
                        change(&mut self.pending);
                        if is_received {
                            change(&mut self.received);
                        }
                    }
                    State::Applied => change(&mut self.applied),
                    State::Refused => change(&mut self.refused),
                    State::Silent => change(&mut self.silent),
                }
            }
        }
    }

    /// Whether every target has applied it.
    pub fn is_reached(&self) -> bool {
        self.applied == self.target
    }
}

/// One cluster's answer to one edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterLine {
    /// The cluster.
    pub cluster: ClusterName,
    /// Where it is (was, if it left); nothing where that is not known any more.
    pub place: Option<(Region, Stage)>,
    /// How far the edit has come.
    pub state: State,
    /// In which column it counts.
    pub membership: Membership,
    /// Machine-readable; empty unless the cluster named one.
    pub reason: String,
    /// For people; empty like `reason`.
    pub message: String,
    /// When the cluster had received it, by the cluster's clock.
    pub received_ms: Option<u64>,
    /// When everything was confirmed, by the cluster's clock.
    pub applied_ms: Option<u64>,
    /// Whether it gives signs of life.
    pub liveness: Liveness,
    /// The generation that it says it holds in force.
    pub generation_held: Option<Generation>,
    /// The last generation that it said to have applied in full, as far as its last ack tells.
    pub last_applied: Option<Generation>,
    /// Objects that are not as wanted.
    pub failures: Vec<Failure>,
}

/// How far an edit of a policy has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyStatus {
    /// The policy.
    pub name: PolicyName,
    /// The edit, counted per name.
    pub generation: Generation,
    /// The edit.
    pub revision: Revision,
    /// When it was committed, milliseconds since the Unix epoch.
    pub committed_ms: u64,
    /// Whether it took the policy away.
    pub is_deleted: bool,
    /// The policy's last generation.
    pub latest_generation: Generation,
    /// The columns.
    pub counts: Counts,
    /// How fast targets had applied it.
    pub spread: Spread,
    /// A line per cluster, by name.
    pub clusters: Vec<ClusterLine>,
}

/// The edits of one policy.
#[derive(Debug, Clone, Default)]
pub(super) struct Policy {
    /// By revision, oldest first; at most [`GENERATIONS_MAX`].
    edits: VecDeque<Committed>,
    /// What the last one selects.
    selector: Option<ClusterSelector>,
}

impl Policy {
    pub(super) fn push(&mut self, edit: Committed, selector: Option<ClusterSelector>) {
        let at = self
            .edits
            .partition_point(|held| held.revision < edit.revision);
        if self
            .edits
            .get(at)
            .is_some_and(|held| held.revision == edit.revision)
        {
            return;
        }
        let mut later = self.edits.range(at..);
        if later.any(|held| held.generation <= edit.generation) {
            return;
        }
        if at == self.edits.len() {
            self.selector = selector;
        }
        let (revision, generation) = (edit.revision, edit.generation);
        self.edits.insert(at, edit);
        self.follow_from(at);
        // Generations rise with revisions, but for what a recovered log has lost: it gives them anew.
        self.edits
            .retain(|held| held.revision >= revision || held.generation < generation);
        if self.edits.len() > GENERATIONS_MAX {
            self.edits.pop_front();
        }
    }

    /// Tells the edit at a place, and those after it, what the ones before them left.
    fn follow_from(&mut self, at: usize) {
        let edits = self.edits.make_contiguous();
        for at in at.max(1)..edits.len() {
            let (before, after) = edits.split_at_mut(at);
            after[0].follow(&before[at - 1]);
        }
    }

    pub(super) fn find(&self, generation: Option<Generation>) -> Option<&Committed> {
        match generation {
            None => self.edits.back(),
            Some(wanted) => self.edits.iter().find(|edit| edit.generation == wanted),
        }
    }

    /// One of its edits, if it is remembered.
    pub(super) fn edit_at(&self, revision: Revision) -> Option<&Committed> {
        self.edits.iter().find(|edit| edit.revision == revision)
    }

    pub(super) fn latest(&self) -> Generation {
        self.edits
            .back()
            .map(|edit| edit.generation)
            .unwrap_or_default()
    }

    /// How one of its edits stands, by what was counted of it.
    pub(super) fn status(
        &self,
        name: &PolicyName,
        edit: &Committed,
        (counts, spread): (Counts, Spread),
        clusters: Vec<ClusterLine>,
    ) -> PolicyStatus {
        PolicyStatus {
            name: name.clone(),
            generation: edit.generation,
            revision: edit.revision,
            committed_ms: edit.committed_ms,
            is_deleted: matches!(edit.subject, Subject::Policy(None)),
            latest_generation: self.latest(),
            counts,
            spread,
            clusters,
        }
    }

    pub(super) fn selects(&self, entry: &Cluster) -> bool {
        self.selector
            .as_ref()
            .is_some_and(|selector| selector.matches(&entry.identity()))
    }
}

/// A line per target, later joiner and observer, by name.
pub(super) fn lines(
    tracker: &Tracker,
    policy: &Policy,
    edit: &Committed,
    now: Now,
) -> Vec<ClusterLine> {
    let mut lines = Vec::new();
    for target in &edit.targets {
        let member = tracker.members.get(target);
        let entry = member.and_then(|member| member.entry.as_ref());
        match (member, entry, tracker.liveness(target, now)) {
            (Some(member), Some(entry), Some(liveness)) => {
                let membership = membership(entry, Membership::Target);
                lines.push(line(member, edit, liveness, membership));
            }
            _ => lines.push(left(target)),
        }
    }
    for (cluster, member) in &tracker.members {
        let Some(entry) = &member.entry else { continue };
        if edit.targets.contains(cluster) || !policy.selects(entry) {
            continue;
        }
        if let Some(liveness) = tracker.liveness(cluster, now) {
            let membership = membership(entry, Membership::Later);
            lines.push(line(member, edit, liveness, membership));
        }
    }
    lines.sort_by(|a, b| a.cluster.cmp(&b.cluster));
    lines
}

/// Where a cluster counts: one that observes, or does not belong to the fleet (yet, or any more), counts
/// apart, whether it was a target or not.
pub(super) fn membership(entry: &Cluster, enforcing: Membership) -> Membership {
    match (entry.phase, entry.mode) {
        (Phase::Pending, _) => Membership::Unenrolled,
        (Phase::Draining, _) => Membership::Draining,
        (Phase::CutOff, _) => Membership::CutOff,
        (Phase::Active, Mode::Observe) => Membership::Observing,
        (Phase::Active, Mode::Enforce) => enforcing,
    }
}

fn left(cluster: &ClusterName) -> ClusterLine {
    ClusterLine {
        cluster: cluster.clone(),
        place: None,
        state: State::Pending,
        membership: Membership::Left,
        reason: String::new(),
        message: String::new(),
        received_ms: None,
        applied_ms: None,
        liveness: Liveness::Unknown {
            last_heard_ms: None,
        },
        generation_held: None,
        last_applied: None,
        failures: Vec::new(),
    }
}

/// Where a registered cluster stands with one edit, without the words.
pub(super) struct Standing<'a> {
    pub(super) state: State,
    pub(super) received_ms: Option<u64>,
    pub(super) applied_ms: Option<u64>,
    /// What its last word says of this edit or a later one.
    exception: Option<&'a Exception>,
    newest: Option<&'a AckedEdit>,
    generation_held: Option<Generation>,
    /// It said applied, whatever counts now.
    is_good: bool,
}

pub(super) fn standing<'a>(
    member: &'a Member,
    edit: &Committed,
    liveness: Liveness,
) -> Standing<'a> {
    let mut standing = Standing {
        state: State::Pending,
        received_ms: None,
        applied_ms: None,
        exception: None,
        newest: None,
        generation_held: None,
        is_good: false,
    };
    if let Some(said) = &member.ack {
        let is_own = |kind: Kind, name: &Name| kind == Kind::Policy && *name == edit.name;
        let mut exceptions = said.exceptions.iter();
        let exception = exceptions.find(|exception| is_own(exception.kind, &exception.name));
        let edits = || said.edits.iter().filter(|one| is_own(one.kind, &one.name));
        let newest =
            edits().max_by_key(|acked| (acked.revision, acked.applied_ms.max(acked.received_ms)));
        let reached = member.reaches(edit);
        standing.state = state(edit, exception, newest, reached, said.exceptions_total);
        standing.is_good = standing.state == State::Applied;
        standing.generation_held = held(edit, exception, newest, standing.state);
        standing.exception = exception.filter(|exception| exception.revision >= edit.revision);
        standing.newest = newest.filter(|newest| newest.revision >= edit.revision);
        // The times of the edit itself: a later drift of the same edit tells other times.
        let own = edits().find(|acked| acked.revision == edit.revision && !acked.drift);
        let told = |at: u64| Some(at).filter(|at| *at > 0);
        let received_ms = own.and_then(|own| told(own.received_ms));
        let newest_ms = || standing.newest.and_then(|newest| told(newest.received_ms));
        standing.received_ms = received_ms.or_else(newest_ms);
        standing.applied_ms = own
            .and_then(|own| told(own.applied_ms))
            .filter(|_| standing.state == State::Applied);
    }
    // Whose word it is, nobody knows: it says nothing of the cluster.
    if member.chain.fork().is_some() {
        standing.state = State::Refused;
        standing.applied_ms = None;
    }
    if liveness.is_silent() {
        standing.state = State::Silent;
    }
    standing
}

/// What a registered cluster says of one edit.
pub(super) fn line(
    member: &Member,
    edit: &Committed,
    liveness: Liveness,
    membership: Membership,
) -> ClusterLine {
    let standing = standing(member, edit, liveness);
    let mut line = left(&member.name);
    line.place = member.place();
    line.membership = membership;
    line.liveness = liveness;
    line.state = standing.state;
    line.received_ms = standing.received_ms;
    line.applied_ms = standing.applied_ms;
    line.generation_held = standing.generation_held;
    if let Some(exception) = standing.exception {
        line.reason = exception.reason.clone();
        line.message = exception.message.clone();
    }
    if let Some(said) = &member.ack {
        line.last_applied = line
            .generation_held
            .or_else(|| last_applied(&said.edits, &edit.name));
    }
    if let Some(newest) = standing.newest.filter(|_| !standing.is_good) {
        line.failures = newest.failures.clone();
    }
    if let Some(fork) = member.chain.fork() {
        line.reason = IDENTITY_FORKED.to_owned();
        line.message = format!("two hold this cluster's keys: {fork}");
    }
    line
}

/// What the cluster's last word says of an edit.
fn state(
    edit: &Committed,
    exception: Option<&Exception>,
    newest: Option<&AckedEdit>,
    reached: bool,
    exceptions_total: u32,
) -> State {
    if let Some(exception) = exception {
        return match exception.state {
            // Only a refusal of this edit or a later one: of an older one it says nothing yet.
            ack::State::Refused if exception.revision >= edit.revision => State::Refused,
            _ => State::Pending,
        };
    }
    if let Some(newest) = newest.filter(|newest| newest.revision >= edit.revision) {
        return match newest.state {
            ack::State::Applied => State::Applied,
            ack::State::Received => State::Pending,
            ack::State::Refused => State::Refused,
        };
    }
    // With more exceptions than an ack lists, not being listed says nothing.
    let all_listed = exceptions_total as usize <= ack::EXCEPTIONS_MAX;
    if reached && all_listed {
        State::Applied
    } else {
        State::Pending
    }
}

fn held(
    edit: &Committed,
    exception: Option<&Exception>,
    newest: Option<&AckedEdit>,
    state: State,
) -> Option<Generation> {
    let said = newest
        .filter(|newest| newest.state == ack::State::Applied && !newest.removed)
        .map(|newest| newest.generation);
    match (state, exception) {
        (State::Applied, _) if matches!(edit.subject, super::Subject::Policy(None)) => None,
        (State::Applied, _) => said.max(Some(edit.generation)),
        (_, Some(_)) => None,
        _ => said,
    }
}

/// The last edit of a name that was applied in full, of those that an ack lists.
fn last_applied(edits: &[AckedEdit], name: &Name) -> Option<Generation> {
    edits
        .iter()
        .filter(|acked| acked.kind == Kind::Policy && acked.name == *name)
        .filter(|acked| acked.state == ack::State::Applied)
        .max_by_key(|acked| acked.revision)
        .filter(|acked| !acked.removed)
        .map(|acked| acked.generation)
}

impl Member {
    /// Whether the cluster has gone past an edit in every feed by which it would hear of it, and in each
    /// that the name left before: as long as it holds one of those as it was, it has what it said then.
    fn reaches(&self, edit: &Committed) -> bool {
        if self.reach.revision >= edit.revision {
            return true;
        }
        let Some((region, stage)) = self.place() else {
            return false;
        };
        let is_own = |scope: &Scope| scope.covers(&region, &stage);
        let is_past = |scope: &Scope, revision: Revision| {
            let (kind, scope) = (Kind::Policy, scope.clone());
            let held = self.reach.feeds.get(&Feed { kind, scope });
            held.is_some_and(|held| held.revision >= revision)
        };
        let mut own = edit.scopes.iter().filter(|scope| is_own(scope)).peekable();
        let mut left = edit.left.iter().filter(|(scope, _)| is_own(scope));
        own.peek().is_some()
            && own.all(|scope| is_past(scope, edit.revision))
            && left.all(|(scope, revision)| is_past(scope, *revision))
    }
}
