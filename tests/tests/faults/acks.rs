//! Hears all acks of a cluster, and finds those that go back.

use std::sync::{Arc, Mutex};

use tokio::task::JoinHandle;
use writ_bus::{
    log::{self as tail, Entry},
    streams::Stream,
};
use writ_core::{
    ack::Ack,
    envelope::{Keyring, PublicKey},
    revision::Revision,
    subject::BusSubject,
};
use writ_proto::log;

use crate::ground::Ground;

/// What is compared of an ack: the counters of boots and acks, and the revision that is held.
type Place = (u64, u64, Revision);

/// An ear on one cluster.
pub(crate) struct Acks {
    places: Arc<Mutex<Vec<Place>>>,
    task: JoinHandle<()>,
}

impl Drop for Acks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Acks {
    /// Listens from the last ack on.
    pub(crate) async fn of(ground: &Ground, cluster: &str) -> Acks {
        let said = ground
            .fleet
            .writ(&["get", "clusters", cluster, "-o", "json"])
            .await;
        let said: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
        let key = said["items"][0]["manifest"]["spec"]["keys"]["ack"].as_str();
        let key = Keyring::new([PublicKey::from_base64(key.unwrap()).unwrap()]);
        let places = Arc::new(Mutex::new(Vec::new()));
        let mut tail = tail::follow(&ground.reader, Stream::Acks).await.unwrap();
        let (heard, cluster) = (Arc::clone(&places), cluster.to_owned());
        let task = tokio::spawn(async move {
            while let Some(Ok(entry)) = tail.next().await {
                let Entry::Message(stored) = entry else {
                    continue;
                };
                let is_ours = matches!(&stored.subject,
                    BusSubject::Ack(sender) if sender.cluster.as_str() == cluster);
                if is_ours {
                    let opened = log::open::<Ack>(&stored.subject, &stored.bytes, &key);
                    let ack = opened.expect("a cluster's acks are its own").value;
                    let place = (ack.boot, ack.counter, ack.revision);
                    heard.lock().unwrap().push(place);
                }
            }
        });
        Acks { places, task }
    }

    /// Acks heard, and what is wrong with their order.
    pub(crate) fn end(self) -> (usize, Vec<String>) {
        let places = self.places.lock().unwrap().clone();
        let goes_back = |pair: &[Place]| {
            let (old, new) = (pair[0], pair[1]);
            // A stored ack that was not confirmed is sent again as it is. After a start a subscriber holds
            // nothing until it has read the log, and says so.
            new.0 < old.0 || new.1 < old.1 || (new.0 == old.0 && new.2 < old.2)
        };
        let back = places.windows(2).filter(|pair| goes_back(pair));
        let text = back.map(|pair| format!("an ack goes back: {pair:?}"));
        (places.len(), text.collect())
    }
}
