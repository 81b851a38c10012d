//! From reasons to gRPC codes, with field violations where a field is wrong.

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};
use writ_core::model::Violation;

use crate::{alarm::describe, error::EditError, view::Behind};

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
        EditError::NotFound { .. } => Status::not_found(message),
        EditError::BaseMoved { .. } => Status::aborted(message),
        EditError::RequestIdTaken { .. } => Status::already_exists(message),
        EditError::Moves { .. } | EditError::Broken(_) => Status::failed_precondition(message),
        EditError::Full | EditError::TooMany { .. } => Status::resource_exhausted(message),
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

fn invalid(message: String, violations: &[Violation]) -> Status {
    let violation = |violation: &Violation| {
        FieldViolation::new(violation.field.clone(), violation.message.clone())
    };
    let details =
        ErrorDetails::with_bad_request(violations.iter().map(violation).collect::<Vec<_>>());
    Status::with_error_details(Code::InvalidArgument, message, details)
}
