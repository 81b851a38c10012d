//! A publisher: the real state machines of the log, of an attempt and of the tracker, over the modelled
//! bus. What a publisher does between them (waiting, sending, following) is modelled here, one step at a
//! time, so that it can be killed or paused between any two.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
};

use writ_core::{
    ack::{Ack, Pulse},
    beat::Beat,
    edit::Kind,
    edit::{Attempt, Claim, Group, Intent, Message, Next, Reply, SeenRoot, State},
    envelope::{Keyring, SigningKey},
    hash::Hash,
    model::{Cluster, ClusterSelector, Document, Mode},
    name::Name,
    recover::{Asked, Heard, Watch},
    revision::{Generation, Revision},
    subject::{BusSubject, Sender},
    tracker::{Now, Tracker},
};
use writ_proto::log;

use super::{
    bus::{Batch, Log, Opened, Stored, TAILS},
    documents::{Made, Says},
};

/// Roots that are remembered: fewer than a publisher's, so that the other way is taken too.
const ROOTS_MAX: usize = 4;
/// How long an edit may take.
const EDIT_TIME_MAX_MS: u64 = 20_000;
/// The pulse period that the tracker expects.
pub(super) const PULSE_PERIOD_MS: u64 = 2_000;

/// Whose word counts.
#[derive(Debug, Clone)]
pub(super) struct Trusted {
    pub(super) publishers: Keyring,
    /// The key that opens epochs.
    pub(super) offline: Keyring,
}

/// An edit of a batch: its number in the simulation, and what it became.
pub(super) type Numbered = (u64, Revision, Generation);

/// A batch on its way, and what its client waits for.
pub(super) struct Job {
    made: Vec<Made>,
    deadline_ms: u64,
    sent: Option<Sent>,
}

struct Sent {
    batch: Batch,
    attempt: Attempt,
    next: Next,
    edits: Vec<Numbered>,
    built_on: Revision,
}

/// What a client is told.
pub(super) enum Told {
    Committed(Vec<u64>),
    NotStored(Vec<u64>),
    /// Nobody knows; the client asks again.
    Unknown,
}

pub(super) struct Publisher {
    pub(super) name: String,
    key: SigningKey,
    trusted: Trusted,
    pub(super) state: State,
    pub(super) root_hash: Option<Hash>,
    root_sequence: u64,
    roots: VecDeque<SeenRoot>,
    pub(super) read: u64,
    acks_read: usize,
    log_life: u64,
    open: Vec<Rc<Opened>>,
    documents: BTreeMap<(Kind, Name), Rc<Opened>>,
    pub(super) tracker: Tracker,
    /// Whether the log is behind what publishers signed (9).
    watch: Watch,
    asks_leader: bool,
    broken: bool,
    pub(super) job: Option<Job>,
    pub(super) waiting: VecDeque<Made>,
    pub(super) beat_at_ms: u64,
    pub(super) heard_beat: Option<(Hash, u64)>,
    pub(super) paused_until_ms: u64,
}

impl Publisher {
    pub(super) fn new(name: String, key: SigningKey, trusted: Trusted, now: Now) -> Publisher {
        Publisher {
            name,
            key,
            trusted,
            state: State::with_tails(TAILS),
            root_hash: None,
            root_sequence: 0,
            roots: VecDeque::new(),
            read: 0,
            acks_read: 0,
            log_life: 0,
            open: Vec::new(),
            documents: BTreeMap::new(),
            tracker: Tracker::new(now, PULSE_PERIOD_MS),
            watch: Watch::default(),
            asks_leader: false,
            broken: false,
            job: None,
            waiting: VecDeque::new(),
            beat_at_ms: now.monotonic_ms,
            heard_beat: None,
            paused_until_ms: 0,
        }
    }

    /// The process is killed and started again: what it waited for is forgotten, and so is what it knew.
    pub(super) fn restart(&mut self, now: Now) {
        let (name, key, trusted) = (self.name.clone(), self.key.clone(), self.trusted.clone());
        *self = Publisher::new(name, key, trusted, now);
    }

