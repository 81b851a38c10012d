//! The quiet time, and what has to hold at its end.

use std::collections::BTreeMap;

use writ_core::{
    ack::State as AckState,
    model::ObjectRef,
    name::Name,
    plan::contains,
    scope::Kind,
    tracker::{Membership, State as TrackerState},
};

use super::{BEAT_PERIOD_MS, QUIET_TIME_MAX_MS, READ_TIME_MAX_MS, World};
use crate::{
    api::{self, Maker},
    auditor::Verdict,
    documents::{CLUSTERS, POLICIES},
    promises::{Mutation, Promise},
    publisher::Publisher,
};

impl World {
    pub(super) async fn quiet(&mut self) {
        self.shared.lock().faulty = false;
        self.shared.trace(|| "no more faults".to_owned());
        self.leaderless_until_ms = 0;
        for cluster in &mut self.clusters {
            cluster.cut_off_until_ms = 0;
            cluster.away_until_ms = 0;
            cluster.down_until_ms = cluster.down_until_ms.min(self.now_ms);
        }
        for publisher in &mut self.publishers {
            publisher.paused_until_ms = 0;
        }
        let busy = |world: &World| {
            let works =
                |publisher: &Publisher| publisher.job.is_some() || !publisher.waiting.is_empty();
            let stuck = world.restored && !world.shared.is_out(Mutation::Behind);
            let recovers = world.restored && world.recover_at_ms.is_some();
            recovers
                || !stuck && world.publishers.iter().any(works)
                || world.clusters.iter().any(|cluster| cluster.run.is_none())
        };
        for _ in 0..1_000 {
            if !busy(self) {
                break;
            }
            self.recover_when_due();
            self.pass_time(30).await;
        }
        if self.restored {
            return self.check_restored().await;
        }
        let healed_ms = self.now_ms;
        while self.now_ms < healed_ms + BEAT_PERIOD_MS + READ_TIME_MAX_MS {
            self.pass_time(20).await;
        }
        self.check_cuts();
        while self.now_ms < healed_ms + QUIET_TIME_MAX_MS && self.difference().is_some() {
            self.pass_time(250).await;
        }
        let took_ms = self.now_ms - healed_ms;
        let difference = self.difference();
        let mut shared = self.shared.lock();
        let slowest = shared.costs.entry("slowest convergence, ms").or_default();
        *slowest = took_ms.max(*slowest);
        shared
            .auditor
            .check(Promise::Convergence, difference.is_none(), || {
                difference.unwrap_or_default()
            });
        drop(shared);
        self.check_end();
    }

    /// On a restored log nothing goes backwards, and no publisher edits it.
    async fn check_restored(&mut self) {
        let edits = self.shared.lock().auditor.edits();
        for _ in 0..60 {
            self.pass_time(100).await;
        }
        let mut shared = self.shared.lock();
        let after = shared.auditor.edits();
        shared
            .auditor
            .check(Promise::NeverBackwards, edits == after, || {
                "a restored log was edited".to_owned()
            });
    }

    /// Promise 7: one beat and one read after the faults.
    fn check_cuts(&mut self) {
        let wanted = self.witness.revision();
        for cluster in &self.clusters {
            let mut shared = self.shared.lock();
            if !shared.auditor.is_registered(cluster.at) && !shared.auditor.violations.is_empty() {
                continue;
            }
            let follower = cluster.run.as_ref().map(|run| run.follower());
            let held = follower
                .and_then(|follower| follower.cut())
                .map(|cut| cut.revision);
            let at = cluster.at;
            shared.auditor.check(Promise::Convergence, held == Some(wanted), || {
                format!("one beat and one read after the faults, cluster {at} is at {held:?} and the log at {wanted}")
            });
        }
    }

    /// How any cluster differs from the last state of the log.
    fn difference(&self) -> Option<String> {
        let shared = self.shared.lock();
        let auditor = &shared.auditor;
        for cluster in &self.clusters {
            if !auditor.is_registered(cluster.at) || auditor.is_observer(cluster.at) {
                continue;
            }
            let shelf = cluster.api.lock();
            for policy in POLICIES {
                if cluster.is_not_recovered(policy) {
                    continue;
                }
                let id = match auditor.last(cluster.at, policy) {
                    Some(Verdict::Unknown) => continue,
                    Some(Verdict::InForce(id)) => Some(id),
                    None => None,
                };
                let wanted = id.and_then(|id| auditor.objects(id));
                let mut wanted = wanted.cloned().unwrap_or_default();
                for (namespace, labels) in namespaces(&shelf.objects) {
                    let granted = id.map(|id| auditor.bindings(id, &namespace, &labels));
                    let granted = granted.into_iter().flatten();
                    wanted.extend(granted.map(|object| (object.reference, object.content)));
                }
                for (at, content) in &wanted {
                    let found = shelf.objects.get(at);
                    let is_so = found.is_some_and(|found| {
                        found.maker == Maker::Person || contains(&found.content, content)
                    });
                    // What stands on somebody else's object, or waits for it, is the refusal's business.
                    let blocked = at.kind.ends_with("RoleBinding")
                        && bound_to_foreign(&shelf.objects, content);
                    if !is_so && !blocked {
                        let found = found.map(|found| &found.content);
                        return Some(format!(
                            "cluster {} has not {at} of edit {id:?}: {found:?}",
                            cluster.at
                        ));
                    }
                }
                let is_left = |(at, object): &(&ObjectRef, &api::Object)| {
                    object.is_of(at, policy) && !wanted.contains_key(*at)
                };
                if let Some((at, _)) = shelf.objects.iter().find(is_left) {
                    return Some(format!("cluster {} still has {at}", cluster.at));
                }
            }
            if cluster.run.as_ref().is_some_and(|run| run.is_busy()) {
                return Some(format!("cluster {} is at work", cluster.at));
            }
        }
        None
    }

