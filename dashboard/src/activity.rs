//! What happened lately, as the API tells it, kept short: what a whole fleet does at once is one entry.

use std::collections::VecDeque;

use writ_proto::v1::{self, HappeningKind as Kind};

use crate::when;

/// Entries that are kept.
const ENTRIES_MAX: usize = 200;

/// Happenings of one sort that are told one by one, of those that come together.
const ALIKE_MAX: usize = 12;

/// How close together that is.
const TOGETHER_MS: i64 = 5_000;

/// One happening, or many of its sort.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// Which it is, of all that ever were here.
    pub(crate) number: u64,
    /// When the last of them was.
    pub(crate) at_ms: i64,
    /// It, or the first of them.
    pub(crate) what: v1::Happening,
    pub(crate) count: u64,
}

/// The entries, newest first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Activity {
    pub(crate) entries: VecDeque<Entry>,
    /// The stream's first answer was taken.
    pub(crate) is_read: bool,
    newest: u64,
}

impl Activity {
    pub(crate) fn take(&mut self, told: v1::HappeningsResponse) {
        self.is_read = true;
        for what in told.happenings {
            // Every edit is received before it is applied: of both, the one that matters.
            if what.kind() != Kind::Received {
                self.put(what);
            }
        }
    }

    /// After a cut everything is told again.
    pub(crate) fn begin_anew(&mut self) {
        self.entries.clear();
    }

    fn put(&mut self, what: v1::Happening) {
        let at_ms = what.at.as_ref().map_or(0, when::ms);
        let is_near = |entry: &Entry| (at_ms - entry.at_ms).abs() <= TOGETHER_MS;
        let is_alike = |entry: &Entry| is_near(entry) && is_one_sort(&entry.what, &what);
        let alike = self.entries.iter().filter(|entry| is_alike(entry)).count();
        let many = self
            .entries
            .iter_mut()
            .find(|entry| entry.count > 1 && is_alike(entry));
        if let Some(many) = many {
            (many.count, many.at_ms) = (many.count + 1, at_ms);
            return;
        }
        let mut count = 1;
        if alike >= ALIKE_MAX {
            self.entries.retain(|entry| !is_alike(entry));
            count += alike as u64;
        }
        self.newest += 1;
        self.entries.push_front(Entry {
            number: self.newest,
            at_ms,
            what,
            count,
        });
        self.entries.truncate(ENTRIES_MAX);
    }
}

/// Whether two differ by their cluster alone. What nobody would miss one by one only: each edit is its own.
fn is_one_sort(one: &v1::Happening, other: &v1::Happening) -> bool {
    !matches!(
        one.kind(),
        Kind::Edited | Kind::Deleted | Kind::Drifted | Kind::Repaired
    ) && one.kind == other.kind
        && (&one.policy, one.generation, &one.reason)
            == (&other.policy, other.generation, &other.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happening(kind: Kind, cluster: &str, at_s: i64) -> v1::Happening {
        v1::Happening {
            kind: kind.into(),
            cluster: cluster.to_owned(),
            policy: "payments".to_owned(),
            generation: 3,
            at: Some(prost_types::Timestamp {
                seconds: at_s,
                nanos: 0,
            }),
            ..Default::default()
        }
    }

    fn counts(happenings: impl Iterator<Item = v1::Happening>) -> Vec<u64> {
        let mut activity = Activity::default();
        activity.take(v1::HappeningsResponse {
            happenings: happenings.collect(),
            ..Default::default()
        });
        activity.entries.iter().map(|entry| entry.count).collect()
    }

    #[test]
    fn a_whole_fleet_that_answers_is_one_entry_and_a_few_are_told_one_by_one() {
        let applied = |n: i64| happening(Kind::Applied, &format!("c{n}"), n / 20);
        assert_eq!(counts((0..40).map(applied)), [40]);
        assert_eq!(counts((0..12).map(applied)).len(), 12);
        // What is far apart is not one thing.
        let rare = |n: i64| happening(Kind::Applied, &format!("c{n}"), n * 10);
        assert_eq!(counts((0..40).map(rare)).len(), 40);
    }

    #[test]
    fn an_entry_keeps_its_number_and_no_two_have_one() {
        let numbers = |activity: &Activity| -> Vec<u64> {
            activity.entries.iter().map(|entry| entry.number).collect()
        };
        let mut activity = Activity::default();
        let applied = |n: i64| happening(Kind::Applied, &format!("c{n}"), n / 20);
        (0..20).for_each(|n| activity.put(applied(n)));
        let many = numbers(&activity);
        assert_eq!(many.len(), 1);
        (20..40).for_each(|n| activity.put(applied(n)));
        assert_eq!(numbers(&activity), many);
        activity.begin_anew();
        (0..3).for_each(|n| activity.put(applied(n)));
        let anew = numbers(&activity);
        assert!(anew.windows(2).all(|two| two[0] > two[1]), "{anew:?}");
        assert!(anew.iter().all(|number| *number > many[0]), "{anew:?}");
    }

    #[test]
    fn what_is_received_is_left_out_and_what_others_changed_is_told_each_time() {
        assert!(counts((0..3).map(|n| happening(Kind::Received, "a", n))).is_empty());
        assert_eq!(
            counts((0..20).map(|_| happening(Kind::Drifted, "a", 1))).len(),
            20
        );
    }
}
