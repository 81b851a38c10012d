//! The API server of one cluster stops answering while edits go on: for 20 s, which is as much as the
//! usual run has time for, or for a minute (`--ignored`).

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};
use writ_proto::v1::AckState;
use writ_tests::history::{OneClient, Workload};

use crate::{
    acks::Acks,
    ground::{Ground, alone, large},
    harness::{PROD, STAGE, wait_for},
    row::Row,
    samples::Samples,
};

/// How long it does not answer: longer than two of the subscriber's calls, and than its lease.
const STOPPED: Duration = Duration::from_secs(20);
/// Longer than any call, and any wait before the next one.
const STOPPED_LONG: Duration = Duration::from_secs(60);
/// Clients; two of them share a name.
const CLIENTS: usize = 4;
/// Between two edits of a client.
const PAUSE: Duration = Duration::from_millis(300);
/// How long the other cluster may take for an edit meanwhile.
const OTHER_LIMIT: Duration = Duration::from_secs(10);

#[test]
fn an_api_server_that_does_not_answer_is_told_truly_and_holds_up_nobody_else() {
    stop_for(STOPPED);
}

#[test]
#[ignore = "takes a minute and a half; the 20 s above find the same mistakes"]
fn an_api_server_that_does_not_answer_for_a_minute_is_told_truly_and_comes_back() {
    stop_for(STOPPED_LONG);
}

fn stop_for(stopped: Duration) {
    alone(async |ground: Ground| {
        let mut row = Row::of(&format!("API server stopped for {} s", stopped.as_secs()));
        let acks = Acks::of(&ground, STAGE).await;
        let edits = large("halt", PAUSE);
        let workload = Workload::of(vec![ground.publisher.clone()], CLIENTS, &edits);
        let samples = Samples::start(&ground, &["halt0-0", "halt1-0"]);
        ground.role_on(STAGE, "halt0-0").await;

        let cluster = STAGE.parse().unwrap();
        let fleet = ground.fleet.fleet.lock().await;
        fleet.cluster(&cluster).unwrap().pause_api_servers().await;
        drop(fleet);
        row.injected += 1;
        let roles = ground.fleet.objects(STAGE, "ClusterRole", "");
        wait_for("the API server does not answer", async || {
            let answer = timeout(Duration::from_millis(500), roles.get_opt("halt0-0"));
            answer.await.is_err().then_some(())
        })
        .await;

        let own = large("halt-meanwhile", Duration::ZERO);
        let mut client = OneClient::new(0, vec![ground.publisher.clone()], own);
        let (mut made, mut others, mut said) = (Vec::new(), Vec::new(), Vec::new());
        let since = Instant::now();
        while since.elapsed() < stopped {
            let name = format!("halt-meanwhile-{}", made.len());
            let committed = Instant::now();
            made.push(client.edit(name.clone(), made.len()).await);
            wait_for("the other cluster goes on", async || {
                let line = ground.line(&name, PROD).await?;
                (line.state() == AckState::Applied).then_some(())
            })
            .await;
            others.push(committed.elapsed());
            for edit in &made {
                let line = ground.line(edit.name(), STAGE).await.unwrap();
                said.push(line.state());
            }
            sleep(Duration::from_millis(500)).await;
        }
        let is_true = |state: &&AckState| [AckState::Pending, AckState::Silent].contains(state);
        let untrue = said.len() - said.iter().filter(is_true).count();
        if untrue == 0 {
            row.detected += 1;
        } else {
            let text = format!("{untrue} times an edit was not told as pending or silent");
            row.violations.push(text);
        }
        let slowest = others.iter().max().copied().unwrap_or_default();
        if slowest > OTHER_LIMIT {
            row.violations
                .push(format!("the other cluster took {slowest:?}"));
        }

        let fleet = ground.fleet.fleet.lock().await;
        fleet.cluster(&cluster).unwrap().resume_api_servers().await;
        drop(fleet);
        let since = Instant::now();
        let last = made.last().unwrap().name().to_owned();
        wait_for("the last edit has come through", async || {
            let line = ground.line(&last, STAGE).await?;
            (line.state() == AckState::Applied).then_some(())
        })
        .await;
        let back = since.elapsed();
        let count = made.len();
        made.extend(workload.end().await);
        let report = ground.settle(&mut row, &made).await;
        row.recovered += 1;
        let (looked_up, untrue) = samples.end(&made).await;
        let (heard, goes_back) = acks.end();
        row.violations.extend(untrue.into_iter().chain(goes_back));
        let pending = said.iter().filter(|state| **state == AckState::Pending);
        row.notes = format!(
            "{count} edits meanwhile, told {} times as pending and {} as silent; the other cluster took \
             {slowest:?} at most; all was applied {back:?} after the end; \"applied\" looked up \
             {looked_up} times; {heard} acks; {report}",
            pending.clone().count(),
            said.len() - pending.count()
        );
        row.end();
    });
}
