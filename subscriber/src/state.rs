//! What the subscriber keeps that is not about one policy: the highest revisions seen, its boot
//! counter, its last ack, its own registry entry, and the newest trust bundle. One ConfigMap, `writ-system/writ-state`.
//!
//! Every write names the state that it builds on: two subscribers in one cluster find each other by
//! the conflict. The ConfigMap is part of the installation; it is never created here, so that a
//! lost one is noticed and not taken for a first start.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use writ_core::follower::{Before, Follower};
use writ_core::model::ObjectRef;
use writ_core::name::Name;
use writ_core::revision::{Generation, Revision};
use writ_core::scope::Feed;

use crate::cluster::{self, ClusterApi};
use crate::resource::{CONFIG_MAPS, SYSTEM_NAMESPACE};

/// Name of the ConfigMap.
pub const STATE_NAME: &str = "writ-state";

const BOOT: &str = "boot";
const SEEN: &str = "seen";
const BEFORE: &str = "before";
const ACK: &str = "ack";
const OWN: &str = "own";
const TRUST: &str = "trust";
const ENROLMENT: &str = "enrolment";

/// The state, as it is now in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// How often a subscriber has started here.
    pub boot: u64,
    /// The highest revision seen of each feed.
    pub seen: BTreeMap<Feed, Revision>,
    /// The lists of earlier epochs that were younger than what the log was recovered from.
    pub before: BTreeMap<Feed, Before>,
    /// The last ack, as it was signed and sent.
    pub ack: Option<Vec<u8>>,
    /// The signed event of the cluster's own registry entry: its mode holds from the start, also where
    /// nothing may be mirrored.
    pub own: Option<Vec<u8>>,
    /// The newest trust bundle, as the offline key signed it.
    pub trust: Option<Vec<u8>>,
    /// How enrolment stands, for people.
    pub enrolment: Option<String>,
}

impl State {
    /// Tells a follower that begins what an earlier one had seen (4).
    pub(crate) fn remind(&self, follower: &mut Follower) {
        for (feed, revision) in &self.seen {
            follower.restore_seen(feed, *revision);
        }
        for (feed, before) in &self.before {
            follower.restore_before(feed, before.clone());
        }
    }
}

/// Why the state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ConfigMap is not there. Applying the subscriber's manifest brings it back; the seen
    /// revisions are lost with it.
    #[error(
        "ConfigMap {SYSTEM_NAMESPACE}/{STATE_NAME} is missing: apply the subscriber's manifest"
    )]
    Missing,
    /// Somebody else wrote it: another subscriber runs in this cluster.
    #[error("ConfigMap {SYSTEM_NAMESPACE}/{STATE_NAME} was written by another subscriber")]
    TwoSubscribers,
    /// An entry has another form.
    #[error("entry {0:?} of ConfigMap {SYSTEM_NAMESPACE}/{STATE_NAME} cannot be read")]
    Entry(String),
    /// The call failed.
    #[error("reach the state in the cluster")]
    Cluster(#[source] cluster::Error),
}

/// Access to the ConfigMap. It remembers which state of it is ours.
pub struct StateStore<C> {
    api: C,
    found: Value,
}

impl<C: ClusterApi> StateStore<C> {
    /// Reads the state.
    pub async fn load(api: C) -> Result<(StateStore<C>, State), Error> {
        let found = api
            .get(&reference())
            .await
            .map_err(Error::Cluster)?
            .ok_or(Error::Missing)?;
        let state = read(&found)?;
        Ok((StateStore { api, found }, state))
    }

    /// Writes the state. After [`Error::TwoSubscribers`] every further write fails too, until the
    /// state is loaded again: the decision which of the two goes on is not made here.
    ///
    /// A write whose answer was lost looks like somebody else's; the content tells them apart.
    pub async fn save(&mut self, state: &State) -> Result<(), Error> {
        let wanted = render(&self.found, state);
        if wanted == self.found {
            return Ok(());
        }
        match self.api.replace(&reference(), &wanted).await {
            Ok(written) => self.found = written.content,
            Err(error) if error.kind == cluster::ErrorKind::Conflict => {
                let now = self.api.get(&reference()).await.map_err(Error::Cluster)?;
                let now = now.ok_or(Error::Missing)?;
                if read(&now)? != read(&wanted)? {
                    return Err(Error::TwoSubscribers);
                }
                self.found = now;
            }
            Err(error) if error.kind == cluster::ErrorKind::Missing => return Err(Error::Missing),
            Err(error) => return Err(Error::Cluster(error)),
        }
        Ok(())
    }
}

/// A list of an earlier epoch, as it is stored.
#[derive(Serialize, Deserialize)]
struct ListBefore {
    at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    bygone: Option<BTreeMap<Name, u64>>,
}

impl ListBefore {
    fn of(before: &Before) -> ListBefore {
        let names = before.bygone.as_ref().map(|names| {
            let name = |(name, generation): (&Name, &Generation)| (name.clone(), generation.0);
            names.iter().map(name).collect()
        });
        ListBefore {
            at: before.revision.to_string(),
            bygone: names,
        }
    }

    fn read(self) -> Option<Before> {
        let names = self.bygone.map(|names| {
            let name = |(name, generation)| (name, Generation(generation));
            names.into_iter().map(name).collect()
        });
        Some(Before {
            revision: revision(&self.at)?,
            bygone: names,
        })
    }
}

