//! The fleet as it is now: two streams of the API, kept in one value that all pages are made of.
//!
//! One stream each for the clusters and the policies, however many tabs are open. Where one is cut, what it told stays,
//! with the moment since which it is not live any more.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tonic::{Code, Response, Status, Streaming};
use writ_proto::v1::{self, status_request::Of};

use crate::{
    clusters::Clusters,
    source::Source,
    when,
    words::{Life, State},
};

/// Pause before a stream that was cut is opened again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The same where the API does not take who asks, or lets them read nothing: each time is a line in its record.
const REFUSED_RETRY_DELAY: Duration = Duration::from_secs(15);

/// A stream of the API says something every 5 s: three times that is a connection that died.
const QUIET_MAX: Duration = Duration::from_secs(15);

/// Happenings of one sort that are told one by one, of those that come together.
const ALIKE_MAX: usize = 12;

/// Happenings that are remembered.
const ACTIVITY_MAX: usize = 200;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Happening {
    pub(crate) at_ms: i64,
    pub(crate) what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// A policy has another generation.
    Edited {
        policy: String,
        generation: u64,
        revision: v1::Revision,
        deleted: bool,
    },
    /// A cluster is heard otherwise than before.
    Heard { cluster: String, life: Life },
    /// A cluster's policies stand otherwise than before.
    Stands {
        cluster: String,
        state: State,
        reason: String,
    },
    /// A cluster is in the registry now, or is not any more.
    Registered { cluster: String, is_there: bool },
    /// The same of many clusters at once.
    Many { count: usize, what: Box<What> },
}

/// Everything that is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fleet {
    pub(crate) clusters: Clusters,
    pub(crate) policies: BTreeMap<String, v1::PolicyStatus>,
    /// Author and reason of the edits in force.
    pub(crate) heads: BTreeMap<String, v1::Policy>,
    pub(crate) activity: VecDeque<Happening>,
    /// The newest word of the API.
    pub(crate) as_of: Option<v1::AsOf>,
    /// Since when each stream is not live; both are live where nothing stands here.
    pub(crate) cut: [Option<i64>; 2],
    /// Everything was told once.
    pub(crate) is_whole: [bool; 2],
}

impl Fleet {
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

    fn happened(&mut self, what: What) {
        self.activity.push_front(Happening {
            at_ms: when::now_ms(),
            what,
        });
        self.activity.truncate(ACTIVITY_MAX);
    }

    fn take_clusters(&mut self, told: v1::FleetResponse) {
        let lines = told.clusters.into_iter();
        let mut whats: Vec<What> = lines.flat_map(|line| self.take_cluster(line)).collect();
        for name in told.removed {
            if self.clusters.remove(&name).is_some() {
                whats.push(What::Registered {
                    cluster: name,
                    is_there: false,
                });
            }
        }
        // What was there before this page looked is no news.
        if self.is_whole[0] {
            for what in joined(whats) {
                self.happened(what);
            }
        }
        self.as_of = told.as_of.or(self.as_of.take());
        self.is_whole[0] |= told.is_whole;
        self.cut[0] = None;
    }

    fn take_cluster(&mut self, line: v1::FleetLine) -> Vec<What> {
        let cluster = line.cluster.clone();
        let before = self.clusters.put(line);
        let Some(now) = self.clusters.get(&cluster) else {
            return Vec::new();
        };
        let Some(before) = before else {
            return vec![What::Registered {
                cluster,
                is_there: true,
            }];
        };
        let heard = (before.life != now.life).then(|| What::Heard {
            cluster: cluster.clone(),
            life: now.life,
        });
        let reason = now.line.exceptions.first().map(|one| one.reason.clone());
        let stands = (before.state != now.state).then(|| What::Stands {
            cluster: cluster.clone(),
            state: now.state,
            reason: reason.unwrap_or_default(),
        });
        heard.into_iter().chain(stands).collect()
    }

