//! `apply`: from files to edits.
//!
//! Flow: read everything, take it apart, let the publisher check every document (a dry run, nothing
//! is stored), and only when all are right send them, clusters first, one edit each, many at a time.
//! Promises that input with an error stores nothing, and that a run which stops midway says exactly
//! what landed.

use std::io::Read;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tonic::Code;
use uuid::Uuid;
use writ_proto::v1;

use crate::args::{Apply, Global};
use crate::connect::{self, Fleet};
use crate::console::Console;
use crate::edits::{Entry, Ledger};
use crate::enforce;
use crate::error::{Answer, Error};
use crate::exit::Exit;
use crate::input::{Document, Kind, Problem, documents, files};
use crate::interrupt::{Interrupt, unless};
use crate::{send, submit};

/// How many documents are checked at the same time: enough to hide the way to the publisher, too
/// few to crowd it.
const CHECKS_AT_ONCE: usize = 16;

/// Runs the command.
pub(crate) async fn run(
    args: Apply,
    global: &Global,
    stdin: &mut (dyn Read + Send),
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    let documents = load(&args, stdin)?;
    if args.base.is_some() && documents.len() != 1 {
        return Err(Error::Usage(format!(
            "--base is for a single document, and here are {}",
            documents.len()
        )));
    }
    let edits: Vec<Prepared> = documents
        .into_iter()
        .map(|document| Prepared::new(document, &args))
        .collect();

    let nothing_sent = || Error::Interrupted("; nothing was stored");
    let fleet = unless(interrupt, connect::connect(global))
        .await
        .ok_or_else(nothing_sent)??;
    let checked = unless(interrupt, check(&fleet, &edits))
        .await
        .ok_or_else(nothing_sent)??;

    let entries = edits
        .iter()
        .map(|edit| {
            Entry::new(
                edit.document.kind,
                &edit.document.name,
                Some(edit.document.place.to_string()),
            )
        })
        .collect();
    let mut ledger = Ledger::new(entries, args.dry_run, args.output);
    if args.dry_run {
        for (index, response) in checked.into_iter().enumerate() {
            ledger.land(
                index,
                word(&response, response.generation == 0),
                response,
                console,
            );
        }
        ledger.finish(console);
        return Ok(Exit::Done);
    }

    let named = edits.iter().zip(&checked);
    args.guards
        .check(named.map(|(edit, of)| (edit.document.subject(), of)))?;
    let edits: Vec<Prepared> = edits
        .into_iter()
        .map(|edit| edit.confirmed(args.guards.confirm()))
        .collect();

    let changed = edits.iter().zip(&checked).filter(|(_, response)| {
        let is_known = response.generation > 0;
        is_known && !response.unchanged
    });
    let changed = changed.map(|(edit, _)| &edit.document);
    unless(interrupt, enforce::show_plans(&fleet, changed, console))
        .await
        .ok_or_else(nothing_sent)?;
    let is_new: Vec<bool> = checked
        .iter()
        .map(|response| response.generation == 0)
        .collect();
    let sent = submit(&fleet, &edits, &is_new, &mut ledger, console, interrupt).await;
    let outcome = match sent {
        Some(Ok(())) => ledger.wait(&fleet, &args.waiting, interrupt, console).await,
        Some(Err(answer)) => Err(ledger.stop(answer, console)),
        None => Err(ledger.interrupt(console)),
    };
    ledger.finish(console);
    outcome
}

/// One document as it will be sent.
struct Prepared {
    document: Document,
    request: v1::ApplyRequest,
}

impl Prepared {
    fn new(document: Document, args: &Apply) -> Self {
        let request = v1::ApplyRequest {
            manifest: document.value.to_string(),
            base_generation: args.base,
            request_id: Uuid::new_v4().to_string(),
            reason: args.reason.clone(),
            dry_run: false,
            confirm: 0,
            override_guards: args.guards.override_guards,
            propose: args.guards.propose && document.kind == Kind::ClusterPolicy,
            proposal_expires_after_s: args.guards.expires_after_s(),
        };
        Self { document, request }
    }

