//! From no credentials to credentials: asks until somebody lets this cluster in.

use std::{fs, path::PathBuf, time::Duration};

use tokio::sync::{mpsc::UnboundedSender, watch};
use tokio_util::sync::CancellationToken;
use writ_bus::{
    Client,
    connection::{self, FirstConnect, Login, Options},
    enrol,
    identity::Credentials,
    registrar::now_s,
};
use writ_core::{
    enrol::{Outcome, Refusal, Token},
    envelope::{Keyring, SigningKey},
    name::ClusterName,
    subject::BusSubject,
};

use super::{Error, KeyStore, Keys, ask::Asker};
use crate::cluster::ClusterApi;

/// Between two requests of a cluster that waits for an approval: somebody looks at it.
const WAITING_PERIOD: Duration = Duration::from_secs(5);

/// Between two requests of a cluster that was refused, or not answered: somebody has to do something.
const REFUSED_PERIOD: Duration = Duration::from_secs(20);

/// What a cluster joins with.
#[derive(Clone)]
pub(crate) struct Joining {
    pub(crate) cluster: ClusterName,
    pub(crate) url: String,
    /// The publishers.
    pub(crate) trusted: watch::Receiver<Keyring>,
    /// What the manifest brought: `token` and `token.jwt`, `request.jwt`.
    pub(crate) folder: Option<PathBuf>,
    /// Asks once, also where the credentials that are kept still last: the bus does not take them.
    pub(crate) anyway: bool,
}

/// A way of asking.
enum Way {
    Token(Token, Credentials),
    Request(Credentials),
}

