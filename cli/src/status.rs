//! `status`: how far edits have come, once or as it changes.
//!
//! A reading verb: it ends with 0 whatever it shows; `wait` is the one that judges. Promises to say
//! whose view it is and how old, and to go on when the publisher restarts while it watches. Of one policy it is sent
//! what changed, and shows it whole.

use std::ops::ControlFlow;

use writ_proto::status::{NoWhole, merge};
use writ_proto::v1;
use writ_proto::v1::status_request::Of;

use crate::args::{GetOutput, Global, Status};
use crate::connect::{self, Fleet};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::input::Kind;
use crate::interrupt::{Interrupt, unless};
use crate::output::status;
use crate::stream::{self, WATCH_AGAIN_DELAY};

/// Home, and clear what is below.
const CLEAR: &str = "\x1b[H\x1b[J";

/// Runs the command.
pub(crate) async fn run(
    args: Status,
    global: &Global,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    let (request, subject) = request(&args)?;
    let work = async {
        let fleet = connect::connect(global).await?;
        if args.watch {
            // A future of its own: it holds two statuses.
            Box::pin(watch(fleet, request, &subject, args.output, console)).await
        } else {
            once(fleet, request, &subject, args.output, console).await
        }
    };
    unless(interrupt, work)
        .await
        .ok_or(Error::Interrupted(""))?
}

fn request(args: &Status) -> Result<(v1::StatusRequest, String), Error> {
    let (of, subject) = match (&args.policy, &args.cluster) {
        (Some(reference), _) => {
            let name = reference.expect(Kind::ClusterPolicy)?.to_owned();
            let subject = format!("clusterpolicy/{name}");
            (
                Of::Policy(v1::PolicyVersion {
                    name,
                    generation: reference.generation,
                }),
                subject,
            )
        }
        (None, Some(reference)) => {
            let name = reference.expect(Kind::Cluster)?.to_owned();
            let subject = format!("cluster/{name}");
            (Of::Cluster(name), subject)
        }
        (None, None) => (
            Of::AllPolicies(v1::AllPolicies {}),
            "all policies".to_owned(),
        ),
    };
    Ok((
        v1::StatusRequest {
            of: Some(of),
            // Documents say all of every line.
            changes: args.watch && !matches!(args.output, Some(GetOutput::Json | GetOutput::Yaml)),
            ..Default::default()
        },
        subject,
    ))
}

async fn once(
    mut fleet: Fleet,
    request: v1::StatusRequest,
    subject: &str,
    output: Option<GetOutput>,
    console: &mut Console,
) -> Result<Exit, Error> {
    let response = fleet.acks.get_status(request).await;
    let response = response
        .map_err(|error| Error::call(format!("no status of {subject}"), &error))?
        .into_inner();
    warn(&response, console);
    if response.policies.is_empty()
        && response.cluster.is_none()
        && matches!(output, None | Some(GetOutput::Wide))
    {
        console.tell("no policies yet");
        return Ok(Exit::Done);
    }
    show(&response, output, false, console);
    Ok(Exit::Done)
}

/// A publisher that takes no edits says so beside every answer.
fn warn(response: &v1::StatusResponse, console: &mut Console) {
    let as_of = response.as_of.as_ref();
    if let Some(as_of) = as_of.filter(|as_of| !as_of.edits_refused.is_empty()) {
        let (publisher, why) = (&as_of.publisher, &as_of.edits_refused);
        console.tell(format!("{publisher} takes no edits: {why}"));
        console.tell("look at what can be done: writ recover");
    }
}

async fn watch(
    mut fleet: Fleet,
    request: v1::StatusRequest,
    subject: &str,
    output: Option<GetOutput>,
    console: &mut Console,
) -> Result<Exit, Error> {
    let mut before: Option<v1::StatusResponse> = None;
    loop {
        // Each stream begins with a whole status.
        let mut told = None;
        let mut lost: Option<NoWhole> = None;
        let opened = fleet.acks.watch_status(request.clone());
        let ended = stream::each(opened, |next| {
            lost = merge(&mut told, next).err();
            let Some(now) = &told else {
                return ControlFlow::Break(());
            };
            let settled = settled(now);
            // On a terminal ages and times are drawn anew; elsewhere only changes are worth a line.
            if console.redraw || before.as_ref() != Some(&settled) {
                warn(now, console);
                show(now, output, true, console);
            }
            before = Some(settled);
            console.flow()
        })
        .await;
        if let Some(lost) = lost {
            console.tell(format!("watching {subject} again: {lost}"));
            tokio::time::sleep(WATCH_AGAIN_DELAY).await;
            continue;
        }
        match ended {
            Ok(ControlFlow::Break(())) => return Ok(Exit::Done),
            Ok(ControlFlow::Continue(())) => {
                console.tell(format!("{subject} is gone"));
                return Ok(Exit::Done);
            }
            Err(answer) if answer.is_transient() => {
                console.tell(format!("watching {subject} again: {answer}"));
                tokio::time::sleep(WATCH_AGAIN_DELAY).await;
            }
            Err(answer) => {
                return Err(Error::Call {
                    what: format!("no status of {subject}"),
                    answer,
                });
            }
        }
    }
}

/// The status without what changes although nothing happened.
fn settled(status: &v1::StatusResponse) -> v1::StatusResponse {
    let mut status = status.clone();
    status.as_of = None;
    let quiet = |liveness: &mut Option<v1::Liveness>| {
        if let Some(liveness) = liveness {
            liveness.last_heard = None;
        }
    };
    for policy in &mut status.policies {
        policy
            .clusters
            .iter_mut()
            .for_each(|line| quiet(&mut line.liveness));
    }
    if let Some(cluster) = &mut status.cluster {
        quiet(&mut cluster.liveness);
        cluster.clock_skew_ms = 0;
    }
    status
}

fn show(
    response: &v1::StatusResponse,
    output: Option<GetOutput>,
    watching: bool,
    console: &mut Console,
) {
    match output {
        Some(GetOutput::Json) if watching => console.say(status::json(response).line()),
        Some(GetOutput::Json) => console.say(status::json(response).pretty()),
        Some(GetOutput::Yaml) if watching => {
            console.say(format!("---\n{}", status::json(response).yaml()))
        }
        Some(GetOutput::Yaml) => console.say(status::json(response).yaml()),
        Some(GetOutput::Name) => status::names(response)
            .into_iter()
            .for_each(|name| console.say(name)),
        None | Some(GetOutput::Wide) => {
            let wide = output == Some(GetOutput::Wide);
            let text = status::text(response, wide, &console.zone.clone(), console.colour);
            match (watching, console.redraw) {
                (true, true) => console.write(&format!("{CLEAR}{text}\n")),
                (true, false) => console.say(format!("{text}\n")),
                (false, _) => console.say(text),
            }
        }
    }
}
