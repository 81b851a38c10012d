//! The gRPC API. Only translates: requests into submissions and questions, answers into messages.

mod access_service;
mod ack;
mod audit;
mod cluster;
pub(crate) mod convert;
mod error;
mod fleet;
mod happenings;
mod history;
mod identity;
mod past;
mod policy;
mod token;
mod trust;
mod watch;

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{Status, transport::server::Router};
use tower::layer::util::{Identity as NoLayer, Stack};
use writ_bus::Client;
use writ_core::{
    access::{Administrators, Identity, Rights},
    edit::Kind,
    name::Name,
    revision::Revision,
    tracker::Tracker,
};
use writ_proto::v1::{
    self, access_service_server::AccessServiceServer, ack_service_server::AckServiceServer,
    audit_service_server::AuditServiceServer, cluster_service_server::ClusterServiceServer,
    history_service_server::HistoryServiceServer, identity_service_server::IdentityServiceServer,
    policy_service_server::PolicyServiceServer, token_service_server::TokenServiceServer,
    trust_service_server::TrustServiceServer,
};

use crate::{
    accept::MANIFEST_SIZE_MAX_BYTES,
    access, admin,
    bundle::Bundles,
    commit::Committer,
    enrol::Desk,
    gate::Check,
    metrics::Meters,
    past::Past,
    track::{self, Tracking},
    view::{View, Views},
};

/// Largest request: a manifest and the little beside it.
const REQUEST_SIZE_MAX_BYTES: usize = MANIFEST_SIZE_MAX_BYTES + 64 * 1024;

/// Largest request that holds no manifest.
const QUESTION_SIZE_MAX_BYTES: usize = 64 * 1024;

/// Calls at once on one connection; the command line has 64.
const CALLS_MAX: u32 = 256;

/// Largest headers of a call: a token with a few hundred groups has 8 KiB.
const HEADERS_SIZE_MAX_BYTES: u32 = 32 * 1024;

/// How often a caller who says nothing is probed, and how long the answer may take.
const PROBE_PERIOD: Duration = Duration::from_secs(20);

/// After what time a connection takes no more calls, so that its client certificate is looked at again.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(1800);

/// Streams that are open at once; a session of the dashboard has three. Where each follows the changes of a policy on
/// 10,000 clusters, they hold some 300 MB together.
const WATCHES_MAX: usize = 384;

/// What the services ask.
pub(crate) struct Parts {
    pub(crate) publisher: String,
    pub(crate) committer: Committer,
    pub(crate) administrators: Arc<Administrators>,
    pub(crate) views: Views,
    pub(crate) tracking: Tracking,
    pub(crate) past: Past,
    pub(crate) bundles: Bundles,
    pub(crate) desk: Desk,
    pub(crate) stop: CancellationToken,
}

/// The services. Clones share everything.
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
    audit_readers: Arc<Semaphore>,
    client: Client,
    desk: Desk,
}

impl Api {
    pub(crate) fn new(parts: Parts) -> Api {
        Api {
            publisher: parts.publisher,
            committer: parts.committer,
            administrators: parts.administrators,
            views: parts.views,
            tracking: parts.tracking,
            stop: parts.stop,
            watches: Arc::new(Semaphore::new(WATCHES_MAX)),
            past: parts.past,
            past_reads: Arc::new(Semaphore::new(past::READS_MAX)),
            client: parts.bundles.client.clone(),
            bundles: parts.bundles,
            audit_readers: Arc::new(Semaphore::new(audit::READERS_MAX)),
            desk: parts.desk,
        }
    }

    /// Shows metrics and state where this process shows itself.
    pub(crate) fn show(&self, admin: &writ_telemetry::Admin, meters: Meters) {
        let (api, dumped) = (self.clone(), self.clone());
        let refresh = move || {
            let overview = api.tracking.ask(|tracker, now| tracker.overview(now));
            meters.overview(&overview);
            meters.log(api.views.now().revision(), api.views.broken().is_some());
            let watches = WATCHES_MAX - api.watches.available_permits();
            meters.queues(api.committer.waiting(), watches);
        };
        let dump = move || {
            let view = dumped.views.now();
            let ask = |tracker: &Tracker, now| admin::dump(&dumped.publisher, &view, tracker, now);
            dumped.tracking.ask(ask)
        };
        admin.show(Box::new(refresh), Box::new(dump));
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

    /// The name that is asked for, and a view that is not older than what was asked for.
    async fn view_for(
        &self,
        kind: Kind,
        request: &v1::GetRequest,
    ) -> Result<(Name, Arc<View>), Status> {
        let name = policy::read_name(&request.name)?;
        let (generation, at_least) = (request.at_least_generation, request.at_least.as_ref());
        let view = self.view_of(kind, &name, generation, at_least).await?;
        Ok((name, view))
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
type Layers = Stack<Check, NoLayer>;

/// All services, with health and both versions of reflection.
pub(crate) async fn router(
    api: Api,
    check: Check,
) -> Result<Router<Layers>, tonic_reflection::server::Error> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let policies =
        PolicyServiceServer::new(api.clone()).max_decoding_message_size(REQUEST_SIZE_MAX_BYTES);
    let clusters =
        ClusterServiceServer::new(api.clone()).max_decoding_message_size(REQUEST_SIZE_MAX_BYTES);
    let access =
        AccessServiceServer::new(api.clone()).max_decoding_message_size(REQUEST_SIZE_MAX_BYTES);
    let acks =
        AckServiceServer::new(api.clone()).max_decoding_message_size(QUESTION_SIZE_MAX_BYTES);
    let tokens =
        TokenServiceServer::new(api.clone()).max_decoding_message_size(QUESTION_SIZE_MAX_BYTES);
    let audit =
        AuditServiceServer::new(api.clone()).max_decoding_message_size(QUESTION_SIZE_MAX_BYTES);
    let identity =
        IdentityServiceServer::new(api.clone()).max_decoding_message_size(QUESTION_SIZE_MAX_BYTES);
    let history =
        HistoryServiceServer::new(api.clone()).max_decoding_message_size(QUESTION_SIZE_MAX_BYTES);
    let trust = TrustServiceServer::new(api).max_decoding_message_size(trust::FILE_SIZE_MAX_BYTES);
    // Served only once the log is followed, so that serving is healthy.
    reporter.set_serving::<PolicyServiceServer<Api>>().await;
    reporter.set_serving::<ClusterServiceServer<Api>>().await;
    reporter.set_serving::<AckServiceServer<Api>>().await;
    reporter.set_serving::<HistoryServiceServer<Api>>().await;
    reporter.set_serving::<TrustServiceServer<Api>>().await;
    reporter.set_serving::<AccessServiceServer<Api>>().await;
    reporter.set_serving::<IdentityServiceServer<Api>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(writ_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    reporter.set_serving::<AuditServiceServer<Api>>().await;
    reporter.set_serving::<TokenServiceServer<Api>>().await;
    Ok(tonic::transport::Server::builder()
        .max_concurrent_streams(CALLS_MAX)
        .http2_max_header_list_size(HEADERS_SIZE_MAX_BYTES)
        .http2_keepalive_interval(Some(PROBE_PERIOD))
        .http2_keepalive_timeout(Some(PROBE_PERIOD))
        .max_connection_age(CONNECTION_AGE_MAX)
        .layer(check)
        .add_service(policies)
        .add_service(clusters)
        .add_service(acks)
        .add_service(history)
        .add_service(trust)
        .add_service(access)
        .add_service(identity)
        .add_service(audit)
        .add_service(tokens)
        .add_service(health)
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?))
}