    /// The same, with the number that was asked for.
    fn confirmed(mut self, confirm: u32) -> Self {
        self.request.confirm = confirm;
        self
    }

    async fn send(&self, fleet: &Fleet, dry_run: bool) -> Result<v1::EditResponse, Answer> {
        let request = v1::ApplyRequest {
            dry_run,
            ..self.request.clone()
        };
        send::apply(fleet, self.document.kind, &request).await
    }
}

fn load(args: &Apply, stdin: &mut dyn Read) -> Result<Vec<Document>, Error> {
    let (texts, mut problems) = files::read(&args.files, args.recursive, stdin);
    let mut documents = Vec::new();
    if !texts.is_empty() {
        let (found, more) = documents::parse(&texts);
        documents = found;
        problems.extend(more);
    }
    if problems.is_empty() {
        Ok(documents)
    } else {
        Err(Error::Input {
            problems,
            exit: Exit::Failed,
        })
    }
}

/// Lets the publisher look at every document, without storing any. All that is wrong is told at
/// once.
async fn check(fleet: &Fleet, edits: &[Prepared]) -> Result<Vec<v1::EditResponse>, Error> {
    let answers: Vec<_> = stream::iter(edits)
        .map(|edit| async move {
            match edit.send(fleet, true).await {
                // Without the publisher there is nothing to collect.
                Err(answer) if answer.is_transient() || answer.code == Code::DeadlineExceeded => {
                    Err(Error::Call {
                        what: "the documents could not be checked; nothing was stored".to_owned(),
                        answer,
                    })
                }
                other => Ok(other),
            }
        })
        .buffered(CHECKS_AT_ONCE)
        .try_collect()
        .await?;

    let mut responses = Vec::with_capacity(answers.len());
    let mut problems = Vec::new();
    let mut exit = Exit::Failed;
    for (edit, answer) in edits.iter().zip(answers) {
        match answer {
            Ok(response) => responses.push(response),
            Err(answer) => {
                exit = exit.worse(answer.exit());
                problems.extend(told(&edit.document, &answer));
            }
        }
    }
    if problems.is_empty() {
        return Ok(responses);
    }
    // Told as the files read, not as they would be sent. Stable: a document's problems stay in order.
    problems.sort_by(|one, other| {
        let key = |problem: &Problem| (problem.place.document, problem.place.item);
        (&one.place.file, key(one)).cmp(&(&other.place.file, key(other)))
    });
    Err(Error::Input { problems, exit })
}

/// The publisher's objections to one document, each with its place.
fn told(document: &Document, answer: &Answer) -> Vec<Problem> {
    let problem = |message: String| {
        Problem::at(document.place.clone(), message).with_subject(document.subject())
    };
    if answer.violations.is_empty() {
        return vec![problem(answer.to_string())];
    }
    answer
        .violations
        .iter()
        .map(|violation| problem(violation.message.clone()).with_field(violation.field.clone()))
        .collect()
}

/// Sends everything: the clusters, and when all of them are in the log, the policies for them, and then
/// what governs the next edits.
async fn submit(
    fleet: &Fleet,
    edits: &[Prepared],
    is_new: &[bool],
    ledger: &mut Ledger,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Option<Result<(), Answer>> {
    let up_to = |kind: Kind| edits.partition_point(|edit| edit.document.kind <= kind);
    let (clusters, policies) = (up_to(Kind::Cluster), up_to(Kind::ClusterPolicy));
    for range in [0..clusters, clusters..policies, policies..edits.len()] {
        let send = |index: usize| edits[index].send(fleet, false);
        let word = |index: usize, response: &v1::EditResponse| word(response, is_new[index]);
        match submit::submit(range, ledger, console, interrupt, send, word).await {
            Some(Ok(())) => {}
            stopped => return stopped,
        }
    }
    Some(Ok(()))
}

fn word(response: &v1::EditResponse, is_new: bool) -> &'static str {
    match (response.unchanged, is_new) {
        (true, _) => "unchanged",
        (false, _) if response.proposed => "proposed",
        (false, true) => "created",
        (false, false) => "changed",
    }
}
