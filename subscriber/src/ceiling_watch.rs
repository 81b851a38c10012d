//! Keeps asking whether the ceiling is in force, and turns the answer into what the engine may do.
//!
//! Promises that nothing is written on a guess: until the first proof, after an answer that disproves
//! it, and when there was no usable answer for [`PROOF_LAPSES_S`], the verdict is
//! [`Verdict::NotInForce`]. For a shorter time without an answer what was proven holds: an API server
//! that is away takes no writes either.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use kube::api::{ApiResource, DynamicObject};
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use writ_core::ceiling::Ceiling;
use writ_core::hash::Hash;
use writ_core::model::Mode;

use crate::ceiling::{CeilingGuard, NotEnforced, PROOF_PERIOD_S};
use crate::cluster::ClusterApi;
use crate::permit::{Bounds, Permit};
use crate::resource::POLICY_CEILINGS;

/// After so long without an answer a proof holds no longer: ten times the period of asking.
pub(crate) const PROOF_LAPSES_S: u64 = 10 * PROOF_PERIOD_S;
/// Pause before an answer that said nothing is asked for again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// What is known of the ceiling.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    /// The API server was seen to enforce it.
    InForce(Arc<Ceiling>),
    /// It was not, for this reason.
    NotInForce(String),
}

impl Verdict {
    /// What a cluster of that mode lets the engine do. Looking needs no ceiling: an observer has no
    /// rights that a ceiling would bound.
    pub(crate) fn permit(&self, mode: Mode) -> Permit {
        match (self, mode) {
            (Verdict::InForce(ceiling), Mode::Enforce) => Permit::Enforce(bounds(ceiling)),
            (Verdict::NotInForce(why), Mode::Enforce) => Permit::Nothing(why.clone()),
            (Verdict::InForce(ceiling), Mode::Observe) => Permit::Observe(bounds(ceiling)),
            (Verdict::NotInForce(_), Mode::Observe) => Permit::Observe(Bounds::none()),
        }
    }

    /// The hash of the ceiling in force.
    pub(crate) fn hash(&self) -> Option<Hash> {
        match self {
            Verdict::InForce(ceiling) => Some(ceiling.hash()),
            Verdict::NotInForce(_) => None,
        }
    }

    /// Whether the two say the same.
    pub(crate) fn is_same(&self, other: &Verdict) -> bool {
        match (self, other) {
            (Verdict::InForce(one), Verdict::InForce(other)) => one.hash() == other.hash(),
            (Verdict::NotInForce(one), Verdict::NotInForce(other)) => one == other,
            _ => false,
        }
    }
}

fn bounds(ceiling: &Arc<Ceiling>) -> Bounds {
    let (checking, adopting) = (Arc::clone(ceiling), Arc::clone(ceiling));
    Bounds {
        forbids: Arc::new(move |object| {
            let violation = checking.check(object).err()?;
            Some(violation.to_string())
        }),
        adoptable: Arc::new(move |reference| adopting.allows_adoption(reference)),
    }
}

/// Asks once, and then again now and then and whenever the `PolicyCeiling` changes, until the
/// process ends. The first answer is there when this returns.
pub(crate) async fn start<C: ClusterApi + Clone>(
    api: C,
    client: kube::Client,
    shutdown: CancellationToken,
) -> watch::Receiver<Verdict> {
    let changes = changes(client);
    let (mut asking, first) = Asking::begin(CeilingGuard::new(api)).await;
    log(&first);
    let (sender, receiver) = watch::channel(first);
    tokio::spawn(async move {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = asking.keep_on(changes, &sender) => {}
        }
    });
    receiver
}

/// Says whenever a `PolicyCeiling` may have become another: also when a watch that was interrupted
/// stands again.
fn changes(client: kube::Client) -> impl Stream<Item = ()> + Send {
    let kind = ApiResource {
        group: POLICY_CEILINGS.group().to_owned(),
        version: POLICY_CEILINGS.version().to_owned(),
        api_version: POLICY_CEILINGS.api_version.to_owned(),
        kind: POLICY_CEILINGS.kind.to_owned(),
        plural: POLICY_CEILINGS.plural.to_owned(),
    };
    let ceilings = kube::Api::<PartialObjectMeta<DynamicObject>>::all_with(client, &kind);
    let events = watcher(ceilings, watcher::Config::default()).default_backoff();
    events.filter_map(async |event| news(event))
}

