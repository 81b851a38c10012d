//! What is logged, exchanged while the process runs.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tracing_subscriber::{Registry, filter::Targets, reload};

use super::filter::{Filter, FilterError};

/// Longest time after which a filter may fall back: whoever wants it longer wants it for good.
pub const FALL_BACK_TIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The filter of this process. Clones share it.
#[derive(Clone)]
pub struct Levels(Arc<Shared>);

struct Shared {
    handle: reload::Handle<Targets, Registry>,
    now: Mutex<Now>,
    /// What the process was started with.
    first: Filter,
}

struct Now {
    filter: Filter,
    /// When the first one holds again.
    until: Option<Instant>,
    /// Counts the changes, so that an older one's time does not end a newer one.
    turn: u64,
}

/// Which filter holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// It.
    pub filter: String,
    /// What the process was started with.
    pub first: String,
    /// In how many seconds the first one holds again, where it does by itself.
    pub falls_back_in_s: Option<u64>,
}

impl Levels {
    pub(super) fn new(handle: reload::Handle<Targets, Registry>, filter: Filter) -> Levels {
        Levels(Arc::new(Shared {
            handle,
            first: filter.clone(),
            now: Mutex::new(Now {
                filter,
                until: None,
                turn: 0,
            }),
        }))
    }

    /// Which one holds.
    pub fn standing(&self) -> Standing {
        let now = self.lock();
        let left = now
            .until
            .map(|until| until.saturating_duration_since(Instant::now()));
        Standing {
            filter: now.filter.text().to_owned(),
            first: self.0.first.text().to_owned(),
            falls_back_in_s: left.map(|left| left.as_millis().div_ceil(1_000) as u64),
        }
    }

    /// Exchanges the filter, for a time or for good. The change is logged, whatever the filters say.
    ///
    /// # Errors
    /// [`FilterError`]: nothing has changed.
    pub fn set(&self, text: &str, fall_back: Option<Duration>) -> Result<Standing, FilterError> {
        let filter = Filter::read(text)?;
        let turn = self.exchange(self.lock(), filter, fall_back);
        if let Some(time) = fall_back {
            let levels = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(time).await;
                levels.fall_back(turn);
            });
        }
        Ok(self.standing())
    }

    fn fall_back(&self, turn: u64) {
        let now = self.lock();
        if now.turn == turn {
            self.exchange(now, self.0.first.clone(), None);
        }
    }

    fn exchange(
        &self,
        mut now: MutexGuard<'_, Now>,
        filter: Filter,
        fall_back: Option<Duration>,
    ) -> u64 {
        // Under a filter that lets the line through: neither the old one nor the new one may.
        self.reload(Filter::default());
        let after_s = fall_back.map(|time| time.as_secs());
        tracing::info!(
            from = now.filter.text(),
            to = filter.text(),
            falls_back_after_s = after_s,
            "what is logged was changed"
        );
        self.reload(filter.clone());
        now.filter = filter;
        now.until = fall_back.map(|time| Instant::now() + time);
        now.turn += 1;
        now.turn
    }

    fn reload(&self, filter: Filter) {
        // Only a process that logs no more has none.
        let _ = self.0.handle.reload(filter.targets());
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.0.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::{Layer as _, fmt, layer::SubscriberExt as _};

    use super::*;

    fn levels(filter: &str) -> (impl tracing::Subscriber, Levels) {
        let filter = Filter::read(filter).unwrap();
        let (exchangeable, handle) = reload::Layer::new(filter.targets());
        let all = tracing_subscriber::registry().with(
            fmt::layer()
                .with_writer(std::io::sink)
                .with_filter(exchangeable),
        );
        (all, Levels::new(handle, filter))
    }

    #[test]
    fn a_bad_filter_changes_nothing() {
        let _alone = super::super::ALONE.blocking_lock();
        let (all, levels) = levels("warn");
        tracing::subscriber::with_default(all, || {
            assert!(levels.set("loud", None).is_err());
            assert_eq!(levels.standing().filter, "warn");
            assert!(!tracing::enabled!(tracing::Level::INFO));
            levels.set("debug", None).unwrap();
            assert_eq!(levels.standing().filter, "debug");
            assert!(tracing::enabled!(tracing::Level::DEBUG));
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_filter_falls_back_after_its_time_unless_another_came() {
        let _alone = super::super::ALONE.lock().await;
        let (all, levels) = levels("warn");
        let _guard = tracing::subscriber::set_default(all);
        let minute = Duration::from_secs(60);
        let set = levels.set("debug", Some(minute)).unwrap();
        assert_eq!(
            (set.filter.as_str(), set.falls_back_in_s),
            ("debug", Some(60))
        );
        tokio::time::sleep(minute / 2).await;
        levels.set("trace", None).unwrap();
        tokio::time::sleep(minute).await;
        assert_eq!(levels.standing().filter, "trace");
        levels.set("debug", Some(minute)).unwrap();
        tokio::time::sleep(minute * 2).await;
        assert_eq!(levels.standing().filter, "warn");
        assert_eq!(levels.standing().falls_back_in_s, None);
    }
}
