//! Many edits of one command, some at a time.
//!
//! A publisher commits together what waits at it, so that a thousand edits take ten batches if enough of
//! them are under way, and a thousand if each waits for the one before. Promises: after the first edit
//! that fails, or Ctrl-C, no further one is begun, and those under way are waited for, so that the ledger
//! knows what became of each.

use std::future::Future;
use std::ops::Range;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep};
use writ_proto::v1;

use crate::console::Console;
use crate::edits::{Ledger, State};
use crate::error::Answer;
use crate::interrupt::Interrupt;

/// Edits under way: most of a batch, and a quarter of what may wait at a publisher.
const EDITS_AT_ONCE: usize = 64;

/// After Ctrl-C, how long the edits under way may still take: most are answered within milliseconds, and
/// then it is known what became of them.
const INTERRUPTED_TIME_MAX: Duration = Duration::from_secs(2);

/// Sends the edits of a range of the ledger. `send` sends one; `word` says what it came to. Answers with
/// the first answer that was no success; `None`: it was interrupted.
pub(crate) async fn submit<F>(
    range: Range<usize>,
    ledger: &mut Ledger,
    console: &mut Console,
    interrupt: &Interrupt,
    send: impl Fn(usize) -> F,
    word: impl Fn(usize, &v1::EditResponse) -> &'static str,
) -> Option<Result<(), Answer>>
where
    F: Future<Output = Result<v1::EditResponse, Answer>>,
{
    let mut rest = range;
    let (mut failed, mut interrupted) = (None, false);
    let mut under_way = FuturesUnordered::new();
    let limit = sleep(INTERRUPTED_TIME_MAX);
    tokio::pin!(limit);
    loop {
        while failed.is_none() && !interrupted && under_way.len() < EDITS_AT_ONCE {
            let Some(index) = rest.next() else { break };
            ledger.entries[index].state = State::Sent;
            let sent = send(index);
            under_way.push(async move { (index, sent.await) });
        }
        let next = tokio::select! {
            // What is done is not called interrupted.
            biased;
            next = under_way.next() => next,
            () = interrupt.clone(), if !interrupted => {
                interrupted = true;
                limit.as_mut().reset(Instant::now() + INTERRUPTED_TIME_MAX);
                continue;
            }
            () = &mut limit, if interrupted => return None,
        };
        match next {
            None if interrupted => return None,
            None => return Some(failed.map_or(Ok(()), Err)),
            Some((index, Ok(response))) => {
                ledger.land(index, word(index, &response), response, console);
            }
            Some((index, Err(answer))) => {
                ledger.entries[index].state = State::Failed(answer.clone());
                failed = failed.or(Some(answer));
            }
        }
    }
}
