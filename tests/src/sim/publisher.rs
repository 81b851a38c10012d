//! A publisher: the real state machines of the log, of an attempt and of the tracker, over the modelled
//! bus. What a publisher does between them (waiting, sending, following) is modelled here, one step at a
//! time, so that it can be killed or paused between any two.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use writ_core::{
    ack::{Ack, Pulse},
    beat::Beat,
    edit::Kind,
    edit::{Attempt, Claim, Group, Intent, Message, Next, Reply, SeenRoot, State},
    envelope::{Keyring, SigningKey},
    hash::Hash,
    model::{Cluster, ClusterSelector, Document, Mode},
    name::Name,
    revision::{Generation, Revision},
    subject::BusSubject,
    tracker::{Committed, Now, Tracker, read_manifest},
};
use writ_proto::log;

use super::{
    bus::{Batch, Log, Stored},
    documents::{Made, Says},
};

/// Roots that are remembered: fewer than a publisher's, so that the other way is taken too.
const ROOTS_MAX: usize = 4;
/// How long an edit may take.
const EDIT_TIME_MAX_MS: u64 = 20_000;
/// The pulse period that the tracker expects.
pub(super) const PULSE_PERIOD_MS: u64 = 2_000;

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
    trusted: Keyring,
    pub(super) state: State,
    pub(super) root_hash: Option<Hash>,
    root_sequence: u64,
    roots: VecDeque<SeenRoot>,
    pub(super) read: u64,
    acks_read: usize,
    log_life: u64,
    open: Vec<Intent>,
    documents: BTreeMap<(Kind, Name), Document>,
    pub(super) tracker: Tracker,
    /// The highest that was heard of any log in this life (9).
    pub(super) heard: Revision,
    broken: bool,
    pub(super) job: Option<Job>,
    pub(super) waiting: VecDeque<Made>,
    pub(super) beat_at_ms: u64,
    pub(super) heard_beat: Option<(Hash, u64)>,
    pub(super) paused_until_ms: u64,
}

impl Publisher {
    pub(super) fn new(name: String, key: SigningKey, trusted: Keyring, now: Now) -> Publisher {
        Publisher {
            name,
            key,
            trusted,
            state: State::default(),
            root_hash: None,
            root_sequence: 0,
            roots: VecDeque::new(),
            read: 0,
            acks_read: 0,
            log_life: 0,
            open: Vec::new(),
            documents: BTreeMap::new(),
            tracker: Tracker::new(now, PULSE_PERIOD_MS),
            heard: Revision::ZERO,
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
            let (heard, job) = (self.heard.max(self.state.revision()), self.job.take());
            let life = log.restored;
            self.restart(now);
            (self.heard, self.job, self.log_life) = (heard, job, life);
        }
        let until = log.len().min(self.read + most);
        while self.read < until {
            self.read += 1;
            let stored = log.at(self.read);
            let is_root = stored.subject == BusSubject::Root;
            if is_root {
                self.root_sequence = self.read;
            }
            let Ok(opened) = log::open_message(&stored.subject, &stored.bytes, &self.trusted)
            else {
                continue;
            };
            self.take(opened, now);
        }
    }

    fn take(&mut self, opened: log::Opened<Message>, now: Now) {
        let root = match &opened.value {
            Message::Intent(intent) => {
                self.open.push(intent.clone());
                None
            }
            Message::Root(root) => Some(SeenRoot {
                revision: root.revision,
                hash: opened.hash,
                edits: root.edits.clone(),
            }),
            _ => None,
        };
        match self.state.follow(opened.value) {
            Ok(None) => {}
            Ok(Some(_)) => {
                self.broken = false;
                self.root_hash = root.as_ref().map(|root| root.hash);
                self.roots.extend(root);
                let surplus = self.roots.len().saturating_sub(ROOTS_MAX);
                self.roots.drain(..surplus);
                for intent in std::mem::take(&mut self.open) {
                    if let Ok(document) = read_manifest(&intent) {
                        let key = (intent.kind, intent.name.clone());
                        match document {
                            Some(document) => drop(self.documents.insert(key, document)),
                            None => drop(self.documents.remove(&key)),
                        }
                    }
                    if let Ok(Some(committed)) = Committed::read(&intent) {
                        self.tracker.edit(committed, now);
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
            let keyring = self.tracker.keyring(&sender.cluster);
            if let Ok(ack) = log::open::<Ack>(subject, bytes, &keyring) {
                self.heard = self.heard.max(ack.value.revision);
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
        let keyring = self.tracker.keyring(&sender.cluster);
        let Ok(pulse) = log::open::<Pulse>(subject, bytes, &keyring) else {
            return;
        };
        self.heard = self.heard.max(pulse.value.revision);
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
        if let Ok(beat) = log::open::<Beat>(&BusSubject::Beat, bytes, &self.trusted)
            && beat.value.publisher != self.name
        {
            self.heard = self.heard.max(beat.value.revision);
            self.heard_beat = Some((beat.value.root, now_ms));
        }
    }

    /// Whether it edits: not on a log that does not fit together, nor below what it has heard of (9).
    pub(super) fn may_edit(&self, without_rule_9: bool) -> bool {
        !self.broken && (without_rule_9 || self.heard <= self.state.revision())
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
                        log::open::<Intent>(&subject, &stored.bytes, &self.trusted).ok()
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
                Says::Cluster(_) => vec![made.edit.name.to_string()],
                _ => Vec::new(),
            };
        }
        let before = match self.documents.get(&key) {
            Some(Document::Policy(policy)) => Some(&policy.clusters),
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
            .filter_map(|document| match document {
                Document::Cluster(cluster) => Some(cluster),
                Document::Policy(_) | Document::Record(_) => None,
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
