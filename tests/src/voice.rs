//! A cluster that only speaks: signed acks and pulses, and nothing behind them.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use writ_bus::{Client, live};
use writ_core::{
    ack::{Ack, AckedEdit, Counts, Exception, Pulse, State},
    envelope::SigningKey,
    hash::Hash,
    name::{ClusterName, Name, Region, Stage},
    revision::{Generation, Revision},
    scope::Kind,
    subject::Sender,
};
use writ_proto::{log, v1};

use crate::hub::{Hub, ack_key};

/// The time between two pulses.
pub const PULSE_PERIOD: Duration = Duration::from_millis(200);

/// A cluster of a hub.
pub struct Voice {
    client: Client,
    sender: Sender,
    key: SigningKey,
    counter: u64,
    previous: Hash,
    sent_ms: u64,
    boot: u64,
    boot_id: String,
    period: Duration,
}

/// What a cluster keeps of its acks.
#[derive(Debug, Clone)]
pub struct Memory {
    counter: u64,
    previous: Hash,
}

/// Pulses that go on until they are stopped.
pub struct Pulses {
    task: JoinHandle<Voice>,
    end: CancellationToken,
}

impl Pulses {
    /// Falls silent.
    pub async fn stop(self) -> Voice {
        self.end.cancel();
        self.task.await.expect("it only sends")
    }
}

pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

impl Voice {
    /// Connects as a cluster that the hub knows, in eu and prod.
    pub async fn of(hub: &Hub, name: &str) -> Voice {
        let sender = Sender {
            region: Region::parse("eu").expect("a region"),
            stage: Stage::parse("prod").expect("a stage"),
            cluster: ClusterName::parse(name).expect("a name"),
        };
        let client = hub.cluster_client(name).await;
        Voice::new(client, sender, ack_key(name))
    }

    /// A cluster that is connected already, and signs with this key.
    pub fn new(client: Client, sender: Sender, key: SigningKey) -> Voice {
        Voice {
            client,
            sender,
            key,
            counter: 0,
            previous: Hash([0; 32]),
            sent_ms: 0,
            boot: 1,
            boot_id: "voice".into(),
            period: PULSE_PERIOD,
        }
    }

    /// States another time between two pulses.
    pub fn every(mut self, period: Duration) -> Voice {
        self.period = period;
        self
    }

    /// Its subscriber is started again: another run, which goes on with the chain.
    pub fn restart(&mut self) {
        self.boot += 1;
        self.boot_id = format!("{}-{}-{}", self.sender.cluster, self.boot, wall_ms());
    }

    /// What the cluster keeps.
    pub fn memory(&self) -> Memory {
        Memory {
            counter: self.counter,
            previous: self.previous,
        }
    }

    /// The cluster is put back to what it kept, and its subscriber is started.
    pub fn put_back(&mut self, memory: Memory) {
        (self.counter, self.previous) = (memory.counter, memory.previous);
        self.restart();
    }

    fn next_ms(&mut self) -> u64 {
        self.sent_ms = wall_ms().max(self.sent_ms + 1);
        self.sent_ms
    }

    /// Says that everything up to a revision is applied, but for one policy if it is named.
    pub async fn ack(&mut self, revision: v1::Revision, refuses: Option<(&str, u64)>) {
        let reached = Revision {
            epoch: revision.epoch,
            number: revision.number,
        };
        let exception = |(name, generation): (&str, u64)| Exception {
            kind: Kind::Policy,
            name: Name::parse(name).expect("a name"),
            generation: Generation(generation),
            revision: reached,
            state: State::Refused,
            reason: "ForeignObject".into(),
            message: "it is there and not ours".into(),
        };
        let refused = u32::from(refuses.is_some());
        let counts = Counts {
            refused,
            ..Counts::default()
        };
        let exceptions = refuses.into_iter().map(exception).collect();
        self.say(reached, counts, exceptions).await;
    }

    /// Says how it stands.
    pub async fn say(&mut self, reached: Revision, counts: Counts, exceptions: Vec<Exception>) {
        self.tell(reached, counts, exceptions, Vec::new()).await;
    }

    /// Says how it stands, and how it came there.
    pub async fn tell(
        &mut self,
        reached: Revision,
        counts: Counts,
        exceptions: Vec<Exception>,
        edits: Vec<AckedEdit>,
    ) {
        self.counter += 1;
        let ack = Ack {
            sender: self.sender.clone(),
            revision: reached,
            feeds: BTreeMap::new(),
            counts,
            exceptions_total: u32::try_from(exceptions.len()).unwrap_or(u32::MAX),
            exceptions,
            edits,
            refused_messages: 0,
            boot_id: self.boot_id.clone(),
            boot: self.boot,
            counter: self.counter,
            previous: self.previous,
            sent_ms: self.next_ms(),
            witness: vec![],
        };
        let sealed = log::seal(&ack, &self.key);
        self.previous = sealed.hash;
        let sent = live::publish_ack(&self.client, &self.sender, sealed.bytes.into()).await;
        sent.expect("the bus takes an ack");
    }

    /// Gives a sign of life.
    pub async fn pulse(&mut self) {
        let pulse = Pulse {
            sender: self.sender.clone(),
            revision: Revision::ZERO,
            feeds: BTreeMap::new(),
            counts: Counts::default(),
            ack_counter: 0,
            version: "0.1.0".into(),
            kubernetes_version: "v1.36.3".into(),
            stale: false,
            sent_ms: self.next_ms(),
            boot_id: self.boot_id.clone(),
            period_ms: u64::try_from(self.period.as_millis()).unwrap_or(u64::MAX),
            ceiling: None,
            observing: false,
            witness: vec![],
            as_acked: true,
        };
        let sealed = log::seal(&pulse, &self.key);
        let sent = live::publish_pulse(&self.client, &self.sender, sealed.bytes.into()).await;
        sent.expect("the bus takes a pulse");
        self.client.flush().await;
    }

    /// Goes on giving signs of life.
    pub fn go_on(mut self) -> Pulses {
        let end = CancellationToken::new();
        let ended = end.clone();
        let task = tokio::spawn(async move {
            while !ended.is_cancelled() {
                self.pulse().await;
                tokio::time::sleep(PULSE_PERIOD).await;
            }
            self
        });
        Pulses { task, end }
    }
}
