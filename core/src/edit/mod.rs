//! The publisher's state machine: the log up to one revision, and the batch that further edits make.
//!
//! [`State::follow`] takes the log's messages in order and moves from root to root; [`Group`] makes one
//! batch of several edits, and [`Attempt`] says what became of it. All of that is pure, so a publisher that follows the log and one
//! that wrote it hold the same state. Never signs, never sends.

mod build;
mod follow;
mod intent;
mod kind;
mod outcome;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde_json::Value;

pub use self::{
    build::Group,
    follow::FollowError,
    intent::{Intent, RECOVERED, RECOVERED_UNKNOWN},
    kind::Kind,
    outcome::{Attempt, Claim, Next, Reply, SeenRoot},
};
use crate::{
    enrol::Revoked,
    envelope::PayloadType,
    epoch::{self, Opening},
    event::Event,
    index::{Base, Entries, Index, TailLengths},
    name::{Name, Region, Stage},
    revision::Revision,
    root::{FeedState, Root, RootEdit},
    scope::{Feed, Scope},
    subject::BusSubject,
};

/// Most messages in one atomic batch (nats-server refuses more, ADR-50).
pub const BATCH_LENGTH_MAX: usize = 1_000;

/// What the log says up to one root.
#[derive(Debug, Clone, Default)]
pub struct State {
    revision: Revision,
    intents: BTreeMap<(Kind, Name), Arc<Intent>>,
    feeds: BTreeMap<Feed, FeedLog>,
    /// Messages after the last root: part of the state only when their root comes.
    open: Vec<Message>,
    /// The newest opening that was verified; an epoch after the first is followed under it only.
    admitted: Option<Opening>,
    /// The signed opening of the epoch, which every root carries on.
    opening: Option<Arc<[u8]>>,
    /// The trust bundle that is in force, which every root carries on.
    trust: u64,
    /// When bases are rewritten.
    tails: TailLengths,
}

/// One feed as the log holds it.
#[derive(Debug, Clone)]
struct FeedLog {
    index: Arc<Index>,
    base: Arc<Base>,
    entries: Arc<Entries>,
}

/// A message of the log, not yet signed or already verified.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The edit as submitted.
    Intent(Intent),
    /// To the subscribers of one scope.
    Event(Event),
    /// A feed's base.
    Base(Base),
    /// A feed's index.
    Index(Index),
    /// The end of every batch.
    Root(Root),
}

impl Message {
    /// Where it is stored.
    pub fn subject(&self) -> BusSubject {
        match self {
            Message::Intent(intent) => BusSubject::Intent {
                kind: intent.kind,
                name: intent.name.clone(),
            },
            Message::Event(event) => event.subject(),
            Message::Base(base) => BusSubject::Base(base.feed.clone()),
            Message::Index(index) => BusSubject::Index(index.feed.clone()),
            Message::Root(_) => BusSubject::Root,
        }
    }

    /// The edit that it tells of, or up to which it does.
    pub fn revision(&self) -> Revision {
        match self {
            Message::Intent(intent) => intent.revision,
            Message::Event(event) => event.revision,
            Message::Base(base) => base.revision,
            Message::Index(index) => index.revision,
            Message::Root(root) => root.revision,
        }
    }

    /// As what it is signed.
    pub fn payload_type(&self) -> PayloadType {
        match self {
            Message::Intent(_) => PayloadType::Intent,
            Message::Event(_) => PayloadType::Event,
            Message::Base(_) => PayloadType::Base,
            Message::Index(_) => PayloadType::Index,
            Message::Root(_) => PayloadType::Root,
        }
    }
}

