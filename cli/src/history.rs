//! `history`: the edits of one name that the log keeps.
//!
//! Owns the reading of history for `diff` and `rollback` too. Promises to say where the kept history
//! begins.

use writ_proto::v1;

use crate::args::{DocumentOutput, Global, History, Reference};
use crate::connect::{self, Fleet};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::input::Kind;
use crate::interrupt::{Interrupt, unless};
use crate::output::history;

/// The most pages of one history: it has 64 edits, and a page ends at 2 MiB.
const PAGES_MAX: usize = 64;

/// Runs the command.
pub(crate) async fn run(
    args: History,
    global: &Global,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    let work = async {
        let fleet = connect::connect(global).await?;
        read(fleet, &args.name).await
    };
    let told = unless(interrupt, work)
        .await
        .ok_or(Error::Interrupted(""))??;
    let kind = kind_of(&args.name);
    match args.output {
        Some(DocumentOutput::Json) => {
            console.say(history::document(kind, &args.name.name, &told).pretty());
        }
        Some(DocumentOutput::Yaml) => {
            console.say(history::document(kind, &args.name.name, &told).yaml());
        }
        None => {
            console.say(history::table(&told).render(console.colour));
            console.tell(history::begins(&args.name.name, &told));
        }
    }
    Ok(Exit::Done)
}

/// What a reference speaks of; a policy where it does not say.
pub(crate) fn kind_of(reference: &Reference) -> Kind {
    reference.kind.unwrap_or(Kind::ClusterPolicy)
}

/// The kind as the API has it.
pub(crate) fn entry_kind(kind: Kind) -> i32 {
    match kind {
        Kind::Cluster => v1::EntryKind::Cluster.into(),
        Kind::ClusterPolicy => v1::EntryKind::Policy.into(),
    }
}

/// All pages, as one answer.
async fn read(mut fleet: Fleet, name: &Reference) -> Result<v1::ListEditsResponse, Error> {
    let kind = kind_of(name);
    let mut told: Option<v1::ListEditsResponse> = None;
    let mut token = String::new();
    for _ in 0..PAGES_MAX {
        let request = v1::ListEditsRequest {
            kind: entry_kind(kind),
            name: name.name.clone(),
            at_least: None,
            at_least_generation: name.generation,
            page_token: token,
        };
        let page = fleet.history.list_edits(request).await;
        let page = page
            .map_err(|status| Error::call(format!("{}/{}", kind.prefix(), name.name), &status))?
            .into_inner();
        token = page.next_page_token.clone();
        match &mut told {
            None => told = Some(page),
            Some(told) => told.edits.extend(page.edits),
        }
        if token.is_empty() {
            break;
        }
    }
    told.ok_or_else(|| Error::Answer("a history came without a page".to_owned()))
}

/// One edit with its document; generation 0 is the last one.
pub(crate) async fn edit(
    fleet: &Fleet,
    kind: Kind,
    name: &str,
    generation: u64,
) -> Result<v1::GetEditResponse, Error> {
    let request = v1::GetEditRequest {
        kind: entry_kind(kind),
        name: name.to_owned(),
        generation,
        at_least: None,
    };
    let answer = fleet.history.clone().get_edit(request).await;
    let what = match generation {
        0 => format!("{}/{name}", kind.prefix()),
        generation => format!("{}/{name}@{generation}", kind.prefix()),
    };
    answer
        .map(tonic::Response::into_inner)
        .map_err(|status| Error::call(what, &status))
}
