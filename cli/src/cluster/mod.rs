//! `cluster`: lets clusters join the fleet, and leave it.
//!
//! Owns the token: it is made here, its public halves go to the publisher, and it stands in the printed
//! manifest and nowhere else. Promises that nothing hangs on a cluster that is not reached: what is
//! left there is said, with what to do.

mod manifest;

use std::time::Duration;

use rand::TryRng as _;
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;
use writ_core::{
    enrol::{Token, nkey},
    envelope::SigningKey,
    name::ClusterName,
};
use writ_proto::v1;

use self::manifest::Kit;
use crate::args::{
    Cluster, ClusterAdd, ClusterApprove, ClusterCommand, ClusterReenrol, ClusterRemove,
    ClusterStep, Global, JoinOutput, Joining,
};
use crate::connect::{self, Fleet};
use crate::console::Console;
use crate::error::{Answer, Error};
use crate::exit::Exit;
use crate::guards::{Guards, tell_reach};
use crate::input::Kind;
use crate::interrupt::{Interrupt, unless};
use crate::output::words;
use crate::send;
use crate::trace::Trace;

/// Between two looks at a cluster that leaves.
const LOOK_PERIOD: Duration = Duration::from_millis(250);

/// Runs the command.
pub(crate) async fn run(
    args: Cluster,
    global: &Global,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    let work = async {
        let fleet = connect::connect(global).await?;
        match args.command {
            ClusterCommand::Add(args) => add(args, &fleet, console).await,
            ClusterCommand::Reenrol(args) => reenrol(args, &fleet, console).await,
            ClusterCommand::Approve(args) => approve(args, &fleet, console).await,
            ClusterCommand::CutOff(args) => cut_off(args, &fleet, console).await,
            ClusterCommand::Remove(args) => remove(args, &fleet, console).await,
        }
    };
    let stands = Error::Interrupted("; if the edit was sent, it stands");
    unless(interrupt, work).await.ok_or(stands)?
}

fn name(text: &str) -> Result<ClusterName, Error> {
    ClusterName::parse(text).map_err(|error| Error::Usage(format!("the name {error}")))
}

/// A token, and what the publisher is told of it.
fn token(
    cluster: &ClusterName,
    joining: &Joining,
) -> Result<Option<(Token, v1::TokenKeys)>, Error> {
    if joining.no_secret {
        return Ok(None);
    }
    let mut secret = [0; 32];
    rand::rngs::SysRng
        .try_fill_bytes(&mut secret)
        .map_err(|error| Error::NotFound(format!("no randomness for a token: {error}")))?;
    let token = Token::new(secret);
    let bus = SigningKey::from_seed(&token.bus_seed(cluster)).public();
    let keys = v1::TokenKeys {
        bus_key: nkey::public_text(&bus),
        signing_key: token.signing_key(cluster).public().to_base64(),
    };
    Ok(Some((token, keys)))
}

async fn add(args: ClusterAdd, fleet: &Fleet, console: &mut Console) -> Result<Exit, Error> {
    let cluster = name(&args.name)?;
    let token = token(&cluster, &args.joining)?;
    let labels: serde_json::Map<_, _> = args
        .labels
        .iter()
        .map(|(key, value)| (key.clone(), value.as_str().into()))
        .collect();
    let ca_bundle = args.endpoint_ca_file.as_deref().map(|path| {
        let read = std::fs::read(path);
        read.map(|bytes| data_encoding::BASE64.encode(&bytes))
            .map_err(|error| Error::Usage(format!("{}: {error}", path.display())))
    });
    let mode = if args.observe { "observe" } else { "enforce" };
    let document = json!({
        "apiVersion": "writ.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": cluster.as_str(), "labels": labels},
        "spec": {
            "region": args.region, "stage": args.stage, "endpoint": args.endpoint, "mode": mode,
            "caBundle": ca_bundle.transpose()?,
        },
    });
    let request = v1::AddClusterRequest {
        manifest: document.to_string(),
        reason: args.reason,
        request_id: Uuid::new_v4().to_string(),
        dry_run: false,
        token: token.as_ref().map(|(_, keys)| keys.clone()),
    };
    let answer = send::edit(&fleet.clusters, &request, async |mut client, request| {
        client.add(request).await
    });
    let answer = refused(&cluster, "registered", answer.await)?;
    print(
        &cluster,
        answer,
        token.map(|(token, _)| token),
        &args.joining,
        args.observe,
        console,
    )
}

