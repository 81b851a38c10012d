//! Times and lengths of time, as people read them.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};

/// A moment of the API in milliseconds since 1970.
pub(crate) fn ms(of: &prost_types::Timestamp) -> i64 {
    of.seconds * 1_000 + i64::from(of.nanos) / 1_000_000
}

/// The wall clock.
pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// `2026-11-28 21:04:11 UTC`.
pub(crate) fn stamp(ms: i64) -> String {
    format(ms, "%Y-%m-%d %H:%M:%S UTC")
}

/// `21:04:11`.
pub(crate) fn clock(ms: i64) -> String {
    format(ms, "%H:%M:%S")
}

fn format(ms: i64, how: &str) -> String {
    let Ok(at) = Timestamp::from_millisecond(ms) else {
        return "?".to_owned();
    };
    TimeZone::UTC.to_datetime(at).strftime(how).to_string()
}

/// `4 s`, `12 min`, `3 h`, `5 d`: how long ago something was.
pub(crate) fn age(ms: i64) -> String {
    let seconds = ms.max(0) / 1_000;
    match seconds {
        0..=99 => format!("{seconds} s"),
        100..=5_999 => format!("{} min", seconds / 60),
        6_000..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `14 ms`, `1.2 s`, `3 min 4 s`: how long something took.
pub(crate) fn took(ms: i64) -> String {
    let took = Duration::from_millis(ms.max(0).unsigned_abs());
    match took.as_millis() {
        0..=999 => format!("{} ms", took.as_millis()),
        1_000..=99_999 => format!("{:.1} s", took.as_secs_f64()),
        _ => format!("{} min {} s", took.as_secs() / 60, took.as_secs() % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_the_unit_that_a_person_would_take() {
        assert_eq!(
            [age(4_200), age(720_000), age(9_000_000), age(300_000_000)],
            ["4 s", "12 min", "2 h", "3 d"]
        );
        assert_eq!(
            [took(14), took(1_240), took(184_000)],
            ["14 ms", "1.2 s", "3 min 4 s"]
        );
        assert_eq!(stamp(1_700_000_000_042), "2023-11-14 22:13:20 UTC");
        assert_eq!(age(-5), "0 s");
    }
}
