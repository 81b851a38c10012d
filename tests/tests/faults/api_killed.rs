//! The API server of one cluster is killed while edits go on, and started again on the same etcd.

use std::time::{Duration, Instant};

use kube::api::DeleteParams;
use tokio::time::sleep;
use writ_proto::v1::AckState;
use writ_tests::history::{OneClient, Workload};

use crate::{
    acks::Acks,
    etcd,
    ground::{Ground, alone, large, small},
    harness::{STAGE, wait_for},
    row::Row,
    samples::Samples,
};

const KILLS: usize = 2;
/// Clients; two of them share a name.
const CLIENTS: usize = 4;
/// Between two edits of a client.
const PAUSE: Duration = Duration::from_millis(300);
/// Edits that are made while there is none.
const EDITS_MEANWHILE: usize = 4;

/// The binding that is taken away in one round, of a policy that no other edit touches. Each round has its
/// own: one that is taken away again and again is left alone for a while.
fn binding(kill: usize) -> String {
    format!("writ:dead-drift-{kill}:all")
}

#[test]
fn an_api_server_that_is_killed_and_started_again_is_told_truly_and_brought_to_what_is_wanted() {
    alone(async |ground: Ground| {
        let mut row = Row::of("API server killed and started again");
        let acks = Acks::of(&ground, STAGE).await;
        let mut client = OneClient::new(0, vec![ground.publisher.clone()], small("dead-drift"));
        let mut made = Vec::new();
        for kill in 0..KILLS {
            let name = format!("dead-drift-{kill}");
            made.push(client.edit(name.clone(), kill).await);
            ground.role_on(STAGE, &name).await;
        }
        let workload = Workload::of(
            vec![ground.publisher.clone()],
            CLIENTS,
            &large("dead", PAUSE),
        );
        let samples = Samples::start(&ground, &["dead0-0", "dead1-0"]);
        ground.role_on(STAGE, "dead0-0").await;
        let own = large("dead-meanwhile", Duration::ZERO);
        let mut client = OneClient::new(0, vec![ground.publisher.clone()], own);
        let cluster = STAGE.parse().unwrap();
        let bindings = ground.fleet.objects(STAGE, "ClusterRoleBinding", "");
        let (mut said, mut starts, mut drifts, mut applied, mut watched) =
            (0, Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for kill in 0..KILLS {
            let binding = binding(kill);
            sleep(Duration::from_millis(rand::random_range(300..1500))).await;
            let fleet = ground.fleet.fleet.lock().await;
            fleet.cluster(&cluster).unwrap().kill_api_servers().await;
            drop(fleet);
            row.injected += 1;

            // Drift of which no watch will ever tell: it is in etcd before there is a server again.
            etcd::delete_binding(&ground, STAGE, &binding).await;
            let mut untrue = 0;
            let begins = made.len();
            for edit in 0..EDITS_MEANWHILE {
                let name = format!("dead-meanwhile-{edit}");
                made.push(client.edit(name, kill * EDITS_MEANWHILE + edit).await);
                for edit in &made[begins..] {
                    let state = ground.line(edit.name(), STAGE).await.unwrap().state();
                    said += 1;
                    untrue += usize::from(![AckState::Pending, AckState::Silent].contains(&state));
                }
            }
            if untrue == 0 {
                row.detected += 1;
            } else {
                let text = format!("{untrue} times an edit was not told as pending or silent");
                row.violations.push(text);
            }

            let since = Instant::now();
            let mut fleet = ground.fleet.fleet.lock().await;
            fleet.start_api_servers(&cluster).await.unwrap();
            drop(fleet);
            starts.push(since.elapsed());
            let since = Instant::now();
            wait_for("the binding is back", async || {
                bindings.get_opt(&binding).await.ok()?.map(drop)
            })
            .await;
            drifts.push(since.elapsed());
            for edit in &made[begins..] {
                wait_for("an edit made meanwhile has come through", async || {
                    let line = ground.line(edit.name(), STAGE).await?;
                    (line.state() == AckState::Applied).then_some(())
                })
                .await;
            }
            applied.push(since.elapsed());
            watched.push(put_back(&ground, &binding).await);
            row.recovered += 1;
        }
        made.extend(workload.end().await);
        let report = ground.settle(&mut row, &made).await;
        let (looked_up, untrue) = samples.end(&made).await;
        let (heard, goes_back) = acks.end();
        row.violations.extend(untrue.into_iter().chain(goes_back));
        row.notes = format!(
            "ready again after {starts:?}; from then, drift in etcd put back in {drifts:?}, all edits made \
             meanwhile applied in {applied:?}; then a binding deleted by hand back in {watched:?}; {said} \
             times told as pending or silent; \"applied\" looked up {looked_up} times; {heard} acks; {report}"
        );
        row.end();
    });
}

/// Deletes the binding by hand and waits until it is back: in moments, as the watches stand again, and not
/// with the next list, which is minutes away.
async fn put_back(ground: &Ground, binding: &str) -> Duration {
    let bindings = ground.fleet.objects(STAGE, "ClusterRoleBinding", "");
    let before = bindings.get(binding).await.unwrap().metadata.uid;
    let deleted = bindings.delete(binding, &DeleteParams::default()).await;
    deleted.unwrap();
    let since = Instant::now();
    wait_for("the binding that was deleted by hand is back", async || {
        let found = bindings.get_opt(binding).await.ok()??;
        (found.metadata.uid != before).then_some(())
    })
    .await;
    since.elapsed()
}
