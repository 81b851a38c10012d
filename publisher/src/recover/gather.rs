//! What the clusters hold: who is there, who holds the most of each feed, and that, asked for.
//!
//! Nobody is believed: events, roots and proofs are opened under the publishers' keys, what clusters
//! claim in acks and pulses only says whom to ask. What one cluster may hand in is bounded.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::{Instant, timeout_at};
use writ_bus::{
    live::{self, Live, Signal},
    log as bus_log,
    streams::Stream,
};
use writ_core::{
    index::Entries,
    name::ClusterName,
    recover::{Copy, Found, Proof, Recall},
    revision::Revision,
    root::Root,
    scope::Feed,
    subject::{BusSubject, Sender},
};
use writ_proto::{
    log::{self, claimed_state},
    offer::Offer,
};
use writ_telemetry::describe;

use super::{Error, Tool};
use crate::track::wall_ms;

/// Longest wait for the offers to one recall.
const OFFERS_TIME_MAX: Duration = Duration::from_secs(10);
/// Silence after which no further offer is expected.
const OFFERS_SILENCE_MAX: Duration = Duration::from_secs(2);
/// Most bytes that are taken from one cluster: a whole log is 2 GiB at most, what is in force far less.
const OFFER_BYTES_MAX: usize = 256 << 20;
/// Most bytes that are taken in all.
const OFFERS_BYTES_MAX: usize = 1 << 30;
/// Clusters that are asked for the same feed at once: one may be gone, or lying.
const HOLDERS_ASKED: usize = 2;
/// Most rounds of asking.
const ROUNDS_MAX: usize = 16;

/// What a cluster says that it holds, by its last word.
#[derive(Debug, Clone, Default)]
pub(super) struct Claim {
    pub(super) revision: Revision,
    pub(super) feeds: BTreeMap<Feed, Revision>,
    /// It gave a sign of life just now, and can be asked.
    pub(super) is_live: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) found: Found,
    pub(super) claims: BTreeMap<Sender, Claim>,
    /// Clusters that offered something.
    pub(super) answered: BTreeSet<ClusterName>,
    /// The highest epoch that anybody speaks of.
    pub(super) epoch_heard: u64,
    /// The highest epoch that the offline key is known to have opened.
    highest_epoch: u64,
    /// What was handed in and proven by nothing.
    pub(super) unproven: usize,
    bytes: BTreeMap<ClusterName, usize>,
}

pub(super) async fn gather(
    tool: &Tool,
    copy: &Copy,
    highest_epoch: u64,
) -> Result<Gathered, Error> {
    let mut gathered = Gathered::default();
    let mut live = live::listen_for_offers(&tool.client)
        .await
        .map_err(Error::Bus)?;
    gathered.read_acks(tool).await?;
    gathered.highest_epoch = highest_epoch;
    let above = tool.args.above.unwrap_or(copy.revision());
    // Who holds more says so at once; who holds less gives its next pulse.
    recall(tool, above, Vec::new(), Vec::new()).await?;
    let until = Instant::now() + Duration::from_secs(tool.args.listen_s);
    gathered.listen(tool, &mut live, until, None).await;
    let mut asked: BTreeSet<(Feed, ClusterName)> = BTreeSet::new();
    for _ in 0..ROUNDS_MAX {
        let questions = gathered.questions(above, &mut asked);
        if questions.is_empty() {
            break;
        }
        for (clusters, feeds) in questions {
            let waits = clusters.iter().cloned().collect();
            recall(tool, above, clusters, feeds).await?;
            let until = Instant::now() + OFFERS_TIME_MAX;
            gathered.listen(tool, &mut live, until, Some(waits)).await;
        }
    }
    Ok(gathered)
}

async fn recall(
    tool: &Tool,
    above: Revision,
    clusters: Vec<ClusterName>,
    feeds: Vec<Feed>,
) -> Result<(), Error> {
    let recall = Recall {
        above,
        clusters,
        feeds,
        issued_ms: wall_ms(),
    };
    let bytes = log::seal(&recall, &tool.key).bytes.into();
    live::publish_recall(&tool.client, bytes)
        .await
        .map_err(Error::Bus)
}

