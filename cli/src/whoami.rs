//! `whoami`: who one is to the publisher.

use serde::Serialize;
use writ_proto::v1::{WhoAmIRequest, WhoAmIResponse};

use crate::args::{DocumentOutput, Global, Whoami};
use crate::connect;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::interrupt::{Interrupt, unless};
use crate::output::json::Document;

/// Runs the command.
pub(crate) async fn run(
    args: &Whoami,
    global: &Global,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    let found = ask(global, interrupt).await?;
    match args.output {
        Some(DocumentOutput::Json) => console.say(document(&found).pretty()),
        Some(DocumentOutput::Yaml) => console.say(document(&found).yaml()),
        None => console.write(&text(&found)),
    }
    Ok(Exit::Done)
}

/// Says on standard error who one is.
pub(crate) async fn tell(
    global: &Global,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    let found = ask(global, interrupt).await?;
    console.tell(format!("logged in as {}:{}", found.inlet, found.user));
    Ok(Exit::Done)
}

async fn ask(global: &Global, interrupt: &Interrupt) -> Result<WhoAmIResponse, Error> {
    let work = async {
        let mut fleet = connect::connect(global).await?;
        let answer = fleet.identity.who_am_i(WhoAmIRequest {}).await;
        let failed = |status| Error::call("the publisher did not say who this is", &status);
        answer.map(tonic::Response::into_inner).map_err(failed)
    };
    unless(interrupt, work)
        .await
        .ok_or(Error::Interrupted(""))?
}

/// The shape of `-o json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    inlet: &'a str,
    user: &'a str,
    groups: &'a [String],
    roles: &'a [String],
    publisher: &'a str,
}

fn document(found: &WhoAmIResponse) -> Document<Shown<'_>> {
    let shown = Shown {
        inlet: &found.inlet,
        user: &found.user,
        groups: &found.groups,
        roles: &found.roles,
        publisher: &found.publisher,
    };
    Document::new("Identity", shown)
}

fn text(found: &WhoAmIResponse) -> String {
    let list = |list: &[String]| {
        if list.is_empty() {
            "none".to_owned()
        } else {
            list.join(", ")
        }
    };
    let rows = [
        ("user", found.user.clone()),
        ("shown by", found.inlet.clone()),
        ("groups", list(&found.groups)),
        ("roles", list(&found.roles)),
    ];
    let row = |(name, value): &(&str, String)| format!("{name:<9} {value}\n");
    rows.iter().map(row).collect()
}
