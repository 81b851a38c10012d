//! One cluster: a whole subscriber, its API server, and everything that comes to it late, twice or never.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use writ_core::{
    ack::{Ack, State},
    envelope::Keyring,
    follower::{Ignored, Read},
    model::{ClusterIdentity, ObjectRef},
    name::Name,
    plan::MANAGED,
    scope::Kind,
    subject::BusSubject,
};
use writ_proto::log;
use writ_subscriber::{resource::NAMESPACES, simulation::Subscriber};

use super::{
    api::{Api, Change, Maker},
    bus::{Log, Stored},
    documents::{self, TEAMS},
    promises::{Mutation, Promise},
    publisher::{PULSE_PERIOD_MS, Trusted},
    shared::{Fault, Shared},
    world::BEAT_PERIOD_MS,
};

/// A cluster's clock is any time after this, so that its skew can go both ways.
const CLOCK_FROM_MS: u64 = 1_000_000_000;
/// Messages that a live feed may have waiting; more is a flood, of which the rest is lost.
const LIVE_MAX: usize = 400;

/// Longest pause before a read is repeated: a fifth of the beat, as a second is of the beat's five.
const READ_PAUSE_MAX_MS: u64 = BEAT_PERIOD_MS / 5;

/// Of a thousand answers of replicas that lag, so many are of one that lags by much.
const FAR_BEHIND_PERMILLE: usize = 200;
/// Of a thousand processes that are killed, so many stay away for seconds, in which edits go on.
const AWAY_PERMILLE: usize = 200;

/// An answer on its way.
struct Answer {
    due_ms: u64,
    read: Read,
    /// Nothing: the read failed.
    found: Option<Option<Stored>>,
}

pub(super) struct Cluster {
    pub(super) at: usize,
    pub(super) identity: ClusterIdentity,
    pub(super) api: Api,
    pub(super) run: Option<Subscriber<Api>>,
    starting: Option<JoinHandle<Result<Subscriber<Api>, String>>>,
    shared: Shared,
    trusted: Trusted,
    live: Vec<(u64, BusSubject, Arc<[u8]>)>,
    answers: Vec<Answer>,
    asked: BTreeSet<Read>,
    repeats: BTreeMap<Read, u32>,
    watch: Vec<(u64, Change)>,
    outgoing: VecDeque<Vec<u8>>,
    send_at_ms: u64,
    pub(super) cut_off_until_ms: u64,
    /// Its nearest replica holds no more than so many messages until then.
    behind: (u64, u64),
    /// One replica of three holds no more than so many messages until then.
    pub(super) one_lags: (u64, u64),
    /// It has just begun to listen: whoever wants to replay old messages does so now.
    pub(super) is_fresh: bool,
    pub(super) down_until_ms: u64,
    pub(super) away_until_ms: u64,
    pulse_at_ms: u64,
    boots: u64,
    skew_ms: u64,
    was_cut_off: bool,
    /// The first read of this run is through.
    has_read: bool,
    /// Namespaces that are going away, and when they are gone.
    pub(super) terminating: BTreeMap<String, u64>,
    pub(super) by_hand: BTreeMap<ObjectRef, u8>,
}

/// What a cluster says in a tick.
pub(super) struct Said {
    pub(super) acks: Vec<(BusSubject, Vec<u8>)>,
    pub(super) pulse: Option<(BusSubject, Vec<u8>)>,
}

