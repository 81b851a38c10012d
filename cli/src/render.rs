//! `render`: what one cluster is told to hold, as plain manifests in the order in which they are
//! applied.
//!
//! Promises that an incomplete answer is never taken for a whole one: where some policy is unknown,
//! nothing is printed unless that was allowed.

use writ_proto::v1::{self, render_response::Part};

use crate::args::{DocumentOutput, Global, Render};
use crate::connect;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::input::Kind;
use crate::interrupt::{Interrupt, unless};
use crate::output::past::{self, Rendering};

/// The most policies of one answer; a publisher that never stops is not followed for ever.
const PARTS_MAX: usize = 1_000_000;

/// The most unknown policies that are told one by one.
const UNKNOWN_SHOWN_MAX: usize = 20;

/// Runs the command.
pub(crate) async fn run(
    args: Render,
    global: &Global,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    let cluster = args.cluster.expect(Kind::Cluster)?;
    let policy = match &args.policy {
        Some(reference) => reference.expect(Kind::ClusterPolicy)?,
        None => "",
    };
    let request = v1::RenderRequest {
        cluster: cluster.to_owned(),
        at: args.at.map(past::moment),
        policy: policy.to_owned(),
        at_least: None,
    };
    let rendering = unless(interrupt, read(request, global))
        .await
        .ok_or(Error::Interrupted(""))??;
    if !rendering.unknown.is_empty() {
        for unknown in rendering.unknown.iter().take(UNKNOWN_SHOWN_MAX) {
            console.tell(format!("unknown: {}: {}", unknown.name, unknown.message));
        }
        if !args.allow_unknown {
            return Err(Error::NotFound(format!(
                "of {} policies it is unknown whether they were for {cluster} then; \
                 --allow-unknown renders the rest",
                rendering.unknown.len()
            )));
        }
    }
    match args.output {
        DocumentOutput::Yaml => console.write(&rendering.yaml()),
        DocumentOutput::Json => console.say(rendering.json()),
    }
    for note in rendering.notes() {
        console.tell(format!("note: {note}"));
    }
    Ok(Exit::Done)
}

async fn read(request: v1::RenderRequest, global: &Global) -> Result<Rendering, Error> {
    let fleet = connect::connect(global).await?;
    let what = format!("cluster/{} could not be rendered", request.cluster);
    let failed = |status: tonic::Status| Error::call(what.clone(), &status);
    let answers = fleet.history.clone().render(request).await;
    let mut answers = answers.map_err(failed)?.into_inner();
    let mut rendering = Rendering::default();
    for _ in 0..PARTS_MAX {
        match answers.message().await.map_err(failed)? {
            None => return Ok(rendering),
            Some(response) => match response.part {
                Some(Part::Head(head)) => rendering.head = head,
                Some(Part::Policy(policy)) => rendering.policies.push(policy),
                Some(Part::Unknown(unknown)) => rendering.unknown.push(unknown),
                None => {}
            },
        }
    }
    Err(Error::Answer("it does not end".to_owned()))
}
