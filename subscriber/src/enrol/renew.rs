//! New credentials long before the old ones end, asked for as this very cluster.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use writ_bus::{Client, identity::Credentials};
use writ_core::{
    enrol::Outcome,
    subject::{BusSubject, Sender},
};

use super::{
    Error, Joining, KeyStore, Keys,
    ask::Asker,
    join::{join, renewal_after, take, user},
};
use crate::cluster::ClusterApi;

/// Between two attempts where one failed; in a third of a day's credentials there are hundreds.
const RETRY_PERIOD: Duration = Duration::from_secs(60);

/// How often is looked whether the bus still takes this cluster.
const LOOK_PERIOD: Duration = Duration::from_secs(5);

/// After how long without the bus it is asked whether the credentials are the reason.
const AWAY_MAX: Duration = Duration::from_secs(10);

/// Shortest pause, so that credentials of seconds, as tests have them, are no flood.
const PAUSE_MIN: Duration = Duration::from_millis(500);

/// What keeps a cluster's credentials fresh.
pub(crate) struct Renewal<C> {
    pub(crate) client: Client,
    pub(crate) sender: Sender,
    pub(crate) joining: Joining,
    pub(crate) store: KeyStore<C>,
    pub(crate) keys: Keys,
    /// Where the connection takes its credentials from.
    pub(crate) latest: watch::Sender<Arc<Credentials>>,
}

impl<C: ClusterApi> Renewal<C> {
    /// Renews until it is told to end. Where the credentials ended or were revoked meanwhile, it asks as
    /// one that joins.
    ///
    /// # Errors
    /// [`Error::Rekeyed`]: the cluster has other keys now, and begins anew with them.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<(), Error> {
        let mut next = Instant::now() + renewal_after(&self.keys).max(PAUSE_MIN);
        let mut seen = Instant::now();
        loop {
            let look = LOOK_PERIOD.min(next.saturating_duration_since(Instant::now()));
            tokio::select! {
                () = tokio::time::sleep(look) => {}
                () = shutdown.cancelled() => return Ok(()),
            }
            let now = Instant::now();
            if self.client.is_connected() {
                seen = now;
            }
            let is_away = now.duration_since(seen) >= AWAY_MAX;
            if now < next && !is_away {
                continue;
            }
            let renewed = if is_away {
                self.join(&shutdown).await?
            } else {
                self.ask().await
            };
            let pause = match renewed {
                true => renewal_after(&self.keys).max(PAUSE_MIN),
                false => RETRY_PERIOD.min(renewal_after(&self.keys).max(LOOK_PERIOD)),
            };
            next = Instant::now() + pause;
            seen = Instant::now();
            if let Some(user) = user(&self.keys).filter(|_| renewed) {
                // The next connection shows it.
                self.latest.send_replace(Arc::new(user));
                if is_away {
                    self.client.reconnect().await;
                }
            }
        }
    }

    /// Asks as this cluster.
    async fn ask(&mut self) -> bool {
        let asker = Asker {
            cluster: self.sender.cluster.clone(),
            keys: self.keys.clone(),
            trusted: self.joining.trusted.borrow().clone(),
        };
        let subject = BusSubject::Renew(self.sender.clone());
        match asker.ask(&self.client, &subject, None).await {
            Ok(Some(Outcome::Active { credentials, .. })) if take(&mut self.keys, &credentials) => {
                let kept = self.keys.credentials.as_ref().map_or("", |text| text);
                if let Err(error) = self.store.keep_credentials(kept).await {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "the new credentials are not kept yet");
                }
                tracing::info!("the credentials are renewed");
                true
            }
            Ok(other) => {
                tracing::warn!("the credentials are not renewed: {other:?}");
                false
            }
            Err(error) => {
                tracing::warn!("the credentials are not renewed: {error}");
                false
            }
        }
    }

    /// Asks as one that joins, with keys that are known.
    async fn join(&mut self, shutdown: &CancellationToken) -> Result<bool, Error> {
        let before = self.keys.public();
        let (say, _) = mpsc::unbounded_channel();
        let joining = Joining {
            anyway: true,
            ..self.joining.clone()
        };
        let joined = join(&joining, &self.store, &mut self.keys, shutdown, &say).await;
        if self.keys.public() != before {
            return Err(Error::Rekeyed);
        }
        if let Err(error) = &joined {
            tracing::debug!("not let in anew: {error}");
        }
        Ok(joined.is_ok())
    }
}
