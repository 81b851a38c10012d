//! What happened lately, as this publisher learned of it: edits, what the clusters said to them, and who is heard.
//!
//! Owns the last happenings, in memory: a view, as of whoever listens; the record is the log and the acks.
//! Promises: in the order of their numbers, each once; what a slow reader missed is counted. Says nothing of what
//! was there before this publisher had read the log and the acks.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::timeout};
use writ_core::{
    ack::Failure,
    name::{ClusterName, PolicyName, Region, Stage},
    revision::{Generation, Revision},
    subject::Sender,
    tracker::{Committed, Drift, Liveness, Progress, Subject},
};
use writ_proto::v1::HappeningKind as Kind;

use crate::track::{Tracking, wall_ms};

/// Happenings that are remembered.
pub(crate) const REMEMBERED_MAX: usize = 4_096;

/// Between two looks at who is heard: a person sees no difference.
const LOOK_PERIOD: Duration = Duration::from_millis(250);

/// Longest time between two looks where nothing changes.
const LOOK_PERIOD_MAX: Duration = Duration::from_secs(5);

/// Where a cluster is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) cluster: ClusterName,
    pub(crate) region: Region,
    pub(crate) stage: Stage,
}

impl From<&Sender> for Place {
    fn from(sender: &Sender) -> Place {
        Place {
            cluster: sender.cluster.clone(),
            region: sender.region.clone(),
            stage: sender.stage.clone(),
        }
    }
}

/// An edit that something is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edit {
    /// Of a policy; of a registry entry `None`.
    pub(crate) policy: Option<PolicyName>,
    pub(crate) generation: Generation,
    pub(crate) revision: Revision,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Happening {
    /// Counts from 1; 0 until it is noted.
    pub(crate) number: u64,
    /// Milliseconds since the Unix epoch.
    pub(crate) at_ms: u64,
    pub(crate) kind: Kind,
    pub(crate) place: Option<Place>,
    pub(crate) edit: Option<Edit>,
    pub(crate) after_ms: Option<u64>,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) objects: Vec<Failure>,
    pub(crate) count: u64,
}

impl Happening {
    fn new(kind: Kind, place: Option<Place>, edit: Option<Edit>) -> Happening {
        Happening {
            number: 0,
            at_ms: wall_ms(),
            kind,
            place,
            edit,
            after_ms: None,
            reason: String::new(),
            message: String::new(),
            objects: Vec::new(),
            count: 0,
        }
    }
}

/// The journal. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<Inner>);

#[derive(Default)]
struct Inner {
    is_open: AtomicBool,
    kept: Mutex<VecDeque<Arc<Happening>>>,
    /// The number of the last one.
    last: watch::Sender<u64>,
}

impl Journal {
    /// From here on, what comes is news.
    pub(crate) fn open(&self) {
        self.0.is_open.store(true, Ordering::Relaxed);
    }

    /// Whether what comes is news.
    pub(crate) fn is_open(&self) -> bool {
        self.0.is_open.load(Ordering::Relaxed)
    }

