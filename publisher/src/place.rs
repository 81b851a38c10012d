//! Step 3, place: where an edit goes and for whom it is. No I/O.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use writ_core::{
    edit::Kind,
    edit::{Change, Edit},
    enrol::{self, Revoked},
    model::{self, Cluster, ClusterSelector, Document},
    name::{ClusterName, PolicyName},
    placement,
};

use crate::{
    accept::Way,
    access::current_policy_generation,
    error::EditError,
    validate::{Content, Validated},
    view::View,
};

/// Most unknown names that an answer lists.
const UNKNOWN_CLUSTERS_MAX: usize = 100;

/// How far a publisher's clock may be behind the newest edit's time and still take that time over:
/// more than clocks under NTP differ by. A clock that is further off is wrong, or the other one was.
const CLOCK_LAG_MAX_MS: u64 = 60_000;

/// An edit with its place.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    pub(crate) edit: Edit,
    /// Names that the policy lists and the registry lacks.
    pub(crate) unknown_clusters: Vec<String>,
    /// The edit is a proposal, and this is it.
    pub(crate) proposal: Option<Document>,
}

/// Places an edit in the log as it is seen.
pub(crate) fn place(
    validated: &Validated,
    view: &View,
    committed_ms: u64,
) -> Result<Placed, EditError> {
    let change = match &validated.content {
        Content::Delete | Content::Step => Change::Delete,
        Content::Put { manifest, document } => put(manifest, document)?,
    };
    let submission = &validated.submission;
    let committed_ms = stamp(view.newest_ms, committed_ms);
    let (change, proposal) = match submission.way {
        Way::Propose { expires_after_ms } => {
            let expires_ms = committed_ms.saturating_add(expires_after_ms);
            let manifest = proposal(validated, view, expires_ms);
            let read = model::parse(&manifest).map_err(EditError::Invalid)?;
            let manifest = manifest.to_string();
            (Change::Record { manifest }, Some(read.document))
        }
        Way::Direct | Way::Approve { .. } => (change, None),
    };
    let edit = Edit {
        kind: submission.edit_kind(),
        name: validated.name.clone(),
        change,
        request_id: submission.request_id.clone(),
        author: submission.author.clone(),
        reason: validated.reason(),
        inlet: submission.inlet.to_owned(),
        committed_ms,
        targets: targets(validated, view).into_iter().collect(),
        revoked: revoked(validated, view, committed_ms),
    };
    Ok(Placed {
        edit,
        unknown_clusters: unknown_clusters(validated, view),
        proposal,
    })
}

/// The edit that takes an approved proposal away, beside the one that it stood for.
pub(crate) fn approved(validated: &Validated, placed: &Placed) -> Edit {
    Edit {
        kind: Kind::Proposal,
        change: Change::Delete,
        author: validated.submission.identity.to_string(),
        reason: "approved".to_owned(),
        targets: Vec::new(),
        revoked: Vec::new(),
        ..placed.edit.clone()
    }
}

/// A proposal as it is kept: the whole document, and from what it was made.
fn proposal(validated: &Validated, view: &View, expires_ms: u64) -> Value {
    let submission = &validated.submission;
    let document = match &validated.content {
        Content::Put { manifest, .. } => serde_json::from_str(manifest).unwrap_or(Value::Null),
        Content::Delete | Content::Step => Value::Null,
    };
    let by = &submission.identity;
    json!({
        "apiVersion": model::API_VERSION, "kind": "Proposal",
        "metadata": {"name": validated.name},
        "spec": {
            "document": document,
            "base": current_policy_generation(view, &validated.name),
            "reason": validated.reason(),
            "by": {"inlet": by.inlet.as_str(), "user": by.user, "groups": by.groups},
            "confirm": submission.confirm,
            "expiresMs": expires_ms,
        },
    })
}

