//! `writ recover`: a log that was lost or restored is said again in a new epoch.
//!
//! Flow: read what is left of the log and of the acks; hear who is there; ask those who hold more what
//! they hold; compare; and, once it is confirmed, open an epoch under the offline key and write it.
//! Promises: nothing is written without `--confirm`; an epoch is recorded before anything is signed in
//! it; killed at any step it leaves a log that nobody follows further, and may be run again; a log that
//! nobody is above is left alone, unless it came out of a backup.
//! Never decides what wins: that is `writ_core::recover`.

mod args;
mod gather;
mod record;
mod report;
mod revoke;
mod write;

use std::{collections::BTreeSet, path::PathBuf, process::ExitCode};

use bytes::Bytes;
use writ_bus::{
    Client,
    connection::{FirstConnect, Login, Options},
    log::{self as bus_log},
    read,
    streams::{self, Stream},
};
use writ_core::{
    envelope::{KeyId, Keyring, SigningKey},
    epoch::{self, Opening, RecordError},
    recover::{Copy, Plan},
    revision::Revision,
    subject::BusSubject,
};
use writ_proto::{
    log::{self, OpenError},
    trust::Trust,
};
use writ_telemetry::describe;

pub use self::{
    args::Args,
    report::Report,
    revoke::{RevokeArgs, Revoked, revoke},
};
use crate::{keys, track::wall_ms};

/// Why a recovery was not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that it was started with.
    #[error("can't read {}", .path.display())]
    ReadFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The trust file.
    #[error("{} holds no trust bundle that its offline key signed", .path.display())]
    Trust {
        /// Which.
        path: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// The signing key would not be believed.
    #[error("the trust bundle does not list this signing key: nobody would believe the new epoch")]
    NotTrusted,
    /// The key that is to sign everything anew is the stolen one.
    #[error(
        "the signing key is the one that is to be revoked: give a good one, as `writ keys new` makes it"
    )]
    StolenKeySigns,
    /// The bundle can't follow.
    #[error(transparent)]
    Bundle(#[from] writ_core::trust::Error),
    /// A key file, or the short name of a key.
    #[error(transparent)]
    Keys(#[from] crate::keys::Error),
    /// The offline key is another one.
    #[error("{} is not the offline key that the trust file names: no cluster would go to the new epoch", .0.display())]
    NotTheOfflineKey(PathBuf),
    /// The record of epochs is missing.
    #[error(
        "there is no record of epochs at {}: it lies beside the offline key and names every epoch ever opened, because an epoch opened twice gives one revision to two edits. If none was ever opened, make it with the one line 1", .0.display()
    )]
    NoRecord(PathBuf),
    /// The record of epochs can't be used.
    #[error("the record of epochs {} can't be used", .path.display())]
    Record {
        /// Where.
        path: PathBuf,
        /// Why.
        source: RecordError,
    },
    /// The record can't be written.
    #[error("the epoch can't be recorded in {}: nothing was signed", .path.display())]
    WriteRecord {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The bus.
    #[error("can't reach the bus")]
    Bus(#[source] writ_bus::connection::Error),
    /// The streams.
    #[error("can't read what is left of the log")]
    Read(#[from] bus_log::Error),
    /// Nobody was asked to write, or for another plan.
    #[error(
        "{names} names would be said again, {confirmed} were confirmed: look at the plan, then repeat with --confirm {names}"
    )]
    NotConfirmed {
        /// Of the plan.
        names: usize,
        /// By the operator.
        confirmed: usize,
    },
    /// Somebody wrote the log meanwhile.
    #[error("the log was written on meanwhile: nobody follows what was begun; run it again")]
    Conflict,
    /// The log does not take it.
    #[error(
        "the log does not take the new epoch: {0}; nobody follows what was begun, run it again"
    )]
    NotTaken(String),
}

impl Error {
    /// Whether a guard of the tool said no, and nothing failed.
    pub fn is_guard(&self) -> bool {
        matches!(self, Error::NotConfirmed { .. })
    }
}

/// Everything that it was started with, read.
struct Tool {
    args: Args,
    client: Client,
    key: SigningKey,
    trust: Trust,
}

/// The log as it was read.
#[derive(Default)]
struct ReadLog {
    messages: Vec<(writ_core::edit::Message, KeyId)>,
    root_sequence: u64,
    /// The epochs that an opening was seen for.
    opened: BTreeSet<u64>,
    /// These openings.
    openings: Vec<Opening>,
}

/// Looks, and recovers if that was confirmed.
///
/// # Errors
/// [`Error`]; what the log holds then is what it held, but for messages that nobody follows.
pub async fn run(args: Args) -> Result<Report, Error> {
    let tool = Tool::open(args).await?;
    let record = record::read(&tool.args.epochs_file)?;
    let (copy, root_sequence, openings) = tool.read_log().await?;
    let opened = openings.iter().map(|opening| opening.revision.epoch).max();
    let highest = record.highest().max(opened.unwrap_or(epoch::FIRST));
    let mut gathered = gather::gather(&tool, &copy, highest).await?;
    for opening in &openings {
        gathered.found.opening(opening);
    }
    let mut plan = Plan::make(&copy, &gathered.found);
    if let Some(backup) = tool.args.above {
        plan.fork(backup);
    }
    let restored = streams::restored(&tool.client, Stream::Log).await;
    let is_restored = restored.map_err(bus_log::Error::from)? >= Some(root_sequence.max(1));
    let is_needed = plan.is_needed() || tool.args.above.is_some() || is_restored;
    let mut report = Report::new(&plan, &gathered, is_needed, is_restored);
    if !report.is_needed {
        return Ok(report);
    }
    let names = plan.items.len();
    let Some(confirmed) = tool.args.confirm else {
        return Ok(report);
    };
    if confirmed != names {
        return Err(Error::NotConfirmed { names, confirmed });
    }
    let revision = tool
        .open_epoch(record, &copy, &gathered, &plan, root_sequence)
        .await?;
    report.opened = Some(revision);
    Ok(report)
}

