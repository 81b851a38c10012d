//! The world: publishers, the bus, clusters and time; what goes wrong in it, and the quiet after that.

mod lead;
mod quiet;
mod recovery;
mod wrong;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use writ_core::{
    edit::{Change, Kind, Message, Reply, State},
    envelope::{Keyring, SigningKey},
    epoch,
    model::{ClusterIdentity, Mode},
    name::{ClusterName, Name, Region, Stage},
    revision::Revision,
    scope::Scope,
    subject::BusSubject,
    tracker::Now,
};

use super::{
    auditor::Auditor,
    bus::{Batch, Log, TAILS},
    cluster::Cluster,
    documents::{self, CLUSTERS, Made},
    promises::{Mutation, Promise},
    publisher::{Publisher, Told, Trusted},
    shared::{Fault, Shared, Trace},
};

/// How many publishers there are.
const PUBLISHERS: usize = 3;
pub(super) const BEAT_PERIOD_MS: u64 = 1_000;
/// Steps of the time of faults.
const STEPS: u64 = 260;
/// After one beat, what the reads of a cluster may take that is behind.
const READ_TIME_MAX_MS: u64 = 600;
/// How long all objects may take: several of the longest delays between attempts.
const QUIET_TIME_MAX_MS: u64 = 200_000;
/// How often a person changes one object: more is a fight, which the planner leaves alone for longer than
/// the quiet time.
const BY_HAND_MAX: u8 = 2;

pub(super) struct World {
    pub(super) shared: Shared,
    log: Log,
    acks: Vec<(BusSubject, Vec<u8>)>,
    publishers: Vec<Publisher>,
    clusters: Vec<Cluster>,
    /// An independent follower of the log: what it holds is what the log says.
    witness: State,
    events: Vec<(BusSubject, Arc<[u8]>)>,
    beats: Vec<Arc<[u8]>>,
    attacker: SigningKey,
    ids: u64,
    now_ms: u64,
    leaderless_until_ms: u64,
    trusted: Trusted,
    /// The offline key, and the epochs that it ever opened.
    offline: SigningKey,
    epochs: epoch::Record,
    /// The epochs whose openings stand in the log.
    opened: BTreeSet<u64>,
    restores: bool,
    /// The log is an old one, and not recovered.
    restored: bool,
    recover_at_ms: Option<u64>,
    led: Option<lead::Led>,
    /// What clusters showed when the log was recovered.
    held_at_recovery: BTreeMap<(Kind, Name), Revision>,
    pub(super) steps: u64,
}

fn publisher_key(at: usize) -> SigningKey {
    SigningKey::from_seed(&[1 + at as u8; 32])
}

impl World {
    pub(super) fn new(seed: u64, out: Option<Mutation>, trace: Trace) -> World {
        let identities: Vec<ClusterIdentity> = CLUSTERS
            .iter()
            .map(|(name, (region, stage))| ClusterIdentity {
                name: ClusterName::parse(name).expect("a name"),
                region: Region::parse(region).expect("a region"),
                stage: Stage::parse(stage).expect("a stage"),
                labels: Default::default(),
            })
            .collect();
        let shared = Shared::new(seed, out, trace, Auditor::new(identities.clone()));
        let offline = SigningKey::from_seed(&[77; 32]);
        let trusted = Trusted {
            publishers: Keyring::new((0..PUBLISHERS).map(|at| publisher_key(at).public())),
            offline: Keyring::new([offline.public()]),
        };
        let publishers = (0..PUBLISHERS).map(|at| {
            let now = Now {
                monotonic_ms: 0,
                wall_ms: 0,
            };
            Publisher::new(
                format!("publisher-{at}"),
                publisher_key(at),
                trusted.clone(),
                now,
            )
        });
        let clusters = identities.into_iter().enumerate();
        let clusters = clusters
            .map(|(at, identity)| Cluster::new(at, identity, shared.clone(), trusted.clone()));
        let restores = shared.lock().chance.permille(120);
        World {
            publishers: publishers.collect(),
            clusters: clusters.collect(),
            log: Log::default(),
            acks: Vec::new(),
            witness: State::with_tails(TAILS),
            events: Vec::new(),
            beats: Vec::new(),
            attacker: SigningKey::from_seed(&[66; 32]),
            ids: 0,
            now_ms: 0,
            leaderless_until_ms: 0,
            trusted,
            offline,
            epochs: epoch::Record::new(),
            opened: BTreeSet::new(),
            restores,
            restored: false,
            recover_at_ms: None,
            led: None,
            held_at_recovery: BTreeMap::new(),
            steps: 0,
            shared,
        }
    }

