//! The fleet as it is now: three streams of the API, kept in one value that all pages are made of.
//!
//! One stream each for the clusters, the policies and what happens, however many tabs are open. Where one is cut, what it told stays,
//! with the moment since which it is not live any more.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tonic::{Code, Response, Status, Streaming};
use writ_proto::v1::{self, status_request::Of};

use crate::{activity::Activity, clusters::Clusters, source::Source, when};

/// Pause before a stream that was cut is opened again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The same where the API does not take who asks, or lets them read nothing: each time is a line in its record.
const REFUSED_RETRY_DELAY: Duration = Duration::from_secs(15);

/// A stream of the API says something every 5 s: three times that is a connection that died.
const QUIET_MAX: Duration = Duration::from_secs(15);

/// Happenings that are asked for at first: what the drawer shows, and what is left out of it.
const HAPPENINGS_FIRST: u32 = 500;

/// Pause after what happened was taken: what comes meanwhile comes as one.
const HAPPENINGS_JOINED: Duration = Duration::from_millis(250);

/// Everything that is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fleet {
    pub(crate) clusters: Clusters,
    pub(crate) policies: BTreeMap<String, v1::PolicyStatus>,
    /// Author and reason of the edits in force.
    pub(crate) heads: BTreeMap<String, v1::Policy>,
    pub(crate) activity: Activity,
    /// The newest word of the API.
    pub(crate) as_of: Option<v1::AsOf>,
    /// Since when each stream is not live; all are live where nothing stands here.
    pub(crate) cut: [Option<i64>; 3],
    /// Everything was told once.
    pub(crate) is_whole: [bool; 2],
}

/// What somebody who looks waits for: the place of the last change of a cluster, and the newest edit.
pub(crate) type News = (u64, Option<(u64, u64)>);

impl Fleet {
    /// How new what it says is.
    pub(crate) fn news(&self) -> News {
        let revisions = self.policies.values().filter_map(|status| status.revision);
        let newest = revisions.map(|revision| (revision.epoch, revision.number));
        (self.clusters.newest(), newest.max())
    }

    /// Since when what is shown is not live, if so.
    pub(crate) fn not_live_since(&self) -> Option<i64> {
        self.cut.iter().flatten().min().copied()
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole == [true, true]
    }

    /// The policies by their last edit, newest first.
    pub(crate) fn newest(&self) -> Vec<&v1::PolicyStatus> {
        let mut all: Vec<&v1::PolicyStatus> = self.policies.values().collect();
        all.sort_by_key(|status| {
            let revision = status.revision.unwrap_or_default();
            std::cmp::Reverse((revision.epoch, revision.number))
        });
        all
    }

    fn take_clusters(&mut self, told: v1::FleetResponse) {
        for line in told.clusters {
            self.clusters.put(line);
        }
        for name in told.removed {
            self.clusters.remove(&name);
        }
        self.as_of = told.as_of.or(self.as_of.take());
        self.is_whole[0] |= told.is_whole;
        self.cut[0] = None;
    }

    fn take_policies(&mut self, told: v1::StatusResponse) {
        let statuses = told.policies.into_iter();
        self.policies = statuses
            .map(|status| (status.policy.clone(), status))
            .collect();
        self.is_whole[1] = true;
        self.cut[1] = None;
    }

    fn take_happenings(&mut self, told: v1::HappeningsResponse) {
        // The first answer after a cut tells all again.
        if self.cut[2].take().is_some() {
            self.activity.begin_anew();
        }
        self.activity.take(told);
    }

    /// Whether an author or a reason is missing.
    fn heads_are_behind(&self) -> bool {
        let mut statuses = self.policies.values().filter(|status| !status.deleted);
        statuses.any(|status| {
            let head = self.heads.get(&status.policy);
            head.is_none_or(|head| head.generation < status.generation)
        })
    }
}

/// Follows the fleet until nobody looks any more.
pub(crate) fn follow(source: Source) -> watch::Receiver<Arc<Fleet>> {
    let (sender, receiver) = watch::channel(Arc::new(Fleet::default()));
    let sender = Arc::new(sender);
    tokio::spawn(follow_clusters(source.clone(), sender.clone()));
    tokio::spawn(follow_happenings(source.clone(), sender.clone()));
    tokio::spawn(follow_policies(source, sender));
    receiver
}

type Held = Arc<watch::Sender<Arc<Fleet>>>;

