//! Step 6, track: the tracker of the core with a clock, shared by all who tell it and ask it, and the lines of the
//! fleet that are made of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::sync::watch;
use writ_core::{
    ack::{Ack, Pulse},
    envelope::Keyring,
    name::{ClusterName, PolicyName},
    subject::Sender,
    tracker::{Committed, Fork, Link, Now, Progress, PulseNews, Refused, Subject, Tracker},
};

use crate::{
    api::convert,
    journal::Journal,
    lines::{Line, Lines, Place},
};

/// The wall clock, milliseconds since the Unix epoch.
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The tracker. Clones share it.
#[derive(Clone)]
pub(crate) struct Tracking {
    tracker: Arc<Mutex<Tracker>>,
    /// Always locked before the tracker.
    lines: Arc<Mutex<Lines>>,
    /// Counts the changes, for those who watch.
    changes: watch::Sender<u64>,
    start: Instant,
    /// What happened lately.
    pub(crate) journal: Journal,
}

impl Tracking {
    pub(crate) fn new(pulse_period: Duration) -> Tracking {
        let start = Instant::now();
        let period_ms = u64::try_from(pulse_period.as_millis()).unwrap_or(u64::MAX);
        let now = Now {
            monotonic_ms: 0,
            wall_ms: wall_ms(),
        };
        Tracking {
            tracker: Arc::new(Mutex::new(Tracker::new(now, period_ms))),
            lines: Arc::default(),
            changes: watch::channel(0).0,
            start,
            journal: Journal::default(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        let monotonic_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now {
            monotonic_ms,
            wall_ms: wall_ms(),
        }
    }

    /// Asks the tracker; the lock is held for that long, which is never across an await.
    pub(crate) fn ask<T>(&self, question: impl FnOnce(&Tracker, Now) -> T) -> T {
        question(&self.lock(), self.now())
    }

    /// Watches for changes of what the tracker answers.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Takes an edit of the log. Answers what clusters had said of it before.
    pub(crate) fn edit(&self, committed: Committed) -> Vec<Progress> {
        let (now, revision) = (self.now(), committed.revision);
        let policy = matches!(committed.subject, Subject::Policy(_));
        let policy = policy.then(|| PolicyName::from(&committed.name));
        let mut news = Vec::new();
        {
            let mut tracker = self.lock();
            // A log that is read anew says again what it said.
            let is_known = |policy: &PolicyName| tracker.knows(policy, revision);
            let is_known = policy.as_ref().is_some_and(is_known);
            if !is_known {
                self.journal.edit(&committed);
            }
            tracker.edit(committed, now);
            // What is read at the start is no news.
            if let Some(policy) = policy.filter(|_| !is_known && self.journal.is_open()) {
                for (sender, progress) in tracker.overtaken(&policy, revision) {
                    let told = vec![progress.clone()];
                    self.journal.ack(&sender, told, Vec::new());
                    news.push(progress);
                }
            }
        }
        self.note();
        news
    }

    pub(crate) fn keyring(&self, cluster: &ClusterName) -> Keyring {
        self.lock().keyring(cluster)
    }

    /// Takes the place of a verified ack in its cluster's chain. Answers a fork that was not known.
    pub(crate) fn link(&self, sender: &Sender, link: &Link) -> Option<Fork> {
        let fork = self.lock().link(sender, link)?;
        self.note();
        Some(fork)
    }

    /// Why what a cluster says is not one voice.
    pub(crate) fn fork(&self, cluster: &ClusterName) -> Option<Fork> {
        self.lock().fork(cluster).cloned()
    }

    /// Takes a verified ack; `live` when it came just now, and then answers what is new in it.
    pub(crate) fn ack(&self, ack: Ack, live: bool) -> Result<Vec<Progress>, Refused> {
        let heard = live.then(|| self.now());
        let (sender, mut progress, mut drift) = (ack.sender.clone(), Vec::new(), Vec::new());
        let changed = {
            // An edit that it speaks of is known by now, or finds it here.
            let mut tracker = self.lock();
            if live {
                (progress, drift) = (tracker.progress(&ack), tracker.drift(&ack));
            }
            let changed = tracker.ack(ack, heard)?;
            self.journal.ack(&sender, progress.clone(), drift);
            changed
        };
        if changed {
            self.note();
        }
        Ok(progress)
    }

    /// Takes a verified pulse.
    pub(crate) fn pulse(&self, pulse: Pulse) -> Result<PulseNews, Refused> {
        let now = self.now();
        let news = self.lock().pulse(pulse, now)?;
        if news.changed {
            self.note();
        }
        Ok(news)
    }

    /// Pulses may have been missed until now.
    pub(crate) fn listen_anew(&self) {
        let now = self.now();
        self.lock().listen_anew(now);
        self.note();
    }

    /// The lines that changed after a place, and the place up to which that is.
    pub(crate) fn lines(&self, place: Place) -> (Place, BTreeMap<ClusterName, Line>) {
        self.look().since(place)
    }

    /// Asks for what the board says, brought up to now.
    pub(crate) fn ask_board<T>(&self, question: impl FnOnce(&Tracker, Now) -> T) -> T {
        let _lines = self.look();
        self.ask(question)
    }

    /// How long to wait for a change, if not longer: a cluster that turns silent is one that nobody tells of.
    pub(crate) fn pause(&self, longest: Duration) -> Duration {
        let silence = self.next_silence();
        silence.map_or(longest, |silence| {
            longest.min(silence + Duration::from_millis(1))
        })
    }

    /// How long until the next cluster turns silent if nothing is heard.
    fn next_silence(&self) -> Option<Duration> {
        let _lines = self.look();
        let now = self.now();
        let at_ms = self.lock().next_silence_ms()?;
        let pause_ms = at_ms.saturating_sub(now.monotonic_ms);
        Some(Duration::from_millis(pause_ms))
    }

    /// Makes anew whatever lines changed since anybody looked.
    fn look(&self) -> MutexGuard<'_, Lines> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let changed: Vec<_> = {
            let mut tracker = self.lock();
            let now = self.now();
            let names = tracker.look(now).into_iter();
            names
                .map(|name| {
                    let status = tracker.line(&name, now);
                    (name, status)
                })
                .collect()
        };
        for (name, status) in changed {
            lines.put(name, status.map(convert::fleet_line));
        }
        lines
    }

