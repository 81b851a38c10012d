//! Asks for the status again and again, and where it says "applied", looks into the cluster at once.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{task::JoinHandle, time::sleep};
use writ_proto::v1::AckState;
use writ_tests::history::{Made, Told};

use crate::ground::{CLUSTERS, Ground};

/// How many edits before the last one is asked about, in turn. A cluster that holds a later edit counts as
/// having applied the earlier one; it may never hold one before that.
const LAGS: [u64; 3] = [0, 1, 3];

/// Between two questions.
const PERIOD: Duration = Duration::from_millis(100);

/// "Applied" was said of a generation, and this was there.
struct Sample {
    name: String,
    generation: u64,
    cluster: &'static str,
    /// The group that tells the edit apart; `None`: the object was not there.
    group: Option<String>,
}

/// Questions that go on.
pub(crate) struct Samples {
    ended: Arc<AtomicBool>,
    task: JoinHandle<Vec<Sample>>,
}

impl Samples {
    /// Asks about some policies, on all clusters.
    pub(crate) fn start(ground: &Ground, names: &[&str]) -> Samples {
        let ended = Arc::new(AtomicBool::new(false));
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let (ground, until) = (ground.clone(), Arc::clone(&ended));
        let task = tokio::spawn(async move {
            let mut samples = Vec::new();
            for turn in 0usize.. {
                if until.load(Ordering::Relaxed) {
                    break;
                }
                let (name, cluster) = (&names[turn % names.len()], CLUSTERS[turn % 2]);
                let lag = LAGS[turn % LAGS.len()];
                samples.extend(sample(&ground, name, lag, cluster).await);
                sleep(PERIOD).await;
            }
            samples
        });
        Samples { ended, task }
    }

    /// How often "applied" was said, and how often it was not so.
    pub(crate) async fn end(self, made: &[Made]) -> (usize, Vec<String>) {
        self.ended.store(true, Ordering::Relaxed);
        let generations: BTreeMap<&str, u64> = made
            .iter()
            .filter_map(|edit| match edit.told() {
                Told::Committed { generation, .. } => Some((edit.group(), *generation)),
                _ => None,
            })
            .collect();
        let samples = self.task.await.unwrap();
        let untrue = samples.iter().filter(|sample| match &sample.group {
            None => true,
            // An edit of which its client knows nothing may be in force all the same.
            Some(group) => generations
                .get(group.as_str())
                .is_some_and(|generation| *generation < sample.generation),
        });
        let text = untrue.map(|sample| {
            format!(
                "{}@{} was said to be applied on {}, where {:?} was",
                sample.name, sample.generation, sample.cluster, sample.group
            )
        });
        (samples.len(), text.collect())
    }
}

async fn sample(ground: &Ground, name: &str, lag: u64, cluster: &'static str) -> Option<Sample> {
    let last = ground.status(name, 0).await?.generation;
    let status = ground.status(name, last.saturating_sub(lag).max(1)).await?;
    let generation = status.generation;
    let mut lines = status.clusters.into_iter();
    let line = lines.find(|line| line.cluster == cluster)?;
    if line.state() != AckState::Applied {
        return None;
    }
    let roles = ground.fleet.objects(cluster, "ClusterRole", "");
    // Who can't be asked says nothing either way.
    let role = tokio::time::timeout(Duration::from_secs(2), roles.get_opt(name));
    let role = role.await.ok()?.ok()?;
    let group = role.and_then(|role| {
        let group = &role.data["rules"][0]["resourceNames"][0];
        group.as_str().map(str::to_owned)
    });
    Some(Sample {
        name: name.to_owned(),
        generation,
        cluster,
        group,
    })
}
