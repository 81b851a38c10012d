//! Reads that an open page repeats, as one record with their number.
//!
//! Promises that the first of them is recorded like any call, and that of the others none is left out of the number.
//! What is denied, fails, changes anything, or names another thing is never folded.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::Record;

/// What is folded within this time: a page that stays open makes six lines an hour and not some thousand.
const FOLD_PERIOD: Duration = Duration::from_secs(600);

/// What is folded at once; beyond that each call has its line.
const FOLDS_MAX: usize = 4_096;

/// Calls that only read, and that a page asks again and again. A stream is one call however long it lives.
const FOLDED: [&str; 6] = [
    "/writ.v1.AckService/GetStatus",
    "/writ.v1.PolicyService/List",
    "/writ.v1.HistoryService/ListEdits",
    "/writ.v1.HistoryService/GetEdit",
    "/writ.v1.HistoryService/Render",
    "/writ.v1.IdentityService/WhoAmI",
];

/// Who asked what about which thing, from which address.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    call: String,
    inlet: Option<String>,
    user: Option<String>,
    peer: Option<std::net::IpAddr>,
    name: Option<String>,
    generation: Option<u64>,
}

/// The first of them was at `since`, and `count` came after it.
struct Held {
    since: Instant,
    count: u64,
    last: Record,
}

impl Held {
    fn record(self) -> Option<Record> {
        let count = self.count;
        (count > 0).then_some(Record { count, ..self.last })
    }
}

/// What is being folded.
#[derive(Default)]
pub(super) struct Fold(Mutex<HashMap<Key, Held>>);

impl Fold {
    /// Takes a record, and gives back what is to be stored now.
    pub(super) fn take(&self, record: Record, now: Instant) -> Option<Record> {
        let is_folded = record.via.is_some()
            && record.outcome == "ok"
            && FOLDED.contains(&record.call.as_str());
        if !is_folded {
            return Some(record);
        }
        let key = Key {
            call: record.call.clone(),
            inlet: record.inlet.clone(),
            user: record.user.clone(),
            peer: record.peer.map(|peer| peer.ip()),
            name: record.name.clone(),
            generation: record.generation,
        };
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.get_mut(&key) {
            held.count += 1;
            held.last = record;
            return None;
        }
        if held.len() < FOLDS_MAX {
            let first = Held {
                since: now,
                count: 0,
                last: record.clone(),
            };
            held.insert(key, first);
        }
        Some(record)
    }

    /// What has been folded for its time; or all of it, at the end.
    pub(super) fn due(&self, now: Instant, is_last: bool) -> Vec<Record> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = |held: &Held| is_last || now.duration_since(held.since) >= FOLD_PERIOD;
        let due = held.extract_if(|_, held| is_due(held));
        due.filter_map(|(_, held)| held.record()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str) -> Record {
        Record {
            call: FOLDED[0].to_owned(),
            user: Some("alice".to_owned()),
            via: Some("dashboard"),
            outcome: "ok",
            name: Some(name.to_owned()),
            ..Record::default()
        }
    }

    #[test]
    fn what_a_page_repeats_is_one_line_and_then_its_number() {
        let (fold, now) = (Fold::default(), Instant::now());
        assert!(fold.take(read("a"), now).is_some());
        for _ in 0..9 {
            assert!(fold.take(read("a"), now).is_none());
        }
        assert!(fold.take(read("b"), now).is_some());
        assert!(fold.due(now, false).is_empty());
        let due = fold.due(now + FOLD_PERIOD, false);
        let due: Vec<_> = due
            .iter()
            .map(|one| (one.name.as_deref(), one.count))
            .collect();
        assert_eq!(due, [(Some("a"), 9)]);
        // The next one is a first one again.
        assert!(fold.take(read("a"), now).is_some());
        fold.take(read("a"), now);
        assert_eq!(fold.due(now, true).len(), 1);
    }

    #[test]
    fn nothing_else_is_folded() {
        let (fold, now) = (Fold::default(), Instant::now());
        let changed = |change: &dyn Fn(&mut Record)| {
            let mut record = read("a");
            change(&mut record);
            record
        };
        let others = [
            changed(&|record| record.via = None),
            changed(&|record| record.outcome = "permission_denied"),
            changed(&|record| record.call = "/writ.v1.PolicyService/Apply".to_owned()),
            changed(&|record| record.call = "/writ.v1.AckService/WatchFleet".to_owned()),
        ];
        for record in others {
            for _ in 0..2 {
                assert!(fold.take(record.clone(), now).is_some(), "{record:?}");
            }
        }
        for user in ["bob", "carol"] {
            let other = changed(&|record| record.user = Some(user.to_owned()));
            assert!(fold.take(other, now).is_some());
        }
    }

    #[test]
    fn names_without_number_take_no_memory_without_end() {
        let (fold, now) = (Fold::default(), Instant::now());
        for number in 0..2 * FOLDS_MAX {
            assert!(fold.take(read(&number.to_string()), now).is_some());
        }
        assert_eq!(fold.0.lock().unwrap().len(), FOLDS_MAX);
    }
}