    fn take_policies(&mut self, told: v1::StatusResponse) {
        let now: BTreeMap<String, v1::PolicyStatus> = told
            .policies
            .into_iter()
            .map(|status| (status.policy.clone(), status))
            .collect();
        if self.is_whole[1] {
            let is_new = |status: &&v1::PolicyStatus| {
                let before = self.policies.get(&status.policy);
                before.is_none_or(|before| before.generation != status.generation)
            };
            let edited: Vec<What> = now
                .values()
                .filter(is_new)
                .map(|status| What::Edited {
                    policy: status.policy.clone(),
                    generation: status.generation,
                    revision: status.revision.unwrap_or_default(),
                    deleted: status.deleted,
                })
                .collect();
            for what in edited {
                self.happened(what);
            }
        }
        self.policies = now;
        self.is_whole[1] = true;
        self.cut[1] = None;
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

/// Many of one sort as one, so that a whole fleet's answers do not push out everything else.
fn joined(whats: Vec<What>) -> Vec<What> {
    let is_alike = |one: &What, other: &What| match (one, other) {
        (What::Heard { life: one, .. }, What::Heard { life: other, .. }) => one == other,
        (What::Stands { state: one, .. }, What::Stands { state: other, .. }) => one == other,
        (
            What::Registered { is_there: one, .. },
            What::Registered {
                is_there: other, ..
            },
        ) => one == other,
        _ => false,
    };
    let mut groups: Vec<Vec<What>> = Vec::new();
    for what in whats {
        match groups.iter_mut().find(|group| is_alike(&group[0], &what)) {
            Some(group) => group.push(what),
            None => groups.push(vec![what]),
        }
    }
    let one = |mut group: Vec<What>| match group.len() {
        0..=ALIKE_MAX => group,
        count => vec![What::Many {
            count,
            what: Box::new(group.swap_remove(0)),
        }],
    };
    groups.into_iter().flat_map(one).collect()
}

/// Follows the fleet until nobody looks any more.
pub(crate) fn follow(source: Source) -> watch::Receiver<Arc<Fleet>> {
    let (sender, receiver) = watch::channel(Arc::new(Fleet::default()));
    let sender = Arc::new(sender);
    tokio::spawn(follow_clusters(source.clone(), sender.clone()));
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
            let mut stream = open().await?.into_inner();
            let quiet = |_| Status::unavailable("nothing was said");
            while let Some(told) = timeout(QUIET_MAX, stream.message())
                .await
                .map_err(quiet)??
            {
                take(held.clone(), told).await;
            }
            Err::<(), Status>(Status::unavailable("the stream ended"))
        };
        let mut delay = RETRY_DELAY;
        if let Err(status) = ended.await {
            tracing::debug!("a stream of the dashboard was cut: {status}");
            if matches!(
                status.code(),
                Code::Unauthenticated | Code::PermissionDenied
            ) {
                delay = REFUSED_RETRY_DELAY;
            }
        }
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
            at_least: None,
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

    fn told(name: &str, heard: v1::liveness::State, applied: u32) -> v1::FleetResponse {
        let line = v1::FleetLine {
            cluster: name.into(),
            liveness: Some(v1::Liveness {
                state: heard.into(),
                ..Default::default()
            }),
            counts: Some(v1::Counts {
                target: 1,
                applied,
                pending: 1 - applied,
                ..Default::default()
            }),
            ..Default::default()
        };
        v1::FleetResponse {
            clusters: vec![line],
            is_whole: true,
            ..Default::default()
        }
    }

    #[test]
    fn what_was_there_before_is_no_news_and_what_changes_is() {
        use v1::liveness::State as Heard;
        let mut fleet = Fleet::default();
        fleet.take_clusters(told("a", Heard::Live, 0));
        assert!(fleet.activity.is_empty());
        fleet.take_clusters(told("a", Heard::Live, 1));
        fleet.take_clusters(told("a", Heard::Silent, 1));
        fleet.take_clusters(told("b", Heard::Live, 1));
        let whats: Vec<&What> = fleet.activity.iter().map(|one| &one.what).collect();
        assert!(matches!(whats[0], What::Registered { cluster, is_there: true } if cluster == "b"));
        assert!(whats.iter().any(|what| matches!(
            what,
            What::Heard {
                life: Life::Silent,
                ..
            }
        )));
        assert!(whats.iter().any(|what| matches!(
            what,
            What::Stands {
                state: State::Applied,
                ..
            }
        )));
    }

    #[test]
    fn a_whole_fleet_that_answers_is_one_happening() {
        use v1::liveness::State as Heard;
        let mut fleet = Fleet::default();
        let all = |applied| {
            let names = (0..40).map(|number| format!("c{number}"));
            let lines = names.flat_map(|name| told(&name, Heard::Live, applied).clusters);
            v1::FleetResponse {
                clusters: lines.collect(),
                is_whole: true,
                ..Default::default()
            }
        };
        fleet.take_clusters(all(0));
        fleet.take_clusters(all(1));
        assert_eq!(fleet.activity.len(), 1);
        assert!(matches!(
            &fleet.activity[0].what,
            What::Many { count: 40, .. }
        ));
    }

    #[test]
    fn a_cut_stays_until_that_very_stream_speaks_again() {
        let mut fleet = Fleet {
            cut: [Some(7), Some(9)],
            ..Fleet::default()
        };
        assert_eq!(fleet.not_live_since(), Some(7));
        fleet.take_clusters(v1::FleetResponse::default());
        assert_eq!(fleet.not_live_since(), Some(9));
        fleet.take_policies(v1::StatusResponse::default());
        assert_eq!(fleet.not_live_since(), None);
    }
}
