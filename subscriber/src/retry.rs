//! When what failed is tried again: after a growing delay, and what waits for another policy's object
//! at once when another name succeeded. Does no I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use writ_core::follower::{Key, Past, Standing};
use writ_core::hash::Hash;
use writ_core::plan::Reason;
use writ_core::revision::Revision;

/// Delay before the first repeat of what is pending; doubles from there.
const RETRY_DELAY_MIN: Duration = Duration::from_millis(200);
/// Longest delay: what a person mends by hand in the cluster is found within it.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(30);
/// Each delay is spread by this share up and down: what failed together must not return together.
const RETRY_JITTER: f64 = 0.2;

/// Attempts of each name that are not confirmed.
#[derive(Default)]
pub(crate) struct Retries(BTreeMap<Key, Attempt>);

struct Attempt {
    as_of: Revision,
    hash: Option<Hash>,
    removed: bool,
    failures: u32,
    not_before: Instant,
    /// It may be another policy's object that is missing or in the way.
    waits_for_others: bool,
}

impl Retries {
    /// Whether this very thing failed and its time has not come. Anything newer starts at once.
    pub(crate) fn waits(&mut self, key: &Key, past: &Past, now: Instant) -> bool {
        let same = |attempt: &Attempt| {
            (attempt.as_of, attempt.hash, attempt.removed) == (past.as_of, past.hash, past.removed)
        };
        match self.0.get(key) {
            Some(attempt) if same(attempt) => now < attempt.not_before,
            _ => {
                let attempt = Attempt {
                    as_of: past.as_of,
                    hash: past.hash,
                    removed: past.removed,
                    failures: 0,
                    not_before: now,
                    waits_for_others: false,
                };
                self.0.insert(key.clone(), attempt);
                false
            }
        }
    }

    /// Whether it failed before.
    pub(crate) fn has_failed(&self, key: &Key) -> bool {
        self.0.get(key).is_some_and(|attempt| attempt.failures > 0)
    }

    /// It was not confirmed; `asked` is how long the API server wants to be left alone.
    pub(crate) fn failed(&mut self, key: &Key, standing: &Standing, asked: Duration, now: Instant) {
        if let Some(attempt) = self.0.get_mut(key) {
            attempt.not_before = now + delay(attempt.failures).max(asked);
            attempt.failures += 1;
            attempt.waits_for_others = waits_for_others(standing);
        }
    }

    /// It is confirmed, by whichever way.
    pub(crate) fn succeeded(&mut self, key: &Key) {
        self.0.remove(key);
    }

    /// What may have waited for another's success is due.
    pub(crate) fn wake_waiting(&mut self, now: Instant) {
        let waiting = self.0.values_mut().filter(|it| it.waits_for_others);
        waiting.for_each(|attempt| attempt.not_before = now);
    }

    /// Everything is due: what it failed at is another now.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.0
            .values_mut()
            .for_each(|attempt| attempt.not_before = now);
    }

    /// When the next one becomes due. What is due already is not counted: it is under way, waits for
    /// room, or is wanted no longer, and must not hide the time of another.
    pub(crate) fn next_after(&self, now: Instant) -> Option<Instant> {
        let failed = self.0.values().filter(|attempt| attempt.failures > 0);
        failed
            .map(|attempt| attempt.not_before)
            .filter(|at| *at > now)
            .min()
    }
}

/// The delay after so many failures in a row before this one.
fn delay(failures: u32) -> Duration {
    let delay = RETRY_DELAY_MAX.min(RETRY_DELAY_MIN * (1 << failures.min(10)));
    delay.mul_f64(spread())
}

fn spread() -> f64 {
    #[cfg(feature = "simulation")]
    if simulated::is_on_this_thread() {
        return 1.0 + RETRY_JITTER / 2.0;
    }
    rand::random_range(1.0 - RETRY_JITTER..1.0 + RETRY_JITTER)
}

/// A simulation draws all that is random from its seed, and spreads its clusters itself.
#[cfg(feature = "simulation")]
pub(crate) mod simulated {
    use std::cell::Cell;

    thread_local! {
        static IS_ON: Cell<bool> = const { Cell::new(false) };
    }

    /// Takes the randomness out of the delays on this thread.
    pub(crate) fn begin_on_this_thread() {
        IS_ON.set(true);
    }

    pub(super) fn is_on_this_thread() -> bool {
        IS_ON.get()
    }
}

/// Whether another policy's success may be what this one waits for.
fn waits_for_others(standing: &Standing) -> bool {
    let reasons = standing.failures.iter().map(|failure| &failure.reason);
    reasons
        .chain([&standing.reason])
        .filter_map(|reason| Reason::parse(reason))
        .any(|reason| {
            matches!(
                reason,
                Reason::ClaimedByPolicy
                    | Reason::ForeignObject
                    | Reason::NamespaceMissing
                    | Reason::RoleMissing
            )
        })
}

#[cfg(test)]
mod tests {
    use writ_core::ack::State;
    use writ_core::name::Name;
    use writ_core::revision::Generation;
    use writ_core::scope::Kind;

    use super::*;

    fn key(name: &str) -> Key {
        (Kind::Policy, Name::parse(name).unwrap())
    }

    fn past() -> Past {
        Past {
            as_of: Revision::ZERO,
            word: Revision::ZERO,
            generation: Generation(1),
            feed: "policy.all.all".parse().unwrap(),
            hash: None,
            removed: false,
            done: false,
        }
    }

    fn standing(reason: Reason) -> Standing {
        Standing {
            state: State::Received,
            reason: reason.as_str().to_owned(),
            message: String::new(),
            failures: Vec::new(),
        }
    }

    fn fail(retries: &mut Retries, name: &str, now: Instant) {
        assert!(!retries.waits(&key(name), &past(), now));
        let why = standing(Reason::Unavailable);
        retries.failed(&key(name), &why, Duration::ZERO, now);
    }

    #[test]
    fn delays_grow_to_a_limit_and_are_spread() {
        for (failures, middle_ms) in [(0, 200), (1, 400), (4, 3_200), (9, 30_000), (60, 30_000)] {
            let middle = Duration::from_millis(middle_ms);
            let drawn: Vec<Duration> = (0..50).map(|_| delay(failures)).collect();
            let bounds = middle.mul_f64(1.0 - RETRY_JITTER)..=middle.mul_f64(1.0 + RETRY_JITTER);
            assert!(
                drawn.iter().all(|delay| bounds.contains(delay)),
                "{drawn:?}"
            );
            assert!(drawn.iter().any(|delay| delay != &drawn[0]));
        }
    }

    #[test]
    fn only_what_another_policy_may_mend_waits_for_others() {
        assert!(waits_for_others(&standing(Reason::RoleMissing)));
        assert!(!waits_for_others(&standing(Reason::Unavailable)));
    }

    #[test]
    fn what_nobody_tries_any_more_does_not_hide_when_another_is_due() {
        let (mut retries, start) = (Retries::default(), Instant::now());
        fail(&mut retries, "mended-by-a-watch", start);
        let later = start + Duration::from_secs(1);
        fail(&mut retries, "pending", later);
        let due = retries.next_after(later).unwrap();
        assert!(due > later && due < later + Duration::from_secs(1));
        assert!(retries.waits(&key("pending"), &past(), later));

        retries.succeeded(&key("pending"));
        assert_eq!(retries.next_after(later), None);
        assert!(!retries.has_failed(&key("pending")));
    }
}
