//! `get … --at`: policies and clusters as they were.
//!
//! Promises that all pages are of one place in the log: the first is asked for by its time, the
//! others by the revision that was found.

use writ_proto::v1;

use super::{PAGES_MAX, list_request};
use crate::args::{Get, GetOutput, When};
use crate::connect::Fleet;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::past::{self, Past};
use crate::output::policies;

/// A page of either kind.
struct Page<T> {
    past: Past<T>,
    next_page_token: String,
}

/// Shows policies as they were.
pub(super) async fn show_policies(
    args: &Get,
    at: When,
    fleet: Fleet,
    console: &mut Console,
) -> Result<Exit, Error> {
    let past = read(args, at, async |request| {
        let answer = fleet.history.clone().list_policies(request).await;
        let page = answer
            .map_err(|status| Error::call("policies cannot be listed", &status))?
            .into_inner();
        Ok(Page {
            past: Past {
                items: page.policies,
                unknown: page.unknown,
                absent: page.absent,
                place: page.place.unwrap_or_default(),
                as_of: page.as_of,
            },
            next_page_token: page.next_page_token,
        })
    })
    .await?;
    let reference =
        |policy: &v1::Policy| format!("clusterpolicy/{}@{}", policy.name, policy.generation);
    match args.output {
        Some(GetOutput::Json) => {
            let items = policies::policy_views(&past.items);
            console.say(past::json("PolicyList", at, &past, items));
        }
        Some(GetOutput::Yaml) => {
            console.write(&past::unknown_comments(&past.unknown));
            let items = past.items.iter();
            console.write(&policies::yaml(
                items.map(|policy| (reference(policy), policy.manifest.as_str())),
            ));
        }
        Some(GetOutput::Name) => past
            .items
            .iter()
            .for_each(|item| console.say(reference(item))),
        None | Some(GetOutput::Wide) => {
            let wide = args.output == Some(GetOutput::Wide);
            let table = policies::policy_table(&past.items, Some(&past::clock(at)), wide);
            let shown = (!past.items.is_empty()).then(|| table.render(console.colour));
            tell(shown, "policies", at, &past, console);
        }
    }
    end("clusterpolicy", at, &past, args, console)
}

/// Shows the registry as it was.
pub(super) async fn show_clusters(
    args: &Get,
    at: When,
    fleet: Fleet,
    console: &mut Console,
) -> Result<Exit, Error> {
    let past = read(args, at, async |request| {
        let answer = fleet.history.clone().list_clusters(request).await;
        let page = answer
            .map_err(|status| Error::call("clusters cannot be listed", &status))?
            .into_inner();
        Ok(Page {
            past: Past {
                items: page.clusters,
                unknown: page.unknown,
                absent: page.absent,
                place: page.place.unwrap_or_default(),
                as_of: page.as_of,
            },
            next_page_token: page.next_page_token,
        })
    })
    .await?;
    let reference =
        |cluster: &v1::Cluster| format!("cluster/{}@{}", cluster.name, cluster.generation);
    match args.output {
        Some(GetOutput::Json) => {
            let items = policies::cluster_views(&past.items);
            console.say(past::json("ClusterList", at, &past, items));
        }
        Some(GetOutput::Yaml) => {
            console.write(&past::unknown_comments(&past.unknown));
            let items = past.items.iter();
            console.write(&policies::yaml(
                items.map(|cluster| (reference(cluster), cluster.manifest.as_str())),
            ));
        }
        Some(GetOutput::Name) => past
            .items
            .iter()
            .for_each(|item| console.say(reference(item))),
        None | Some(GetOutput::Wide) => {
            let table = past::cluster_table(&past.items, &past::clock(at));
            let shown = (!past.items.is_empty()).then(|| table.render(console.colour));
            tell(shown, "clusters", at, &past, console);
        }
    }
    end("cluster", at, &past, args, console)
}

/// All pages.
async fn read<T>(
    args: &Get,
    at: When,
    page: impl AsyncFn(v1::ListAtRequest) -> Result<Page<T>, Error>,
) -> Result<Past<T>, Error> {
    let mut found = Past::default();
    let mut moment = past::moment(at);
    let mut token = String::new();
    let mut names: Vec<String> = args.names.iter().map(|asked| asked.name.clone()).collect();
    names.sort();
    names.dedup();
    for _ in 0..PAGES_MAX {
        let request = v1::ListAtRequest {
            at: Some(moment),
            names: names.clone(),
            filter: Some(list_request(args, token)),
        };
        let Page {
            past,
            next_page_token,
        } = page(request).await?;
        found.items.extend(past.items);
        found.unknown.extend(past.unknown);
        found.absent.extend(past.absent);
        found.place = past.place;
        found.as_of = past.as_of;
        token = next_page_token;
        if token.is_empty() {
            break;
        }
        moment = v1::Moment {
            // Before everything that is kept: any revision below the first is that.
            at: Some(v1::moment::At::Revision(
                found.place.revision.unwrap_or_default(),
            )),
        };
    }
    Ok(found)
}

fn tell<T>(shown: Option<String>, what: &str, at: When, past: &Past<T>, console: &mut Console) {
    match shown {
        Some(table) => console.say(table),
        None if past.unknown.is_empty() && past.absent.is_empty() => {
            console.tell(format!("no {what} found"));
        }
        None => {}
    }
    if !past.unknown.is_empty() {
        console.say(past::unknown_table(&past.unknown).render(console.colour));
    }
    console.tell(past::as_of(at, &past.place, past.as_of.as_ref()));
}

/// Names that were asked for and were not there, or of which it is unknown, are errors.
fn end<T>(
    prefix: &str,
    at: When,
    past: &Past<T>,
    args: &Get,
    console: &mut Console,
) -> Result<Exit, Error> {
    if args.names.is_empty() {
        return Ok(Exit::Done);
    }
    let time = at.time();
    let absent = past
        .absent
        .iter()
        .map(|name| format!("{prefix}/{name} was not there at {time}"));
    let unknown = past.unknown.iter().map(|entry| {
        let (name, message) = (&entry.name, &entry.message);
        format!("whether {prefix}/{name} was there at {time} is unknown: {message}")
    });
    let mut problems = absent.chain(unknown);
    let Some(first) = problems.next() else {
        return Ok(Exit::Done);
    };
    for problem in problems {
        console.tell(format!("error: {problem}"));
    }
    Err(Error::NotFound(first))
}
