//! The drift watch beside a test, as in a running subscriber.

use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use writ_subscriber::drift;
use writ_subscriber::engine::Engine;
use writ_subscriber::kube_api::KubeApi;
use writ_subscriber::outcome::Repair;

use crate::fixture::Fixture;

/// Handles whatever is seen, until it is dropped.
pub(crate) struct Watching {
    repairs: Arc<Mutex<Vec<Repair>>>,
    _stop: DropGuard,
}

impl Watching {
    pub(crate) fn start(fixture: &Fixture, engine: &Engine<KubeApi>) -> Watching {
        let (sender, mut events) = mpsc::channel(drift::EVENTS_WAITING_MAX);
        let stop = CancellationToken::new();
        let client = fixture.api.client().clone();
        tokio::spawn(drift::watch(client, sender, stop.clone()));
        let (engine, repairs) = (engine.clone(), Arc::new(Mutex::new(Vec::new())));
        let handled = Arc::clone(&repairs);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                let repairs = engine.handle(event).await;
                handled.lock().unwrap().extend(repairs);
            }
        });
        let _stop = stop.drop_guard();
        Watching { repairs, _stop }
    }

    /// Nobody but the test changed anything, so nothing was put back.
    pub(crate) fn assert_no_drift(&self) {
        let repairs = self.repairs.lock().unwrap();
        let mut drifted = repairs.iter().filter(|repair| !repair.drift.is_empty());
        assert!(drifted.next().is_none(), "{repairs:#?}");
    }
}