fn put(manifest: &str, document: &Document) -> Result<Change, EditError> {
    let (compiled, scopes, listens) = match document {
        Document::Policy(policy) => (
            policy.compile(),
            placement::policy_scopes(&policy.clusters),
            None,
        ),
        Document::Cluster(cluster) => (
            cluster.compile(),
            placement::cluster_scopes(cluster),
            Some((cluster.region.clone(), cluster.stage.clone())),
        ),
        Document::Record(_) => {
            let manifest = manifest.to_owned();
            return Ok(Change::Record { manifest });
        }
    };
    let object = serde_json::from_slice(compiled.bytes())
        .map_err(|error| EditError::field("", format!("can't be compiled: {error}")))?;
    Ok(Change::Put {
        manifest: manifest.to_owned(),
        object,
        requires: document.requires(),
        scopes,
        listens,
    })
}

/// The time of an edit: of this publisher's clock, and not before the edit before it, so that a time is
/// one place in the log although several publishers write it. An edit that was made with a clock far
/// ahead does not hold back the times of all later ones.
fn stamp(newest_ms: u64, own_ms: u64) -> u64 {
    let behind_ms = newest_ms.saturating_sub(own_ms);
    if behind_ms > CLOCK_LAG_MAX_MS {
        tracing::warn!(
            behind_ms,
            "the newest edit is from a clock that is far ahead of this one"
        );
        return own_ms;
    }
    own_ms.max(newest_ms)
}

/// The clusters that an edit is for. Of a policy: those that it selects, and those that it leaves,
/// because what is taken away has to be confirmed too; clusters that only observe, or are not enrolled,
/// confirm nothing, so that no edit waits for them. Of a registry entry: the cluster itself, whatever its
/// mode. Of a record: none.
fn targets(validated: &Validated, view: &View) -> BTreeSet<String> {
    if validated.submission.kind.is_record() {
        return BTreeSet::new();
    }
    if validated.submission.kind == Kind::Cluster {
        return match validated.content {
            Content::Put { .. } => BTreeSet::from([validated.name.to_string()]),
            Content::Delete | Content::Step => BTreeSet::new(),
        };
    }
    let before = view
        .policy(&PolicyName::from(&validated.name))
        .map(|policy| &policy.clusters);
    let selectors: Vec<&ClusterSelector> = selector(validated).into_iter().chain(before).collect();
    let enforcing = view.clusters().filter(|cluster| cluster.is_counted());
    enforcing
        .map(Cluster::identity)
        .filter(|identity| selectors.iter().any(|selector| selector.matches(identity)))
        .map(|identity| identity.name.to_string())
        .collect()
}

/// The keys that the bus must not take from a cluster any more.
fn revoked(validated: &Validated, view: &View, now_ms: u64) -> Vec<Revoked> {
    if validated.submission.kind != Kind::Cluster {
        return Vec::new();
    }
    let intent = view.intent(Kind::Cluster, &validated.name);
    let before = intent.map_or(&[][..], |intent| intent.revoked.as_slice());
    let new = match validated.document() {
        Some(Document::Cluster(cluster)) => Some(cluster),
        _ => None,
    };
    let old = view.cluster(&ClusterName::from(&validated.name));
    enrol::revoked(before, old, new, now_ms)
}

fn selector(validated: &Validated) -> Option<&ClusterSelector> {
    match validated.document() {
        Some(Document::Policy(policy)) => Some(&policy.clusters),
        _ => None,
    }
}

fn unknown_clusters(validated: &Validated, view: &View) -> Vec<String> {
    let names = selector(validated)
        .into_iter()
        .flat_map(ClusterSelector::names);
    names
        .filter(|name| view.cluster(name).is_none())
        .take(UNKNOWN_CLUSTERS_MAX)
        .map(ToString::to_string)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_along_the_log_do_not_go_backwards_unless_a_clock_is_wrong() {
        let newest = 1_000_000;
        assert_eq!(stamp(newest, newest + 5), newest + 5);
        assert_eq!(stamp(newest, newest - 5), newest);
        assert_eq!(stamp(newest, newest - CLOCK_LAG_MAX_MS), newest);
        let own = newest - CLOCK_LAG_MAX_MS - 1;
        assert_eq!(stamp(newest, own), own);
        assert_eq!(stamp(0, own), own);
    }
}