    /// The whole history: a time of faults, then a quiet time.
    pub(super) async fn run(&mut self) {
        self.draw_lead();
        for at in 0..CLUSTERS.len() {
            self.ids += 1;
            let made = documents::cluster(at, "gold", "fleet", Mode::Enforce, self.ids);
            self.publishers[0].waiting.push_back(made);
        }
        for _ in 0..STEPS {
            self.go_wrong();
            self.recover_when_due();
            self.step().await;
        }
        self.quiet().await;
    }

    fn now(&self) -> Now {
        Now {
            monotonic_ms: self.now_ms,
            wall_ms: self.now_ms,
        }
    }

    async fn step(&mut self) {
        let wait_ms = {
            let mut shared = self.shared.lock();
            let long = shared.chance.permille(60);
            if long {
                shared.chance.between(100, 800)
            } else {
                shared.chance.between(5, 60)
            }
        };
        self.pass_time(wait_ms).await;
        self.steps += 1;
    }

    async fn pass_time(&mut self, wait_ms: u64) {
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        self.now_ms += wait_ms;
        self.shared.lock().now_ms = self.now_ms;
        for at in 0..PUBLISHERS {
            self.publish(at);
        }
        for at in 0..self.clusters.len() {
            self.replay_at_start(at);
            let said = self.clusters[at].tick(&self.log, self.now_ms);
            self.acks.extend(said.acks);
            if let Some((subject, bytes)) = said.pulse {
                let now = self.now();
                for publisher in &mut self.publishers {
                    publisher.hear_pulse(&subject, &bytes, &self.acks, now);
                }
            }
        }
        if self.steps.is_multiple_of(8) {
            self.check_trackers();
        }
    }

    // Publishers.

    fn publish(&mut self, at: usize) {
        let now = self.now();
        let faulty = self.shared.lock().faulty;
        if faulty && self.now_ms < self.publishers[at].paused_until_ms {
            return;
        }
        let most = if faulty {
            self.shared.lock().chance.between(0, 60)
        } else {
            u64::MAX / 2
        };
        self.publishers[at].follow(&self.log, most, now);
        self.publishers[at].hear_acks(&self.acks, now);
        let leader = (self.now_ms >= self.leaderless_until_ms).then_some(&self.log);
        self.publishers[at].ask_leader(leader);
        let without_9 = self.shared.is_out(Mutation::Behind);
        if self.publishers[at].may_edit(without_9) {
            self.publishers[at].begin(self.now_ms);
            let without_7 = self.shared.is_out(Mutation::EmptyIndexes);
            self.publishers[at].build(without_7);
            self.send(at);
        }
        let leader = (self.now_ms >= self.leaderless_until_ms).then_some(&self.log);
        match self.publishers[at].pursue(leader, self.now_ms) {
            Some(Told::Committed(ids)) => self.answer(&ids, true),
            Some(Told::NotStored(ids)) => self.answer(&ids, false),
            Some(Told::Unknown) => self.shared.cost("unknown answers"),
            None => {}
        }
        self.beat(at);
    }

    fn answer(&mut self, ids: &[u64], committed: bool) {
        // What a restored log has lost is lost to those who were answered before, too.
        if self.restored {
            return;
        }
        for id in ids {
            self.shared.lock().auditor.answered(*id, committed);
        }
    }

    fn beat(&mut self, at: usize) {
        if self.now_ms < self.publishers[at].beat_at_ms {
            return;
        }
        self.publishers[at].beat_at_ms = self.now_ms + BEAT_PERIOD_MS;
        let (wall_ms, now_ms) = (self.now_ms, self.now_ms);
        let Some((_, bytes)) = self.publishers[at].beat(BEAT_PERIOD_MS, wall_ms, now_ms) else {
            return;
        };
        self.shared.cost("beats");
        for (other, publisher) in self.publishers.iter_mut().enumerate() {
            if other != at {
                publisher.hear_beat(&bytes, now_ms);
            }
        }
        let bytes: Arc<[u8]> = bytes.into();
        self.beats.push(Arc::clone(&bytes));
        for cluster in 0..self.clusters.len() {
            self.deliver(cluster, &BusSubject::Beat, &bytes);
        }
    }

