//! `why`: why a cluster is not good, and what to do.
//!
//! Judges, unlike `status`: it ends with 0 only if the cluster was heard and everything is
//! confirmed there (`output::why` has the judgement). Never asks the cluster itself.

use writ_proto::v1;
use writ_proto::v1::status_request::Of;

use crate::args::{DocumentOutput, Global, Reference, Why};
use crate::connect::{self, Fleet};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::input::Kind;
use crate::interrupt::{Interrupt, unless};
use crate::output::why::Finding;

/// Runs the command.
pub(crate) async fn run(
    args: Why,
    global: &Global,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    args.cluster.expect(Kind::Cluster)?;
    if let Some(policy) = &args.policy {
        policy.expect(Kind::ClusterPolicy)?;
    }
    let work = async {
        let fleet = connect::connect(global).await?;
        find(&args, fleet).await
    };
    let finding = unless(interrupt, work)
        .await
        .ok_or(Error::Interrupted(""))??;
    match args.output {
        Some(DocumentOutput::Json) => console.say(finding.json().pretty()),
        Some(DocumentOutput::Yaml) => console.say(finding.json().yaml()),
        None => console.say(finding.text()),
    }
    Ok(finding.exit())
}

async fn find(args: &Why, mut fleet: Fleet) -> Result<Finding, Error> {
    // The policy first: a generation that is asked for is waited for, and the cluster's own status
    // is then no older.
    let policy = match &args.policy {
        None => None,
        Some(policy) => Some(line(args, policy, &mut fleet).await?),
    };
    let name = args.cluster.name.clone();
    let what = format!("no status of cluster/{name}");
    let response = status(&mut fleet, Of::Cluster(name), what).await?;
    let cluster = response
        .cluster
        .ok_or_else(|| Error::Answer("a status without its cluster".to_owned()))?;
    Ok(Finding::new(cluster, response.as_of, policy))
}

/// The line of the cluster in the policy's status.
async fn line(
    args: &Why,
    policy: &Reference,
    fleet: &mut Fleet,
) -> Result<(v1::PolicyStatus, v1::ClusterLine), Error> {
    let (name, cluster) = (&policy.name, &args.cluster.name);
    let of = Of::Policy(v1::PolicyVersion {
        name: name.clone(),
        generation: policy.generation,
    });
    let what = format!("no status of clusterpolicy/{name}");
    let mut status = status(fleet, of, what).await?.policies.pop();
    let lines = status
        .as_mut()
        .map(|status| std::mem::take(&mut status.clusters));
    let found = lines
        .unwrap_or_default()
        .into_iter()
        .find(|line| line.cluster == *cluster);
    status.zip(found).ok_or_else(|| {
        Error::NotFound(format!(
            "policy {name} is not for cluster {cluster}: `writ get policy {name}` says for which it is"
        ))
    })
}

async fn status(fleet: &mut Fleet, of: Of, what: String) -> Result<v1::StatusResponse, Error> {
    let request = v1::StatusRequest {
        of: Some(of),
        ..Default::default()
    };
    let response = fleet.acks.get_status(request).await;
    response
        .map(tonic::Response::into_inner)
        .map_err(|error| Error::call(what, &error))
}
