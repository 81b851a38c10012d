//! What was in force earlier: from a moment to a place in the log, and from there to each name's intent.
//!
//! A moment is a time or a revision; a place is one kept intent, and what was in force there is a state
//! that the log really had: its edits up to that one. Times are the signed ones of the edits, which no
//! server can change and which survive a restored log; [`crate::place`] sees to it that they do not go
//! backwards along the log.
//! Where a log was lost or restored, nobody knows what it said between the last edit that is left and the
//! first of the next epoch, of any name.
//! Promises: what is said to be absent was never made before the place; where the first kept edit of a
//! name is a later one than its first, and younger than the place, it is unknown. Nothing is believed
//! that does not verify.
//! Never: holds more than one chunk of names.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use writ_bus::{
    Client, connection,
    past::{self, SUBJECTS_MAX},
    read,
    streams::Stream,
};
use writ_core::{
    edit::Intent,
    edit::Kind,
    epoch::FIRST,
    name::Name,
    revision::{Generation, Revision},
    subject::BusSubject,
};
use writ_proto::log;

use crate::{alarm::Alarms, trust::Trusted, view::View};

/// Names that one chunk asks the log for.
pub(crate) const CHUNK_NAMES_MAX: usize = SUBJECTS_MAX;

/// When.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Milliseconds since the Unix epoch.
    Time(u64),
    Revision(Revision),
}

impl Moment {
    /// Whether an edit was made by then.
    fn includes(self, revision: Revision, committed_ms: u64) -> bool {
        match self {
            Moment::Time(time) => committed_ms <= time,
            Moment::Revision(last) => revision <= last,
        }
    }

    /// Whether it names a place itself. A time does not: more may have been done in its millisecond.
    fn is_at(self, place: Option<&Place>) -> bool {
        match self {
            Moment::Time(_) => false,
            Moment::Revision(revision) => place.is_some_and(|place| place.revision == revision),
        }
    }
}

/// The last kept edit at or before a moment.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) revision: Revision,
    pub(crate) committed_ms: u64,
    /// Where it is stored; nothing where it is the newest edit of the view, so that the view has
    /// everything.
    stored: Option<past::Place>,
}

/// Where a moment is in the log.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    /// At a place; nothing: before all edits.
    At(Option<Place>),
    /// After the last that is left of one epoch, and before the next epoch: what was there was lost.
    Lost {
        /// The last edit that is left of before, if any is.
        before: Option<Place>,
        /// The first of the next epoch.
        after: Place,
    },
}

/// A name at a place.
#[derive(Debug, Clone)]
pub(crate) enum Then {
    /// Its last edit then: in force, or a deletion.
    Edit(Arc<Intent>),
    /// It was not there yet.
    NotYet,
    /// Nobody can say.
    Unknown(Unknown),
}

/// Why it is unknown.
#[derive(Debug, Clone)]
pub(crate) struct Unknown {
    /// The first kept edit; 0 where none can be read.
    pub(crate) oldest: Generation,
    pub(crate) oldest_ms: u64,
    pub(crate) message: String,
}

/// The kept intents.
#[derive(Clone)]
pub(crate) struct Past {
    client: Client,
    trusted: Trusted,
    alarms: Alarms,
}

impl Past {
    pub(crate) fn new(client: Client, trusted: Trusted, alarms: Alarms) -> Past {
        Past {
            client,
            trusted,
            alarms,
        }
    }