    /// Follows the log by so many messages.
    pub(super) fn follow(&mut self, log: &Log, most: u64, now: Now) {
        if log.restored != self.log_life {
            // Another log under this name: it is read from its beginning; what was heard stays known.
            // What was read before is heard of like anything else: it was signed.
            let mut watch = std::mem::take(&mut self.watch);
            watch.on_restart();
            let held = self.root_hash.map(|root| Heard {
                revision: self.state.revision(),
                root: Some(root),
                from: self.name.clone(),
            });
            self.restart(now);
            (self.watch, self.log_life) = (watch, log.restored);
            held.into_iter().for_each(|heard| self.hear(heard));
        }
        let until = log.len().min(self.read + most);
        while self.read < until {
            self.read += 1;
            let stored = log.at(self.read);
            let is_root = stored.subject == BusSubject::Root;
            if is_root {
                self.root_sequence = self.read;
            }
            if let Some(opened) = log.open(self.read, &self.trusted.publishers) {
                self.take(opened, now);
            }
        }
    }

    /// A publisher's signed word was heard.
    fn hear(&mut self, heard: Heard) {
        self.asks_leader |= self.watch.hear(heard) == Asked::Leader;
    }

    /// Asks the log's leader for its root, where that has to be known; nothing: it can't be asked.
    pub(super) fn ask_leader(&mut self, leader: Option<&Log>) {
        if let Some(log) = leader.filter(|_| self.asks_leader) {
            self.asks_leader = false;
            let root = log.open(log.root(), &self.trusted.publishers);
            let root = root.map(|root| (root.message.revision(), root.hash));
            self.watch.on_leader(root);
        }
    }

    /// What somebody shows of a publisher's words.
    fn show(&mut self, bytes: &[u8], from: &Sender) {
        let shown = log::claimed_witness(bytes)
            .and_then(|witness| log::open_witness(&witness, &self.trusted.publishers).ok());
        if let Some(shown) = shown {
            self.hear(Heard {
                revision: shown.revision,
                root: shown.root,
                from: from.cluster.to_string(),
            });
        }
    }

    fn take(&mut self, opened: Rc<Opened>, now: Now) {
        if let Message::Root(root) = &opened.message
            && let Ok(Some(opening)) = log::open_opening(root, &self.trusted.offline)
        {
            self.state.admit(&opening);
        }
        let root = match &opened.message {
            Message::Intent(_) => {
                self.open.push(Rc::clone(&opened));
                None
            }
            Message::Root(root) => Some(SeenRoot {
                revision: root.revision,
                hash: opened.hash,
                edits: root.edits.clone(),
            }),
            _ => None,
        };
        match self.state.follow(opened.message.clone()) {
            Ok(None) => {}
            Ok(Some(_)) => {
                self.broken = false;
                self.root_hash = root.as_ref().map(|root| root.hash);
                self.watch.on_root(self.state.revision(), opened.hash);
                self.roots.extend(root);
                let surplus = self.roots.len().saturating_sub(ROOTS_MAX);
                self.roots.drain(..surplus);
                for opened in std::mem::take(&mut self.open) {
                    let Message::Intent(intent) = &opened.message else {
                        continue;
                    };
                    let key = (intent.kind, intent.name.clone());
                    match &opened.document {
                        Some(Some(_)) => drop(self.documents.insert(key, Rc::clone(&opened))),
                        Some(None) => drop(self.documents.remove(&key)),
                        None => {}
                    }
                    if let Some(committed) = &opened.committed {
                        self.tracker.edit(committed.clone(), now);
                    }
                }
            }
            Err(_) => {
                self.broken = true;
                self.open.clear();
            }
        }
    }

    /// Takes the stored acks that came since.
    pub(super) fn hear_acks(&mut self, acks: &[(BusSubject, Vec<u8>)], now: Now) {
        while let Some((subject, bytes)) = acks.get(self.acks_read) {
            self.acks_read += 1;
            let BusSubject::Ack(sender) = subject else {
                continue;
            };
            self.show(bytes, sender);
            let keyring = self.tracker.keyring(&sender.cluster);
            if let Ok(ack) = log::open::<Ack>(subject, bytes, &keyring) {
                let _ = self.tracker.ack(ack.value, Some(now));
            }
        }
    }