    /// Watches the number of the last happening.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.0.last.subscribe()
    }

    /// Those after a number, oldest first, and how many of them were forgotten.
    pub(crate) fn after(&self, number: u64) -> (Vec<Arc<Happening>>, u64) {
        let kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let first = kept.front().map_or(number + 1, |first| first.number);
        let forgotten = first.saturating_sub(number + 1);
        let begin = kept.partition_point(|one| one.number <= number);
        (kept.range(begin..).cloned().collect(), forgotten)
    }

    fn note(&self, mut happening: Happening) {
        if !self.is_open() {
            return;
        }
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let number = kept.back().map_or(0, |last| last.number) + 1;
        happening.number = number;
        if kept.len() == REMEMBERED_MAX {
            kept.pop_front();
        }
        kept.push_back(Arc::new(happening));
        self.0.last.send_replace(number);
    }

    /// An edit was followed in the log.
    pub(crate) fn edit(&self, committed: &Committed) {
        let (generation, revision) = (committed.generation, committed.revision);
        let edit = |policy| {
            Some(Edit {
                policy,
                generation,
                revision,
            })
        };
        let mut happening = match &committed.subject {
            Subject::Policy(selector) => {
                let kind = match selector {
                    Some(_) => Kind::Edited,
                    None => Kind::Deleted,
                };
                let policy = PolicyName::from(&committed.name);
                let mut edited = Happening::new(kind, None, edit(Some(policy)));
                edited.count = committed.targets.len() as u64;
                edited
            }
            Subject::Cluster(Some(entry)) => {
                let place = Place {
                    cluster: ClusterName::from(&committed.name),
                    region: entry.region.clone(),
                    stage: entry.stage.clone(),
                };
                let mut registered = Happening::new(Kind::Registered, Some(place), edit(None));
                registered.message = entry.phase.as_str().to_owned();
                registered
            }
            // Where it was is known to whoever looks at signs of life.
            Subject::Cluster(None) => return,
        };
        happening.at_ms = committed.committed_ms;
        self.note(happening);
    }

    /// A cluster acknowledged, and that is what was new in it.
    pub(crate) fn ack(&self, sender: &Sender, progress: Vec<Progress>, drift: Vec<Drift>) {
        let place = || Some(Place::from(sender));
        for one in progress {
            let edit = || {
                Some(Edit {
                    policy: Some(one.policy.clone()),
                    generation: one.generation,
                    revision: one.revision,
                })
            };
            if one.received_after_ms.is_some() {
                let mut received = Happening::new(Kind::Received, place(), edit());
                received.after_ms = one.received_after_ms;
                self.note(received);
            }
            if one.applied_after_ms.is_some() {
                let kind = match one.removed {
                    true => Kind::Removed,
                    false => Kind::Applied,
                };
                let mut applied = Happening::new(kind, place(), edit());
                applied.after_ms = one.applied_after_ms;
                self.note(applied);
            }
            if let Some((reason, message)) = &one.refused {
                let mut refused = Happening::new(Kind::Refused, place(), edit());
                (refused.reason, refused.message) = (reason.clone(), message.clone());
                self.note(refused);
            }
        }
        for one in drift {
            let edit = Edit {
                policy: Some(one.policy),
                generation: one.generation,
                revision: one.revision,
            };
            let kind = match one.repaired {
                true => Kind::Repaired,
                false => Kind::Drifted,
            };
            let mut drifted = Happening::new(kind, place(), Some(edit));
            drifted.objects = one.objects;
            self.note(drifted);
        }
    }

    /// Pulses of a cluster did not come.
    pub(crate) fn pulses_lost(&self, sender: &Sender, count: u64) {
        if count > 0 {
            let mut lost = Happening::new(Kind::PulsesLost, Some(sender.into()), None);
            lost.count = count;
            self.note(lost);
        }
    }

    /// Notes for ever who begins and ends to be heard.
    pub(crate) async fn look(self, tracking: Tracking) {
        let mut changes = tracking.changes();
        let mut before = Signs::new();
        loop {
            changes.mark_unchanged();
            let now = signs(&tracking);
            // Who is not known here yet has no news of a life before.
            if !before.is_empty() {
                self.compare(&before, &now);
            }
            before = now;
            let pause = tracking.pause(LOOK_PERIOD_MAX);
            // Out of time is the usual case.
            if let Ok(Err(_)) = timeout(pause, changes.changed()).await {
                return;
            }
            tokio::time::sleep(LOOK_PERIOD).await;
        }
    }

    fn compare(&self, before: &Signs, now: &Signs) {
        let gone = before.iter().filter(|(name, _)| !now.contains_key(*name));
        for (_, sign) in gone {
            self.note(Happening::new(
                Kind::Unregistered,
                Some(sign.place.clone()),
                None,
            ));
        }
        for (name, sign) in now {
            let Some(was) = before.get(name) else {
                continue;
            };
            let mut kinds = Vec::new();
            match (was.liveness, sign.liveness) {
                (was, Liveness::Silent { .. }) if !was.is_silent() => kinds.push(Kind::Silent),
                (Liveness::Silent { .. } | Liveness::Unknown { .. }, Liveness::Live { .. }) => {
                    kinds.push(Kind::Heard);
                }
                // A silent cluster says nothing of beats.
                (Liveness::Live { .. }, Liveness::Live { .. }) if was.stale != sign.stale => {
                    kinds.push(match sign.stale {
                        true => Kind::Stale,
                        false => Kind::NotStale,
                    });
                }
                _ => {}
            }
            if sign.forked && !was.forked {
                kinds.push(Kind::Forked);
            }
            for kind in kinds {
                self.note(Happening::new(kind, Some(sign.place.clone()), None));
            }
        }
    }
}

