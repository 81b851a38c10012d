//! The log compared with what was found, name by name: the highest signed state wins.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Copy, Found, Key, manifest};
use crate::{
    edit::{Intent, Kind},
    epoch::{self, FEEDS_STATED_MAX, Recovered},
    event::{Body, Event},
    index::Entry,
    model::{self, Cluster, Document},
    revision::{Generation, Revision},
    scope::{Feed, Scope},
};

/// What is known of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Nobody holds anything newer than the log.
    Kept,
    /// Clusters hold a newer content.
    Found,
    /// Clusters hold newer lists of every scope that it was in, and none has it any more.
    Gone,
    /// Something newer existed, and what it said is not to be found. It is said to be in no scope, and
    /// what clusters hold of it stays until it is applied or deleted anew.
    Unknown,
}

/// What a name is in the new epoch.
#[derive(Debug, Clone)]
pub enum Content {
    /// In force.
    Put {
        /// Its event's body, as it was signed before.
        body: Vec<u8>,
        /// Features that a subscriber needs for it.
        requires: Vec<String>,
        /// Protocol that a reader has to speak.
        protocol: u32,
        /// Where.
        scopes: BTreeSet<Scope>,
        /// What it says; nothing where this build can't read it.
        document: Option<Box<Document>>,
    },
    /// A record, which the log alone has.
    Record,
    /// Deleted.
    Gone,
    /// Nobody can say.
    Unknown,
}

/// One name of the plan.
#[derive(Debug, Clone)]
pub struct Item {
    /// Which.
    pub key: Key,
    /// What was made of it.
    pub verdict: Verdict,
    /// Its generation in the new epoch: the highest that was found.
    pub generation: Generation,
    /// The generation in the log; nothing: the log does not know the name.
    pub in_log: Option<Generation>,
    /// Who holds what was found.
    pub holders: BTreeSet<String>,
    /// For people: why, where that is not plain.
    pub note: String,
    /// What it is.
    pub content: Content,
    /// The edit as it was submitted, where the log has it or it could be told from what clusters hold.
    pub(super) intent: Option<Intent>,
    /// The feeds in which it has, or once had, an event.
    pub(super) feeds: BTreeSet<Feed>,
}

impl Item {
    /// Whether the log did not say the same.
    pub fn differs(&self) -> bool {
        self.verdict != Verdict::Kept
    }

    fn cluster(&self) -> Option<&Cluster> {
        match &self.content {
            Content::Put {
                document: Some(document),
                ..
            } => match document.as_ref() {
                Document::Cluster(cluster) => Some(cluster),
                Document::Policy(_) | Document::Record(_) => None,
            },
            _ => None,
        }
    }
}

/// What the new epoch will say.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Every name: clusters, policies, records.
    pub items: Vec<Item>,
    /// Where the log ends.
    pub log: Revision,
    /// The highest revision found in clusters.
    pub found: Revision,
    /// Feeds of the log that are not as its root states them.
    pub damaged: Vec<Feed>,
    /// The log has messages of an epoch that nobody opened: a recovery was begun and not ended.
    pub is_interrupted: bool,
    /// Every feed that is known of.
    pub(super) feeds: BTreeSet<Feed>,
    /// The newest list of each feed that was at hand; nothing: nobody's list is to count as younger.
    pub(super) recovered: Option<Recovered>,
}

