//! `delete`: takes policies away everywhere, or clusters out of the registry.
//!
//! Promises that every name is checked before the first is taken away. A cluster that leaves the
//! registry keeps its objects: that is the publisher's rule, and the output says so.

use uuid::Uuid;
use writ_proto::v1;

use crate::args::{Delete, Global};
use crate::connect;
use crate::console::Console;
use crate::edits::{Entry, Ledger};
use crate::error::Error;
use crate::exit::Exit;
use crate::input::Kind;
use crate::interrupt::{Interrupt, unless};
use crate::{send, submit};

/// Runs the command.
pub(crate) async fn run(
    args: Delete,
    global: &Global,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    if args.resource == crate::args::Resource::Proposals {
        return Err(Error::Usage(
            "a proposal is rejected: writ reject NAME".to_owned(),
        ));
    }
    let kind = args.resource.kind();
    let mut requests = requests(&args, kind)?;
    let nothing_sent = || Error::Interrupted("; nothing was deleted");
    let fleet = unless(interrupt, connect::connect(global))
        .await
        .ok_or_else(nothing_sent)??;

    let mut checked = Vec::new();
    for request in &requests {
        let dry = v1::DeleteRequest {
            dry_run: true,
            ..request.clone()
        };
        let answer = unless(interrupt, send::delete(&fleet, kind, &dry))
            .await
            .ok_or_else(nothing_sent)?;
        checked.push(answer.map_err(|answer| Error::Call {
            what: format!(
                "{}/{} cannot be deleted; nothing was",
                kind.prefix(),
                request.name
            ),
            answer,
        })?);
    }

    let entries = requests
        .iter()
        .map(|request| Entry::new(kind, &request.name, None))
        .collect();
    let mut ledger = Ledger::new(entries, args.dry_run, args.output);
    if args.dry_run {
        for (index, response) in checked.into_iter().enumerate() {
            ledger.land(index, word(&args), response, console);
        }
        ledger.finish(console);
        return Ok(Exit::Done);
    }
    let named = requests.iter().zip(&checked);
    args.guards
        .check(named.map(|(request, of)| (format!("{}/{}", kind.prefix(), request.name), of)))?;
    for request in &mut requests {
        request.confirm = args.guards.confirm();
    }
    let send = |index: usize| send::delete(&fleet, kind, &requests[index]);
    let word = |_, _: &v1::EditResponse| word(&args);
    let all = 0..requests.len();
    let sent = submit::submit(all, &mut ledger, console, interrupt, send, word).await;
    let outcome = match sent {
        Some(Ok(())) => {
            if kind == Kind::Cluster && args.output.is_none() {
                console.tell("note: the objects stay in the cluster; its acknowledgements are refused from now on");
            }
            ledger.wait(&fleet, &args.waiting, interrupt, console).await
        }
        Some(Err(answer)) => Err(ledger.stop(answer, console)),
        None => Err(ledger.interrupt(console)),
    };
    ledger.finish(console);
    outcome
}

fn word(args: &Delete) -> &'static str {
    match args.guards.propose {
        true => "proposed to be deleted",
        false => "deleted",
    }
}

fn requests(args: &Delete, kind: Kind) -> Result<Vec<v1::DeleteRequest>, Error> {
    if args.base.is_some() && args.names.len() != 1 {
        return Err(Error::Usage(
            "--base is for a single name; for several write NAME@GENERATION".to_owned(),
        ));
    }
    let mut requests: Vec<v1::DeleteRequest> = Vec::new();
    for reference in &args.names {
        let name = reference.expect(kind)?.to_owned();
        if requests.iter().any(|request| request.name == name) {
            return Err(Error::Usage(format!("`{name}` is named twice")));
        }
        let named = Some(reference.generation).filter(|generation| *generation > 0);
        if let (Some(base), Some(named)) = (args.base, named)
            && base != named
        {
            return Err(Error::Usage(format!(
                "--base {base} and `{name}@{named}` contradict each other"
            )));
        }
        requests.push(v1::DeleteRequest {
            name,
            base_generation: args.base.or(named),
            request_id: Uuid::new_v4().to_string(),
            reason: args.reason.clone(),
            dry_run: false,
            confirm: 0,
            override_guards: args.guards.override_guards,
            propose: args.guards.propose,
            proposal_expires_after_s: args.guards.expires_after_s(),
        });
    }
    Ok(requests)
}
