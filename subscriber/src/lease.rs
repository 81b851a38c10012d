//! One active subscriber per cluster: the Lease `writ-system/writ-subscriber`.
//!
//! As client-go's leader election does, nobody compares clocks: a holder is gone when its Lease has
//! not changed for the duration that it states, measured here, since it was first seen like that.
//! Every write names the resource version that it builds on, so of two takers one gets it.
//! The Lease is part of the installation and never created here: no right to make leases is needed.
//!
//! A lease alone does not stop a process that was paused and wakes up with a write in its hands. So
//! writes go through a [`Fenced`] client, which refuses once the last renewal is too old, and each
//! write has its own preconditions besides (see [`cluster`](crate::cluster)).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use writ_core::model::ObjectRef;

use crate::cluster::{self, ClusterApi, ErrorKind};
use crate::resource::{LEASES, SYSTEM_NAMESPACE};

/// Name of the Lease.
pub const LEASE_NAME: &str = "writ-subscriber";
/// Renewals within one duration: two may fail before the lease is lost.
const RENEWALS_PER_DURATION: u32 = 3;
/// A writer stops this part of the duration before others may take the lease. A request that was sent
/// just before may still arrive later: then its preconditions fail, or the next holder's watch sees
/// a state that it does not know, and looks.
const FENCE_MARGIN_DIVISOR: u32 = 5;

/// Why the lease could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The manifest was not applied, or an older one was.
    #[error("Lease {SYSTEM_NAMESPACE}/{LEASE_NAME} is missing: apply the subscriber's manifest")]
    Missing,
    /// Another subscriber took it: this one was away for too long.
    #[error("the lease was taken over by {0}")]
    Lost(String),
    /// The API server refuses to hand it out.
    #[error("reach the lease in the cluster")]
    Cluster(#[source] cluster::Error),
    /// The process is to end.
    #[error("ended while waiting for the lease")]
    Ended,
}

/// Until when the holder may write, on this process's monotonic clock.
#[derive(Debug, Clone)]
pub struct Fence {
    start: Instant,
    /// Milliseconds after `start`; 0 is closed.
    open_until_ms: Arc<AtomicU64>,
}

impl Fence {
    fn closed() -> Fence {
        Fence {
            start: Instant::now(),
            open_until_ms: Arc::default(),
        }
    }

    fn open_until(&self, until: Instant) {
        let until = until.saturating_duration_since(self.start).as_millis();
        let until = u64::try_from(until).unwrap_or(u64::MAX);
        self.open_until_ms.store(until, Ordering::Release);
    }

    fn close(&self) {
        self.open_until_ms.store(0, Ordering::Release);
    }

    /// Whether the holder may write now.
    pub fn is_open(&self) -> bool {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        now < self.open_until_ms.load(Ordering::Acquire)
    }
}

/// The Lease as it was last read, and since when it has looked like that.
#[derive(Debug)]
struct Seen {
    resource_version: String,
    holder: String,
    duration: Duration,
    since: Instant,
}

impl Seen {
    fn read(lease: &Value, before: Option<&Seen>, own_duration: Duration, now: Instant) -> Seen {
        let resource_version = text(lease, "/metadata/resourceVersion").to_owned();
        let seconds = lease
            .pointer("/spec/leaseDurationSeconds")
            .and_then(Value::as_u64);
        let unchanged = before.filter(|seen| seen.resource_version == resource_version);
        Seen {
            holder: text(lease, "/spec/holderIdentity").to_owned(),
            duration: seconds.map_or(own_duration, Duration::from_secs),
            since: unchanged.map_or(now, |seen| seen.since),
            resource_version,
        }
    }

    /// Whether `identity` may take it now. A holder of the same identity is this very pod's earlier
    /// container, which the kubelet has seen end.
    fn is_free(&self, identity: &str, now: Instant) -> bool {
        self.holder.is_empty()
            || self.holder == identity
            || now.saturating_duration_since(self.since) > self.duration
    }
}

/// What a candidate brings.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who holds it: unique among the subscribers that may run at once.
    pub identity: String,
    /// After which time without a renewal others may take it.
    pub duration: Duration,
}

