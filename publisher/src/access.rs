//! Who may make an edit, and what its guards ask: judged on the newest view, with the commit. No I/O.
//!
//! Owns the order of the questions: what the caller may do, then what the edit does to the fleet, then
//! whether it needs a second person. Promises that a rule which an edit before it in the same batch took
//! away counts no more. Never reads a credential.

use writ_core::{
    access::{
        Action, Administrators, Confirm, Identity, Impact, Inlet, Pair, Proposal, Rights,
        StageRules, needs_approval,
    },
    edit::Kind,
    enrol::Change,
    model::{Cluster, ClusterPolicy, Document, Phase, Record},
    name::{Name, Stage},
    placement,
};

use crate::{
    accept::{Way, Wish},
    error::EditError,
    validate::Validated,
    view::View,
};

/// Proposals that wait at once: what somebody can still look through.
const PROPOSALS_MAX: usize = 256;

/// What the guards found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Weighed {
    pub(crate) losing_count: u32,
    pub(crate) confirm: Option<Confirm>,
    pub(crate) approval: Option<Stage>,
    /// What a break-glass administrator overrode.
    pub(crate) overridden: Vec<String>,
}

/// The rights of somebody by a view.
pub(crate) fn rights<'a>(
    identity: &'a Identity,
    administrators: &Administrators,
    view: &'a View,
) -> Rights<'a> {
    Rights::of(identity, administrators, view.rules())
}

/// What the guards of an edit ask. A dry run is told what it would need.
pub(crate) fn weigh(validated: &Validated, view: &View) -> Result<Weighed, EditError> {
    if is_last_administrator(validated, view) {
        return Err(EditError::LastAdministrator {
            name: validated.name.to_string(),
        });
    }
    let before = view.document(validated.submission.kind, &validated.name);
    if validated.says_the_same(before.map(AsRef::as_ref)) {
        return Ok(Weighed::default());
    }
    let mut weighed = reach(validated, view)?;
    guard(validated, view, &mut weighed)?;
    Ok(weighed)
}

/// Whether the caller may make the edit, and a proposal may be approved or rejected.
pub(crate) fn check_rights(
    validated: &Validated,
    view: &View,
    administrators: &Administrators,
    now_ms: u64,
) -> Result<(), EditError> {
    let submission = &validated.submission;
    let name = &validated.name;
    if submission.overrides && submission.identity.inlet != Inlet::BreakGlass {
        return Err(EditError::NotBreakGlass);
    }
    if submission.overrides && submission.reason.is_empty() {
        return Err(EditError::field("reason", "is required to override guards"));
    }
    let rights = rights(&submission.identity, administrators, view);
    let before = view.document(submission.kind, name).map(AsRef::as_ref);
    let after = validated.document();
    if submission.kind == Kind::Proposal {
        return check_reject(validated, view, &rights);
    }
    if is_own_step(validated, before) {
        return Ok(());
    }
    decide(&rights, before, after, submission.kind)?;
    match &submission.way {
        Way::Direct => Ok(()),
        Way::Propose { .. } => check_propose(validated, view),
        Way::Approve { generation } => {
            let proposal = open_proposal(view, name)?;
            let current = view.generation(Kind::Proposal, name);
            if current.0 != *generation {
                return Err(EditError::BaseMoved {
                    name: format!("the proposal {name}"),
                    base: *generation,
                    current,
                });
            }
            let policy = current_policy_generation(view, name);
            let checked = proposal.check(&submission.identity, policy, now_ms);
            checked.map_err(|source| EditError::NotApproved {
                name: name.to_string(),
                source,
            })?;
            // Who proposed it may have lost the right since.
            decide(
                &self::rights(&proposal.by, administrators, view),
                before,
                after,
                submission.kind,
            )
        }
    }
}

/// Whether a cluster takes a step in its own life that its signed words bring about: its keys become its
/// own, by the token or the approval that the entry names, or it leaves, having been told to. No rule
/// bounds that, as whoever gave the token or drained it was asked for theirs.
fn is_own_step(validated: &Validated, before: Option<&Document>) -> bool {
    let submission = &validated.submission;
    let identity = &submission.identity;
    let is_own = identity.inlet == Inlet::Cluster
        && submission.kind == Kind::Cluster
        && submission.way == Way::Direct
        && identity.user == validated.name.as_str();
    is_own
        && match &submission.wish {
            Wish::Step { change, .. } => matches!(change, Change::Enter { .. }),
            Wish::Delete { .. } => {
                cluster(before).is_some_and(|entry| entry.phase == Phase::Draining)
            }
            Wish::Apply { .. } | Wish::Add { .. } => false,
        }
}

