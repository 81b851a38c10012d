//! Reads from the log, paced. Does I/O; decides nothing.
//!
//! An answer may come from a replica that lags, so the same read may be wanted again. Repeats are
//! spread: at once, then ever longer up to [`REPEAT_DELAY_MAX`], so that a log that cannot answer is
//! not flooded by the fleet that waits for it.
//!
//! Behind a leaf node the nearest log is a mirror, which may be behind for longer than a replica. The
//! follower says so by wanting a read again that was answered. Then all reads go to the hub for a
//! while, because an index of the hub and a base of the mirror do not fit; every other one still goes
//! to the mirror, for the case that the hub is away. At the hub itself both are the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::Instant;
use writ_bus::{
    connection::{Client, Error},
    read::{self, Stored, Via},
};
use writ_core::{follower::Read, subject::BusSubject};

/// Direct Gets under way at once: fills the pipe, and bounds what one cluster asks of the server.
const READS_UNDER_WAY_MAX: usize = 128;
/// Delay before the second repeat; doubles from there.
const REPEAT_DELAY_MIN: Duration = Duration::from_millis(5);
/// Longest delay before a repeat: well under the beat, so that convergence is not held up.
const REPEAT_DELAY_MAX: Duration = Duration::from_secs(1);

/// Answers that were not good enough before the hub is asked: a replica lags by milliseconds.
const REPEATS_NEAR_MAX: u32 = 3;
/// How long the hub is then asked first: longer than a mirror was seen to be behind after its link came
/// back (18 s).
const HUB_FIRST_TIME: Duration = Duration::from_secs(20);

/// An answer, or none.
pub(crate) type Answer = (Read, Result<Option<Stored>, Error>);

/// The reads under way.
pub(crate) struct Reads {
    client: Client,
    under_way: FuturesUnordered<BoxFuture<'static, Answer>>,
    asked: BTreeSet<Read>,
    repeats: BTreeMap<Read, u32>,
    /// Until when the hub is asked first.
    hub_first_until: Option<Instant>,
}

/// Where a read finds its answer.
pub(crate) fn subject(read: &Read) -> BusSubject {
    match read {
        Read::Root => BusSubject::Root,
        Read::Index(feed) => BusSubject::Index(feed.clone()),
        Read::Base(feed) => BusSubject::Base(feed.clone()),
        Read::Body(feed, name) => BusSubject::event(feed, name),
    }
}

/// Whom the n-th attempt of a read asks, counted from 1.
fn via(attempt: u32, hub_first_until: &mut Option<Instant>, now: Instant) -> Via {
    if attempt > REPEATS_NEAR_MAX {
        *hub_first_until = Some(now + HUB_FIRST_TIME);
    }
    let hub_first = hub_first_until.is_some_and(|until| now < until);
    // Every other attempt asks the mirror: the hub may be away, and only that one answers then.
    let turn = if attempt > REPEATS_NEAR_MAX {
        attempt - REPEATS_NEAR_MAX
    } else {
        attempt
    };
    match hub_first && turn % 2 == 1 {
        true => Via::Hub,
        false => Via::Near,
    }
}

impl Reads {
    pub(crate) fn new(client: Client) -> Reads {
        Reads {
            client,
            under_way: FuturesUnordered::new(),
            asked: BTreeSet::new(),
            repeats: BTreeMap::new(),
            hub_first_until: None,
        }
    }

    /// Asks for what is wanted and not yet asked for.
    pub(crate) fn ask(&mut self, wanted: Vec<Read>) {
        self.repeats.retain(|read, _| wanted.contains(read));
        for read in wanted {
            if self.asked.len() >= READS_UNDER_WAY_MAX || self.asked.contains(&read) {
                continue;
            }
            let repeat = self.repeats.entry(read.clone()).or_default();
            let delay = match *repeat {
                0 | 1 => Duration::ZERO,
                more => (REPEAT_DELAY_MIN * (1 << (more - 2).min(10))).min(REPEAT_DELAY_MAX),
            };
            *repeat += 1;
            let via = via(*repeat, &mut self.hub_first_until, Instant::now());
            self.asked.insert(read.clone());
            let client = self.client.clone();
            self.under_way.push(Box::pin(async move {
                tokio::time::sleep(delay).await;
                let answer = read::get(&client, &subject(&read), via).await;
                (read, answer)
            }));
        }
    }

    /// The next answer; pending while nothing is asked. May be dropped without losing one.
    pub(crate) async fn next(&mut self) -> Answer {
        match self.under_way.next().await {
            Some(answer) => {
                self.asked.remove(&answer.0);
                answer
            }
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hub_is_asked_only_after_the_mirror_was_behind_and_then_first_for_a_while() {
        let now = Instant::now();
        let mut until = None;
        let mut ask = |attempt, now| via(attempt, &mut until, now);
        let first: Vec<Via> = (1..=6).map(|attempt| ask(attempt, now)).collect();
        assert_eq!(
            first,
            [
                Via::Near,
                Via::Near,
                Via::Near,
                Via::Hub,
                Via::Near,
                Via::Hub
            ]
        );
        // The next reads, the base that the hub's index names among them, go there at once.
        assert_eq!(ask(1, now + HUB_FIRST_TIME / 2), Via::Hub);
        assert_eq!(ask(2, now + HUB_FIRST_TIME / 2), Via::Near);
        assert_eq!(ask(1, now + HUB_FIRST_TIME), Via::Near);
    }
}
