//! Keeps asking whether the ceiling is in force, and turns the answer into what the engine may do.
//!
//! Promises that nothing is written on a guess: until the first proof, and after an answer that
//! disproves it, the verdict is [`Verdict::NotInForce`]. An API server that gives no usable answer
//! changes nothing that was proven: it takes no writes either.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
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
    let guard = CeilingGuard::new(api);
    let first = match guard.examine().await {
        Ok(ceiling) => Verdict::InForce(Arc::new(ceiling)),
        Err(error) => Verdict::NotInForce(describe(&error)),
    };
    log(&first);
    let (sender, receiver) = watch::channel(first);
    tokio::spawn(async move {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = keep_asking(guard, client, &sender) => {}
        }
    });
    receiver
}

async fn keep_asking<C: ClusterApi>(
    guard: CeilingGuard<C>,
    client: kube::Client,
    verdict: &watch::Sender<Verdict>,
) {
    let kind = ApiResource {
        group: POLICY_CEILINGS.group().to_owned(),
        version: POLICY_CEILINGS.version().to_owned(),
        api_version: POLICY_CEILINGS.api_version.to_owned(),
        kind: POLICY_CEILINGS.kind.to_owned(),
        plural: POLICY_CEILINGS.plural.to_owned(),
    };
    let ceilings = kube::Api::<PartialObjectMeta<DynamicObject>>::all_with(client, &kind);
    let changes = watcher(ceilings, watcher::Config::default()).default_backoff();
    let mut changes = std::pin::pin!(changes);
    let mut pause = Duration::from_secs(PROOF_PERIOD_S);
    while !verdict.is_closed() {
        // A watch that fails says nothing; the period does the rest. It ends with the process only.
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            change = changes.next() => match change {
                Some(Ok(watcher::Event::Apply(_) | watcher::Event::Delete(_))) => {}
                _ => continue,
            },
        }
        pause = Duration::from_secs(PROOF_PERIOD_S);
        let now = match guard.examine().await {
            Ok(ceiling) => Verdict::InForce(Arc::new(ceiling)),
            Err(error) if error.is_transient() => {
                tracing::debug!("the ceiling could not be examined: {}", describe(&error));
                pause = RETRY_DELAY;
                continue;
            }
            Err(error) => Verdict::NotInForce(describe(&error)),
        };
        let changed = !now.is_same(&verdict.borrow());
        if changed {
            log(&now);
            verdict.send_replace(now);
        }
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
    use super::*;

    #[test]
    fn nothing_is_written_without_a_proof_and_looking_needs_none() {
        let unknown = Verdict::NotInForce("there is none".to_owned());
        assert!(matches!(unknown.permit(Mode::Enforce), Permit::Nothing(_)));
        assert!(matches!(unknown.permit(Mode::Observe), Permit::Observe(_)));
        assert_eq!(unknown.hash(), None);
    }
}