impl Plan {
    /// Compares.
    pub fn make(log: &Copy, found: &Found) -> Plan {
        let mut keys: BTreeSet<Key> = log.names().chain(found.events.keys()).cloned().collect();
        let mut feeds: BTreeSet<Feed> = found.feeds.keys().cloned().collect();
        feeds.extend(found.listened.iter().cloned());
        for (feed, state) in &found.feeds {
            keys.extend(
                state
                    .entries
                    .keys()
                    .map(|name| (feed.kind.into(), name.clone())),
            );
        }
        feeds.extend(log.root.iter().flat_map(|root| root.feeds.keys().cloned()));
        let items: Vec<Item> = keys.into_iter().map(|key| item(log, found, key)).collect();
        for item in &items {
            feeds.extend(item.feeds.iter().cloned());
            if let Some(cluster) = item.cluster() {
                feeds.extend(Feed::listened_by(&cluster.region, &cluster.stage));
            }
        }
        Plan {
            items,
            log: log.revision(),
            found: found.highest,
            damaged: log.damaged.clone(),
            is_interrupted: log.epoch_heard > log.revision().epoch.max(epoch::FIRST),
            feeds,
            recovered: Some(recovered(log, found)),
        }
    }

    /// The log was written on after it was put back as it was at `backup`: clusters may hold other lists of
    /// the same revisions, which count as younger.
    pub fn fork(&mut self, backup: Revision) {
        if let Some(recovered) = self.recovered.as_mut().filter(|_| backup < self.log) {
            recovered.log.retain(|list| list.epoch < backup.epoch);
            recovered.log.push(backup);
        }
    }

    /// Whether there is anything to recover: something that was found is above the log, or the log does
    /// not fit together, or is in the middle of a recovery.
    pub fn is_needed(&self) -> bool {
        self.found > self.log || !self.damaged.is_empty() || self.is_interrupted
    }

    /// The names of which the log did not say the same.
    pub fn differences(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|item| item.differs())
    }

    /// How many records the log has. Whether there were later edits of them nobody else can say.
    pub fn record_count(&self) -> usize {
        let records = self.items.iter().filter(|item| item.key.0.is_record());
        records.count()
    }

    /// How many names can't be recovered.
    pub fn unknown_count(&self) -> usize {
        let unknown = |item: &&Item| item.verdict == Verdict::Unknown;
        self.items.iter().filter(unknown).count()
    }

    /// The registry in the new epoch.
    pub(super) fn clusters(&self) -> Vec<&Cluster> {
        self.items.iter().filter_map(Item::cluster).collect()
    }
}

/// The newest list of each feed: the log's, as of its last root, or one that a cluster showed.
fn recovered(log: &Copy, found: &Found) -> Recovered {
    let from = |feed: Option<&Feed>, newest: Revision| {
        let opening = found.openings.get(&newest.epoch);
        let earlier = opening.map(|opening| match feed {
            Some(feed) => opening.of(feed),
            None => opening.log.as_slice(),
        });
        epoch::lists(earlier.unwrap_or_default(), newest)
    };
    let of_log = log.revision();
    let opening = found.openings.get(&of_log.epoch);
    let mut feeds: BTreeMap<Feed, Vec<Revision>> = BTreeMap::new();
    for feed in opening.iter().flat_map(|opening| opening.feeds.keys()) {
        feeds.insert(feed.clone(), from(Some(feed), of_log));
    }
    for feed in &log.damaged {
        feeds.insert(feed.clone(), vec![Revision::ZERO]);
    }
    for (feed, state) in &found.feeds {
        if state.revision > of_log || log.damaged.contains(feed) {
            feeds.insert(feed.clone(), from(Some(feed), state.revision));
        }
    }
    // Without any of the others a feed is only said to be older than it is.
    let damaged = |feed: &Feed| log.damaged.contains(feed);
    let (first, rest): (Vec<_>, Vec<_>) = feeds.into_iter().partition(|(feed, _)| damaged(feed));
    let feeds = first.into_iter().chain(rest).take(FEEDS_STATED_MAX);
    Recovered {
        log: from(None, of_log),
        feeds: feeds.collect(),
    }
}

/// The newest word on a name that is at hand.
struct Newest<'a> {
    revision: Revision,
    generation: Generation,
    scopes: BTreeSet<Scope>,
    is_in_log: bool,
    event: Option<&'a Event>,
    intent: Option<&'a Intent>,
    holders: BTreeSet<String>,
}

