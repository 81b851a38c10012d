//! Rule 9: a publisher that hears of a state above its log's root accepts no edits until `recover`.
//!
//! What is heard counts only with a publisher's signature over it: a beat or an event, whoever hands
//! it on. A cluster's own claim stops nothing, so its key can't stop a fleet; and nothing that was
//! forged or replayed can, because a genuine old statement is below the root. A publisher that merely
//! lags asks the log's leader before it raises the alarm.

use std::fmt;

use crate::{hash::Hash, revision::Revision};

/// A statement of where the log was, signed by a publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The log had this.
    pub revision: Revision,
    /// With this root, where it was a beat.
    pub root: Option<Hash>,
    /// By whom it came, for people: `cluster eu-prod-1`, `publisher-2`.
    pub from: String,
}

/// The log is behind, or beside, what publishers signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    /// What was heard.
    pub heard: Heard,
    /// Where the log is.
    pub log: Revision,
    /// The log has that revision with another root: it was written on after it was restored.
    pub is_fork: bool,
}

impl fmt::Display for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ahead { heard, log, .. } = self;
        if self.is_fork {
            write!(
                f,
                "the log holds another edit at revision {} than the one that publishers signed and {} shows: it was restored and written on",
                heard.revision, heard.from
            )
        } else {
            write!(
                f,
                "the log ends at revision {log}, and {} shows a publisher's word for {}: it was lost or restored",
                heard.from, heard.revision
            )
        }
    }
}

/// What is to be done about something heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Nothing: the log has it.
    Nothing,
    /// Ask the log's leader for its root, and say so to [`Watch::on_leader`].
    Leader,
}

/// What one publisher knows about the end of its log.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    log: Revision,
    root: Option<Hash>,
    /// Above the log as it was followed so far; the leader has not been asked.
    suspected: Option<Heard>,
    ahead: Option<Ahead>,
}

impl Watch {
    /// Why no edit may be made, if so.
    pub fn ahead(&self) -> Option<&Ahead> {
        self.ahead.as_ref()
    }

    /// The log was followed to a root.
    pub fn on_root(&mut self, revision: Revision, root: Hash) {
        (self.log, self.root) = (revision, Some(root));
        let met = |heard: &Heard| match heard.root {
            Some(signed) => revision == heard.revision && root == signed,
            None => revision >= heard.revision,
        };
        let over = |heard: &Heard| revision.epoch > heard.revision.epoch || met(heard);
        if self.ahead.as_ref().is_some_and(|ahead| over(&ahead.heard)) {
            self.ahead = None;
        }
        if let Some(suspected) = self.suspected.take_if(|heard| heard.revision <= revision) {
            self.compare(suspected);
        }
    }

    /// The log is read from its beginning again: it is another one than before.
    pub fn on_restart(&mut self) {
        (self.log, self.root) = (Revision::ZERO, None);
    }

    /// A publisher's signed statement was heard.
    pub fn hear(&mut self, heard: Heard) -> Asked {
        if heard.revision <= self.log {
            self.compare(heard);
            return Asked::Nothing;
        }
        let is_known = |known: &Heard| known.revision >= heard.revision;
        if self
            .ahead
            .as_ref()
            .is_some_and(|ahead| is_known(&ahead.heard))
        {
            return Asked::Nothing;
        }
        if !self.suspected.as_ref().is_some_and(is_known) {
            self.suspected = Some(heard);
        }
        Asked::Leader
    }

    /// The log's leader said which root it holds; nothing: it holds none. Answers whether that is news.
    pub fn on_leader(&mut self, root: Option<(Revision, Hash)>) -> bool {
        let leader = root.map_or(Revision::ZERO, |(revision, _)| revision);
        let Some(heard) = self.suspected.take() else {
            return false;
        };
        if leader > heard.revision {
            return false;
        }
        let is_fork = leader == heard.revision;
        if is_fork && (heard.root.is_none() || heard.root == root.map(|(_, hash)| hash)) {
            return false;
        }
        self.ahead = Some(Ahead {
            heard,
            log: leader,
            is_fork,
        });
        true
    }

