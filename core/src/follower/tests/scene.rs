//! One cluster, one log, and no faults but those that a test makes.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;

use super::{
    super::{Action, Follower, HeldFeed, Ignored, Key, Past, Read, Standing},
    documents,
    log::{Log, root_hash},
    world::Recorded,
};
use crate::{
    beat::Beat,
    edit::Edit,
    event::Event,
    index::{Entries, TAIL_LENGTH_MAX},
    model::ClusterIdentity,
    name::{ClusterName, Name, Region, Stage},
    recover::{Found, Plan},
    revision::Revision,
    root::Root,
    scope::{Feed, Kind},
};

/// More passes than a read of everything takes.
const PASSES_MAX: usize = 20;
pub(super) const BEAT_EXPIRES_AFTER_MS: u64 = 30_000;

pub(super) struct Scene {
    pub(super) log: Log,
    pub(super) follower: Follower,
    pub(super) records: BTreeMap<Key, Recorded>,
    pub(super) now_ms: u64,
    /// Beats so far.
    beats: u64,
}

/// A policy of that selector for region `eu` and stage `prod`.
pub(super) fn local(name: &str) -> Edit {
    documents::policy(name, &json!({"regions": ["eu"], "stages": ["prod"]}))
}

pub(super) fn own_entry(tier: &str) -> Edit {
    documents::cluster("eu-prod-1", ("eu", "prod"), tier, "fleet")
}

pub(super) fn policy(name: &str) -> Key {
    (Kind::Policy, Name::parse(name).unwrap())
}

pub(super) fn feed(text: &str) -> Feed {
    text.parse().unwrap()
}

impl Scene {
    /// The cluster is registered and knows nothing yet.
    pub(super) fn registered() -> Scene {
        let mut scene = Scene::empty();
        scene.commit(&own_entry("gold"));
        scene
    }

    pub(super) fn empty() -> Scene {
        Scene {
            log: Log::with_tails(TAIL_LENGTH_MAX),
            follower: Follower::new(identity()),
            records: BTreeMap::new(),
            now_ms: 1,
            beats: 0,
        }
    }

    /// The cluster is registered, and holds these.
    pub(super) fn holding(edits: &[Edit]) -> Scene {
        let mut scene = Scene::registered();
        edits.iter().for_each(|edit| drop(scene.commit(edit)));
        scene.catch_up();
        scene
    }

    /// Commits an edit; answers the positions of its events.
    pub(super) fn commit(&mut self, edit: &Edit) -> Vec<usize> {
        self.log.commit(std::slice::from_ref(edit))
    }

    pub(super) fn hear(&mut self, position: usize) -> Result<(), Ignored> {
        let (event, signed) = self.log.event(position);
        self.follower.on_event(event, signed, self.now_ms)
    }

    /// Commits an edit, all events of which are heard live.
    pub(super) fn edit_live(&mut self, edit: &Edit) {
        for position in self.commit(edit) {
            assert_ne!(self.hear(position), Err(Ignored::Older));
        }
    }

    pub(super) fn hear_event(&mut self, event: &Event) -> Result<(), Ignored> {
        self.follower.on_event(event, &Arc::from([]), self.now_ms)
    }

    pub(super) fn beat(&mut self) -> Result<(), Ignored> {
        self.beats += 1;
        let beat = Beat {
            issued_ms: self.beats,
            ..beat(self.log.state.revision())
        };
        self.follower.on_beat(&beat, self.now_ms)
    }

    pub(super) fn answer(&mut self, read: &Read) {
        let found = self.log.find(read, self.log.len());
        self.log
            .answer(&mut self.follower, read, found, self.now_ms);
    }

    /// Answers a read from a replica that holds less.
    pub(super) fn answer_from(&mut self, read: &Read, length: usize) {
        let found = self.log.find(read, length);
        self.log
            .answer(&mut self.follower, read, found, self.now_ms);
    }

    /// Reads until nothing is wanted; answers what was read.
    pub(super) fn read_all(&mut self) -> Vec<String> {
        let mut reads = Vec::new();
        for _ in 0..PASSES_MAX {
            let wanted = self.follower.wanted();
            if wanted.is_empty() {
                return reads;
            }
            for read in wanted {
                self.answer(&read);
                reads.push(match read {
                    Read::Root => "root".to_owned(),
                    Read::Index(feed) => format!("index {feed}"),
                    Read::Base(feed) => format!("base {feed}"),
                    Read::Body(feed, name) => format!("body {feed} {name}"),
                });
            }
            self.follower.decide();
        }
        panic!("still wanted: {:?}", self.follower.wanted());
    }