fn decide(
    rights: &Rights<'_>,
    before: Option<&Document>,
    after: Option<&Document>,
    kind: Kind,
) -> Result<(), EditError> {
    let action = match kind {
        Kind::Policy => Action::Policy {
            before: policy(before),
            after: policy(after),
        },
        Kind::Cluster => Action::Cluster {
            before: cluster(before),
            after: cluster(after),
        },
        Kind::Access => Action::Record {
            before: record(before),
            after: record(after),
        },
        Kind::Token | Kind::Proposal => Action::Fleet,
    };
    rights.decide(action).map_err(EditError::Denied)
}

/// Who proposed it may take it back, and who could make the edit may refuse it.
fn check_reject(validated: &Validated, view: &View, rights: &Rights<'_>) -> Result<(), EditError> {
    let submission = &validated.submission;
    let proposal = open_proposal(view, &validated.name)?;
    if proposal.by == submission.identity {
        return Ok(());
    }
    let before = view.document(Kind::Policy, &validated.name);
    let action = Action::Policy {
        before: policy(before.map(AsRef::as_ref)),
        after: proposal.policy.as_deref(),
    };
    rights.decide(action).map_err(EditError::Denied)
}

fn check_propose(validated: &Validated, view: &View) -> Result<(), EditError> {
    let submission = &validated.submission;
    if submission.kind != Kind::Policy {
        return Err(EditError::field(
            "propose",
            "only edits of policies are proposed",
        ));
    }
    match view.proposal(&validated.name) {
        // One's own is replaced.
        Some(open) if open.by != submission.identity => Err(EditError::Proposed {
            name: validated.name.to_string(),
            by: open.by.to_string(),
        }),
        None if view.proposals().count() >= PROPOSALS_MAX => Err(EditError::TooManyProposals {
            limit: PROPOSALS_MAX,
        }),
        _ => Ok(()),
    }
}

fn open_proposal<'a>(view: &'a View, name: &Name) -> Result<&'a Proposal, EditError> {
    view.proposal(name).ok_or_else(|| EditError::NotFound {
        kind: Kind::Proposal,
        name: name.to_string(),
    })
}

/// The generation that a proposal compares with: 0 where nothing is in force, as for a base.
pub(crate) fn current_policy_generation(view: &View, name: &Name) -> u64 {
    match view.document(Kind::Policy, name) {
        Some(_) => view.generation(Kind::Policy, name).0,
        None => 0,
    }
}

fn policy(document: Option<&Document>) -> Option<&ClusterPolicy> {
    match document? {
        Document::Policy(policy) => Some(policy),
        Document::Cluster(_) | Document::Record(_) => None,
    }
}

fn cluster(document: Option<&Document>) -> Option<&Cluster> {
    match document? {
        Document::Cluster(cluster) => Some(cluster),
        Document::Policy(_) | Document::Record(_) => None,
    }
}

fn record(document: Option<&Document>) -> Option<&Record> {
    match document? {
        Document::Record(record) => Some(record),
        Document::Policy(_) | Document::Cluster(_) => None,
    }
}

/// Whether the edit takes away the last rule by which somebody administers the whole fleet.
fn is_last_administrator(validated: &Validated, view: &View) -> bool {
    if validated.submission.kind != Kind::Access {
        return false;
    }
    let is_one = |record: Option<&Record>| match record {
        Some(Record::Rule(rule)) => rule.is_of_all(),
        _ => false,
    };
    let before = view.document(Kind::Access, &validated.name);
    let mut others = view.rules().filter(|rule| rule.name != validated.name);
    is_one(record(before.map(AsRef::as_ref)))
        && !is_one(record(validated.document()))
        && !others.any(|rule| rule.is_of_all())
}

