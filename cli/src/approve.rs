//! `approve` and `reject`: what becomes of a proposal.
//!
//! Promises that what is approved is what was shown: the proposal's generation goes along, and one that
//! was replaced meanwhile is refused.

use similar::TextDiff;
use uuid::Uuid;
use writ_proto::v1;

use crate::args::{Approve, Global, Reject};
use crate::connect::{self, Fleet};
use crate::console::Console;
use crate::edits::{Entry, Ledger};
use crate::error::{Answer, Error};
use crate::exit::Exit;
use crate::input::Kind;
use crate::interrupt::{Interrupt, unless};
use crate::output::diff;
use crate::output::table::clean;
use crate::send;

/// Runs `approve`.
pub(crate) async fn run(
    args: Approve,
    global: &Global,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    let name = args.name.expect(Kind::ClusterPolicy)?.to_owned();
    let nothing_sent = || Error::Interrupted("; nothing was approved");
    let work = async {
        let fleet = connect::connect(global).await?;
        let proposal = read(&fleet, &name).await?;
        Ok::<_, Error>((fleet, proposal))
    };
    let (fleet, proposal) = unless(interrupt, work).await.ok_or_else(nothing_sent)??;
    if args.name.generation > 0 && args.name.generation != proposal.generation {
        return Err(Error::Conflict(format!(
            "the proposal for {name} is at generation {}, not {}: look at it again (writ get proposals {name})",
            proposal.generation, args.name.generation
        )));
    }
    if args.output.is_none() {
        let text = difference(&fleet, &proposal).await?;
        console.tell(format!(
            "proposal {name}@{} by {}{}",
            proposal.generation,
            clean(&proposal.author),
            match clean(&proposal.reason).as_str() {
                "" => String::new(),
                reason => format!(": {reason}"),
            }
        ));
        text.lines().for_each(|line| console.tell(line));
    }
    let request = v1::ApproveRequest {
        name: name.clone(),
        generation: proposal.generation,
        request_id: Uuid::new_v4().to_string(),
        dry_run: true,
        confirm: 0,
        reason: args.reason.clone(),
    };
    let call = |answer| Error::Call {
        what: format!("the proposal for {name} was not approved"),
        answer,
    };
    let checked = unless(interrupt, approve(&fleet, &request))
        .await
        .ok_or_else(nothing_sent)?
        .map_err(call)?;
    let mut ledger = Ledger::new(
        vec![Entry::new(Kind::ClusterPolicy, &name, None)],
        args.dry_run,
        args.output,
    );
    if args.dry_run {
        ledger.land(0, "approved", checked, console);
        ledger.finish(console);
        return Ok(Exit::Done);
    }
    let guards = crate::guards::Guards {
        confirm: args.confirm,
        propose: true,
        expires: None,
        override_guards: false,
    };
    guards.check([(format!("clusterpolicy/{name}"), &checked)])?;
    let request = v1::ApproveRequest {
        dry_run: false,
        confirm: args.confirm.unwrap_or(0),
        ..request
    };
    let answer = unless(interrupt, approve(&fleet, &request)).await;
    let answer = answer.ok_or(Error::Interrupted("; it may have been approved"))?;
    ledger.land(0, "approved", answer.map_err(call)?, console);
    let outcome = ledger.wait(&fleet, &args.waiting, interrupt, console).await;
    ledger.finish(console);
    outcome
}

/// Runs `reject`.
pub(crate) async fn reject(
    args: Reject,
    global: &Global,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    let name = args.name.expect(Kind::ClusterPolicy)?.to_owned();
    let work = async {
        let fleet = connect::connect(global).await?;
        let request = v1::DeleteRequest {
            name: name.clone(),
            base_generation: Some(args.name.generation).filter(|generation| *generation > 0),
            request_id: Uuid::new_v4().to_string(),
            reason: args.reason.clone(),
            ..v1::DeleteRequest::default()
        };
        let answer = send::edit(&fleet.access, &request, async |mut client, request| {
            client.reject(request).await
        });
        answer.await.map_err(|answer| Error::Call {
            what: format!("the proposal for {name} was not rejected"),
            answer,
        })
    };
    unless(interrupt, work)
        .await
        .ok_or(Error::Interrupted("; it may have been rejected"))??;
    console.say(format!("proposal/{name} rejected"));
    Ok(Exit::Done)
}

async fn approve(fleet: &Fleet, request: &v1::ApproveRequest) -> Result<v1::EditResponse, Answer> {
    send::edit(&fleet.access, request, async |mut client, request| {
        client.approve(request).await
    })
    .await
}

async fn read(fleet: &Fleet, name: &str) -> Result<v1::Proposal, Error> {
    let request = v1::GetRequest {
        name: name.to_owned(),
        ..v1::GetRequest::default()
    };
    let answer = fleet.access.clone().get_proposal(request).await;
    let answer = answer.map_err(|status| Error::call(format!("proposal/{name}"), &status))?;
    let proposal = answer.into_inner().proposal;
    proposal.ok_or_else(|| Error::Answer("a proposal came without content".to_owned()))
}

/// What a proposal would change, line by line, from what is in force now.
pub(crate) async fn difference(fleet: &Fleet, proposal: &v1::Proposal) -> Result<String, Error> {
    let name = &proposal.name;
    let mut current = String::new();
    if proposal.current_generation > 0 {
        let request = v1::GetRequest {
            name: name.clone(),
            ..v1::GetRequest::default()
        };
        let answer = fleet.policies.clone().get(request).await;
        let answer =
            answer.map_err(|status| Error::call(format!("clusterpolicy/{name}"), &status))?;
        current = answer
            .into_inner()
            .policy
            .map(|of| of.manifest)
            .unwrap_or_default();
    }
    let (old, new) = (diff::yaml(&current), diff::yaml(&proposal.manifest));
    let from = format!("{name}@{}", proposal.current_generation);
    let to = format!("{name} as proposed ({})", proposal.state);
    let lines = TextDiff::from_lines(&old, &new);
    Ok(lines.unified_diff().header(&from, &to).to_string())
}