impl Options {
    fn renew_period(&self) -> Duration {
        self.duration / RENEWALS_PER_DURATION
    }

    /// Counted from before the request: the others count from after it.
    fn open_until(&self, sent: Instant) -> Instant {
        sent + self.duration - self.duration / FENCE_MARGIN_DIVISOR
    }
}

/// A lease that is held. Dropping it does not give it back: [`release`](Held::release) does.
#[derive(Debug)]
pub struct Held<C> {
    api: C,
    options: Options,
    fence: Fence,
}

/// Waits until the lease is ours. `known` is told whether it could be had: it was read, and not longer ago than its
/// duration. A subscriber that stands by so is as ready as one can be that is not active.
///
/// # Errors
/// [`Error::Missing`], [`Error::Ended`]; an API server that does not answer is asked again.
pub async fn acquire<C: ClusterApi>(
    api: C,
    options: Options,
    shutdown: &CancellationToken,
    mut known: impl FnMut(bool),
) -> Result<Held<C>, Error> {
    let fence = Fence::closed();
    let mut seen: Option<Seen> = None;
    let mut read_at: Option<Instant> = None;
    loop {
        let sent = Instant::now();
        match api.get(&reference()).await {
            Ok(None) => return Err(Error::Missing),
            Ok(Some(lease)) => {
                read_at = Some(sent);
                known(true);
                let now = Seen::read(&lease, seen.as_ref(), options.duration, sent);
                if now.is_free(&options.identity, sent) {
                    let taken = api
                        .replace(&reference(), &render(&lease, &options, true))
                        .await;
                    match taken {
                        Ok(_) => {
                            fence.open_until(options.open_until(sent));
                            return Ok(Held {
                                api,
                                options,
                                fence,
                            });
                        }
                        Err(error) if error.kind == ErrorKind::Conflict => {}
                        Err(error) => warn(&error),
                    }
                } else if seen.is_none() {
                    tracing::info!(
                        holder = now.holder,
                        "another subscriber is active: standing by"
                    );
                }
                seen = Some(now);
            }
            Err(error) => {
                warn(&error);
                known(read_at.is_some_and(|at| at.elapsed() < options.duration));
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return Err(Error::Ended),
            () = tokio::time::sleep(options.renew_period()) => {}
        }
    }
}

impl<C: ClusterApi> Held<C> {
    /// What writes have to ask.
    pub fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// Renews the lease until the process is to end, and gives it back then.
    ///
    /// # Errors
    /// [`Error::Lost`]: somebody else has it. Whatever this process still believes may be old.
    pub async fn keep(self, shutdown: CancellationToken) -> Result<(), Error> {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => {
                    self.release().await;
                    return Ok(());
                }
                () = tokio::time::sleep(self.options.renew_period()) => {}
            }
            match self.renew().await {
                Ok(()) => {}
                Err(Error::Cluster(error)) => warn(&error),
                Err(error) => {
                    self.fence.close();
                    return Err(error);
                }
            }
        }
    }

    async fn renew(&self) -> Result<(), Error> {
        let sent = Instant::now();
        let lease = self.api.get(&reference()).await.map_err(Error::Cluster)?;
        let lease = lease.ok_or(Error::Missing)?;
        let holder = text(&lease, "/spec/holderIdentity");
        if holder != self.options.identity {
            return Err(Error::Lost(holder.to_owned()));
        }
        let wanted = render(&lease, &self.options, false);
        self.api
            .replace(&reference(), &wanted)
            .await
            .map_err(Error::Cluster)?;
        self.fence.open_until(self.options.open_until(sent));
        Ok(())
    }

    /// Gives the lease back, so that the next one need not wait.
    async fn release(&self) {
        self.fence.close();
        let given_back = async {
            let Some(mut lease) = self.api.get(&reference()).await? else {
                return Ok(());
            };
            if text(&lease, "/spec/holderIdentity") != self.options.identity {
                return Ok(());
            }
            lease["spec"]["holderIdentity"] = "".into();
            self.api.replace(&reference(), &lease).await.map(drop)
        };
        if let Err(error) = given_back.await {
            warn(&error);
        }
    }
}

