//! The world around the followers, and its faults.
//!
//! Live events are lost, doubled, reordered and replayed; replicas lag, stand in the middle of a batch,
//! and answer late and in any order; beats are old; subscribers stop between any two steps and keep
//! only what a cluster stores; the cluster's API fails before, midway and after.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    super::{Action, Before, Follower, HeldFeed, Ignored, Key, Past, Read},
    auditor::Auditor,
    chance::Chance,
    counts::Counts,
    documents,
    edits::{self, CLUSTERS},
    log::{Log, root_hash},
};
use crate::{
    beat::Beat,
    edit::Edit,
    epoch,
    index::Entries,
    model::ClusterIdentity,
    name::{ClusterName, Region, Stage},
    revision::Revision,
    root::Root,
    scope::Feed,
};

/// Changes in a tail before the base is rewritten: few, so that a short history meets it.
const TAIL_MAX: usize = 4;

/// What happens in a step.
#[derive(Clone, Copy)]
enum Happens {
    Edit,
    Deliver,
    Replay,
    Beat,
    Read,
    Answer,
    Restart,
    Gap,
    Lose,
    Recover,
}

const STEPS: [(Happens, usize); 10] = [
    (Happens::Edit, 14),
    (Happens::Deliver, 30),
    (Happens::Replay, 7),
    (Happens::Beat, 8),
    (Happens::Read, 34),
    (Happens::Answer, 14),
    (Happens::Restart, 2),
    (Happens::Gap, 2),
    (Happens::Lose, 1),
    (Happens::Recover, 6),
];

/// What a cluster keeps of one name: its past, and the signed event.
pub(super) type Recorded = (Past, Option<Arc<[u8]>>);

/// A cluster with its subscriber.
pub(super) struct Subscriber {
    pub(super) identity: ClusterIdentity,
    pub(super) follower: Follower,
    /// What the cluster stores; the rest is lost with a restart.
    pub(super) seen: BTreeMap<Feed, Revision>,
    pub(super) before: BTreeMap<Feed, Before>,
    pub(super) records: BTreeMap<Key, Recorded>,
    /// Positions of live events on their way.
    pub(super) live: Vec<usize>,
    /// Answers on their way: to which read, and where it was found.
    pub(super) answers: Vec<(Read, Option<usize>)>,
    pub(super) works: BTreeMap<Key, Action>,
    /// The root with its feeds, as it was kept at some time.
    pub(super) kept: Option<Kept>,
}

/// A root that a cluster keeps, and what its feeds held.
pub(super) type Kept = (Root, BTreeMap<Feed, Entries>);

pub(super) struct World {
    pub(super) chance: Chance,
    pub(super) log: Log,
    pub(super) auditor: Auditor,
    pub(super) subscribers: Vec<Subscriber>,
    pub(super) sent: Vec<usize>,
    pub(super) beats: Vec<Revision>,
    /// When the next beat is signed: each is later than the one before.
    beat_at_ms: u64,
    /// The log was lost, and no publisher takes an edit.
    pub(super) is_frozen: bool,
    /// The highest epoch ever opened.
    pub(super) epoch: u64,
    pub(super) faults: bool,
    pub(super) now_ms: u64,
    /// How much of the work under way ends in a step, in percent: some clusters are slow.
    pub(super) pace: usize,
    pub(super) counts: Counts,
}

impl World {
    pub(super) fn new(seed: u64) -> World {
        let identities = CLUSTERS.map(|(name, (region, stage))| ClusterIdentity {
            name: ClusterName::parse(name).expect("a name"),
            region: Region::parse(region).expect("a region"),
            stage: Stage::parse(stage).expect("a stage"),
            labels: BTreeMap::new(),
        });
        let subscribers = identities.clone().map(Subscriber::new).into();
        let mut chance = Chance::of(seed);
        let mut world = World {
            pace: chance.pick(&[10, 60, 90]),
            chance,
            log: Log::with_tails(TAIL_MAX),
            auditor: Auditor::new(identities.into()),
            subscribers,
            sent: Vec::new(),
            beats: Vec::new(),
            beat_at_ms: 0,
            is_frozen: false,
            epoch: epoch::FIRST,
            faults: true,
            now_ms: 0,
            counts: Counts::default(),
        };
        for (name, place) in CLUSTERS {
            world.commit(&[documents::cluster(name, place, "gold", "fleet")]);
        }
        world
    }

    fn edit(&mut self) {
        if self.is_frozen {
            return;
        }
        let count = self.chance.pick(&[1, 1, 1, 2, 3]);
        let edits: Vec<Edit> = (0..count)
            .map(|_| edits::random_edit(&mut self.chance))
            .collect();
        self.commit(&edits);
    }

    fn commit(&mut self, edits: &[Edit]) {
        let events = self.log.commit(edits);
        for edit in edits {
            self.auditor.commit(edit);
            self.counts.edits += 1;
        }
        for at in events {
            self.send(at);
        }
        self.beats.push(self.log.state.revision());
    }

    /// Republishes a stored event.
    pub(super) fn send(&mut self, at: usize) {
        let feed = &self.log.event(at).0.feed;
        for subscriber in &mut self.subscribers {
            if subscriber.follower.seen().contains_key(feed) {
                let copies = self.chance.weighted(&[(0, 20), (1, 75), (2, 5)]);
                subscriber.live.extend(std::iter::repeat_n(at, copies));
            }
        }
        self.sent.push(at);
    }

