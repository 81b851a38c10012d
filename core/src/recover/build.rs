//! From a plan to the messages that say everything again in a new epoch.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Plan,
    plan::{Content, Item, targets},
};
use crate::{
    edit::{self, Intent, Message},
    epoch::Opening,
    event::{Event, PROTOCOL},
    hash::Hash,
    index::{self, Base, Entries, Entry, Index},
    model::Cluster,
    revision::Revision,
    root::{FeedState, Root},
    scope::{Feed, Scope},
};

/// How far the newest edit's time may be ahead of the clock of whoever recovers and still be taken over:
/// as publishers do it.
const CLOCK_LAG_MAX_MS: u64 = 60_000;
/// Who edited what only clusters remembered: intents do not travel to them.
const AUTHOR: &str = "unknown";

/// A new epoch: the messages in their order, then the root. Where they take several batches, the root
/// with its opening is in the last, and nobody follows any of it before.
#[derive(Debug, Clone)]
pub struct Recovery {
    /// Intents, events and tombstones, bases and indexes.
    pub messages: Vec<Message>,
    /// The epoch's first root; its signed opening is to be put in.
    pub root: Root,
    /// What the offline key is to sign.
    pub opening: Opening,
}

impl Plan {
    /// Says everything again in `epoch`, which has to be above every epoch ever opened. Numbers go on
    /// above all that was found, so that a number names one edit for people, too.
    pub fn build(&self, epoch: u64, now_ms: u64) -> Recovery {
        let clusters = self.clusters();
        let first = self.log.number.max(self.found.number) + 1;
        // Everything is said at one moment, and not before the last edit that is known: a time is one place
        // in the log, and none of what is said again was there before.
        let known = self.items.iter().filter_map(|item| item.intent.as_ref());
        let newest_ms = known.map(|intent| intent.committed_ms).max().unwrap_or(0);
        let now_ms = if newest_ms <= now_ms.saturating_add(CLOCK_LAG_MAX_MS) {
            now_ms.max(newest_ms)
        } else {
            now_ms
        };
        let mut writer = Writer {
            intents: Vec::new(),
            events: Vec::new(),
            entries: self
                .feeds
                .iter()
                .map(|feed| (feed.clone(), Entries::new()))
                .collect(),
            now_ms,
        };
        let mut revision = Revision {
            epoch,
            number: first,
        };
        for (at, item) in self.items.iter().enumerate() {
            revision.number = first + at as u64;
            writer.write(item, revision, &clusters);
        }
        let mut recovery = writer.end(revision, now_ms);
        recovery.opening.recovered = self.recovered.clone();
        recovery
    }
}

struct Writer {
    intents: Vec<Intent>,
    events: Vec<Event>,
    entries: BTreeMap<Feed, Entries>,
    now_ms: u64,
}

impl Writer {
    fn write(&mut self, item: &Item, revision: Revision, clusters: &[&Cluster]) {
        let intent = self.intent(item, revision, clusters);
        let scopes = intent.scopes.clone();
        self.intents.push(intent);
        // Of what nobody can speak of no event is written: a tombstone would remove it.
        if matches!(item.content, Content::Unknown) {
            return;
        }
        for feed in &item.feeds {
            let is_in = scopes.contains(&feed.scope);
            self.event(item, feed, revision, &scopes, is_in);
        }
    }

    fn intent(&self, item: &Item, revision: Revision, clusters: &[&Cluster]) -> Intent {
        let (kind, name) = item.key.clone();
        if let Some(known) = &item.intent {
            return Intent {
                revision,
                inlet: edit::RECOVERED.to_owned(),
                committed_ms: self.now_ms,
                ..known.clone()
            };
        }
        let mut intent = Intent {
            kind,
            name,
            revision,
            generation: item.generation,
            request_id: format!("recover-{revision}"),
            manifest: None,
            scopes: BTreeSet::new(),
            author: AUTHOR.to_owned(),
            reason: reason(item),
            inlet: match item.content {
                Content::Unknown => edit::RECOVERED_UNKNOWN.to_owned(),
                _ => edit::RECOVERED.to_owned(),
            },
            committed_ms: self.now_ms,
            targets: Vec::new(),
            revoked: Vec::new(),
        };
        if let Content::Put {
            body,
            scopes,
            document,
            ..
        } = &item.content
        {
            let compiled: Option<serde_json::Value> = serde_json::from_slice(body).ok();
            let compiled = compiled.map(|body| body["object"].clone());
            let manifest = compiled
                .as_ref()
                .map(|compiled| match super::manifest(compiled) {
                    Some((manifest, _)) => manifest.to_string(),
                    // Not read by this build; kept as it is for one that can.
                    None => compiled.to_string(),
                });
            intent.manifest = manifest;
            intent.scopes = scopes.clone();
            intent.targets = targets(document.as_deref(), clusters);
        }
        intent
    }

    fn event(
        &mut self,
        item: &Item,
        feed: &Feed,
        revision: Revision,
        scopes: &BTreeSet<Scope>,
        is_in: bool,
    ) {
        let mut event = Event {
            feed: feed.clone(),
            name: item.key.1.clone(),
            protocol: PROTOCOL,
            requires: Vec::new(),
            revision,
            generation: item.generation,
            // Nothing continues from before the epoch: its feeds are read.
            previous: Revision::ZERO,
            digest: Hash([0; 32]),
            scopes: scopes.clone(),
            body: None,
        };
        if let Content::Put {
            body,
            requires,
            protocol,
            ..
        } = &item.content
            && is_in
        {
            (event.body, event.requires) = (Some(body.clone()), requires.clone());
            event.protocol = *protocol;
        }
        if let Some(hash) = event.hash() {
            let entry = Entry {
                generation: item.generation,
                revision,
                hash,
            };
            self.entries
                .entry(feed.clone())
                .or_default()
                .insert(event.name.clone(), entry);
        }
        self.events.push(event);
    }

    fn end(self, revision: Revision, now_ms: u64) -> Recovery {
        let mut root = Root {
            revision,
            ..Root::default()
        };
        let mut lists = Vec::new();
        for (feed, entries) in self.entries {
            let digest = index::digest(&feed, &entries);
            root.feeds
                .insert(feed.clone(), FeedState { revision, digest });
            lists.push(Message::Base(Base {
                feed: feed.clone(),
                revision,
                entries,
            }));
            lists.push(Message::Index(Index {
                feed,
                revision,
                base_revision: revision,
                base_digest: digest,
                tail: Vec::new(),
            }));
        }
        let events = self.events.into_iter().map(|mut event| {
            event.digest = root
                .feeds
                .get(&event.feed)
                .map_or(event.digest, |feed| feed.digest);
            Message::Event(event)
        });
        let mut messages: Vec<Message> = self.intents.into_iter().map(Message::Intent).collect();
        messages.extend(events);
        messages.extend(lists);
        let opening = Opening::of(&root, now_ms);
        Recovery {
            messages,
            root,
            opening,
        }
    }
}

fn reason(item: &Item) -> String {
    let holders: Vec<&str> = item.holders.iter().map(String::as_str).collect();
    match item.content {
        Content::Put { .. } => format!("recovered from what {} holds", holders.join(", ")),
        _ if item.note.is_empty() => "recovered".to_owned(),
        _ => format!("recovered: {}", item.note),
    }
}
