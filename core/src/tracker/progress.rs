//! What an ack tells for the first time: for whoever measures how fast edits get through.

use super::Tracker;
use crate::{
    ack::{Ack, AckedEdit, State},
    name::PolicyName,
    scope::Kind,
};

/// How far one edit of a policy has come on one cluster, where that is news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// From the commit until the cluster had received it, where that is told for the first time.
    pub received_after_ms: Option<u64>,
    /// From the commit until everything was confirmed, likewise.
    pub applied_after_ms: Option<u64>,
    /// Why the cluster refuses it, likewise; a word of `docs/errors`.
    pub refused: Option<String>,
}

impl Tracker {
    /// What an ack tells of edits that the one before it did not. To be asked before it is taken.
    ///
    /// Times are from the publisher's clock at the commit to the cluster's own: as far apart as the clocks are, so
    /// are they from the truth. None is below zero.
    pub fn progress(&self, ack: &Ack) -> Vec<Progress> {
        let held = self.members.get(&ack.sender.cluster);
        let held = held.and_then(|member| member.ack.as_ref());
        let before = |edit: &AckedEdit| {
            let of_held = held.into_iter().flat_map(|held| &held.edits);
            let mut same = of_held.filter(|known| is_same(known, edit));
            same.next()
        };
        let told = ack.edits.iter().filter(|edit| !edit.drift);
        told.filter(|edit| edit.kind == Kind::Policy)
            .filter_map(|edit| self.progress_of(edit, before(edit), ack))
            .collect()
    }

    fn progress_of(
        &self,
        edit: &AckedEdit,
        before: Option<&AckedEdit>,
        ack: &Ack,
    ) -> Option<Progress> {
        let policy = self.policies.get(&PolicyName::from(&edit.name))?;
        let committed = policy.find(Some(edit.generation))?;
        let since = |ms: u64| ms.saturating_sub(committed.committed_ms);
        let is_first =
            |state: State| edit.state == state && before.is_none_or(|before| before.state != state);
        let progress = Progress {
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
fn reason(edit: &AckedEdit, ack: &Ack) -> String {
    let mut of_name = ack.exceptions.iter();
    let of_name = of_name.find(|one| one.kind == edit.kind && one.name == edit.name);
    let of_object = || edit.failures.first().map(|failure| failure.reason.clone());
    of_name
        .map(|one| one.reason.clone())
        .or_else(of_object)
        .unwrap_or_default()
}