fn change(held: &Held, change: impl FnOnce(&mut Fleet)) {
    held.send_modify(|fleet| change(Arc::make_mut(fleet)));
}

/// Opens a stream over and over, and gives what it says to `take`.
async fn keep<T, O, F>(held: Held, place: usize, open: impl Fn() -> O, take: impl Fn(Held, T) -> F)
where
    O: Future<Output = Result<Response<Streaming<T>>, Status>>,
    F: Future<Output = ()>,
{
    let closed = held.clone();
    let kept = keep_always(held, place, open, take);
    tokio::select! {
        () = kept => {}
        // Nobody looks any more.
        () = closed.closed() => {}
    }
}

fn delay_after(status: &Status) -> Duration {
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => REFUSED_RETRY_DELAY,
        _ => RETRY_DELAY,
    }
}

async fn keep_always<T, O, F>(
    held: Held,
    place: usize,
    open: impl Fn() -> O,
    take: impl Fn(Held, T) -> F,
) where
    O: Future<Output = Result<Response<Streaming<T>>, Status>>,
    F: Future<Output = ()>,
{
    loop {
        let ended = async {
            let mut stream = match open().await {
                Ok(opened) => opened.into_inner(),
                Err(status) => return (delay_after(&status), status),
            };
            // Whoever is not to read on learns it when they ask again, which is at once.
            let cut = |status| (RETRY_DELAY, status);
            loop {
                match timeout(QUIET_MAX, stream.message()).await {
                    Ok(Ok(Some(told))) => take(held.clone(), told).await,
                    Ok(Ok(None)) => return cut(Status::unavailable("the stream ended")),
                    Ok(Err(status)) => return cut(status),
                    Err(_) => return cut(Status::unavailable("nothing was said")),
                }
            }
        };
        let (delay, status) = ended.await;
        tracing::debug!("a stream of the dashboard was cut: {status}");
        change(&held, |fleet| {
            fleet.cut[place].get_or_insert_with(when::now_ms);
        });
        sleep(delay).await;
    }
}

async fn follow_clusters(source: Source, held: Held) {
    let open = move || {
        let mut acks = source.acks();
        async move { acks.watch_fleet(v1::FleetRequest {}).await }
    };
    let take = |held: Held, told| async move {
        change(&held, |fleet| fleet.take_clusters(told));
    };
    keep(held, 0, open, take).await;
}

async fn follow_policies(source: Source, held: Held) {
    let asked = source.clone();
    let open = move || {
        let request = v1::StatusRequest {
            of: Some(Of::AllPolicies(v1::AllPolicies {})),
            ..Default::default()
        };
        let mut acks = source.acks();
        async move { acks.watch_status(request).await }
    };
    let take = move |held: Held, told| {
        let source = asked.clone();
        async move {
            change(&held, |fleet| fleet.take_policies(told));
            enrich(&source, &held).await;
        }
    };
    keep(held, 1, open, take).await;
}

async fn follow_happenings(source: Source, held: Held) {
    let open = move || {
        let request = v1::HappeningsRequest {
            last: HAPPENINGS_FIRST,
            ..Default::default()
        };
        let mut acks = source.acks();
        async move { acks.watch_happenings(request).await }
    };
    let take = |held: Held, told| async move {
        change(&held, |fleet| fleet.take_happenings(told));
        sleep(HAPPENINGS_JOINED).await;
    };
    keep(held, 2, open, take).await;
}

/// Asks for what the stream of counts does not tell: authors and reasons.
async fn enrich(source: &Source, held: &Held) {
    let is_behind = held.borrow().heads_are_behind();
    if !is_behind {
        return;
    }
    match source.heads().await {
        Ok(heads) => {
            let named = heads.into_iter().map(|head| (head.name.clone(), head));
            let named = named.collect();
            change(held, |fleet| fleet.heads = named);
        }
        Err(status) => tracing::debug!("authors and reasons are not read: {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_stays_until_that_very_stream_speaks_again() {
        let mut fleet = Fleet {
            cut: [Some(7), Some(9), None],
            ..Fleet::default()
        };
        assert_eq!(fleet.not_live_since(), Some(7));
        fleet.take_clusters(v1::FleetResponse::default());
        assert_eq!(fleet.not_live_since(), Some(9));
        fleet.take_policies(v1::StatusResponse::default());
        assert_eq!(fleet.not_live_since(), None);
    }
}
