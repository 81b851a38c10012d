//! The world: publishers, the bus, clusters, time, and what goes wrong.

use std::{sync::Arc, time::Duration};

use writ_core::{
    ack::State as AckState,
    edit::{Group, Message, Reply, State},
    envelope::{Keyring, SigningKey},
    model::{ClusterIdentity, ObjectRef},
    name::{ClusterName, Name, Region, Stage},
    plan::contains,
    scope::Kind,
    subject::BusSubject,
    tracker::{Membership, Now, State as TrackerState},
};
use writ_proto::log;
use writ_subscriber::resource::NAMESPACES;

use super::{
    api::{Maker, foreign},
    auditor::{Auditor, Verdict},
    bus::{Batch, Log},
    cluster::{Cluster, is_marked},
    documents::{self, CLUSTERS, FORGED_FROM, Made, POLICIES},
    promises::{Mutation, Promise},
    publisher::{Publisher, Told},
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
    restores: bool,
    restored: bool,
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
        let trusted = Keyring::new((0..PUBLISHERS).map(|at| publisher_key(at).public()));
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
        let restores = shared.lock().chance.permille(80);
        World {
            publishers: publishers.collect(),
            clusters: clusters.collect(),
            log: Log::default(),
            acks: Vec::new(),
            witness: State::default(),
            events: Vec::new(),
            beats: Vec::new(),
            attacker: SigningKey::from_seed(&[66; 32]),
            ids: 0,
            now_ms: 0,
            leaderless_until_ms: 0,
            restores,
            restored: false,
            steps: 0,
            shared,
        }
    }

    /// The whole history: a time of faults, then a quiet time.
    pub(super) async fn run(&mut self) {
        for at in 0..CLUSTERS.len() {
            self.ids += 1;
            let made = documents::cluster(at, "gold", "fleet", self.ids);
            self.publishers[0].waiting.push_back(made);
        }
        for _ in 0..STEPS {
            self.go_wrong();
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
            for ((_, revision, generation), made) in edits.iter().zip(made) {
                shared.auditor.commit(made, *revision, *generation);
                shared.tell(|| {
                    format!(
                        "log: edit {} of {} {} at {revision}",
                        made.id, made.edit.kind, made.edit.name
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
        let copies = {
            let mut shared = self.shared.lock();
            if shared.strikes(Fault::LiveLost, 80) {
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

    // What goes wrong.

    fn go_wrong(&mut self) {
        let (at, cluster) = {
            let mut shared = self.shared.lock();
            (
                shared.chance.below(PUBLISHERS),
                shared.chance.below(CLUSTERS.len()),
            )
        };
        if !self.restored && self.shared.lock().chance.permille(260) {
            let count = self.shared.lock().chance.pick(&[1, 1, 1, 2, 4]);
            for _ in 0..count {
                self.ids += 1;
                let made = documents::random(&mut self.shared.lock().chance, self.ids);
                self.publishers[at].waiting.push_back(made);
            }
        } else if self.restored && self.shared.lock().chance.permille(200) {
            self.ids += 1;
            let made = documents::random(&mut self.shared.lock().chance, self.ids);
            self.publishers[at].waiting.push_back(made);
        }
        if !self.restored && self.shared.strikes(Fault::PublisherKilled, 12) {
            let now = self.now();
            self.publishers[at].restart(now);
        }
        if self.shared.strikes(Fault::PublisherPaused, 15) {
            let pause_ms = self.shared.lock().chance.between(100, 2_000);
            self.publishers[at].paused_until_ms = self.now_ms + pause_ms;
        }
        if self.shared.strikes(Fault::SubscriberKilled, 8) {
            self.clusters[cluster].kill();
            if self.shared.lock().chance.permille(200) {
                let down_ms = self.shared.lock().chance.between(500, 6_000);
                self.clusters[cluster].down_until_ms = self.now_ms + down_ms;
            }
        }
        if self.shared.strikes(Fault::Partition, 8) {
            let cut_ms = self.shared.lock().chance.between(200, 5_000);
            self.clusters[cluster].cut_off_until_ms = self.now_ms + cut_ms;
        }
        if self.shared.strikes(Fault::ApiAway, 6) {
            let away_ms = self.shared.lock().chance.between(200, 3_000);
            self.clusters[cluster].away_until_ms = self.now_ms + away_ms;
        }
        self.attack(cluster);
        self.by_hand(cluster);
        if self.restores && !self.restored && self.steps > STEPS / 3 && self.log.batches.len() > 8 {
            self.restore();
        }
    }

    /// The log is lost, and put back from a backup some batches old.
    fn restore(&mut self) {
        let now = self.now();
        for publisher in &mut self.publishers {
            publisher.follow(&self.log, u64::MAX / 2, now);
        }
        let back = self.shared.lock().chance.between(1, 5) as usize;
        let keep = self.log.batches.len() - back;
        self.log.restore(keep);
        self.restored = true;
        self.shared.lock().note(Fault::LogRestored);
    }

    /// Messages that nobody should believe, or not any more.
    fn attack(&mut self, cluster: usize) {
        if self.shared.strikes(Fault::Replayed, 60) && !self.events.is_empty() {
            let (subject, bytes) = self.shared.lock().chance.pick(&self.events);
            self.clusters[cluster].send(self.now_ms, &subject, &bytes);
        }
        if self.shared.strikes(Fault::BeatOld, 30) && !self.beats.is_empty() {
            let bytes = self.shared.lock().chance.pick(&self.beats);
            self.clusters[cluster].send(self.now_ms, &BusSubject::Beat, &bytes);
        }
        if self.shared.strikes(Fault::Forged, 25) {
            self.forge(cluster);
        }
        if self.shared.strikes(Fault::WrongScope, 20) && !self.events.is_empty() {
            let (_, bytes) = self.shared.lock().chance.pick(&self.events);
            let (subject, _) = self.shared.lock().chance.pick(&self.events);
            self.clusters[cluster].send(self.now_ms, &subject, &bytes);
        }
        for fault in [Fault::Truncated, Fault::BitFlipped] {
            if self.shared.strikes(fault, 15) && !self.events.is_empty() {
                let (subject, bytes) = self.shared.lock().chance.pick(&self.events);
                let mut bytes = bytes.to_vec();
                let at = self.shared.lock().chance.below(bytes.len());
                match fault {
                    Fault::Truncated => bytes.truncate(at),
                    _ => bytes[at] ^= 1 << self.shared.lock().chance.below(8),
                }
                self.clusters[cluster].send(self.now_ms, &subject, &bytes.into());
            }
        }
        if self.shared.strikes(Fault::Flood, 4) && !self.events.is_empty() {
            for _ in 0..200 {
                let (subject, bytes) = self.shared.lock().chance.pick(&self.events);
                self.clusters[cluster].send(self.now_ms, &subject, &bytes);
            }
        }
    }

    /// The next edit as the log would say it, signed by a key that nobody trusts.
    fn forge(&mut self, cluster: usize) {
        let name = self.shared.lock().chance.pick(&POLICIES);
        let id = FORGED_FROM + self.steps;
        let made = documents::policy(name, &serde_json::json!({"all": true}), 0, id);
        let mut group = Group::new(&self.witness);
        group.add(&made.edit);
        for message in group.finish().messages {
            if let Message::Event(event) = &message {
                let live = BusSubject::Live {
                    feed: event.feed.clone(),
                    name: event.name.clone(),
                };
                let bytes = log::seal_message(&message, &self.attacker).bytes;
                self.clusters[cluster].send(self.now_ms, &live, &bytes.into());
            }
        }
    }

    /// People change what is in a cluster.
    fn by_hand(&mut self, cluster: usize) {
        let mut shared = self.shared.lock();
        let change = shared.strikes(Fault::HandChange, 12);
        let delete = shared.strikes(Fault::HandDelete, 12);
        let unmark = shared.strikes(Fault::HandMark, 8);
        let bury = shared.strikes(Fault::HandNamespace, 6);
        let foreign_object = shared.strikes(Fault::ForeignObject, 6);
        let roles = |made_by_us: bool| -> Vec<ObjectRef> {
            let shelf = self.clusters[cluster].api.lock();
            let of = |(at, object): &(&ObjectRef, &super::api::Object)| {
                matches!(
                    at.kind.as_str(),
                    "ClusterRole" | "Role" | "ClusterRoleBinding"
                ) && (object.maker == Maker::Writ) == made_by_us
            };
            shelf
                .objects
                .iter()
                .filter(of)
                .map(|(at, _)| at.clone())
                .collect()
        };
        let ours = roles(true);
        let at = (!ours.is_empty()).then(|| shared.chance.pick(&ours));
        let name = shared.chance.pick(&POLICIES);
        let gone_after_ms = shared.chance.between(50, 1_500);
        drop(shared);
        let actor = &mut self.clusters[cluster];
        if let Some(at) = at
            && *actor.by_hand.get(&at).unwrap_or(&0) < BY_HAND_MAX
            && let Some(found) = actor.api.peek(&at)
        {
            let mut content = found.content;
            let changed = if change && content.get("rules").is_some() {
                content["rules"] = serde_json::json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]);
                true
            } else if unmark && is_confirmed(&actor.api, &at, &content) {
                content["metadata"]["labels"] = serde_json::json!({});
                true
            } else {
                false
            };
            if changed {
                actor.api.put(&at, content, Maker::Writ);
            } else if delete {
                actor.api.remove(&at);
            }
            if changed || delete {
                *actor.by_hand.entry(at).or_default() += 1;
            }
        }
        if bury {
            let at = NAMESPACES.reference(None, &format!("{name}-space"));
            if let Some(found) = actor
                .api
                .peek(&at)
                .filter(|found| found.maker == Maker::Writ)
                && *actor.by_hand.get(&at).unwrap_or(&0) < BY_HAND_MAX
            {
                let mut content = found.content;
                content["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
                content["status"]["phase"] = "Terminating".into();
                actor.api.put(&at, content, Maker::Writ);
                actor
                    .terminating
                    .insert(at.name.clone(), self.now_ms + gone_after_ms);
                *actor.by_hand.entry(at).or_default() += 1;
            }
        }
        if foreign_object {
            let at = ObjectRef {
                api_version: "rbac.authorization.k8s.io/v1".to_owned(),
                kind: "ClusterRole".to_owned(),
                namespace: None,
                name: format!("{name}-more"),
            };
            if actor.api.peek(&at).is_none() {
                actor.api.put(&at, foreign(&at), Maker::Person);
            }
        }
    }

    // The quiet time, and what must be true at its end.

    async fn quiet(&mut self) {
        self.shared.lock().faulty = false;
        self.shared.trace(|| "no more faults".to_owned());
        self.leaderless_until_ms = 0;
        for cluster in &mut self.clusters {
            cluster.cut_off_until_ms = 0;
            cluster.away_until_ms = 0;
            cluster.down_until_ms = cluster.down_until_ms.min(self.now_ms);
        }
        for publisher in &mut self.publishers {
            publisher.paused_until_ms = 0;
        }
        let busy = |world: &World| {
            let works =
                |publisher: &Publisher| publisher.job.is_some() || !publisher.waiting.is_empty();
            let stuck = world.restored && !world.shared.is_out(Mutation::Behind);
            !stuck && world.publishers.iter().any(works)
                || world.clusters.iter().any(|cluster| cluster.run.is_none())
        };
        for _ in 0..1_000 {
            if !busy(self) {
                break;
            }
            self.pass_time(30).await;
        }
        if self.restored {
            return self.check_restored().await;
        }
        let healed_ms = self.now_ms;
        while self.now_ms < healed_ms + BEAT_PERIOD_MS + READ_TIME_MAX_MS {
            self.pass_time(20).await;
        }
        self.check_cuts();
        while self.now_ms < healed_ms + QUIET_TIME_MAX_MS && self.difference().is_some() {
            self.pass_time(250).await;
        }
        let took_ms = self.now_ms - healed_ms;
        let difference = self.difference();
        let mut shared = self.shared.lock();
        let slowest = shared.costs.entry("slowest convergence, ms").or_default();
        *slowest = took_ms.max(*slowest);
        shared
            .auditor
            .check(Promise::Convergence, difference.is_none(), || {
                difference.unwrap_or_default()
            });
        drop(shared);
        self.check_end();
    }

    /// On a restored log nothing goes backwards, and no publisher edits it.
    async fn check_restored(&mut self) {
        let edits = self.shared.lock().auditor.edits();
        for _ in 0..60 {
            self.pass_time(100).await;
        }
        let mut shared = self.shared.lock();
        let after = shared.auditor.edits();
        shared
            .auditor
            .check(Promise::NeverBackwards, edits == after, || {
                "a restored log was edited".to_owned()
            });
    }

    /// Promise 7: one beat and one read after the faults.
    fn check_cuts(&mut self) {
        let wanted = self.witness.revision();
        for cluster in &self.clusters {
            let mut shared = self.shared.lock();
            if !shared.auditor.is_registered(cluster.at) && !shared.auditor.violations.is_empty() {
                continue;
            }
            let follower = cluster.run.as_ref().map(|run| run.follower());
            let held = follower
                .and_then(|follower| follower.cut())
                .map(|cut| cut.revision);
            let at = cluster.at;
            shared.auditor.check(Promise::Convergence, held == Some(wanted), || {
                format!("one beat and one read after the faults, cluster {at} is at {held:?} and the log at {wanted}")
            });
        }
    }

    /// How any cluster differs from the last state of the log.
    fn difference(&self) -> Option<String> {
        let shared = self.shared.lock();
        let auditor = &shared.auditor;
        for cluster in &self.clusters {
            if !auditor.is_registered(cluster.at) {
                continue;
            }
            let shelf = cluster.api.lock();
            for policy in POLICIES {
                let id = match auditor.last(cluster.at, policy) {
                    Some(Verdict::Unknown) => continue,
                    Some(Verdict::InForce(id)) => Some(id),
                    None => None,
                };
                let wanted = id.and_then(|id| auditor.objects(id));
                for (at, content) in wanted.into_iter().flatten() {
                    let found = shelf.objects.get(at);
                    let is_so = found.is_some_and(|found| {
                        found.maker == Maker::Person || contains(&found.content, content)
                    });
                    // What stands on somebody else's object, or waits for it, is the refusal's business.
                    let blocked = at.kind == "ClusterRoleBinding"
                        && bound_to_foreign(&shelf.objects, content);
                    if !is_so && !blocked {
                        let found = found.map(|found| &found.content);
                        return Some(format!(
                            "cluster {} has not {at} of edit {id:?}: {found:?}",
                            cluster.at
                        ));
                    }
                }
                let is_left = |(at, object): &(&ObjectRef, &super::api::Object)| {
                    documents::policy_of(at) == Some(policy)
                        && object.maker == Maker::Writ
                        && (is_marked(&object.content) || at.kind != "Namespace")
                        && at.kind != "ClusterPolicy"
                        && !wanted.is_some_and(|wanted| wanted.contains_key(*at))
                };
                if let Some((at, _)) = shelf.objects.iter().find(is_left) {
                    return Some(format!("cluster {} still has {at}", cluster.at));
                }
            }
            if cluster.run.as_ref().is_some_and(|run| run.is_busy()) {
                return Some(format!("cluster {} is at work", cluster.at));
            }
        }
        None
    }

    fn check_end(&mut self) {
        self.check_trackers();
        let mut shared = self.shared.lock();
        // Answered edits are in the log still.
        let answered: Vec<u64> = shared.auditor.answered_edits().collect();
        for id in answered {
            let lost = shared.auditor.lost.contains(&id);
            shared.auditor.check(Promise::NoEditIsLost, !lost, || {
                format!("edit {id} is lost")
            });
        }
        for cluster in &self.clusters {
            let Some(run) = &cluster.run else { continue };
            if !shared.auditor.is_registered(cluster.at) {
                continue;
            }
            for policy in POLICIES {
                if !shared.auditor.is_unsupported(cluster.at, policy) {
                    continue;
                }
                let key = (Kind::Policy, Name::parse(policy).expect("a name"));
                let word = run.follower().word(&key);
                let standing = word.and_then(|word| run.follower().standing(&key, word));
                let is_named = standing
                    .as_ref()
                    .is_some_and(|it| it.state == AckState::Refused && !it.reason.is_empty());
                let at = cluster.at;
                shared.auditor.check(Promise::Refusal, is_named, || {
                    format!("cluster {at} does not refuse {policy}: {standing:?}")
                });
            }
            // No stand-in and no half of an attempt is left of what was killed.
            let shelf = cluster.api.lock();
            let left = shelf
                .objects
                .keys()
                .find(|at| at.name.ends_with(":replacing"))
                .cloned();
            let at = cluster.at;
            shared
                .auditor
                .check(Promise::CrashSafe, left.is_none(), || {
                    format!("{left:?} is left in cluster {at}")
                });
        }
    }

    /// What trackers say is what was.
    fn check_trackers(&mut self) {
        let now = self.now();
        for publisher in &self.publishers {
            for status in publisher.tracker.policies_status(now) {
                let mut shared = self.shared.lock();
                let counts = status.counts;
                let sum = counts.applied + counts.pending + counts.refused + counts.silent;
                shared
                    .auditor
                    .check(Promise::Truthful, sum == counts.target, || {
                        format!("the columns do not add up: {counts:?}")
                    });
                for line in &status.clusters {
                    let at = CLUSTERS
                        .iter()
                        .position(|(name, _)| *name == line.cluster.as_str());
                    let Some(at) = at.filter(|_| line.membership == Membership::Target) else {
                        continue;
                    };
                    if line.state == TrackerState::Applied {
                        let silent = line.liveness.is_silent();
                        shared.auditor.check(Promise::Truthful, !silent, || {
                            format!("silent cluster {at} is called good")
                        });
                        shared.auditor.said_applied(
                            &publisher.name,
                            at,
                            status.name.as_str(),
                            status.generation,
                        );
                    }
                }
            }
        }
    }
}

/// Whether the policy's mirror knows the object by its uid. One that loses its marks before that is
/// nobody's: neither mark nor inventory says whose it is, and it is refused as foreign.
fn is_confirmed(api: &super::api::Api, at: &ObjectRef, content: &serde_json::Value) -> bool {
    let mirror = documents::policy_of(at).map(|policy| ObjectRef {
        api_version: "writ.dev/v1alpha1".to_owned(),
        kind: "ClusterPolicy".to_owned(),
        namespace: None,
        name: policy.to_owned(),
    });
    let mirror = mirror.and_then(|at| api.peek(&at));
    let uid = content["metadata"]["uid"].to_string();
    mirror.is_some_and(|mirror| mirror.content["status"].to_string().contains(&uid))
}

/// Whether a binding's role is somebody else's object.
fn bound_to_foreign(
    objects: &std::collections::BTreeMap<ObjectRef, super::api::Object>,
    binding: &serde_json::Value,
) -> bool {
    let name = binding["roleRef"]["name"].as_str().unwrap_or_default();
    let is_role = |(at, object): (&ObjectRef, &super::api::Object)| {
        at.kind == "ClusterRole" && at.name == name && object.maker == Maker::Person
    };
    objects.iter().any(is_role)
}