fn reach(validated: &Validated, view: &View) -> Result<Weighed, EditError> {
    let (kind, name) = (validated.submission.kind, &validated.name);
    let stored = view.document(kind, name).map(AsRef::as_ref);
    let rules: Vec<&StageRules> = view.stage_rules().collect();
    let (impact, left) = match kind {
        Kind::Policy => {
            let (before, after) = (policy(stored), policy(validated.document()));
            let clusters: Vec<Pair<'_, Cluster>> =
                view.clusters().map(|of| (Some(of), Some(of))).collect();
            let impact = Impact::of([(before, after)], clusters);
            let others = view
                .policies()
                .filter(|of| of.name.as_str() != name.as_str());
            let left = impact.unprotected(rules.iter().copied(), others, view.clusters());
            (impact, left)
        }
        Kind::Cluster => {
            let (before, after) = (cluster(stored), cluster(validated.document()));
            // A policy without labels sees no difference, and neither does who only arrives. Whoever
            // drains gives back what every policy gave.
            let both = before.zip(after);
            let drains = both.is_some_and(|(was, is)| {
                was.phase != Phase::Draining && is.phase == Phase::Draining
            });
            let is_told = both.is_some_and(|(was, is)| was.labels != is.labels);
            let policies: Vec<Pair<'_, ClusterPolicy>> = view
                .policies()
                .filter(|of| drains || (is_told && of.clusters.needs_labels()))
                .map(|of| (Some(of), Some(of)))
                .collect();
            let impact = Impact::of(policies, [(before, after)]);
            let left = impact.unprotected(rules.iter().copied(), view.policies(), after);
            (impact, left)
        }
        Kind::Access | Kind::Token | Kind::Proposal => return Ok(Weighed::default()),
    };
    let mut weighed = Weighed {
        losing_count: impact.losing_count(),
        confirm: impact.to_confirm(rules.iter().copied()),
        ..Weighed::default()
    };
    if !left.is_empty() {
        if !validated.submission.overrides {
            return Err(EditError::ProtectedGroups {
                name: name.to_string(),
                left,
            });
        }
        weighed.overridden.extend(left);
    }
    if kind == Kind::Policy {
        let before = policy(stored)
            .into_iter()
            .chain(policy(validated.document()));
        let scopes: Vec<_> = before
            .flat_map(|policy| placement::policy_scopes(&policy.clusters))
            .collect();
        weighed.approval = needs_approval(rules, &scopes).cloned();
    }
    Ok(weighed)
}

/// Lets an edit through, or says what it needs.
fn guard(validated: &Validated, view: &View, weighed: &mut Weighed) -> Result<(), EditError> {
    let submission = &validated.submission;
    let mut confirmed = submission.confirm;
    let mut is_approved = false;
    match &submission.way {
        Way::Direct => {}
        // The number is asked for when it is proposed, and again when it is approved.
        Way::Propose { .. } => is_approved = true,
        Way::Approve { .. } => {
            is_approved = true;
            let proposed = view.proposal(&validated.name).map_or(0, |of| of.confirm);
            confirmed = confirmed.max(proposed);
        }
    }
    if is_approved {
        weighed.approval = None;
    }
    if let Some(confirm) = weighed.confirm.as_ref()
        && confirmed >= confirm.number
    {
        weighed.confirm = None;
    }
    if submission.overrides {
        let confirm = weighed.confirm.take().into_iter();
        weighed.overridden.extend(confirm.flat_map(|of| of.reasons));
        let stage = weighed.approval.take();
        weighed
            .overridden
            .extend(stage.map(|stage| format!("stage {stage} asks for a second person")));
    }
    if submission.dry_run {
        return Ok(());
    }
    if let Some(confirm) = &weighed.confirm {
        return Err(EditError::NeedsConfirm {
            name: validated.name.to_string(),
            confirm: confirm.clone(),
            given: confirmed,
        });
    }
    if let Some(stage) = &weighed.approval {
        return Err(EditError::NeedsApproval {
            name: validated.name.to_string(),
            stage: stage.to_string(),
        });
    }
    if !weighed.overridden.is_empty() {
        tracing::error!(
            who = %submission.identity,
            reason = %submission.reason,
            edit = %format!("{} {}", submission.kind, validated.name),
            "guards are overridden: {}",
            weighed.overridden.join("; ")
        );
    }
    Ok(())
}
