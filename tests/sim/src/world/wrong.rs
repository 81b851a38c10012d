//! What goes wrong: the bus, processes, attackers, people and an old log, as the seed draws them.

use writ_core::{
    edit::{Group, Message},
    model::ObjectRef,
    subject::BusSubject,
};
use writ_proto::log;
use writ_subscriber::resource::NAMESPACES;

use super::{BY_HAND_MAX, PUBLISHERS, STEPS, World};
use crate::{
    api::{self, Maker, foreign},
    documents::{self, CLUSTERS, FORGED_FROM, POLICIES, TEAMS},
    shared::Fault,
};

impl World {
    pub(super) fn go_wrong(&mut self) {
        let (at, cluster) = {
            let mut shared = self.shared.lock();
            (
                shared.chance.below(PUBLISHERS),
                shared.chance.below(CLUSTERS.len()),
            )
        };
        if !self.restored && self.shared.lock().chance.permille(260) {
            let count = self.shared.lock().chance.pick(&[1, 1, 1, 2, 4]);
            for _ in 0..count {
                self.edit_by_chance(at);
            }
        } else if self.restored && self.shared.lock().chance.permille(200) {
            self.edit_by_chance(at);
        }
        self.lead();
        if !self.restored && self.shared.strikes(Fault::PublisherKilled, 12) {
            let now = self.now();
            self.publishers[at].restart(now);
        }
        if self.shared.strikes(Fault::PublisherPaused, 15) {
            let pause_ms = self.shared.lock().chance.between(100, 2_000);
            self.publishers[at].paused_until_ms = self.now_ms + pause_ms;
        }
        if self.shared.strikes(Fault::SubscriberKilled, 8) {
            self.clusters[cluster].kill();
            if self.shared.lock().chance.permille(200) {
                let down_ms = self.shared.lock().chance.between(500, 6_000);
                self.clusters[cluster].down_until_ms = self.now_ms + down_ms;
            }
        }
        if self.shared.strikes(Fault::Partition, 8) {
            let cut_ms = self.shared.lock().chance.between(200, 5_000);
            self.clusters[cluster].cut_off_until_ms = self.now_ms + cut_ms;
        }
        if self.shared.strikes(Fault::ApiAway, 6) {
            let away_ms = self.shared.lock().chance.between(200, 3_000);
            self.clusters[cluster].away_until_ms = self.now_ms + away_ms;
        }
        self.attack(cluster);
        self.by_hand(cluster);
        let is_due = self.steps > STEPS / 3 && self.log.batches.len() > 8;
        if self.restores && is_due && !self.is_led_to_restore() {
            // Once in a history.
            self.restores = false;
            self.restore_by_chance();
        }
    }

    fn edit_by_chance(&mut self, publisher: usize) {
        self.ids += 1;
        let made = documents::random(&mut self.shared.lock().chance, self.ids);
        if !self.is_in_the_way(&made) {
            self.publishers[publisher].waiting.push_back(made);
        }
    }

    /// Somebody waits for a subscriber to start again, and then replays what it may have forgotten.
    pub(super) fn replay_at_start(&mut self, cluster: usize) {
        if !std::mem::take(&mut self.clusters[cluster].is_fresh) || self.events.is_empty() {
            return;
        }
        if !self.shared.strikes(Fault::ReplayedAtStart, 500) {
            return;
        }
        for _ in 0..12 {
            let (subject, bytes) = self.shared.lock().chance.pick(&self.events);
            self.clusters[cluster].send(self.now_ms, &subject, &bytes);
        }
    }

    /// Messages that nobody should believe, or not any more.
    fn attack(&mut self, cluster: usize) {
        if self.shared.strikes(Fault::Replayed, 60) && !self.events.is_empty() {
            let (subject, bytes) = self.shared.lock().chance.pick(&self.events);
            self.clusters[cluster].send(self.now_ms, &subject, &bytes);
        }
        if self.shared.strikes(Fault::BeatOld, 30) && !self.beats.is_empty() {
            let bytes = self.shared.lock().chance.pick(&self.beats);
            self.clusters[cluster].send(self.now_ms, &BusSubject::Beat, &bytes);
        }
        if self.shared.strikes(Fault::Forged, 25) {
            self.forge(cluster);
        }
        if self.shared.strikes(Fault::WrongScope, 20) && !self.events.is_empty() {
            let (_, bytes) = self.shared.lock().chance.pick(&self.events);
            let (subject, _) = self.shared.lock().chance.pick(&self.events);
            self.clusters[cluster].send(self.now_ms, &subject, &bytes);
        }
        for fault in [Fault::Truncated, Fault::BitFlipped] {
            if self.shared.strikes(fault, 15) && !self.events.is_empty() {
                let (subject, bytes) = self.shared.lock().chance.pick(&self.events);
                let mut bytes = bytes.to_vec();
                let at = self.shared.lock().chance.below(bytes.len());
                match fault {
                    Fault::Truncated => bytes.truncate(at),
                    _ => bytes[at] ^= 1 << self.shared.lock().chance.below(8),
                }
                self.clusters[cluster].send(self.now_ms, &subject, &bytes.into());
            }
        }
        if self.shared.strikes(Fault::Flood, 4) && !self.events.is_empty() {
            for _ in 0..200 {
                let (subject, bytes) = self.shared.lock().chance.pick(&self.events);
                self.clusters[cluster].send(self.now_ms, &subject, &bytes);
            }
        }
    }

