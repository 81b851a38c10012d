//! What to do about what is known: apply, remove, forget.

use std::{collections::BTreeMap, sync::Arc};

use super::{Content, Document, Follower, Key, Standing, Word};
use crate::{
    guard::{Guard, stands},
    hash::Hash,
    model::{ClusterIdentity, Mode, Phase},
    name::Name,
    revision::{Generation, Revision},
    root::Root,
    scope::{Feed, Kind, Scope},
};

/// All own feeds as one root states them (5).
#[derive(Debug, Clone)]
pub struct Cut {
    /// The root's revision.
    pub revision: Revision,
    /// What the root states of the own feeds.
    stated: BTreeMap<Feed, Revision>,
    listed: BTreeMap<Key, (Revision, Hash)>,
    /// The cluster's own labels, if its entry of this cut is at hand.
    labels: Option<BTreeMap<String, String>>,
    /// Whether that entry says to give everything back.
    drains: bool,
}

/// What a name was last brought to in this cluster, or is being brought to (4). Kept in the cluster by
/// the caller, before its first write or delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// The log state that it rests on.
    pub as_of: Revision,
    /// The edit that it is the word of.
    pub word: Revision,
    /// For people.
    pub generation: Generation,
    /// The feed by which that came.
    pub feed: Feed,
    /// Hash of the event's body.
    pub hash: Option<Hash>,
    /// Whether it is to be gone.
    pub removed: bool,
    /// Whether everything was confirmed.
    pub done: bool,
}

/// What is to be done for one name.
#[derive(Debug, Clone)]
pub enum Action {
    /// Make it as the content says.
    Apply {
        /// What.
        key: Key,
        /// To be recorded before the first write.
        past: Past,
        /// What it says.
        document: Document,
        /// The signed event, to be kept in the cluster.
        signed: Arc<[u8]>,
    },
    /// Remove what is ours of it.
    Remove {
        /// What.
        key: Key,
        /// To be recorded before the first delete.
        past: Past,
    },
    /// A removal need not be remembered any longer (5).
    Forget {
        /// What.
        key: Key,
    },
}

impl Cut {
    /// Whether the name was in force at this cut, in any own scope.
    pub fn holds(&self, key: &Key) -> bool {
        self.listed.contains_key(key)
    }
}

impl Action {
    /// The name that it is about.
    pub fn key(&self) -> &Key {
        match self {
            Action::Apply { key, .. } | Action::Remove { key, .. } | Action::Forget { key } => key,
        }
    }
}

