//! The log is lost and put back from a backup, and recovered from what the clusters hold: what
//! `writ recover` does, with its own comparing and building, over the modelled bus.

use std::{collections::BTreeMap, sync::Arc};

use writ_core::{
    edit::{Message, State},
    epoch,
    index::Entries,
    name::ClusterName,
    recover::{Copy, Found, Plan, Proof, Recall},
    root::Root,
    scope::Feed,
    subject::{BusSubject, Sender},
};
use writ_proto::{log, offer::Offer};

use super::{World, publisher_key};
use crate::{
    bus::{Batch, Stored, TAILS},
    shared::Fault,
};

/// Of a thousand clusters that could offer something, so many are not heard: in some recoveries nearly all
/// are, in others most are away.
const UNHEARD_PERMILLE: [usize; 2] = [150, 600];
/// The same of a cluster that alone knows something.
const UNHEARD_LED_PERMILLE: usize = 900;
/// Most batches that a backup is old: enough for a policy to be made, removed and forgotten since.
const BACK_MAX: u64 = 20;
/// Of a thousand recoveries, so many are interrupted before their root.
const INTERRUPTED_PERMILLE: usize = 200;

impl World {
    /// The log is lost, and put back from a backup some batches old.
    pub(super) fn restore_by_chance(&mut self) {
        let back = self.shared.lock().chance.between(1, BACK_MAX) as usize;
        self.restore(self.log.batches.len().saturating_sub(back).max(1));
    }

    /// The log is lost, and put back from a backup with so many batches.
    pub(super) fn restore(&mut self, batches: usize) {
        let now = self.now();
        for publisher in &mut self.publishers {
            publisher.follow(&self.log, u64::MAX / 2, now);
            // Its client hears nothing more.
            publisher.job = None;
        }
        self.log.restore(batches);
        self.restored = true;
        let recovers = self.shared.lock().chance.permille(700);
        let wait_ms = self.shared.lock().chance.between(200, 4_000);
        self.recover_at_ms = recovers.then_some(self.now_ms + wait_ms);
        self.shared.lock().note(Fault::LogRestored);
    }

    /// Recovers the log when somebody has come to that.
    pub(super) fn recover_when_due(&mut self) {
        let is_due = |at: u64| self.restored && self.now_ms >= at;
        if self.recover_at_ms.is_some_and(is_due) && self.now_ms >= self.leaderless_until_ms {
            self.recover();
        }
    }

    fn recover(&mut self) {
        let copy = self.read_log();
        let mut found = self.gather(&copy);
        if let Some(root) = &copy.root
            && let Ok(Some(opening)) = log::open_opening(root, &self.trusted.offline)
        {
            found.opening(&opening);
        }
        let plan = Plan::make(&copy, &found);
        let heard = copy.epoch_heard.max(found.highest.epoch);
        let epoch = self.epochs.take(heard, "");
        let recovery = plan.build(epoch, self.now_ms);
        let opening = log::seal(&recovery.opening, &self.offline).bytes;
        let root = Root {
            opening: Some(Arc::from(opening)),
            ..recovery.root
        };
        let mut plain = recovery.messages;
        let interrupted = {
            let mut shared = self.shared.lock();
            shared.faulty && shared.chance.permille(INTERRUPTED_PERMILLE)
        };
        if interrupted {
            let kept = self.shared.lock().chance.below(plain.len() + 1);
            plain.truncate(kept);
            self.recover_at_ms = Some(self.now_ms + 500);
            self.shared.lock().note(Fault::RecoveryInterrupted);
        } else {
            plain.push(Message::Root(root));
        }
        let key = publisher_key(0);
        let seal = |message: &Message| Stored {
            subject: message.subject(),
            bytes: log::seal_message(message, &key).bytes.into(),
        };
        let batch = Batch {
            messages: plain.iter().map(seal).collect(),
            plain,
            root: self.log.root(),
        };
        self.log.store(&batch);
        self.republish(&batch);
        if interrupted {
            return;
        }
        self.opened.insert(epoch);
        self.restored = false;
        self.recover_at_ms = None;
        self.follow_anew();
        let mut shared = self.shared.lock();
        shared.note(Fault::LogRecovered);
        shared.tell(|| format!("log: recovered in epoch {epoch}"));
        let mut revision = self.witness.revision();
        revision.number -= plan.items.len() as u64 - 1;
        for item in &plan.items {
            shared.auditor.recovered(item, revision);
            revision.number += 1;
        }
        shared.auditor.end_recovery();
        for (key, revision) in self.held_at_recovery.iter() {
            shared.auditor.check_recovered(key, *revision);
        }
    }

