//! The step of the story in which a cluster's owner says no.

use std::time::{Duration, Instant};

use serde_json::json;
use writ_proto::v1::{AckState, ClusterLine};

use super::{Error, access::Question, policies::Api, told};
use crate::{cluster::Cluster, fleet::Fleet};

/// How long the refusal may take; a hundred times what it takes.
const REFUSAL_LIMIT: Duration = Duration::from_secs(30);
/// Pause between two questions to the publisher.
const POLL_PERIOD: Duration = Duration::from_millis(5);
/// The cluster that is asked for too much.
const CLUSTER: &str = "us-prod-1";

const MALLORY: Question = Question {
    user: "mallory@example.com",
    group: None,
    verb: "get",
    api_group: "",
    resource: "secrets",
    namespace: "kube-system",
};

pub(super) async fn tell(fleet: &Fleet, api: &Api) -> Result<(), Error> {
    told::step(
        8,
        "A policy asks for everything; the cluster's own API server would not let Writ grant it",
    )?;
    let grab = json!({
        "apiVersion": "writ.dev/v1alpha1",
        "kind": "ClusterPolicy",
        "metadata": {"name": "power-grab"},
        "spec": {
            "clusters": {"names": [CLUSTER]},
            "objects": [{
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": {"name": "everything"},
                "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
            }],
            "grants": [{
                "name": "mallory",
                "subjects": [{"user": MALLORY.user}],
                "clusterRole": "everything",
                "clusterWide": true,
            }],
        },
    });
    let submitted = api.apply(&grab, "the demo").await?;
    let line = refused(api, &submitted.edit.name, submitted.edit.generation).await?;
    told::seen(format!(
        "{} refused it after {}: {}",
        line.cluster,
        told::ms(submitted.since.elapsed()),
        line.reason
    ))?;
    for failing in &line.failing {
        told::aside(format!("{}: {}", failing.object, failing.message))?;
    }
    let there = |cluster: &&Cluster| cluster.name() == CLUSTER;
    let asked = MALLORY
        .expect(fleet.clusters().filter(there), false)
        .await?;
    told::seen(format!(
        "asked: mallory may not read secrets ({asked} API servers); a publisher that was stolen could not have granted it either"
    ))?;
    api.delete("power-grab", "the demo").await
}

async fn refused(api: &Api, name: &str, generation: u64) -> Result<ClusterLine, Error> {
    let since = Instant::now();
    loop {
        let status = api.policy(name, generation).await?;
        let mut lines = status.policies.into_iter().flat_map(|it| it.clusters);
        if let Some(line) = lines.find(|line| line.state() == AckState::Refused) {
            return match line.reason.as_str() {
                "CeilingExceeded" => Ok(line),
                other => Err(Error::Untrue(format!(
                    "the ceiling refuses it, not {other}"
                ))),
            };
        }
        if since.elapsed() > REFUSAL_LIMIT {
            return Err(Error::Untrue(format!("{CLUSTER} refuses {name}")));
        }
        tokio::time::sleep(POLL_PERIOD).await;
    }
}
