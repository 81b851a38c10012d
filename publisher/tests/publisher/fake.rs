//! Documents, and a cluster that only speaks: signed acks and pulses, no Kubernetes.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use writ_bus::{Client, accounts, live};
use writ_core::{
    ack::{Ack, Counts, Exception, Pulse, State},
    hash::Hash,
    name::{ClusterName, Name, Region, Stage},
    revision::{Generation, Revision},
    scope::Kind,
    subject::Sender,
};
use writ_proto::{log, v1};

use crate::fleet::{Fleet, ack_key, connect};

/// A registry entry in eu and prod, with the keys of the fake cluster of that name.
pub(crate) fn cluster(name: &str) -> Value {
    json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "Cluster",
        "metadata": {"name": name, "labels": {"team": "core"}},
        "spec": {
            "region": "eu", "stage": "prod",
            "keys": {"bus": format!("U{}", "A".repeat(55)), "ack": ack_key(name).public().to_base64()},
        },
    })
}

/// A policy for eu that grants a group what a role says.
pub(crate) fn policy(name: &str, group: &str) -> Value {
    json!({
        "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy",
        "metadata": {"name": name, "labels": {"team": "payments"}},
        "spec": {
            "clusters": {"regions": ["eu"]},
            "grants": [{
                "name": "readers", "subjects": [{"group": group}], "clusterRole": "view",
                "clusterWide": true,
            }],
        },
    })
}

pub(crate) fn apply(manifest: &Value) -> v1::ApplyRequest {
    v1::ApplyRequest {
        manifest: manifest.to_string(),
        ..Default::default()
    }
}

/// Enters a cluster with the keys that its document states.
pub(crate) fn add(manifest: &Value) -> v1::AddClusterRequest {
    v1::AddClusterRequest {
        manifest: manifest.to_string(),
        ..Default::default()
    }
}

pub(crate) fn delete(name: &str) -> v1::DeleteRequest {
    v1::DeleteRequest {
        name: name.to_owned(),
        ..Default::default()
    }
}

fn wall_ms() -> u64 {
    u64::try_from(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_millis(),
    )
    .unwrap()
}

/// A cluster that speaks.
pub(crate) struct FakeCluster {
    client: Client,
    sender: Sender,
    counter: u64,
    previous: Hash,
    sent_ms: u64,
    witness: Vec<u8>,
    claimed: Revision,
    period_ms: u64,
}

impl FakeCluster {
    pub(crate) async fn connect(fleet: &Fleet, name: &str) -> FakeCluster {
        let (name, login) = fleet
            .bus_logins
            .iter()
            .find(|(own, _)| own.as_str() == name)
            .cloned()
            .unwrap();
        let (region, stage) = (Region::parse("eu").unwrap(), Stage::parse("prod").unwrap());
        let inbox = accounts::cluster_inbox(&region, &name);
        let client = connect(&fleet.url, login, inbox)
            .await
            .expect("the bus lets it in");
        let sender = Sender {
            region,
            stage,
            cluster: name,
        };
        FakeCluster {
            client,
            sender,
            counter: 0,
            previous: Hash([0; 32]),
            sent_ms: 0,
            witness: Vec::new(),
            claimed: Revision::ZERO,
            period_ms: 200,
        }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    fn name(&self) -> &ClusterName {
        &self.sender.cluster
    }

    /// Says that everything up to a revision is applied, but for one policy if it is named.
    pub(crate) async fn ack(&mut self, revision: &v1::Revision, refuses: Option<(&str, u64)>) {
        let reached = Revision {
            epoch: revision.epoch,
            number: revision.number,
        };
        let exception = |(name, generation): (&str, u64)| Exception {
            kind: Kind::Policy,
            name: Name::parse(name).unwrap(),
            generation: Generation(generation),
            revision: reached,
            state: State::Refused,
            reason: "ForeignObject".into(),
            message: "ClusterRoleBinding writ:payments:readers is there and not ours".into(),
        };
        self.counter += 1;
        let exceptions: Vec<Exception> = refuses.into_iter().map(exception).collect();
        let refused = u32::try_from(exceptions.len()).unwrap();
        let ack = Ack {
            sender: self.sender.clone(),
            revision: reached,
            feeds: BTreeMap::new(),
            counts: Counts {
                refused,
                ..Counts::default()
            },
            exceptions,
            exceptions_total: refused,
            edits: vec![],
            refused_messages: 0,
            boot_id: "fake".into(),
            boot: 1,
            counter: self.counter,
            previous: self.previous,
            sent_ms: self.next_ms(),
            witness: vec![],
        };
        let sealed = log::seal(&ack, &ack_key(self.name().as_str()));
        self.previous = sealed.hash;
        live::publish_ack(&self.client, &self.sender, sealed.bytes.into())
            .await
            .unwrap();
    }

    /// Gives a sign of life, signed by whose key is said.
    pub(crate) async fn pulse_signed_as(&mut self, signer: &str) {
        let pulse = Pulse {
            sender: self.sender.clone(),
            revision: self.claimed,
            feeds: BTreeMap::new(),
            counts: Counts::default(),
            ack_counter: 0,
            version: "0.1.0".into(),
            kubernetes_version: "v1.36.3".into(),
            stale: false,
            sent_ms: self.next_ms(),
            boot_id: "fake".into(),
            period_ms: self.period_ms,
            ceiling: None,
            observing: false,
            witness: self.witness.clone(),
            as_acked: true,
        };
        let sealed = log::seal(&pulse, &ack_key(signer));
        live::publish_pulse(&self.client, &self.sender, sealed.bytes.into())
            .await
            .unwrap();
        self.client.flush().await;
    }

    /// From now on shows this of a publisher's words.
    pub(crate) fn show(&mut self, witness: Vec<u8>) {
        self.witness = witness;
    }

    /// From now on claims to hold this.
    pub(crate) fn claim(&mut self, revision: Revision) {
        self.claimed = revision;
    }

    /// From now on promises a pulse in this time: it is not called silent while a test waits.
    pub(crate) fn promise(&mut self, period_ms: u64) {
        self.period_ms = period_ms;
    }

    pub(crate) async fn pulse(&mut self) {
        let name = self.name().to_string();
        self.pulse_signed_as(&name).await;
    }

    fn next_ms(&mut self) -> u64 {
        self.sent_ms = wall_ms().max(self.sent_ms + 1);
        self.sent_ms
    }
}
