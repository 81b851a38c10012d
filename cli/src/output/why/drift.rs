//! What was changed by hand lately, as the cluster itself told it: no verdict, since what was put back
//! is good again, but what an administrator wants to know beside it.

use serde::Serialize;
use writ_proto::v1;

use super::super::json::FailingObject;
use super::super::table::clean;
use super::super::words;

/// Told one by one, the newest first; beyond that a person asks for JSON.
const SHOWN_MAX: usize = 5;

/// One change.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Drift {
    policy: String,
    generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen_at: Option<String>,
    /// Absent where it is not as it should be again.
    #[serde(skip_serializing_if = "Option::is_none")]
    repaired_at: Option<String>,
    objects: Vec<FailingObject>,
}

impl Drift {
    pub(super) fn of(line: &v1::DriftLine) -> Drift {
        Drift {
            policy: line.policy.clone(),
            generation: line.generation,
            seen_at: words::instant(line.seen_at.as_ref()),
            repaired_at: words::instant(line.repaired_at.as_ref()),
            objects: FailingObject::list(&line.objects),
        }
    }
}

/// As people read it, each line with a newline before it.
pub(super) fn text(drift: &[v1::DriftLine], as_of: Option<&v1::AsOf>) -> String {
    if drift.is_empty() {
        return String::new();
    }
    let mut text = "\n  Changed by hand lately:".to_owned();
    for line in drift.iter().rev().take(SHOWN_MAX) {
        let age = match words::age(line.seen_at.as_ref(), as_of) {
            age if age.is_empty() => String::new(),
            age => format!("{age} ago  "),
        };
        let policy = format!("{}@{}", clean(&line.policy), line.generation);
        for object in &line.objects {
            let (at, message) = (clean(&object.object), clean(&object.message));
            text.push_str(&format!("\n     {age}{policy}  {at}: {message}"));
        }
    }
    if drift.len() > SHOWN_MAX {
        let more = drift.len() - SHOWN_MAX;
        text.push_str(&format!("\n     … and {more} before that"));
    }
    text
}