/// One edit, validated and placed.
#[derive(Debug, Clone)]
pub struct Edit {
    /// What is edited.
    pub kind: Kind,
    /// Its name.
    pub name: Name,
    /// What it becomes.
    pub change: Change,
    /// The caller's id of this request, unique per name.
    pub request_id: String,
    /// Who asked.
    pub author: String,
    /// Why; may be empty.
    pub reason: String,
    /// Through which inlet it came (`grpc`).
    pub inlet: String,
    /// Milliseconds since the Unix epoch.
    pub committed_ms: u64,
    /// The clusters that the edit is for, sorted.
    pub targets: Vec<String>,
    /// Of a cluster: see [`Intent::revoked`].
    pub revoked: Vec<Revoked>,
}

/// What an edit makes of its name.
#[derive(Debug, Clone)]
pub enum Change {
    /// It is there.
    Put {
        /// The document as submitted, JSON.
        manifest: String,
        /// Its compiled form.
        object: Value,
        /// Features that a subscriber needs for it.
        requires: Vec<String>,
        /// The scopes that it goes to.
        scopes: BTreeSet<Scope>,
        /// For a cluster: where it listens, so that its feeds exist before it looks for them.
        listens: Option<(Region, Stage)>,
    },
    /// It is there, and governs publishers alone.
    Record {
        /// The document as submitted, JSON.
        manifest: String,
    },
    /// It is gone.
    Delete,
}

/// What a group of edits makes: commit `messages` as one atomic batch, then `next` is the log's state.
#[derive(Debug, Clone)]
pub struct Batch {
    /// In order; the root is last.
    pub messages: Vec<Message>,
    /// The edits, in order, as the root lists them.
    pub edits: Vec<RootEdit>,
    /// The state after the batch.
    pub next: State,
}

impl State {
    /// An empty log whose bases are rewritten after other numbers of changes than usual: what 128 do in a
    /// year, few do in a short history.
    pub fn with_tails(tails: TailLengths) -> State {
        State {
            tails,
            ..State::default()
        }
    }

    /// The last root's revision; [`Revision::ZERO`] for an empty log.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Whether the newest message is of a higher epoch than the root before it: a recovery that is under
    /// way, or was interrupted. It stands where one of the root's stood, so that whoever starts now has
    /// not seen that. `is_all`: nothing follows, so that messages without any root are torn, too.
    pub fn is_torn(&self, is_all: bool) -> bool {
        let Some(newest) = self.open.last() else {
            return false;
        };
        match self.revision == Revision::ZERO {
            true => is_all,
            false => newest.revision().epoch > self.revision.epoch,
        }
    }

    /// Version of the trust bundle that the last root states.
    pub fn trust(&self) -> u64 {
        self.trust
    }

    /// Takes an opening that was found in a root and is signed by the offline key.
    pub fn admit(&mut self, opening: &Opening) {
        let known = self.admitted.as_ref();
        if known.is_none_or(|known| known.revision.epoch < opening.revision.epoch) {
            self.admitted = Some(opening.clone());
        }
    }

    /// Whether a root is of an epoch that is open, and not before or beside its beginning.
    fn admits(&self, root: &Root) -> bool {
        root.revision.epoch <= epoch::FIRST
            || self
                .admitted
                .as_ref()
                .is_some_and(|opening| opening.admits(root))
    }

    /// The last intent of a name, deletions included.
    pub fn intent(&self, kind: Kind, name: &Name) -> Option<&Arc<Intent>> {
        self.intents.get(&(kind, name.clone()))
    }

    /// The last intents of all names of a kind, deletions included.
    pub fn intents(&self, kind: Kind) -> impl Iterator<Item = &Arc<Intent>> {
        self.intents
            .iter()
            .filter(move |((of, _), _)| *of == kind)
            .map(|(_, intent)| intent)
    }

    /// The state of every feed, as a root states it.
    pub fn feeds(&self) -> BTreeMap<Feed, FeedState> {
        let state = |log: &FeedLog| FeedState {
            revision: log.index.revision,
            digest: crate::index::digest(&log.index.feed, &log.entries),
        };
        self.feeds
            .iter()
            .map(|(feed, log)| (feed.clone(), state(log)))
            .collect()
    }
}

#[cfg(test)]
mod tests;