    /// Finds the place of a moment in the log as a view has seen it. Some thirty small reads of the leader.
    pub(crate) async fn find(
        &self,
        moment: Moment,
        view: &View,
    ) -> Result<Found, connection::Error> {
        if moment.includes(view.revision(), view.newest_ms) && view.revision() > Revision::ZERO {
            return Ok(Found::At(Some(Place {
                revision: view.revision(),
                committed_ms: view.newest_ms,
                stored: None,
            })));
        }
        let end = view.root_sequence + 1;
        let mut found = None;
        // Intents at or below `low` are included, those at or above `high` are not, or are not there.
        let (mut low, mut high) = (0, end);
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            match self.next_intent(middle - 1, high).await? {
                Some((place, sequence)) if moment.includes(place.revision, place.committed_ms) => {
                    low = sequence;
                    found = Some(place);
                }
                Some(_) | None => high = middle,
            }
        }
        let epoch = found.as_ref().map_or(FIRST, |place| place.revision.epoch);
        Ok(match self.next_intent(low, end).await? {
            // The very edit that was asked for is one that is left.
            Some((next, _)) if next.revision.epoch > epoch && !moment.is_at(found.as_ref()) => {
                Found::Lost {
                    before: found,
                    after: next,
                }
            }
            Some(_) | None => Found::At(found),
        })
    }

    /// The next intent that verifies, after one sequence and before another.
    async fn next_intent(
        &self,
        mut after: u64,
        before: u64,
    ) -> Result<Option<(Place, u64)>, connection::Error> {
        loop {
            let next = past::next_intent(&self.client, after).await?;
            let Some(stored) = next.filter(|stored| stored.sequence < before) else {
                return Ok(None);
            };
            after = stored.sequence;
            let Some(intent) = self.open(&stored) else {
                continue;
            };
            let place = Place {
                revision: intent.revision,
                committed_ms: intent.committed_ms,
                stored: Some(past::Place {
                    sequence: stored.sequence,
                    subject: stored.subject,
                }),
            };
            return Ok(Some((place, after)));
        }
    }

    fn open(&self, stored: &read::Stored) -> Option<Intent> {
        match log::open::<Intent>(&stored.subject, &stored.bytes, &self.trusted.keyring()) {
            Ok(opened) => Some(opened.value),
            // After a revocation that is how it has to be.
            Err(_) if self.is_of_revoked(stored) => None,
            Err(error) => {
                self.alarms.raise(&stored.subject, error.category(), &error);
                None
            }
        }
    }

    /// Whether an edit is signed by a key that was revoked since: a publisher made it, or whoever had stolen
    /// the key.
    fn is_of_revoked(&self, stored: &read::Stored) -> bool {
        let held = self.trusted.held();
        let all = held.trust.bundle.keyring_with_revoked();
        let is_signed = log::open::<Intent>(&stored.subject, &stored.bytes, &all).is_ok();
        let is_believed =
            log::open::<Intent>(&stored.subject, &stored.bytes, &self.trusted.keyring()).is_ok();
        is_signed && !is_believed
    }

    /// What some names were at a place; at most [`CHUNK_NAMES_MAX`] of them, which the view has.
    pub(crate) async fn look(
        &self,
        kind: Kind,
        names: &[Name],
        place: Option<&Place>,
        view: &View,
    ) -> Result<BTreeMap<Name, Then>, connection::Error> {
        let mut then = BTreeMap::new();
        let mut changed = Vec::new();
        for name in names.iter().take(CHUNK_NAMES_MAX) {
            match (view.intent(kind, name), place) {
                (None, _) => drop(then.insert(name.clone(), Then::NotYet)),
                (Some(intent), Some(place)) if intent.revision <= place.revision => {
                    then.insert(name.clone(), Then::Edit(intent.clone()));
                }
                (Some(_), _) => changed.push(name.clone()),
            }
        }
        for (name, intent) in self.newest(kind, &changed, place).await? {
            then.insert(name, Then::Edit(Arc::new(intent)));
        }
        for name in changed {
            if let Entry::Vacant(vacant) = then.entry(name) {
                let answer = self.before_kept(kind, vacant.key(), place, view).await?;
                vacant.insert(answer);
            }
        }
        Ok(then)
    }

    /// The newest intents of names that changed after the place.
    async fn newest(
        &self,
        kind: Kind,
        names: &[Name],
        place: Option<&Place>,
    ) -> Result<BTreeMap<Name, Intent>, connection::Error> {
        let mut found = BTreeMap::new();
        let Some(place) = place.and_then(|place| place.stored.as_ref()) else {
            return Ok(found);
        };
        if names.is_empty() {
            return Ok(found);
        }
        let subjects: Vec<BusSubject> = names.iter().map(|name| subject(kind, name)).collect();
        past::newest_up_to(&self.client, &subjects, place, |stored| {
            if let Some(intent) = self.open(&stored) {
                found.insert(intent.name.clone(), intent);
            }
        })
        .await?;
        Ok(found)
    }

    /// A name of which nothing is kept at or before the place: not there yet, or unknown.
    async fn before_kept(
        &self,
        kind: Kind,
        name: &Name,
        place: Option<&Place>,
        view: &View,
    ) -> Result<Then, connection::Error> {
        let first = Generation::default().next();
        // A log that was rebuilt holds nothing of the epochs before, not even of names at their first
        // generation.
        let epoch = place.map_or(FIRST, |place| place.revision.epoch);
        let is_first =
            |intent: &Intent| intent.generation == first && intent.revision.epoch == epoch;
        if view.intent(kind, name).is_some_and(|i| is_first(i)) {
            return Ok(Then::NotYet);
        }
        let subject = subject(kind, name);
        let oldest = read::next_by_subject(&self.client, Stream::Log, &subject, 0).await?;
        let oldest = oldest.and_then(|stored| self.open(&stored));
        Ok(match oldest {
            Some(intent) if is_first(&intent) => Then::NotYet,
            Some(intent) => Then::Unknown(Unknown {
                oldest: intent.generation,
                oldest_ms: intent.committed_ms,
                message: format!(
                    "the kept history of {name} begins at generation {}, later than that",
                    intent.generation
                ),
            }),
            None => Then::Unknown(Unknown {
                oldest: Generation::default(),
                oldest_ms: 0,
                message: format!("the first kept edit of {name} can't be believed"),
            }),
        })
    }

    /// The kept edits of a name, oldest first, as the leader has them; `take` says whether to go on. How
    /// many were passed over whose key was revoked since.
    pub(crate) async fn edits(
        &self,
        kind: Kind,
        name: &Name,
        mut take: impl FnMut(Intent) -> bool,
    ) -> Result<u64, connection::Error> {
        let subject = subject(kind, name);
        let (mut after, mut revoked) = (0, 0);
        loop {
            let next = read::next_by_subject(&self.client, Stream::Log, &subject, after).await?;
            let Some(stored) = next else {
                return Ok(revoked);
            };
            after = stored.sequence;
            match self.open(&stored) {
                Some(intent) => {
                    if !take(intent) {
                        return Ok(revoked);
                    }
                }
                None => revoked += u64::from(self.is_of_revoked(&stored)),
            }
        }
    }
}

fn subject(kind: Kind, name: &Name) -> BusSubject {
    BusSubject::Intent {
        kind,
        name: name.clone(),
    }
}
