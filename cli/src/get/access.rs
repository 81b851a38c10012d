//! `get access` and `get proposals`.

use writ_proto::v1;

use super::{Found, get_request};
use crate::args::{Get, GetOutput};
use crate::connect::Fleet;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::input::Kind;
use crate::output::{json, policies, table::Table, table::Tone, words};

pub(super) async fn show_rules(
    args: &Get,
    mut fleet: Fleet,
    console: &mut Console,
) -> Result<Exit, Error> {
    let mut found = Found::default();
    for reference in &args.names {
        let answer = fleet.access.get(get_request(reference)).await;
        found.take(reference, Kind::AccessRule, answer, |response| {
            (response.document, response.as_of)
        });
    }
    if args.names.is_empty() {
        let read = async |request| fleet.access.list(request).await;
        let open =
            |page: v1::ListAccessResponse| (page.documents, page.as_of, page.next_page_token);
        found.fill(args, "access rules", read, open).await?;
    }
    let (items, as_of) = (&found.items, found.as_of.as_ref());
    let reference = |of: &v1::AccessDocument| format!("access/{}@{}", of.name, of.generation);
    match args.output {
        Some(GetOutput::Json | GetOutput::Yaml) => {
            print(
                args,
                console,
                as_of,
                items.iter().map(|of| (reference(of), of.manifest.as_str())),
            );
        }
        Some(GetOutput::Name) => items.iter().for_each(|of| console.say(reference(of))),
        None | Some(GetOutput::Wide) if items.is_empty() => {
            found.tell_empty("access rules", console);
        }
        None | Some(GetOutput::Wide) => {
            let mut table = Table::new([
                "NAME", "GEN", "KIND", "ROLE", "FOR", "BOUNDS", "AGE", "AUTHOR",
            ]);
            for of in items {
                let row = [
                    of.name.clone(),
                    of.generation.to_string(),
                    of.kind.clone(),
                    if of.role.is_empty() {
                        "-".to_owned()
                    } else {
                        of.role.clone()
                    },
                    of.subjects.clone(),
                    of.bounds.clone(),
                    words::age(of.committed_at.as_ref(), as_of),
                    of.author.clone(),
                ];
                table.row(Tone::Plain, row);
            }
            console.say(table.render(console.colour));
        }
    }
    found.end(console)
}

pub(super) async fn show_proposals(
    args: &Get,
    mut fleet: Fleet,
    console: &mut Console,
) -> Result<Exit, Error> {
    let mut found = Found::default();
    for reference in &args.names {
        let answer = fleet.access.get_proposal(get_request(reference)).await;
        found.take(reference, Kind::ClusterPolicy, answer, |response| {
            (response.proposal, response.as_of)
        });
    }
    if args.names.is_empty() {
        let read = async |request| fleet.access.list_proposals(request).await;
        let open =
            |page: v1::ListProposalsResponse| (page.proposals, page.as_of, page.next_page_token);
        found.fill(args, "proposals", read, open).await?;
    }
    let (items, as_of) = (&found.items, found.as_of.as_ref());
    let reference = |of: &v1::Proposal| format!("proposal/{}@{}", of.name, of.generation);
    match args.output {
        Some(GetOutput::Json | GetOutput::Yaml) => {
            print(
                args,
                console,
                as_of,
                items.iter().map(|of| (reference(of), of.manifest.as_str())),
            );
        }
        Some(GetOutput::Name) => items.iter().for_each(|of| console.say(reference(of))),
        None | Some(GetOutput::Wide) if items.is_empty() => found.tell_empty("proposals", console),
        None | Some(GetOutput::Wide) => {
            let mut table = Table::new([
                "NAME", "GEN", "BASE", "STATE", "BY", "AGE", "EXPIRES", "REASON",
            ]);
            for of in items {
                let tone = if of.state == "open" {
                    Tone::Plain
                } else {
                    Tone::Silent
                };
                let row = [
                    of.name.clone(),
                    of.generation.to_string(),
                    format!("@{}", of.base_generation),
                    of.state.clone(),
                    of.author.clone(),
                    words::age(of.proposed_at.as_ref(), as_of),
                    words::instant(of.expires_at.as_ref()).unwrap_or_default(),
                    of.reason.clone(),
                ];
                table.row(tone, row);
            }
            console.say(table.render(console.colour));
            if !args.names.is_empty() {
                for of in items {
                    let text = crate::approve::difference(&fleet, of).await?;
                    console.write(&text);
                }
            }
        }
    }
    found.end(console)
}

/// The documents as they were submitted: YAML that apply takes, or one JSON document.
fn print<'a>(
    args: &Get,
    console: &mut Console,
    as_of: Option<&v1::AsOf>,
    documents: impl Iterator<Item = (String, &'a str)>,
) {
    if args.output == Some(GetOutput::Yaml) {
        return console.write(&policies::yaml(documents));
    }
    let items = documents.map(|(reference, manifest)| {
        serde_json::json!({"reference": reference, "manifest": json::manifest(manifest)})
    });
    let list = serde_json::json!({
        "asOf": json::AsOf::from_proto(as_of),
        "items": items.collect::<Vec<_>>(),
    });
    console.say(json::Document::new("AccessList", list).pretty());
}