impl Gathered {
    /// The last words of all clusters, also of those that are silent now.
    async fn read_acks(&mut self, tool: &Tool) -> Result<(), Error> {
        let stored = match bus_log::read_all(&tool.client, Stream::Acks).await {
            Ok((stored, _)) => stored,
            Err(bus_log::Error::Stream(error)) => {
                tracing::warn!("no acks are left: {}", describe(&error));
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        for stored in stored {
            if let BusSubject::Ack(sender) = &stored.subject {
                self.claim(sender, &stored.bytes, false);
            }
        }
        Ok(())
    }

    fn claim(&mut self, sender: &Sender, bytes: &[u8], is_live: bool) {
        let Some((revision, feeds)) = claimed_state(bytes) else {
            return;
        };
        self.epoch_heard = self.epoch_heard.max(revision.epoch);
        self.found.listener(&sender.region, &sender.stage);
        let claim = self.claims.entry(sender.clone()).or_default();
        claim.is_live |= is_live;
        claim.revision = claim.revision.max(revision);
        for (feed, state) in feeds {
            let known = claim.feeds.entry(feed).or_insert(Revision::ZERO);
            *known = state.revision.max(*known);
        }
    }

    /// Whom to ask next for what: of each feed above the log those who claim the most of it, then the
    /// next ones while anything that is listed is not at hand.
    fn questions(
        &self,
        above: Revision,
        asked: &mut BTreeSet<(Feed, ClusterName)>,
    ) -> Vec<(Vec<ClusterName>, Vec<Feed>)> {
        let mut by_feed: BTreeMap<&Feed, Vec<(Revision, &ClusterName)>> = BTreeMap::new();
        for (sender, claim) in self.claims.iter().filter(|(_, claim)| claim.is_live) {
            for (feed, revision) in claim.feeds.iter().filter(|(_, at)| **at > above) {
                by_feed
                    .entry(feed)
                    .or_default()
                    .push((*revision, &sender.cluster));
            }
        }
        let mut groups: BTreeMap<Vec<ClusterName>, Vec<Feed>> = BTreeMap::new();
        for (feed, mut holders) in by_feed {
            holders.sort_by(|a, b| b.cmp(a));
            let highest = holders.first().map_or(Revision::ZERO, |(at, _)| *at);
            let is_found = self
                .found
                .feed_revision(feed)
                .is_some_and(|at| at >= highest)
                && self.found.missing(feed, above).is_empty();
            if is_found {
                continue;
            }
            let next: Vec<ClusterName> = holders
                .into_iter()
                .map(|(_, cluster)| cluster.clone())
                .filter(|cluster| !asked.contains(&(feed.clone(), cluster.clone())))
                .take(HOLDERS_ASKED)
                .collect();
            asked.extend(next.iter().map(|cluster| (feed.clone(), cluster.clone())));
            if !next.is_empty() {
                groups.entry(next).or_default().push(feed.clone());
            }
        }
        groups.into_iter().collect()
    }

    /// Takes pulses and offers until a time, or until all who were asked have ended their offers.
    async fn listen(
        &mut self,
        tool: &Tool,
        live: &mut Live,
        until: Instant,
        mut waits: Option<BTreeSet<ClusterName>>,
    ) {
        let mut entries: BTreeMap<(ClusterName, Feed), Entries> = BTreeMap::new();
        let mut roots: BTreeMap<ClusterName, Root> = BTreeMap::new();
        let mut quiet_at = Instant::now() + OFFERS_SILENCE_MAX;
        while waits.as_ref().is_none_or(|waits| !waits.is_empty()) {
            let wake = if waits.is_some() {
                until.min(quiet_at)
            } else {
                until
            };
            let Ok(Some(signal)) = timeout_at(wake, live.next()).await else {
                return;
            };
            let Signal::Message { subject, bytes, .. } = signal else {
                continue;
            };
            match &subject {
                BusSubject::Pulse(sender) => self.claim(sender, &bytes, true),
                BusSubject::Offer(sender) => {
                    quiet_at = Instant::now() + OFFERS_SILENCE_MAX;
                    let of_sender = self.bytes.entry(sender.cluster.clone()).or_default();
                    *of_sender += bytes.len();
                    let total: usize = self.bytes.values().sum();
                    if self.bytes[&sender.cluster] > OFFER_BYTES_MAX || total > OFFERS_BYTES_MAX {
                        tracing::warn!(cluster = %sender.cluster, "it offers more than is taken");
                        continue;
                    }
                    let Ok(offer) = Offer::decode(&subject, &bytes) else {
                        self.unproven += 1;
                        continue;
                    };
                    if offer.is_last
                        && let Some(waits) = &mut waits
                    {
                        waits.remove(&sender.cluster);
                    }
                    self.take(tool, offer, &mut entries, &mut roots);
                }
                _ => {}
            }
        }
    }

    fn take(
        &mut self,
        tool: &Tool,
        offer: Offer,
        entries: &mut BTreeMap<(ClusterName, Feed), Entries>,
        roots: &mut BTreeMap<ClusterName, Root>,
    ) {
        let publishers = tool.trust.bundle.keyring();
        let cluster = offer.sender.cluster.clone();
        let holder = cluster.to_string();
        self.answered.insert(cluster.clone());
        if !offer.root.is_empty() {
            match log::open::<Root>(&BusSubject::Root, &offer.root, &publishers) {
                Ok(root) => {
                    let opening = log::open_opening(&root.value, &tool.trust.offline_keyring());
                    if let Ok(Some(opening)) = opening {
                        self.highest_epoch = self.highest_epoch.max(opening.revision.epoch);
                        self.found.opening(&opening);
                    }
                    if root.value.revision.epoch <= self.highest_epoch {
                        roots.insert(cluster.clone(), root.value);
                    }
                }
                Err(_) => self.unproven += 1,
            }
        }
        let highest_epoch = self.highest_epoch;
        let is_open = |at: Revision| at.epoch <= highest_epoch;
        for event in &offer.events {
            match log::open_event(event, &publishers) {
                Ok(event) if is_open(event.revision) => self.found.event(&holder, event),
                _ => self.unproven += 1,
            }
        }
        for offered in offer.feeds {
            let place = (cluster.clone(), offered.feed.clone());
            let so_far = entries.entry(place.clone()).or_default();
            so_far.extend(offered.entries);
            if offered.goes_on {
                continue;
            }
            let whole = entries.remove(&place).unwrap_or_default();
            let proof = if offered.proof.is_empty() {
                roots.get(&cluster).cloned().map(Proof::Root)
            } else {
                let event = log::open_event(&offered.proof, &publishers);
                event
                    .ok()
                    .filter(|event| is_open(event.revision))
                    .map(Proof::Event)
            };
            let taken = proof.map(|proof| {
                self.found
                    .feed(&holder, &offered.feed, offered.revision, whole, &proof)
            });
            if !matches!(taken, Some(Ok(()))) {
                self.unproven += 1;
            }
        }
    }
}