struct Sign {
    place: Place,
    liveness: Liveness,
    stale: bool,
    forked: bool,
}

type Signs = BTreeMap<ClusterName, Sign>;

fn signs(tracking: &Tracking) -> Signs {
    tracking.ask(|tracker, now| {
        let signs = tracker.signs(now).map(|sign| {
            let place = Place {
                cluster: sign.cluster.clone(),
                region: sign.entry.region.clone(),
                stage: sign.entry.stage.clone(),
            };
            let kept = Sign {
                place,
                liveness: sign.liveness,
                stale: sign.stale,
                forked: sign.forked,
            };
            (sign.cluster.clone(), kept)
        });
        signs.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender() -> Sender {
        Sender {
            region: Region::parse("eu").unwrap(),
            stage: Stage::parse("prod").unwrap(),
            cluster: ClusterName::parse("eu-prod-1").unwrap(),
        }
    }

    #[test]
    fn what_comes_before_it_is_open_is_no_news() {
        let journal = Journal::default();
        journal.pulses_lost(&sender(), 1);
        assert_eq!(journal.after(0), (vec![], 0));
        journal.open();
        journal.pulses_lost(&sender(), 2);
        let (told, forgotten) = journal.after(0);
        assert_eq!((told.len(), forgotten), (1, 0));
        assert_eq!((told[0].number, told[0].count), (1, 2));
        assert_eq!(journal.after(1), (vec![], 0));
    }

    #[test]
    fn what_a_slow_reader_missed_is_counted() {
        let journal = Journal::default();
        journal.open();
        for _ in 0..REMEMBERED_MAX + 5 {
            journal.pulses_lost(&sender(), 1);
        }
        let (told, forgotten) = journal.after(2);
        assert_eq!((told.len(), forgotten), (REMEMBERED_MAX, 3));
        assert_eq!(told[0].number, 6);
    }

    #[test]
    fn silence_and_what_is_heard_again_are_told_once_each() {
        let journal = Journal::default();
        journal.open();
        let sign = |liveness, stale| {
            let place = Place::from(&sender());
            let sign = Sign {
                place,
                liveness,
                stale,
                forked: false,
            };
            Signs::from([(sender().cluster, sign)])
        };
        let live = |last_heard_ms| Liveness::Live { last_heard_ms };
        let silent = Liveness::Silent {
            since_ms: 3,
            last_heard_ms: Some(3),
        };
        let unknown = Liveness::Unknown {
            last_heard_ms: None,
        };
        let lives = [
            sign(unknown, false),
            sign(live(1), false),
            sign(live(2), true),
            sign(silent, false),
            sign(silent, false),
            sign(live(9), false),
            Signs::new(),
        ];
        for pair in lives.windows(2) {
            journal.compare(&pair[0], &pair[1]);
        }
        let kinds: Vec<Kind> = journal.after(0).0.iter().map(|one| one.kind).collect();
        assert_eq!(
            kinds,
            [
                Kind::Heard,
                Kind::Stale,
                Kind::Silent,
                Kind::Heard,
                Kind::Unregistered
            ]
        );
    }
}