impl Joining {
    fn read(&self, name: &str) -> Option<String> {
        let text = fs::read_to_string(self.folder.as_ref()?.join(name)).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// The ways that there are, the token first. Read again each time: a new manifest may have come.
    fn ways(&self) -> Vec<Way> {
        let mut ways = Vec::new();
        if let (Some(text), Some(jwt)) = (self.read("token"), self.read("token.jwt")) {
            let token = Token::parse(&text);
            let credentials = token.as_ref().and_then(|token| {
                let seed = token.bus_seed(&self.cluster);
                let seed = writ_core::enrol::nkey::seed_text(&seed);
                enrol::credentials(&jwt, Some(&seed)).ok()
            });
            match token.zip(credentials) {
                Some((token, credentials)) => ways.push(Way::Token(token, credentials)),
                None => {
                    tracing::warn!("the enrolment token can't be read: apply the manifest anew")
                }
            }
        }
        if let Some(jwt) = self.read("request.jwt") {
            match enrol::credentials(&jwt, None) {
                Ok(credentials) => ways.push(Way::Request(credentials)),
                Err(error) => tracing::warn!("request.jwt can't be read: {error}"),
            }
        }
        ways
    }

    async fn connect(&self, credentials: Credentials) -> Result<Client, connection::Error> {
        connection::connect(Options {
            url: self.url.clone(),
            login: Login::of(credentials),
            inbox: format!("_INBOX.enrol.{}", self.cluster),
            name: format!("{} enrols", self.cluster),
            first_connect: FirstConnect::Now,
        })
        .await
    }
}

/// Credentials for this cluster: those that are kept, while they last, or new ones. `say` is told how it
/// stands, for people.
///
/// # Errors
/// [`Error`]: there is nothing to ask with, the keys can't be kept, or it was told to end.
pub(crate) async fn join<C: ClusterApi>(
    joining: &Joining,
    store: &KeyStore<C>,
    keys: &mut Keys,
    shutdown: &CancellationToken,
    say: &UnboundedSender<String>,
) -> Result<(), Error> {
    if lasting(keys, now_s()) && !joining.anyway {
        return Ok(());
    }
    // Nobody listens any more where this is a renewal.
    let tell = |how| drop(say.send(how));
    let asker = |keys: &Keys| Asker {
        cluster: joining.cluster.clone(),
        keys: keys.clone(),
        trusted: joining.trusted.borrow().clone(),
    };
    let fingerprint = asker(keys).fingerprint();
    tracing::info!(cluster = %joining.cluster, %fingerprint, "this cluster asks to be let in");
    loop {
        let ways = joining.ways();
        if ways.is_empty() {
            return Err(Error::NothingToAskWith);
        }
        let mut pause = REFUSED_PERIOD;
        for way in ways {
            let (subject, token, credentials) = match way {
                Way::Token(token, credentials) => {
                    let subject = BusSubject::Enrol(joining.cluster.clone());
                    (subject, Some(token), credentials)
                }
                Way::Request(credentials) => (
                    BusSubject::Request(joining.cluster.clone()),
                    None,
                    credentials,
                ),
            };
            let by = if token.is_some() {
                "by its token"
            } else {
                "without a secret"
            };
            let asked = async {
                let client = joining.connect(credentials).await.map_err(Error::Bus)?;
                asker(keys).ask(&client, &subject, token.as_ref()).await
            };
            let asked = tokio::select! {
                asked = asked => asked,
                () = shutdown.cancelled() => return Err(Error::Ended),
            };
            match asked {
                Ok(Some(Outcome::Active {
                    credentials,
                    expires_s,
                    ..
                })) => {
                    if !take(keys, &credentials) {
                        tracing::warn!("the credentials are not for the keys of this cluster");
                        continue;
                    }
                    store
                        .keep_credentials(keys.credentials.as_ref().map_or("", |text| text))
                        .await?;
                    tracing::info!(expires_s, "this cluster is enrolled, {by}");
                    tell("active".to_owned());
                    return Ok(());
                }
                Ok(Some(Outcome::Waiting { fingerprint })) => {
                    pause = WAITING_PERIOD;
                    tracing::info!(%fingerprint, "waiting for an approval: `writ cluster approve {} --fingerprint {fingerprint}`", joining.cluster);
                    tell(format!("waiting for an approval of {fingerprint}"));
                }
                Ok(Some(Outcome::Refused(Refusal::KeysRevoked))) => {
                    *keys = store.make().await?;
                    let fingerprint = asker(keys).fingerprint();
                    tracing::warn!(%fingerprint, "the keys of this cluster were revoked: it has made new ones");
                    pause = Duration::ZERO;
                    break;
                }
                Ok(Some(Outcome::Refused(refusal))) => {
                    tracing::warn!(reason = refusal.as_str(), "refused, {by}: {refusal}");
                    tell(format!("{}: {refusal}", refusal.as_str()));
                }
                Ok(None) => {
                    tracing::warn!("no publisher answers, {by}: asking again");
                    tell("no publisher answers".to_owned());
                }
                // A bus that is away, or refuses what has expired.
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "can't ask {by}");
                    tell(format!("the bus does not let it ask {by}"));
                }
            }
        }
        if joining.anyway && pause > Duration::ZERO {
            return Err(Error::NotNow);
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return Err(Error::Ended),
        }
    }
}

/// Whether the credentials that are kept are of this key and still last.
fn lasting(keys: &Keys, now_s: u64) -> bool {
    user(keys).is_some_and(|kept| kept.summary().expires_s.is_none_or(|ends| ends > now_s))
}

/// The user on the bus that the keys are.
pub(crate) fn user(keys: &Keys) -> Option<Credentials> {
    Credentials::parse(keys.credentials.as_ref()?).ok()
}

/// Takes the bus' word for the keys; says whether it is one.
pub(super) fn take(keys: &mut Keys, token: &str) -> bool {
    match enrol::credentials(token, Some(&keys.bus_seed)) {
        Ok(credentials) => {
            keys.credentials = Some(credentials.to_file());
            true
        }
        Err(_) => false,
    }
}

/// When credentials are asked for again: after a third of their life, so that two more attempts of that
/// length are left before their end.
pub(super) fn renewal_after(keys: &Keys) -> Duration {
    let Some(user) = user(keys) else {
        return Duration::ZERO;
    };
    let summary = user.summary();
    let Some(expires_s) = summary.expires_s else {
        return Duration::from_secs(60 * 60);
    };
    let due_s = summary.issued_s + expires_s.saturating_sub(summary.issued_s) / 3;
    Duration::from_secs(due_s.saturating_sub(now_s()))
}

/// The ack key alone, for whoever signs acks.
impl Keys {
    /// A copy of the key that signs acks.
    pub(crate) fn ack_key(&self) -> SigningKey {
        self.ack.clone()
    }
}
