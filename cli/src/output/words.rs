//! Revisions, ages, times and states in words.
//!
//! Ages count from the answer's own time, not from this machine's clock, so that a wrong clock here
//! shows nothing wrong.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use writ_proto::v1;

/// A point in time of an answer, if it is one.
pub(crate) fn time(stamp: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    stamp.and_then(|stamp| Timestamp::new(stamp.seconds, stamp.nanos).ok())
}

/// As JSON shows it.
pub(crate) fn instant(stamp: Option<&prost_types::Timestamp>) -> Option<String> {
    time(stamp).map(|time| time.to_string())
}

/// `10211`, from the second epoch on `2:10211`.
pub(crate) fn revision(revision: Option<&v1::Revision>) -> String {
    match revision {
        // Revisions begin at 1; 0 is "none yet".
        None | Some(v1::Revision { number: 0, .. }) => String::new(),
        Some(v1::Revision {
            epoch: 0 | 1,
            number,
        }) => number.to_string(),
        Some(v1::Revision { epoch, number }) => format!("{epoch}:{number}"),
    }
}

/// `14:08:40 (publisher-1, revision 10211)`.
pub(crate) fn as_of(as_of: Option<&v1::AsOf>, zone: &TimeZone) -> String {
    let Some(as_of) = as_of else {
        return String::new();
    };
    let clock = time(as_of.time.as_ref()).map_or_else(
        || "?".to_owned(),
        |time| {
            time.to_zoned_datetime(zone.clone())
                .strftime("%H:%M:%S")
                .to_string()
        },
    );
    format!(
        "{clock} ({}, revision {})",
        as_of.publisher,
        revision(as_of.revision.as_ref())
    )
}

/// How long before the answer something was: `6m`, `3h12m`, `400d`. Empty where it is not known.
pub(crate) fn age(since: Option<&prost_types::Timestamp>, as_of: Option<&v1::AsOf>) -> String {
    let (Some(since), Some(now)) = (
        time(since),
        as_of.and_then(|as_of| time(as_of.time.as_ref())),
    ) else {
        return String::new();
    };
    span(now.duration_since(since))
}

/// A duration as kubectl rounds it; one that ran backwards (two clocks) is 0.
pub(crate) fn span(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 if seconds % 60 > 0 => format!("{minutes}m{}s", seconds % 60),
        120..10_800 => format!("{minutes}m"),
        10_800..28_800 if minutes % 60 > 0 => format!("{hours}h{}m", minutes % 60),
        10_800..172_800 => format!("{hours}h"),
        _ => format!("{days}d"),
    }
}

/// How long after the edit something was, by two clocks: `+14ms`, `+2.1s`, `+5m`.
pub(crate) fn after(
    then: Option<&prost_types::Timestamp>,
    edit: Option<&prost_types::Timestamp>,
) -> String {
    let (Some(then), Some(edit)) = (time(then), time(edit)) else {
        return String::new();
    };
    let millis = then.duration_since(edit).as_millis();
    match millis {
        // The cluster's clock is behind the publisher's; saying +0 would look measured.
        ..0 => format!("{millis}ms"),
        0..1_000 => format!("+{millis}ms"),
        1_000..60_000 => format!("+{}.{}s", millis / 1_000, millis % 1_000 / 100),
        _ => format!("+{}", span(then.duration_since(edit))),
    }
}

/// Whether a cluster is heard: `live`, `silent 3m`, `never heard`.
pub(crate) fn liveness(liveness: Option<&v1::Liveness>, as_of: Option<&v1::AsOf>) -> String {
    let Some(liveness) = liveness else {
        return "never heard".to_owned();
    };
    match liveness.state() {
        v1::liveness::State::Live => "live".to_owned(),
        v1::liveness::State::Silent if liveness.last_heard.is_none() => {
            "silent, never heard".to_owned()
        }
        v1::liveness::State::Silent => {
            let since = age(liveness.since.as_ref(), as_of);
            if since.is_empty() {
                "silent".to_owned()
            } else {
                format!("silent {since}")
            }
        }
        v1::liveness::State::Unspecified => "never heard".to_owned(),
    }
}

/// The liveness without its time, for scripts.
pub(crate) fn liveness_state(liveness: Option<&v1::Liveness>) -> &'static str {
    match liveness.map(v1::Liveness::state) {
        Some(v1::liveness::State::Live) => "live",
        Some(v1::liveness::State::Silent) => "silent",
        _ => "unknown",
    }
}

/// How far an edit has come.
pub(crate) fn ack_state(state: v1::AckState) -> &'static str {
    match state {
        v1::AckState::Pending => "pending",
        v1::AckState::Applied => "applied",
        v1::AckState::Refused => "refused",
        v1::AckState::Silent => "silent",
        v1::AckState::Unspecified => "unknown",
    }
}

/// Why a cluster is counted where it is; empty for a target.
pub(crate) fn membership(membership: v1::Membership) -> &'static str {
    match membership {
        v1::Membership::Later => "later",
        v1::Membership::Left => "left",
        v1::Membership::Observing => "observing",
        v1::Membership::Unenrolled => "not enrolled",
        v1::Membership::Draining => "draining",
        v1::Membership::CutOff => "cut off",
        v1::Membership::Target | v1::Membership::Unspecified => "",
    }
}

/// `@42`; empty for none.
pub(crate) fn generation(generation: u64) -> String {
    if generation == 0 {
        String::new()
    } else {
        format!("@{generation}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(seconds: i64, nanos: i32) -> prost_types::Timestamp {
        prost_types::Timestamp { seconds, nanos }
    }

    #[test]
    fn revisions_name_their_epoch_from_the_second_on() {
        assert_eq!(
            revision(Some(&v1::Revision {
                epoch: 1,
                number: 10211
            })),
            "10211"
        );
        assert_eq!(
            revision(Some(&v1::Revision {
                epoch: 2,
                number: 7
            })),
            "2:7"
        );
        assert_eq!(revision(None), "");
    }

    #[test]
    fn ages_are_rounded_as_kubectl_rounds_them() {
        for (seconds, text) in [
            (-5, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (121, "2m1s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (10_860, "3h1m"),
            (28_800, "8h"),
            (172_800, "2d"),
            (34_560_000, "400d"),
        ] {
            assert_eq!(span(SignedDuration::from_secs(seconds)), text, "{seconds}");
        }
    }

    #[test]
    fn times_after_the_edit_show_milliseconds_first_and_clocks_that_differ() {
        let edit = stamp(100, 0);
        for (then, text) in [
            (stamp(100, 14_000_000), "+14ms"),
            (stamp(102, 150_000_000), "+2.1s"),
            (stamp(400, 0), "+5m"),
            (stamp(99, 997_000_000), "-3ms"),
        ] {
            assert_eq!(after(Some(&then), Some(&edit)), text);
        }
        assert_eq!(after(None, Some(&edit)), "");
    }

    #[test]
    fn a_view_says_when_it_was_made_by_whom_and_from_what() {
        let view = v1::AsOf {
            publisher: "publisher-1".into(),
            time: Some(stamp(14 * 3_600 + 8 * 60 + 40, 0)),
            edits_refused: String::new(),
            revision: Some(v1::Revision {
                epoch: 1,
                number: 10211,
            }),
        };
        assert_eq!(
            as_of(Some(&view), &TimeZone::UTC),
            "14:08:40 (publisher-1, revision 10211)"
        );
    }
}
