//! `get`: policies and clusters as the publisher holds them.
//!
//! Promises that `NAME@G` is never answered from a state before that generation. Reads whole lists
//! page by page.

mod access;
mod at;

use tonic::Status;
use writ_proto::v1;

use crate::args::{Get, GetOutput, Global, Resource};
use crate::connect::{self, Fleet};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::input::Kind;
use crate::interrupt::{Interrupt, unless};
use crate::output::policies;

/// The most pages of one list; a publisher that never stops giving tokens is not followed for ever.
const PAGES_MAX: usize = 10_000;

/// Runs the command.
pub(crate) async fn run(
    args: Get,
    global: &Global,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    for reference in &args.names {
        reference.expect(args.resource.kind())?;
    }
    let work = async {
        let fleet = connect::connect(global).await?;
        match (args.at, args.resource) {
            (Some(when), Resource::Policies) => {
                at::show_policies(&args, when, fleet, console).await
            }
            (Some(when), Resource::Clusters) => {
                at::show_clusters(&args, when, fleet, console).await
            }
            (None, Resource::Policies) => show_policies(&args, fleet, console).await,
            (None, Resource::Clusters) => show_clusters(&args, fleet, console).await,
            (None, Resource::Access) => access::show_rules(&args, fleet, console).await,
            (None, Resource::Proposals) => access::show_proposals(&args, fleet, console).await,
            (Some(_), Resource::Access | Resource::Proposals) => Err(Error::Usage(
                "--at is for policies and clusters; `writ history access/NAME` shows the edits of a rule"
                    .to_owned(),
            )),
        }
    };
    unless(interrupt, work)
        .await
        .ok_or(Error::Interrupted(""))?
}

async fn show_policies(args: &Get, mut fleet: Fleet, console: &mut Console) -> Result<Exit, Error> {
    let mut found = Found::default();
    for reference in &args.names {
        let answer = fleet.policies.get(get_request(reference)).await;
        found.take(reference, Kind::ClusterPolicy, answer, |response| {
            (response.policy, response.as_of)
        });
    }
    if args.names.is_empty() {
        let read = async |request| fleet.policies.list(request).await;
        let open =
            |page: v1::ListPoliciesResponse| (page.policies, page.as_of, page.next_page_token);
        found.fill(args, "policies", read, open).await?;
    }
    let (items, as_of) = (&found.items, found.as_of.as_ref());
    let reference =
        |policy: &v1::Policy| format!("clusterpolicy/{}@{}", policy.name, policy.generation);
    match args.output {
        Some(GetOutput::Json) => console.say(policies::policy_json(items, as_of)),
        Some(GetOutput::Yaml) => {
            console.write(&policies::yaml(
                items
                    .iter()
                    .map(|policy| (reference(policy), policy.manifest.as_str())),
            ));
        }
        Some(GetOutput::Name) => items
            .iter()
            .for_each(|policy| console.say(reference(policy))),
        None | Some(GetOutput::Wide) if items.is_empty() => found.tell_empty("policies", console),
        None | Some(GetOutput::Wide) => {
            let table = policies::policy_table(items, as_of, args.output == Some(GetOutput::Wide));
            console.say(table.render(console.colour));
        }
    }
    found.end(console)
}

async fn show_clusters(args: &Get, mut fleet: Fleet, console: &mut Console) -> Result<Exit, Error> {
    let mut found = Found::default();
    for reference in &args.names {
        let answer = fleet.clusters.get(get_request(reference)).await;
        found.take(reference, Kind::Cluster, answer, |response| {
            (response.cluster, response.as_of)
        });
    }
    if args.names.is_empty() {
        let read = async |request| fleet.clusters.list(request).await;
        let open =
            |page: v1::ListClustersResponse| (page.clusters, page.as_of, page.next_page_token);
        found.fill(args, "clusters", read, open).await?;
    }
    let (items, as_of) = (&found.items, found.as_of.as_ref());
    let reference =
        |cluster: &v1::Cluster| format!("cluster/{}@{}", cluster.name, cluster.generation);
    match args.output {
        Some(GetOutput::Json) => console.say(policies::cluster_json(items, as_of)),
        Some(GetOutput::Yaml) => {
            console.write(&policies::yaml(
                items
                    .iter()
                    .map(|cluster| (reference(cluster), cluster.manifest.as_str())),
            ));
        }
        Some(GetOutput::Name) => items
            .iter()
            .for_each(|cluster| console.say(reference(cluster))),
        None | Some(GetOutput::Wide) if items.is_empty() => found.tell_empty("clusters", console),
        None | Some(GetOutput::Wide) => {
            let table = policies::cluster_table(items, as_of, args.output == Some(GetOutput::Wide));
            console.say(table.render(console.colour));
        }
    }
    found.end(console)
}

/// What was found, and what was asked for and is not there.
struct Found<T> {
    items: Vec<T>,
    as_of: Option<v1::AsOf>,
    errors: Vec<Error>,
}

impl<T> Default for Found<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            as_of: None,
            errors: Vec::new(),
        }
    }
}

impl<T> Found<T> {
    fn take<R>(
        &mut self,
        reference: &crate::args::Reference,
        kind: Kind,
        answer: Result<tonic::Response<R>, Status>,
        open: impl FnOnce(R) -> (Option<T>, Option<v1::AsOf>),
    ) {
        let what = format!("{}/{}", kind.prefix(), reference.name);
        match answer.map(|response| open(response.into_inner())) {
            Ok((Some(item), as_of)) => {
                self.items.push(item);
                self.as_of = as_of;
            }
            Ok((None, _)) => self
                .errors
                .push(Error::Answer(format!("{what} came without content"))),
            Err(status) => self.errors.push(Error::call(what, &status)),
        }
    }

    /// Takes a whole list, page by page.
    async fn fill<R>(
        &mut self,
        args: &Get,
        what: &str,
        mut read: impl AsyncFnMut(v1::ListRequest) -> Result<tonic::Response<R>, Status>,
        open: impl Fn(R) -> (Vec<T>, Option<v1::AsOf>, String),
    ) -> Result<(), Error> {
        let mut token = String::new();
        for _ in 0..PAGES_MAX {
            let page = read(list_request(args, token)).await;
            let page =
                page.map_err(|status| Error::call(format!("{what} cannot be listed"), &status))?;
            let (items, as_of, next) = open(page.into_inner());
            self.items.extend(items);
            self.as_of = as_of;
            if next.is_empty() {
                break;
            }
            token = next;
        }
        Ok(())
    }

    fn tell_empty(&self, what: &str, console: &mut Console) {
        if self.errors.is_empty() {
            console.tell(format!("no {what} found"));
        }
    }

    /// The first error is the command's; the others are told before it.
    fn end(self, console: &mut Console) -> Result<Exit, Error> {
        let mut errors = self.errors.into_iter();
        let Some(first) = errors.next() else {
            return Ok(Exit::Done);
        };
        for error in errors {
            console.tell(format!("error: {}", error.explain()));
        }
        Err(first)
    }
}

fn get_request(reference: &crate::args::Reference) -> v1::GetRequest {
    v1::GetRequest {
        name: reference.name.clone(),
        at_least: None,
        at_least_generation: reference.generation,
    }
}

fn list_request(args: &Get, page_token: String) -> v1::ListRequest {
    v1::ListRequest {
        at_least: None,
        match_labels: args.selector.iter().cloned().collect(),
        region: args.region.clone().unwrap_or_default(),
        stage: args.stage.clone().unwrap_or_default(),
        with_manifests: matches!(args.output, Some(GetOutput::Json | GetOutput::Yaml)),
        page_size: 0,
        page_token,
    }
}