    /// The next edit as the log would say it, signed by a key that nobody trusts.
    fn forge(&mut self, cluster: usize) {
        let name = self.shared.lock().chance.pick(&POLICIES);
        let id = FORGED_FROM + self.steps;
        let made = documents::policy(name, &serde_json::json!({"all": true}), 0, id);
        let mut group = Group::new(&self.witness);
        group.add(&made.edit);
        for message in group.finish().messages {
            if let Message::Event(event) = &message {
                let live = BusSubject::Live {
                    feed: event.feed.clone(),
                    name: event.name.clone(),
                };
                let bytes = log::seal_message(&message, &self.attacker).bytes;
                self.clusters[cluster].send(self.now_ms, &live, &bytes.into());
            }
        }
    }

    /// People change what is in a cluster.
    fn by_hand(&mut self, cluster: usize) {
        let mut shared = self.shared.lock();
        let change = shared.strikes(Fault::HandChange, 12);
        let delete = shared.strikes(Fault::HandDelete, 12);
        let unmark = shared.strikes(Fault::HandMark, 8);
        let bury = shared.strikes(Fault::HandNamespace, 6);
        let foreign_object = shared.strikes(Fault::ForeignObject, 6);
        let relabel = shared.strikes(Fault::HandLabel, 10);
        let roles = |made_by_us: bool| -> Vec<ObjectRef> {
            let shelf = self.clusters[cluster].api.lock();
            let of = |(at, object): &(&ObjectRef, &api::Object)| {
                matches!(
                    at.kind.as_str(),
                    "ClusterRole" | "Role" | "ClusterRoleBinding" | "RoleBinding"
                ) && (object.maker == Maker::Writ) == made_by_us
            };
            shelf
                .objects
                .iter()
                .filter(of)
                .map(|(at, _)| at.clone())
                .collect()
        };
        let ours = roles(true);
        let at = (!ours.is_empty()).then(|| shared.chance.pick(&ours));
        let name = shared.chance.pick(&POLICIES);
        let gone_after_ms = shared.chance.between(50, 1_500);
        drop(shared);
        let actor = &mut self.clusters[cluster];
        if let Some(at) = at
            && *actor.by_hand.get(&at).unwrap_or(&0) < BY_HAND_MAX
            && let Some(found) = actor.api.peek(&at)
        {
            let mut content = found.content;
            let changed = if change && content.get("rules").is_some() {
                content["rules"] = serde_json::json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]);
                true
            } else if unmark && is_confirmed(&actor.api, &at, &content) {
                content["metadata"]["labels"] = serde_json::json!({});
                true
            } else {
                false
            };
            if changed {
                actor.api.put(&at, content, Maker::Writ);
            } else if delete {
                actor.api.remove(&at);
            }
            if changed || delete {
                *actor.by_hand.entry(at).or_default() += 1;
            }
        }
        if bury {
            let at = NAMESPACES.reference(None, &format!("{name}-space"));
            if let Some(found) = actor
                .api
                .peek(&at)
                .filter(|found| found.maker == Maker::Writ)
                && *actor.by_hand.get(&at).unwrap_or(&0) < BY_HAND_MAX
            {
                let mut content = found.content;
                content["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
                content["status"]["phase"] = "Terminating".into();
                actor.api.put(&at, content, Maker::Writ);
                actor
                    .terminating
                    .insert(at.name.clone(), self.now_ms + gone_after_ms);
                *actor.by_hand.entry(at).or_default() += 1;
            }
        }
        if relabel {
            let (team, _) = TEAMS[usize::from(gone_after_ms.is_multiple_of(2))];
            let at = NAMESPACES.reference(None, team);
            if let Some(found) = actor.api.peek(&at) {
                let mut content = found.content;
                let tier = &mut content["metadata"]["labels"]["tier"];
                *tier = if *tier == "gold" { "silver" } else { "gold" }.into();
                actor.api.put(&at, content, Maker::Person);
                let now_ms = self.now_ms;
                actor.api.lock().relabelled.insert(team.to_owned(), now_ms);
            }
        }
        if foreign_object {
            let at = ObjectRef {
                api_version: "rbac.authorization.k8s.io/v1".to_owned(),
                kind: "ClusterRole".to_owned(),
                namespace: None,
                name: format!("{name}-more"),
            };
            if actor.api.peek(&at).is_none() {
                actor.api.put(&at, foreign(&at), Maker::Person);
            }
        }
    }
}

/// Whether the policy's mirror knows the object by its uid. One that loses its marks before that is
/// nobody's: neither mark nor inventory says whose it is, and it is refused as foreign.
fn is_confirmed(api: &api::Api, at: &ObjectRef, content: &serde_json::Value) -> bool {
    let mirror = documents::policy_of(at).map(|policy| ObjectRef {
        api_version: "writ.dev/v1alpha1".to_owned(),
        kind: "ClusterPolicy".to_owned(),
        namespace: None,
        name: policy.to_owned(),
    });
    let mirror = mirror.and_then(|at| api.peek(&at));
    let uid = content["metadata"]["uid"].to_string();
    mirror.is_some_and(|mirror| mirror.content["status"].to_string().contains(&uid))
}
