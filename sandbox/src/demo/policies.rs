//! The examples as manifests, and the client that submits them and watches them arrive.

use std::time::{Duration, Instant};

use serde_json::Value;
use tonic::transport::Channel;
use writ_proto::v1::{
    self, AckState, ApplyRequest, DeleteRequest, EditResponse, HappeningsRequest, PolicyVersion,
    StatusRequest, StatusResponse, ack_service_client::AckServiceClient,
    policy_service_client::PolicyServiceClient, status_request::Of,
};

use super::{Error, told};
use crate::fleet::Fleet;

/// How long an edit may take until every cluster has answered; a hundred times what it takes.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(30);
/// How long nothing may happen before the status is looked at all the same.
const LOOK_AGAIN_DELAY: Duration = Duration::from_millis(250);

const EXAMPLES: [(&str, &str); 4] = [
    (
        "common-roles.yaml",
        include_str!("../../../examples/common-roles.yaml"),
    ),
    (
        "team-payments.yaml",
        include_str!("../../../examples/team-payments.yaml"),
    ),
    (
        "sre-oncall.yaml",
        include_str!("../../../examples/sre-oncall.yaml"),
    ),
    ("ci-bot.yaml", include_str!("../../../examples/ci-bot.yaml")),
];

/// The manifests of the examples, in the order in which they are applied.
pub(super) fn examples() -> Result<Vec<(&'static str, Value)>, Error> {
    let read = |(file, text): &(&'static str, &'static str)| {
        let value = serde_saphyr::from_str::<Value>(text)
            .map_err(|cause| Error::Example(file, Box::new(cause)))?;
        Ok((*file, value))
    };
    EXAMPLES.iter().map(read).collect()
}

/// A client of the publisher.
#[derive(Clone)]
pub(super) struct Api {
    policies: PolicyServiceClient<Channel>,
    acks: AckServiceClient<Channel>,
}

/// An edit on its way.
pub(super) struct Submitted {
    pub(super) edit: EditResponse,
    pub(super) since: Instant,
}

impl Api {
    pub(super) fn new(fleet: &Fleet) -> Result<Api, Error> {
        let channel = fleet.channel()?;
        Ok(Api {
            policies: PolicyServiceClient::new(channel.clone()),
            acks: AckServiceClient::new(channel),
        })
    }

    pub(super) async fn apply(&self, manifest: &Value, reason: &str) -> Result<Submitted, Error> {
        let request = ApplyRequest {
            manifest: manifest.to_string(),
            reason: reason.to_owned(),
            ..ApplyRequest::default()
        };
        let since = Instant::now();
        let edit = self.policies.clone().apply(request).await?.into_inner();
        Ok(Submitted { edit, since })
    }

    pub(super) async fn delete(&self, name: &str, reason: &str) -> Result<(), Error> {
        let request = DeleteRequest {
            name: name.to_owned(),
            reason: reason.to_owned(),
            ..DeleteRequest::default()
        };
        self.policies.clone().delete(request).await?;
        Ok(())
    }

    pub(super) async fn status(&self, of: Of) -> Result<StatusResponse, Error> {
        let request = StatusRequest {
            of: Some(of),
            ..Default::default()
        };
        Ok(self.acks.clone().get_status(request).await?.into_inner())
    }

    pub(super) async fn policy(
        &self,
        name: &str,
        generation: u64,
    ) -> Result<StatusResponse, Error> {
        self.status(Of::Policy(PolicyVersion {
            name: name.to_owned(),
            generation,
        }))
        .await
    }

    pub(super) async fn cluster(&self, name: &str) -> Result<v1::ClusterStatus, Error> {
        let status = self.status(Of::Cluster(name.to_owned())).await?;
        status
            .cluster
            .ok_or_else(|| Error::Untrue(format!("the publisher knows {name}")))
    }

    /// Tells every cluster's answer as it comes, and ends when all targets have applied the edit.
    /// Answers how long that took from the request on.
    pub(super) async fn tell_arrival(&self, submitted: &Submitted) -> Result<Duration, Error> {
        let mut told = std::collections::BTreeSet::new();
        let seen = |policy: &v1::PolicyStatus| {
            let now = submitted.since.elapsed();
            for line in &policy.clusters {
                if line.state() == AckState::Applied && told.insert(line.cluster.clone()) {
                    told::aside(format!(
                        "{:>8}  {:<12} {}",
                        told::ms(now),
                        line.cluster,
                        told::word(line.state())
                    ))?;
                }
            }
            Ok(())
        };
        self.until_applied(submitted, seen).await
    }

    /// Follows an edit until all targets have applied it; `seen` is called with each status. What happens to the
    /// policy, as `writ events -w` shows it, says when to look. Answers how long that took from the request on.
    pub(super) async fn until_applied(
        &self,
        submitted: &Submitted,
        mut seen: impl FnMut(&v1::PolicyStatus) -> Result<(), Error>,
    ) -> Result<Duration, Error> {
        let edit = &submitted.edit;
        let request = HappeningsRequest {
            policy: edit.name.clone(),
            ..HappeningsRequest::default()
        };
        let mut happens = self
            .acks
            .clone()
            .watch_happenings(request)
            .await?
            .into_inner();
        loop {
            let status = self.policy(&edit.name, edit.generation).await?;
            let now = submitted.since.elapsed();
            let policy = status.policies.first().cloned().unwrap_or_default();
            seen(&policy)?;
            let is_refused = |line: &&v1::ClusterLine| line.state() == AckState::Refused;
            if let Some(line) = policy.clusters.iter().find(is_refused) {
                let what = format!("{} is applied on {}", edit.name, line.cluster);
                let (reason, message) = (&line.reason, &line.message);
                return Err(Error::Untrue(format!("{what}: {reason} {message}")));
            }
            let counts = policy.counts.unwrap_or_default();
            if counts.target > 0 && counts.applied == counts.target {
                return Ok(now);
            }
            if now > ARRIVAL_LIMIT {
                let what = format!("all {} clusters answer to {}", counts.target, edit.name);
                return Err(Error::Untrue(what));
            }
            // Out of time is no failure: the status decides.
            if let Ok(next) = tokio::time::timeout(LOOK_AGAIN_DELAY, happens.message()).await {
                next?;
            }
        }
    }
}

/// Takes a grant out of a policy's manifest.
pub(super) fn without_grant(manifest: &Value, name: &str) -> Value {
    let mut manifest = manifest.clone();
    if let Some(grants) = manifest
        .pointer_mut("/spec/grants")
        .and_then(Value::as_array_mut)
    {
        grants.retain(|grant| grant["name"] != name);
    }
    manifest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_are_there_and_the_grant_that_is_taken_away_is_in_them() {
        let examples = examples().unwrap();
        assert_eq!(examples.len(), 4);
        let (_, payments) = &examples[1];
        let fewer = without_grant(payments, "support");
        let count = |value: &Value| value["spec"]["grants"].as_array().map_or(0, Vec::len);
        assert_eq!(count(&fewer) + 1, count(payments));
    }
}
