//! Rule 9 in a cluster: a new epoch is gone to only under the offline key's opening, and what the
//! recovered log says nothing of stays.

use super::{Follower, Ignored, Key, Read, Word};
use crate::{epoch::Opening, name::Name, revision::Revision, root::Root, scope::Kind};

/// How often the root is read for one word of an epoch that is not open. Whoever answers may lag, a mirror
/// behind a link for long, so that it is asked until the hub has been asked, too; a publisher's key alone
/// can't have it asked for ever.
const ROOTS_ASKED_MAX: u32 = 6;

impl Follower {
    /// Takes an opening that was found in a root and is signed by the offline key. Of one epoch the
    /// first counts.
    pub fn on_opening(&mut self, opening: &Opening) {
        let epoch = opening.revision.epoch;
        if epoch < self.epoch || epoch == self.epoch && self.opening.is_some() {
            return;
        }
        if epoch > self.epoch {
            // What was being read is of the epoch that is over.
            self.open.clear();
            self.unanswered.clear();
            self.epoch = epoch;
        }
        self.look_back(opening);
        self.opening = Some(opening.clone());
    }

    /// The highest epoch that is believed.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Memory of an earlier run speaks of epochs that were believed then.
    pub(super) fn raise_epoch(&mut self, epoch: u64) {
        if epoch > self.epoch {
            self.epoch = epoch;
            self.opening = None;
        }
    }

    /// Only what is of the epoch believed counts: what is below is over, for what is above the offline
    /// key's word is missing.
    pub(super) fn check_epoch(&self, revision: Revision) -> Result<(), Ignored> {
        match revision.epoch.cmp(&self.epoch) {
            std::cmp::Ordering::Less => Err(Ignored::Older),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(Ignored::Unopened),
        }
    }

    /// Whether an answer is of the epoch believed. One of a higher epoch makes the root be read.
    pub(super) fn is_open(&mut self, revision: Revision) -> bool {
        let checked = self.check_epoch(revision);
        if checked == Err(Ignored::Unopened) {
            self.hear_epoch(revision.epoch);
        }
        checked.is_ok()
    }

    pub(super) fn hear_epoch(&mut self, epoch: u64) {
        self.epoch_heard = Some((epoch, ROOTS_ASKED_MAX));
    }

    /// A root was read. One of an older epoch than was heard of may come from a mirror that lags.
    pub(super) fn answer_epoch(&mut self, root: &Root) {
        self.epoch_heard = self.epoch_heard.and_then(|(epoch, left)| {
            let is_asked_again = root.revision.epoch < epoch && left > 1;
            is_asked_again.then_some((epoch, left - 1))
        });
    }

    /// Whether a root is of the epoch believed, and not before or beside its beginning.
    pub(super) fn admits(&self, root: &Root) -> bool {
        self.check_epoch(root.revision).is_ok()
            && self
                .opening
                .as_ref()
                .is_none_or(|opening| opening.admits(root))
    }

    /// Whether the recovered log does not speak of what is here: a log can be recovered without some of
    /// what was in it. That is data that is missing; it removes nothing and takes nothing back.
    pub(super) fn is_unaccounted(&self, key: &Key) -> bool {
        self.words.get(key).is_some_and(|word| {
            self.is_unlisted(key, word) || self.is_outdone(key, word) || self.is_bygone(key, word)
        })
    }

    /// Whether a word is of the epoch's first root, as far as is known: the recovered log says again what
    /// was edited before.
    pub(super) fn is_recovered(&self, revision: Revision) -> bool {
        let opening = self.opening.as_ref();
        opening.is_none_or(|opening| revision <= opening.revision)
    }

    /// A name was listed, and a later edit took it away.
    pub(super) fn is_listed_no_more(&self, key: &Key, word: &Word) -> bool {
        let cut = self.cut.as_ref();
        word.content.is_some()
            && cut.is_some_and(|cut| cut.revision >= word.revision && !cut.holds(key))
    }

    /// A name is here from an earlier epoch, and the cut of the new one neither lists it nor did anybody
    /// say that it is gone.
    pub(super) fn is_unlisted(&self, key: &Key, word: &Word) -> bool {
        let Some(cut) = &self.cut else { return false };
        let is_here = match self.past.get(key) {
            Some(past) => !past.removed,
            // An observer keeps nothing but its own entry.
            None => *key == (Kind::Cluster, Name::from(&self.identity.name)),
        };
        let is_tombstone = word.content.is_none() && !word.remembered;
        word.revision.epoch < cut.revision.epoch && !cut.holds(key) && is_here && !is_tombstone
    }

    /// The recovered log says less of a name than what this cluster was brought to: it was not asked, or
    /// not heard. Generations go on over epochs, so they tell. What is edited after the opening counts
    /// again, whatever its generation.
    pub(super) fn is_outdone(&self, key: &Key, word: &Word) -> bool {
        self.past.get(key).is_some_and(|past| {
            past.word.epoch < word.revision.epoch
                && self.is_recovered(word.revision)
                && word.generation < past.generation
                && !self.is_listed_no_more(key, word)
        })
    }

    /// The events of a name that is here and not listed, in every own feed: where it was removed on
    /// purpose, when the log was recovered or since, there are tombstones for it.
    pub(super) fn want_unlisted(&self) -> Vec<Read> {
        let mut reads = Vec::new();
        let is_listed = |key| self.cut.as_ref().is_none_or(|cut| cut.holds(key));
        for key in self.words.keys() {
            if self.is_unaccounted(key) && !is_listed(key) {
                let feeds = self.held.keys().filter(|feed| feed.kind == key.0);
                reads.extend(feeds.map(|feed| Read::Body(feed.clone(), key.1.clone())));
            }
        }
        reads.retain(|read| !self.unanswered.contains(read));
        reads
    }

    /// A read found nothing. That is never "empty" (7); it only need not be asked again at once.
    pub fn on_nothing(&mut self, read: &Read) {
        if let Read::Body(feed, name) = read
            && self.is_unaccounted(&(feed.kind, name.clone()))
        {
            self.unanswered.insert(read.clone());
        }
    }
}
