//! From a request on the bus to its answer.

use std::{sync::Arc, time::Instant};

use tokio::sync::Semaphore;
use writ_bus::{
    Client, enrol as bus,
    live::{Live, Signal},
};
use writ_core::{
    edit::Kind,
    enrol::{self, Answer, Outcome, Refused, Request, Verdict},
    model::Cluster,
    name::{ClusterName, Name},
    subject::BusSubject,
};
use writ_proto::log;
use writ_telemetry::describe;

use super::{Desk, Minter, rate::Rates};
use crate::{
    accept::{self, Wish},
    commit::Committer,
    error::EditError,
    follow::Error,
    track,
    trust::Signer,
    view::Views,
};

/// Requests that are answered at once; each may wait for a commit. What comes then is not answered, and
/// comes again.
const ANSWERS_AT_ONCE: usize = 64;

/// Answers requests for ever. Clones share everything.
#[derive(Clone)]
pub(crate) struct Responder {
    pub(crate) client: Client,
    pub(crate) signer: Signer,
    pub(crate) views: Views,
    pub(crate) committer: Committer,
    pub(crate) desk: Desk,
    pub(crate) minter: Arc<Minter>,
}

/// The way by which somebody asked, and as whom: the bus lets nobody ask as another.
fn asker(subject: &BusSubject) -> Option<(&'static str, &ClusterName)> {
    Some(match subject {
        BusSubject::Enrol(cluster) => ("enrol", cluster),
        BusSubject::Request(cluster) => ("request", cluster),
        BusSubject::Renew(sender) => ("renew", &sender.cluster),
        _ => return None,
    })
}

impl Responder {
    /// Listens and answers.
    ///
    /// # Errors
    /// Where the connection was closed.
    pub(crate) async fn run(self, mut live: Live) -> Result<(), Error> {
        let places = Arc::new(Semaphore::new(ANSWERS_AT_ONCE));
        let mut rates = Rates::new();
        while let Some(signal) = live.next().await {
            let (subject, bytes) = match signal {
                Signal::Message { subject, bytes, .. } => (subject, bytes),
                // Whoever asked asks again.
                Signal::Gap => continue,
                Signal::Denied(denied) => {
                    tracing::error!("requests can't be heard: {denied}");
                    continue;
                }
            };
            let Some((way, cluster)) = asker(&subject) else {
                continue;
            };
            if !rates.takes((way, cluster.clone()), Instant::now()) {
                tracing::debug!(%cluster, way, "too many requests");
                continue;
            }
            let Ok(place) = places.clone().try_acquire_owned() else {
                continue;
            };
            let responder = self.clone();
            tokio::spawn(async move {
                responder.take(&subject, &bytes).await;
                drop(place);
            });
        }
        Err(Error::Ended)
    }

    async fn take(&self, subject: &BusSubject, bytes: &[u8]) {
        let request = match log::open_request(subject, bytes) {
            Ok(request) => request,
            Err(error) => {
                tracing::warn!(%subject, category = error.category(), "a request is not believed: {}", describe(&error));
                return;
            }
        };
        let Some(outcome) = self.outcome(&request).await else {
            return;
        };
        let answer = Answer {
            cluster: request.cluster,
            nonce: request.nonce,
            outcome,
        };
        let bytes = log::seal(&answer, &*self.signer.hold().await).bytes.into();
        if let Err(error) = bus::answer(&self.client, &answer.cluster, answer.nonce, bytes).await {
            tracing::warn!("an answer is not sent: {}", describe(&error));
        }
    }

    /// What is answered; nothing where it is not known yet.
    async fn outcome(&self, request: &Request) -> Option<Outcome> {
        let view = self.views.now();
        let entry = view.cluster(&request.cluster);
        let fingerprint = request.fingerprint();
        let name = Name::from(&request.cluster);
        let intent = view.intent(Kind::Cluster, &name);
        let revoked = intent.map_or(&[][..], |intent| intent.revoked.as_slice());
        match enrol::judge(entry, revoked, request, track::wall_ms()) {
            Verdict::Credentials => self.credentials(entry?, request),
            Verdict::Wait => {
                self.note(request, None);
                Some(Outcome::Waiting { fingerprint })
            }
            Verdict::Refuse(refusal) => {
                self.note(request, Some(refusal));
                Some(Outcome::Refused(refusal))
            }
            Verdict::Enter(change) => {
                let generation = view.generation(Kind::Cluster, &name);
                // Of one entry and one pair of keys: whoever asks twice, or of two publishers, enters once.
                let id = format!("enter-{fingerprint}:{generation}");
                let reason = match request.token {
                    Some(_) => "enrolled by a token",
                    None => "enrolled by an approval",
                };
                let wish = Wish::Step { name, change };
                let submission = accept::of_cluster(&request.cluster, wish, id, reason);
                match self.committer.submit(submission).await {
                    Ok(_) => {
                        tracing::info!(cluster = %request.cluster, %fingerprint, "{reason}");
                        self.desk.asked.forget(&request.cluster);
                        self.credentials(entry?, request)
                    }
                    Err(EditError::Step(Refused::Enter(refusal))) => {
                        self.note(request, Some(refusal));
                        Some(Outcome::Refused(refusal))
                    }
                    // It asks again, and finds what became of it.
                    Err(error) => {
                        tracing::warn!(cluster = %request.cluster, "a cluster is not let in yet: {}", describe(&error));
                        None
                    }
                }
            }
        }
    }

    fn credentials(&self, entry: &Cluster, request: &Request) -> Option<Outcome> {
        match self.minter.cluster(entry, &request.keys.bus) {
            Ok(minted) => Some(Outcome::Active {
                credentials: minted.token.as_str().to_owned(),
                issued_s: minted.issued_s,
                expires_s: minted.expires_s,
            }),
            Err(error) => {
                tracing::error!(cluster = %entry.name, "{}", describe(&error));
                None
            }
        }
    }

    fn note(&self, request: &Request, refusal: Option<enrol::Refusal>) {
        let (cluster, fingerprint) = (&request.cluster, request.fingerprint());
        if !self.desk.asked.note(cluster, fingerprint, refusal) {
            return;
        }
        match refusal {
            Some(refusal) => {
                tracing::warn!(%cluster, %fingerprint, reason = refusal.as_str(), "a request is refused: {refusal}");
            }
            None => tracing::info!(%cluster, %fingerprint, "a cluster waits for an approval"),
        }
    }
}
