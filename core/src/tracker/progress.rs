//! What an ack tells for the first time: for whoever measures how fast edits get through, or follows what happens.

use super::Tracker;
use crate::{
    ack::{Ack, AckedEdit, Failure, State},
    name::PolicyName,
    revision::{Generation, Revision},
    scope::Kind,
    subject::Sender,
};

/// How far one edit of a policy has come on one cluster, where that is news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The policy.
    pub policy: PolicyName,
    /// Its generation.
    pub generation: Generation,
    /// The edit.
    pub revision: Revision,
    /// Whether the edit took the policy away from this cluster.
    pub removed: bool,
    /// From the commit until the cluster had received it, where that is told for the first time.
    pub received_after_ms: Option<u64>,
    /// From the commit until everything was confirmed, likewise.
    pub applied_after_ms: Option<u64>,
    /// Why the cluster refuses it, likewise: a word of `docs/errors`, and the same for people.
    pub refused: Option<(String, String)>,
}

/// Something that others than Writ changed in a cluster, where that is news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    /// The policy that it is of.
    pub policy: PolicyName,
    /// The generation that was in force.
    pub generation: Generation,
    /// Its edit.
    pub revision: Revision,
    /// Whether all is as it should be again.
    pub repaired: bool,
    /// What was changed, at most [`crate::ack::FAILURES_MAX`] objects.
    pub objects: Vec<Failure>,
}

impl Tracker {
    /// What an ack tells of edits that the one before it did not. To be asked before it is taken.
    ///
    /// Times are from the publisher's clock at the commit to the cluster's own: as far apart as the clocks are, so
    /// are they from the truth. None is below zero.
    pub fn progress(&self, ack: &Ack) -> Vec<Progress> {
        let held = self.held_before(ack);
        let before = |edit: &AckedEdit| held.iter().find(|known| is_same(known, edit));
        let told = ack.edits.iter().filter(|edit| !edit.drift);
        told.filter(|edit| edit.kind == Kind::Policy)
            .filter_map(|edit| self.progress_of(edit, before(edit), ack))
            .collect()
    }

    /// Whether an edit of a policy is known, of the last ones.
    pub fn knows(&self, policy: &PolicyName, revision: Revision) -> bool {
        let policy = self.policies.get(policy);
        policy.is_some_and(|policy| policy.edit_at(revision).is_some())
    }

    /// What was told of an edit before it was known here: acks and the log come by two ways. To be asked once
    /// the edit is taken; each with who told it.
    pub fn overtaken(&self, policy: &PolicyName, revision: Revision) -> Vec<(Sender, Progress)> {
        let policy = self.policies.get(policy);
        let Some(committed) = policy.and_then(|policy| policy.edit_at(revision)) else {
            return Vec::new();
        };
        let members = committed.targets.iter().map(|name| self.members.get(name));
        let acks = members.flatten().filter_map(|member| member.ack.as_ref());
        let is_of = |told: &&AckedEdit| {
            !told.drift
                && told.kind == Kind::Policy
                && told.name == committed.name
                && told.revision == revision
        };
        acks.filter_map(|ack| {
            let told = ack.edits.iter().find(is_of)?;
            Some((ack.sender.clone(), self.progress_of(told, None, ack)?))
        })
        .collect()
    }

    /// What an ack tells of changes by hand that the one before it did not. To be asked before it is taken.
    pub fn drift(&self, ack: &Ack) -> Vec<Drift> {
        let held = self.held_before(ack);
        let is_known = |drift: &&AckedEdit| {
            held.iter().any(|known| {
                known.drift
                    && (known.kind, &known.name) == (drift.kind, &drift.name)
                    && known.received_ms == drift.received_ms
                    && known.applied_ms == drift.applied_ms
            })
        };
        let told = ack.edits.iter().filter(|edit| edit.drift);
        told.filter(|drift| drift.kind == Kind::Policy && !is_known(drift))
            .map(|drift| Drift {
                policy: PolicyName::from(&drift.name),
                generation: drift.generation,
                revision: drift.revision,
                repaired: drift.applied_ms > 0,
                objects: drift.failures.clone(),
            })
            .collect()
    }

    /// What the last ack of the same cluster told of.
    fn held_before(&self, ack: &Ack) -> &[AckedEdit] {
        let held = self.members.get(&ack.sender.cluster);
        let held = held.and_then(|member| member.ack.as_ref());
        held.map_or(&[], |held| &held.edits)
    }

    fn progress_of(
        &self,
        edit: &AckedEdit,
        before: Option<&AckedEdit>,
        ack: &Ack,
    ) -> Option<Progress> {
        let name = PolicyName::from(&edit.name);
        let policy = self.policies.get(&name)?;
        let committed = policy.find(Some(edit.generation))?;
        let since = |ms: u64| ms.saturating_sub(committed.committed_ms);
        let is_first =
            |state: State| edit.state == state && before.is_none_or(|before| before.state != state);
        let progress = Progress {
            policy: name,
            generation: edit.generation,
            revision: edit.revision,
            removed: edit.removed,
            received_after_ms: (before.is_none() && edit.received_ms > 0)
                .then(|| since(edit.received_ms)),
            applied_after_ms: (is_first(State::Applied) && edit.applied_ms > 0)
                .then(|| since(edit.applied_ms)),
            refused: is_first(State::Refused).then(|| reason(edit, ack)),
        };
        let is_news = progress.received_after_ms.is_some()
            || progress.applied_after_ms.is_some()
            || progress.refused.is_some();
        is_news.then_some(progress)
    }
}

fn is_same(one: &AckedEdit, other: &AckedEdit) -> bool {
    !one.drift && one.kind == other.kind && one.name == other.name && one.revision == other.revision
}

/// The word of the policy as a whole, or of its first object.
fn reason(edit: &AckedEdit, ack: &Ack) -> (String, String) {
    let mut of_name = ack.exceptions.iter();
    let of_name = of_name.find(|one| one.kind == edit.kind && one.name == edit.name);
    let of_name = of_name.map(|one| (&one.reason, &one.message));
    let mut of_objects = edit.failures.iter().map(|one| (&one.reason, &one.message));
    let found = of_name.or_else(|| of_objects.next());
    found
        .map(|(reason, message)| (reason.clone(), message.clone()))
        .unwrap_or_default()
}