impl Tool {
    async fn open(args: Args) -> Result<Tool, Error> {
        let mut tool = Tool::connect(args).await?;
        tool.read_trust().await?;
        if !tool.trust.bundle.is_active(&tool.key.public()) {
            return Err(Error::NotTrusted);
        }
        Ok(tool)
    }

    /// With a signing key that the bundle need not list.
    async fn connect(args: Args) -> Result<Tool, Error> {
        let key = keys::read(&args.signing_key_file)?;
        let path = args.trust_file.clone();
        let bytes = read_file(&path)?;
        let trust = Trust::from_file(&bytes).map_err(|source| Error::Trust { path, source })?;
        let options = Options {
            url: args.nats_url.clone(),
            login: Login::File(args.nats_credentials_file.clone()),
            inbox: writ_bus::accounts::publisher_inbox(&args.name),
            name: "writ recover".to_owned(),
            first_connect: FirstConnect::Now,
        };
        let client = writ_bus::connect(options).await.map_err(Error::Bus)?;
        Ok(Tool {
            args,
            client,
            key,
            trust,
        })
    }

    /// The newest bundle: the file may be an old one.
    async fn read_trust(&mut self) -> Result<(), Error> {
        let read = read::last_by_subject(&self.client, Stream::Log, &BusSubject::Trust);
        if let Some(stored) = read.await.map_err(Error::Bus)?
            && let Err(error) = self.trust.take(&stored.bytes)
        {
            tracing::warn!(
                "the log's trust bundle is passed over: {}",
                describe(&error)
            );
        }
        Ok(())
    }

    /// What is left of the log, the sequence of its newest root, which the new epoch is compared with,
    /// and the openings that it has. What does not verify is passed over.
    async fn read_log(&self) -> Result<(Copy, u64, Vec<Opening>), Error> {
        let read = self.read_under(&self.trust.bundle.keyring()).await?;
        let messages = read.messages.into_iter().map(|(message, _)| message);
        let copy = Copy::read(messages, &read.opened);
        Ok((copy, read.root_sequence, read.openings))
    }

    /// The log's messages that some keys signed, and the epochs that the offline key has opened.
    async fn read_under(&self, publishers: &Keyring) -> Result<ReadLog, Error> {
        let (stored, _) = bus_log::read_all(&self.client, Stream::Log).await?;
        let offline = self.trust.offline_keyring();
        let mut read = ReadLog::default();
        for stored in &stored {
            if stored.subject == BusSubject::Trust {
                continue;
            }
            if stored.subject == BusSubject::Root {
                read.root_sequence = stored.sequence;
            }
            match log::open_message(&stored.subject, &stored.bytes, publishers) {
                Ok(message) => {
                    if let writ_core::edit::Message::Root(root) = &message.value
                        && let Ok(Some(opening)) = log::open_opening(root, &offline)
                        && opening.admits(root)
                    {
                        read.opened.insert(opening.revision.epoch);
                        read.openings.push(opening);
                    }
                    read.messages.push((message.value, message.key_id));
                }
                Err(error) => {
                    tracing::warn!(subject = %stored.subject, "passed over: {}", describe(&error));
                }
            }
        }
        Ok(read)
    }

    async fn open_epoch(
        &self,
        mut record: epoch::Record,
        copy: &Copy,
        gathered: &gather::Gathered,
        plan: &Plan,
        root_sequence: u64,
    ) -> Result<Revision, Error> {
        let path = self.args.offline_key_file.clone().unwrap_or_default();
        let offline = keys::read(&path)?;
        if offline.public() != self.trust.offline {
            return Err(Error::NotTheOfflineKey(path));
        }
        let heard = copy.epoch_heard.max(gathered.epoch_heard);
        let note = format!("{} recovered from {}", time_of(wall_ms()), plan.log);
        let epoch = record.take(heard, &note);
        record::write(&self.args.epochs_file, &record)?;
        let mut recovery = plan.build(epoch, wall_ms());
        let opening = log::seal(&recovery.opening, &offline).bytes;
        recovery.root.trust = self.trust.bundle.version;
        // A lost log has lost the bundle, too.
        let first = writ_bus::batch::Message {
            subject: BusSubject::Trust,
            bytes: Bytes::from(self.trust.signed.clone()),
        };
        write::write(
            self,
            recovery,
            Bytes::from(opening),
            root_sequence,
            Some(first),
        )
        .await
    }
}

/// Seconds since the Unix epoch, for the record.
fn time_of(wall_ms: u64) -> String {
    format!("{}", wall_ms / 1_000)
}

fn read_file(path: &PathBuf) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::ReadFile {
        path: path.clone(),
        source,
    })
}

/// Runs it for a person: the report on standard output, and the exit code that says what came of it: 0
/// nothing to recover, or recovered; 3 the log differs, nothing was written; 9 the number that was
/// confirmed is another; 1 it failed.
pub async fn run_to_exit(args: Args) -> ExitCode {
    ExitCode::from(match Box::pin(run(args)).await {
        Ok(report) => {
            print!("{}", report.text());
            match report.is_needed && report.opened.is_none() {
                true => 3,
                false => 0,
            }
        }
        Err(error) => {
            eprintln!("{}", describe(&error));
            if error.is_guard() { 9 } else { 1 }
        }
    })
}