impl Cluster {
    pub(super) fn new(
        at: usize,
        identity: ClusterIdentity,
        shared: Shared,
        trusted: Trusted,
    ) -> Cluster {
        let api = Api::new(at, shared.clone());
        for (name, tier) in TEAMS {
            let namespace = json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"labels": {"kubernetes.io/metadata.name": name, "tier": tier}},
            });
            api.put(&NAMESPACES.reference(None, name), namespace, Maker::Person);
        }
        Cluster {
            at,
            identity,
            api,
            run: None,
            starting: None,
            shared,
            trusted,
            live: Vec::new(),
            answers: Vec::new(),
            asked: BTreeSet::new(),
            repeats: BTreeMap::new(),
            watch: Vec::new(),
            outgoing: VecDeque::new(),
            send_at_ms: 0,
            cut_off_until_ms: 0,
            behind: (0, 0),
            one_lags: (0, 0),
            is_fresh: false,
            down_until_ms: 0,
            away_until_ms: 0,
            pulse_at_ms: 0,
            boots: 0,
            skew_ms: 0,
            was_cut_off: false,
            has_read: false,
            terminating: BTreeMap::new(),
            by_hand: BTreeMap::new(),
        }
    }

    /// A live message is on its way here.
    pub(super) fn send(&mut self, due_ms: u64, subject: &BusSubject, bytes: &Arc<[u8]>) {
        let is_listening = self.run.is_some() || self.starting.is_some();
        if is_listening && self.live.len() < LIVE_MAX {
            self.live.push((due_ms, subject.clone(), Arc::clone(bytes)));
        }
    }

    /// The process is killed.
    pub(super) fn kill(&mut self) {
        self.api.kill();
    }

    fn is_cut_off(&self, now_ms: u64) -> bool {
        now_ms < self.cut_off_until_ms
    }

    /// Everything that is due.
    pub(super) fn tick(&mut self, log: &Log, now_ms: u64) -> Said {
        self.api.lock().away = now_ms < self.away_until_ms;
        self.bury(now_ms);
        self.live_or_die(log, now_ms);
        let clock_ms = CLOCK_FROM_MS + self.skew_ms + now_ms;
        let changes = std::mem::take(&mut self.api.lock().changes);
        for change in changes {
            let due_ms = now_ms + self.shared.lock().chance.between(1, 40);
            self.watch.push((due_ms, change));
        }
        let Some(mut run) = self.run.take() else {
            self.watch.clear();
            return Said {
                acks: Vec::new(),
                pulse: None,
            };
        };
        if self.was_cut_off && !self.is_cut_off(now_ms) {
            run.gap();
        }
        self.was_cut_off = self.is_cut_off(now_ms);
        self.hear(&mut run, clock_ms, now_ms);
        self.take_answers(&mut run, clock_ms, now_ms);
        for (_, change) in take_due(&mut self.watch, |(due_ms, _)| *due_ms <= now_ms) {
            run.look(&change.at, change.version, change.content.as_ref());
        }
        run.turn(clock_ms);
        self.ask(&run, log, now_ms);
        self.check(&run);
        let said = self.speak(&mut run, clock_ms, now_ms);
        self.run = Some(run);
        said
    }

    /// Starts what is down, and notices what was killed.
    fn live_or_die(&mut self, log: &Log, now_ms: u64) {
        if self.api.is_dead() {
            self.shared.trace(|| format!("k{}: killed", self.at + 1));
            if let Some(starting) = self.starting.take() {
                starting.abort();
            }
            self.run = None;
            self.api = self.api.anew();
            self.live.clear();
            self.answers.clear();
            self.asked.clear();
            self.repeats.clear();
            self.watch.clear();
            self.outgoing.clear();
            let wait_ms = {
                let mut shared = self.shared.lock();
                match shared.faulty && shared.chance.permille(AWAY_PERMILLE) {
                    true => shared.chance.between(500, 4_000),
                    false => shared.chance.between(20, 600),
                }
            };
            self.down_until_ms = self.down_until_ms.max(now_ms + wait_ms);
        }
        if self.run.is_none() && self.starting.is_none() && now_ms >= self.down_until_ms {
            self.boots += 1;
            self.api.boot = self.boots;
            self.has_read = false;
            let (api, identity, trusted) = (
                self.api.clone(),
                self.identity.clone(),
                self.trusted.clone(),
            );
            let boot_id = format!("boot-{}", self.boots);
            let key = documents::ack_key(self.at);
            let trusted = (trusted.publishers, trusted.offline);
            self.starting = Some(tokio::spawn(Subscriber::start(
                api, identity, trusted, key, boot_id,
            )));
        }
        if !self.starting.as_ref().is_some_and(JoinHandle::is_finished) {
            return;
        }
        let Some(started) = self.starting.take() else {
            return;
        };
        match futures::FutureExt::now_or_never(started) {
            Some(Ok(Ok(run))) => {
                self.shared.trace(|| format!("k{}: started", self.at + 1));
                let shelf = self.api.lock();
                let marked = shelf
                    .objects
                    .iter()
                    .filter(|(_, object)| is_marked(&object.content));
                let version = |content: &Value| {
                    content["metadata"]["resourceVersion"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned()
                };
                let marked = marked
                    .map(|(at, object)| (at.clone(), version(&object.content)))
                    .collect();
                let namespaces = shelf
                    .objects
                    .iter()
                    .filter(|(at, _)| at.kind == NAMESPACES.kind);
                let namespaces: Vec<_> = namespaces
                    .map(|(at, object)| (at.clone(), object.content.clone()))
                    .collect();
                run.list(&marked, &namespaces);
                drop(shelf);
                self.run = Some(run);
                self.pulse_at_ms = now_ms;
                self.is_fresh = true;
                let mut shared = self.shared.lock();
                if shared.strikes(Fault::ClockSkew, 300) {
                    self.skew_ms = shared.chance.between(0, 2_000_000);
                }
                // It was moved to where another replica is the nearest.
                if shared.strikes(Fault::ReplicaBehind, 250) {
                    let length = log.len().saturating_sub(shared.chance.between(1, 200));
                    self.behind = (length, now_ms + shared.chance.between(500, 4_000));
                }
            }
            Some(Ok(Err(_)) | Err(_)) | None => self.down_until_ms = now_ms + 100,
        }
    }

    /// Namespaces that were deleted go away with what is in them.
    fn bury(&mut self, now_ms: u64) {
        let due = self
            .terminating
            .iter()
            .filter(|(_, due_ms)| **due_ms <= now_ms);
        for name in due.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.terminating.remove(&name);
            let inside = self
                .api
                .lock()
                .objects
                .keys()
                .filter(|at| at.namespace.as_deref() == Some(&name))
                .cloned()
                .collect::<Vec<_>>();
            for at in inside {
                self.api.remove(&at);
            }
            self.api.remove(&NAMESPACES.reference(None, &name));
        }
    }

    fn hear(&mut self, run: &mut Subscriber<Api>, clock_ms: u64, now_ms: u64) {
        let due = take_due(&mut self.live, |(due_ms, ..)| *due_ms <= now_ms);
        if self.is_cut_off(now_ms) {
            return;
        }
        if !self.has_read && self.shared.is_out(Mutation::ListenFirst) {
            return;
        }
        for (_, subject, bytes) in due {
            let seen = run.hear(&subject, &bytes, clock_ms);
            self.shared
                .trace(|| format!("k{}: heard {subject}: {seen:?}", self.at + 1));
            // A message of the log is one truth; only a publisher's key could sign two.
            let out = self.shared.lock().out.is_some();
            let conflicts = seen == Err(Ignored::Conflicting) && !out;
            let mut shared = self.shared.lock();
            shared.auditor.check(Promise::Authentic, !conflicts, || {
                format!("two truths under {subject}")
            });
        }
    }

    fn take_answers(&mut self, run: &mut Subscriber<Api>, clock_ms: u64, now_ms: u64) {
        for answer in take_due(&mut self.answers, |answer| answer.due_ms <= now_ms) {
            self.asked.remove(&answer.read);
            match answer.found {
                None => run.not_read(&answer.read),
                Some(found) => {
                    let found = found
                        .as_ref()
                        .map(|stored| (&stored.subject, &*stored.bytes));
                    self.shared.trace(|| {
                        format!(
                            "k{}: read {:?}: {}",
                            self.at + 1,
                            answer.read,
                            found.is_some()
                        )
                    });
                    run.answer(&answer.read, found, clock_ms);
                }
            }
        }
    }

    fn ask(&mut self, run: &Subscriber<Api>, log: &Log, now_ms: u64) {
        let wanted = run.wanted();
        self.has_read |= wanted.is_empty();
        self.repeats.retain(|read, _| wanted.contains(read));
        let cut_off = self.is_cut_off(now_ms);
        for read in wanted {
            if !self.asked.insert(read.clone()) {
                continue;
            }
            let mut shared = self.shared.lock();
            *shared.costs.entry("log reads").or_default() += 1;
            let repeat = self.repeats.entry(read.clone()).or_default();
            // As the subscriber paces its own reads.
            let pause_ms = if *repeat < 2 {
                0
            } else {
                (5u64 << (*repeat - 2).min(8)).min(READ_PAUSE_MAX_MS)
            };
            *repeat += 1;
            let mut due_ms = now_ms + pause_ms + shared.chance.between(1, 12);
            if cut_off || shared.strikes(Fault::ReadLost, 20) {
                due_ms += 150;
                drop(shared);
                self.answers.push(Answer {
                    due_ms,
                    read,
                    found: None,
                });
                continue;
            }
            if shared.faulty && shared.chance.permille(80) {
                due_ms += shared.chance.between(50, 600);
            }
            let behind = match shared.strikes(Fault::ReadStale, 250) {
                // A mirror behind a link: what it still holds may have come, gone and come again since.
                true if shared.chance.permille(FAR_BEHIND_PERMILLE) => {
                    shared.chance.between(60, 400)
                }
                true => shared.chance.between(1, 60),
                false => 0,
            };
            let subject = subject(&read);
            let mut length = log.len().saturating_sub(behind);
            if now_ms < self.behind.1 && shared.faulty {
                length = length.min(self.behind.0);
            } else if shared.strikes(Fault::ReplicaBehind, 6) {
                self.behind = (log.len(), now_ms + shared.chance.between(500, 4_000));
            }
            let lags = now_ms < self.one_lags.1 && shared.faulty && shared.chance.permille(333);
            if lags && length > self.one_lags.0 {
                shared.note(Fault::ReadStale);
                length = self.one_lags.0;
            }
            let mut found = log.last(&subject, length).cloned();
            if let Some(stored) = &mut found {
                if shared.strikes(Fault::BitFlipped, 5) {
                    let mut bytes = stored.bytes.to_vec();
                    let at = shared.chance.below(bytes.len());
                    bytes[at] ^= 1 << shared.chance.below(8);
                    stored.bytes = bytes.into();
                } else if shared.strikes(Fault::Truncated, 5) {
                    let length = shared.chance.below(stored.bytes.len());
                    stored.bytes = stored.bytes[..length].into();
                }
            }
            drop(shared);
            self.answers.push(Answer {
                due_ms,
                read,
                found: Some(found),
            });
        }
    }

    fn speak(&mut self, run: &mut Subscriber<Api>, clock_ms: u64, now_ms: u64) -> Said {
        self.outgoing.extend(std::iter::from_fn(|| run.next_ack()));
        let mut acks = Vec::new();
        let cut_off = self.is_cut_off(now_ms);
        while !cut_off && now_ms >= self.send_at_ms && !self.outgoing.is_empty() {
            if self.shared.strikes(Fault::AckLost, 30) {
                self.send_at_ms = now_ms + 1_000;
                break;
            }
            let subject = BusSubject::Ack(run.sender().clone());
            let Some(bytes) = self.outgoing.pop_front() else {
                break;
            };
            self.shared.trace(|| self.said(&subject, &bytes));
            acks.push((subject, bytes));
        }
        let mut pulse = None;
        if now_ms >= self.pulse_at_ms {
            self.pulse_at_ms = now_ms + PULSE_PERIOD_MS;
            let bytes = run.pulse(PULSE_PERIOD_MS, clock_ms);
            self.note_mode(run, now_ms);
            pulse = (!cut_off).then(|| (BusSubject::Pulse(run.sender().clone()), bytes));
        }
        Said { acks, pulse }
    }

    /// What an ack says, for the trace.
    fn said(&self, subject: &BusSubject, bytes: &[u8]) -> String {
        let own = Keyring::new([documents::ack_key(self.at).public()]);
        let Ok(ack) = log::open::<Ack>(subject, bytes, &own) else {
            return format!("k{}: an ack that can't be read", self.at + 1);
        };
        let ack = ack.value;
        let exceptions = ack.exceptions.iter();
        let exceptions: Vec<String> = exceptions
            .map(|it| format!("{}@{} {:?} {}", it.name, it.revision, it.state, it.reason))
            .collect();
        let edits = ack.edits.iter().rev().take(4);
        let edits: Vec<String> = edits
            .map(|it| {
                let drift = if it.drift { " drift" } else { "" };
                format!("{}@{} {:?}{drift}", it.name, it.revision, it.state)
            })
            .collect();
        let feeds = ack.feeds.iter();
        let feeds: Vec<String> = feeds
            .map(|(feed, state)| format!("{feed}@{}", state.revision.number))
            .collect();
        format!(
            "k{}: ack {} of boot {}, at {}, but {exceptions:?}; last {edits:?}; held {feeds:?}",
            self.at + 1,
            ack.counter,
            ack.boot,
            ack.revision,
        )
    }

    /// What a cluster offers to a log that is behind, if it can be reached.
    pub(super) fn recall(&mut self, recall: &[u8], now_ms: u64) -> Vec<Vec<u8>> {
        let is_reached = !self.is_cut_off(now_ms);
        let run = self.run.as_mut().filter(|_| is_reached);
        run.map(|run| run.recall(recall)).unwrap_or_default()
    }

    /// Whether it says of a policy that the recovered log does not speak of what is here.
    pub(super) fn is_not_recovered(&self, policy: &str) -> bool {
        let key = (Kind::Policy, Name::parse(policy).expect("a name"));
        let run = self.run.as_ref();
        let standing = run.and_then(|run| run.follower().standing(&key));
        standing.is_some_and(|standing| standing.reason == "NotRecovered")
    }

    /// Whether anything there knows of a policy still; unknown while no process runs.
    pub(super) fn knows(&self, policy: &str) -> bool {
        let key = (Kind::Policy, Name::parse(policy).expect("a name"));
        let run = self.run.as_ref();
        run.is_none_or(|run| run.follower().word(&key).is_some()) || self.left_of(policy).is_some()
    }

    /// An object of a policy that is there still.
    pub(super) fn left_of(&self, policy: &str) -> Option<ObjectRef> {
        let shelf = self.api.lock();
        let mut objects = shelf.objects.iter();
        let left = objects.find(|(at, object)| object.is_of(at, policy));
        left.map(|(at, _)| at.clone())
    }

    /// It says whether it only observes.
    fn note_mode(&self, run: &Subscriber<Api>, now_ms: u64) {
        let own = (Kind::Cluster, Name::from(&self.identity.name));
        let entry = run.follower().word(&own).map(|word| word.revision);
        let said = entry.filter(|_| run.observes());
        let mut shared = self.shared.lock();
        if let Some(revision) = said {
            shared.tell(|| format!("k{}: says that it observes, by {revision}", self.at + 1));
        }
        shared.auditor.said_mode(self.at, said, self.boots, now_ms);
    }

    /// "Applied" is said only of what was there, and what is held has limits.
    fn check(&self, run: &Subscriber<Api>) {
        let follower = run.follower();
        let mut shared = self.shared.lock();
        for policy in documents::POLICIES {
            let key = (Kind::Policy, Name::parse(policy).expect("a name"));
            let Some(word) = follower.word(&key) else {
                continue;
            };
            let standing = follower.standing(&key);
            if standing.is_some_and(|standing| standing.state == State::Applied)
                && word.content.is_some()
            {
                let who = format!("the subscriber of cluster {}", self.at);
                shared
                    .auditor
                    .said_applied(&who, self.at, policy, word.revision);
            }
        }
        let reads = follower.wanted().len();
        let most = 1 + 8 * (1 + documents::names().len());
        shared.auditor.check(Promise::Bounded, reads <= most, || {
            format!("{reads} reads are wanted at once")
        });
    }
}

/// Where a read finds its answer.
fn subject(read: &Read) -> BusSubject {
    match read {
        Read::Root => BusSubject::Root,
        Read::Index(feed) => BusSubject::Index(feed.clone()),
        Read::Base(feed) => BusSubject::Base(feed.clone()),
        Read::Body(feed, name) => BusSubject::event(feed, name),
    }
}

pub(super) fn is_marked(content: &Value) -> bool {
    content["metadata"]["labels"][MANAGED] == "true"
}

/// Takes out what is due, in its order.
fn take_due<T>(from: &mut Vec<T>, is_due: impl Fn(&T) -> bool) -> Vec<T> {
    let (due, rest) = std::mem::take(from)
        .into_iter()
        .partition(|item| is_due(item));
    *from = rest;
    due
}