    /// Takes a pulse, and reads the last ack again where it tells of one that was not seen.
    pub(super) fn hear_pulse(
        &mut self,
        subject: &BusSubject,
        bytes: &[u8],
        acks: &[(BusSubject, Vec<u8>)],
        now: Now,
    ) {
        let BusSubject::Pulse(sender) = subject else {
            return;
        };
        self.show(bytes, sender);
        let keyring = self.tracker.keyring(&sender.cluster);
        let Ok(pulse) = log::open::<Pulse>(subject, bytes, &keyring) else {
            return;
        };
        let Ok(news) = self.tracker.pulse(pulse.value, now) else {
            return;
        };
        let own = BusSubject::Ack(sender.clone());
        let last = acks.iter().rev().find(|(subject, _)| *subject == own);
        if let Some((subject, bytes)) = last.filter(|_| news.ack_missing)
            && let Ok(ack) = log::open::<Ack>(subject, bytes, &keyring)
        {
            let _ = self.tracker.ack(ack.value, Some(now));
        }
    }

    /// Takes another publisher's beat.
    pub(super) fn hear_beat(&mut self, bytes: &[u8], now_ms: u64) {
        if let Ok(beat) = log::open::<Beat>(&BusSubject::Beat, bytes, &self.trusted.publishers)
            && beat.value.publisher != self.name
        {
            self.heard_beat = Some((beat.value.root, now_ms));
            self.hear(Heard {
                revision: beat.value.revision,
                root: Some(beat.value.root),
                from: beat.value.publisher,
            });
        }
    }

    /// Whether it edits: not on a log that does not fit together or is being recovered, nor on one that is
    /// behind what publishers signed (9).
    pub(super) fn may_edit(&self, without_rule_9: bool) -> bool {
        let is_behind = self.watch.ahead().is_some();
        !self.broken && !self.state.is_torn(false) && (without_rule_9 || !is_behind)
    }

    /// A beat, unless another publisher has just said the same.
    pub(super) fn beat(
        &mut self,
        period_ms: u64,
        wall_ms: u64,
        now_ms: u64,
    ) -> Option<(Beat, Vec<u8>)> {
        let root = self.root_hash.filter(|_| !self.broken)?;
        let said = |(hash, at): (Hash, u64)| hash == root && now_ms - at < period_ms;
        if self.heard_beat.is_some_and(said) {
            return None;
        }
        let beat = Beat {
            revision: self.state.revision(),
            root,
            issued_ms: wall_ms,
            expires_after_ms: 6 * period_ms,
            publisher: self.name.clone(),
        };
        let bytes = log::seal(&beat, &self.key).bytes;
        Some((beat, bytes))
    }

    /// Takes what waits into one batch, if none is on its way.
    pub(super) fn begin(&mut self, now_ms: u64) {
        if self.job.is_none() && !self.waiting.is_empty() {
            // The names of a group differ.
            let mut made: Vec<Made> = Vec::new();
            let same = |of: &Made, one: &Made| {
                (of.edit.kind, &of.edit.name) == (one.edit.kind, &one.edit.name)
            };
            while let Some(next) = self.waiting.pop_front() {
                if made.iter().any(|of| same(of, &next)) {
                    self.waiting.push_front(next);
                    break;
                }
                made.push(next);
            }
            self.job = Some(Job {
                made,
                deadline_ms: now_ms + EDIT_TIME_MAX_MS,
                sent: None,
            });
        }
    }

    /// Builds and signs the batch of the job on the newest state.
    pub(super) fn build(&mut self, without_empty_indexes: bool) {
        let targets: Vec<Vec<String>> = match &self.job {
            Some(job) if job.sent.is_none() => {
                job.made.iter().map(|made| self.targets(made)).collect()
            }
            _ => return,
        };
        let Some(job) = &mut self.job else { return };
        let mut group = Group::new(&self.state);
        let mut edits = Vec::new();
        for (made, targets) in job.made.iter().zip(targets) {
            let mut edit = made.edit.clone();
            edit.targets = targets;
            if without_empty_indexes
                && let writ_core::edit::Change::Put { listens, .. } = &mut edit.change
            {
                *listens = None;
            }
            let (revision, generation) = group.add(&edit);
            edits.push((made.id, revision, generation));
        }
        let built = group.finish();
        let (mut claims, mut root, mut messages) = (Vec::new(), Hash([0; 32]), Vec::new());
        for message in &built.messages {
            let sealed = log::seal_message(message, &self.key);
            match message {
                Message::Intent(intent) => claims.push(Claim {
                    kind: intent.kind,
                    name: intent.name.clone(),
                    generation: intent.generation,
                    hash: sealed.hash,
                }),
                Message::Root(_) => root = sealed.hash,
                _ => {}
            }
            messages.push(Stored {
                subject: message.subject(),
                bytes: sealed.bytes.into(),
            });
        }
        job.sent = Some(Sent {
            batch: Batch {
                messages,
                plain: built.messages,
                root: self.root_sequence,
            },
            attempt: Attempt::new(self.state.revision(), root, claims),
            next: Next::Send,
            edits,
            built_on: self.state.revision(),
        });
    }

