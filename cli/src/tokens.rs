//! `token`: service tokens, and the break-glass token.
//!
//! Promises that a token goes to standard output alone, once.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;
use writ_proto::{BREAK_GLASS_PREFIX, v1};

use crate::args::{CreateToken, Global, Token};
use crate::connect;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::fleets;
use crate::interrupt::{Interrupt, unless};
use crate::output::table::clean;
use crate::trace::Trace;

/// Runs the commands.
pub(crate) async fn run(
    command: &Token,
    global: &Global,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    if let Token::BreakGlass { hash_file } = command {
        return break_glass(hash_file, console);
    }
    let work = async {
        let fleet = connect::connect(global).await?;
        match command {
            Token::Create(args) => create(fleet, args, console).await,
            Token::List => list(fleet, console).await,
            Token::Revoke { name, reason } => revoke(fleet, name, reason, console).await,
            Token::BreakGlass { .. } => Ok(()),
        }
    };
    unless(interrupt, work).await.ok_or(Error::Interrupted(
        "; look with `writ token list` whether it was made",
    ))??;
    Ok(Exit::Done)
}

async fn create(
    mut fleet: connect::Fleet,
    args: &CreateToken,
    console: &mut Console,
) -> Result<(), Error> {
    let request = v1::CreateTokenRequest {
        name: args.name.clone(),
        groups: args.groups.clone(),
        lifetime_s: args.lifetime.as_secs(),
        reason: args.reason.clone(),
    };
    let answer = fleet
        .tokens
        .create_token(Trace::of_edit().on(request))
        .await;
    let failed = |status| Error::call(format!("token/{} was not made", args.name), &status);
    let made = answer.map_err(failed)?.into_inner();
    let expires = made
        .expires
        .map(|time| time.to_string())
        .unwrap_or_default();
    console.tell(format!(
        "token/{} is taken until {expires}; it is shown once:",
        args.name
    ));
    console.say(made.token);
    Ok(())
}

async fn list(mut fleet: connect::Fleet, console: &mut Console) -> Result<(), Error> {
    let answer = fleet.tokens.list_tokens(v1::ListTokensRequest {}).await;
    let failed = |status| Error::call("the tokens were not listed", &status);
    for token in answer.map_err(failed)?.into_inner().tokens {
        let time = |time: Option<prost_types::Timestamp>| {
            time.map(|time| time.to_string()).unwrap_or_default()
        };
        let groups = token.groups.join(",");
        console.say(clean(&format!(
            "{}  until {}  groups {}  made {} by {}",
            token.name,
            time(token.expires),
            if groups.is_empty() { "-" } else { &groups },
            time(token.created),
            token.author
        )));
    }
    Ok(())
}

async fn revoke(
    mut fleet: connect::Fleet,
    name: &str,
    reason: &str,
    console: &mut Console,
) -> Result<(), Error> {
    let request = v1::RevokeTokenRequest {
        name: name.to_owned(),
        reason: reason.to_owned(),
    };
    let answer = fleet
        .tokens
        .revoke_token(Trace::of_edit().on(request))
        .await;
    let failed = |status| Error::call(format!("token/{name} was not revoked"), &status);
    let edit = answer.map_err(failed)?.into_inner();
    console.say(format!("token/{}@{} revoked", edit.name, edit.generation));
    Ok(())
}

/// Two UUIDs of version 4 have 244 random bits.
fn break_glass(hash_file: &std::path::Path, console: &mut Console) -> Result<Exit, Error> {
    let secret = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()].concat();
    let token = format!("{BREAK_GLASS_PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
    if hash_file.exists() {
        let text = format!("{} is there already; remove it first", hash_file.display());
        return Err(Error::Usage(text));
    }
    fleets::write(hash_file, &format!("{}\n", writ_proto::audit::hash(&token)))?;
    console.tell(format!(
        "wrote {}, for --break-glass-file of every publisher; the token is shown once, lock it away:",
        hash_file.display()
    ));
    console.say(token);
    Ok(Exit::Done)
}