/// A watch that fails says nothing; the period does the rest.
fn news(event: watcher::Result<watcher::Event<PartialObjectMeta<DynamicObject>>>) -> Option<()> {
    use watcher::Event;
    matches!(
        event,
        Ok(Event::Apply(_) | Event::Delete(_) | Event::InitDone)
    )
    .then_some(())
}

/// What asks, and since when there was no answer.
struct Asking<C> {
    guard: CeilingGuard<C>,
    answered: Instant,
    pause: Duration,
}

impl<C: ClusterApi> Asking<C> {
    /// Asks for the first time; nothing is in force before there is an answer.
    async fn begin(guard: CeilingGuard<C>) -> (Asking<C>, Verdict) {
        let mut asking = Asking {
            guard,
            answered: Instant::now(),
            pause: RETRY_DELAY,
        };
        let first = match asking.guard.examine().await {
            Ok(ceiling) => Verdict::InForce(Arc::new(ceiling)),
            Err(error) => Verdict::NotInForce(describe(&error)),
        };
        if matches!(first, Verdict::InForce(_)) {
            asking.pause = Duration::from_secs(PROOF_PERIOD_S);
        }
        (asking, first)
    }

    async fn keep_on(&mut self, changes: impl Stream<Item = ()>, verdict: &watch::Sender<Verdict>) {
        let mut changes = pin!(changes);
        while !verdict.is_closed() {
            // It never ends, and if it did, the period would do.
            let change = async {
                match changes.next().await {
                    Some(()) => {}
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = tokio::time::sleep(self.pause) => {}
                () = change => {}
            }
            let Some(now) = self.ask(Instant::now).await else {
                continue;
            };
            let changed = !now.is_same(&verdict.borrow());
            if changed {
                log(&now);
                verdict.send_replace(now);
            }
        }
    }

    /// Asks once. `None` if the answer said nothing, and what is known holds.
    async fn ask(&mut self, now: impl Fn() -> Instant) -> Option<Verdict> {
        self.pause = Duration::from_secs(PROOF_PERIOD_S);
        let error = match self.guard.examine().await {
            Ok(ceiling) => {
                self.answered = now();
                return Some(Verdict::InForce(Arc::new(ceiling)));
            }
            Err(error) => error,
        };
        let why = describe(&error);
        if !error.is_transient() {
            self.answered = now();
            return Some(Verdict::NotInForce(why));
        }
        tracing::debug!("the ceiling could not be examined: {why}");
        self.pause = RETRY_DELAY;
        let is_lapsed = now().duration_since(self.answered) >= Duration::from_secs(PROOF_LAPSES_S);
        // Without the answer's words, which change from one to the next.
        let message = || format!("there was no answer for {PROOF_LAPSES_S} s about the ceiling");
        is_lapsed.then(|| Verdict::NotInForce(message()))
    }
}

fn log(verdict: &Verdict) {
    match verdict {
        Verdict::InForce(ceiling) => {
            tracing::info!(ceiling = %ceiling.hash(), "the ceiling is in force")
        }
        Verdict::NotInForce(why) => tracing::error!("nothing is written: {why}"),
    }
}

/// With its cause: this ends up in acks, where nobody can follow a source.
fn describe(error: &NotEnforced) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use writ_core::model::ObjectRef;

    use super::*;
    use crate::cluster::{Error, ErrorKind};
    use crate::fake::Fake;

    fn denied(at: &ObjectRef) -> Error {
        // As the API server names the policy that denies each probe.
        let policy = match (at.kind.as_str(), at.name.as_str()) {
            ("ServiceAccount", _) => "writ-ceiling-fence",
            ("Namespace", _) => "writ-ceiling-objects",
            ("ClusterRole", _) => "writ-ceiling-roles",
            _ => "writ-ceiling-bindings",
        };
        let message =
            format!("ValidatingAdmissionPolicy '{policy}' denied request: CeilingExceeded: x");
        Error::new(ErrorKind::Ceiling, "create by dry-run", at, message)
    }