    /// Keeps what was seen and does all that is decided, with success; answers what was done about
    /// policies.
    pub(super) fn act(&mut self) -> Vec<String> {
        let seen = self.follower.seen().clone();
        self.follower.on_kept(&seen);
        self.act_unkept()
    }

    /// The same while nothing more of what was seen can be kept.
    pub(super) fn act_unkept(&mut self) -> Vec<String> {
        let mut acts = Vec::new();
        loop {
            let decided = self.follower.decide();
            if decided.is_empty() {
                return acts;
            }
            for action in decided {
                let key = action.key().clone();
                let (verb, past, signed) = match action {
                    Action::Forget { .. } => ("forget", None, None),
                    Action::Apply { past, signed, .. } => ("apply", Some(past), Some(signed)),
                    Action::Remove { past, .. } => ("remove", Some(past), None),
                };
                if key.0 == Kind::Policy {
                    let generation = past.as_ref().filter(|past| !past.removed);
                    let generation = generation.map(|past| format!("@{}", past.generation));
                    acts.push(format!(
                        "{verb} {}{}",
                        key.1,
                        generation.unwrap_or_default()
                    ));
                }
                self.records.remove(&key);
                let Some(past) = past else {
                    self.follower.on_forgotten(&key);
                    continue;
                };
                let past = Past { done: true, ..past };
                self.records.insert(key.clone(), (past.clone(), signed));
                self.follower.on_brought(&key, past, Standing::applied());
            }
        }
    }

    /// One beat, and all that follows from it; answers what was done about policies.
    pub(super) fn catch_up(&mut self) -> Vec<String> {
        assert_eq!(self.beat(), Ok(()));
        self.read_all();
        let acts = self.act();
        assert_eq!(self.follower.wanted(), []);
        acts
    }

    /// Only what the cluster stores is left.
    pub(super) fn restart(&mut self) {
        let seen = self.follower.seen().clone();
        let before = self.follower.before();
        self.follower = Follower::new(identity());
        for (feed, revision) in &seen {
            self.follower.restore_seen(feed, *revision);
        }
        for (feed, before) in before {
            self.follower.restore_before(&feed, before);
        }
        for (key, (past, signed)) in &self.records {
            let event = signed
                .as_ref()
                .map(|signed| self.log.event(Log::position(signed)));
            self.follower.restore(key.clone(), past.clone(), event);
        }
    }

    /// Only what the cluster stores is left, the root with its feeds among it.
    pub(super) fn restart_with_root(&mut self) {
        let kept = self.follower.held_at_root().map(|(root, feeds)| {
            let entries = |held: HeldFeed| (held.feed, held.entries.as_ref().clone());
            (root.clone(), feeds.into_iter().map(entries).collect())
        });
        self.restart();
        if let Some((root, feeds)) = kept {
            self.restore_root(root, feeds);
        }
    }

    pub(super) fn restore_root(&mut self, root: Root, feeds: BTreeMap<Feed, Entries>) {
        if let Some(opening) = self.log.opening(&root) {
            self.follower.on_opening(opening);
        }
        let hash = root_hash(root.revision);
        self.follower.restore_root(root, hash, feeds);
    }

    /// The log is recovered in the next epoch, from what is left of it and what this cluster holds, if
    /// it is asked.
    pub(super) fn recover(&mut self, epoch: u64, is_asked: bool) -> Plan {
        let mut found = Found::default();
        found.listener(&identity().region, &identity().stage);
        if is_asked {
            self.log.offer("eu-prod-1", &self.follower, &mut found);
        }
        self.log.state_openings(&mut found);
        let plan = Plan::make(&self.log.copy(), &found);
        self.log.recover(&plan, epoch);
        plan
    }

    /// The exceptions of the summary: name, state and reason.
    pub(super) fn exceptions(&self) -> Vec<String> {
        let exceptions = self.follower.summary().exceptions;
        let exception = |e: crate::ack::Exception| {
            format!("{}@{} {:?} {}", e.name, e.generation, e.state, e.reason)
        };
        exceptions.into_iter().map(exception).collect()
    }
}

pub(super) fn beat(revision: Revision) -> Beat {
    Beat {
        revision,
        root: root_hash(revision),
        issued_ms: 0,
        expires_after_ms: BEAT_EXPIRES_AFTER_MS,
        publisher: "publisher-1".to_owned(),
    }
}

fn identity() -> ClusterIdentity {
    ClusterIdentity {
        name: ClusterName::parse("eu-prod-1").unwrap(),
        region: Region::parse("eu").unwrap(),
        stage: Stage::parse("prod").unwrap(),
        labels: BTreeMap::new(),
    }
}