    fn check_end(&mut self) {
        self.check_trackers();
        let mut shared = self.shared.lock();
        // Answered edits are in the log still.
        let answered: Vec<u64> = shared.auditor.answered_edits().collect();
        for id in answered {
            let lost = shared.auditor.lost.contains(&id);
            shared.auditor.check(Promise::NoEditIsLost, !lost, || {
                format!("edit {id} is lost")
            });
        }
        for cluster in &self.clusters {
            let Some(run) = &cluster.run else { continue };
            if !shared.auditor.is_registered(cluster.at) || shared.auditor.is_observer(cluster.at) {
                continue;
            }
            for policy in POLICIES {
                if !shared.auditor.is_unsupported(cluster.at, policy) {
                    continue;
                }
                let key = (Kind::Policy, Name::parse(policy).expect("a name"));
                let standing = run.follower().standing(&key);
                let is_named = standing
                    .as_ref()
                    .is_some_and(|it| it.state == AckState::Refused && !it.reason.is_empty());
                let at = cluster.at;
                shared.auditor.check(Promise::Refusal, is_named, || {
                    format!("cluster {at} does not refuse {policy}: {standing:?}")
                });
            }
            // No stand-in and no half of an attempt is left of what was killed.
            let shelf = cluster.api.lock();
            let left = shelf
                .objects
                .keys()
                .find(|at| at.name.ends_with(":replacing"))
                .cloned();
            let at = cluster.at;
            shared
                .auditor
                .check(Promise::CrashSafe, left.is_none(), || {
                    format!("{left:?} is left in cluster {at}")
                });
        }
    }

    /// What trackers say is what was.
    pub(super) fn check_trackers(&mut self) {
        let now = self.now();
        for publisher in &self.publishers {
            for status in publisher.tracker.policies_status(now) {
                let mut shared = self.shared.lock();
                let counts = status.counts;
                let sum = counts.applied + counts.pending + counts.refused + counts.silent;
                shared
                    .auditor
                    .check(Promise::Truthful, sum == counts.target, || {
                        format!("the columns do not add up: {counts:?}")
                    });
                for line in &status.clusters {
                    let at = CLUSTERS
                        .iter()
                        .position(|(name, _)| *name == line.cluster.as_str());
                    let Some(at) = at.filter(|_| line.membership == Membership::Target) else {
                        continue;
                    };
                    if line.state == TrackerState::Applied {
                        let silent = line.liveness.is_silent();
                        shared.auditor.check(Promise::Truthful, !silent, || {
                            format!("silent cluster {at} is called good")
                        });
                        shared.auditor.said_applied(
                            &publisher.name,
                            at,
                            status.name.as_str(),
                            status.revision,
                        );
                        let policy = POLICIES.iter().find(|name| **name == status.name.as_str());
                        let gone =
                            policy.filter(|name| shared.auditor.is_gone(at, name, status.revision));
                        let left = gone.and_then(|name| self.clusters[at].left_of(name));
                        shared.auditor.check(Promise::Truthful, left.is_none(), || {
                            let (who, revision) = (&publisher.name, status.revision);
                            format!("{who} says that cluster {at} has removed {} by {revision}, and {left:?} is there", status.name)
                        });
                    }
                }
            }
        }
    }
}

/// The namespaces that take objects, with their labels.
fn namespaces(
    objects: &BTreeMap<ObjectRef, api::Object>,
) -> Vec<(String, BTreeMap<String, String>)> {
    let of = |(at, object): (&ObjectRef, &api::Object)| {
        let metadata = &object.content["metadata"];
        let labels = metadata["labels"].as_object().into_iter().flatten();
        let text = |(key, value): (&String, &serde_json::Value)| {
            Some((key.clone(), value.as_str()?.to_owned()))
        };
        let takes = at.kind == "Namespace" && metadata["deletionTimestamp"].is_null();
        takes.then(|| (at.name.clone(), labels.filter_map(text).collect()))
    };
    objects.iter().filter_map(of).collect()
}

/// Whether a binding's role is somebody else's object.
fn bound_to_foreign(
    objects: &BTreeMap<ObjectRef, api::Object>,
    binding: &serde_json::Value,
) -> bool {
    let name = binding["roleRef"]["name"].as_str().unwrap_or_default();
    let is_role = |(at, object): (&ObjectRef, &api::Object)| {
        at.kind == "ClusterRole" && at.name == name && object.maker == Maker::Person
    };
    objects.iter().any(is_role)
}
