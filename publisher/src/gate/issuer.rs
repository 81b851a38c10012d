//! An issuer's keys as they are now: fetched, kept for a while, and fetched again where a token names one
//! that is not known yet.
//!
//! Promises that a key which the issuer took away is believed for an hour at most, and that nobody can
//! make a publisher ask an issuer all the time.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use writ_connect::{https, oidc, rate::Bucket, tls};
use writ_telemetry::describe;

use super::{
    config::Issuer as Config,
    keys::{KeySet, Verdict},
    token::{Refused, Token},
};

/// After what time keys are fetched again.
const KEYS_FRESH_TIME: Duration = Duration::from_secs(600);

/// For how long keys are believed while their issuer does not answer.
const KEYS_AGE_MAX: Duration = Duration::from_secs(3600);

/// Fetches because of keys that are not known: this many at once, and one more each period. Anybody can
/// send a token with a new key id.
const FETCHES_AT_ONCE: u32 = 5;
const FETCH_PERIOD: Duration = Duration::from_secs(10);

/// Why an issuer's keys are not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the issuer does not answer")]
    Fetch(#[from] https::Error),
    #[error("the issuer's {0} is not understood")]
    Content(&'static str),
    #[error(transparent)]
    Discovery(#[from] oidc::Error),
}

/// What became of a token's signature.
#[derive(Debug)]
pub(super) enum Answer {
    Good,
    Refused(Refused),
    /// The issuer does not answer, and it can't be told.
    Away,
}

/// An issuer and its keys.
pub(super) struct Issuer {
    pub(super) config: Config,
    client: https::Client,
    known: Mutex<Option<Known>>,
    fetching: tokio::sync::Mutex<()>,
    unknown: Mutex<Bucket>,
}

#[derive(Clone)]
struct Known {
    keys: Arc<KeySet>,
    since: Instant,
}

impl Issuer {
    pub(super) fn new(config: Config) -> Result<Issuer, tls::Error> {
        Ok(Issuer {
            client: https::Client::new(config.ca_file.as_deref())?,
            config,
            known: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
            unknown: Mutex::new(Bucket::new(FETCHES_AT_ONCE, FETCH_PERIOD, Instant::now())),
        })
    }

    /// Checks a token's signature.
    pub(super) async fn check(&self, token: &Token) -> Answer {
        let Some(known) = self.current().await else {
            return Answer::Away;
        };
        let mut verdict = token.verdict(&known.keys);
        if verdict == Verdict::UnknownKey && self.may_ask_again() {
            match self.fetch(Some(known.since)).await {
                Ok(known) => verdict = token.verdict(&known.keys),
                Err(error) => self.complain(&error),
            }
        }
        match verdict {
            Verdict::Good => Answer::Good,
            Verdict::UnknownKey => Answer::Refused(Refused::UnknownKey),
            Verdict::Forged => Answer::Refused(Refused::Forged),
        }
    }

    /// Keys that are fresh, or the last ones where the issuer does not answer.
    async fn current(&self) -> Option<Known> {
        let known = self.known();
        if let Some(known) = &known
            && known.since.elapsed() < KEYS_FRESH_TIME
        {
            return Some(known.clone());
        }
        match self.fetch(known.as_ref().map(|known| known.since)).await {
            Ok(known) => Some(known),
            Err(error) => {
                self.complain(&error);
                known.filter(|known| known.since.elapsed() < KEYS_AGE_MAX)
            }
        }
    }

    /// Fetches the keys, unless somebody else has done so since the caller looked.
    async fn fetch(&self, seen: Option<Instant>) -> Result<Known, Error> {
        let _turn = self.fetching.lock().await;
        if let Some(known) = self.known()
            && Some(known.since) != seen
        {
            return Ok(known);
        }
        let issuer = &self.config.issuer;
        let place = match &self.config.keys {
            Some(place) => place.clone(),
            None => {
                let found = oidc::discover(&self.client, issuer).await?;
                found.place(oidc::KEYS)?.to_owned()
            }
        };
        let keys = KeySet::parse(&self.client.get(&place).await?);
        let keys = keys.map_err(|_| Error::Content("set of keys"))?;
        if keys.is_empty() {
            return Err(Error::Content("set of keys"));
        }
        let known = Known {
            keys: Arc::new(keys),
            since: Instant::now(),
        };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known.clone());
        Ok(known)
    }

    fn known(&self) -> Option<Known> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }

    fn may_ask_again(&self) -> bool {
        let mut bucket = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.take(Instant::now())
    }

    fn complain(&self, error: &Error) {
        tracing::warn!(issuer = %self.config.issuer, "the keys of an issuer are not known: {}", describe(error));
    }
}
