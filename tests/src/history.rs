//! Edits that many clients make at once while things break, and the check of what they were answered
//! against what is in the log afterwards.
//!
//! Most clients ask one publisher, and the next one with the same request id when the answer leaves the
//! outcome open: as a person's command line does. Every third sends no request id, so that it can't ask
//! again, and what it is told rests on the publisher alone. Everything is written down with its times.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::sleep};
use tonic::{Code, transport::Channel};
use tonic_types::StatusExt as _;
use writ_bus::{Client, read, streams::Stream};
use writ_core::{
    edit::{Intent, Kind},
    envelope::Keyring,
    name::Name,
    root::Root,
    subject::BusSubject,
};
use writ_proto::{
    LOG_SUBJECT, log,
    v1::{self, policy_service_client::PolicyServiceClient},
};

use crate::hub::{Hub, policy};

/// Edits of a name: fewer than the log keeps of it, so that all of them can be looked at afterwards.
const EDITS_PER_NAME: usize = 40;

/// What a client was told in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It is in the log, at this generation and revision.
    Committed {
        /// The name's counter.
        generation: u64,
        /// The edit's number.
        revision: u64,
    },
    /// It is not in the log.
    Refused(Code),
    /// Nobody could say.
    Unknown,
}

/// One edit as its client saw it.
#[derive(Debug, Clone)]
pub struct Made {
    name: String,
    /// Unique: by it the edit is found in the log.
    group: String,
    /// Whether it had a request id, so that it could be sent again.
    is_repeatable: bool,
    began: Instant,
    ended: Instant,
    told: Told,
    /// Times that it was sent.
    sent: usize,
}

impl Made {
    /// The policy that was edited.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The group that the edit was for.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// What the client was told.
    pub fn told(&self) -> &Told {
        &self.told
    }
}

/// What broke a promise, each in words; and the figures.
#[derive(Debug, Default)]
pub struct Report {
    /// Edits that were told as committed.
    pub committed: usize,
    /// Edits that were told as not stored.
    pub refused: usize,
    /// Edits with a request id that stayed open to the end.
    pub unknown: usize,
    /// Edits without one of which nobody knows.
    pub unrepeatable: usize,
    /// Those of them that are in the log.
    pub unrepeatable_stored: usize,
    /// Edits that were sent more than once.
    pub repeated: usize,
    /// Told as committed, and not in the log as told.
    pub lost: Vec<String>,
    /// In the log twice.
    pub doubled: Vec<String>,
    /// Told as not stored and stored, or out of the order in which clients saw things.
    pub misreported: Vec<String>,
    /// The longest time in which no edit of anybody was answered as committed.
    pub outage: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} edits committed, {} refused, {} unknown, {} unknown without a request id ({} of them stored), \
             {} sent more than once; \
             lost {}, doubled {}, misreported {}; longest write outage {:.1} s",
            self.committed,
            self.refused,
            self.unknown,
            self.unrepeatable,
            self.unrepeatable_stored,
            self.repeated,
            self.lost.len(),
            self.doubled.len(),
            self.misreported.len(),
            self.outage.as_secs_f64()
        )
    }
}

impl Report {
    /// Everything that broke a promise.
    pub fn broken(&self) -> Vec<&String> {
        let broken = self.lost.iter().chain(&self.doubled);
        broken.chain(&self.misreported).collect()
    }

    /// Fails with everything that broke a promise.
    pub fn assert_all_holds(&self) {
        let broken = self.broken();
        assert!(broken.is_empty(), "{self}\n{broken:#?}");
    }
}

/// What clients edit, and how fast.
#[derive(Debug, Clone)]
pub struct Edits {
    /// The beginning of all names.
    pub prefix: String,
    /// The policy of a name for a group, by which the edit is found again: the first subject of the first
    /// grant. The number tells one edit of a client from the next.
    pub document: fn(name: &str, group: &str, number: usize) -> serde_json::Value,
    /// What a client does nothing for after each edit.
    pub pause: Duration,
}

impl Default for Edits {
    /// As fast as they go, of policies of one grant.
    fn default() -> Edits {
        Edits {
            prefix: "p".to_owned(),
            document: |name, group, _| policy(name, group),
            pause: Duration::ZERO,
        }
    }
}