    /// The same revision with another root: two logs.
    fn compare(&mut self, heard: Heard) {
        let differs = heard.root.zip(self.root).is_some_and(|(a, b)| a != b);
        if heard.revision == self.log && differs && self.ahead.is_none() {
            self.ahead = Some(Ahead {
                heard,
                log: self.log,
                is_fork: true,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: u64) -> Revision {
        Revision { epoch: 1, number }
    }

    fn hash(text: &str) -> Hash {
        Hash::of(text.as_bytes())
    }

    fn beat(number: u64, root: &str) -> Heard {
        Heard {
            revision: at(number),
            root: Some(hash(root)),
            from: "cluster eu-prod-1".into(),
        }
    }

    fn watch(number: u64) -> Watch {
        let mut watch = Watch::default();
        watch.on_root(at(number), hash("held"));
        watch
    }

    #[test]
    fn a_publisher_that_lags_behind_its_own_log_raises_no_alarm() {
        let mut watch = watch(40);
        assert_eq!(watch.hear(beat(60, "a")), Asked::Leader);
        assert_eq!(watch.ahead(), None, "not before the leader was asked");
        assert!(!watch.on_leader(Some((at(60), hash("a")))));
        assert_eq!(watch.ahead(), None);
        assert_eq!(watch.hear(beat(60, "a")), Asked::Leader);
        assert!(!watch.on_leader(Some((at(61), hash("b")))));
        assert_eq!(watch.ahead(), None);
    }

    #[test]
    fn a_log_that_ends_before_what_a_publisher_signed_takes_no_edit_until_a_new_epoch() {
        let mut watch = watch(40);
        assert_eq!(watch.hear(beat(60, "a")), Asked::Leader);
        assert!(watch.on_leader(Some((at(40), hash("held")))));
        let said = watch.ahead().unwrap().to_string();
        assert!(
            said.contains("ends at revision 40") && said.contains("word for 60"),
            "{said}"
        );
        watch.on_root(at(61), hash("written by somebody else"));
        assert!(watch.ahead().is_some(), "it is another log that goes on");
        let opened = Revision {
            epoch: 2,
            number: 61,
        };
        watch.on_root(opened, hash("recovered"));
        assert_eq!(watch.ahead(), None);
        assert_eq!(
            watch.hear(beat(60, "a")),
            Asked::Nothing,
            "the old epoch is over"
        );
        assert_eq!(watch.ahead(), None);
    }

    #[test]
    fn a_log_that_is_gone_is_behind_too() {
        let mut watch = Watch::default();
        assert_eq!(watch.hear(beat(1, "a")), Asked::Leader);
        assert!(watch.on_leader(None));
        assert!(watch.ahead().is_some());
    }

    #[test]
    fn an_alarm_that_a_late_leader_caused_passes_when_the_log_gets_there() {
        let mut watch = watch(40);
        watch.hear(beat(60, "a"));
        assert!(watch.on_leader(Some((at(40), hash("held")))));
        watch.on_root(at(60), hash("a"));
        assert_eq!(watch.ahead(), None);
    }

    #[test]
    fn the_highest_of_what_is_suspected_is_what_the_leader_is_held_to() {
        let mut watch = watch(40);
        assert_eq!(watch.hear(beat(60, "a")), Asked::Leader);
        assert_eq!(watch.hear(beat(50, "b")), Asked::Leader);
        assert!(watch.on_leader(Some((at(55), hash("c")))));
        assert_eq!(watch.ahead().unwrap().heard.revision, at(60));
    }

    #[test]
    fn what_is_suspected_is_asked_about_until_the_log_is_there() {
        let mut watch = watch(40);
        watch.hear(beat(60, "a"));
        watch.on_root(at(50), hash("b"));
        assert!(watch.on_leader(Some((at(50), hash("b")))));
    }

    #[test]
    fn a_fork_below_does_not_take_the_place_of_the_alarm_above_it() {
        let mut watch = watch(40);
        watch.hear(beat(60, "a"));
        assert!(watch.on_leader(Some((at(40), hash("held")))));
        watch.hear(beat(40, "other"));
        assert_eq!(watch.ahead().unwrap().heard.revision, at(60));
    }

    #[test]
    fn an_event_is_met_by_any_root_at_or_above_it() {
        let event = Heard {
            root: None,
            ..beat(60, "a")
        };
        let mut late = watch(40);
        late.hear(event.clone());
        assert!(!late.on_leader(Some((at(60), hash("a")))), "no fork");
        late.hear(event);
        assert!(late.on_leader(Some((at(40), hash("held")))));
        late.on_root(at(60), hash("a"));
        assert_eq!(late.ahead(), None);
    }

    #[test]
    fn a_log_that_is_read_from_its_beginning_vouches_for_nothing_yet() {
        let mut watch = watch(40);
        watch.on_restart();
        assert_eq!(watch.hear(beat(39, "a")), Asked::Leader);
    }

    #[test]
    fn one_revision_with_two_roots_is_a_fork_whenever_it_is_noticed() {
        let mut known = watch(40);
        assert_eq!(known.hear(beat(40, "held")), Asked::Nothing);
        assert_eq!(known.ahead(), None, "the same root is no alarm");
        known.hear(beat(40, "other"));
        assert!(known.ahead().unwrap().is_fork);

        let mut by_leader = watch(39);
        by_leader.hear(beat(40, "other"));
        assert!(by_leader.on_leader(Some((at(40), hash("held")))));
        assert!(by_leader.ahead().unwrap().is_fork);

        let mut later = watch(39);
        later.hear(beat(40, "other"));
        later.on_root(at(40), hash("held"));
        assert!(later.ahead().unwrap().is_fork);
    }

    #[test]
    fn what_is_replayed_is_below_and_stops_nothing() {
        let mut watch = watch(40);
        assert_eq!(watch.hear(beat(39, "a")), Asked::Nothing);
        assert_eq!(watch.ahead(), None);
    }
}
