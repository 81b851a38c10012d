//! Who is signed in: in this process alone, and never for longer than the credential.
//!
//! Promises that a session is found by a word that only its browser has, that what one session sees reaches no other,
//! and that their number and their time are bounded. Never writes one anywhere: a publisher that starts again knows
//! nobody.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::HeaderValue;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::secret::{self, Hash};
use crate::{feed, line::Line, source::Source, viewer::Viewer};

/// Sessions at once, for the memory of each.
const SESSIONS_MAX: usize = 1_024;

/// Sessions of one identity: browsers of one person. The one that was not used for longest makes room.
const SESSIONS_OF_ONE_MAX: usize = 16;

/// How long a session lasts at most: a working day.
const SESSION_TIME_MAX: Duration = Duration::from_secs(12 * 3600);

/// How long one lasts that nobody uses; an open page uses it.
const IDLE_TIME_MAX: Duration = Duration::from_secs(2 * 3600);

/// How long what a session sees is followed while no page of it is open.
const FEED_IDLE_TIME: Duration = Duration::from_secs(60);

/// How often that is looked at.
const LOOK_PERIOD: Duration = Duration::from_secs(15);

/// Somebody who is signed in.
pub(crate) struct Session {
    key: Hash,
    /// What stands in its forms.
    pub(crate) form_word: String,
    /// Over: signed out, expired, or not taken by the API any more.
    pub(crate) over: CancellationToken,
    /// Over because its bearer said so.
    is_signed_out: AtomicBool,
    identity: String,
    line: Line,
    state: Mutex<State>,
}

struct State {
    used: Instant,
    viewer: Option<Viewer>,
}

/// All of them. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Sessions(Arc<Mutex<HashMap<Hash, Arc<Session>>>>);

/// There is no room for one more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("too many people are signed in; try again later")]
    Full,
    #[error(transparent)]
    Random(#[from] secret::NoRandomness),
}

impl Session {
    /// What its bearer sees, over their own line. It is followed from the first page on.
    pub(crate) fn viewer(self: &Arc<Self>) -> Viewer {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.used = Instant::now();
        let make = || {
            let fleet = feed::follow(Source(self.line.clone()));
            Viewer::new(self.line.clone(), fleet, Some(self.form_word.clone()))
        };
        state.viewer.get_or_insert_with(make).clone()
    }

    /// Its bearer leaves.
    pub(super) fn sign_out(&self) {
        self.is_signed_out.store(true, Ordering::Release);
        self.over.cancel();
    }

    /// Whether its bearer left, once it is over.
    pub(crate) fn is_signed_out(&self) -> bool {
        self.is_signed_out.load(Ordering::Acquire)
    }

    /// Lets go of what nobody looks at; whether anybody has used it lately.
    fn look(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.viewer.as_ref().is_some_and(Viewer::is_watched) {
            state.used = Instant::now();
        }
        let idle = state.used.elapsed();
        if idle >= FEED_IDLE_TIME {
            state.viewer = None;
        }
        idle < IDLE_TIME_MAX
    }

    fn used(&self) -> Instant {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .used
    }

    /// Waits until it is over for any reason.
    async fn last(&self, ends: Instant) {
        let mut refusal = self.line.refusal();
        let mut looks = tokio::time::interval(LOOK_PERIOD);
        loop {
            tokio::select! {
                () = sleep_until(ends) => return,
                () = self.over.cancelled() => return,
                _ = refusal.wait_for(|of| of.as_ref().is_some_and(|of| of.is_unknown)) => return,
                _ = looks.tick() => if !self.look() { return },
            }
        }
    }
}

impl Sessions {
    /// Begins a session, and gives the word by which its browser is known.
    pub(super) fn begin(
        &self,
        line: &Line,
        bearer: HeaderValue,
        (identity, address): (String, SocketAddr),
        ends_after: Option<Duration>,
    ) -> Result<String, Error> {
        let word = secret::word()?;
        let session = Arc::new(Session {
            key: secret::hash("session", &word),
            form_word: secret::form_word(&word),
            over: CancellationToken::new(),
            is_signed_out: AtomicBool::new(false),
            identity,
            line: line.with(bearer, address),
            state: Mutex::new(State {
                used: Instant::now(),
                viewer: None,
            }),
        });
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut own: Vec<&Arc<Session>> = held
            .values()
            .filter(|other| other.identity == session.identity)
            .collect();
        own.sort_by_key(|other| other.used());
        if own.len() >= SESSIONS_OF_ONE_MAX {
            own[0].over.cancel();
        } else if held.len() >= SESSIONS_MAX {
            return Err(Error::Full);
        }
        held.insert(session.key, Arc::clone(&session));
        drop(held);
        let lasts = ends_after.map_or(SESSION_TIME_MAX, |time| time.min(SESSION_TIME_MAX));
        let (sessions, ends) = (self.clone(), Instant::now() + lasts);
        tokio::spawn(async move {
            session.last(ends).await;
            session.over.cancel();
            sessions.lock().remove(&session.key);
            // What it saw is let go of, and with it the streams of the API.
            session
                .state
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .viewer = None;
        });
        Ok(word)
    }

    /// The session of a browser, while it lasts.
    pub(crate) fn find(&self, word: &str) -> Option<Arc<Session>> {
        let found = self.lock().get(&secret::hash("session", word)).cloned();
        found.filter(|session| !session.over.is_cancelled())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Hash, Arc<Session>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The value of `authorization` that shows a token.
pub(super) fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}
