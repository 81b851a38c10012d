//! `rollback`: an earlier generation's document, put in place again as a new edit.
//!
//! Promises that it is an edit like any other: checked first, under the guards, and made from the
//! generation that was seen here, so that nobody's edit in between is lost.

use uuid::Uuid;
use writ_proto::v1;

use crate::args::{Global, Rollback};
use crate::connect::{self, Fleet};
use crate::console::Console;
use crate::edits::{Entry, Ledger, State};
use crate::enforce;
use crate::error::Error;
use crate::exit::Exit;
use crate::history;
use crate::input::{Document, Kind, Place};
use crate::interrupt::{Interrupt, unless};
use crate::output::diff::Difference;
use crate::send;

/// Runs the command.
pub(crate) async fn run(
    args: Rollback,
    global: &Global,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    let nothing_sent = || Error::Interrupted("; nothing was stored");
    let prepared = unless(interrupt, prepare(&args, global))
        .await
        .ok_or_else(nothing_sent)??;
    let Prepared {
        fleet,
        kind,
        request,
        difference,
        was_deleted,
    } = prepared;
    let name = &args.name.name;

    let dry = v1::ApplyRequest {
        dry_run: true,
        ..request.clone()
    };
    let checked = unless(interrupt, send::apply(&fleet, kind, &dry))
        .await
        .ok_or_else(nothing_sent)?;
    let checked = checked.map_err(|answer| Error::Call {
        what: format!("{}/{name} was not rolled back", kind.prefix()),
        answer,
    })?;
    let entries = vec![Entry::new(kind, name, None)];
    let mut ledger = Ledger::new(entries, args.dry_run, args.output);
    let word = |response: &v1::EditResponse| match (response.unchanged, was_deleted) {
        (true, _) => "unchanged",
        (false, true) => "created",
        (false, false) => "changed",
    };
    if checked.unchanged && args.output.is_none() {
        console.tell(format!(
            "note: {name} is as it was at {name}@{} already",
            args.to
        ));
    }
    if args.dry_run {
        if args.output.is_none() && difference.differs() {
            console.write(&difference.text(console.colour));
            console.tell(format!("for {} clusters", checked.target_count));
        }
        ledger.land(0, word(&checked), checked, console);
        ledger.finish(console);
        return Ok(Exit::Done);
    }
    if kind == Kind::Cluster && !checked.unchanged {
        let document = document(kind, name, &request.manifest);
        unless(
            interrupt,
            enforce::show_plans(&fleet, document.iter(), console),
        )
        .await
        .ok_or_else(nothing_sent)?;
    }
    args.guards
        .check([(format!("{}/{name}", kind.prefix()), &checked)])?;
    let request = v1::ApplyRequest {
        confirm: args.guards.confirm(),
        ..request
    };
    ledger.entries[0].state = State::Sent;
    let outcome = match unless(interrupt, send::apply(&fleet, kind, &request)).await {
        Some(Ok(response)) => {
            ledger.land(0, word(&response), response, console);
            ledger.wait(&fleet, &args.waiting, interrupt, console).await
        }
        Some(Err(answer)) => {
            ledger.entries[0].state = State::Failed(answer.clone());
            Err(ledger.stop(answer, console))
        }
        None => Err(ledger.interrupt(console)),
    };
    ledger.finish(console);
    outcome
}

/// The edit that is going to be made.
struct Prepared {
    fleet: Fleet,
    kind: Kind,
    request: v1::ApplyRequest,
    difference: Difference,
    was_deleted: bool,
}

async fn prepare(args: &Rollback, global: &Global) -> Result<Prepared, Error> {
    let kind = history::kind_of(&args.name);
    let name = &args.name.name;
    let fleet = connect::connect(global).await?;
    let wanted = history::edit(&fleet, kind, name, args.to).await?;
    if wanted.manifest.is_empty() {
        return Err(Error::Usage(format!(
            "{name}@{} took it away; `writ delete {} {name}` does so again",
            args.to,
            kind.prefix()
        )));
    }
    let current = history::edit(&fleet, kind, name, 0).await?;
    let named = Some(args.name.generation).filter(|generation| *generation > 0);
    let reason = if args.reason.is_empty() {
        format!("rolled back to {name}@{}", args.to)
    } else {
        args.reason.clone()
    };
    Ok(Prepared {
        request: v1::ApplyRequest {
            manifest: submitted(kind, &wanted.manifest),
            base_generation: Some(named.unwrap_or(current.latest_generation)),
            request_id: Uuid::new_v4().to_string(),
            reason,
            dry_run: false,
            confirm: 0,
            override_guards: args.guards.override_guards,
            propose: args.guards.propose,
            proposal_expires_after_s: args.guards.expires_after_s(),
        },
        difference: Difference::new(kind, name, &current, &wanted),
        was_deleted: current.manifest.is_empty(),
        fleet,
        kind,
    })
}

/// Keys and phase stay as they are: they are not rolled back.
fn submitted(kind: Kind, manifest: &str) -> String {
    let document = match kind {
        Kind::Cluster => serde_json::from_str(manifest).ok(),
        Kind::ClusterPolicy | Kind::AccessRule | Kind::StageRules => None,
    };
    document.map_or_else(
        || manifest.to_owned(),
        |document| writ_core::enrol::submitted(&document).to_string(),
    )
}

fn document(kind: Kind, name: &str, manifest: &str) -> Option<Document> {
    Some(Document {
        place: Place {
            file: "the log".to_owned(),
            document: 0,
            item: None,
        },
        kind,
        name: name.to_owned(),
        value: serde_json::from_str(manifest).ok()?,
    })
}
