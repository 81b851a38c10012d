//! The record of every call: who, what, when, by which way, and what came of it.
//!
//! Promises that a call is answered only if there is room for its record, and that records are stored in
//! order, each naming the hash of the one before. A process that is killed takes the records of its last
//! milliseconds with it; the edits among them are in the log, with their author.
//! Never records what a caller sent, or a credential.

mod fold;
mod notes;
mod record;
mod writer;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::mpsc;
use tonic::{Code, Status};
use writ_connect::rate::Bucket;
use writ_core::access::{Identity, Inlet};

use crate::track;
use fold::Fold;

pub(crate) use notes::{Notes, note, note_name};
pub(crate) use record::Record;
pub use writer::Error;
pub(crate) use writer::Writer;

/// Records that wait to be stored. With 300 B each this is 2.4 MB; at a thousand calls a second it is
/// eight seconds of a log without a leader.
const RECORDS_WAITING_MAX: usize = 8_192;

/// Denied calls that are recorded one by one: this many at once, and one more each period. The others are
/// counted, and the count is recorded.
const DENIED_AT_ONCE: u32 = 200;
const DENIED_PERIOD: Duration = Duration::from_millis(50);

/// What a summary names as its call.
const SUMMARY: &str = "(denied calls that are not recorded one by one)";

/// Takes records. Clones share the queue.
#[derive(Clone)]
pub(crate) struct Audit {
    sender: mpsc::Sender<Record>,
    rest: Arc<Rest>,
}

/// What is recorded as a number: denied calls beyond those of the bucket, and what a page repeats.
pub(crate) struct Rest {
    denied: Mutex<Bucket>,
    uncounted: AtomicU64,
    fold: Fold,
}

impl Rest {
    /// The numbers of what came since, as far as their time is over; all of them at the end.
    fn take(&self, is_last: bool) -> Vec<Record> {
        let mut records = self.fold.due(Instant::now(), is_last);
        let count = self.uncounted.swap(0, Ordering::Relaxed);
        if count > 0 {
            records.push(Record {
                time_ms: track::wall_ms(),
                call: SUMMARY.to_owned(),
                outcome: "unauthenticated",
                count,
                ..Record::default()
            });
        }
        records
    }
}

/// A call that is being recorded. However it ends, also when its caller goes away, its record is sent.
pub(crate) struct Recording {
    place: Option<mpsc::OwnedPermit<Record>>,
    rest: Arc<Rest>,
    record: Record,
    notes: Notes,
    since: Instant,
}

impl Audit {
    /// The queue, and who empties it.
    pub(crate) fn new() -> (Audit, mpsc::Receiver<Record>, Arc<Rest>) {
        let (sender, receiver) = mpsc::channel(RECORDS_WAITING_MAX);
        let bucket = Bucket::new(DENIED_AT_ONCE, DENIED_PERIOD, Instant::now());
        let rest = Arc::new(Rest {
            denied: Mutex::new(bucket),
            uncounted: AtomicU64::new(0),
            fold: Fold::default(),
        });
        let audit = Audit {
            sender,
            rest: Arc::clone(&rest),
        };
        (audit, receiver, rest)
    }

    /// Begins to record a call; nothing where there is no room, and then it must not be answered.
    pub(crate) fn begin(
        &self,
        call: &str,
        identity: &Identity,
        peer: Option<SocketAddr>,
        via: Option<&'static str>,
    ) -> Option<Recording> {
        let place = self.sender.clone().try_reserve_owned().ok()?;
        Some(Recording {
            place: Some(place),
            rest: Arc::clone(&self.rest),
            record: Record {
                time_ms: track::wall_ms(),
                call: call.to_owned(),
                inlet: Some(identity.inlet.to_string()),
                user: Some(identity.user.clone()),
                groups: identity.groups.iter().cloned().collect(),
                peer,
                via,
                outcome: "cancelled",
                break_glass: identity.inlet == Inlet::BreakGlass,
                ..Record::default()
            },
            notes: Notes::default(),
            since: Instant::now(),
        })
    }

    /// Records a call that was not let in. Of a flood, some, and the number of the others.
    pub(crate) fn denied(
        &self,
        call: &str,
        identity: Option<&Identity>,
        peer: Option<SocketAddr>,
        status: &Status,
    ) {
        let is_one_of_many = {
            let bucket = &self.rest.denied;
            !bucket
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(Instant::now())
        };
        let record = Record {
            time_ms: track::wall_ms(),
            call: call.chars().filter(|c| !c.is_control()).take(200).collect(),
            inlet: identity.map(|identity| identity.inlet.to_string()),
            user: identity.map(|identity| identity.user.clone()),
            peer,
            outcome: word(status.code()),
            message: Some(status.message().to_owned()),
            ..Record::default()
        };
        if is_one_of_many || self.sender.try_send(record).is_err() {
            self.rest.uncounted.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Recording {
    /// What the service notes on.
    pub(crate) fn notes(&self) -> Notes {
        self.notes.clone()
    }

    /// The call was answered.
    pub(crate) fn end(mut self, status: Option<&Status>) {
        self.record.outcome = status.map_or("ok", |status| word(status.code()));
        let message = status.map(|status| status.message().chars().take(300).collect());
        self.record.message = message.filter(|message: &String| !message.is_empty());
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let noted = self.notes.noted();
        let mut record = std::mem::take(&mut self.record);
        record.duration_ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        record.name = noted.name;
        record.generation = noted.generation;
        record.revision = noted.revision;
        record.request_id = noted.request_id;
        record.dry_run = noted.dry_run;
        let record = self.rest.fold.take(record, Instant::now());
        if let Some((place, record)) = self.place.take().zip(record) {
            place.send(record);
        }
    }
}

/// The word for a code, as gRPC's documentation has it.
fn word(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}
