//! From an API server's answer to a kind of failure. Does no I/O.
//!
//! Status codes alone do not tell what to do: an unknown field in a server-side apply and an object
//! over etcd's size limit are answered with 500 and will fail for ever, and the 404 of a kind that
//! is not served must not be taken for an absent object.

use http::StatusCode;
use serde::Deserialize;

use crate::cluster::ErrorKind;

/// The parts of `metav1.Status` that decide.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    message: String,
    reason: String,
    details: Details,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    name: String,
    kind: String,
    causes: Vec<Cause>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
    field: String,
}

/// Texts of permanent failures that come with a 5xx status.
const PERMANENT_TEXTS: [&str; 6] = [
    "field not declared in schema",
    "failed to create typed patch object",
    "failed to create manager for existing fields",
    "etcdserver: request is too large",
    "Request entity too large",
    "trying to send message larger than max",
];

/// How the ceiling's admission policies say that an object is not Writ's.
const FOREIGN_TEXT: &str = "denied request: ForeignObject:";

/// The kind of failure and its message, for an answer that is not a success.
///
/// `name` is the object that was asked for.
pub(crate) fn classify(status: StatusCode, body: &[u8], name: &str) -> (ErrorKind, String) {
    let parsed: Option<Status> = serde_json::from_slice(body).ok();
    let text = match &parsed {
        Some(parsed) if !parsed.message.is_empty() => parsed.message.clone(),
        _ => String::from_utf8_lossy(body).trim().to_owned(),
    };
    let answer = parsed.unwrap_or_default();
    let causes = &answer.details.causes;
    let kind = match status {
        _ if causes
            .iter()
            .any(|cause| cause.reason == "NamespaceTerminating") =>
        {
            ErrorKind::NamespaceTerminating
        }
        // An apply that names the uid of an object that was replaced meanwhile.
        StatusCode::UNPROCESSABLE_ENTITY
            if causes.iter().any(|cause| cause.field == "metadata.uid") =>
        {
            ErrorKind::Conflict
        }
        _ if PERMANENT_TEXTS.iter().any(|known| text.contains(known)) => ErrorKind::Invalid,
        StatusCode::NOT_FOUND => missing(&answer, name),
        StatusCode::FORBIDDEN if text.contains(FOREIGN_TEXT) => ErrorKind::Foreign,
        StatusCode::UNAUTHORIZED => ErrorKind::Unauthenticated,
        StatusCode::FORBIDDEN => ErrorKind::Forbidden,
        StatusCode::CONFLICT => ErrorKind::Conflict,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => ErrorKind::Unavailable,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
            ErrorKind::Unavailable
        }
        status if status.is_server_error() => ErrorKind::Server,
        status if status.is_client_error() => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    };
    let message = if text.is_empty() {
        format!("status {status}")
    } else {
        text
    };
    (kind, message)
}

fn missing(answer: &Status, name: &str) -> ErrorKind {
    let details = &answer.details;
    if answer.reason != "NotFound" || details.name.is_empty() {
        ErrorKind::NotServed
    } else if details.kind == "namespaces" && details.name != name {
        ErrorKind::NamespaceMissing
    } else if details.name == name {
        ErrorKind::Missing
    } else {
        ErrorKind::NotServed
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind(status: u16, body: serde_json::Value) -> ErrorKind {
        let status = StatusCode::from_u16(status).unwrap();
        classify(status, body.to_string().as_bytes(), "reader").0
    }

    fn not_found(kind: &str, name: &str) -> serde_json::Value {
        json!({"kind": "Status", "reason": "NotFound", "details": {"kind": kind, "name": name}})
    }

    #[test]
    fn only_the_object_asked_for_is_missing() {
        assert_eq!(kind(404, not_found("roles", "reader")), ErrorKind::Missing);
        assert_eq!(
            kind(404, not_found("namespaces", "payments")),
            ErrorKind::NamespaceMissing
        );
        assert_eq!(kind(404, not_found("roles", "")), ErrorKind::NotServed);
        let (plain, message) = classify(StatusCode::NOT_FOUND, b"404 page not found\n", "reader");
        assert_eq!(
            (plain, message.as_str()),
            (ErrorKind::NotServed, "404 page not found")
        );
    }

    #[test]
    fn permanent_failures_dressed_as_server_errors_are_invalid() {
        let unknown = "failed to create typed patch object (/x; v1, Kind=Role): .z: field not declared in schema";
        assert_eq!(kind(500, json!({"message": unknown})), ErrorKind::Invalid);
        let large = "etcdserver: request is too large";
        assert_eq!(kind(500, json!({"message": large})), ErrorKind::Invalid);
        assert_eq!(
            kind(500, json!({"message": "etcdserver: leader changed"})),
            ErrorKind::Server
        );
        assert_eq!(kind(422, json!({"message": "bad"})), ErrorKind::Invalid);
        let other = json!({"details": {"causes": [{"field": "metadata.uid"}]}});
        assert_eq!(kind(422, other), ErrorKind::Conflict);
        assert_eq!(
            kind(429, json!({"message": "slow down"})),
            ErrorKind::Unavailable
        );
    }

    #[test]
    fn a_terminating_namespace_is_told_from_a_missing_right() {
        let causes = json!([{"reason": "NamespaceTerminating"}]);
        let terminating = json!({"reason": "Forbidden", "details": {"causes": causes}});
        assert_eq!(kind(403, terminating), ErrorKind::NamespaceTerminating);
        assert_eq!(
            kind(403, json!({"reason": "Forbidden"})),
            ErrorKind::Forbidden
        );
    }

    #[test]
    fn what_the_ceiling_calls_foreign_is_foreign_and_what_it_denies_is_not() {
        let denied = |why: &str| {
            let message =
                format!("ValidatingAdmissionPolicy 'p' with binding 'p' denied request: {why}");
            kind(403, json!({"reason": "Forbidden", "message": message}))
        };
        assert_eq!(denied("ForeignObject: Role a/b: …"), ErrorKind::Foreign);
        assert_eq!(denied("CeilingExceeded: Role a/b: …"), ErrorKind::Forbidden);
        assert_eq!(denied("no ForeignObject: here"), ErrorKind::Forbidden);
    }
}
