//! The loop of a subscriber: what comes in is given to the follower, what it wants is read, what it
//! decides is carried out, what became of it is told.
//!
//! Owns no rule: those are the follower's. Promises that nothing here waits while a message could be
//! taken: reads, work and reports run side by side.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{Mutex, mpsc, watch},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use writ_bus::{
    connection::Client,
    live::{self, Live, Signal},
};
use writ_core::{
    follower::Follower,
    model::Mode,
    recover::Recall,
    revision::Revision,
    subject::{BusSubject, Sender},
};

use crate::{
    ceiling_watch::Verdict,
    clock::Clock,
    cluster::ClusterApi,
    cut, drift,
    engine::Engine,
    evidence::{Answer as Asked, Evidence},
    intake::{Answered, Intake},
    metrics::Meters,
    news::{News, next_ack, observes},
    outbox::{KeptNow, Outgoing},
    outcome::Repair,
    receive::{self, Answer, Reads},
    registry::{self, Permission, Registry},
    report::{Health, Reporter},
    run::Error,
    state::{self, State as Kept},
    traces::{Came, Traces},
    trust::{self, Taken, Trustee},
    verify::Gate,
    work::Works,
};

/// An attempt that takes longer is told as received before it ends.
pub(crate) const RECEIVED_AFTER: Duration = Duration::from_millis(250);
/// Longest wait before a cluster shows that it holds more than the log: spreads a fleet that was asked
/// at once, and is short enough for "at once".
const SHOW_DELAY_MAX: Duration = Duration::from_millis(250);

/// Where the last cut is kept, and which one that is.
pub(crate) struct Keeping<C> {
    pub(crate) api: C,
    pub(crate) kept: Revision,
}

pub(crate) struct Pilot<C> {
    pub(crate) clock: Clock,
    pub(crate) sender: Sender,
    pub(crate) client: Client,
    pub(crate) live: Live,
    pub(crate) gate: Gate,
    pub(crate) trustee: Trustee,
    /// A bundle was taken, and is not on its way into the cluster yet.
    pub(crate) is_trust_unkept: bool,
    pub(crate) evidence: Evidence,
    /// Answers out of the log since the start, until it was caught up with.
    pub(crate) reads_to_catch_up: Option<u64>,
    pub(crate) cut: Keeping<C>,
    pub(crate) follower: Follower,
    pub(crate) reads: Reads,
    pub(crate) works: Works<C>,
    pub(crate) engine: Engine<C>,
    pub(crate) registry: Arc<Mutex<Registry<C>>>,
    pub(crate) mirroring: Permission,
    pub(crate) drift: mpsc::Receiver<drift::Event>,
    pub(crate) reporter: Reporter,
    pub(crate) kept: Kept,
    pub(crate) acks: mpsc::Sender<Outgoing>,
    pub(crate) kept_now: watch::Receiver<KeptNow>,
    pub(crate) outbox: JoinHandle<Result<(), state::Error>>,
    pub(crate) pulse_period: Duration,
    pub(crate) kubernetes_version: String,
    pub(crate) verdicts: watch::Receiver<Verdict>,
    /// What the engine was last permitted: by which ceiling, in which mode.
    pub(crate) permitted: Option<(Verdict, Option<Mode>)>,
    pub(crate) meters: Meters,
    pub(crate) traces: Traces,
}