    pub(super) fn hear(&mut self, at: usize, position: usize) {
        let (event, signed) = self.log.event(position);
        match self.subscribers[at]
            .follower
            .on_event(event, signed, self.now_ms)
        {
            Ok(()) => {}
            Err(Ignored::Older) => self.counts.older += 1,
            Err(Ignored::ForeignScope) => self.counts.foreign += 1,
            Err(Ignored::Unopened) => self.counts.unopened += 1,
            Err(Ignored::Conflicting) => panic!("the log has one truth: {event:?}"),
        }
    }

    pub(super) fn deliver(&mut self, at: usize) {
        let waiting = self.subscribers[at].live.len();
        if waiting > 0 {
            let jumps = self.faults && self.chance.percent(50);
            let next = if jumps { self.chance.below(waiting) } else { 0 };
            let position = self.subscribers[at].live.remove(next);
            self.hear(at, position);
        }
    }

    pub(super) fn beat(&mut self, at: usize) {
        let newest = self.log.state.revision();
        let old = self.faults && self.chance.percent(40);
        let revision = if old {
            self.chance.pick(&self.beats)
        } else {
            newest
        };
        self.beat_at_ms += 1;
        let beat = Beat {
            revision,
            root: root_hash(revision),
            issued_ms: self.beat_at_ms,
            expires_after_ms: 30_000,
            publisher: "p1".to_owned(),
        };
        let answer = self.subscribers[at].follower.on_beat(&beat, self.now_ms);
        assert_ne!(answer, Err(Ignored::Conflicting));
    }

    /// Asks: any replica answers, perhaps one that is behind, perhaps in the middle of a batch.
    fn ask(&mut self, at: usize) {
        let wanted = self.subscribers[at].follower.wanted();
        if wanted.is_empty() {
            return;
        }
        let read = self.chance.pick(&wanted);
        if self.chance.percent(5) {
            self.edit();
        }
        let behind = match self.chance.below(7) {
            0..4 => 0,
            4..6 => self.chance.below(20),
            _ => self.chance.below(100),
        };
        let of_lost = self.faults && self.chance.percent(20);
        let lost = self.log.find_lost(&read).filter(|_| of_lost);
        let found = lost.or_else(|| self.log.find(&read, self.log.len().saturating_sub(behind)));
        self.subscribers[at].answers.push((read, found));
        if self.chance.percent(70) {
            let newest = self.subscribers[at].answers.len() - 1;
            self.answer(at, newest);
        }
    }

    pub(super) fn answer(&mut self, at: usize, which: usize) {
        let (read, found) = self.subscribers[at].answers.remove(which);
        let subscriber = &mut self.subscribers[at];
        if self.faults && self.chance.percent(4) {
            subscriber.follower.on_read_failed(&read);
            return;
        }
        self.counts.stale_answers += usize::from(found != self.log.find(&read, self.log.len()));
        self.log
            .answer(&mut subscriber.follower, &read, found, self.now_ms);
    }

    pub(super) fn answer_any(&mut self, at: usize) {
        let waiting = self.subscribers[at].answers.len();
        if waiting > 0 {
            let which = self.chance.below(waiting);
            self.answer(at, which);
        }
    }

    pub(super) fn restart(&mut self, at: usize) {
        let subscriber = &mut self.subscribers[at];
        let mut follower = Follower::new(subscriber.identity.clone());
        for (feed, revision) in &subscriber.seen {
            follower.restore_seen(feed, *revision);
        }
        for (feed, before) in &subscriber.before {
            follower.restore_before(feed, before.clone());
        }
        for (key, (past, signed)) in &subscriber.records {
            // A mirror whose signed bytes were damaged gives no event.
            let kept = signed.as_ref().filter(|_| !self.chance.percent(3));
            let event = kept.map(|signed| self.log.event(Log::position(signed)));
            follower.restore(key.clone(), past.clone(), event);
        }
        if let Some((root, feeds)) = &subscriber.kept {
            if let Some(opening) = self.log.opening(root) {
                follower.on_opening(opening);
            }
            follower.restore_root(root.clone(), root_hash(root.revision), feeds.clone());
        }
        subscriber.follower = follower;
        subscriber.answers.clear();
        subscriber.works.clear();
        self.counts.crashed += 1;
    }

    pub(super) fn step(&mut self) {
        let at = self.chance.below(self.subscribers.len());
        self.now_ms += 100;
        match self.chance.weighted(&STEPS) {
            Happens::Edit => self.edit(),
            Happens::Deliver => self.deliver(at),
            Happens::Replay => {
                let position = self.chance.pick(&self.sent);
                self.hear(at, position);
            }
            Happens::Beat => self.beat(at),
            Happens::Read => self.ask(at),
            Happens::Answer => self.answer_any(at),
            Happens::Restart => self.restart(at),
            Happens::Gap => self.subscribers[at].follower.on_gap(),
            Happens::Lose => self.lose_log(),
            Happens::Recover => self.recover(),
        }
        self.settle(at);
        if self.chance.percent(5) {
            self.subscribers[at].keep_root();
        }
    }
}

impl Subscriber {
    fn new(identity: ClusterIdentity) -> Subscriber {
        Subscriber {
            follower: Follower::new(identity.clone()),
            identity,
            seen: BTreeMap::new(),
            before: BTreeMap::new(),
            records: BTreeMap::new(),
            live: Vec::new(),
            answers: Vec::new(),
            works: BTreeMap::new(),
            kept: None,
        }
    }

    /// What the cluster keeps of the log now and then.
    fn keep_root(&mut self) {
        if let Some((root, feeds)) = self.follower.held_at_root() {
            let entries = |held: HeldFeed| (held.feed, held.entries.as_ref().clone());
            self.kept = Some((root.clone(), feeds.into_iter().map(entries).collect()));
        }
    }
}
