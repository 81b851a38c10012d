//! The lines of the fleet: one for each cluster, made once for all who follow them.
//!
//! Each change of a line has a place, and a reader remembers the last that it was told: what it has to be told is
//! whatever stands at a later place, in its last form alone. Never forgets a name: one that left is told as gone.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use writ_core::name::ClusterName;
use writ_proto::v1;

/// A line, or nothing where the cluster left.
pub(crate) type Line = Option<Arc<v1::FleetLine>>;

/// How far a reader was told; everything from the beginning at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Place(u64);

/// The lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    newest: Place,
    held: BTreeMap<ClusterName, (Place, Line)>,
    /// The last change of each line, oldest first.
    order: BTreeMap<Place, ClusterName>,
}

impl Lines {
    /// Takes the line of a cluster as it is now.
    pub(crate) fn put(&mut self, name: ClusterName, line: Option<v1::FleetLine>) {
        let held = self.held.get(&name);
        let is_known = match held {
            None => line.is_none(),
            Some((_, held)) => held.as_deref() == line.as_ref(),
        };
        if is_known {
            return;
        }
        if let Some((place, _)) = held {
            self.order.remove(place);
        }
        self.newest.0 += 1;
        self.order.insert(self.newest, name.clone());
        self.held.insert(name, (self.newest, line.map(Arc::new)));
    }

    /// What changed after a place, by name, and the place up to which that is.
    pub(crate) fn since(&self, place: Place) -> (Place, BTreeMap<ClusterName, Line>) {
        let later = self.order.range((Bound::Excluded(place), Bound::Unbounded));
        let changed = later.filter_map(|(_, name)| {
            let (_, line) = self.held.get(name)?;
            Some((name.clone(), line.clone()))
        });
        (self.newest, changed.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, applied: u32) -> (ClusterName, Option<v1::FleetLine>) {
        let line = v1::FleetLine {
            cluster: name.into(),
            said_applied: applied,
            ..Default::default()
        };
        (ClusterName::parse(name).unwrap(), Some(line))
    }

    /// Names with what they say; nothing of who left.
    fn told(changed: &BTreeMap<ClusterName, Line>) -> Vec<(&str, Option<u32>)> {
        let each = changed.iter();
        each.map(|(name, line)| (name.as_str(), line.as_ref().map(|line| line.said_applied)))
            .collect()
    }

    #[test]
    fn readers_at_any_pace_are_told_the_last_of_what_changed_and_nothing_else() {
        let mut lines = Lines::default();
        let put = |lines: &mut Lines, (name, line)| lines.put(name, line);
        for name in ["a", "b", "c"] {
            put(&mut lines, line(name, 0));
        }
        let (fast, all) = lines.since(Place::default());
        assert_eq!(told(&all), [("a", Some(0)), ("b", Some(0)), ("c", Some(0))]);
        let slow = fast;

        put(&mut lines, line("b", 1));
        put(&mut lines, line("a", 0));
        let (fast, changed) = lines.since(fast);
        assert_eq!(told(&changed), [("b", Some(1))]);
        assert!(lines.since(fast).1.is_empty());

        put(&mut lines, line("b", 2));
        put(&mut lines, (ClusterName::parse("c").unwrap(), None));
        put(&mut lines, (ClusterName::parse("never").unwrap(), None));
        assert_eq!(told(&lines.since(fast).1), [("b", Some(2)), ("c", None)]);
        assert_eq!(told(&lines.since(slow).1), [("b", Some(2)), ("c", None)]);
        put(&mut lines, line("c", 7));
        assert_eq!(told(&lines.since(slow).1), [("b", Some(2)), ("c", Some(7))]);
    }
}