fn newest<'a>(log: &'a Copy, found: &'a Found, key: &Key) -> Option<Newest<'a>> {
    let intent = log.intents.get(key);
    let held = found.events.get(key);
    let in_log = intent.map(|intent| Newest {
        revision: intent.revision,
        generation: intent.generation,
        scopes: intent.scopes.clone(),
        is_in_log: true,
        event: log
            .events
            .get(key)
            .into_iter()
            .flat_map(BTreeMap::values)
            .find(|event| event.revision == intent.revision && event.body.is_some()),
        intent: Some(intent),
        holders: BTreeSet::new(),
    });
    let in_clusters = held.map(|held| Newest {
        revision: held.event.revision,
        generation: held.event.generation,
        scopes: held.event.scopes.clone(),
        is_in_log: false,
        event: Some(&held.event),
        intent: None,
        holders: held.holders.clone(),
    });
    match (in_log, in_clusters) {
        (Some(log), Some(found)) if found.revision > log.revision => Some(found),
        (log, found) => log.or(found),
    }
}

/// What lists that are newer than the newest word say of a name.
struct Lists {
    /// The highest entry above that word: an edit whose content is not at hand.
    above: Option<(Entry, BTreeSet<String>)>,
    /// Scopes of that word which a newer list proves that it has left.
    left: BTreeSet<Scope>,
    holders: BTreeSet<String>,
}

fn lists(found: &Found, key: &Key, word: Option<&Newest<'_>>) -> Lists {
    let revision = word.map_or(Revision::ZERO, |word| word.revision);
    let mut lists = Lists {
        above: None,
        left: BTreeSet::new(),
        holders: BTreeSet::new(),
    };
    let own_kind = |feed: &Feed| Kind::from(feed.kind) == key.0;
    for (feed, state) in found.feeds.iter().filter(|(feed, _)| own_kind(feed)) {
        match state.entries.get(&key.1) {
            Some(entry) if entry.revision > revision => {
                let highest = lists.above.as_ref().map(|(entry, _)| entry.revision);
                if highest.is_none_or(|highest| highest < entry.revision) {
                    lists.above = Some((*entry, state.holders.clone()));
                }
            }
            Some(_) => {}
            None => {
                let was_in = word.is_some_and(|word| word.scopes.contains(&feed.scope));
                if was_in && state.revision > revision {
                    lists.left.insert(feed.scope.clone());
                    lists.holders.extend(state.holders.iter().cloned());
                }
            }
        }
    }
    lists
}

fn item(log: &Copy, found: &Found, key: Key) -> Item {
    let word = newest(log, found, &key);
    let lists = lists(found, &key, word.as_ref());
    let in_log = log.intents.get(&key).map(|intent| intent.generation);
    let known = word
        .as_ref()
        .map(|word| word.generation)
        .unwrap_or_default();
    let mut feeds: BTreeSet<Feed> = log
        .events
        .get(&key)
        .map(|feeds| feeds.keys().cloned().collect())
        .unwrap_or_default();
    let feed_of = |scope: &Scope| {
        Some(Feed {
            kind: key.0.feed_kind()?,
            scope: scope.clone(),
        })
    };
    let scopes = word.as_ref().map(|word| word.scopes.clone());
    let in_scopes = scopes.iter().flatten().filter_map(feed_of);
    let mut item = Item {
        verdict: Verdict::Kept,
        generation: known,
        in_log,
        holders: BTreeSet::new(),
        note: String::new(),
        content: Content::Unknown,
        intent: None,
        feeds: feeds.clone(),
        key: key.clone(),
    };
    if let Some((entry, holders)) = lists.above {
        item.verdict = Verdict::Unknown;
        item.generation = entry.generation;
        item.note = format!(
            "@{} at revision {} is listed, and nobody asked has its content",
            entry.generation, entry.revision
        );
        item.holders = holders;
        return item;
    }
    let Some(word) = word else { return item };
    let all_left = !word.scopes.is_empty() && lists.left == word.scopes;
    if all_left {
        feeds.extend(in_scopes);
        item.feeds = feeds;
        item.verdict = Verdict::Gone;
        item.generation = known.next();
        item.holders = lists.holders;
        item.note = format!("@{known} has left every scope that it was in, by a later edit");
        item.content = Content::Gone;
        return item;
    }
    if !lists.left.is_empty() {
        item.verdict = Verdict::Unknown;
        item.generation = known.next();
        item.holders = lists.holders;
        let left: Vec<String> = lists.left.iter().map(ToString::to_string).collect();
        item.note = format!(
            "@{known} has left {} by a later edit, and nobody asked knows where it is in force now",
            left.join(", ")
        );
        return item;
    }
    feeds.extend(in_scopes);
    item.feeds = feeds;
    if !word.is_in_log {
        item.verdict = Verdict::Found;
        item.holders = word.holders.clone();
    }
    match content(&word) {
        Ok(content) => {
            item.intent = word.intent.cloned();
            item.content = content;
        }
        Err(note) => {
            item.verdict = Verdict::Unknown;
            item.note = note;
            item.feeds = BTreeSet::new();
        }
    }
    item
}