fn reference() -> ObjectRef {
    CONFIG_MAPS.reference(Some(SYSTEM_NAMESPACE), STATE_NAME)
}

fn render(found: &Value, state: &State) -> Value {
    let seen: BTreeMap<String, String> = state
        .seen
        .iter()
        .map(|(feed, at)| (feed.to_string(), at.to_string()))
        .collect();
    let mut binary = Map::new();
    let mut keep = |key: String, bytes: &[u8]| binary.insert(key, BASE64.encode(bytes).into());
    if let Some(ack) = &state.ack {
        keep(ACK.to_owned(), ack);
    }
    if let Some(own) = &state.own {
        keep(OWN.to_owned(), own);
    }
    if let Some(trust) = &state.trust {
        keep(TRUST.to_owned(), trust);
    }
    let mut wanted = found.clone();
    wanted["data"] = json!({
        BOOT: state.boot.to_string(),
        SEEN: serde_json::to_string(&seen).unwrap_or_default(),
    });
    if !state.before.is_empty() {
        let list = |(feed, before): (&Feed, &Before)| (feed.to_string(), ListBefore::of(before));
        let lists: BTreeMap<String, ListBefore> = state.before.iter().map(list).collect();
        wanted["data"][BEFORE] = serde_json::to_string(&lists).unwrap_or_default().into();
    }
    if let Some(enrolment) = &state.enrolment {
        wanted["data"][ENROLMENT] = enrolment.as_str().into();
    }
    wanted["binaryData"] = Value::Object(binary);
    wanted
}

/// What is stored of each feed; nothing where it can't be read.
fn by_feed<S: DeserializeOwned, T>(
    text: Option<&str>,
    read: impl Fn(S) -> Option<T>,
) -> Option<BTreeMap<Feed, T>> {
    let stored: BTreeMap<String, S> = serde_json::from_str(text.unwrap_or("{}")).ok()?;
    let one = |(feed, stored): (String, S)| Some((feed.parse().ok()?, read(stored)?));
    stored.into_iter().map(one).collect()
}

fn read(found: &Value) -> Result<State, Error> {
    let text = |key: &str| found["data"][key].as_str();
    let unreadable = |key: &str| Error::Entry(key.to_owned());
    let boot = text(BOOT)
        .map_or(Ok(0), str::parse)
        .map_err(|_| unreadable(BOOT))?;
    let seen = by_feed(text(SEEN), |at: String| revision(&at)).ok_or_else(|| unreadable(SEEN))?;
    let before = by_feed(text(BEFORE), ListBefore::read).ok_or_else(|| unreadable(BEFORE))?;
    let mut state = State {
        boot,
        seen,
        before,
        ack: None,
        own: None,
        trust: None,
        enrolment: text(ENROLMENT).map(str::to_owned),
    };
    for (key, value) in found["binaryData"].as_object().into_iter().flatten() {
        let bytes = value
            .as_str()
            .and_then(|text| BASE64.decode(text.as_bytes()).ok());
        let bytes = bytes.ok_or_else(|| unreadable(key))?;
        match key.as_str() {
            ACK => state.ack = Some(bytes),
            OWN => state.own = Some(bytes),
            TRUST => state.trust = Some(bytes),
            _ => return Err(unreadable(key)),
        }
    }
    Ok(state)
}

/// A revision as [`Revision`] displays it; `0` is the one below every edit.
fn revision(text: &str) -> Option<Revision> {
    if text == "0" {
        Some(Revision::ZERO)
    } else {
        text.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> State {
        let feed: Feed = "policy.eu.prod".parse().unwrap();
        State {
            boot: 4,
            seen: BTreeMap::from([
                (feed, "2:17".parse().unwrap()),
                ("cluster.all.all".parse().unwrap(), Revision::ZERO),
            ]),
            before: BTreeMap::from([
                (
                    "policy.eu.prod".parse().unwrap(),
                    Before {
                        revision: "17".parse().unwrap(),
                        bygone: Some(BTreeMap::from([(Name::parse("x").unwrap(), Generation(4))])),
                    },
                ),
                (
                    "policy.eu.all".parse().unwrap(),
                    Before {
                        revision: "17".parse().unwrap(),
                        bygone: None,
                    },
                ),
            ]),
            ack: Some(b"ack".to_vec()),
            own: Some(b"own".to_vec()),
            trust: Some(b"trust".to_vec()),
            enrolment: Some("active".to_owned()),
        }
    }

    #[test]
    fn the_state_reads_back_as_it_was_written() {
        let found = json!({"metadata": {"name": STATE_NAME, "resourceVersion": "7"}});
        let written = render(&found, &state());
        assert_eq!(written["metadata"], found["metadata"]);
        assert_eq!(read(&written).unwrap(), state());
        assert_eq!(read(&found).unwrap(), State::default());
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_an_error_and_not_a_first_start() {
        let good = render(&json!({}), &state());
        for (pointer, value) in [
            ("/data/seen", "{\"policy.eu.prod\":\"x\"}"),
            ("/data/boot", "four"),
            ("/data/before", "{\"policy.eu.prod\":{\"at\":\"x\"}}"),
            ("/binaryData/ack", "***"),
        ] {
            let mut changed = good.clone();
            *changed.pointer_mut(pointer).unwrap() = value.into();
            assert!(matches!(read(&changed), Err(Error::Entry(_))), "{pointer}");
        }
    }
}
