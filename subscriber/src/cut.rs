//! The root that this cluster last agreed with, and what its feeds held then: ConfigMap
//! `writ-system/writ-cut`. With it a subscriber that missed nothing reads one small message after a
//! restart, and a log that was lost finds here what was in force.
//!
//! Nothing in it is believed by itself: the root is verified again, entries count where their digest is
//! the one that the root states. So a lost or damaged one costs reads, and nothing else. It is apart
//! from `writ-state`, which is written with every ack and has to stay small.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use serde_json::{Map, Value};
use writ_core::{follower::Follower, model::ObjectRef, revision::Revision, scope::Feed};

use crate::{
    cluster::{ClusterApi, Error},
    evidence::Evidence,
    resource::{CONFIG_MAPS, SYSTEM_NAMESPACE},
};

/// Name of the ConfigMap.
pub const CUT_NAME: &str = "writ-cut";
/// Most bytes that are kept, before base64; a ConfigMap takes 1 MiB. What is larger is read from the log
/// again after a restart.
pub const CUT_BYTES_MAX: usize = 512 * 1024;

const ROOT: &str = "root";
const FEED_PREFIX: &str = "feed.";

/// What is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cut {
    /// The root, as it was signed.
    pub root: Vec<u8>,
    /// The entries of each feed at that root.
    pub feeds: BTreeMap<Feed, Vec<u8>>,
}

impl Cut {
    fn bytes(&self) -> usize {
        self.root.len() + self.feeds.values().map(Vec::len).sum::<usize>()
    }
}

/// The root that all own feeds are equal to now, with its revision; nothing where they are not, or where
/// the root is not at hand as it was signed.
pub(crate) fn newest(follower: &Follower, evidence: &Evidence) -> Option<(Revision, Cut)> {
    let revision = follower.cut()?.revision;
    let signed = evidence.root_of(follower)?;
    let (root, feeds) = follower.held_at_root()?;
    if root.revision != revision {
        return None;
    }
    let entries = feeds.iter().map(|held| {
        let bytes = writ_proto::offer::entries_to_bytes(&held.entries);
        (held.feed.clone(), bytes)
    });
    let cut = Cut {
        root: signed.to_vec(),
        feeds: entries.collect(),
    };
    Some((revision, cut))
}

/// Reads what is kept; nothing where there is none or it can't be read.
///
/// # Errors
/// Where the API server can't be asked.
pub async fn load(api: &impl ClusterApi) -> Result<Option<Cut>, Error> {
    Ok(api.get(&reference()).await?.as_ref().and_then(read))
}

/// Keeps it. The ConfigMap is part of the installation and never made here; without it nothing is kept.
///
/// # Errors
/// Where the API server does not take it; it is kept with the next one.
pub async fn save(api: &impl ClusterApi, cut: &Cut) -> Result<(), Error> {
    if cut.bytes() > CUT_BYTES_MAX {
        return Ok(());
    }
    let Some(mut found) = api.get(&reference()).await? else {
        return Ok(());
    };
    if read(&found).as_ref() == Some(cut) {
        return Ok(());
    }
    let mut binary = Map::new();
    binary.insert(ROOT.to_owned(), BASE64.encode(&cut.root).into());
    for (feed, bytes) in &cut.feeds {
        binary.insert(format!("{FEED_PREFIX}{feed}"), BASE64.encode(bytes).into());
    }
    found["binaryData"] = Value::Object(binary);
    api.replace(&reference(), &found).await.map(drop)
}

fn reference() -> ObjectRef {
    CONFIG_MAPS.reference(Some(SYSTEM_NAMESPACE), CUT_NAME)
}

fn read(found: &Value) -> Option<Cut> {
    let mut cut = Cut::default();
    for (key, value) in found["binaryData"].as_object()? {
        let bytes = BASE64.decode(value.as_str()?.as_bytes()).ok()?;
        match key.strip_prefix(FEED_PREFIX) {
            Some(feed) => drop(cut.feeds.insert(feed.parse().ok()?, bytes)),
            None if key == ROOT => cut.root = bytes,
            None => {}
        }
    }
    (!cut.root.is_empty()).then_some(cut)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fake::Fake;

    fn cut() -> Cut {
        Cut {
            root: b"root".to_vec(),
            feeds: BTreeMap::from([("policy.eu.prod".parse().unwrap(), b"entries".to_vec())]),
        }
    }

    #[tokio::test]
    async fn it_reads_back_as_it_was_kept_and_is_never_made() {
        let api = Fake::default();
        save(&api, &cut()).await.unwrap();
        assert_eq!(
            load(&api).await.unwrap(),
            None,
            "there is nowhere to keep it"
        );
        api.put(&reference(), json!({"metadata": {"name": CUT_NAME}}));
        save(&api, &cut()).await.unwrap();
        assert_eq!(load(&api).await.unwrap(), Some(cut()));
    }

    #[tokio::test]
    async fn what_is_damaged_or_too_large_counts_as_missing() {
        let api = Fake::default();
        api.put(&reference(), json!({"binaryData": {"root": "***"}}));
        assert_eq!(load(&api).await.unwrap(), None);
        let mut large = cut();
        large.root = vec![7; CUT_BYTES_MAX + 1];
        save(&api, &large).await.unwrap();
        assert_eq!(load(&api).await.unwrap(), None);
    }
}