impl<C: ClusterApi + Clone + Send + Sync + 'static> Pilot<C> {
    /// Runs until it is shut down, or the state in the cluster is somebody else's.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<(), Error> {
        let (repairs_in, mut repairs) = mpsc::channel::<Repair>(drift::EVENTS_WAITING_MAX);
        let mut pulse_at = Instant::now();
        let mut busy_since: Option<Instant> = None;
        let mut stale = true;
        loop {
            self.permit(&repairs_in);
            self.ask();
            let actions = self.follower.decide();
            let traces = &mut self.traces;
            for key in self.works.start(actions, |action| traces.begin(action)) {
                self.follower.on_begun(key);
            }
            let acks_waiting = self.acks.max_capacity() - self.acks.capacity();
            self.meters
                .looped(&self.follower, self.works.under_way(), acks_waiting);
            busy_since = self
                .works
                .is_busy()
                .then(|| busy_since.unwrap_or_else(Instant::now));
            if busy_since.is_none_or(|since| since.elapsed() >= RECEIVED_AFTER) {
                self.tell_all();
            }
            let wake = [
                self.works.next_attempt(),
                self.trustee.wake(),
                busy_since.map(|since| since + RECEIVED_AFTER),
            ];
            let wake = wake
                .into_iter()
                .flatten()
                .filter(|at| *at > Instant::now())
                .min();
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                signal = self.live.next() => match signal {
                    Some(signal) => {
                        if self.on_signal(signal) {
                            let delay = rand::random_range(Duration::ZERO..SHOW_DELAY_MAX);
                            pulse_at = pulse_at.min(Instant::now() + delay);
                        }
                    }
                    None => return Err(Error::BusClosed),
                },
                answer = self.reads.next() => self.on_answer(answer),
                answer = self.trustee.next() => self.on_trust_answer(answer),
                done = self.works.next() => {
                    let word = self.follower.word(&done.key);
                    let received_ms = word.map_or(0, |word| word.received_ms);
                    self.meters.done(&done, received_ms);
                    self.traces.done(&done);
                    self.news().done(done);
                }
                Some(event) = self.drift.recv() => self.look(event, repairs_in.clone()),
                Some(repair) = repairs.recv() => {
                    let now_ms = self.clock.now_ms();
                    self.meters.repaired(repair.drift.len());
                    self.news().repaired(&repair, now_ms);
                }
                Ok(()) = self.verdicts.changed() => {}
                Ok(()) = self.kept_now.changed() => {
                    self.follower.on_kept(&self.kept_now.borrow_and_update().seen);
                }
                ended = &mut self.outbox => return match ended {
                    Ok(Err(error)) => Err(Error::State(error)),
                    // It ends before this loop only with an error or a panic.
                    Ok(Ok(())) | Err(_) => Err(Error::Outbox),
                },
                () = tokio::time::sleep_until(pulse_at) => {
                    pulse_at = Instant::now() + jittered(self.pulse_period);
                    self.pulse(&mut stale).await;
                }
                () = sleep_until_some(wake) => {}
            }
        }
    }

    /// Reads what the follower wants; says once how much that was until the log was caught up with.
    fn ask(&mut self) {
        let wanted = self.follower.wanted();
        if wanted.is_empty()
            && self.follower.cut().is_some()
            && let Some(reads) = self.reads_to_catch_up.take()
        {
            tracing::info!(reads, "the log is caught up with");
        }
        self.reads.ask(wanted);
        if self.gate.take_unknown_key() {
            self.trustee.on_unknown_key();
        }
        self.trustee.ask();
    }

    fn on_trust_answer(&mut self, answer: trust::Answer) {
        match answer {
            // None was stored yet, or whoever answered is behind.
            Ok(None) => {}
            Ok(Some(stored)) => self.on_trust(&stored.bytes),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "the trust bundle is not read");
            }
        }
    }

    /// Takes a bundle of the offline key: from now on what it says counts, and what was refused until now
    /// is asked for again.
    fn on_trust(&mut self, signed: &[u8]) {
        match self.trustee.take(signed) {
            Ok(Taken::Known) => {}
            Ok(Taken::New) => {
                self.gate
                    .trust(self.trustee.keyring(), self.trustee.revoked());
                self.kept.trust = Some(self.trustee.signed().to_vec());
                self.is_trust_unkept = true;
                self.follower.on_gap();
            }
            Err(error) => self.gate.refuse(&BusSubject::Trust, &error),
        }
    }

    /// Tells the engine and the registry what they may do, whenever the ceiling or the cluster's mode
    /// is another. All that stood under the old word is looked at again.
    fn permit(&mut self, repairs: &mpsc::Sender<Repair>) {
        let (verdict, mode) = (
            self.verdicts.borrow_and_update().clone(),
            self.follower.mode(),
        );
        let same = |(known, of): &(Verdict, Option<Mode>)| known.is_same(&verdict) && *of == mode;
        if self.permitted.as_ref().is_some_and(same) {
            return;
        }
        let permit = verdict.permit(mode.unwrap_or_default());
        // At once, before anything else is started. Entries of others may come before the own one,
        // which may say that nothing is to be written here.
        let may_write = permit.is_enforcing() && mode.is_some();
        self.mirroring.set(may_write);
        self.engine.permit(permit);
        let is_first = self.permitted.replace((verdict, mode)).is_none();
        let (engine, registry) = (self.engine.clone(), self.registry.clone());
        let repairs = repairs.clone();
        self.works.hurry();
        tokio::spawn(async move {
            if may_write && let Err(error) = registry.lock().await.write_late().await {
                tracing::warn!("registry mirrors are not written yet: {error}");
            }
            if is_first {
                return;
            }
            for policy in engine.policies() {
                if let Some(repair) = engine.retry(&policy).await {
                    // Nobody listens only when the subscriber is shutting down.
                    let _ = repairs.send(repair).await;
                }
            }
        });
    }

    /// Answers whether somebody is to be shown soon that this cluster holds more than the log.
    fn on_signal(&mut self, signal: Signal) -> bool {
        let now_ms = self.clock.now_ms();
        match signal {
            Signal::Gap => {
                self.meters.gap();
                self.follower.on_gap();
            }
            Signal::Denied(denied) => {
                tracing::error!(
                    subject = denied.subject,
                    "the bus denies what this cluster needs: check its user's permissions"
                );
            }
            Signal::Message {
                subject: BusSubject::Recall,
                bytes,
                ..
            } => return self.on_recall(&bytes),
            Signal::Message {
                subject: BusSubject::LiveTrust,
                bytes,
                ..
            } => self.on_trust(&bytes),
            Signal::Message {
                subject,
                bytes,
                places,
            } => {
                let since = SystemTime::now();
                // What was ignored is counted already.
                if let Ok(Some(taken)) = self.intake().hear(&subject, &bytes, now_ms) {
                    let came = (Came::Live, &subject, places.as_slice());
                    self.traces.received(taken, came, since);
                }
            }
        }
        false
    }

    /// A publisher asks who holds more than its log.
    fn on_recall(&mut self, bytes: &[u8]) -> bool {
        let Some((recall, _)) = self.gate.open::<Recall>(&BusSubject::Recall, bytes) else {
            return false;
        };
        let recall = recall.value;
        match self
            .evidence
            .on_recall(&recall, &self.follower, &self.sender)
        {
            Asked::Nothing => false,
            Asked::Pulse => true,
            Asked::Offer => {
                let offers = self.evidence.offer(&recall, &self.follower, &self.sender);
                tracing::info!(parts = offers.len(), above = %recall.above, "what is held here is offered to a log that is behind");
                let (client, sender) = (self.client.clone(), self.sender.clone());
                tokio::spawn(async move {
                    for offer in offers {
                        let bytes = offer.encode().into();
                        if let Err(error) = live::publish_offer(&client, &sender, bytes).await {
                            return tracing::warn!("the offer is not sent: {error}");
                        }
                    }
                });
                false
            }
        }
    }

    /// Keeps the last cut in the cluster, for the next start. Beside everything else, now and then.
    fn keep_cut(&mut self) {
        let Some((revision, cut)) = cut::newest(&self.follower, &self.evidence) else {
            return;
        };
        if revision == self.cut.kept {
            return;
        }
        self.cut.kept = revision;
        let api = self.cut.api.clone();
        tokio::spawn(async move {
            if let Err(error) = cut::save(&api, &cut).await {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "the last cut is not kept; a restart reads more");
            }
        });
    }

    fn on_answer(&mut self, (read, answer): Answer) {
        if let Some(reads) = &mut self.reads_to_catch_up {
            *reads += 1;
        }
        match answer {
            Ok(stored) => {
                let now_ms = self.clock.now_ms();
                let found = stored
                    .as_ref()
                    .map(|stored| (&stored.subject, &*stored.bytes));
                let since = SystemTime::now();
                match (self.intake().take(&read, found, now_ms), &stored) {
                    (Some(Answered::Trust(stated)), _) => self.trustee.on_stated(stated),
                    (Some(Answered::Event(taken)), Some(stored)) => {
                        let came = (Came::Read, &stored.subject, stored.places.as_slice());
                        self.traces.received(taken, came, since);
                    }
                    _ => {}
                }
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(subject = %receive::subject(&read), error, "not read; asking again");
                self.follower.on_read_failed(&read);
            }
        }
    }

    /// Whoever takes what comes from the bus.
    fn intake(&mut self) -> Intake<'_> {
        Intake {
            gate: &mut self.gate,
            follower: &mut self.follower,
            evidence: &mut self.evidence,
            offline: self.trustee.offline(),
        }
    }

    /// Whoever is told what became of work.
    fn news(&mut self) -> News<'_, C> {
        News {
            follower: &mut self.follower,
            reporter: &mut self.reporter,
            works: &mut self.works,
            engine: &self.engine,
        }
    }

    /// A change in the cluster. Repairs run beside everything else; one name is locked by the engine.
    fn look(&self, event: drift::Event, repairs: mpsc::Sender<Repair>) {
        if registry::is_about(&event) {
            let registry = self.registry.clone();
            tokio::spawn(async move {
                if let Err(error) = registry.lock().await.handle(&event).await {
                    tracing::warn!(
                        "a registry mirror was changed by hand and is not put back yet: {error}"
                    );
                }
            });
            return;
        }
        // Begun here, in the order in which the watch told it.
        let answer = self.engine.handle(event);
        tokio::spawn(async move {
            for repair in answer.await {
                // Nobody listens only when the subscriber is shutting down.
                let _ = repairs.send(repair).await;
            }
        });
    }

    /// Makes the next ack if there is anything new to say and the last one got through.
    fn tell_all(&mut self) {
        let Ok(place) = self.acks.clone().try_reserve_owned() else {
            return;
        };
        self.reporter.show(self.evidence.witness());
        let (now_ms, refused) = (self.clock.now_ms(), self.gate.refused());
        let reporter = &mut self.reporter;
        let next = next_ack(&self.follower, reporter, &mut self.kept, refused, now_ms);
        // With an ack that is due anyway, or else by itself.
        let next = next.or_else(|| {
            self.is_trust_unkept.then(|| Outgoing {
                state: self.kept.clone(),
                ack: None,
                spans: Vec::new(),
            })
        });
        if let Some(mut outgoing) = next {
            self.is_trust_unkept = false;
            if outgoing.ack.is_some() {
                outgoing.spans = self.traces.ack();
            }
            place.send(outgoing);
        }
    }

    async fn pulse(&mut self, was_stale: &mut bool) {
        self.reporter.show(self.evidence.witness());
        self.keep_cut();
        let now_ms = self.clock.now_ms();
        let stale = self.follower.is_stale(now_ms);
        self.meters.pulse(stale, *was_stale);
        self.meters.ignored(self.gate.counts());
        self.meters.ceiling(self.verdicts.borrow().hash().is_some());
        let (cluster, boot) = (self.sender.cluster.as_str(), self.kept.boot);
        let summary = self.follower.summary();
        self.meters
            .remember(&self.follower, &summary, cluster, boot);
        if stale != *was_stale {
            *was_stale = stale;
            match stale {
                true => tracing::warn!(
                    "no beat is in force: this cluster may be behind; enforcement goes on"
                ),
                false => tracing::info!("the beat is heard"),
            }
        }
        let period_ms = u64::try_from(self.pulse_period.as_millis()).unwrap_or(u64::MAX);
        let health = Health {
            stale,
            kubernetes_version: &self.kubernetes_version,
            period_ms,
            ceiling: self.verdicts.borrow().hash(),
            observing: observes(&self.follower, &self.kept_now.borrow()),
        };
        let bytes = self.reporter.pulse(summary, health, now_ms);
        if let Err(error) = live::publish_pulse(&self.client, &self.sender, bytes.into()).await {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "pulse not sent");
        }
    }
}

/// The period, give or take a tenth: a fleet that was started together must not pulse together.
fn jittered(period: Duration) -> Duration {
    period.mul_f64(rand::random_range(0.9..1.1))
}

async fn sleep_until_some(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
