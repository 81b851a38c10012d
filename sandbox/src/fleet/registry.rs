//! The registry of a fleet, through the publisher's API like any other client: asks whether the
//! publisher hears a cluster.

use std::time::Duration;

use prost_types::Timestamp;
use tonic::transport::Channel;
use writ_core::name::ClusterName;
use writ_proto::v1;
use writ_proto::v1::cluster_service_client::ClusterServiceClient;
use writ_proto::v1::liveness::State;

use super::Error;
use crate::api::ApiKeys;
use crate::process::Process;

/// How long one request may take: over the 5–7 s that a bus without leader refuses writes.
const REQUEST_LIMIT: Duration = Duration::from_secs(20);

/// How long a new subscriber may take until the publisher hears it; one pulse period and a
/// second on an idle machine.
const HEARD_LIMIT: Duration = Duration::from_secs(120);

/// A client of the publisher.
#[derive(Clone, Debug)]
pub(super) struct Registry {
    clusters: ClusterServiceClient<Channel>,
}

impl Registry {
    pub(super) fn new(api: &ApiKeys, address: &str) -> Result<Self, Error> {
        let channel = api.channel(address, Some(REQUEST_LIMIT))?;
        Ok(Self {
            clusters: ClusterServiceClient::new(channel),
        })
    }

    /// When the publisher last heard the cluster, by the publisher's clock.
    pub(super) async fn last_heard(&self, name: &ClusterName) -> Result<Option<Timestamp>, Error> {
        let liveness = self.liveness(name).await;
        let liveness = liveness.map_err(|status| refused("show", name.as_str(), status))?;
        Ok(liveness.and_then(|liveness| liveness.last_heard))
    }

    /// Waits until the cluster is live and was heard after `since`.
    pub(super) async fn hear(
        &self,
        name: &ClusterName,
        subscriber: &Process,
        since: Option<Timestamp>,
    ) -> Result<(), Error> {
        let moment = |time: &Timestamp| (time.seconds, time.nanos);
        let heard = async || {
            let liveness = self.liveness(name).await.ok()??;
            let last = liveness.last_heard.as_ref().map(moment);
            (liveness.state() == State::Live && last > since.as_ref().map(moment)).then_some(())
        };
        Ok(subscriber
            .ready("the publisher heard from it", HEARD_LIMIT, heard)
            .await?)
    }

    async fn liveness(&self, name: &ClusterName) -> Result<Option<v1::Liveness>, tonic::Status> {
        let name = name.to_string();
        let request = v1::GetRequest {
            name,
            ..v1::GetRequest::default()
        };
        let answer = self.clusters.clone().get(request).await?.into_inner();
        Ok(answer.cluster.and_then(|cluster| cluster.liveness))
    }
}

fn refused(action: &'static str, name: &str, status: tonic::Status) -> Error {
    Error::Registry {
        action,
        name: name.to_owned(),
        source: Box::new(status),
    }
}