/// Where a name should be brought to.
enum Target<'a> {
    Apply(Revision, &'a Content),
    Remove(Revision),
    /// Known, but it can't be acted on; what is there stays.
    Refuse(&'a super::Refusal),
}

impl Follower {
    /// What is to be done now, in the order of names; clusters first. The same state gives the same
    /// answer until [`Self::on_brought`] or [`Self::on_forgotten`] says what became of it.
    pub fn decide(&mut self) -> Vec<Action> {
        if let Some(cut) = self.find_cut() {
            self.cut = Some(cut);
        }
        let keys: Vec<Key> = self.words.keys().cloned().collect();
        let mut actions = Vec::new();
        for key in keys {
            match self.act(&key) {
                Some(action) => actions.push(action),
                None if self.may_forget(&key) => actions.push(Action::Forget { key }),
                None if self.is_over(&key) => {
                    self.words.remove(&key);
                    self.accepted.remove(&key);
                }
                None => {}
            }
        }
        actions
    }

    /// An action is being carried out. Until [`Self::on_ended`] nothing is said to be applied or gone of
    /// its name, whatever is wanted of it meanwhile.
    pub fn on_begun(&mut self, key: Key) {
        self.under_way.insert(key);
    }

    /// What was begun of a name has ended, whatever became of it.
    pub fn on_ended(&mut self, key: &Key) {
        self.under_way.remove(key);
    }

    /// Says what became of an action. `past` is what the cluster keeps now.
    pub fn on_brought(&mut self, key: &Key, past: Past, standing: Standing) {
        // A later word may have been acted on meanwhile; an older result tells nothing about it.
        if self
            .past
            .get(key)
            .is_none_or(|known| known.as_of <= past.as_of)
        {
            // Its word may be over already: what was begun before it went has to be undone.
            self.words
                .entry(key.clone())
                .or_insert_with(|| Word::remember(&past));
            self.past.insert(key.clone(), past);
            self.standings.insert(key.clone(), standing);
        }
    }

    /// The cluster keeps nothing of the name any longer.
    pub fn on_forgotten(&mut self, key: &Key) {
        self.past.remove(key);
        self.standings.remove(key);
    }

    pub(super) fn own_entry(&self) -> Option<&Word> {
        self.words
            .get(&(Kind::Cluster, Name::from(&self.identity.name)))
    }

    /// What this cluster's subscriber is to do, by its own registry entry; nothing before that is
    /// known. No policy is evaluated before either.
    pub fn mode(&self) -> Option<Mode> {
        match &self.own_content()?.document {
            Ok(Document::Cluster { entry, .. }) => Some(entry.cluster.mode),
            _ => None,
        }
    }

    /// How far this cluster belongs to the fleet, by its own registry entry.
    pub fn phase(&self) -> Option<Phase> {
        match &self.own_entry()?.content.as_ref()?.document {
            Ok(Document::Cluster { entry, .. }) => Some(entry.cluster.phase),
            _ => None,
        }
    }

    /// The signed event of the cluster's own entry, to be kept in the cluster (4).
    pub fn own_signed(&self) -> Option<&Arc<[u8]>> {
        Some(&self.own_content()?.signed)
    }

    /// What the own entry says. While it moves from one own scope to another, and only the tombstone of
    /// the one that it left has come, that is what it said before: else an observer would begin to write
    /// for as long as the other event takes.
    fn own_content(&self) -> Option<&Content> {
        let key = (Kind::Cluster, Name::from(&self.identity.name));
        let own = self.words.get(&key)?;
        let stays = || self.target_of_tombstone(&key, own).is_none();
        let before = self.own_before.as_ref();
        own.content.as_ref().or_else(|| before.filter(|_| stays()))
    }

    /// The labels of the newest own entry, whichever cut it belongs to: what rule 6 does not do.
    fn own_labels(&self) -> Option<&BTreeMap<String, String>> {
        match &self.own_entry()?.content.as_ref()?.document {
            Ok(Document::Cluster { entry, .. }) => Some(&entry.cluster.labels),
            _ => None,
        }
    }

    pub(super) fn listens_to(&self, scope: &Scope) -> bool {
        scope.covers(&self.identity.region, &self.identity.stage)
    }

    /// Rule 5: one root whose digests equal all own feeds, now or at a state that is still held.
    fn find_cut(&self) -> Option<Cut> {
        let root: &Root = self.root.as_deref()?;
        if self
            .cut
            .as_ref()
            .is_some_and(|cut| cut.revision >= root.revision && cut.labels.is_some())
        {
            return None;
        }
        let (mut stated, mut listed) = (BTreeMap::new(), BTreeMap::new());
        for (feed, held) in &self.held {
            let wanted = root.feeds.get(feed)?;
            stated.insert(feed.clone(), wanted.revision);
            let equal = held
                .at(wanted.revision)
                .filter(|state| state.digest == wanted.digest || !stands(Guard::Digest));
            let state = match equal {
                None if !stands(Guard::Cut) => held.newest()?,
                equal => equal?,
            };
            for (name, entry) in state.entries.iter() {
                listed.insert((feed.kind, name.clone()), (entry.revision, entry.hash));
            }
        }
        let own_key = (Kind::Cluster, Name::from(&self.identity.name));
        let own = self
            .own_entry()
            .and_then(|own| Some((own, own.content.as_ref()?)));
        let entry = own.and_then(|(own, content)| {
            let current = listed.get(&own_key) == Some(&(own.revision, content.hash));
            match &content.document {
                Ok(Document::Cluster { entry, .. }) if current => Some(&entry.cluster),
                _ => None,
            }
        });
        Some(Cut {
            revision: root.revision,
            stated,
            labels: entry.map(|entry| entry.labels.clone()),
            drains: entry.is_some_and(|entry| entry.phase == Phase::Draining),
            listed,
        })
    }

    /// Where a name should be brought to, or nothing: leave it as it is.
    fn target(&self, key: &Key) -> Option<Target<'_>> {
        // Rule 9: what a recovered log does not speak of stays as it is.
        if self.is_unaccounted(key) {
            return None;
        }
        self.aim(key)
    }

    /// The same as if the log had never been lost.
    fn aim(&self, key: &Key) -> Option<Target<'_>> {
        let word = &self.words[key];
        let Some(content) = &word.content else {
            return self.target_of_tombstone(key, word);
        };
        let cut = self
            .cut
            .as_ref()
            .filter(|cut| word.revision <= cut.revision);
        if let Some(cut) = cut {
            match cut.listed.get(key) {
                None => return Some(Target::Remove(cut.revision)),
                Some(listed) if *listed != (word.revision, content.hash) => return None,
                Some(_) => {}
            }
        }
        // A cluster that leaves gives everything back at a cut that says so, and takes nothing new before it.
        if key.0 == Kind::Policy && self.phase() == Some(Phase::Draining) {
            let cut = cut.filter(|cut| cut.drains)?;
            return Some(Target::Remove(cut.revision));
        }
        let as_of = cut.map_or(word.revision, |cut| cut.revision);
        let policy = match &content.document {
            Err(refusal) => return Some(Target::Refuse(refusal)),
            Ok(Document::Cluster { .. }) => return Some(Target::Apply(as_of, content)),
            Ok(Document::Policy { policy, .. }) => policy,
        };
        // No policy is evaluated before the cluster's own entry is held.
        self.own_entry().filter(|own| own.content.is_some())?;
        let labels = match (policy.clusters.needs_labels(), cut) {
            (false, _) => BTreeMap::new(),
            // Rule 6: a label selector is evaluated at a cut only, with that cut's own labels.
            (true, _) if !stands(Guard::Labels) => self.own_labels()?.clone(),
            (true, cut) => cut?.labels.clone()?,
        };
        let identity = ClusterIdentity {
            labels,
            ..self.identity.clone()
        };
        Some(if policy.clusters.matches(&identity) {
            Target::Apply(as_of, content)
        } else {
            Target::Remove(as_of)
        })
    }

    /// Rule 5: a tombstone that names none of our scopes removes at once, any other at a cut.
    fn target_of_tombstone(&self, key: &Key, word: &Word) -> Option<Target<'_>> {
        if let Some(cut) = self
            .cut
            .as_ref()
            .filter(|cut| word.revision <= cut.revision)
        {
            let gone = !cut.listed.contains_key(key);
            return gone.then_some(Target::Remove(cut.revision));
        }
        let stays = word.scopes.iter().any(|scope| self.listens_to(scope))
            && stands(Guard::TombstoneScopes);
        (!stays).then_some(Target::Remove(word.revision))
    }

    /// Whether a name with content may be for this cluster, as far as can be said.
    pub(super) fn may_select(&self, key: &Key) -> bool {
        !matches!(self.target(key), Some(Target::Remove(_)))
    }

    /// The same, but for rule 9. Before the own entry or a cut is known it may be.
    pub(super) fn may_aim_at(&self, key: &Key) -> bool {
        !matches!(self.aim(key), Some(Target::Remove(_)))
    }

    /// Whether a name was last brought to where it should be now. The word is not enough to tell: a cut may
    /// be without it, or other labels take it away and bring it back.
    pub(super) fn is_as_wanted(&self, key: &Key, past: &Past) -> bool {
        let word = &self.words[key];
        match self.target(key) {
            Some(Target::Remove(_)) => past.removed,
            Some(Target::Apply(_, content)) => !past.removed && past.hash == Some(content.hash),
            Some(Target::Refuse(_)) | None => {
                let hash = word.content.as_ref().map(|content| content.hash);
                past.removed && past.as_of >= word.revision || past.hash == hash
            }
        }
    }

    fn act(&self, key: &Key) -> Option<Action> {
        let (word, past) = (&self.words[key], self.past.get(key));
        let (as_of, content) = match self.target(key)? {
            Target::Refuse(_) => return self.end_what_was_begun(key),
            Target::Apply(as_of, content) => (as_of, Some(content)),
            Target::Remove(as_of) => (as_of, None),
        };
        let removed = content.is_none();
        let hash = content.map(|content| content.hash);
        match past {
            // Nothing of ours is there.
            None if removed => return None,
            // Its mirror may have been deleted with the entry.
            None if word.kept && !self.is_listed_still(key, word) => return None,
            // Already so.
            Some(past)
                if past.done
                    && past.removed == removed
                    // In a new epoch the record and the signed bytes are written anew, too.
                    && (removed || past.hash == hash && past.word.epoch == word.revision.epoch) =>
            {
                return None;
            }
            // The mirror of a registry entry is all that remembers it: it goes only once a restart would
            // keep out what is older in another way.
            Some(_) if removed && key.0 == Kind::Cluster && !self.is_kept(as_of) => return None,
            // Rule 4: never backwards.
            Some(past) if as_of < past.as_of && stands(Guard::AsOf) => return None,
            _ => {}
        }
        let past = Past {
            as_of,
            word: word.revision,
            generation: word.generation,
            feed: word.feed.clone(),
            hash,
            removed,
            done: false,
        };
        let key = key.clone();
        match content {
            None => Some(Action::Remove { key, past }),
            Some(Content {
                document: Ok(document),
                signed,
                ..
            }) => Some(Action::Apply {
                key,
                past,
                document: document.clone(),
                signed: signed.clone(),
            }),
            Some(_) => None,
        }
    }

    /// A refused edit leaves the last good state in force. What was begun of it goes on: half an attempt is
    /// neither that state nor the one before.
    fn end_what_was_begun(&self, key: &Key) -> Option<Action> {
        let past = self.past.get(key).filter(|past| !past.done)?.clone();
        let accepted = self.accepted.get(key)?;
        let key = key.clone();
        if past.removed {
            return (!accepted.is_unproven()).then_some(Action::Remove { key, past });
        }
        let content = accepted.content.as_ref();
        let content = content.filter(|content| past.hash == Some(content.hash))?;
        let document = content.document.as_ref().ok()?.clone();
        let signed = content.signed.clone();
        Some(Action::Apply {
            key,
            past,
            document,
            signed,
        })
    }

    /// Rule 5: a removal is remembered until a cut at or above it, and until the cluster keeps that all
    /// own feeds were seen there: from then on that keeps older words out, also after a restart.
    fn may_forget(&self, key: &Key) -> bool {
        let past = self.past.get(key).filter(|past| past.removed && past.done);
        // What a recovered log says again would bring it back.
        let past = past.filter(|_| !self.is_outdone(key, &self.words[key]));
        past.zip(self.cut.as_ref()).is_some_and(|(past, cut)| {
            past.as_of <= cut.revision && self.keeps(cut) || !stands(Guard::RemovalMemory)
        })
    }

    /// Whether the cut lists a registry entry by this very word, and is not below what an earlier run may
    /// have acted on: a root that comes late can still be met, and the entry may have gone since.
    fn is_listed_still(&self, key: &Key, word: &Word) -> bool {
        let Some(cut) = &self.cut else { return false };
        let is_old = |(feed, stated): (&Feed, &Revision)| {
            feed.kind == key.0 && self.kept.get(feed).is_some_and(|kept| stated < kept)
        };
        let listed = cut.listed.get(key);
        listed.is_some_and(|(revision, _)| *revision == word.revision)
            && !cut.stated.iter().any(is_old)
    }

    /// Whether a restart would still keep out all that is older than a log state.
    fn is_kept(&self, as_of: Revision) -> bool {
        let cut = self.cut.as_ref().filter(|cut| as_of <= cut.revision);
        cut.is_some_and(|cut| self.keeps(cut)) || !stands(Guard::RemovalMemory)
    }

    /// Whether a restart would still keep out all that is older than the cut.
    fn keeps(&self, cut: &Cut) -> bool {
        let is_kept = |(feed, stated)| self.kept.get(feed).is_some_and(|kept| kept >= stated);
        cut.stated.iter().all(is_kept)
    }

    /// Whether nothing of ours is left of a name that was in force nowhere at a cut since.
    fn is_over(&self, key: &Key) -> bool {
        let gone = |cut: &Cut| self.words[key].revision <= cut.revision && !cut.holds(key);
        !self.past.contains_key(key)
            && !self.under_way.contains(key)
            && !self.is_unaccounted(key)
            && self.cut.as_ref().is_some_and(gone)
    }

    /// The standing of a name whose newest word can't be acted on.
    pub(super) fn refused_standing(&self, key: &Key) -> Option<Standing> {
        match self.target(key)? {
            Target::Refuse(refusal) => Some(Standing::refused(
                refusal.reason.to_owned(),
                refusal.message.clone(),
            )),
            _ => None,
        }
    }
}
