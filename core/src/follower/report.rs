//! What the cluster can truthfully say of itself: the content of acks and pulses.

use std::collections::BTreeMap;

use super::{Follower, Key, Word};
use crate::{
    ack::{Counts, Exception, Failure, State},
    revision::Revision,
    root::FeedState,
    scope::{Feed, Kind},
};

/// Where a name stands on this cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Applied only where the API server confirmed everything.
    pub state: State,
    /// Machine-readable; empty when applied.
    pub reason: String,
    /// For people; empty when applied.
    pub message: String,
    /// Objects that are not as wanted.
    pub failures: Vec<Failure>,
}

impl Standing {
    /// Everything is confirmed.
    pub fn applied() -> Standing {
        let (reason, message, failures) = (String::new(), String::new(), Vec::new());
        Standing {
            state: State::Applied,
            reason,
            message,
            failures,
        }
    }

    /// It will not be applied as it is.
    pub fn refused(reason: String, message: String) -> Standing {
        Standing {
            state: State::Refused,
            reason,
            message,
            failures: Vec::new(),
        }
    }
}

/// What is held and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// The root that all feeds were last equal to.
    pub revision: Revision,
    /// What is held of each feed.
    pub feeds: BTreeMap<Feed, FeedState>,
    /// Policies by state.
    pub counts: Counts,
    /// Everything that is not applied, sorted by kind and name.
    pub exceptions: Vec<Exception>,
}

impl Follower {
    /// The summary of now.
    pub fn summary(&self) -> Summary {
        let held = |(feed, held): (&Feed, &super::held::Held)| {
            let state = held.newest()?;
            let state = FeedState {
                revision: state.revision,
                digest: state.digest,
            };
            Some((feed.clone(), state))
        };
        let mut summary = Summary {
            revision: self.cut.as_ref().map_or(Revision::ZERO, |cut| cut.revision),
            feeds: self.held.iter().filter_map(held).collect(),
            ..Summary::default()
        };
        for (key, word) in &self.words {
            let Some(standing) = self.standing(key) else {
                continue;
            };
            if key.0 == Kind::Policy {
                match standing.state {
                    State::Applied => summary.counts.applied += 1,
                    State::Received => summary.counts.pending += 1,
                    State::Refused => summary.counts.refused += 1,
                }
            }
            if standing.state != State::Applied {
                summary.exceptions.push(exception(key, word, standing));
            }
        }
        summary
    }

    /// Where a name stands; nothing where it is not for this cluster and nothing of ours is left.
    pub fn standing(&self, key: &Key) -> Option<Standing> {
        self.words.get(key)?;
        if let Some(refused) = self.refused_standing(key) {
            return Some(refused);
        }
        if self.is_back(key) {
            if !self.may_aim_at(key) {
                return None;
            }
            let message = "the log was recovered from before it was removed here: it stays away until it is changed, or deleted and applied again";
            return Some(pending("NotRecovered", message));
        }
        if self.is_unaccounted(key) {
            let message = "the recovered log does not say what became of it: what is here stays until it is applied or deleted anew";
            return Some(pending("NotRecovered", message));
        }
        let Some(past) = self.past.get(key) else {
            // Known, meant for this cluster for all that is known, and not confirmed.
            let waits = self.is_meant(key) || self.under_way.contains(key);
            return waits.then(|| pending("Waiting", "not applied yet"));
        };
        let current = self.is_as_wanted(key, past);
        let standing = self.standings.get(key);
        let is_good = past.done || standing.is_some_and(|it| it.state == State::Applied);
        match standing {
            // Whoever is told how far that feed is held would take it for gone, and a cut may still keep it.
            _ if !past.removed && self.is_unlisted_in_its_feed(key) => {
                Some(pending("Waiting", "its feed does not list it any more"))
            }
            _ if !current => Some(pending("Waiting", "a newer generation is not applied yet")),
            Some(standing) if standing.state == State::Refused => Some(standing.clone()),
            // An attempt at what was wanted before may have written or deleted something already.
            _ if is_good && self.under_way.contains(key) => {
                Some(pending("Waiting", "an attempt is under way"))
            }
            _ if past.done && past.removed => None,
            _ if past.done => Some(Standing::applied()),
            // A repair that ended while another attempt was under way, so that its word is not the last one.
            _ if is_good => Some(pending("Waiting", "not confirmed yet")),
            Some(standing) => Some(standing.clone()),
            None => Some(pending("Waiting", "not confirmed since the start")),
        }
    }

    /// Whether the feed by which a name's content came is held as a later edit left it.
    fn is_unlisted_in_its_feed(&self, key: &Key) -> bool {
        let word = &self.words[key];
        let held = self.held.get(&word.feed).and_then(|held| held.newest());
        word.content.is_some()
            && held.is_some_and(|state| {
                let listed = state.entries.get(&key.1);
                state.revision >= word.revision
                    && listed.is_none_or(|entry| entry.revision != word.revision)
            })
    }

    /// Whether a recovered log says a name again of which nothing is here any more.
    fn is_back(&self, key: &Key) -> bool {
        let word = &self.words[key];
        self.past.get(key).is_none_or(|past| past.removed)
            && (self.is_bygone(key, word) || self.is_outdone(key, word))
    }

    fn is_meant(&self, key: &Key) -> bool {
        let word = &self.words[key];
        let listed = self
            .cut
            .as_ref()
            .is_none_or(|cut| word.revision > cut.revision || cut.holds(key));
        word.content.is_some() && listed && self.may_select(key)
    }
}

fn pending(reason: &str, message: &str) -> Standing {
    Standing {
        state: State::Received,
        reason: reason.to_owned(),
        message: message.to_owned(),
        failures: Vec::new(),
    }
}

fn exception(key: &Key, word: &Word, standing: Standing) -> Exception {
    Exception {
        kind: key.0,
        name: key.1.clone(),
        generation: word.generation,
        revision: word.revision,
        state: standing.state,
        reason: standing.reason,
        message: standing.message,
    }
}
