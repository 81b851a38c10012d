//! One request, and its answer.

use std::time::Duration;

use rand::TryRng as _;
use tokio::time::{Instant, timeout_at};
use writ_bus::{Client, enrol as bus, live::Signal};
use writ_core::{
    enrol::{Answer, Fingerprint, Outcome, Request, Token},
    envelope::Keyring,
    name::ClusterName,
    subject::BusSubject,
};
use writ_proto::log;

use super::{Error, Keys};

/// How long an answer is waited for: a publisher that has to commit takes milliseconds, and up to 20 s
/// where the log has no leader.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(25);

/// Who asks.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) cluster: ClusterName,
    pub(super) keys: Keys,
    /// The publishers.
    pub(super) trusted: Keyring,
}

impl Asker {
    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.cluster, &self.keys.public())
    }

    /// Asks once; nothing where nobody answered in time.
    pub(super) async fn ask(
        &self,
        client: &Client,
        subject: &BusSubject,
        token: Option<&Token>,
    ) -> Result<Option<Outcome>, Error> {
        let mut nonce = [0; 16];
        rand::rngs::SysRng
            .try_fill_bytes(&mut nonce)
            .map_err(Error::Random)?;
        let token = token.map(|token| token.signing_key(&self.cluster));
        let request = Request {
            cluster: self.cluster.clone(),
            keys: self.keys.public(),
            token: token.as_ref().map(|token| token.public().to_base64()),
            nonce,
        };
        let keys = [&self.keys.bus, &self.keys.ack];
        let sealed = log::seal_request(&request, subject, keys, token.as_ref());
        let answers = bus::listen_for_answers(client, &self.cluster).await;
        let mut answers = answers.map_err(Error::Bus)?;
        bus::ask(client, subject, sealed.bytes.into())
            .await
            .map_err(Error::Bus)?;
        let deadline = Instant::now() + ANSWER_TIME_MAX;
        let wanted = BusSubject::Enrolled {
            cluster: self.cluster.clone(),
            nonce,
        };
        while let Ok(Some(signal)) = timeout_at(deadline, answers.next()).await {
            let (subject, bytes) = match signal {
                Signal::Message { subject, bytes, .. } => (subject, bytes),
                Signal::Gap => continue,
                Signal::Denied(denied) => {
                    tracing::warn!("answers can't be heard: {denied}");
                    continue;
                }
            };
            // Of another request, or of another's.
            if subject != wanted {
                continue;
            }
            match log::open::<Answer>(&wanted, &bytes, &self.trusted) {
                Ok(opened) => return Ok(Some(opened.value.outcome)),
                Err(error) => tracing::warn!(
                    category = error.category(),
                    "an answer is not believed: {error}"
                ),
            }
        }
        Ok(None)
    }
}
