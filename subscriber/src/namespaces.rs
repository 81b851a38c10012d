//! The namespaces of the cluster, as a watch on all of them saw them last: which there are, and
//! their labels.
//!
//! A missing or unread answer is never "there is none": until the watch has listed them nothing is
//! known, and what would be taken away because a namespace does not match any more is looked up
//! first.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use writ_core::plan::NamespaceState;

/// A namespace as it was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// It is going away.
    pub terminating: bool,
}

impl Seen {
    /// Takes an API server's answer.
    pub(crate) fn read(namespace: &Value) -> Seen {
        let metadata = &namespace["metadata"];
        let labels = metadata["labels"].as_object();
        let labels = labels.into_iter().flatten();
        Seen {
            labels: labels
                .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
                .collect(),
            terminating: !metadata["deletionTimestamp"].is_null()
                || namespace["status"]["phase"] == "Terminating",
        }
    }

    /// Whether it takes objects.
    pub(crate) fn state(&self) -> NamespaceState {
        if self.terminating {
            NamespaceState::Terminating
        } else {
            NamespaceState::Active
        }
    }
}

/// All namespaces by name.
pub type All = BTreeMap<String, Seen>;

/// A namespace before and after; `None` where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) name: String,
    pub(crate) before: Option<Seen>,
    pub(crate) after: Option<Seen>,
}

/// What the watch saw; nothing before its first list.
#[derive(Debug, Default)]
pub(crate) struct Namespaces(Mutex<Option<All>>);

impl Namespaces {
    /// All of them, or `None` while they are not known.
    pub(crate) fn all(&self) -> Option<All> {
        self.lock().clone()
    }

    /// One of them, if they are known and it is among them.
    pub(crate) fn get(&self, name: &str) -> Option<Seen> {
        self.lock().as_ref()?.get(name).cloned()
    }

    /// The watch saw one. Says what changed; whoever calls this answers for that all it concerns hear
    /// of it.
    pub(crate) fn see(&self, name: &str, seen: Option<Seen>) -> Option<Turn> {
        let mut all = self.lock();
        let all = all.as_mut()?;
        let before = match &seen {
            Some(seen) => all.insert(name.to_owned(), seen.clone()),
            None => all.remove(name),
        };
        let turn = Turn {
            name: name.to_owned(),
            before,
            after: seen,
        };
        (turn.before != turn.after).then_some(turn)
    }

    /// The watch listed all of them. Says what changed since the last list.
    pub(crate) fn list(&self, listed: All) -> Vec<Turn> {
        let mut all = self.lock();
        let mut before = all.replace(listed.clone()).unwrap_or_default();
        let mut turns: Vec<Turn> = listed
            .into_iter()
            .map(|(name, seen)| Turn {
                before: before.remove(&name),
                name,
                after: Some(seen),
            })
            .filter(|turn| turn.before != turn.after)
            .collect();
        turns.extend(before.into_iter().map(|(name, seen)| Turn {
            name,
            before: Some(seen),
            after: None,
        }));
        turns
    }

    /// A panic while it was locked leaves it whole: each change is one call.
    fn lock(&self) -> MutexGuard<'_, Option<All>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(team: &str) -> Seen {
        Seen::read(&json!({"metadata": {"labels": {"team": team}}}))
    }

    #[test]
    fn nothing_is_known_before_the_first_list() {
        let namespaces = Namespaces::default();
        assert_eq!(namespaces.see("a", Some(seen("x"))), None);
        assert_eq!(namespaces.all(), None);
        let turns = namespaces.list(All::from([("a".to_owned(), seen("x"))]));
        assert_eq!(turns.len(), 1);
        assert_eq!(namespaces.get("a"), Some(seen("x")));
    }

    #[test]
    fn a_list_says_what_came_changed_and_went_and_a_repeat_says_nothing() {
        let namespaces = Namespaces::default();
        let first = All::from([("a".to_owned(), seen("x")), ("b".to_owned(), seen("x"))]);
        namespaces.list(first);
        let second = All::from([("a".to_owned(), seen("y")), ("c".to_owned(), seen("x"))]);
        let names: Vec<_> = namespaces
            .list(second.clone())
            .into_iter()
            .map(|turn| (turn.name, turn.before.is_some(), turn.after.is_some()))
            .collect();
        let expected = [("a", true, true), ("c", false, true), ("b", true, false)];
        assert_eq!(names, expected.map(|(name, b, a)| (name.to_owned(), b, a)));
        assert!(namespaces.list(second).is_empty());
        assert_eq!(namespaces.see("a", Some(seen("y"))), None);
        assert!(namespaces.see("a", None).is_some());
    }

    #[test]
    fn a_namespace_that_goes_away_says_so_in_metadata_or_phase() {
        let by_time = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}});
        let by_phase = json!({"metadata": {}, "status": {"phase": "Terminating"}});
        for namespace in [by_time, by_phase] {
            assert_eq!(Seen::read(&namespace).state(), NamespaceState::Terminating);
        }
        assert_eq!(seen("x").state(), NamespaceState::Active);
    }
}
