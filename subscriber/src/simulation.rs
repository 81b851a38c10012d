//! A whole subscriber without sockets, for the simulator: what `run` and `pilot` put together, driven by
//! hand.
//!
//! Every part is the one that runs in a cluster: the gate, the follower, the works with their delays, the
//! engine, the registry's mirrors, the reporter, the state and the last cut that are kept. What is left out is
//! the bus connection, the lease, the ceiling and the Kubernetes watches: the simulator plays those.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex as Queue, PoisonError},
};

use futures::FutureExt;
use serde_json::Value;
use tokio::{
    sync::{Mutex, mpsc, watch},
    time::Instant,
};
use writ_core::{
    envelope::{Keyring, SigningKey},
    follower::{Follower, Ignored, Read},
    model::{ClusterIdentity, Mode, ObjectRef},
    recover::Recall,
    revision::Revision,
    subject::{BusSubject, Sender},
};

use writ_telemetry::trace::Span;

use crate::{
    cluster::ClusterApi,
    cut, drift,
    engine::Engine,
    evidence::{Answer, Evidence},
    intake::Intake,
    memory,
    namespaces::Seen,
    news::{News, next_ack, observes},
    outbox::{self, KeptNow, Outgoing},
    outcome::Repair,
    permit::{Bounds, Permit},
    pilot::RECEIVED_AFTER,
    registry::{self, Permission, Registry},
    report::{Health, Reporter},
    resource::{NAMESPACES, watched},
    state::{State as Kept, StateStore},
    verify::Gate,
    work::Works,
};

/// What one watch event or repair may bring; the pilot's queue is longer.
const REPAIRS_WAITING_MAX: usize = 256;

/// Acks that were kept in the cluster and may be sent, oldest first.
type Outbox = Arc<Queue<VecDeque<Vec<u8>>>>;

/// One run of a subscriber.
pub struct Subscriber<C> {
    api: C,
    sender: Sender,
    gate: Gate,
    /// The key that opens epochs.
    offline: Keyring,
    evidence: Evidence,
    cut_kept: Revision,
    follower: Follower,
    works: Works<C>,
    engine: Engine<C>,
    registry: Arc<Mutex<Registry<C>>>,
    mirroring: Permission,
    permitted: Option<Option<Mode>>,
    reporter: Reporter,
    kept: Kept,
    acks: mpsc::Sender<Outgoing>,
    kept_now: watch::Receiver<KeptNow>,
    sent: Outbox,
    repairs_in: mpsc::Sender<Repair>,
    repairs: mpsc::Receiver<Repair>,
    busy_since: Option<Instant>,
}

