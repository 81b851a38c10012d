//! Signs of life, measured on the monotonic clock of whoever listens.

/// A moment on both clocks of the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that never goes back; decides.
    pub monotonic_ms: u64,
    /// Milliseconds since the Unix epoch; shown.
    pub wall_ms: u64,
}

/// Missed pulses after which a cluster is silent.
const PULSES_MISSED_MAX: u64 = 3;

/// Bounds of a period that a cluster states, so that none can call itself live for a day.
const PERIOD_MIN_MS: u64 = 100;
const PERIOD_MAX_MS: u64 = 300_000;

/// Whether a cluster gives signs of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// Not heard yet, and not listened for long enough to call it silent.
    Unknown {
        /// Its last word out of the log, by its own clock.
        last_heard_ms: Option<u64>,
    },
    /// Heard within three pulse periods.
    Live {
        /// When it was last heard, by the listener's wall clock.
        last_heard_ms: u64,
    },
    /// Three pulses were missed.
    Silent {
        /// Since its last sign of life, or since it was first listened for.
        since_ms: u64,
        /// When it was last heard; by its own clock where that was before this listener's time.
        last_heard_ms: Option<u64>,
    },
}

impl Liveness {
    /// Whether three pulses were missed.
    pub fn is_silent(self) -> bool {
        matches!(self, Liveness::Silent { .. })
    }
}

/// What is known of one cluster's life.
#[derive(Debug, Clone)]
pub(super) struct Life {
    /// When the cluster was registered here.
    since: Now,
    heard: Option<Now>,
    /// Its last word out of the log.
    said_ms: Option<u64>,
    period_ms: Option<u64>,
}

impl Life {
    pub(super) fn new(since: Now) -> Life {
        Life {
            since,
            heard: None,
            said_ms: None,
            period_ms: None,
        }
    }

    pub(super) fn hear(&mut self, now: Now) {
        self.heard = Some(now);
    }

    pub(super) fn say(&mut self, said_ms: u64) {
        self.said_ms = self.said_ms.max(Some(said_ms));
    }

    pub(super) fn pulse(&mut self, period_ms: u64, now: Now) {
        self.hear(now);
        self.period_ms = Some(period_ms.clamp(PERIOD_MIN_MS, PERIOD_MAX_MS));
    }

    /// The moment from which missing pulses count.
    fn counted_from(&self, listening_since: Now) -> Now {
        let heard = self.heard.unwrap_or(self.since);
        if listening_since.monotonic_ms > heard.monotonic_ms {
            listening_since
        } else {
            heard
        }
    }

    /// Half a period more than three: pulses have jitter and a way to go.
    pub(super) fn silent_at_ms(&self, listening_since: Now, period_ms: u64) -> u64 {
        let period_ms = self.period_ms.unwrap_or(period_ms);
        let patience_ms = PULSES_MISSED_MAX * period_ms + period_ms / 2;
        self.counted_from(listening_since).monotonic_ms + patience_ms
    }

    /// How many pulses did not come since the last sign of life. A half of a period is jitter and way.
    pub(super) fn missed(&self, period_ms: u64, now: Now) -> u64 {
        let Some(heard) = self.heard else { return 0 };
        let period_ms = self.period_ms.unwrap_or(period_ms).max(1);
        let passed_ms = now.monotonic_ms.saturating_sub(heard.monotonic_ms);
        ((passed_ms + period_ms / 2) / period_ms).saturating_sub(1)
    }

    pub(super) fn liveness(&self, listening_since: Now, period_ms: u64, now: Now) -> Liveness {
        let heard_ms = self.heard.map(|heard| heard.wall_ms);
        let last_heard_ms = heard_ms.or(self.said_ms);
        if now.monotonic_ms >= self.silent_at_ms(listening_since, period_ms) {
            let since_ms = last_heard_ms.unwrap_or(self.since.wall_ms);
            return Liveness::Silent {
                since_ms,
                last_heard_ms,
            };
        }
        match heard_ms {
            Some(last_heard_ms) => Liveness::Live { last_heard_ms },
            None => Liveness::Unknown { last_heard_ms },
        }
    }
}
