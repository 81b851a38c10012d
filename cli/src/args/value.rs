//! Words of the grammar that several commands take: references, times, labels.

use std::str::FromStr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::input::Kind;

/// A name, with the generation that the answer must not be older than: `payments@42`,
/// `clusterpolicy/payments@42`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// The kind that stood before it.
    pub(crate) kind: Option<Kind>,
    /// The name; the publisher judges its form.
    pub(crate) name: String,
    /// 0: none was named.
    pub(crate) generation: u64,
}

impl Reference {
    /// The name, if the reference may be for this kind.
    pub(crate) fn expect(&self, kind: Kind) -> Result<&str, crate::error::Error> {
        match self.kind {
            Some(other) if other != kind => Err(crate::error::Error::Usage(format!(
                "`{}/{}` is a {other}, and a {kind} is asked for",
                other.prefix(),
                self.name
            ))),
            _ => Ok(&self.name),
        }
    }
}

/// A time in the past: named, or by how long ago it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// This time.
    Time(Timestamp),
    /// This long before now.
    Ago(SignedDuration),
}

impl When {
    /// The time that is meant.
    pub(crate) fn time(self) -> Timestamp {
        match self {
            When::Time(time) => time,
            // One so long ago that no calendar has it is before everything.
            When::Ago(ago) => (Timestamp::now().checked_sub(ago)).unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(When::Time(time));
        }
        let days = text
            .strip_suffix('d')
            .and_then(|days| days.parse::<i64>().ok())
            .and_then(|days| days.checked_mul(24))
            .and_then(SignedDuration::try_from_hours);
        days.or_else(|| text.parse::<SignedDuration>().ok())
            .filter(|ago| !ago.is_negative())
            .map(When::Ago)
            .ok_or_else(|| {
                "expected a time with its zone (2026-11-25T14:00:00Z) or how long ago it was \
                 (90s, 30m, 2h, 7d)"
                    .to_owned()
            })
    }
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = match text.split_once('/') {
            None => (None, text),
            Some(("cluster" | "clusters" | "wcl", rest)) => (Some(Kind::Cluster), rest),
            Some(("clusterpolicy" | "clusterpolicies" | "policy" | "policies" | "wpol", rest)) => {
                (Some(Kind::ClusterPolicy), rest)
            }
            Some(("access", rest)) => (Some(Kind::AccessRule), rest),
            Some((kind, _)) => {
                return Err(format!(
                    "`{kind}` is neither cluster, clusterpolicy nor access"
                ));
            }
        };
        let (name, generation) = match rest.split_once('@') {
            None => (rest, 0),
            Some((name, generation)) => match generation.parse() {
                Ok(generation) if generation > 0 => (name, generation),
                _ => {
                    return Err(format!(
                        "`{generation}` is not a generation (a number from 1)"
                    ));
                }
            },
        };
        if name.is_empty() {
            return Err("the name is missing".to_owned());
        }
        Ok(Self {
            kind,
            name: name.to_owned(),
            generation,
        })
    }
}

pub(super) fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && !key.ends_with('!') => {
            Ok((key.to_owned(), value.trim_start_matches('=').to_owned()))
        }
        _ => Err("expected key=value; other forms of selectors are not supported".to_owned()),
    }
}

/// `30s`, `5m`, `1h30m`, `500ms`; plain numbers are refused, since nobody agrees on their unit.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    text.parse::<SignedDuration>()
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| {
            "expected a duration with its unit, for instance 30s, 5m or 1h30m".to_owned()
        })
}