fn render(lease: &Value, options: &Options, taken: bool) -> Value {
    // For people: nothing compares it.
    let now = json!(MicroTime(jiff::Timestamp::now()));
    let mut wanted = lease.clone();
    let transitions = lease
        .pointer("/spec/leaseTransitions")
        .and_then(Value::as_u64)
        .unwrap_or(0);
    let changed = taken && text(lease, "/spec/holderIdentity") != options.identity;
    let acquired = match lease.pointer("/spec/acquireTime") {
        Some(time) if !taken => time.clone(),
        _ => now.clone(),
    };
    wanted["spec"] = json!({
        "holderIdentity": options.identity,
        "leaseDurationSeconds": options.duration.as_secs().max(1),
        "acquireTime": acquired,
        "renewTime": now,
        "leaseTransitions": transitions + u64::from(changed),
    });
    wanted
}

fn reference() -> ObjectRef {
    LEASES.reference(Some(SYSTEM_NAMESPACE), LEASE_NAME)
}

fn text<'a>(lease: &'a Value, pointer: &str) -> &'a str {
    lease
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn warn(error: &cluster::Error) {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, "the lease could not be reached; trying again");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    fn lease(version: &str, holder: &str) -> Value {
        json!({
            "metadata": {"resourceVersion": version},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 4},
        })
    }

    fn options(identity: &str) -> Options {
        Options {
            identity: identity.to_owned(),
            duration: Duration::from_secs(15),
        }
    }

    #[test]
    fn a_lease_is_free_when_it_was_given_back_or_has_not_moved_for_its_duration() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let own = Duration::from_secs(1);
        assert!(Seen::read(&lease("1", ""), None, own, start).is_free("b", start));
        assert!(Seen::read(&lease("1", "b"), None, own, start).is_free("b", start));

        let first = Seen::read(&lease("1", "a"), None, own, start);
        assert!(!first.is_free("b", start) && !first.is_free("b", after(15)));
        let still = Seen::read(&lease("1", "a"), Some(&first), own, after(16));
        assert!(still.is_free("b", after(16)));
        let renewed = Seen::read(&lease("2", "a"), Some(&first), own, after(14));
        assert!(!renewed.is_free("b", after(16)));
    }

    #[test]
    fn taking_it_counts_a_transition_and_renewing_it_none() {
        let taken = render(&lease("1", "a"), &options("b"), true);
        assert_eq!(taken["spec"]["leaseTransitions"], 5);
        assert_eq!(taken["metadata"]["resourceVersion"], "1");
        let renewed = render(&taken, &options("b"), false);
        assert_eq!(renewed["spec"]["leaseTransitions"], 5);
        assert_eq!(renewed["spec"]["acquireTime"], taken["spec"]["acquireTime"]);
    }

    #[test]
    fn the_fence_closes_before_others_may_take_the_lease() {
        let (fence, options) = (Fence::closed(), options("a"));
        assert!(!fence.is_open());
        let sent = Instant::now();
        assert!(options.open_until(sent) < sent + options.duration);
        fence.open_until(options.open_until(sent));
        assert!(fence.is_open());
        fence.open_until(sent);
        assert!(!fence.is_open());
    }

    #[tokio::test]
    async fn who_stands_by_is_ready_while_the_lease_can_be_read_and_no_longer() {
        let api = Fake::default();
        let held = json!({
            "metadata": {},
            "spec": {"holderIdentity": "a", "leaseDurationSeconds": 600},
        });
        api.put(&reference(), held);
        let options = Options {
            identity: "b".to_owned(),
            duration: Duration::from_millis(300),
        };
        let (tell, mut known) = tokio::sync::watch::channel(None);
        let own = api.clone();
        let standing_by = tokio::spawn(async move {
            let known = |is_known| {
                let _ = tell.send_replace(Some(is_known));
            };
            acquire(own, options, &CancellationToken::new(), known).await
        });
        let mut until = async |wanted| {
            let told = known.wait_for(|known| *known == Some(wanted));
            let told = tokio::time::timeout(Duration::from_secs(30), told).await;
            told.unwrap().unwrap();
        };
        until(true).await;
        api.set_away(true);
        until(false).await;
        api.set_away(false);
        until(true).await;
        standing_by.abort();
    }
}
