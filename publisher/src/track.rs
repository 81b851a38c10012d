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
        self.journal.edit(&committed);
        let policy = matches!(committed.subject, Subject::Policy(_));
        // What is read at the start is no news.
        let policy = (policy && self.journal.is_open()).then(|| PolicyName::from(&committed.name));
        let (now, revision) = (self.now(), committed.revision);
        let overtaken = {
            let mut tracker = self.lock();
            tracker.edit(committed, now);
            policy.map(|policy| tracker.overtaken(&policy, revision))
        };
        self.note();
        let overtaken = overtaken.into_iter().flatten();
        overtaken
            .map(|(sender, progress)| {
                self.journal
                    .ack(&sender, vec![progress.clone()], Vec::new());
                progress
            })
            .collect()
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
            tracker.ack(ack, heard)?
        };
        self.journal.ack(&sender, progress.clone(), drift);
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
