//! Thousands of clusters that only speak: each is registered, has its own keys, its own identity and its own connection
//! to a real bus, and signs its own acks and pulses. Simulated: there is no API server behind any of them, they hear no
//! events, and they say what they are told to.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::{
    sync::Mutex,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use writ_bus::identity::Credentials;
use writ_core::{
    ack::{AckedEdit, Counts, Exception, State},
    envelope::SigningKey,
    hash::Hash,
    name::{ClusterName, Name, Region, Stage},
    revision::{Generation, Revision},
    scope::Kind,
    subject::Sender,
};
use writ_proto::v1;

use crate::{
    hub::Hub,
    voice::{Voice, wall_ms},
};

/// As in a fleet that nobody has set otherwise.
pub const PULSE_PERIOD: Duration = Duration::from_secs(15);

/// Registrations and connections under way at once.
const AT_ONCE: usize = 64;

/// Pulses are sent in lots, so that a timer is not needed for each.
const LOT_PERIOD: Duration = Duration::from_millis(100);

const REGIONS: [&str; 12] = [
    "eu-west", "eu-north", "eu-south", "us-east", "us-west", "us-south", "ap-east", "ap-south",
    "ap-north", "sa-east", "af-south", "me-west",
];
const STAGES: [&str; 3] = ["dev", "stage", "prod"];

/// An edit that clusters answer to.
#[derive(Debug, Clone)]
pub struct Edit {
    /// The policy.
    pub policy: String,
    /// Its generation.
    pub generation: u64,
    /// The edit's place in the log.
    pub revision: v1::Revision,
}

/// The clusters.
pub struct Crowd {
    names: Vec<String>,
    voices: Arc<Vec<Mutex<Member>>>,
    pulses: JoinHandle<()>,
}

struct Member {
    voice: Voice,
    is_silent: bool,
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.pulses.abort();
    }
}

/// Where the cluster of a number is.
fn sender(number: usize) -> Sender {
    let region = REGIONS[number % REGIONS.len()];
    let stage = STAGES[number / REGIONS.len() % STAGES.len()];
    Sender {
        region: Region::parse(region).expect("a region"),
        stage: Stage::parse(stage).expect("a stage"),
        cluster: ClusterName::parse(&format!("{region}-{stage}-{number:05}")).expect("a name"),
    }
}

/// The key with which a cluster signs what it says: its own.
fn ack_key(cluster: &ClusterName) -> SigningKey {
    SigningKey::from_seed(&Hash::of(cluster.as_str().as_bytes()).0)
}

fn entry(sender: &Sender, identity: &Credentials) -> Value {
    let ack = ack_key(&sender.cluster).public().to_base64();
    json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": sender.cluster},
        "spec": {
            "region": sender.region, "stage": sender.stage,
            "keys": {"bus": identity.summary().key, "ack": ack},
        },
    })
}

impl Crowd {
    /// Registers clusters as an administrator does, one edit each, connects each of them, and has them pulse.
    pub async fn gather(hub: &Hub, count: usize) -> Crowd {
        let clusters = hub.clusters(0);
        let members = stream::iter(0..count).map(async |number| {
            let sender = sender(number);
            let identity = hub.identity_of(&sender);
            let request = v1::AddClusterRequest {
                manifest: entry(&sender, &identity).to_string(),
                request_id: format!("crowd-{number}"),
                ..Default::default()
            };
            let mut clusters = clusters.clone();
            clusters.add(request).await.expect("it is registered");
            let client = hub.client_of(&sender, identity).await;
            let name = sender.cluster.to_string();
            let key = ack_key(&sender.cluster);
            let voice = Voice::new(client, sender, key).every(PULSE_PERIOD);
            (name, voice)
        });
        let members: Vec<(String, Voice)> = members.buffered(AT_ONCE).collect().await;
        let (names, voices): (Vec<String>, Vec<Voice>) = members.into_iter().unzip();
        let voices = voices.into_iter().map(|voice| {
            Mutex::new(Member {
                voice,
                is_silent: false,
            })
        });
        let voices: Arc<Vec<Mutex<Member>>> = Arc::new(voices.collect());
        let pulses = tokio::spawn(pulse(voices.clone()));
        Crowd {
            names,
            voices,
            pulses,
        }
    }

    /// The names, by number.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// A cluster falls silent.
    pub async fn silence(&self, number: usize) {
        self.voices[number].lock().await.is_silent = true;
    }

    /// A cluster says that it has applied everything up to an edit, with the times of that edit; or that it refuses
    /// that edit alone. Answers when it was sent, milliseconds since 1970.
    pub async fn answer(&self, number: usize, edit: &Edit, policies: u32, refuses: bool) -> u64 {
        let mut member = self.voices[number].lock().await;
        let name = Name::parse(&edit.policy).expect("a name");
        let (generation, now_ms) = (Generation(edit.generation), wall_ms());
        let revision = Revision {
            epoch: edit.revision.epoch,
            number: edit.revision.number,
        };
        let exception = Exception {
            kind: Kind::Policy,
            name: name.clone(),
            generation,
            revision,
            state: State::Refused,
            reason: "ForeignObject".into(),
            message: "ClusterRole readers is there and not ours".into(),
        };
        let acked = AckedEdit {
            kind: Kind::Policy,
            name,
            generation,
            revision,
            state: match refuses {
                true => State::Refused,
                false => State::Applied,
            },
            removed: false,
            drift: false,
            received_ms: now_ms.saturating_sub(5),
            applied_ms: if refuses { 0 } else { now_ms },
            failures: Vec::new(),
        };
        let counts = Counts {
            applied: policies - u32::from(refuses),
            refused: u32::from(refuses),
            ..Counts::default()
        };
        let exceptions = refuses.then_some(exception).into_iter().collect();
        let sent_ms = wall_ms();
        let said = member.voice.tell(revision, counts, exceptions, vec![acked]);
        said.await;
        sent_ms
    }

    /// All say that they have applied an edit, spread evenly over a time; every so many refuse it.
    pub async fn answer_all(&self, edit: &Edit, policies: u32, over: Duration, refuser: usize) {
        let begun = Instant::now();
        for number in 0..self.names.len() {
            let share = number as f64 / self.names.len() as f64;
            let at = begun + over.mul_f64(share);
            if at > Instant::now() + Duration::from_millis(5) {
                sleep_until(at).await;
            }
            // Not in the order of the names: regions answer together.
            let number = number * 7_919 % self.names.len();
            self.answer(number, edit, policies, number % refuser == 1)
                .await;
        }
    }
}

/// Pulses of all that speak, evenly over their period.
async fn pulse(voices: Arc<Vec<Mutex<Member>>>) {
    let lots = PULSE_PERIOD.as_millis() / LOT_PERIOD.as_millis();
    let lots = usize::try_from(lots).unwrap_or(1);
    let mut lot = 0;
    loop {
        let begun = Instant::now();
        for number in (lot..voices.len()).step_by(lots) {
            let mut member = voices[number].lock().await;
            if !member.is_silent {
                member.voice.pulse().await;
            }
        }
        lot = (lot + 1) % lots;
        sleep(LOT_PERIOD.saturating_sub(begun.elapsed())).await;
    }
}
