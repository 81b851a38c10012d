//! From edits to the messages of their batch. No I/O.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{BATCH_LENGTH_MAX, Batch, Change, Edit, FeedLog, Intent, Message, State};
use crate::{
    event::{Body, Event, PROTOCOL},
    index::{self, Base, Entry, Index},
    revision::{Generation, Revision},
    root::{EDITS_MAX, Root, RootEdit},
    scope::{Feed, Scope},
};

/// Bytes of manifests and bodies from which on a group takes no further edit: a quarter of the largest
/// batch, so that the last one taken, whose policy may be in many scopes, and the bases fit beside them.
const BYTES_MAX: usize = 16_000_000;

impl State {
    /// The batch of one edit: a group of one.
    pub fn build(&self, edit: &Edit) -> Batch {
        let mut group = Group::new(self);
        group.add(edit);
        group.finish()
    }

    /// The root that states another version of the trust bundle, which is stored before it in the same
    /// batch. It has a revision of its own, so that one revision has one root, and no edit.
    pub fn root_with_trust(&self, version: u64) -> Root {
        Root {
            revision: self.revision.next(),
            feeds: self.feeds(),
            edits: Vec::new(),
            opening: self.opening.clone(),
            trust: version,
        }
    }
}

/// Several edits that become one batch: as if one were made after the other, with one root.
///
/// Each edit has its own revision, and its events continue those of the edit before it. What a batch
/// writes once is written as the last edit leaves it: the indexes, the bases that are due, the root.
/// Holds: the names of a group differ, so that the next message of a name's intents still tells whose
/// edit came first.
#[derive(Debug)]
pub struct Group<'a> {
    before: &'a State,
    next: State,
    /// Intents and events, in the order of the edits.
    messages: Vec<Message>,
    touched: BTreeSet<Feed>,
    edits: Vec<RootEdit>,
    /// Of manifests and bodies, which make nearly all of a batch.
    bytes: usize,
}

