//! Stores records: what waits is one message, and the next one after it is stored.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::sync::mpsc;
use writ_bus::{
    Client,
    audit::{self, Appended, Entry},
    connection,
};
use writ_core::{envelope::SigningKey, name::Name};
use writ_proto::audit::{Link, hash, sign};
use writ_telemetry::describe;

use super::{Record, Rest};
use crate::trust::Signer;

/// Records of one message: 300 B each come to a tenth of what the bus takes.
const RECORDS_MAX: usize = 256;

/// The pause before a message is tried again.
const RETRY_DELAY: Duration = Duration::from_millis(250);

/// How often what was not recorded one by one is told.
const SUMMARY_PERIOD: Duration = Duration::from_secs(10);

/// Why the end of the record is not known.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bus.
    #[error("can't read the end of the audit")]
    Read(#[from] connection::Error),
    /// The last message is none of this publisher's.
    #[error("the audit's last message is not understood")]
    Content,
}

/// Empties the queue.
pub(crate) struct Writer {
    client: Client,
    publisher: Name,
    signer: Signer,
    end: End,
    records: mpsc::Receiver<Record>,
    rest: Arc<Rest>,
}

/// The end of this publisher's chain.
#[derive(Debug, Clone, Default)]
struct End {
    place: u64,
    number: u64,
    hash: String,
}

impl End {
    fn of(entry: &Entry) -> Result<End, Error> {
        let text = std::str::from_utf8(&entry.bytes).map_err(|_| Error::Content)?;
        let line = text.lines().next_back().ok_or(Error::Content)?;
        let link = Link::read(line).ok_or(Error::Content)?;
        Ok(End {
            place: entry.sequence,
            number: link.number,
            hash: hash(line),
        })
    }
}

impl Writer {
    /// Reads where the chain ends.
    pub(crate) async fn new(
        client: Client,
        publisher: Name,
        signer: Signer,
        records: mpsc::Receiver<Record>,
        rest: Arc<Rest>,
    ) -> Result<Writer, Error> {
        let last = audit::last(&client, &publisher).await?;
        let end = last.as_ref().map(End::of).transpose()?.unwrap_or_default();
        Ok(Writer {
            client,
            publisher,
            signer,
            end,
            records,
            rest,
        })
    }

    /// Stores what comes, until nobody is left who could send any.
    pub(crate) async fn run(mut self) {
        let mut summaries = tokio::time::interval(SUMMARY_PERIOD);
        let mut waiting = Vec::with_capacity(RECORDS_MAX);
        loop {
            let taken = tokio::select! {
                taken = self.records.recv_many(&mut waiting, RECORDS_MAX) => taken,
                _ = summaries.tick() => {
                    waiting.extend(self.rest.take(false));
                    if waiting.is_empty() {
                        continue;
                    }
                    waiting.len()
                }
            };
            if taken == 0 {
                break;
            }
            for records in waiting.chunks(RECORDS_MAX) {
                self.store(records).await;
            }
            waiting.clear();
        }
        // Some thousand of them at most.
        for rest in self.rest.take(true).chunks(RECORDS_MAX) {
            self.store(rest).await;
        }
    }

    /// Stores records until they are; while the bus is away the queue fills, and calls are refused.
    async fn store(&mut self, records: &[Record]) {
        let mut is_told = false;
        loop {
            let key = self.signer.hold().await;
            let (bytes, end) = self.chain(records, &key);
            drop(key);
            let appended =
                audit::append(&self.client, &self.publisher, bytes.clone(), self.end.place);
            match appended.await {
                Ok(Appended::Stored(place)) => {
                    self.end = End { place, ..end };
                    return;
                }
                Ok(Appended::Conflict) => {}
                Err(error) => {
                    if !is_told {
                        tracing::error!("the audit is not stored: {}", describe(&error));
                        is_told = true;
                    }
                    tokio::time::sleep(RETRY_DELAY).await;
                }
            }
            if self.look(&bytes).await {
                return;
            }
        }
    }

    /// The records as lines that continue the chain, and its end after them.
    fn chain(&self, records: &[Record], key: &SigningKey) -> (Bytes, End) {
        let mut end = self.end.clone();
        let mut text = String::new();
        for record in records {
            end.number += 1;
            let line = record.line(self.publisher.as_str(), end.number, &end.hash);
            let line = sign(&line, key);
            end.hash = hash(&line);
            text.push_str(&line);
            text.push('\n');
        }
        (text.into(), end)
    }

    /// Looks where the chain ends after an append whose outcome is open: whether it is what was to be
    /// stored. Where it is another's, who has this publisher's name too, this one goes on after that.
    async fn look(&mut self, bytes: &Bytes) -> bool {
        match audit::last(&self.client, &self.publisher).await {
            Ok(Some(last)) => {
                let is_ours = last.bytes == *bytes;
                if !is_ours && last.sequence != self.end.place {
                    tracing::error!(
                        alarm = "audit_foreign",
                        place = last.sequence,
                        "somebody else writes the audit under this publisher's name"
                    );
                }
                match End::of(&last) {
                    Ok(end) => self.end = end,
                    Err(error) => tracing::error!("{}", describe(&error)),
                }
                is_ours
            }
            // The oldest are discarded in time; the chain goes on.
            Ok(None) => {
                self.end.place = 0;
                false
            }
            Err(_) => false,
        }
    }
}
