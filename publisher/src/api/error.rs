//! From reasons to gRPC codes, with field violations where a field is wrong.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, PreconditionViolation, StatusExt as _};
use writ_core::{access::NotApproved, model::Violation};
use writ_proto::LOG_SUBJECT;
use writ_telemetry::describe;

use crate::{error::EditError, view::Behind, words};

/// After what time a client may ask again where too many edits wait: a few batches.
const TOO_MANY_DELAY: Duration = Duration::from_millis(100);

/// Most preconditions that an answer lists: details travel in a header, which is small.
const PRECONDITIONS_MAX: usize = 20;

/// The status of an edit that did not happen.
pub(crate) fn edit(error: &EditError) -> Status {
    let message = error.to_string();
    match error {
        EditError::Invalid(violations) => invalid(message, violations),
        EditError::TooLarge(invalid) => {
            let message = format!("{message}; split it into several policies");
            let violation = FieldViolation::new("", invalid.to_string());
            let details = ErrorDetails::with_bad_request(vec![violation]);
            Status::with_error_details(Code::InvalidArgument, message, details)
        }
        EditError::Protected { name, lost } => {
            guarded(message, words::DELETION_PROTECTION, name, lost)
        }
        EditError::Claimed { other, object, .. } => guarded(
            message,
            words::CLAIMED_BY_POLICY,
            other,
            std::slice::from_ref(object),
        ),
        EditError::Denied(_) | EditError::NotBreakGlass => Status::permission_denied(message),
        EditError::NotApproved {
            source: NotApproved::Own { .. },
            ..
        } => Status::permission_denied(message),
        EditError::NotApproved {
            source: NotApproved::Stale { .. },
            ..
        } => Status::aborted(message),
        EditError::NotApproved { name, .. } => {
            guarded(message.clone(), words::NOT_APPROVED, name, &[message])
        }
        EditError::LastAdministrator { name } => {
            guarded(message.clone(), words::LAST_ADMINISTRATOR, name, &[message])
        }
        // The number stands where scripts find it.
        EditError::NeedsConfirm { confirm, .. } => guarded(
            message,
            words::CONFIRM,
            &confirm.number.to_string(),
            &confirm.reasons,
        ),
        EditError::NeedsApproval { stage, .. } => {
            guarded(message.clone(), words::APPROVAL, stage, &[message])
        }
        EditError::ProtectedGroups { name, left } => {
            guarded(message, words::PROTECTED_GROUP, name, left)
        }
        EditError::Proposed { name, .. } => {
            guarded(message.clone(), words::PROPOSED_ALREADY, name, &[message])
        }
        EditError::TooManyProposals { .. } => Status::resource_exhausted(message),
        EditError::OtherKind { .. } => Status::failed_precondition(message),
        EditError::NotFound { .. } => Status::not_found(message),
        EditError::BaseMoved { .. } => Status::aborted(message),
        EditError::RequestIdTaken { .. } | EditError::Registered { .. } => {
            Status::already_exists(message)
        }
        EditError::Broken(broken) => {
            let said = std::slice::from_ref(&broken.message);
            guarded(message.clone(), broken.reason, LOG_SUBJECT, said)
        }
        EditError::Moves { .. } | EditError::Step(_) => Status::failed_precondition(message),
        EditError::Full => Status::resource_exhausted(message),
        EditError::TooMany { .. } => {
            let details = ErrorDetails::with_retry_info(Some(TOO_MANY_DELAY));
            Status::with_error_details(Code::ResourceExhausted, message, details)
        }
        EditError::NotStored | EditError::Behind(_) => Status::unavailable(message),
        EditError::Unknown { .. } | EditError::CutOff { .. } => Status::unknown(message),
        EditError::Refused { .. } | EditError::Bus(_) => {
            tracing::error!("an edit is refused by the bus: {}", describe(error));
            Status::internal(describe(error))
        }
    }
}

/// The status of a read that came too early.
pub(crate) fn behind(behind: &Behind) -> Status {
    Status::unavailable(behind.to_string())
}

/// The status of one wrong field of a request.
pub(crate) fn field(field: &str, message: impl Into<String>) -> Status {
    edit(&EditError::field(field, message))
}

/// A guard's refusal: what stands in the way, each in machine-readable form too.
fn guarded(message: String, guard: &str, subject: &str, descriptions: &[String]) -> Status {
    let violation =
        |description: &String| PreconditionViolation::new(guard, subject, description.as_str());
    let violations: Vec<PreconditionViolation> = descriptions
        .iter()
        .take(PRECONDITIONS_MAX)
        .map(violation)
        .collect();
    let details = ErrorDetails::with_precondition_failure(violations);
    Status::with_error_details(Code::FailedPrecondition, message, details)
}

fn invalid(message: String, violations: &[Violation]) -> Status {
    let violation = |violation: &Violation| {
        FieldViolation::new(violation.field.clone(), violation.message.clone())
    };
    let details =
        ErrorDetails::with_bad_request(violations.iter().map(violation).collect::<Vec<_>>());
    Status::with_error_details(Code::InvalidArgument, message, details)
}