async fn reenrol(
    args: ClusterReenrol,
    fleet: &Fleet,
    console: &mut Console,
) -> Result<Exit, Error> {
    let cluster = name(&args.name)?;
    let token = token(&cluster, &args.joining)?;
    let before = find(fleet, &cluster).await?;
    let request = v1::ReenrolClusterRequest {
        name: cluster.to_string(),
        reason: args.reason,
        request_id: Uuid::new_v4().to_string(),
        dry_run: false,
        token: token.as_ref().map(|(_, keys)| keys.clone()),
    };
    let answer = send::edit(&fleet.clusters, &request, async |mut client, request| {
        client.reenrol(request).await
    });
    let answer = refused(&cluster, "enrolled anew", answer.await)?;
    console.tell("note: its old keys are revoked; what runs with them is disconnected");
    let observes = before.is_some_and(|before| before.mode == "observe");
    print(
        &cluster,
        answer,
        token.map(|(token, _)| token),
        &args.joining,
        observes,
        console,
    )
}

/// Prints what a cluster joins by.
fn print(
    cluster: &ClusterName,
    answer: v1::EnrolResponse,
    token: Option<Token>,
    joining: &Joining,
    observes: bool,
    console: &mut Console,
) -> Result<Exit, Error> {
    let generation = answer.edit.as_ref().map_or(0, |edit| edit.generation);
    let reference = format!("cluster/{cluster}@{generation}");
    if joining.output == JoinOutput::Name {
        console.say(&reference);
        return Ok(Exit::Done);
    }
    if answer.request_credentials.is_empty() {
        return Err(Error::NotFound(format!(
            "{reference} is registered, but this publisher holds no keys to let clusters in: ask one that does, by `writ cluster reenrol {cluster}`"
        )));
    }
    let expires = words::instant(answer.expires_at.as_ref());
    let kit = Kit {
        cluster,
        answer: &answer,
        token: token.as_ref(),
        bus_url: joining.nats_url.as_deref().unwrap_or(&answer.bus_url),
        image: &joining.image,
        observes,
    };
    console.say(manifest::render(&kit)?);
    console.tell(format!(
        "{reference} is registered, and pending until it enrols"
    ));
    match expires {
        Some(expires) => console.tell(format!(
            "note: the manifest holds a token, good once and until {expires}: keep it out of repositories"
        )),
        None => console.tell(format!(
            "note: no secret in it; when it asks, `writ get clusters {cluster}` shows the fingerprint of its keys, and its log does: compare, then `writ cluster approve {cluster} --fingerprint …`"
        )),
    }
    Ok(Exit::Done)
}

async fn approve(
    args: ClusterApprove,
    fleet: &Fleet,
    console: &mut Console,
) -> Result<Exit, Error> {
    let cluster = name(&args.name)?;
    let heard = find(fleet, &cluster).await?;
    let request = v1::ApproveClusterRequest {
        name: cluster.to_string(),
        fingerprint: args.fingerprint.clone(),
        reason: args.reason,
        request_id: Uuid::new_v4().to_string(),
        dry_run: false,
    };
    let answer = send::edit(&fleet.clusters, &request, async |mut client, request| {
        client.approve(request).await
    });
    let edit = refused(&cluster, "approved", answer.await)?;
    console.say(format!("cluster/{cluster}@{} approved", edit.generation));
    let plain = |text: &str| text.replace('-', "").to_lowercase();
    let is_heard = heard.is_some_and(|heard| {
        let mut known = heard.waiting.iter().chain([&heard.fingerprint]);
        known.any(|of| plain(of) == plain(&args.fingerprint))
    });
    if !is_heard {
        console.tell("note: no keys of this fingerprint were heard lately: they enter when they ask; if it is a slip of the pen, approve the right one");
    }
    Ok(Exit::Done)
}

async fn cut_off(args: ClusterStep, fleet: &Fleet, console: &mut Console) -> Result<Exit, Error> {
    let cluster = name(&args.name)?;
    let request = step(&cluster, args.reason);
    let answer = send::edit(&fleet.clusters, &request, async |mut client, request| {
        client.cut_off(request).await
    });
    let edit = refused(&cluster, "cut off", answer.await)?;
    console.say(format!("cluster/{cluster}@{} cut off", edit.generation));
    console.tell(format!(
        "note: what was applied there stays, and nothing it says counts; `writ cluster remove {cluster} --keep` forgets it, `writ cluster reenrol {cluster}` lets it in again"
    ));
    Ok(Exit::Done)
}