    fn note(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Tracker> {
        // A panic inside would leave a view that the next messages repair.
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::{Value, json};
    use writ_core::{
        ack::{AckedEdit, Counts, State},
        edit::Intent,
        hash::Hash,
        name::Name,
        revision::{Generation, Revision},
        scope::Kind,
        subject::Sender,
    };
    use writ_proto::v1::HappeningKind;

    use super::*;

    const CLUSTER: &str = "eu-prod-1";

    fn at(number: u64) -> Revision {
        Revision { epoch: 1, number }
    }

    fn committed(number: u64, kind: Kind, name: &str, document: &Value) -> Committed {
        let intent = Intent {
            kind: kind.into(),
            name: Name::parse(name).unwrap(),
            revision: at(number),
            generation: Generation(number),
            request_id: "r".into(),
            manifest: Some(document.to_string()),
            scopes: BTreeSet::from(["eu.all".parse().unwrap()]),
            author: "a".into(),
            reason: String::new(),
            inlet: "grpc".into(),
            committed_ms: 5,
            targets: vec![CLUSTER.into()],
            revoked: vec![],
        };
        Committed::read(&intent).unwrap().unwrap()
    }

    fn ack() -> Ack {
        Ack {
            sender: Sender {
                region: "eu".parse().unwrap(),
                stage: "prod".parse().unwrap(),
                cluster: ClusterName::parse(CLUSTER).unwrap(),
            },
            revision: at(2),
            feeds: BTreeMap::new(),
            counts: Counts::default(),
            exceptions: vec![],
            exceptions_total: 0,
            edits: vec![AckedEdit {
                kind: Kind::Policy,
                name: Name::parse("payments").unwrap(),
                generation: Generation(2),
                revision: at(2),
                state: State::Applied,
                removed: false,
                drift: false,
                received_ms: 12,
                applied_ms: 25,
                failures: vec![],
            }],
            refused_messages: 0,
            boot_id: "boot".into(),
            boot: 1,
            counter: 1,
            previous: Hash([0; 32]),
            sent_ms: 1,
            witness: vec![],
        }
    }

    #[test]
    fn an_ack_before_its_edit_is_told_after_it_and_once() {
        let tracking = Tracking::new(Duration::from_secs(1));
        tracking.journal.open();
        let entry = json!({
            "apiVersion": "writ.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": CLUSTER},
            "spec": {"region": "eu", "stage": "prod", "phase": "active"},
        });
        let policy = json!({
            "apiVersion": "writ.dev/v1alpha1", "kind": "ClusterPolicy", "metadata": {"name": "payments"},
            "spec": {"clusters": {"regions": ["eu"]}},
        });
        tracking.edit(committed(1, Kind::Cluster, CLUSTER, &entry));
        assert!(tracking.ack(ack(), true).unwrap().is_empty());
        let news = tracking.edit(committed(2, Kind::Policy, "payments", &policy));
        assert_eq!(news.len(), 1);
        assert_eq!(news[0].applied_after_ms, Some(20));
        // A log that is read anew says it again.
        assert!(
            tracking
                .edit(committed(2, Kind::Policy, "payments", &policy))
                .is_empty()
        );
        let (told, _) = tracking.journal.after(0);
        let kinds: Vec<HappeningKind> = told.iter().map(|one| one.kind).collect();
        let wanted = [
            HappeningKind::Registered,
            HappeningKind::Edited,
            HappeningKind::Received,
            HappeningKind::Applied,
        ];
        assert_eq!(kinds, wanted);
    }
}
