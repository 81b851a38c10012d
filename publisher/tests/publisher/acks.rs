//! Acks: what clusters say is shown, and only what they say themselves.

use std::time::Duration;

use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tonic::{Code, Streaming};
use writ_proto::{
    status::merge,
    v1::{self, AckState, Membership, status_request::Of},
};

use crate::{
    fake::{FakeCluster, add, apply, cluster, delete, policy},
    fleet::{DEADLINE, Fleet, until},
};

fn ask_policy(name: &str) -> v1::StatusRequest {
    let version = v1::PolicyVersion {
        name: name.into(),
        generation: 0,
    };
    v1::StatusRequest {
        of: Some(Of::Policy(version)),
        ..Default::default()
    }
}

fn ask_cluster(name: &str) -> v1::StatusRequest {
    v1::StatusRequest {
        of: Some(Of::Cluster(name.into())),
        ..Default::default()
    }
}

pub(crate) async fn status(fleet: &Fleet, name: &str) -> v1::PolicyStatus {
    let answer = fleet
        .acks()
        .get_status(ask_policy(name))
        .await
        .unwrap()
        .into_inner();
    answer.policies.into_iter().next().unwrap()
}

/// Two registered clusters and a policy for both.
async fn fleet_with_policy() -> (Fleet, v1::Revision) {
    let fleet = Fleet::start().await;
    for name in ["eu-prod-1", "eu-prod-2"] {
        fleet.clusters().add(add(&cluster(name))).await.unwrap();
    }
    let answer = fleet
        .policies()
        .apply(apply(&policy("payments", "devs")))
        .await
        .unwrap();
    let revision = answer.into_inner().revision.unwrap();
    (fleet, revision)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_follows_acks_and_a_restart_rebuilds_them() {
    let (mut fleet, revision) = fleet_with_policy().await;
    let mut one = FakeCluster::connect(&fleet, "eu-prod-1").await;
    let mut two = FakeCluster::connect(&fleet, "eu-prod-2").await;
    let mut watch = fleet
        .acks()
        .watch_status(ask_policy("payments"))
        .await
        .unwrap()
        .into_inner();
    let first = watch.next().await.unwrap().unwrap().policies[0]
        .counts
        .unwrap();
    assert_eq!(first.target, 2);
    assert_eq!(first.applied, 0);

    one.pulse().await;
    two.pulse().await;
    one.ack(&revision, None).await;
    two.ack(&revision, Some(("payments", 1))).await;
    let settled = tokio::time::timeout(DEADLINE, async {
        loop {
            one.pulse().await;
            two.pulse().await;
            let status = watch.next().await.unwrap().unwrap().policies.remove(0);
            let counts = status.counts.unwrap();
            if (counts.applied, counts.refused) == (1, 1) {
                return status;
            }
        }
    });
    let settled = settled.await.expect("the watch shows both answers");
    assert_eq!(settled.clusters[0].state(), AckState::Applied);
    assert_eq!(settled.clusters[1].state(), AckState::Refused);
    assert_eq!(settled.clusters[1].reason, "ForeignObject");
    drop(watch);

    fleet.restart_publisher().await;
    let rebuilt = status(&fleet, "payments").await.counts.unwrap();
    assert_eq!(
        (rebuilt.applied, rebuilt.refused, rebuilt.target),
        (1, 1, 2)
    );
}

/// Reads a stream of changes, which both clusters go on to live beside, until what it told so far is as it should be.
/// Answers what it told on the way, and leaves in `held` what that comes to.
async fn read_until(
    watch: &mut Streaming<v1::StatusResponse>,
    held: &mut Option<v1::StatusResponse>,
    mut clusters: [&mut FakeCluster; 2],
    is_reached: impl Fn(&v1::PolicyStatus) -> bool,
) -> Vec<v1::PolicyStatus> {
    let read = async {
        let mut told = Vec::new();
        loop {
            for cluster in &mut clusters {
                cluster.pulse().await;
            }
            // Pulses alone bring nothing: they go on while nothing comes.
            let Ok(next) = timeout(Duration::from_millis(100), watch.next()).await else {
                continue;
            };
            let next = next.unwrap().unwrap();
            told.extend(next.policies.clone());
            merge(held, next).unwrap();
            if is_reached(&held.as_ref().unwrap().policies[0]) {
                return told;
            }
        }
    };
    timeout(DEADLINE, read).await.expect("the stream tells it")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_asks_for_changes_is_told_the_one_line_that_changed() {
    let (fleet, revision) = fleet_with_policy().await;
    let mut one = FakeCluster::connect(&fleet, "eu-prod-1").await;
    let mut two = FakeCluster::connect(&fleet, "eu-prod-2").await;
    one.promise(60_000);
    two.promise(60_000);
    let request = v1::StatusRequest {
        changes: true,
        ..ask_policy("payments")
    };
    let watch = fleet.acks().watch_status(request).await;
    let (mut watch, mut held) = (watch.unwrap().into_inner(), None);
    let plain = fleet.acks().watch_status(ask_policy("payments")).await;
    let mut plain = plain.unwrap().into_inner();
    let is_live = |line: &v1::ClusterLine| {
        let liveness = line.liveness.unwrap();
        liveness.state() == v1::liveness::State::Live
    };
    let told = read_until(&mut watch, &mut held, [&mut one, &mut two], |status| {
        status.clusters.iter().all(is_live)
    });
    let told = told.await;
    assert!(!told[0].is_change && told[1..].iter().all(|next| next.is_change));
    assert_eq!(told[0].clusters.len(), 2);

    two.ack(&revision, None).await;
    let told = read_until(&mut watch, &mut held, [&mut one, &mut two], |status| {
        status.counts.unwrap().applied == 1
    });
    let told = told.await;
    let lines = |of: &v1::PolicyStatus| -> Vec<_> {
        let line = |line: &v1::ClusterLine| (line.cluster.clone(), line.state());
        of.clusters.iter().map(line).collect()
    };
    let changed: Vec<_> = told.iter().flat_map(lines).collect();
    assert_eq!(changed, [("eu-prod-2".to_owned(), AckState::Applied)]);
    let whole = status(&fleet, "payments").await;
    let merged = &held.as_ref().unwrap().policies[0];
    assert_eq!(lines(merged), lines(&whole));
    assert_eq!((merged.counts, merged.spread), (whole.counts, whole.spread));

    // Who did not ask for changes is told all of it, with the times of signs of life.
    let plain = timeout(DEADLINE, async {
        loop {
            let status = plain.next().await.unwrap().unwrap().policies.remove(0);
            if status.counts.unwrap().applied == 1 {
                return status;
            }
        }
    });
    let plain = plain.await.expect("it is told as well");
    assert!(!plain.is_change);
    assert_eq!(lines(&plain), lines(&whole));
    let mut heard = plain.clusters.iter().map(|line| line.liveness.unwrap());
    assert!(heard.all(|liveness| liveness.last_heard.is_some()));

    // What happens to others is not told; that nothing happened is, and in time.
    let seconds = |held: &Option<v1::StatusResponse>| {
        let as_of = held.as_ref().unwrap().as_of.as_ref().unwrap();
        as_of.time.unwrap().seconds
    };
    let before = seconds(&held);
    let other = apply(&policy("others", "devs"));
    fleet.policies().apply(other).await.unwrap();
    let told = read_until(&mut watch, &mut held, [&mut one, &mut two], |_| true).await;
    assert!(told[0].is_change && told[0].clusters.is_empty());
    let after = seconds(&held);
    assert!(after >= before + 4, "from {before} to {after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_falls_silent_is_shown_as_silent_and_not_as_good() {
    let (fleet, revision) = fleet_with_policy().await;
    let mut one = FakeCluster::connect(&fleet, "eu-prod-1").await;
    one.ack(&revision, None).await;
    until("the ack is shown", async || {
        one.pulse().await;
        (status(&fleet, "payments").await.counts.unwrap().applied == 1).then_some(())
    })
    .await;

    let mut watch = fleet
        .acks()
        .watch_status(ask_policy("payments"))
        .await
        .unwrap()
        .into_inner();
    let silent = tokio::time::timeout(DEADLINE, async {
        loop {
            let status = watch.next().await.unwrap().unwrap().policies.remove(0);
            if status.counts.unwrap().silent == 2 {
                return status;
            }
        }
    });
    let silent = silent.await.expect("both fall silent");
    assert_eq!(silent.counts.unwrap().applied, 0);
    let liveness = silent.clusters[0].liveness.unwrap();
    assert_eq!(liveness.state(), v1::liveness::State::Silent);
    assert!(liveness.since.is_some() && liveness.last_heard.is_some());
    // Never heard: silent since it was first listened for.
    let never = silent.clusters[1].liveness.unwrap();
    assert!(never.since.is_some() && never.last_heard.is_none());

    one.pulse().await;
    until("it is heard again", async || {
        (status(&fleet, "payments").await.counts.unwrap().applied == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_speaks_only_under_its_own_key() {
    let (fleet, _) = fleet_with_policy().await;
    let mut one = FakeCluster::connect(&fleet, "eu-prod-1").await;
    one.pulse_signed_as("eu-prod-2").await;
    until("the alarm is raised", async || {
        fleet.log().contains("not believed").then_some(())
    })
    .await;
    let answer = fleet
        .acks()
        .get_status(ask_cluster("eu-prod-1"))
        .await
        .unwrap()
        .into_inner();
    assert!(
        answer
            .cluster
            .unwrap()
            .liveness
            .unwrap()
            .last_heard
            .is_none()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_cluster_is_counted_apart_and_its_acks_are_refused() {
    let (fleet, revision) = fleet_with_policy().await;
    let mut one = FakeCluster::connect(&fleet, "eu-prod-1").await;
    fleet.clusters().remove(delete("eu-prod-1")).await.unwrap();
    one.ack(&revision, None).await;
    let status = status(&fleet, "payments").await;
    let counts = status.counts.unwrap();
    assert_eq!((counts.target, counts.left, counts.applied), (1, 1, 0));
    assert_eq!(status.clusters[0].membership(), Membership::Left);
    let gone = fleet
        .acks()
        .get_status(ask_cluster("eu-prod-1"))
        .await
        .unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_later_joiner_is_counted_apart_and_all_policies_are_listed() {
    let fleet = Fleet::start().await;
    fleet
        .policies()
        .apply(apply(&policy("payments", "devs")))
        .await
        .unwrap();
    let joined = fleet
        .clusters()
        .add(add(&cluster("eu-prod-1")))
        .await
        .unwrap()
        .into_inner()
        .edit
        .unwrap();
    let request = v1::StatusRequest {
        of: None,
        at_least: joined.revision,
        ..Default::default()
    };
    let answer = fleet.acks().get_status(request).await.unwrap().into_inner();
    assert_eq!(answer.policies.len(), 1);
    let counts = answer.policies[0].counts.unwrap();
    assert_eq!((counts.target, counts.later), (0, 1));
    assert!(answer.policies[0].clusters.is_empty());
    assert_eq!(answer.as_of.unwrap().revision, joined.revision);
}