async fn remove(args: ClusterRemove, fleet: &Fleet, console: &mut Console) -> Result<Exit, Error> {
    let cluster = name(&args.name)?;
    let before = find(fleet, &cluster).await?;
    let before = before.ok_or_else(|| missing(&cluster))?;
    // Nothing was ever applied where nobody enrolled.
    if args.keep || before.phase == "pending" {
        let request = v1::DeleteRequest {
            name: cluster.to_string(),
            reason: args.reason,
            request_id: Uuid::new_v4().to_string(),
            ..v1::DeleteRequest::default()
        };
        let answer = send::delete(fleet, Kind::Cluster, &request).await;
        let edit = refused(&cluster, "removed", answer)?;
        console.say(format!("cluster/{cluster}@{} removed", edit.generation));
        if before.phase != "pending" {
            console.tell("note: what was applied there stays; its keys are revoked, and its acknowledgements are refused from now on");
        }
        return Ok(Exit::Done);
    }
    let guards = Guards {
        confirm: args.confirm,
        override_guards: args.override_guards,
        propose: false,
        expires: None,
    };
    // Without the number, so that the one that is told is the edit's own.
    let mut request = v1::ChangeClusterRequest {
        dry_run: true,
        override_guards: guards.override_guards,
        ..step(&cluster, args.reason)
    };
    let title = format!("cluster/{cluster}");
    // The check and the edit are one thing that somebody did.
    let trace = Trace::of_edit();
    let checked = refused(&cluster, "removed", drain(fleet, &request, &trace).await)?;
    guards.check([(title.clone(), &checked)])?;
    (request.dry_run, request.confirm) = (false, guards.confirm());
    let edit = refused(&cluster, "removed", drain(fleet, &request, &trace).await)?;
    tell_reach(&title, &edit, console);
    console.say(format!("cluster/{cluster}@{} draining", edit.generation));
    let deadline = Instant::now() + args.timeout;
    loop {
        let Some(now) = find(fleet, &cluster).await? else {
            console.say(format!("cluster/{cluster} left"));
            return Ok(Exit::Done);
        };
        let is_silent = words::liveness_state(now.liveness.as_ref()) == "silent";
        if is_silent || Instant::now() >= deadline {
            let (why, exit) = match is_silent {
                true => ("is silent, and left with access", Exit::Silent),
                false => ("has not given back everything yet", Exit::TimedOut),
            };
            console.tell(format!(
                "{cluster} {why}: it gives it back when it meets the bus, and then leaves by itself; `writ get clusters` shows it until then. If it is gone for good: `writ cluster remove {cluster} --keep`"
            ));
            return Ok(exit);
        }
        tokio::time::sleep(LOOK_PERIOD).await;
    }
}

async fn drain(
    fleet: &Fleet,
    request: &v1::ChangeClusterRequest,
    trace: &Trace,
) -> Result<v1::EditResponse, Answer> {
    send::edit_in(
        trace,
        &fleet.clusters,
        request,
        async |mut client, request| client.drain(request).await,
    )
    .await
}

fn step(cluster: &ClusterName, reason: String) -> v1::ChangeClusterRequest {
    v1::ChangeClusterRequest {
        name: cluster.to_string(),
        reason,
        request_id: Uuid::new_v4().to_string(),
        ..v1::ChangeClusterRequest::default()
    }
}

fn missing(cluster: &ClusterName) -> Error {
    Error::NotFound(format!(
        "there is no cluster {cluster}: `writ get clusters` lists them"
    ))
}

async fn find(fleet: &Fleet, cluster: &ClusterName) -> Result<Option<v1::Cluster>, Error> {
    let request = v1::GetRequest {
        name: cluster.to_string(),
        ..v1::GetRequest::default()
    };
    match fleet.clusters.clone().get(request).await {
        Ok(answer) => Ok(answer.into_inner().cluster),
        Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
        Err(status) => Err(Error::Call {
            what: format!("cluster/{cluster} could not be read"),
            answer: Answer::from_status(&status),
        }),
    }
}

fn refused<T>(cluster: &ClusterName, word: &str, answer: Result<T, Answer>) -> Result<T, Error> {
    answer.map_err(|answer| Error::Call {
        what: format!("cluster/{cluster} was not {word}"),
        answer,
    })
}