    fn read_log(&self) -> Copy {
        let trusted = &self.trusted;
        let all = (1..=self.log.len()).filter_map(|at| self.log.open(at, &trusted.publishers));
        Copy::read(all.map(|opened| opened.message.clone()), &self.opened)
    }

    /// The witness reads the log from its beginning.
    fn follow_anew(&mut self) {
        self.witness = State::with_tails(TAILS);
        for at in 1..=self.log.len() {
            let Some(opened) = self.log.open(at, &self.trusted.publishers) else {
                continue;
            };
            if let Message::Root(root) = &opened.message
                && let Ok(Some(opening)) = log::open_opening(root, &self.trusted.offline)
            {
                self.witness.admit(&opening);
            }
            let _ = self.witness.follow(opened.message.clone());
        }
    }

    /// Asks the clusters for all that they hold above the log.
    fn gather(&mut self, copy: &Copy) -> Found {
        let mut found = Found::default();
        self.held_at_recovery.clear();
        self.ids += 1;
        let most_are_away = self.shared.lock().chance.permille(500);
        let unheard_permille = UNHEARD_PERMILLE[usize::from(most_are_away)];
        for at in 0..self.clusters.len() {
            let identity = &self.clusters[at].identity;
            found.listener(&identity.region, &identity.stage);
            let unheard_permille = match self.led.is_some_and(|led| led.cluster == at) {
                true => UNHEARD_LED_PERMILLE,
                false => unheard_permille,
            };
            if self.shared.lock().chance.permille(unheard_permille) {
                continue;
            }
            let recall = Recall {
                above: copy.revision(),
                clusters: vec![identity.name.clone()],
                feeds: Vec::new(),
                issued_ms: self.now_ms * 100 + self.ids,
            };
            let sender = Sender {
                region: identity.region.clone(),
                stage: identity.stage.clone(),
                cluster: identity.name.clone(),
            };
            let recall = log::seal(&recall, &publisher_key(0)).bytes;
            let offers = self.clusters[at].recall(&recall, self.now_ms);
            self.take(&sender, &offers, &mut found);
        }
        found
    }

    /// Takes what a cluster offers, as far as publishers signed it.
    fn take(&mut self, sender: &Sender, offers: &[Vec<u8>], found: &mut Found) {
        let publishers = &self.trusted.publishers;
        let highest = self.opened.last().copied().unwrap_or(epoch::FIRST);
        let holder = sender.cluster.to_string();
        let mut roots: BTreeMap<ClusterName, Root> = BTreeMap::new();
        let mut entries: BTreeMap<Feed, Entries> = BTreeMap::new();
        for bytes in offers {
            let offer = Offer::decode(&BusSubject::Offer(sender.clone()), bytes).expect("an offer");
            if let Ok(root) = log::open::<Root>(&BusSubject::Root, &offer.root, publishers) {
                if let Ok(Some(opening)) = log::open_opening(&root.value, &self.trusted.offline) {
                    found.opening(&opening);
                }
                roots.insert(sender.cluster.clone(), root.value);
            }
            for event in &offer.events {
                if let Ok(event) = log::open_event(event, publishers)
                    && event.revision.epoch <= highest
                {
                    let key = (event.feed.kind.into(), event.name.clone());
                    let known = self.held_at_recovery.entry(key).or_default();
                    *known = event.revision.max(*known);
                    found.event(&holder, event);
                }
            }
            for offered in offer.feeds {
                let so_far = entries.entry(offered.feed.clone()).or_default();
                so_far.extend(offered.entries);
                if offered.goes_on {
                    continue;
                }
                let whole = entries.remove(&offered.feed).unwrap_or_default();
                let proof = match offered.proof.is_empty() {
                    true => roots.get(&sender.cluster).cloned().map(Proof::Root),
                    false => log::open_event(&offered.proof, publishers)
                        .ok()
                        .map(Proof::Event),
                };
                if let Some(proof) = proof {
                    let _ = found.feed(&holder, &offered.feed, offered.revision, whole, &proof);
                }
            }
        }
    }
}
