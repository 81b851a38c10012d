//! Between steps 2 and 3: what an edit of a cluster makes of the entry that is in force. No I/O.
//!
//! Keys, phase and enrolment are not the caller's to state: a document carries on those in force, and a
//! step in a cluster's life changes nothing else. Worked out at every attempt, on the log as it is then,
//! whose root the commit is compared with: that is what makes a token single-use.

use std::borrow::Cow;

use serde_json::Value;
use writ_core::{
    edit::Kind,
    enrol::{self, Change, Refusal, Refused},
    model::{Cluster, Document},
    name::ClusterName,
};

use crate::{
    accept::Wish,
    error::EditError,
    validate::{Content, Validated},
    view::View,
};

/// The edit with the whole entry that it makes; an edit of anything else as it is.
pub(crate) fn resolve<'a>(
    validated: &'a Validated,
    view: &View,
    now_ms: u64,
) -> Result<Cow<'a, Validated>, EditError> {
    let in_force = view.cluster(&ClusterName::from(&validated.name));
    let (manifest, entry) = match (&validated.submission.wish, &validated.content) {
        (Wish::Step { change, .. }, _) => {
            let entry = in_force.ok_or_else(|| EditError::NotFound {
                kind: Kind::Cluster,
                name: validated.name.to_string(),
            })?;
            let intent = view.intent(Kind::Cluster, &validated.name);
            let revoked = intent.map_or(&[][..], |intent| intent.revoked.as_slice());
            if let Change::Enter { keys, .. } = change
                && enrol::is_revoked(revoked, keys)
            {
                return Err(EditError::Step(Refused::Enter(Refusal::KeysRevoked)));
            }
            let next = enrol::change(entry, change, now_ms).map_err(EditError::Step)?;
            let manifest = intent.and_then(|intent| intent.manifest.as_deref());
            (parse(manifest.unwrap_or_default())?, next)
        }
        (wish, Content::Put { manifest, document }) => {
            let Document::Cluster(submitted) = document.as_ref() else {
                return Ok(Cow::Borrowed(validated));
            };
            let value = parse(manifest)?;
            let entry = entry(wish, submitted, &value, in_force)?;
            (value, entry)
        }
        _ => return Ok(Cow::Borrowed(validated)),
    };
    Ok(Cow::Owned(Validated {
        content: Content::Put {
            manifest: enrol::with_fields(&manifest, &entry).to_string(),
            document: Box::new(Document::Cluster(entry)),
        },
        ..validated.clone()
    }))
}

fn entry(
    wish: &Wish,
    submitted: &Cluster,
    manifest: &Value,
    in_force: Option<&Cluster>,
) -> Result<Cluster, EditError> {
    match (wish, in_force) {
        (Wish::Add { .. }, Some(entry)) => Err(EditError::Registered {
            name: entry.name.to_string(),
            phase: entry.phase,
        }),
        (Wish::Add { token, .. }, None) => Ok(enrol::add(submitted, token.clone())),
        _ => enrol::carry(submitted, manifest, in_force).map_err(EditError::Invalid),
    }
}

fn parse(manifest: &str) -> Result<Value, EditError> {
    serde_json::from_str(manifest)
        .map_err(|error| EditError::field("", format!("the manifest is not JSON: {error}")))
}