    /// A cluster with the default ceiling that denies every probe.
    async fn proven() -> (Fake, Asking<Fake>, Verdict) {
        let api = Fake::default();
        let none: [&str; 0] = [];
        let spec = json!({
            "protectedNamespaces": none, "protectedNames": none, "bindableClusterRoles": none,
            "bindOwnClusterRoles": true, "allowAggregation": false, "deniedVerbs": none,
            "deniedResources": none, "readOnlyResources": none, "deniedAPIGroups": none,
            "readOnlyAPIGroups": none, "allowedNonResourceURLs": none, "deniedUsers": none,
            "deniedGroups": none, "podSecurityMinimum": "baseline", "podSecurityRequired": false,
            "adoptable": none,
        });
        let ceiling = json!({
            "apiVersion": "writ.dev/v1alpha1", "kind": "PolicyCeiling",
            "metadata": {}, "spec": spec,
        });
        api.put(&POLICY_CEILINGS.reference(None, "default"), ceiling);
        api.judge_by(Arc::new(|at| Err(denied(at))));
        let (asking, first) = Asking::begin(CeilingGuard::new(api.clone())).await;
        (api, asking, first)
    }

    #[test]
    fn nothing_is_written_without_a_proof_and_looking_needs_none() {
        let unknown = Verdict::NotInForce("there is none".to_owned());
        assert!(matches!(unknown.permit(Mode::Enforce), Permit::Nothing(_)));
        assert!(matches!(unknown.permit(Mode::Observe), Permit::Observe(_)));
        assert_eq!(unknown.hash(), None);
    }

    #[tokio::test]
    async fn a_proof_outlasts_a_short_silence_and_lapses_after_a_long_one() {
        let (api, mut asking, first) = proven().await;
        assert!(matches!(first, Verdict::InForce(_)), "{first:?}");
        api.set_away(true);
        let start = asking.answered;
        let soon = start + Duration::from_secs(PROOF_LAPSES_S - 1);
        assert!(asking.ask(|| soon).await.is_none());
        assert_eq!(asking.pause, RETRY_DELAY);
        let late = start + Duration::from_secs(PROOF_LAPSES_S);
        let lapsed = asking.ask(|| late).await;
        assert!(matches!(lapsed, Some(Verdict::NotInForce(_))));
        api.set_away(false);
        let again = asking.ask(|| late).await;
        assert!(matches!(again, Some(Verdict::InForce(_))));
    }

    #[tokio::test]
    async fn a_name_that_is_taken_proves_nothing_and_is_no_silence() {
        let (api, mut asking, _) = proven().await;
        let taken = |at: &ObjectRef| Error::new(ErrorKind::Conflict, "create", at, "exists");
        api.judge_by(Arc::new(move |at| Err(taken(at))));
        let verdict = asking.ask(Instant::now).await;
        assert!(matches!(verdict, Some(Verdict::NotInForce(_))));
    }

    #[tokio::test]
    async fn a_watch_that_only_fails_does_not_keep_it_from_asking() {
        let (api, mut asking, first) = proven().await;
        api.judge_by(Arc::new(|at| Ok(json!({"kind": at.kind}))));
        asking.pause = Duration::from_millis(50);
        let (sender, mut verdict) = watch::channel(first);
        let failures = futures::stream::repeat(()).then(|()| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Err(watcher::Error::NoResourceVersion)
        });
        let changes = failures.filter_map(async |event| news(event));
        let asking = tokio::spawn(async move { asking.keep_on(changes, &sender).await });
        let found = tokio::time::timeout(Duration::from_secs(20), verdict.changed()).await;
        found.unwrap().unwrap();
        assert!(matches!(*verdict.borrow(), Verdict::NotInForce(_)));
        asking.abort();
    }
}
