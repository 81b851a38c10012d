//! The registrar, as a task of a publisher that holds its keys.
//!
//! Owns which keys the registry takes from their users; the bus's part is [`writ_bus::registrar`].
//! Promises: nothing is pushed from a registry that is older than the log was at the start, or that
//! this publisher can't believe: a log that was put back from a backup would let in again whoever was
//! cut off since.

use std::{collections::BTreeSet, path::Path};

use tokio::sync::watch;
use writ_bus::{
    accounts,
    connection::{FirstConnect, Login, Options},
    identity::{PublicKey, RegistrarKeys, folder},
    registrar::Registrar,
};
use writ_core::{edit::Kind, enrol::CREDENTIALS_LIFE_MAX_MS, model::Phase, name::Name};

use crate::{
    current::Leader,
    send::{RETRY_DELAY_MAX, pause},
    track,
    view::View,
};

/// Why there is no registrar.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its keys.
    #[error("the registrar has no keys")]
    Keys(#[from] folder::Error),
    /// Its connection.
    #[error("the registrar can't reach the bus")]
    Bus(#[from] writ_bus::connection::Error),
}

/// Connects the registrar whose keys are in a folder.
pub(crate) async fn connect(url: &str, name: &Name, keys: &Path) -> Result<Registrar, Error> {
    let registrar = RegistrarKeys::load(keys)?;
    let client = writ_bus::connect(Options {
        url: url.to_owned(),
        login: Login::File(keys.join(folder::REGISTRAR)),
        inbox: format!("{}.{name}", accounts::REGISTRAR_INBOX),
        name: format!("registrar {name}"),
        first_connect: FirstConnect::Now,
    })
    .await?;
    Ok(Registrar::new(client, registrar).await?)
}

/// Keeps the bus at what the registry says, for ever.
pub(crate) async fn run(registrar: Registrar, leader: Leader) {
    let (sender, receiver) = watch::channel(None);
    tokio::join!(registrar.run(receiver), follow(leader, sender));
}

async fn follow(leader: Leader, sender: watch::Sender<Option<BTreeSet<PublicKey>>>) {
    // What this publisher has read when it starts may be behind the log by whatever it was fed.
    let mut views = leader.views.clone();
    let mut view = loop {
        match leader.view().await {
            Ok(view) => break view,
            Err(_) => pause(RETRY_DELAY_MAX).await,
        }
    };
    loop {
        if view.broken.is_none() && views.broken().is_none() {
            let revoked = revoked(&view);
            sender.send_if_modified(|known| {
                let is_new = known.as_ref() != Some(&revoked);
                if is_new {
                    tracing::info!(keys = revoked.len(), "the revoked keys are told to the bus");
                    *known = Some(revoked);
                }
                is_new
            });
        }
        view = match views.changed().await {
            Some(view) => view,
            // Nobody follows the log any more: this publisher ends.
            None => return,
        };
    }
}

/// The keys that the registry takes from their users: those of clusters that are cut off, for good, and
/// those that were given up, for as long as anything that was issued for them may last.
fn revoked(view: &View) -> BTreeSet<PublicKey> {
    let now_ms = track::wall_ms();
    let given_up = view
        .state
        .intents(Kind::Cluster)
        .flat_map(|intent| &intent.revoked)
        .filter(|of| of.at_ms.saturating_add(CREDENTIALS_LIFE_MAX_MS) > now_ms)
        .map(|of| of.bus.as_str());
    let cut_off = view
        .clusters()
        .filter(|cluster| cluster.phase == Phase::CutOff)
        .filter_map(|cluster| Some(cluster.keys.as_ref()?.bus.as_str()));
    given_up
        .chain(cut_off)
        .filter_map(|key| PublicKey::parse(key).ok())
        .collect()
}
