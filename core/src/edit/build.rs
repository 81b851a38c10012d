//! From an edit to the messages of its batch. No I/O.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Batch, Change, Edit, FeedLog, Intent, Message, State};
use crate::{
    event::{Body, Event, PROTOCOL},
    index::{self, Base, Entry, Index},
    revision::{Generation, Revision},
    root::{Root, RootEdit},
    scope::{Feed, Scope},
};

impl State {
    /// The batch of one edit: its intent, an event or tombstone for every scope that it is in or
    /// leaves, the bases that are due, their indexes, and the root last.
    ///
    /// Guarantees: the generation goes on over deletions; a feed that the edit opens exists with its
    /// base in the same batch; applying `messages` to this state with [`State::follow`] gives `next`.
    pub fn build(&self, edit: &Edit) -> Batch {
        let revision = self.revision.next();
        let known = self.intent(edit.kind, &edit.name);
        let generation = known
            .map_or(Generation::default(), |intent| intent.generation)
            .next();
        let before = known
            .map(|intent| intent.scopes.clone())
            .unwrap_or_default();

        let mut next = State {
            revision,
            ..self.clone()
        };
        next.open.clear();
        let intent = intent(edit, revision, generation);
        let mut touched = BTreeSet::new();
        if let Change::Put {
            listens: Some((region, stage)),
            ..
        } = &edit.change
        {
            for feed in Feed::listened_by(region, stage) {
                open_feed(&mut next.feeds, &mut touched, feed, revision);
            }
        }

        let mut events = Vec::new();
        for scope in before.union(&intent.scopes) {
            let feed = Feed {
                kind: edit.kind,
                scope: scope.clone(),
            };
            open_feed(&mut next.feeds, &mut touched, feed.clone(), revision);
            touched.insert(feed.clone());
            if let Some(log) = next.feeds.get_mut(&feed) {
                events.push(Message::Event(enter_or_leave(log, edit, &intent, scope)));
            }
        }

        let mut messages = vec![Message::Intent(intent.clone())];
        messages.extend(events);
        for feed in &touched {
            let (log, old) = (&next.feeds[feed], self.feeds.get(feed));
            if old.is_none_or(|old| old.base != log.base) {
                messages.push(Message::Base(Base::clone(&log.base)));
            }
            messages.push(Message::Index(Index::clone(&log.index)));
        }
        let edits = vec![RootEdit {
            revision,
            request_id: edit.request_id.clone(),
            kind: edit.kind,
            name: edit.name.clone(),
            generation,
        }];
        messages.push(Message::Root(Root {
            revision,
            feeds: next.feeds(),
            edits,
            opening: self.opening.clone(),
        }));
        next.intents
            .insert((edit.kind, edit.name.clone()), Arc::new(intent));
        Batch {
            messages,
            next,
            revision,
            generation,
        }
    }
}

fn intent(edit: &Edit, revision: Revision, generation: Generation) -> Intent {
    let (manifest, scopes) = match &edit.change {
        Change::Put {
            manifest, scopes, ..
        } => (Some(manifest.clone()), scopes.clone()),
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
                edit.kind,
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
    let (index, base) = log.index.push(&log.base, step);
    log.index = Arc::new(index);
    if let Some(base) = base {
        log.base = Arc::new(base);
    }
    event.digest = index::digest(&event.feed, &log.entries);
    event
}