    /// Sends the batch of a publisher, if it has one to send.
    fn send(&mut self, at: usize) {
        let Some((batch, edits, made)) = self.publishers[at].to_send() else {
            return;
        };
        let (batch, edits, made) = (batch.clone(), edits.to_vec(), made.to_vec());
        let cas = !self.shared.is_out(Mutation::CompareAndSet);
        let mut shared = self.shared.lock();
        let limit = batch.messages.len() <= writ_core::edit::BATCH_LENGTH_MAX;
        shared
            .auditor
            .check(Promise::Bounded, limit, || "a batch is too long".to_owned());
        let leaderless = self.now_ms < self.leaderless_until_ms;
        let reply = if leaderless || shared.strikes(Fault::BatchUnknownNotStored, 40) {
            Reply::Unknown
        } else if shared.strikes(Fault::BatchRejected, 40) {
            Reply::Retry
        } else if cas && batch.root != self.log.root() {
            shared.note(Fault::BatchConflict);
            Reply::Conflict
        } else if shared.strikes(Fault::BatchUnknownStored, 80) {
            drop(shared);
            self.store(&batch, &edits, &made);
            shared = self.shared.lock();
            Reply::Unknown
        } else {
            drop(shared);
            self.store(&batch, &edits, &made);
            shared = self.shared.lock();
            Reply::Committed
        };
        shared.tell(|| {
            format!(
                "publisher-{at}: sent {:?}: {reply:?}",
                edits
                    .iter()
                    .map(|edit| (edit.0, edit.1))
                    .collect::<Vec<_>>()
            )
        });
        drop(shared);
        let is_stored = matches!(reply, Reply::Committed);
        if !is_stored && self.shared.is_out(Mutation::Republished) {
            self.republish(&batch);
        }
        let guessed = reply == Reply::Unknown && self.shared.is_out(Mutation::Outcome);
        self.publishers[at].replied(if guessed { Reply::Conflict } else { reply });
    }

    fn store(
        &mut self,
        batch: &Batch,
        edits: &[(
            u64,
            writ_core::revision::Revision,
            writ_core::revision::Generation,
        )],
        made: &[Made],
    ) {
        self.log.store(batch);
        {
            let mut shared = self.shared.lock();
            let is_old = self.restored;
            shared.auditor.check(Promise::NeverBackwards, !is_old, || {
                "a restored log was edited".to_owned()
            });
            for ((_, revision, generation), made) in edits.iter().zip(made) {
                shared.auditor.commit(made, *revision, *generation);
                shared.tell(|| {
                    let (kind, name) = (made.edit.kind, &made.edit.name);
                    let into = match &made.edit.change {
                        Change::Put { scopes, .. } => {
                            let scopes: Vec<String> = scopes.iter().map(Scope::to_string).collect();
                            scopes.join(" ")
                        }
                        Change::Record { .. } => "no scope".to_owned(),
                        Change::Delete => "nothing".to_owned(),
                    };
                    format!(
                        "log: edit {} of {kind} {name} at {revision}, into {into}",
                        made.id
                    )
                });
            }
            for message in &batch.plain {
                let followed = self.witness.follow(message.clone());
                let is_root = matches!(message, Message::Root(_));
                let fits = matches!(
                    (&followed, is_root),
                    (Ok(Some(_)), true) | (Ok(None), false)
                );
                shared.auditor.check(Promise::Atomic, fits, || {
                    format!("the log does not fit together: {followed:?}")
                });
            }
        }
        if self.shared.strikes(Fault::LeaderChange, 25) {
            // The republishing is lost with the leader.
            let outage_ms = self.shared.lock().chance.between(200, 3_000);
            self.leaderless_until_ms = self.now_ms + outage_ms;
            return;
        }
        self.republish(batch);
    }

    fn republish(&mut self, batch: &Batch) {
        for (stored, message) in batch.messages.iter().zip(&batch.plain) {
            let Message::Event(event) = message else {
                continue;
            };
            let live = BusSubject::Live {
                feed: event.feed.clone(),
                name: event.name.clone(),
            };
            self.events.push((live.clone(), Arc::clone(&stored.bytes)));
            for cluster in 0..self.clusters.len() {
                let identity = &self.clusters[cluster].identity;
                if event.feed.scope.covers(&identity.region, &identity.stage) {
                    self.deliver(cluster, &live, &stored.bytes);
                }
            }
        }
    }

    /// A live message goes to a cluster: never, once or twice, soon or late.
    fn deliver(&mut self, cluster: usize, subject: &BusSubject, bytes: &Arc<[u8]>) {
        if self.now_ms < self.clusters[cluster].cut_off_until_ms {
            return;
        }
        let is_led_past = self.is_led_past(cluster, subject);
        let copies = {
            let mut shared = self.shared.lock();
            if is_led_past {
                shared.note(Fault::LiveLost);
                0
            } else if shared.strikes(Fault::LiveLost, 80) {
                0
            } else if shared.strikes(Fault::LiveDoubled, 40) {
                2
            } else {
                1
            }
        };
        for _ in 0..copies {
            let due_ms = {
                let mut shared = self.shared.lock();
                let late = shared.strikes(Fault::LiveDelayed, 60);
                self.now_ms
                    + if late {
                        shared.chance.between(100, 2_000)
                    } else {
                        shared.chance.between(1, 20)
                    }
            };
            self.clusters[cluster].send(due_ms, subject, bytes);
        }
    }
}
