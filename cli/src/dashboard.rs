//! `dashboard`: the pages of the fleet on this machine, as one's own self to the publishers.
//!
//! Owns the address that they are served on and the credential that is shown for them. Promises that only this machine
//! reaches them, and that they show what `writ status` would show to the same person. The pages are the dashboard's.

use std::time::Duration;

use http::HeaderValue;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use writ_dashboard::{Line, Options};
use writ_proto::v1::WhoAmIRequest;

use crate::args::{Dashboard, Global};
use crate::connect;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::fleets::{self, Chosen};
use crate::interrupt::{Interrupt, unless};
use crate::login;

/// How often the token that is shown is looked at: one that ends is renewed a minute before.
const LOOK_PERIOD: Duration = Duration::from_secs(5);

/// Runs the command until Ctrl-C.
pub(crate) async fn run(
    args: &Dashboard,
    global: &Global,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    let bound = writ_dashboard::bind(Options::open(args.listen)).await;
    let bound = bound.map_err(|error| match error {
        writ_dashboard::Error::NotLoopback(address) => Error::Usage(format!(
            "{address} is not an address of loopback: whoever reached it would see what you may see"
        )),
        error => Error::Setup {
            what: "the dashboard has no address".to_owned(),
            source: Box::new(error),
        },
    })?;
    let chosen = fleets::choose(global)?;
    let ask = async {
        // Whoever is not let in learns it here, as with any other command.
        let mut fleet = connect::connect(global).await?;
        let answer = fleet.identity.who_am_i(WhoAmIRequest {}).await;
        let failed = |status| Error::call("the publisher did not say who this is", &status);
        let who = answer.map(tonic::Response::into_inner).map_err(failed)?;
        let bearer = bearer(&chosen, global).await?;
        Ok::<_, Error>((who, bearer))
    };
    let (who, first) = unless(interrupt, ask)
        .await
        .ok_or(Error::Interrupted(""))??;
    let (sender, bearer) = watch::channel(first);
    let line = Line::new(connect::lazily(&chosen)?, bearer);
    console.say(format!("http://{}", bound.address()));
    console.tell(format!(
        "the dashboard of {}, as {}:{}; Ctrl-C ends it",
        chosen.label(),
        who.inlet,
        who.user
    ));
    let stop = CancellationToken::new();
    let serving = async {
        tokio::join!(
            bound.serve(line, stop.clone()),
            renew(&chosen, global, sender)
        );
    };
    unless(interrupt, serving)
        .await
        .ok_or(Error::Interrupted(""))?;
    Ok(Exit::Done)
}

/// Shows the token that is kept now, renewed where it ends.
async fn renew(chosen: &Chosen, global: &Global, sender: watch::Sender<Option<HeaderValue>>) {
    loop {
        tokio::time::sleep(LOOK_PERIOD).await;
        // One that can't be renewed is shown as it is: the publisher's answer says what to do, on every page.
        if let Ok(bearer) = bearer(chosen, global).await {
            sender.send_if_modified(|shown| {
                let is_news = *shown != bearer;
                *shown = bearer;
                is_news
            });
        }
    }
}

async fn bearer(chosen: &Chosen, global: &Global) -> Result<Option<HeaderValue>, Error> {
    let token = login::token(chosen, global).await?;
    let value = |token: tonic::metadata::MetadataValue<_>| {
        let value = token
            .to_str()
            .ok()
            .and_then(|text| HeaderValue::try_from(text).ok());
        let mut value = value.ok_or_else(|| Error::Login("the token is no token".to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    };
    token.map(value).transpose()
}
