//! The only server of the bus is killed and started again under a fleet at work.

use std::time::{Duration, Instant};

use kube::api::DeleteParams;
use tokio::time::sleep;
use tonic::Code;
use writ_proto::v1::{ApplyRequest, policy_service_client::PolicyServiceClient};
use writ_tests::history::{OneClient, Workload};

use crate::{
    acks::Acks,
    ground::{CLUSTERS, Ground, alone, large, small},
    harness::{STAGE, wait_for},
    row::Row,
    samples::Samples,
};

const KILLS: usize = 3;
/// Clients; two of them share a name.
const CLIENTS: usize = 4;
/// Between two edits of a client.
const PAUSE: Duration = Duration::from_millis(150);
/// How long an edit is waited for while there is no bus, all times but the last. Then it is waited for
/// until the publisher itself says something, which it does within 30 s.
const PATIENCE: Duration = Duration::from_secs(1);

#[test]
fn while_the_bus_is_away_no_edit_is_called_committed_and_drift_is_put_back() {
    alone(async |ground: Ground| {
        let mut row = Row::of("bus killed and started again");
        let acks = Acks::of(&ground, STAGE).await;
        let mut client = OneClient::new(0, vec![ground.publisher.clone()], small("bus-drift"));
        let mut made = vec![client.edit("bus-drift".to_owned(), 0).await];
        ground.role_on(STAGE, "bus-drift").await;
        let edits = large("bus", PAUSE);
        let workload = Workload::of(vec![ground.publisher.clone()], CLIENTS, &edits);
        let samples = Samples::start(&ground, &["bus0-0", "bus1-0"]);
        ground.role_on(STAGE, "bus0-0").await;
        let bindings = ground.fleet.objects(STAGE, "ClusterRoleBinding", "");
        let binding = "writ:bus-drift:all";
        let (mut repairs, mut answers) = (Vec::new(), Vec::new());
        for kill in 0..KILLS {
            sleep(Duration::from_millis(rand::random_range(300..1500))).await;
            ground.fleet.fleet.lock().await.kill_bus().await;
            row.injected += 1;

            let before = wait_for("the binding is there", async || {
                bindings.get_opt(binding).await.unwrap()
            });
            let before = before.await.metadata.uid;
            let deleted = bindings.delete(binding, &DeleteParams::default()).await;
            deleted.unwrap();
            let since = Instant::now();
            wait_for("the binding is back, without a bus", async || {
                let found = bindings.get_opt(binding).await.unwrap()?;
                (found.metadata.uid != before).then_some(())
            })
            .await;
            repairs.push(since.elapsed());

            let patience = (kill + 1 < KILLS).then_some(PATIENCE);
            let asked = Instant::now();
            let told = without_bus(&ground, &format!("bus-away-{kill}"), patience).await;
            if told == Code::Ok {
                let text = "an edit was called committed without a bus";
                row.violations.push(text.to_owned());
            }
            row.detected += usize::from(told != Code::Ok);
            let told = format!("{told:?} after {:.1} s", asked.elapsed().as_secs_f64());
            answers.push(told);
            ground.fleet.fleet.lock().await.start_bus().await.unwrap();

            // An edit that is made now goes all the way.
            let name = format!("bus-again-{kill}");
            made.push(client.edit(name.clone(), kill + 1).await);
            ground.role_on(STAGE, &name).await;
            row.recovered += 1;
        }
        made.extend(workload.end().await);
        let report = ground.settle(&mut row, &made).await;
        let (said, untrue) = samples.end(&made).await;
        let (heard, back) = acks.end();
        row.violations.extend(untrue.into_iter().chain(back));
        row.notes = format!(
            "edits without a bus: {answers:?}; put back without a bus in {repairs:?}; \"applied\" looked \
             up {said} times on {} clusters; {heard} acks; {report}",
            CLUSTERS.len()
        );
        row.end();
    });
}

/// What is said to an edit while there is no bus: that it is stored would be a lie.
async fn without_bus(ground: &Ground, name: &str, patience: Option<Duration>) -> Code {
    let manifest = (small("").document)(name, "nobody", 0).to_string();
    let mut request = tonic::Request::new(ApplyRequest {
        manifest,
        ..Default::default()
    });
    if let Some(patience) = patience {
        request.set_timeout(patience);
    }
    let answer = PolicyServiceClient::new(ground.publisher.clone())
        .apply(request)
        .await;
    answer.map_or_else(|status| status.code(), |_| Code::Ok)
}
