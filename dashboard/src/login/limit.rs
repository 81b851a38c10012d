//! How often one may try to sign in, and who is on their way from an issuer.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use writ_connect::rate::Rates;

use super::{
    oidc::Errand,
    secret::{self, Hash},
};

/// Tries of one address: this many at once, and one more each period. Everybody behind one proxy is one address.
const TRIES_AT_ONCE: u32 = 60;
const TRY_PERIOD: Duration = Duration::from_secs(1);

/// Addresses that are counted apart; beyond that those who tried longest ago are forgotten.
const ADDRESSES_MAX: usize = 4_096;

/// Visitors who are at an issuer, and for how long they may be.
const ERRANDS_MAX: usize = 1_024;
const ERRAND_TIME_MAX: Duration = Duration::from_secs(600);

/// Counts tries.
pub(super) struct Tries(Rates<IpAddr>);

impl Default for Tries {
    fn default() -> Tries {
        Tries(Rates::new(TRIES_AT_ONCE, TRY_PERIOD, ADDRESSES_MAX))
    }
}

impl Tries {
    /// Counts one; whether it may go on.
    pub(super) fn take(&self, address: SocketAddr, now: Instant) -> bool {
        self.0.take(&network(address.ip()), now)
    }
}

/// Of one who has a whole network of IPv6, that is the address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mut parts = address.segments();
            parts[4..].fill(0);
            IpAddr::from(parts)
        }
        address => address,
    }
}

/// A visitor who was sent to an issuer.
pub(super) struct Sent {
    pub(super) errand: Errand,
    pub(super) provider: usize,
    /// Where they wanted to go.
    pub(super) back: String,
    /// Of the cookie that their browser was given.
    cookie: Hash,
    since: Instant,
}

/// Who was sent, by the state that they come back with.
#[derive(Default)]
pub(super) struct Errands(Mutex<HashMap<Hash, Sent>>);

impl Errands {
    pub(super) fn keep(&self, errand: Errand, cookie: &str, provider: usize, back: String) {
        let mut errands = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        errands.retain(|_, sent| sent.since.elapsed() < ERRAND_TIME_MAX);
        if errands.len() >= ERRANDS_MAX {
            let oldest = errands.iter().min_by_key(|(_, sent)| sent.since);
            let oldest = oldest.map(|(state, _)| *state);
            oldest.and_then(|state| errands.remove(&state));
        }
        let sent = Sent {
            provider,
            back,
            cookie: secret::hash("sign-in", cookie),
            since: Instant::now(),
            errand,
        };
        errands.insert(secret::hash("state", &sent.errand.state), sent);
    }

    /// The visitor who comes back, once: with a state that was given out, to the browser that it was given to.
    pub(super) fn take(&self, state: &str, cookie: &str) -> Option<Sent> {
        let mut errands = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = errands.remove(&secret::hash("state", state))?;
        let is_theirs = sent.cookie == secret::hash("sign-in", cookie);
        (is_theirs && sent.since.elapsed() < ERRAND_TIME_MAX).then_some(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_that_tries_without_end_is_refused_and_another_one_is_not() {
        let (tries, now) = (Tries::default(), Instant::now());
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let taken = (0..200)
            .filter(|_| tries.take(at("10.0.0.1:1"), now))
            .count();
        assert_eq!(taken, 60);
        assert!(tries.take(at("10.0.0.2:1"), now));
        assert!(tries.take(at("10.0.0.1:2"), now + TRY_PERIOD));
        // Nor does a network of IPv6 have a try for each address.
        let own = (0..200).filter(|n| tries.take(at(&format!("[2001:db8::{n}]:1")), now));
        assert_eq!(own.count(), 60);
        for number in 0..3 * ADDRESSES_MAX as u32 {
            tries.take(SocketAddr::new(IpAddr::from(number.to_be_bytes()), 1), now);
        }
        assert!(tries.0.held() <= ADDRESSES_MAX);
    }
}
