//! `get … --at`: policies and clusters as they were.
//!
//! Promises that all pages are of one place in the log: the first is asked for by its time, the
//! others by the revision that was found.

use serde::Serialize;
use writ_proto::v1;

use super::{PAGES_MAX, list_request};
use crate::args::{Get, GetOutput, When};
use crate::connect::Fleet;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::past::{self, Past};
use crate::output::policies;
use crate::output::table::Table;

/// A page of either kind.
struct Page<T> {
    past: Past<T>,
    next_page_token: String,
}

/// What differs between policies and clusters once they have been read.
struct Kind<T, V, F> {
    /// As in references, `clusterpolicy/payments@42`.
    prefix: &'static str,
    /// The kind of the list in JSON.
    list: &'static str,
    many: &'static str,
    views: fn(&[T]) -> Vec<V>,
    /// Ages are as of the given time.
    table: F,
    /// Name, generation and manifest.
    document: fn(&T) -> (&str, u64, &str),
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
    let wide = args.output == Some(GetOutput::Wide);
    let kind = Kind {
        prefix: "clusterpolicy",
        list: "PolicyList",
        many: "policies",
        views: policies::policy_views,
        table: |items: &[v1::Policy], now: &v1::AsOf| {
            policies::policy_table(items, Some(now), wide)
        },
        document: |policy| (&policy.name, policy.generation, &policy.manifest),
    };
    show(kind, args, at, &past, console)
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
    let kind = Kind {
        prefix: "cluster",
        list: "ClusterList",
        many: "clusters",
        views: policies::cluster_views,
        table: past::cluster_table,
        document: |cluster| (&cluster.name, cluster.generation, &cluster.manifest),
    };
    show(kind, args, at, &past, console)
}

/// Shows what was found, in the asked form.
fn show<T, V: Serialize>(
    kind: Kind<T, V, impl Fn(&[T], &v1::AsOf) -> Table>,
    args: &Get,
    at: When,
    past: &Past<T>,
    console: &mut Console,
) -> Result<Exit, Error> {
    let documents = past.items.iter().map(|item| {
        let (name, generation, manifest) = (kind.document)(item);
        (format!("{}/{name}@{generation}", kind.prefix), manifest)
    });
    match args.output {
        Some(GetOutput::Json) => {
            let items = (kind.views)(&past.items);
            console.say(past::json(kind.list, at, past, items));
        }
        Some(GetOutput::Yaml) => {
            console.write(&past::unknown_comments(&past.unknown));
            console.write(&policies::yaml(documents));
        }
        Some(GetOutput::Name) => documents.for_each(|(reference, _)| console.say(reference)),
        None | Some(GetOutput::Wide) => {
            let table = (kind.table)(&past.items, &past::clock(at));
            let shown = (!past.items.is_empty()).then(|| table.render(console.colour));
            tell(shown, kind.many, at, past, console);
        }
    }
    end(kind.prefix, at, past, args, console)
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
