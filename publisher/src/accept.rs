//! Step 1, accept: from a gRPC request to a submission. No I/O.
//!
//! Promises that what goes on is within its limits and has an author and a request id. Never looks
//! into the document.

use uuid::Uuid;
use writ_core::{access::Identity, edit::Kind, model::limits::REASON_MAX_BYTES, name::Name};
use writ_proto::v1;

use crate::error::EditError;

/// Largest manifest as submitted, in bytes: three times the largest compiled one, for what is stripped
/// from it, and under the bus' limit for the message that keeps it.
pub(crate) const MANIFEST_SIZE_MAX_BYTES: usize = 768 * 1024;

/// Longest request id: a UUID with a prefix fits; ids are kept in roots.
const REQUEST_ID_MAX_BYTES: usize = 128;

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

impl Submission {
    /// The name that it says to be of; nobody has looked into it yet.
    pub(crate) fn named(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Document {
            metadata: Metadata,
        }
        #[derive(serde::Deserialize)]
        struct Metadata {
            name: String,
        }
        match &self.wish {
            Wish::Delete { name } => Some(name.to_string()),
            Wish::Apply { manifest } => {
                let document: Document = serde_json::from_str(manifest).ok()?;
                Some(document.metadata.name.chars().take(100).collect())
            }
        }
    }
}

/// Accepts an apply.
pub(crate) fn apply(
    kind: Kind,
    request: v1::ApplyRequest,
    caller: &Identity,
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
        author: caller.to_string(),
        dry_run: request.dry_run,
    })
}

/// Accepts a deletion.
pub(crate) fn delete(
    kind: Kind,
    request: v1::DeleteRequest,
    caller: &Identity,
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
        author: caller.to_string(),
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

#[cfg(test)]
mod tests {
    use super::*;

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