impl<'a> Group<'a> {
    /// A group that holds no edit yet.
    pub fn new(before: &'a State) -> Group<'a> {
        let mut next = before.clone();
        next.open.clear();
        Group {
            before,
            next,
            messages: Vec::new(),
            touched: BTreeSet::new(),
            edits: Vec::new(),
            bytes: 0,
        }
    }

    /// The edits taken so far, as the root will list them.
    pub fn edits(&self) -> &[RootEdit] {
        &self.edits
    }

    /// Whether one more edit may be taken: its name is not in the group yet, and root and batch have
    /// room. An empty group takes every edit; one that is too large for a batch shows in its length.
    pub fn takes(&self, edit: &Edit) -> bool {
        if self.edits.is_empty() {
            return true;
        }
        let is_new = |taken: &RootEdit| taken.kind != edit.kind || taken.name != edit.name;
        self.edits.len() < EDITS_MAX
            && self.bytes < BYTES_MAX
            && self.edits.iter().all(is_new)
            && self.length_max_with(edit) <= BATCH_LENGTH_MAX
    }

    /// Most messages of the batch if this edit were taken: for every feed both its index and its base.
    fn length_max_with(&self, edit: &Edit) -> usize {
        let (mut scopes, mut feeds) = (BTreeSet::new(), BTreeSet::new());
        if let Some(known) = self.next.intent(edit.kind, &edit.name) {
            scopes.extend(&known.scopes);
        }
        if let Change::Put {
            scopes: wanted,
            listens,
            ..
        } = &edit.change
        {
            scopes.extend(wanted);
            let listened = listens.iter();
            feeds.extend(listened.flat_map(|(region, stage)| Feed::listened_by(region, stage)));
        }
        let events = scopes.len();
        if let Some(kind) = edit.kind.feed_kind() {
            feeds.extend(scopes.into_iter().map(|scope| Feed {
                kind,
                scope: scope.clone(),
            }));
        }
        let feeds = feeds.union(&self.touched).count();
        self.messages.len() + 1 + events + 2 * feeds + 1
    }

    /// Takes an edit: its intent, and an event or tombstone for every scope that it is in or leaves (a record: none).
    /// The generation goes on over deletions.
    pub fn add(&mut self, edit: &Edit) -> (Revision, Generation) {
        let revision = self.next.revision.next();
        let known = self.next.intent(edit.kind, &edit.name);
        let generation = known
            .map_or(Generation::default(), |intent| intent.generation)
            .next();
        let before = known
            .map(|intent| intent.scopes.clone())
            .unwrap_or_default();
        self.next.revision = revision;

        let intent = intent(edit, revision, generation);
        self.bytes += intent.manifest.as_ref().map_or(0, String::len);
        self.messages.push(Message::Intent(intent.clone()));
        if let Change::Put {
            listens: Some((region, stage)),
            ..
        } = &edit.change
        {
            for feed in Feed::listened_by(region, stage) {
                open_feed(&mut self.next.feeds, &mut self.touched, feed, revision);
            }
        }
        // A record is in no scope, and no cluster hears of it.
        let kind = edit.kind.feed_kind();
        let feeds = before.union(&intent.scopes).filter_map(|scope| {
            Some(Feed {
                kind: kind?,
                scope: scope.clone(),
            })
        });
        for feed in feeds {
            let scope = feed.scope.clone();
            open_feed(
                &mut self.next.feeds,
                &mut self.touched,
                feed.clone(),
                revision,
            );
            if let Some(log) = self.next.feeds.get_mut(&feed) {
                let event = enter_or_leave(log, edit, &intent, &scope);
                self.bytes += event.body.as_ref().map_or(0, Vec::len);
                self.messages.push(Message::Event(event));
            }
            self.touched.insert(feed);
        }
        self.edits.push(RootEdit {
            revision,
            request_id: edit.request_id.clone(),
            kind: edit.kind,
            name: edit.name.clone(),
            generation,
        });
        let key = (edit.kind, edit.name.clone());
        self.next.intents.insert(key, Arc::new(intent));
        (revision, generation)
    }

    /// The batch: what was taken, the bases that are due, the indexes, and the root last.
    ///
    /// Guarantees: a feed that an edit opens exists with its base in the same batch; applying
    /// `messages` to the state before with [`State::follow`] gives `next`.
    pub fn finish(mut self) -> Batch {
        let mut messages = self.messages;
        for feed in &self.touched {
            let Some(log) = self.next.feeds.get_mut(feed) else {
                continue;
            };
            if let Some((index, base)) =
                log.index
                    .fold(&log.base, self.before.revision, self.before.tails)
            {
                log.index = Arc::new(index);
                log.base = Arc::new(base);
            }
            let old = self.before.feeds.get(feed);
            if old.is_none_or(|old| old.base != log.base) {
                messages.push(Message::Base(Base::clone(&log.base)));
            }
            messages.push(Message::Index(Index::clone(&log.index)));
        }
        messages.push(Message::Root(Root {
            revision: self.next.revision,
            feeds: self.next.feeds(),
            edits: self.edits.clone(),
            opening: self.next.opening.clone(),
            trust: self.next.trust,
        }));
        Batch {
            messages,
            edits: self.edits,
            next: self.next,
        }
    }
}

fn intent(edit: &Edit, revision: Revision, generation: Generation) -> Intent {
    let (manifest, scopes) = match &edit.change {
        Change::Put {
            manifest, scopes, ..
        } => (Some(manifest.clone()), scopes.clone()),
        Change::Record { manifest } => (Some(manifest.clone()), BTreeSet::new()),
        Change::Delete => (None, BTreeSet::new()),
    };
    Intent {
        kind: edit.kind,
        name: edit.name.clone(),
        revision,
        generation,
        request_id: edit.request_id.clone(),
        manifest,
        scopes,
        author: edit.author.clone(),
        reason: edit.reason.clone(),
        inlet: edit.inlet.clone(),
        committed_ms: edit.committed_ms,
        targets: edit.targets.clone(),
        revoked: edit.revoked.clone(),
    }
}

/// A feed that nobody wrote yet starts with an empty base. Its index is as old as the edit before this
/// one, so that the first event has something to continue.
fn open_feed(
    feeds: &mut BTreeMap<Feed, FeedLog>,
    touched: &mut BTreeSet<Feed>,
    feed: Feed,
    revision: Revision,
) {
    if feeds.contains_key(&feed) {
        return;
    }
    let (index, base) = Index::empty(
        &feed,
        Revision {
            number: revision.number - 1,
            ..revision
        },
    );
    let log = FeedLog {
        index: Arc::new(index),
        base: Arc::new(base),
        entries: Arc::default(),
    };
    touched.insert(feed.clone());
    feeds.insert(feed, log);
}

fn enter_or_leave(log: &mut FeedLog, edit: &Edit, intent: &Intent, scope: &Scope) -> Event {
    let (body, requires) = match &edit.change {
        Change::Put {
            object,
            requires,
            scopes,
            ..
        } if scopes.contains(scope) => {
            let body = Body::new(
                log.index.feed.kind,
                edit.name.clone(),
                intent.generation,
                object.clone(),
            );
            (Some(body.encode()), requires.clone())
        }
        _ => (None, Vec::new()),
    };
    let mut event = Event {
        feed: log.index.feed.clone(),
        name: edit.name.clone(),
        protocol: PROTOCOL,
        requires,
        revision: intent.revision,
        generation: intent.generation,
        previous: log.index.revision,
        digest: crate::hash::Hash([0; 32]),
        scopes: intent.scopes.clone(),
        body,
    };
    let entry = event.hash().map(|hash| Entry {
        generation: intent.generation,
        revision: intent.revision,
        hash,
    });
    let step = index::Change {
        name: edit.name.clone(),
        revision: intent.revision,
        entry,
    };
    index::change(Arc::make_mut(&mut log.entries), &step);
    Arc::make_mut(&mut log.index).push(step);
    event.digest = index::digest(&event.feed, &log.entries);
    event
}