/// Clients at work.
pub struct Workload {
    clients: JoinSet<Vec<Made>>,
    ended: Arc<AtomicBool>,
}

impl Workload {
    /// Starts clients that make edits until the end is asked for. Each begins with another publisher.
    pub fn start(hub: &Hub, publishers: usize, clients: usize) -> Workload {
        let channels = (0..publishers).map(|number| hub.channel(number)).collect();
        Workload::of(channels, clients, &Edits::default())
    }

    /// The same with channels to publishers, and edits of one's own.
    pub fn of(channels: Vec<Channel>, clients: usize, edits: &Edits) -> Workload {
        let ended = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for number in 0..clients {
            let mut client = OneClient::new(number, channels.clone(), edits.clone());
            client.ended = ended.clone();
            tasks.spawn(client.run());
        }
        Workload {
            clients: tasks,
            ended,
        }
    }

    /// Asks the clients to end what they are at, and gives what they saw.
    pub async fn end(self) -> Vec<Made> {
        self.ended.store(true, Ordering::Relaxed);
        self.clients
            .join_all()
            .await
            .into_iter()
            .flatten()
            .collect()
    }
}

/// One client, which asks for one edit after the other.
pub struct OneClient {
    number: usize,
    channels: Vec<Channel>,
    edits: Edits,
    /// The publisher that is asked.
    at: usize,
    ended: Arc<AtomicBool>,
}

impl OneClient {
    /// A client; its number makes its edits its own.
    pub fn new(number: usize, channels: Vec<Channel>, edits: Edits) -> OneClient {
        OneClient {
            number,
            at: number % channels.len(),
            channels,
            edits,
            ended: Arc::default(),
        }
    }

    async fn run(mut self) -> Vec<Made> {
        let mut made = Vec::new();
        while !self.ended.load(Ordering::Relaxed) {
            let count = made.len();
            // Two clients share each name, so that they meet.
            let prefix = &self.edits.prefix;
            let name = format!(
                "{prefix}{}-{}",
                self.number / 2,
                count / (EDITS_PER_NAME / 2)
            );
            made.push(self.edit(name, count).await);
            sleep(self.edits.pause).await;
        }
        made
    }

    /// Makes one edit, and goes on asking until its outcome is known or can't be.
    pub async fn edit(&mut self, name: String, count: usize) -> Made {
        let (prefix, number) = (&self.edits.prefix, self.number);
        let is_repeatable = number % 3 != 2;
        let request_id = format!("client-{prefix}{number}-edit-{count}");
        let group = format!("group-{prefix}{number}-{count}");
        let request = v1::ApplyRequest {
            manifest: (self.edits.document)(&name, &group, count).to_string(),
            request_id: if is_repeatable {
                request_id
            } else {
                String::new()
            },
            ..Default::default()
        };
        let began = Instant::now();
        let (mut sent, mut in_doubt) = (0, false);
        let told = loop {
            sent += 1;
            let mut client = PolicyServiceClient::new(self.channels[self.at].clone());
            let status = match client.apply(request.clone()).await {
                Ok(answer) => {
                    let answer = answer.into_inner();
                    break Told::Committed {
                        generation: answer.generation,
                        revision: answer.revision.unwrap_or_default().number,
                    };
                }
                Err(status) => status,
            };
            let passes = [
                Code::Unavailable,
                Code::Unknown,
                Code::Cancelled,
                Code::DeadlineExceeded,
            ];
            let is_open = passes.contains(&status.code()) || in_doubt && is_log_refused(&status);
            if !is_open {
                break Told::Refused(status.code());
            }
            // UNAVAILABLE out of a publisher's mouth says that nothing was stored; a connection that
            // broke says nothing.
            in_doubt |= status.code() != Code::Unavailable || !is_certain(&status);
            if self.ended.load(Ordering::Relaxed) && sent > 60 {
                break if in_doubt {
                    Told::Unknown
                } else {
                    Told::Refused(status.code())
                };
            }
            self.at = (self.at + 1) % self.channels.len();
            sleep(Duration::from_millis(50)).await;
            if in_doubt && !is_repeatable {
                break Told::Unknown;
            }
        };
        Made {
            name,
            group,
            is_repeatable,
            began,
            ended: Instant::now(),
            told,
            sent,
        }
    }
}

