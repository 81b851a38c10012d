//! The tracker is whole before the first answer: rebuilt from the log and the last ack of every cluster.

use writ_proto::v1::{self, liveness::State, status_request::Of};
use writ_tests::{
    hub::{Hub, Size, cluster, policy, until},
    voice::Voice,
};

use crate::WRIT;

/// Clusters that answer.
const CLUSTERS: usize = 60;

/// Acks of each, of which the last one counts.
const ACKS: u64 = 4;

async fn status(hub: &Hub, publisher: usize) -> Result<v1::StatusResponse, tonic::Status> {
    let request = v1::StatusRequest {
        of: Some(Of::Policy(v1::PolicyVersion {
            name: "payments".into(),
            generation: 1,
        })),
        ..Default::default()
    };
    hub.acks(publisher)
        .get_status(request)
        .await
        .map(|answer| answer.into_inner())
}

/// Applied, refused, pending, and the targets.
fn columns(status: &v1::StatusResponse) -> [u32; 4] {
    let counts = status.policies[0].counts.unwrap();
    [
        counts.applied,
        counts.refused,
        counts.pending,
        counts.target,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_answer_after_a_restart_is_the_whole_one_at_every_publisher() {
    let names: Vec<String> = (0..CLUSTERS)
        .map(|number| format!("eu-prod-{number}"))
        .collect();
    let mut hub = Hub::start(
        WRIT,
        Size {
            clusters: names.clone(),
            // They only send acks, one cluster after the other.
            pulse_period_s: 60,
            ..Size::of(1, 3)
        },
    )
    .await;
    for name in &names {
        let request = v1::AddClusterRequest {
            manifest: cluster(name).to_string(),
            ..Default::default()
        };
        hub.clusters(0).add(request).await.unwrap();
    }
    let request = v1::ApplyRequest {
        manifest: policy("payments", "devs").to_string(),
        // So many clusters are asked about.
        confirm: u32::try_from(CLUSTERS).unwrap(),
        ..Default::default()
    };
    let made = hub.policies(1).apply(request).await.unwrap().into_inner();
    assert_eq!(made.target_count as usize, CLUSTERS);
    // One that joins after the commit is no target of the edit.
    let late = v1::AddClusterRequest {
        manifest: cluster("eu-late").to_string(),
        ..Default::default()
    };
    hub.clusters(2).add(late).await.unwrap();

    let at = made.revision.unwrap();
    let before = v1::Revision {
        number: at.number - 1,
        ..at
    };
    for (number, name) in names.iter().enumerate() {
        let mut voice = Voice::of(&hub, name).await;
        // Every fifth refuses in its last ack, and every seventh never gets there.
        for counter in 1..=ACKS {
            let is_last = counter == ACKS && number % 7 != 0;
            let reached = if is_last { at } else { before };
            let refuses = (is_last && number % 5 == 0).then_some(("payments", 1));
            voice.ack(reached, refuses).await;
        }
    }
    let silent = names
        .iter()
        .enumerate()
        .filter(|(number, _)| number % 7 == 0)
        .count() as u32;
    let refused = (0..CLUSTERS).filter(|n| n % 5 == 0 && n % 7 != 0).count() as u32;
    let target = CLUSTERS as u32;
    let wanted = [target - silent - refused, refused];
    for publisher in 0..3 {
        until("every publisher has heard all acks", async || {
            let columns = columns(&status(&hub, publisher).await.unwrap());
            (columns[..2] == wanted).then_some(())
        })
        .await;
    }
    for round in 0..6 {
        let publisher = round % 3;
        hub.kill_publisher(publisher).await;
        hub.start_publisher(publisher).await;
        let first = status(&hub, publisher).await.unwrap();
        assert_eq!(columns(&first)[..2], wanted, "round {round}: {first:?}");
        assert_eq!(columns(&first)[3], target);
        let as_of = first.as_of.clone().unwrap();
        assert_eq!(as_of.publisher, format!("publisher-{}", publisher + 1));
        assert_eq!(as_of.revision.unwrap().number, at.number + 1);
        assert!(as_of.time.is_some());
        assert_eq!(first.policies[0].counts.unwrap().later, 1, "{first:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_publisher_hears_a_cluster_live_and_says_since_when_it_is_silent() {
    let name = "eu-prod-1";
    let clusters = vec![name.to_owned()];
    let hub = Hub::start(
        WRIT,
        Size {
            clusters,
            ..Size::of(1, 3)
        },
    )
    .await;
    let request = v1::AddClusterRequest {
        manifest: cluster(name).to_string(),
        ..Default::default()
    };
    hub.clusters(0).add(request).await.unwrap();
    let liveness = async |publisher: usize| {
        let of = Some(Of::Cluster(name.to_owned()));
        let request = v1::StatusRequest {
            of,
            ..Default::default()
        };
        let status = hub
            .acks(publisher)
            .get_status(request)
            .await
            .unwrap()
            .into_inner();
        status.cluster.unwrap().liveness.unwrap()
    };
    let pulses = Voice::of(&hub, name).await.go_on();
    for publisher in 0..3 {
        until("the cluster is live", async || {
            let is_live = liveness(publisher).await.state() == State::Live;
            is_live.then_some(())
        })
        .await;
    }
    pulses.stop().await;
    for publisher in 0..3 {
        let silent = until("the cluster is silent", async || {
            let liveness = liveness(publisher).await;
            (liveness.state() == State::Silent).then_some(liveness)
        })
        .await;
        assert!(
            silent.since.is_some() && silent.since == silent.last_heard,
            "{silent:?}"
        );
    }
}