impl<C: ClusterApi + Clone + Send + Sync + 'static> Subscriber<C> {
    /// Starts as `run` does: the boot is counted and kept, and what the cluster remembers is verified
    /// and taken back.
    ///
    /// # Errors
    /// What failed; the process would end and be started again.
    pub async fn start(
        api: C,
        identity: ClusterIdentity,
        (trusted, offline): (Keyring, Keyring),
        ack_key: SigningKey,
        boot_id: String,
    ) -> Result<Subscriber<C>, String> {
        crate::retry::simulated::begin_on_this_thread();
        let sender = Sender {
            region: identity.region.clone(),
            stage: identity.stage.clone(),
            cluster: identity.name.clone(),
        };
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let (mut store, mut kept) = StateStore::load(api.clone()).await.map_err(|e| text(&e))?;
        kept.boot += 1;
        store.save(&kept).await.map_err(|e| text(&e))?;
        let mut gate = Gate::new(trusted);
        let mut follower = Follower::new(identity.clone());
        kept.remind(&mut follower);
        let engine = Engine::new(api.clone());
        let own = &identity.name;
        let recalled = memory::recall(&mut gate, &mut follower, &engine, api.clone(), own).await;
        let recalled = recalled.map_err(|e| text(&e))?;
        if let Some(signed) = &kept.own {
            memory::recall_own(&mut gate, &mut follower, own, signed);
        }
        let mut evidence = Evidence::default();
        let cut_kept = match cut::load(&api).await.map_err(|e| text(&e))? {
            Some(cut) => memory::recall_cut(&mut gate, &mut follower, &mut evidence, &offline, cut),
            None => Revision::ZERO,
        };
        let mirroring = recalled.registry.permission();
        let registry = Arc::new(Mutex::new(recalled.registry));
        let last = kept.ack.as_deref();
        let reporter = Reporter::new(sender.clone(), ack_key, boot_id, kept.boot, last);
        let sent = Outbox::default();
        let (acks, mut waiting) = mpsc::channel::<Outgoing>(outbox::ACKS_WAITING_MAX);
        let out = Arc::clone(&sent);
        if let Some(bytes) = &kept.ack {
            push(&out, bytes.clone());
        }
        let (kept_in, kept_now) = watch::channel(KeptNow::of(kept.clone()));
        tokio::spawn(async move {
            while let Some(Outgoing { state, ack, .. }) = waiting.recv().await {
                if outbox::keep(&mut store, &state).await.is_err() {
                    return;
                }
                kept_in.send_replace(KeptNow::of(state));
                if let Some(ack) = ack {
                    push(&out, ack.bytes);
                }
            }
        });
        let (repairs_in, repairs) = mpsc::channel(REPAIRS_WAITING_MAX);
        Ok(Subscriber {
            api,
            sender,
            gate,
            offline,
            evidence,
            cut_kept,
            follower,
            works: Works::new(engine.clone(), registry.clone()),
            engine,
            registry,
            mirroring,
            permitted: None,
            reporter,
            kept,
            acks,
            kept_now,
            sent,
            repairs_in,
            repairs,
            busy_since: None,
        })
    }

    /// The follower, to be looked at.
    pub fn follower(&self) -> &Follower {
        &self.follower
    }

    /// Who speaks.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// Messages that were refused since the start, without those that were only older.
    pub fn refused(&self) -> u64 {
        self.gate.refused()
    }

    /// A live message came.
    pub fn hear(&mut self, subject: &BusSubject, bytes: &[u8], now_ms: u64) -> Result<(), Ignored> {
        self.intake().hear(subject, bytes, now_ms).map(drop)
    }

    fn intake(&mut self) -> Intake<'_> {
        Intake {
            gate: &mut self.gate,
            follower: &mut self.follower,
            evidence: &mut self.evidence,
            offline: self.offline.clone(),
        }
    }

    /// A publisher asks who holds more than its log: what is offered to it.
    pub fn recall(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let Some((recall, _)) = self.gate.open::<Recall>(&BusSubject::Recall, bytes) else {
            return Vec::new();
        };
        let (recall, evidence) = (recall.value, &mut self.evidence);
        if evidence.on_recall(&recall, &self.follower, &self.sender) != Answer::Offer {
            return Vec::new();
        }
        let offers = evidence.offer(&recall, &self.follower, &self.sender);
        offers.iter().map(|offer| offer.encode()).collect()
    }

    /// Live messages may have been lost.
    pub fn gap(&mut self) {
        self.follower.on_gap();
    }

    /// What to read from the log.
    pub fn wanted(&self) -> Vec<Read> {
        self.follower.wanted()
    }

    /// A read failed.
    pub fn not_read(&mut self, read: &Read) {
        self.follower.on_read_failed(read);
    }

    /// A read was answered.
    pub fn answer(&mut self, read: &Read, found: Option<(&BusSubject, &[u8])>, now_ms: u64) {
        // Which trust bundle is in force is not simulated.
        let _ = self.intake().take(read, found, now_ms);
    }

    /// One turn of the loop: takes what has ended, decides, starts what was decided, and makes the next
    /// ack if there is anything to say.
    pub fn turn(&mut self, now_ms: u64) {
        self.permit();
        while let Some(done) = self.works.next().now_or_never() {
            self.news().done(done);
        }
        while let Ok(repair) = self.repairs.try_recv() {
            self.news().repaired(&repair, now_ms);
        }
        self.follower
            .on_kept(&self.kept_now.borrow_and_update().seen);
        let actions = self.follower.decide();
        for key in self.works.start(actions, |_| Span::none()) {
            self.follower.on_begun(key);
        }
        self.busy_since = self
            .works
            .is_busy()
            .then(|| self.busy_since.unwrap_or_else(Instant::now));
        let is_due = |since: Instant| since.elapsed() >= RECEIVED_AFTER;
        if self.busy_since.is_none_or(is_due) {
            self.tell_all(now_ms);
        }
    }

    /// Whether any attempt is under way.
    pub fn is_busy(&self) -> bool {
        self.works.is_busy()
    }

    /// An ack that may be sent now.
    pub fn next_ack(&mut self) -> Option<Vec<u8>> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.pop_front()
    }

    /// A signed pulse; the last cut is kept beside it, as the loop does.
    pub fn pulse(&mut self, period_ms: u64, now_ms: u64) -> Vec<u8> {
        self.reporter.show(self.evidence.witness());
        self.keep_cut();
        let health = Health {
            stale: self.follower.is_stale(now_ms),
            kubernetes_version: "simulated",
            period_ms,
            ceiling: None,
            observing: self.observes(),
        };
        self.reporter.pulse(self.follower.summary(), health, now_ms)
    }

    /// Whether it says that it only observes.
    pub fn observes(&self) -> bool {
        observes(&self.follower, &self.kept_now.borrow())
    }

    fn keep_cut(&mut self) {
        let Some((revision, cut)) = cut::newest(&self.follower, &self.evidence) else {
            return;
        };
        if revision != self.cut_kept {
            self.cut_kept = revision;
            let api = self.api.clone();
            tokio::spawn(async move { drop(cut::save(&api, &cut).await) });
        }
    }

    /// A watch saw an object; `version` is nothing where it is gone or lost our label.
    pub fn look(&self, at: &ObjectRef, version: Option<String>, namespace: Option<&Value>) {
        let event = match at.kind == NAMESPACES.kind {
            true => drift::Event::Namespace {
                name: at.name.clone(),
                resource_version: version,
                seen: namespace.map(Seen::read),
            },
            false => drift::Event::Touched {
                reference: at.clone(),
                resource_version: version,
            },
        };
        self.handle(event);
    }

    /// The watches stand, or were started again: all objects with our label, and all namespaces.
    pub fn list(&self, marked: &BTreeMap<ObjectRef, String>, namespaces: &[(ObjectRef, Value)]) {
        for resource in watched().filter(|resource| *resource != NAMESPACES) {
            let is_of = |at: &&ObjectRef| {
                (at.api_version.as_str(), at.kind.as_str()) == (resource.api_version, resource.kind)
            };
            let present = marked.keys().filter(is_of);
            let present = present.map(|at| (at.clone(), marked[at].clone())).collect();
            self.handle(drift::Event::Listed { resource, present });
        }
        let seen = |(at, value): &(ObjectRef, Value)| (at.name.clone(), Seen::read(value));
        let state = |(at, value): &(ObjectRef, Value)| {
            let version = value["metadata"]["resourceVersion"].as_str();
            (at.clone(), version.unwrap_or_default().to_owned())
        };
        self.handle(drift::Event::Namespaces {
            all: namespaces.iter().map(seen).collect(),
            present: namespaces.iter().map(state).collect(),
        });
    }

    fn handle(&self, event: drift::Event) {
        if registry::is_about(&event) {
            let registry = self.registry.clone();
            tokio::spawn(async move { registry.lock().await.handle(&event).await });
            return;
        }
        let repairs = self.repairs_in.clone();
        let answer = self.engine.handle(event);
        tokio::spawn(async move {
            for repair in answer.await {
                let _ = repairs.send(repair).await;
            }
        });
    }

    fn permit(&mut self) {
        let mode = self.follower.mode();
        if self.permitted == Some(mode) {
            return;
        }
        let is_first = self.permitted.replace(mode).is_none();
        let permit = match mode {
            Some(Mode::Observe) => Permit::Observe(Bounds::none()),
            _ => Permit::Enforce(Bounds::none()),
        };
        let may_write = permit.is_enforcing() && mode.is_some();
        self.mirroring.set(may_write);
        self.engine.permit(permit);
        self.works.hurry();
        let (engine, registry) = (self.engine.clone(), self.registry.clone());
        let repairs = self.repairs_in.clone();
        tokio::spawn(async move {
            if may_write {
                let _ = registry.lock().await.write_late().await;
            }
            if is_first {
                return;
            }
            for policy in engine.policies() {
                if let Some(repair) = engine.retry(&policy).await {
                    let _ = repairs.send(repair).await;
                }
            }
        });
    }

    fn news(&mut self) -> News<'_, C> {
        News {
            follower: &mut self.follower,
            reporter: &mut self.reporter,
            works: &mut self.works,
            engine: &self.engine,
        }
    }

    fn tell_all(&mut self, now_ms: u64) {
        let Ok(place) = self.acks.clone().try_reserve_owned() else {
            return;
        };
        self.reporter.show(self.evidence.witness());
        let (refused, reporter) = (self.gate.refused(), &mut self.reporter);
        let next = next_ack(&self.follower, reporter, &mut self.kept, refused, now_ms);
        if let Some(outgoing) = next {
            place.send(outgoing);
        }
    }
}

fn push(out: &Outbox, bytes: Vec<u8>) {
    let mut sent = out.lock().unwrap_or_else(PoisonError::into_inner);
    sent.push_back(bytes);
}