/// Whether the publisher takes no edit at all: it has not looked for what an earlier sending did.
fn is_log_refused(status: &tonic::Status) -> bool {
    let details = status.get_error_details();
    let failure = details.precondition_failure();
    failure.is_some_and(|failure| failure.violations.iter().any(|v| v.subject == LOG_SUBJECT))
}

/// Whether nothing was stored: the publisher said so, or there was no connection to send it through.
fn is_certain(status: &tonic::Status) -> bool {
    let Some(mut cause) = std::error::Error::source(status) else {
        return true;
    };
    loop {
        if let Some(error) = cause.downcast_ref::<std::io::Error>() {
            return error.kind() == std::io::ErrorKind::ConnectionRefused;
        }
        match cause.source() {
            Some(next) => cause = next,
            None => return false,
        }
    }
}

/// Compares what clients were told with what the log has of the names that they edited. Of those, nobody
/// else may have edited any.
pub async fn check_edits(made: &[Made], client: &Client, trusted: &Keyring) -> Report {
    let mut report = Report::default();
    let (by_group, _) = intents(&mut report, made, client, trusted).await;
    compare_all(&mut report, made, &by_group);
    report
}

/// Reads the log and compares. Nobody else may have edited anything in it.
pub async fn check(made: &[Made], client: &Client, trusted: &Keyring) -> Report {
    let mut report = Report::default();
    let (by_group, by_revision) = intents(&mut report, made, client, trusted).await;
    for (place, revision) in by_revision.keys().enumerate() {
        if *revision != place as u64 + 1 {
            report
                .lost
                .push(format!("revision {} has no intent", place + 1));
            break;
        }
    }
    check_roots(&mut report, &by_revision, client, trusted).await;
    compare_all(&mut report, made, &by_group);
    report
}

/// The intents that the log has of the names that were edited, by their groups, and the request ids by
/// revision.
async fn intents(
    report: &mut Report,
    made: &[Made],
    client: &Client,
    trusted: &Keyring,
) -> (BTreeMap<String, Vec<Intent>>, BTreeMap<u64, String>) {
    let names: BTreeSet<&String> = made.iter().map(|edit| &edit.name).collect();
    let mut by_group: BTreeMap<String, Vec<Intent>> = BTreeMap::new();
    let mut by_revision: BTreeMap<u64, String> = BTreeMap::new();
    for name in names {
        let subject = BusSubject::Intent {
            kind: Kind::Policy,
            name: Name::parse(name).expect("a name"),
        };
        let mut generation = 0;
        for intent in kept::<Intent>(client, &subject, trusted).await {
            generation += 1;
            let revision = intent.revision.number;
            if intent.generation.0 != generation {
                report
                    .lost
                    .push(format!("{name}@{generation} is not in the log"));
            }
            if let Some(other) = by_revision.insert(revision, intent.request_id.clone()) {
                report.doubled.push(format!(
                    "revision {revision} is {other} and {}",
                    intent.request_id
                ));
            }
            by_group.entry(group(&intent)).or_default().push(intent);
        }
    }
    (by_group, by_revision)
}

fn compare_all(report: &mut Report, made: &[Made], by_group: &BTreeMap<String, Vec<Intent>>) {
    for edit in made {
        let stored = by_group.get(&edit.group);
        compare(report, edit, stored.map_or(&[], Vec::as_slice));
    }
    check_order(report, made);
    report.outage = longest_outage(made);
}

