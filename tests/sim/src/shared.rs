//! What all actors of one run share: the source of chance, the checks, the counts of faults, the trace.
//!
//! A run has one thread; the lock is there because the subscriber's tasks ask for what can be sent.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{auditor::Auditor, chance::Chance, promises::Mutation};

/// Everything that a run does wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Fault {
    LiveLost,
    LiveDoubled,
    LiveDelayed,
    Replayed,
    ReplayedAtStart,
    Partition,
    BeatOld,
    ReadLost,
    ReadStale,
    ReplicaBehind,
    BatchRejected,
    BatchUnknownStored,
    BatchUnknownNotStored,
    BatchConflict,
    LeaderChange,
    PublisherKilled,
    PublisherPaused,
    SubscriberKilled,
    SubscriberKilledInCall,
    ApiForbidden,
    ApiConflict,
    ApiTooManyRequests,
    ApiServerError,
    ApiTimeoutBefore,
    ApiTimeoutAfter,
    ApiAway,
    HandChange,
    HandDelete,
    HandMark,
    HandNamespace,
    HandLabel,
    ForeignObject,
    ForeignInPlace,
    ClockSkew,
    LogRestored,
    LogRecovered,
    RecoveryInterrupted,
    Forged,
    Truncated,
    BitFlipped,
    WrongScope,
    Flood,
    AckLost,
}

/// What a run has in common.
pub(super) struct Inner {
    pub(super) chance: Chance,
    pub(super) auditor: Auditor,
    pub(super) faults: BTreeMap<Fault, u64>,
    pub(super) costs: BTreeMap<&'static str, u64>,
    /// Whether faults happen.
    pub(super) faulty: bool,
    pub(super) out: Option<Mutation>,
    pub(super) now_ms: u64,
    trace: Trace,
}

/// What is kept of the trace.
pub(super) struct Trace {
    pub(super) shown: bool,
    hashed: bool,
    hash: u64,
    violations_told: usize,
}

/// A handle; all clones are the same.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<Inner>>);

impl Shared {
    pub(super) fn new(seed: u64, out: Option<Mutation>, trace: Trace, auditor: Auditor) -> Shared {
        Shared(Arc::new(Mutex::new(Inner {
            chance: Chance::of(seed),
            auditor,
            faults: BTreeMap::new(),
            costs: BTreeMap::new(),
            faulty: true,
            out,
            now_ms: 0,
            trace,
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a fault happens now; counted if so.
    pub(super) fn strikes(&self, fault: Fault, permille: usize) -> bool {
        self.lock().strikes(fault, permille)
    }

    pub(super) fn is_out(&self, mutation: Mutation) -> bool {
        self.lock().out == Some(mutation)
    }

    pub(super) fn cost(&self, of: &'static str) {
        *self.lock().costs.entry(of).or_default() += 1;
    }

    pub(super) fn trace(&self, line: impl FnOnce() -> String) {
        self.lock().tell(line);
    }
}

impl Inner {
    pub(super) fn strikes(&mut self, fault: Fault, permille: usize) -> bool {
        let strikes = self.faulty && self.chance.permille(permille);
        if strikes {
            self.note(fault);
        }
        strikes
    }

    pub(super) fn note(&mut self, fault: Fault) {
        *self.faults.entry(fault).or_default() += 1;
        self.tell(|| format!("fault: {fault:?}"));
    }

    pub(super) fn tell(&mut self, line: impl FnOnce() -> String) {
        if !self.trace.shown && !self.trace.hashed {
            return;
        }
        let line = format!("{:>7} ms  {}", self.now_ms, line());
        for byte in line.bytes() {
            // FNV-1a.
            self.trace.hash = (self.trace.hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        if self.trace.shown {
            // Where it was broken, in what had happened until then.
            for (promise, what) in &self.auditor.violations[self.trace.violations_told..] {
                println!("{:>7} ms  violated: {promise}: {what}", self.now_ms);
            }
            self.trace.violations_told = self.auditor.violations.len();
            println!("{line}");
        }
    }

    pub(super) fn trace_hash(&self) -> u64 {
        self.trace.hash
    }
}

impl Trace {
    pub(super) fn new(shown: bool, hashed: bool) -> Trace {
        Trace {
            shown,
            hashed,
            hash: 0xcbf2_9ce4_8422_2325,
            violations_told: 0,
        }
    }
}
