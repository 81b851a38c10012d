//! Reads from the log, paced. Does I/O; decides nothing.
//!
//! An answer may come from a replica that lags, so the same read may be wanted again. Repeats are
//! spread: at once, then ever longer up to [`REPEAT_DELAY_MAX`], so that a log that cannot answer is
//! not flooded by the fleet that waits for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
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

/// An answer, or none.
pub(crate) type Answer = (Read, Result<Option<Stored>, Error>);

/// The reads under way.
pub(crate) struct Reads {
    client: Client,
    under_way: FuturesUnordered<BoxFuture<'static, Answer>>,
    asked: BTreeSet<Read>,
    repeats: BTreeMap<Read, u32>,
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

impl Reads {
    pub(crate) fn new(client: Client) -> Reads {
        Reads {
            client,
            under_way: FuturesUnordered::new(),
            asked: BTreeSet::new(),
            repeats: BTreeMap::new(),
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
            self.asked.insert(read.clone());
            let client = self.client.clone();
            self.under_way.push(Box::pin(async move {
                tokio::time::sleep(delay).await;
                let answer = read::get(&client, &subject(&read), Via::Near).await;
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