/// What the newest word says. Its event's body is taken as it is; a log that has lost the event still
/// has the document.
fn content(word: &Newest<'_>) -> Result<Content, String> {
    let is_deletion = match (word.intent, word.event) {
        (Some(intent), _) => intent.manifest.is_none(),
        (None, event) => event.is_none_or(|event| event.body.is_none() && event.scopes.is_empty()),
    };
    if is_deletion {
        return Ok(Content::Gone);
    }
    if word.intent.is_some_and(|intent| intent.kind.is_record()) {
        return Ok(Content::Record);
    }
    let from_intent = word.intent.and_then(|intent| {
        let document = crate::tracker::read_manifest(intent).ok()??;
        Some((intent, document))
    });
    let scopes = word.scopes.clone();
    if let Some(event) = word.event
        && let Some(body) = &event.body
    {
        let object = Body::decode(event, body).map_err(|e| e.to_string())?.object;
        let document = match from_intent {
            Some((_, document)) => Some(document),
            None => manifest(&object).map(|(_, document)| document),
        };
        return Ok(Content::Put {
            body: body.clone(),
            requires: event.requires.clone(),
            protocol: event.protocol,
            scopes,
            document: document.map(Box::new),
        });
    }
    let Some((intent, document)) = from_intent else {
        return Err("its content is nowhere to be found".to_owned());
    };
    let bytes = match &document {
        Document::Cluster(cluster) => cluster.compile().into_bytes(),
        Document::Policy(policy) => policy.compile().into_bytes(),
        // Answered before.
        Document::Record(_) => return Ok(Content::Record),
    };
    let object: Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    let kind = intent.kind.feed_kind().ok_or("it travels to no cluster")?;
    let body = Body::new(kind, intent.name.clone(), intent.generation, object);
    Ok(Content::Put {
        body: body.encode(),
        requires: document.requires(),
        protocol: crate::event::PROTOCOL,
        scopes,
        document: Some(Box::new(document)),
    })
}

/// The clusters that a policy selects, of those that act; as they are fixed for an edit.
pub(super) fn targets(document: Option<&Document>, clusters: &[&Cluster]) -> Vec<String> {
    match document {
        Some(Document::Cluster(cluster)) => vec![cluster.name.to_string()],
        Some(Document::Policy(policy)) => {
            let acting = clusters.iter().filter(|c| c.mode == model::Mode::Enforce);
            let selected = acting
                .map(|c| c.identity())
                .filter(|i| policy.clusters.matches(i));
            let names: BTreeMap<String, ()> = selected.map(|i| (i.name.to_string(), ())).collect();
            names.into_keys().collect()
        }
        Some(Document::Record(_)) | None => Vec::new(),
    }
}
