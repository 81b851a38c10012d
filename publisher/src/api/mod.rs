//! The gRPC API. Only translates: requests into submissions and questions, answers into messages.

mod access_service;
mod ack;
mod cluster;
mod convert;
mod error;
mod history;
mod past;
mod policy;
mod trust;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body, transport::server::Router};
use tower::{
    layer::util::{Identity as NoLayer, Stack},
    util::MapRequestLayer,
};
use writ_core::{
    access::{Administrators, Identity, Rights},
    edit::Kind,
    name::Name,
    revision::Revision,
};
use writ_proto::v1::{
    self, access_service_server::AccessServiceServer, ack_service_server::AckServiceServer,
    cluster_service_server::ClusterServiceServer, history_service_server::HistoryServiceServer,
    policy_service_server::PolicyServiceServer, trust_service_server::TrustServiceServer,
};

use crate::{
    accept::MANIFEST_SIZE_MAX_BYTES,
    access,
    bundle::Bundles,
    caller,
    commit::Committer,
    past::Past,
    track::{self, Tracking},
    view::{View, Views},
};

/// Largest request: a manifest and the little beside it.
const REQUEST_SIZE_MAX_BYTES: usize = MANIFEST_SIZE_MAX_BYTES + 64 * 1024;

/// Streams of status that are open at once: each makes its whole status at every change.
const WATCHES_MAX: usize = 256;

/// The five services. Clones share everything.
#[derive(Clone)]
pub(crate) struct Api {
    publisher: String,
    committer: Committer,
    administrators: Arc<Administrators>,
    views: Views,
    tracking: Tracking,
    stop: CancellationToken,
    watches: Arc<Semaphore>,
    past: Past,
    past_reads: Arc<Semaphore>,
    bundles: Bundles,
}

impl Api {
    pub(crate) fn new(
        publisher: String,
        (committer, administrators): (Committer, Arc<Administrators>),
        views: Views,
        tracking: Tracking,
        past: Past,
        bundles: Bundles,
        stop: CancellationToken,
    ) -> Api {
        let watches = Arc::new(Semaphore::new(WATCHES_MAX));
        let past_reads = Arc::new(Semaphore::new(past::READS_MAX));
        Api {
            publisher,
            committer,
            administrators,
            views,
            tracking,
            stop,
            watches,
            past,
            past_reads,
            bundles,
        }
    }

    fn as_of(&self, revision: Revision) -> v1::AsOf {
        v1::AsOf {
            publisher: self.publisher.clone(),
            time: Some(convert::time(track::wall_ms())),
            revision: Some(convert::revision(revision)),
            edits_refused: self
                .views
                .broken()
                .map(|broken| broken.to_string())
                .unwrap_or_default(),
        }
    }

    /// What a caller may do by a view; somebody without any rule is told so.
    fn rights<'a>(&self, identity: &'a Identity, view: &'a View) -> Result<Rights<'a>, Status> {
        let rights = access::rights(identity, &self.administrators, view);
        match rights.are_none() {
            false => Ok(rights),
            true => Err(Status::permission_denied(format!(
                "{identity} may not read: no access rule is for them; ask an administrator for one"
            ))),
        }
    }

    /// A view that is not older than what was asked for.
    async fn view_at(&self, at_least: Option<&v1::Revision>) -> Result<Arc<View>, Status> {
        let wanted = at_least.map_or(Revision::ZERO, convert::to_revision);
        let view = self.views.wait_for(|view| view.revision() >= wanted).await;
        view.map_err(|behind| error::behind(&behind))
    }

    /// The same, and not older than a generation of a name.
    async fn view_of(
        &self,
        kind: Kind,
        name: &Name,
        generation: u64,
        at_least: Option<&v1::Revision>,
    ) -> Result<Arc<View>, Status> {
        let wanted = at_least.map_or(Revision::ZERO, convert::to_revision);
        let fits = |view: &Arc<View>| {
            view.revision() >= wanted && view.generation(kind, name).0 >= generation
        };
        self.views
            .wait_for(fits)
            .await
            .map_err(|behind| error::behind(&behind))
    }
}

/// What every request passes before it reaches a service.
type Layers = Stack<MapRequestLayer<fn(http::Request<Body>) -> http::Request<Body>>, NoLayer>;

/// All services, with health and both versions of reflection.
pub(crate) async fn router(api: Api) -> Result<Router<Layers>, tonic_reflection::server::Error> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let policies =
        PolicyServiceServer::new(api.clone()).max_decoding_message_size(REQUEST_SIZE_MAX_BYTES);
    let clusters =
        ClusterServiceServer::new(api.clone()).max_decoding_message_size(REQUEST_SIZE_MAX_BYTES);
    let acks = AckServiceServer::new(api.clone());
    let access =
        AccessServiceServer::new(api.clone()).max_decoding_message_size(REQUEST_SIZE_MAX_BYTES);
    let history = HistoryServiceServer::new(api.clone());
    let trust = TrustServiceServer::new(api).max_decoding_message_size(trust::FILE_SIZE_MAX_BYTES);
    // Served only once the log is followed, so that serving is healthy.
    reporter.set_serving::<PolicyServiceServer<Api>>().await;
    reporter.set_serving::<ClusterServiceServer<Api>>().await;
    reporter.set_serving::<AckServiceServer<Api>>().await;
    reporter.set_serving::<HistoryServiceServer<Api>>().await;
    reporter.set_serving::<TrustServiceServer<Api>>().await;
    reporter.set_serving::<AccessServiceServer<Api>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(writ_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let identify: fn(http::Request<Body>) -> http::Request<Body> = caller::identify;
    Ok(tonic::transport::Server::builder()
        .layer(MapRequestLayer::new(identify))
        .add_service(policies)
        .add_service(clusters)
        .add_service(acks)
        .add_service(history)
        .add_service(trust)
        .add_service(access)
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?))
}
