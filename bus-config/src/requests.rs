//! Requests that wait for their answer.
//!
//! Owns the inbox of a connection and the table of who waits in it. The client library has one of
//! its own, but there a denied request stays in the table for ever, and its violation reaches nobody.
//! Promises: every request ends: by an answer, a violation, a lost connection, or its caller's
//! deadline; the table holds what is being waited for and nothing else.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_nats::Message;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use uuid::Uuid;

use crate::denial::{Action, Denied};

/// Most requests of one connection that wait at once; more wait for a place. 1,000 pipelined reads
/// take 12 to 32 ms, so a larger table would only hold more memory.
const REQUESTS_OPEN_MAX: usize = 1_024;

/// Why a request got no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The server refused it.
    Denied(Denied),
    /// The connection was lost while it waited: it may or may not have arrived.
    Disconnected,
}

struct Waiting {
    /// Where it was sent; a violation of any of these ends it.
    subjects: Vec<String>,
    /// Whether empty answers are passed over (those to the parts of a batch).
    skips_empty: bool,
    answer: oneshot::Sender<Result<Message, Failure>>,
}

#[derive(Default)]
struct Table {
    waiting: HashMap<u64, Waiting>,
    /// The violation of the inbox itself: with it no request can be answered.
    inbox_denied: Option<Denied>,
}

/// The inbox of one connection.
pub(crate) struct Requests {
    /// Starts with what the user may subscribe to; the rest can't be guessed, so that nobody who may
    /// send to our inboxes can answer in another's name.
    inbox: String,
    next: AtomicU64,
    open: Semaphore,
    table: Mutex<Table>,
}

/// A place in the table, given back when dropped.
pub(crate) struct Ticket<'a> {
    requests: &'a Requests,
    number: u64,
    /// The subject to be answered to.
    pub(crate) reply: String,
    /// The answer.
    pub(crate) answer: oneshot::Receiver<Result<Message, Failure>>,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.requests.table().waiting.remove(&self.number);
    }
}

impl Requests {
    pub(crate) fn new(inbox_prefix: &str) -> Requests {
        Requests {
            inbox: format!("{inbox_prefix}.{}", Uuid::new_v4().simple()),
            next: AtomicU64::new(0),
            open: Semaphore::new(REQUESTS_OPEN_MAX),
            table: Mutex::default(),
        }
    }

    /// What the connection subscribes to for all answers.
    pub(crate) fn subject(&self) -> String {
        format!("{}.*", self.inbox)
    }

    /// Takes a place for one answer to what is going to be sent to `subjects`.
    pub(crate) async fn open(
        &self,
        subjects: Vec<String>,
        skips_empty: bool,
    ) -> Result<Ticket<'_>, Failure> {
        // The semaphore is never closed; were it, the request would go on unbounded but right.
        let permit = self.open.acquire().await.ok();
        let (sender, answer) = oneshot::channel();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut table = self.table();
        if let Some(denied) = &table.inbox_denied {
            return Err(Failure::Denied(denied.clone()));
        }
        table.waiting.insert(
            number,
            Waiting {
                subjects,
                skips_empty,
                answer: sender,
            },
        );
        drop(table);
        let reply = format!("{}.{number}", self.inbox);
        Ok(Ticket {
            requests: self,
            number,
            reply,
            answer,
            _permit: permit,
        })
    }

    /// Passes an answer on. One that nobody waits for is dropped: late, or forged.
    pub(crate) fn answered(&self, message: Message) {
        let number = message
            .subject
            .rsplit('.')
            .next()
            .and_then(|token| token.parse().ok());
        let Some(number) = number else { return };
        let mut table = self.table();
        let skips = table
            .waiting
            .get(&number)
            .is_some_and(|waiting| waiting.skips_empty && is_empty(&message));
        if skips {
            return;
        }
        if let Some(waiting) = table.waiting.remove(&number) {
            let _ = waiting.answer.send(Ok(message));
        }
    }

    /// Ends the requests that a violation speaks of.
    pub(crate) fn denied(&self, denied: &Denied) {
        let mut table = self.table();
        let inbox = denied.action == Action::Subscribe && denied.subject == self.subject();
        if inbox {
            table.inbox_denied = Some(denied.clone());
        }
        let ends = |_: &u64, waiting: &mut Waiting| {
            inbox
                || waiting
                    .subjects
                    .iter()
                    .any(|subject| denied.refuses_publish(subject))
        };
        for (_, waiting) in table.waiting.extract_if(ends) {
            let _ = waiting.answer.send(Err(Failure::Denied(denied.clone())));
        }
    }

    /// Ends all requests: their answers can't arrive any more.
    pub(crate) fn disconnected(&self) {
        for (_, waiting) in self.table().waiting.drain() {
            let _ = waiting.answer.send(Err(Failure::Disconnected));
        }
    }

    /// A new connection subscribes again, perhaps with other permissions.
    pub(crate) fn connected(&self) {
        self.table().inbox_denied = None;
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing panics while the lock is held, so that the table is whole in any case.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_empty(message: &Message) -> bool {
    message.payload.is_empty() && message.status.is_none()
}
