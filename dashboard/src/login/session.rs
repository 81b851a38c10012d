//! Who is signed in: in this process alone, and never for longer than the credential.
//!
//! Promises that a session is found by a word that only its browser has, that what one session sees reaches no other,
//! and that their number and their time are bounded. Never writes one anywhere: a publisher that starts again knows
//! nobody.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::HeaderValue;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};
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

/// Sessions whose part of the fleet is followed at once: each is three of the API's 384 streams, and a copy of what its
/// bearer may see.
const FEEDS_MAX: usize = 64;

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
    feeds: Arc<Semaphore>,
    state: Mutex<State>,
}

struct State {
    used: Instant,
    /// What is followed, and its place among the others.
    seen: Option<(Viewer, OwnedSemaphorePermit)>,
}

/// All of them. Clones share them.
#[derive(Clone)]
pub(crate) struct Sessions {
    held: Arc<Mutex<HashMap<Hash, Arc<Session>>>>,
    feeds: Arc<Semaphore>,
}

impl Default for Sessions {
    fn default() -> Sessions {
        Sessions {
            held: Arc::default(),
            feeds: Arc::new(Semaphore::new(FEEDS_MAX)),
        }
    }
}

/// There is no room for one more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("too many people are signed in; try again later")]
    Full,
    #[error(transparent)]
    Random(#[from] secret::NoRandomness),
}

impl Session {
    /// What its bearer sees, over their own line, from the first page on. Nothing where too many look already.
    pub(crate) fn viewer(&self) -> Option<Viewer> {
        let mut state = self.state();
        state.used = Instant::now();
        let make = || {
            let fleet = feed::follow(Source(self.line.clone()));
            Viewer::new(self.line.clone(), fleet, Some(self.form_word.clone()))
        };
        if state.seen.is_none() {
            let place = Arc::clone(&self.feeds).try_acquire_owned().ok()?;
            state.seen = Some((make(), place));
        }
        state.seen.as_ref().map(|(viewer, _)| viewer.clone())
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
        let mut state = self.state();
        if state
            .seen
            .as_ref()
            .is_some_and(|(viewer, _)| viewer.is_watched())
        {
            state.used = Instant::now();
        }
        let idle = state.used.elapsed();
        if idle >= FEED_IDLE_TIME {
            state.seen = None;
        }
        idle < IDLE_TIME_MAX
    }

    fn used(&self) -> Instant {
        self.state().used
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
            feeds: Arc::clone(&self.feeds),
            state: Mutex::new(State {
                used: Instant::now(),
                seen: None,
            }),
        });
        let mut held = self.lock();
        let own = held.values();
        let own: Vec<_> = own
            .filter(|other| other.identity == session.identity)
            .collect();
        if own.len() >= SESSIONS_OF_ONE_MAX {
            if let Some(oldest) = own.iter().min_by_key(|other| other.used()) {
                oldest.over.cancel();
            }
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
            session.state().seen = None;
        });
        Ok(word)
    }

    /// The session of a browser, while it lasts.
    pub(crate) fn find(&self, word: &str) -> Option<Arc<Session>> {
        let found = self.lock().get(&secret::hash("session", word)).cloned();
        found.filter(|session| !session.over.is_cancelled())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Hash, Arc<Session>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The value of `authorization` that shows a token.
pub(super) fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;
    use tonic::transport::Endpoint;

    use super::*;

    fn line() -> Line {
        let channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
        Line::new(channel, watch::channel(None).1)
    }

    fn begin(sessions: &Sessions, user: &str, lasts: Option<Duration>) -> Option<String> {
        let begun = (user.to_owned(), ([127, 0, 0, 1], 1).into());
        let begun = sessions.begin(&line(), bearer("t").unwrap(), begun, lasts);
        begun.ok()
    }

    /// Has every task have its turn.
    async fn settle() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_with_its_token_unused_and_after_a_day_at_the_latest() {
        let sessions = Sessions::default();
        let minute = begin(&sessions, "a", Some(Duration::from_secs(60))).unwrap();
        let unused = begin(&sessions, "b", None).unwrap();
        let used = begin(&sessions, "c", Some(Duration::from_secs(90 * 3600))).unwrap();
        let (mut lasted, step) = (Duration::ZERO, Duration::from_secs(600));
        assert!(sessions.find(&minute).is_some());
        while let Some(session) = sessions.find(&used) {
            session.viewer().unwrap();
            tokio::time::sleep(step).await;
            settle().await;
            lasted += step;
            assert!(sessions.find(&minute).is_none());
            assert!(sessions.find(&unused).is_none() || lasted < IDLE_TIME_MAX + step);
        }
        assert!(lasted.abs_diff(SESSION_TIME_MAX) <= step, "{lasted:?}");
        assert!(sessions.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_only_so_many_in_all_of_one_and_at_once() {
        let sessions = Sessions::default();
        let first = begin(&sessions, "one", None).unwrap();
        for _ in 0..SESSIONS_OF_ONE_MAX {
            tokio::time::sleep(Duration::from_millis(1)).await;
            begin(&sessions, "one", None).unwrap();
        }
        settle().await;
        assert!(sessions.find(&first).is_none());
        assert_eq!(sessions.lock().len(), SESSIONS_OF_ONE_MAX);

        let user = |number: usize| format!("user-{number}");
        let others = SESSIONS_OF_ONE_MAX..SESSIONS_MAX;
        let words: Vec<String> = others
            .map(|number| begin(&sessions, &user(number), None).unwrap())
            .collect();
        assert!(begin(&sessions, "late", None).is_none());
        // Who is in already may come in anew.
        assert!(begin(&sessions, "one", None).is_some());

        let found: Vec<Arc<Session>> = words
            .iter()
            .take(FEEDS_MAX + 1)
            .filter_map(|word| sessions.find(word))
            .collect();
        for session in &found[..FEEDS_MAX] {
            assert!(session.viewer().is_some());
        }
        assert!(found[FEEDS_MAX].viewer().is_none());
        found[0].sign_out();
        settle().await;
        assert!(found[FEEDS_MAX].viewer().is_some());
    }
}