/// The kept roots list exactly the edits that the intents tell of, in their order.
async fn check_roots(
    report: &mut Report,
    by_revision: &BTreeMap<u64, String>,
    client: &Client,
    trusted: &Keyring,
) {
    let roots = kept::<Root>(client, &BusSubject::Root, trusted).await;
    let mut next = None;
    for root in &roots {
        for edit in &root.edits {
            let number = edit.revision.number;
            if next.is_some_and(|next| next != number) {
                report.lost.push(format!(
                    "a root goes on with revision {number}, not {next:?}"
                ));
            }
            if by_revision.get(&number) != Some(&edit.request_id) {
                report
                    .doubled
                    .push(format!("the root has {} at {number}", edit.request_id));
            }
            next = Some(number + 1);
        }
    }
    let (last, end) = (
        by_revision.keys().next_back(),
        roots.last().map(|root| root.revision.number),
    );
    if last.copied() != end {
        report.lost.push(format!(
            "the last root is at {end:?}, the last intent at {last:?}"
        ));
    }
}

fn compare(report: &mut Report, edit: &Made, stored: &[Intent]) {
    report.repeated += usize::from(edit.sent > 1);
    if stored.len() > 1 {
        report.doubled.push(format!(
            "{} is in the log {} times",
            edit.group,
            stored.len()
        ));
    }
    match (&edit.told, stored.first()) {
        (
            Told::Committed {
                generation,
                revision,
            },
            Some(intent),
        ) => {
            report.committed += 1;
            let is_as_told =
                intent.generation.0 == *generation && intent.revision.number == *revision;
            if !is_as_told {
                report
                    .misreported
                    .push(format!("{} was told {:?}", edit.group, edit.told));
            }
        }
        (Told::Committed { .. }, None) => {
            report.committed += 1;
            report
                .lost
                .push(format!("{} was told {:?}", edit.group, edit.told));
        }
        (Told::Refused(code), stored) => {
            report.refused += 1;
            if stored.is_some() {
                report
                    .misreported
                    .push(format!("{} was told {code:?} and is stored", edit.group));
            }
        }
        (Told::Unknown, _) if edit.is_repeatable => report.unknown += 1,
        (Told::Unknown, stored) => {
            report.unrepeatable += 1;
            report.unrepeatable_stored += usize::from(stored.is_some());
        }
    }
}

/// What was answered before something else was asked for came first.
fn check_order(report: &mut Report, made: &[Made]) {
    let mut committed: Vec<(&Made, u64)> = made
        .iter()
        .filter_map(|edit| match edit.told {
            Told::Committed { revision, .. } => Some((edit, revision)),
            _ => None,
        })
        .collect();
    committed.sort_by_key(|(_, revision)| *revision);
    // The latest beginning among the edits before: none of the later ones may have ended before it.
    let mut latest: Option<&Made> = None;
    for (edit, revision) in committed {
        if let Some(before) = latest.filter(|before| edit.ended < before.began) {
            report.misreported.push(format!(
                "{} (revision {revision}) was answered before {} was asked for, and comes after it",
                edit.group, before.group
            ));
        }
        if latest.is_none_or(|before| before.began < edit.began) {
            latest = Some(edit);
        }
    }
}

fn longest_outage(made: &[Made]) -> Duration {
    let mut ends: Vec<Instant> = made
        .iter()
        .filter(|edit| matches!(edit.told, Told::Committed { .. }))
        .map(|edit| edit.ended)
        .collect();
    ends.sort_unstable();
    let gaps = ends.windows(2).map(|pair| pair[1] - pair[0]);
    gaps.max().unwrap_or_default()
}

/// The group that an edit's policy is for.
fn group(intent: &Intent) -> String {
    let manifest = intent.manifest.as_deref().unwrap_or("null");
    let manifest: serde_json::Value = serde_json::from_str(manifest).expect("a manifest");
    let group = &manifest["spec"]["grants"][0]["subjects"][0]["group"];
    group.as_str().unwrap_or_default().to_owned()
}

/// All that the log keeps under a subject, oldest first.
pub async fn kept<T: log::Payload>(
    client: &Client,
    subject: &BusSubject,
    trusted: &Keyring,
) -> Vec<T> {
    let (mut after, mut found) = (0, Vec::new());
    loop {
        let next = read::next_by_subject(client, Stream::Log, subject, after).await;
        match next.expect("the leader answers") {
            None => return found,
            Some(stored) => {
                after = stored.sequence;
                let opened = log::open::<T>(subject, &stored.bytes, trusted);
                found.push(opened.expect("what publishers write is believed").value);
            }
        }
    }
}
