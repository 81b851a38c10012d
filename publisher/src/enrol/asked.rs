//! Who asked lately, and was not let in: for people who look.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use writ_core::{
    enrol::{Fingerprint, Refusal},
    name::ClusterName,
};

/// For how long it is shown: a cluster that waits asks every few seconds, one that was refused every
/// minute.
const SHOWN: Duration = Duration::from_secs(180);

/// Keys that are remembered of one cluster.
const KEYS_MAX: usize = 8;

/// Clusters of which anything is remembered.
const CLUSTERS_MAX: usize = 4_096;

/// A request that was not granted.
#[derive(Debug, Clone)]
struct Heard {
    fingerprint: Fingerprint,
    /// Nothing: it waits for an approval.
    refusal: Option<Refusal>,
    at: Instant,
}

/// The requests of late. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    heard: Arc<Mutex<BTreeMap<ClusterName, VecDeque<Heard>>>>,
}

impl Asked {
    /// Remembers a request; says whether it is news.
    pub(crate) fn note(
        &self,
        cluster: &ClusterName,
        fingerprint: Fingerprint,
        refusal: Option<Refusal>,
    ) -> bool {
        let now = Instant::now();
        let mut heard = self.lock();
        heard.retain(|_, keys| {
            keys.retain(|of| now.duration_since(of.at) < SHOWN);
            !keys.is_empty()
        });
        if heard.len() >= CLUSTERS_MAX && !heard.contains_key(cluster) {
            return false;
        }
        let keys = heard.entry(cluster.clone()).or_default();
        let before = keys.len();
        keys.retain(|of| (of.fingerprint, of.refusal) != (fingerprint, refusal));
        let is_news = keys.len() == before;
        if keys.len() >= KEYS_MAX {
            keys.pop_front();
        }
        keys.push_back(Heard {
            fingerprint,
            refusal,
            at: now,
        });
        is_news
    }

    /// A cluster was let in: what was heard of it before says nothing any more.
    pub(crate) fn forget(&self, cluster: &ClusterName) {
        self.lock().remove(cluster);
    }

    /// The keys that wait for an approval.
    pub(crate) fn waiting(&self, cluster: &ClusterName) -> Vec<String> {
        self.told(cluster, |of| match of.refusal {
            None => Some(of.fingerprint.to_string()),
            Some(_) => None,
        })
    }

    /// The requests that were refused, as `<reason> <fingerprint>`.
    pub(crate) fn refused(&self, cluster: &ClusterName) -> Vec<String> {
        self.told(cluster, |of| {
            let refusal = of.refusal?;
            Some(format!("{} {}", refusal.as_str(), of.fingerprint))
        })
    }

    fn told(&self, cluster: &ClusterName, tell: impl Fn(&Heard) -> Option<String>) -> Vec<String> {
        let heard = self.lock();
        let keys = heard.get(cluster).into_iter().flatten();
        keys.filter(|of| of.at.elapsed() < SHOWN)
            .filter_map(tell)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ClusterName, VecDeque<Heard>>> {
        // What a panic leaves is for people to look at, and ends by itself.
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use writ_core::model::ClusterKeys;

    use super::*;

    #[test]
    fn what_was_heard_is_told_once_and_bounded() {
        let asked = Asked::default();
        let cluster = ClusterName::parse("eu-prod-1").unwrap();
        let keys = |seed: usize| ClusterKeys {
            bus: format!("U{seed}"),
            ack: String::new(),
        };
        let print = |seed| Fingerprint::of(&cluster, &keys(seed));
        assert!(asked.note(&cluster, print(1), None));
        assert!(!asked.note(&cluster, print(1), None));
        assert!(asked.note(&cluster, print(1), Some(Refusal::TokenUsed)));
        assert_eq!(asked.waiting(&cluster), [print(1).to_string()]);
        assert_eq!(asked.refused(&cluster), [format!("TokenUsed {}", print(1))]);
        for seed in 2..20 {
            asked.note(&cluster, print(seed), None);
        }
        assert_eq!(asked.waiting(&cluster).len(), KEYS_MAX);
        asked.forget(&cluster);
        assert!(asked.waiting(&cluster).is_empty());
    }
}
