//! Step 1, accept: from a gRPC request to a submission. No I/O.
//!
//! Promises that what goes on is within its limits and has an author and a request id. Never looks
//! into the document.

use tonic::metadata::MetadataMap;
use uuid::Uuid;
use writ_core::{model::limits::REASON_MAX_BYTES, name::Name, scope::Kind};
use writ_proto::v1;

use crate::error::EditError;

/// Largest manifest as submitted, in bytes: three times the largest compiled one, for what is stripped
/// from it, and under the bus' limit for the message that keeps it.
pub(crate) const MANIFEST_SIZE_MAX_BYTES: usize = 768 * 1024;

/// Longest request id: a UUID with a prefix fits; ids are kept in roots.
const REQUEST_ID_MAX_BYTES: usize = 128;

/// Longest user name kept as author.
const USER_MAX_CHARS: usize = 128;

/// The metadata key in which a client names its user. Nobody checks it before the API has users, and
/// the author says so.
pub(crate) const USER_METADATA: &str = "writ-user";

/// What an edit is to do.
#[derive(Debug, Clone)]
pub(crate) enum Wish {
    /// To put this manifest in force.
    Apply {
        /// JSON text.
        manifest: String,
    },
    /// To take the name away.
    Delete {
        /// As it was given.
        name: Name,
    },
}

/// An edit as it was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Submission {
    pub(crate) kind: Kind,
    pub(crate) wish: Wish,
    pub(crate) base: Option<u64>,
    pub(crate) request_id: String,
    /// Whether the client chose the request id, so that it may have been used before.
    pub(crate) is_repeatable: bool,
    pub(crate) reason: String,
    pub(crate) author: String,
    pub(crate) dry_run: bool,
}

/// Accepts an apply.
pub(crate) fn apply(
    kind: Kind,
    request: v1::ApplyRequest,
    metadata: &MetadataMap,
) -> Result<Submission, EditError> {
    let size = request.manifest.len();
    if size > MANIFEST_SIZE_MAX_BYTES {
        let message = format!("has {size} bytes, the limit is {MANIFEST_SIZE_MAX_BYTES}");
        return Err(EditError::field("manifest", message));
    }
    let (request_id, is_repeatable) = request_id(request.request_id)?;
    Ok(Submission {
        kind,
        wish: Wish::Apply {
            manifest: request.manifest,
        },
        base: request.base_generation,
        request_id,
        is_repeatable,
        reason: reason(request.reason)?,
        author: author(metadata),
        dry_run: request.dry_run,
    })
}

/// Accepts a deletion.
pub(crate) fn delete(
    kind: Kind,
    request: v1::DeleteRequest,
    metadata: &MetadataMap,
) -> Result<Submission, EditError> {
    let name =
        Name::parse(&request.name).map_err(|error| EditError::field("name", error.to_string()))?;
    let (request_id, is_repeatable) = request_id(request.request_id)?;
    Ok(Submission {
        kind,
        wish: Wish::Delete { name },
        base: request.base_generation,
        request_id,
        is_repeatable,
        reason: reason(request.reason)?,
        author: author(metadata),
        dry_run: request.dry_run,
    })
}

fn request_id(given: String) -> Result<(String, bool), EditError> {
    if given.is_empty() {
        return Ok((Uuid::new_v4().to_string(), false));
    }
    if given.len() > REQUEST_ID_MAX_BYTES || !given.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = format!("must be at most {REQUEST_ID_MAX_BYTES} visible ASCII characters");
        return Err(EditError::field("request_id", message));
    }
    Ok((given, true))
}

fn reason(given: String) -> Result<String, EditError> {
    if given.len() > REASON_MAX_BYTES {
        let message = format!("has {} bytes, the limit is {REASON_MAX_BYTES}", given.len());
        return Err(EditError::field("reason", message));
    }
    if given.chars().any(|c| c.is_control() && c != '\n') {
        return Err(EditError::field(
            "reason",
            "must not hold control characters",
        ));
    }
    Ok(given)
}

/// The API has no users yet: whoever reaches it may edit, and the author says that nobody checked.
fn author(metadata: &MetadataMap) -> String {
    let user = metadata
        .get(USER_METADATA)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let user: String = user
        .chars()
        .filter(char::is_ascii_graphic)
        .take(USER_MAX_CHARS)
        .collect();
    let user = if user.is_empty() { "unknown" } else { &user };
    format!("unauthenticated:{user}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_author_is_marked_as_unchecked_and_cannot_hold_control_characters() {
        let mut metadata = MetadataMap::new();
        assert_eq!(author(&metadata), "unauthenticated:unknown");
        metadata.insert(USER_METADATA, "al ice".parse().unwrap());
        assert_eq!(author(&metadata), "unauthenticated:alice");
    }

    #[test]
    fn a_missing_request_id_is_chosen_and_a_bad_one_refused() {
        let (chosen, is_repeatable) = request_id(String::new()).unwrap();
        assert!(!is_repeatable && chosen.len() == 36);
        assert_eq!(request_id("a-1".into()).unwrap(), ("a-1".to_owned(), true));
        for bad in ["a b", "a\n", &"x".repeat(129)] {
            assert!(request_id(bad.into()).is_err(), "{bad:?}");
        }
    }
}
