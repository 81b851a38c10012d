//! What happens, one line each.
//!
//! Lines come one by one, so the columns have widths of their own; what is longer pushes the rest of its line.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use serde::Serialize;
use writ_proto::v1;

use super::json::{Document, FailingObject, Revision, known};
use super::table::{Tone, clean};
use super::words;

/// The names of the columns.
pub(crate) const HEADER: &str =
    "TIME          WHAT          CLUSTER               POLICY                        DETAIL";

/// One happening, as people read it; `wide` with all that is known.
pub(crate) fn line(told: &v1::Happening, wide: bool, zone: &TimeZone, colour: bool) -> String {
    let at = words::time(told.at.as_ref()).map_or_else(
        || "?".to_owned(),
        |at| {
            let at = at.to_zoned_datetime(zone.clone());
            at.strftime("%H:%M:%S%.3f").to_string()
        },
    );
    let policy = match told.policy.as_str() {
        "" => String::new(),
        name => format!("{name}{}", words::generation(told.generation)),
    };
    let mut line = format!(
        "{at:<12}  {:<12}  {:<20}  {:<28}  {}",
        word(told.kind()),
        clean(&told.cluster),
        clean(&policy),
        clean(&detail(told)),
    );
    line.truncate(line.trim_end().len());
    if wide {
        if !told.message.is_empty() && told.kind() == v1::HappeningKind::Refused {
            let _ = write!(line, "\n              {}", clean(&told.message));
        }
        for object in &told.objects {
            let said = format!("{}: {} {}", object.object, object.reason, object.message);
            let _ = write!(line, "\n              {}", clean(&said));
        }
    }
    tone(told.kind()).paint(&line, colour)
}

/// What a happening tells beside its names.
fn detail(told: &v1::Happening) -> String {
    use v1::HappeningKind as Kind;
    let after = || match told.after_ms {
        Some(ms @ 0..10_000) => format!("after {ms} ms"),
        Some(ms) => format!(
            "after {}",
            words::span(jiff::SignedDuration::from_millis_i128(ms.into()))
        ),
        None => String::new(),
    };
    let of = |one: &str, many: &str| match told.count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    match told.kind() {
        Kind::Edited | Kind::Deleted => {
            let revision = words::revision(told.revision.as_ref());
            format!("revision {revision}, for {}", of("cluster", "clusters"))
        }
        Kind::Received | Kind::Applied | Kind::Removed => after(),
        Kind::Refused => told.reason.clone(),
        Kind::Drifted | Kind::Repaired => {
            let objects = told.objects.iter().map(|one| one.object.as_str());
            objects.collect::<Vec<_>>().join(", ")
        }
        Kind::PulsesLost => of("pulse", "pulses"),
        Kind::Registered => format!("generation {}, {}", told.generation, told.message),
        Kind::Forked => "IdentityForked".to_owned(),
        Kind::Silent
        | Kind::Heard
        | Kind::Stale
        | Kind::NotStale
        | Kind::Unregistered
        | Kind::Unspecified => String::new(),
    }
}

/// The word of a kind.
fn word(kind: v1::HappeningKind) -> &'static str {
    use v1::HappeningKind as Kind;
    match kind {
        Kind::Edited => "edited",
        Kind::Deleted => "deleted",
        Kind::Received => "received",
        Kind::Applied => "applied",
        Kind::Removed => "removed",
        Kind::Refused => "refused",
        Kind::Drifted => "drifted",
        Kind::Repaired => "repaired",
        Kind::PulsesLost => "pulsesLost",
        Kind::Silent => "silent",
        Kind::Heard => "heard",
        Kind::Stale => "stale",
        Kind::NotStale => "notStale",
        Kind::Forked => "forked",
        Kind::Registered => "registered",
        Kind::Unregistered => "unregistered",
        // Of a newer publisher.
        Kind::Unspecified => "other",
    }
}

fn tone(kind: v1::HappeningKind) -> Tone {
    use v1::HappeningKind as Kind;
    match kind {
        Kind::Refused | Kind::Forked | Kind::Drifted => Tone::Bad,
        Kind::Silent | Kind::Stale | Kind::PulsesLost => Tone::Silent,
        Kind::Received => Tone::Waiting,
        _ => Tone::Plain,
    }
}

/// A happening as scripts read it; what is not known is left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Happening {
    number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    what: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    cluster: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    region: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    stage: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    policy: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<Revision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after_ms: Option<u64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    objects: Vec<FailingObject>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

/// The document of a happening.
pub(crate) fn json(told: &v1::Happening) -> Document<Happening> {
    Document::new(
        "Happening",
        Happening {
            number: told.number,
            time: words::instant(told.at.as_ref()),
            what: word(told.kind()),
            cluster: told.cluster.clone(),
            region: told.region.clone(),
            stage: told.stage.clone(),
            policy: told.policy.clone(),
            generation: known(told.generation),
            revision: Revision::from_proto(told.revision.as_ref()),
            after_ms: told.after_ms,
            reason: told.reason.clone(),
            message: told.message.clone(),
            objects: FailingObject::list(&told.objects),
            count: known(told.count),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> v1::Happening {
        v1::Happening {
            number: 7,
            at: Some(prost_types::Timestamp {
                seconds: 3_600,
                nanos: 5_000_000,
            }),
            kind: v1::HappeningKind::Refused.into(),
            cluster: "eu-prod-3".into(),
            policy: "payments".into(),
            generation: 42,
            reason: "CeilingExceeded".into(),
            message: "verb\nescalate".into(),
            ..Default::default()
        }
    }

    #[test]
    fn a_line_stands_under_the_names_of_its_columns() {
        let line = line(&refused(), false, &TimeZone::UTC, false);
        assert!(line.starts_with("01:00:00.005  refused "), "{line}");
        for (column, cell) in [
            ("CLUSTER", "eu-prod-3"),
            ("POLICY", "payments@42"),
            ("DETAIL", "CeilingExceeded"),
        ] {
            assert_eq!(HEADER.find(column), line.find(cell), "{column}");
        }
    }

    #[test]
    fn what_others_wrote_stays_on_its_line() {
        let line = line(&refused(), true, &TimeZone::UTC, false);
        assert!(line.ends_with("\n              verb escalate"), "{line}");
    }

    #[test]
    fn a_script_reads_what_is_known_and_nothing_else() {
        assert_eq!(
            json(&refused()).line(),
            r#"{"apiVersion":"cli.writ.dev/v1alpha1","kind":"Happening","number":7,"time":"1970-01-01T01:00:00.005Z","what":"refused","cluster":"eu-prod-3","policy":"payments","generation":42,"reason":"CeilingExceeded","message":"verb\nescalate"}"#
        );
    }
}
