//! From an API server's answer to a kind of failure. Does no I/O.
//!
//! Status codes alone do not tell what to do: an unknown field in a server-side apply and an object
//! over etcd's size limit are answered with 500 and will fail for ever, the 404 of a kind that is not
//! served must not be taken for an absent object, and a 403 may be a missing right of ours, the
//! cluster owner's ceiling, or anybody's admission.

use std::time::Duration;

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
    #[serde(rename = "retryAfterSeconds")]
    retry_after_seconds: u64,
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

/// What our own admission policies begin their words with (`deploy/ceiling.yaml`).
const CEILING_WORDS: [(&str, ErrorKind); 2] = [
    ("CeilingExceeded:", ErrorKind::Ceiling),
    ("ForeignObject:", ErrorKind::Foreign),
];

/// How the authoriser, and the check against granting more than one holds, begin a refusal: the
/// rest names the permission that is missing.
const MISSING_RIGHT_TEXTS: [&str; 2] = ["\" cannot ", "attempting to grant RBAC permissions"];

/// Longest wait that an answer can ask for: a day in a header must not silence a cluster.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// What an answer that is not a success means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
    /// How long the API server asked to be left alone.
    pub(crate) retry_after: Option<Duration>,
}

/// Reads an answer that is not a success. `name` is the object that was asked for, `retry_after`
/// the header of that name.
pub(crate) fn classify(
    status: StatusCode,
    retry_after: Option<&str>,
    body: &[u8],
    name: &str,
) -> Failure {
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
        _ if is_admission(&text) => admission(&text),
        _ if PERMANENT_TEXTS.iter().any(|known| text.contains(known)) => ErrorKind::Invalid,
        StatusCode::NOT_FOUND => missing(&answer, name),
        StatusCode::UNAUTHORIZED => ErrorKind::Unauthenticated,
        StatusCode::FORBIDDEN if MISSING_RIGHT_TEXTS.iter().any(|known| text.contains(known)) => {
            ErrorKind::Forbidden
        }
        // Quota, a finalizing namespace's lifecycle, an image policy: admission in its own words.
        StatusCode::FORBIDDEN => ErrorKind::Refused,
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
    let asked = match retry_after.and_then(|seconds| seconds.trim().parse().ok()) {
        Some(seconds) => seconds,
        None => answer.details.retry_after_seconds,
    };
    let retry_after = (asked > 0).then(|| Duration::from_secs(asked).min(RETRY_AFTER_MAX));
    Failure {
        kind,
        message,
        retry_after,
    }
}

/// Whether a webhook or an admission policy said no, whichever status it chose for that. One that
/// could not be reached did not say anything.
fn is_admission(text: &str) -> bool {
    text.contains("admission webhook \"") && text.contains("denied the request")
        || text.contains("ValidatingAdmissionPolicy '") && text.contains("denied request")
}

fn admission(text: &str) -> ErrorKind {
    let ours = text.contains("ValidatingAdmissionPolicy 'writ-");
    CEILING_WORDS
        .into_iter()
        .find(|(words, _)| ours && text.contains(words))
        .map_or(ErrorKind::Refused, |(_, kind)| kind)
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
        classify(status, None, body.to_string().as_bytes(), "reader").kind
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
        let plain = classify(
            StatusCode::NOT_FOUND,
            None,
            b"404 page not found\n",
            "reader",
        );
        assert_eq!(
            (plain.kind, plain.message.as_str()),
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
        let right = r#"roles.rbac.authorization.k8s.io "reader" is forbidden: User "system:serviceaccount:writ-system:writ-subscriber" cannot patch resource "roles" in API group "rbac.authorization.k8s.io" in the namespace "payments""#;
        let wider = r#"roles "reader" is forbidden: user "x" (groups=["y"]) is attempting to grant RBAC permissions not currently held"#;
        for text in [right, wider] {
            let body = json!({"reason": "Forbidden", "message": text});
            assert_eq!(kind(403, body), ErrorKind::Forbidden, "{text}");
        }
    }

    #[test]
    fn the_ceiling_is_told_from_other_admission_and_that_from_a_missing_right() {
        let policy = |name: &str, words: &str| {
            format!(
                "roles \"reader\" is forbidden: ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: {words}"
            )
        };
        let webhook =
            "admission webhook \"validate.example.com\" denied the request: no roles on Fridays";
        let quota = "configmaps \"reader\" is forbidden: exceeded quota: team";
        for (status, text, expected) in [
            (
                403,
                policy("writ-ceiling-roles", "CeilingExceeded: verb"),
                ErrorKind::Ceiling,
            ),
            (
                403,
                policy("writ-ceiling-delete", "ForeignObject: not ours"),
                ErrorKind::Foreign,
            ),
            // Whoever borrows our words is still somebody else.
            (
                403,
                policy("house-rules", "CeilingExceeded: verb"),
                ErrorKind::Refused,
            ),
            (
                422,
                policy("house-rules", "no wildcards"),
                ErrorKind::Refused,
            ),
            (403, webhook.to_owned(), ErrorKind::Refused),
            (400, webhook.to_owned(), ErrorKind::Refused),
            (403, quota.to_owned(), ErrorKind::Refused),
            (
                500,
                "failed calling webhook \"a.b\": timeout".to_owned(),
                ErrorKind::Server,
            ),
        ] {
            assert_eq!(kind(status, json!({"message": text})), expected, "{text}");
        }
    }

    #[test]
    fn the_wait_that_is_asked_for_is_kept_within_reason() {
        let wait = |header: Option<&str>, body: serde_json::Value| {
            let body = body.to_string();
            classify(
                StatusCode::TOO_MANY_REQUESTS,
                header,
                body.as_bytes(),
                "reader",
            )
            .retry_after
        };
        assert_eq!(wait(Some("2"), json!({})), Some(Duration::from_secs(2)));
        let details = json!({"details": {"retryAfterSeconds": 7}});
        assert_eq!(wait(None, details), Some(Duration::from_secs(7)));
        assert_eq!(wait(Some("86400"), json!({})), Some(RETRY_AFTER_MAX));
        assert_eq!(wait(Some("soon"), json!({})), None);
    }
}
