//! What an edit of a stage needs, and edits that wait for a second person.

use std::collections::{BTreeMap, BTreeSet};

use super::Identity;
use crate::{
    model::ClusterPolicy,
    name::{Name, Stage},
    scope::Scope,
};

/// Clusters above which an edit has to be confirmed where no rules of the stage say otherwise: a typing
/// error in a selector is seen at some dozens, and nobody wants to type a number for each small edit.
pub const CONFIRM_ABOVE_CLUSTERS: u32 = 25;

/// Subjects that lose access above which an edit has to be confirmed: a team is ten people.
pub const CONFIRM_ABOVE_SUBJECTS: u32 = 10;

/// The rules of one stage. Several for one stage add up to the strictest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageRules {
    /// Its name.
    pub name: Name,
    /// Labels, for people and tools.
    pub labels: BTreeMap<String, String>,
    /// Annotations, likewise.
    pub annotations: BTreeMap<String, String>,
    /// Which stage.
    pub stage: Stage,
    /// Clusters of the stage above which an edit has to be confirmed.
    pub confirm_above_clusters: u32,
    /// Subjects that lose access in the stage above which an edit has to be confirmed.
    pub confirm_above_subjects: u32,
    /// Whether policies that go to the stage need a second person.
    pub require_approval: bool,
    /// Groups that keep at least one grant in every cluster of the stage where they have one.
    pub protected_groups: BTreeSet<String>,
}

/// What holds for one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) clusters: u32,
    pub(super) subjects: u32,
    pub(super) protected: BTreeSet<String>,
}

/// The rules of a stage, added up.
pub(super) fn limits<'a>(rules: impl IntoIterator<Item = &'a StageRules>, stage: &Stage) -> Limits {
    let mut of_stage = rules.into_iter().filter(|rules| rules.stage == *stage);
    let Some(first) = of_stage.next() else {
        return Limits {
            clusters: CONFIRM_ABOVE_CLUSTERS,
            subjects: CONFIRM_ABOVE_SUBJECTS,
            protected: BTreeSet::new(),
        };
    };
    let first = Limits {
        clusters: first.confirm_above_clusters,
        subjects: first.confirm_above_subjects,
        protected: first.protected_groups.clone(),
    };
    of_stage.fold(first, |mut limits, rules| {
        limits.clusters = limits.clusters.min(rules.confirm_above_clusters);
        limits.subjects = limits.subjects.min(rules.confirm_above_subjects);
        limits
            .protected
            .extend(rules.protected_groups.iter().cloned());
        limits
    })
}

/// The first stage for which a policy that goes to these scopes needs a second person. A scope of all
/// stages is of each.
pub fn needs_approval<'a, 'b>(
    rules: impl IntoIterator<Item = &'a StageRules>,
    scopes: impl IntoIterator<Item = &'b Scope> + Clone,
) -> Option<&'a Stage> {
    let mut rules = rules.into_iter().filter(|rules| rules.require_approval);
    let is_met = |rules: &&StageRules| {
        let mut scopes = scopes.clone().into_iter();
        scopes.any(|scope| {
            let stage = scope.stage.as_ref();
            stage.is_none_or(|stage| *stage == rules.stage)
        })
    };
    rules.find(is_met).map(|rules| &rules.stage)
}

/// An edit of a policy that waits for a second person. It has the name of its policy, so that one waits
/// at a time, and its own generation says which one was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The policy.
    pub name: Name,
    /// The document as it was submitted, JSON; nothing: the policy would be deleted.
    pub manifest: Option<String>,
    /// The same, as it is understood.
    pub policy: Option<Box<ClusterPolicy>>,
    /// The generation of the policy that it was made from.
    pub base: u64,
    /// Why.
    pub reason: String,
    /// Who proposed it.
    pub by: Identity,
    /// The number that its proposer confirmed; 0: none.
    pub confirm: u32,
    /// From when on it is refused, milliseconds since the Unix epoch.
    pub expires_ms: u64,
}

/// Why a proposal can't be approved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotApproved {
    /// Its proposer may not approve it.
    #[error("{by} proposed it, and somebody else has to approve it")]
    Own {
        /// Who proposed it.
        by: String,
    },
    /// Its time has come.
    #[error("it has expired: propose it again")]
    Expired,
    /// The policy was edited since.
    #[error(
        "it was made from generation {base}, and the policy is at generation {current}: look at what changed, then propose it again"
    )]
    Stale {
        /// From which it was made.
        base: u64,
        /// That is current.
        current: u64,
    },
}

impl Proposal {
    /// Whether somebody may approve it now, as far as the proposal itself goes.
    ///
    /// One name is one person, through whichever inlet it comes.
    ///
    /// # Errors
    /// [`NotApproved`].
    pub fn check(&self, who: &Identity, current: u64, now_ms: u64) -> Result<(), NotApproved> {
        if self.by.user == who.user {
            return Err(NotApproved::Own {
                by: self.by.to_string(),
            });
        }
        self.check_open(current, now_ms)
    }

    /// Whether anybody could approve it now.
    ///
    /// # Errors
    /// [`NotApproved`].
    pub fn check_open(&self, current: u64, now_ms: u64) -> Result<(), NotApproved> {
        if now_ms >= self.expires_ms {
            return Err(NotApproved::Expired);
        }
        match self.base == current {
            true => Ok(()),
            false => Err(NotApproved::Stale {
                base: self.base,
                current,
            }),
        }
    }
}
