//! Two hold the keys of one cluster.

use writ_proto::v1::{
    AddClusterRequest, ApplyRequest, ReenrolClusterRequest, StatusRequest, status_request::Of,
};
use writ_tests::{
    hub::{self, Hub, Size, until},
    voice::Voice,
};

#[tokio::test(flavor = "multi_thread")]
async fn two_voices_of_one_cluster_are_told_apart_from_a_restart() {
    let size = Size {
        clusters: vec!["eu-prod-1".into(), "eu-prod-2".into()],
        ..Size::of(1, 1)
    };
    let hub = Hub::start(env!("CARGO_BIN_EXE_writ-under-test"), size).await;
    for name in ["eu-prod-1", "eu-prod-2"] {
        let request = AddClusterRequest {
            manifest: hub::cluster(name).to_string(),
            ..Default::default()
        };
        hub.clusters(0).add(request).await.unwrap();
    }
    let request = ApplyRequest {
        manifest: hub::policy("payments", "devs").to_string(),
        ..Default::default()
    };
    let edit = hub.policies(0).apply(request).await.unwrap().into_inner();
    let revision = edit.revision.unwrap();

    // One is restarted, and one is put back from a backup that knew its first ack only.
    let mut restarted = Voice::of(&hub, "eu-prod-1").await;
    restarted.ack(revision, None).await;
    restarted.restart();
    restarted.ack(revision, None).await;
    restarted.pulse().await;
    let mut restored = Voice::of(&hub, "eu-prod-2").await;
    restored.ack(revision, None).await;
    let backup = restored.memory();
    restored.ack(revision, None).await;
    restored.put_back(backup.clone());
    restored.ack(revision, None).await;
    restored.pulse().await;
    for name in ["eu-prod-1", "eu-prod-2"] {
        until("it is live and good", async || {
            let status = status(&hub, name).await?;
            (status.counts?.applied == 1 && status.forked.is_empty()).then_some(())
        })
        .await;
    }

    // A copy of the first speaks, and then the first again.
    let mut copy = Voice::of(&hub, "eu-prod-1").await;
    copy.put_back(backup);
    copy.ack(revision, None).await;
    // A pulse is not stored, and may be heard before an ack that was sent earlier, which then counts for
    // nothing: both go on, as clusters do.
    let forked = until("two voices are noticed", async || {
        restarted.pulse().await;
        copy.pulse().await;
        let status = status(&hub, "eu-prod-1").await?;
        (!status.forked.is_empty()).then_some(status)
    })
    .await;
    assert!(forked.forked.contains("took over"), "{}", forked.forked);
    assert_eq!(forked.counts.unwrap().refused, 1);
    assert_eq!(forked.exceptions[0].reason, "IdentityForked");
    let log = hub.publisher_log(0);
    assert_eq!(log.matches("IdentityForked").count(), 1, "{log}");
    let other = status(&hub, "eu-prod-2").await.unwrap();
    assert!(other.forked.is_empty());

    // That its keys are given up ends it.
    let request = ReenrolClusterRequest {
        name: "eu-prod-1".into(),
        ..Default::default()
    };
    hub.clusters(0).reenrol(request).await.unwrap();
    until("the cluster's keys count no more", async || {
        let status = status(&hub, "eu-prod-1").await?;
        status.forked.is_empty().then_some(())
    })
    .await;
}

async fn status(hub: &Hub, cluster: &str) -> Option<writ_proto::v1::ClusterStatus> {
    let request = StatusRequest {
        of: Some(Of::Cluster(cluster.to_owned())),
        ..Default::default()
    };
    let answer = hub.acks(0).get_status(request).await.ok()?;
    answer.into_inner().cluster
}