    /// The batch to send now, if one is to be sent.
    pub(super) fn to_send(&self) -> Option<(&Batch, &[Numbered], &[Made])> {
        let job = self.job.as_ref()?;
        let sent = job.sent.as_ref().filter(|sent| sent.next == Next::Send)?;
        Some((&sent.batch, &sent.edits, &job.made))
    }

    /// The log answered, or nobody did.
    pub(super) fn replied(&mut self, reply: Reply) {
        if let Some(sent) = self.job.as_mut().and_then(|job| job.sent.as_mut()) {
            sent.next = sent.attempt.replied(reply);
        }
    }

    /// Goes on with the job; `leader` is the log, if its leader can be asked.
    pub(super) fn pursue(&mut self, leader: Option<&Log>, now_ms: u64) -> Option<Told> {
        let job = self.job.as_mut()?;
        let ids = || job.made.iter().map(|made| made.id).collect();
        let Some(sent) = &mut job.sent else {
            if now_ms < job.deadline_ms {
                return None;
            }
            let told = Told::NotStored(ids());
            self.job = None;
            return Some(told);
        };
        match sent.next {
            Next::Look if self.state.revision() > sent.built_on => {
                let state = &self.state;
                let generation = |claim: &Claim| {
                    let intent = state.intent(claim.kind, &claim.name);
                    intent.map_or(Generation::default(), |intent| intent.generation)
                };
                sent.next = sent.attempt.seen(state.revision(), &self.roots, generation);
            }
            Next::Ask => {
                if let (Some(log), Some(claim)) = (leader, sent.attempt.asks().cloned()) {
                    let subject = BusSubject::Intent {
                        kind: claim.kind,
                        name: claim.name,
                    };
                    let found = log.next(&subject, sent.batch.root);
                    let found = found.and_then(|stored| {
                        log::open::<Intent>(&subject, &stored.bytes, &self.trusted.publishers).ok()
                    });
                    sent.next = sent
                        .attempt
                        .answered(found.map(|found| (found.value.generation, found.hash)));
                }
            }
            _ => {}
        }
        let told = match sent.next {
            Next::Committed => Some(Told::Committed(ids())),
            Next::Unknown => Some(Told::Unknown),
            Next::Refused => Some(Told::NotStored(ids())),
            Next::Lost if now_ms >= job.deadline_ms => Some(Told::NotStored(ids())),
            Next::Lost => {
                // Another edit came first: built again once that one is seen.
                if self.state.revision() > sent.built_on {
                    job.sent = None;
                }
                None
            }
            _ if now_ms >= job.deadline_ms => Some(match sent.attempt.is_in_doubt() {
                true => Told::Unknown,
                false => Told::NotStored(ids()),
            }),
            _ => None,
        };
        if told.is_some() {
            self.job = None;
        }
        told
    }

    /// The clusters that an edit is for: those that the policy selects, and those that it selected.
    fn targets(&self, made: &Made) -> Vec<String> {
        let key = (made.edit.kind, made.edit.name.clone());
        if made.edit.kind == Kind::Cluster {
            return match made.says {
                Says::Cluster { .. } => vec![made.edit.name.to_string()],
                _ => Vec::new(),
            };
        }
        let before = match self.documents.get(&key).map(|opened| &opened.document) {
            Some(Some(Some(Document::Policy(policy)))) => Some(&policy.clusters),
            _ => None,
        };
        let now = match &made.says {
            Says::Policy(selector) => Some(selector.as_ref()),
            _ => None,
        };
        let selectors: Vec<&ClusterSelector> = before.into_iter().chain(now).collect();
        let clusters = self
            .documents
            .values()
            .filter_map(|opened| match &opened.document {
                Some(Some(Document::Cluster(cluster))) => Some(cluster),
                _ => None,
            });
        let is_for = |cluster: &&Cluster| {
            let identity = cluster.identity();
            cluster.mode == Mode::Enforce
                && selectors.iter().any(|selector| selector.matches(&identity))
        };
        let names: BTreeSet<String> = clusters
            .filter(is_for)
            .map(|cluster| cluster.name.to_string())
            .collect();
        names.into_iter().collect()
    }
}
