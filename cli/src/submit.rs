//! Many edits of one command, some at a time.
//!
//! A publisher commits together what waits at it, so that a thousand edits take ten batches if enough of
//! them are under way, and a thousand if each waits for the one before. Promises: after the first edit
//! that fails no further one is begun, and those under way are waited for, so that the ledger knows what
//! became of each.

use std::future::Future;
use std::ops::Range;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use writ_proto::v1;

use crate::console::Console;
use crate::edits::{Ledger, State};
use crate::error::Answer;

/// Edits under way: most of a batch, and a quarter of what may wait at a publisher.
const EDITS_AT_ONCE: usize = 64;

/// Sends the edits of a range of the ledger. `send` sends one; `word` says what it came to.
///
/// # Errors
/// The first answer that was no success.
pub(crate) async fn submit<F>(
    range: Range<usize>,
    ledger: &mut Ledger,
    console: &mut Console,
    send: impl Fn(usize) -> F,
    word: impl Fn(usize, &v1::EditResponse) -> &'static str,
) -> Result<(), Answer>
where
    F: Future<Output = Result<v1::EditResponse, Answer>>,
{
    let mut rest = range;
    let mut failed = None;
    let mut under_way = FuturesUnordered::new();
    loop {
        while failed.is_none() && under_way.len() < EDITS_AT_ONCE {
            let Some(index) = rest.next() else { break };
            ledger.entries[index].state = State::Sent;
            let sent = send(index);
            under_way.push(async move { (index, sent.await) });
        }
        match under_way.next().await {
            None => return failed.map_or(Ok(()), Err),
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
