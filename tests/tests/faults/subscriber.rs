//! A subscriber is killed at random moments while edits of policies with several objects go on.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::sleep;
use writ_proto::v1::DeleteRequest;
use writ_tests::history::{Made, Workload};

use crate::{
    acks::Acks,
    compare,
    ground::{CLUSTERS, Ground, alone, large},
    harness::{STAGE, wait_for},
    row::Row,
    samples::Samples,
};

const KILLS: usize = 8;
/// Clients; two of them share a name.
const CLIENTS: usize = 4;
/// Between two edits of a client.
const PAUSE: Duration = Duration::from_millis(150);

/// Policies whose record in the cluster says that a write was under way.
async fn under_way(ground: &Ground) -> usize {
    let mirrors = ground.fleet.objects(STAGE, "ClusterPolicy", "");
    let listed = mirrors.list(&Default::default()).await.unwrap();
    let records = listed.iter().map(|mirror| &mirror.data["status"]["record"]);
    records.filter(|record| record["done"] == false).count()
}

/// Deletes every policy, and kills the subscriber each time while it removes what there was.
async fn delete_amid_kills(ground: &Ground, row: &mut Row, made: &[Made]) {
    let names: BTreeSet<&str> = made.iter().map(Made::name).collect();
    let cluster = STAGE.parse().unwrap();
    for name in names {
        let request = DeleteRequest {
            name: name.to_owned(),
            ..Default::default()
        };
        ground.fleet.policies().delete(request).await.unwrap();
        sleep(Duration::from_millis(rand::random_range(0..60))).await;
        let mut fleet = ground.fleet.fleet.lock().await;
        fleet.kill_subscriber(&cluster).await.unwrap();
        fleet.start_subscriber(&cluster).await.unwrap();
        row.injected += 1;
        // It was heard again.
        row.detected += 1;
        drop(fleet);
        for cluster in CLUSTERS {
            wait_for(&format!("{name} has gone from {cluster}"), async || {
                let left = compare::actual(ground.fleet, cluster, name).await?;
                left.is_empty().then_some(())
            })
            .await;
        }
    }
}

#[test]
fn a_subscriber_that_is_killed_amid_its_work_leaves_nothing_undone_and_nothing_foreign_touched() {
    alone(async |ground: Ground| {
        let mut row = Row::of("subscriber killed amid applying");
        let before = [
            compare::foreign(ground.fleet, CLUSTERS[0]).await,
            compare::foreign(ground.fleet, CLUSTERS[1]).await,
        ];
        let acks = Acks::of(&ground, STAGE).await;
        let edits = large("killed", PAUSE);
        let workload = Workload::of(vec![ground.publisher.clone()], CLIENTS, &edits);
        let samples = Samples::start(&ground, &["killed0-0", "killed1-0"]);
        ground.role_on(STAGE, "killed0-0").await;
        let cluster = STAGE.parse().unwrap();
        let mut amid = 0;
        for _ in 0..KILLS {
            let boot = ground.fleet.cluster_status(STAGE).await.boot_id;
            sleep(Duration::from_millis(rand::random_range(0..400))).await;
            let mut fleet = ground.fleet.fleet.lock().await;
            fleet.kill_subscriber(&cluster).await.unwrap();
            row.injected += 1;
            amid += usize::from(under_way(&ground).await > 0);
            fleet.start_subscriber(&cluster).await.unwrap();
            drop(fleet);
            // The publisher knows that it is another process that speaks.
            wait_for("the new subscriber is heard", async || {
                let now = ground.fleet.cluster_status(STAGE).await.boot_id;
                (now != boot).then_some(())
            })
            .await;
            row.detected += 1;
        }
        let made = workload.end().await;
        let report = ground.settle(&mut row, &made).await;
        let (said, untrue) = samples.end(&made).await;
        delete_amid_kills(&ground, &mut row, &made).await;
        if row.violations.is_empty() {
            row.recovered = row.injected;
        }
        let (heard, back) = acks.end();
        row.violations.extend(untrue.into_iter().chain(back));
        for (cluster, before) in CLUSTERS.into_iter().zip(before) {
            let after = compare::foreign(ground.fleet, cluster).await;
            if after != before {
                row.violations
                    .push(format!("foreign objects of {cluster} were touched"));
            }
        }
        row.notes = format!(
            "{amid} of the first {KILLS} kills with an edit that was not recorded as done; \"applied\" looked up {said} times; {heard} acks; {report}"
        );
        row.end();
    });
}
