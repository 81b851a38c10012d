//! One record, and the line that it becomes.

use std::net::SocketAddr;

use serde::Serialize;
use writ_core::revision::Revision;

/// What is recorded of a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    pub(crate) time_ms: u64,
    /// The path of the call, for instance `/writ.v1.PolicyService/Apply`; or what is told of several.
    pub(crate) call: String,
    pub(crate) inlet: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) peer: Option<SocketAddr>,
    /// Through which program of this project, where it says so.
    pub(crate) via: Option<&'static str>,
    /// A gRPC code, in small letters.
    pub(crate) outcome: &'static str,
    pub(crate) message: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) generation: Option<u64>,
    pub(crate) revision: Option<Revision>,
    pub(crate) request_id: Option<String>,
    pub(crate) dry_run: bool,
    pub(crate) break_glass: bool,
    pub(crate) duration_ms: u64,
    /// How many calls it stands for; 0 for the one.
    pub(crate) count: u64,
}

/// The fields of a line, in their order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    publisher: &'a str,
    number: u64,
    previous: &'a str,
    time: String,
    call: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    inlet: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    groups: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<&'static str>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    dry_run: bool,
    #[serde(skip_serializing_if = "is_false")]
    break_glass: bool,
    duration_ms: u64,
    #[serde(skip_serializing_if = "is_zero")]
    count: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Record {
    /// The line, at its place in a publisher's chain.
    pub(super) fn line(&self, publisher: &str, number: u64, previous: &str) -> String {
        let line = Line {
            publisher,
            number,
            previous,
            time: time(self.time_ms),
            call: &self.call,
            inlet: self.inlet.as_deref(),
            user: self.user.as_deref(),
            groups: &self.groups,
            peer: self.peer.map(|peer| peer.to_string()),
            via: self.via,
            outcome: self.outcome,
            message: self.message.as_deref(),
            name: self.name.as_deref(),
            generation: self.generation,
            revision: self.revision.map(|revision| revision.to_string()),
            request_id: self.request_id.as_deref(),
            dry_run: self.dry_run,
            break_glass: self.break_glass,
            duration_ms: self.duration_ms,
            count: self.count,
        };
        // Texts and numbers always have a JSON form, and no newline in it.
        serde_json::to_string(&line).unwrap_or_default()
    }
}

fn time(ms: u64) -> String {
    let timestamp = prost_types::Timestamp {
        seconds: i64::try_from(ms / 1000).unwrap_or(i64::MAX),
        nanos: i32::try_from(ms % 1000).unwrap_or_default() * 1_000_000,
    };
    timestamp.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_whatever_was_sent() {
        let record = Record {
            time_ms: 1_795_881_600_123,
            call: "/writ.v1.PolicyService/Apply".into(),
            user: Some("a\nb\"".into()),
            outcome: "ok",
            ..Record::default()
        };
        let line = record.line("publisher-1", 7, "abc");
        assert!(!line.contains('\n'), "{line}");
        assert!(
            line.starts_with(
                r#"{"publisher":"publisher-1","number":7,"previous":"abc","time":"2026-11-28T16:00:00.123Z","call":"/writ.v1.PolicyService/Apply","user":"a\nb\"","outcome":"ok""#
            ),
            "{line}"
        );
    }
}
