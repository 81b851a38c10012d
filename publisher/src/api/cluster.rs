//! ClusterService.

use tonic::{Request, Response, Status};
use writ_core::{
    access::Identity,
    edit::Kind,
    enrol::{Change, Fingerprint, nkey},
    envelope::PublicKey,
    model::{Document, TokenKey},
    name::ClusterName,
    scope::Scope,
};
use writ_proto::v1::{self, cluster_service_server::ClusterService};
use writ_telemetry::describe;

use super::{
    Api,
    access_service::unseen,
    convert::{self, Detail},
    error,
    policy::{Filter, Page, read_name},
};
use crate::{
    accept::{self, About, Submission},
    caller::caller,
    error::EditError,
    track,
};

/// What a publisher without keys for enrolment says.
const NO_MINTER: &str =
    "this publisher holds no keys to let clusters in: start it with --enrolment-keys-file";

#[tonic::async_trait]
impl ClusterService for Api {
    async fn apply(
        &self,
        request: Request<v1::ApplyRequest>,
    ) -> Result<Response<v1::EditResponse>, Status> {
        let caller = caller(&request);
        self.apply(Kind::Cluster, request.into_inner(), &caller)
            .await
    }

    async fn remove(
        &self,
        request: Request<v1::DeleteRequest>,
    ) -> Result<Response<v1::EditResponse>, Status> {
        let caller = caller(&request);
        self.delete(Kind::Cluster, request.into_inner(), &caller)
            .await
    }

    async fn add(
        &self,
        request: Request<v1::AddClusterRequest>,
    ) -> Result<Response<v1::EnrolResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let token = token(request.token.as_ref(), self.desk.token_life_ms)?;
        let (id, reason) = (request.request_id, request.reason);
        let about = About::unguarded(id, reason, request.dry_run, &caller);
        let submission = accept::add(request.manifest, token, about);
        self.enrol(submission, request.token).await
    }

    async fn approve(
        &self,
        request: Request<v1::ApproveClusterRequest>,
    ) -> Result<Response<v1::EditResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let fingerprint = Fingerprint::parse(&request.fingerprint)
            .map_err(|error| error::field("fingerprint", error.to_string()))?;
        let (id, reason) = (request.request_id, request.reason);
        let about = About::unguarded(id, reason, request.dry_run, &caller);
        self.step(&request.name, Change::Approve(fingerprint), about)
            .await
    }

    async fn reenrol(
        &self,
        request: Request<v1::ReenrolClusterRequest>,
    ) -> Result<Response<v1::EnrolResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let change = Change::Reenrol(token(request.token.as_ref(), self.desk.token_life_ms)?);
        let (id, reason) = (request.request_id, request.reason);
        let about = About::unguarded(id, reason, request.dry_run, &caller);
        let submission = accept::step(&request.name, change, about);
        self.enrol(submission, request.token).await
    }

    async fn drain(
        &self,
        request: Request<v1::ChangeClusterRequest>,
    ) -> Result<Response<v1::EditResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let about = about(&request, &caller);
        self.step(&request.name, Change::Drain, about).await
    }

    async fn cut_off(
        &self,
        request: Request<v1::ChangeClusterRequest>,
    ) -> Result<Response<v1::EditResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let about = about(&request, &caller);
        self.step(&request.name, Change::CutOff, about).await
    }

    async fn get(
        &self,
        request: Request<v1::GetRequest>,
    ) -> Result<Response<v1::GetClusterResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let (name, view) = self.view_for(Kind::Cluster, &request).await?;
        let rights = self.rights(&caller, &view)?;
        let Some((Document::Cluster(cluster), intent)) = view.found(Kind::Cluster, &name) else {
            return Err(unseen(&rights, "cluster", &name));
        };
        if !rights.see_cluster(&Scope::of(&cluster.region, &cluster.stage)) {
            return Err(unseen(&rights, "cluster", &name));
        }
        let cluster = self.cluster(intent, cluster, Detail::All);
        let as_of = Some(self.as_of(view.revision()));
        Ok(Response::new(v1::GetClusterResponse {
            cluster: Some(cluster),
            as_of,
        }))
    }

    async fn list(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<v1::ListClustersResponse>, Status> {
        let caller = caller(&request);
        let request = request.into_inner();
        let filter = Filter::read(&request)?;
        let view = self.view_at(request.at_least.as_ref()).await?;
        let rights = self.rights(&caller, &view)?;
        let detail = if request.with_manifests {
            Detail::Manifest
        } else {
            Detail::Line
        };
        let mut page = Page::new(request.page_size);
        let mut clusters = Vec::new();
        for (name, document) in view.documents_after(Kind::Cluster, filter.after.as_ref()) {
            let (Document::Cluster(cluster), Some(intent)) =
                (document.as_ref(), view.intent(Kind::Cluster, name))
            else {
                continue;
            };
            let is_seen = rights.see_cluster(&Scope::of(&cluster.region, &cluster.stage));
            if !is_seen || !filter.fits_cluster(cluster) {
                continue;
            }
            let cluster = self.cluster(intent, cluster, detail);
            if !page.takes(name.as_str(), prost::Message::encoded_len(&cluster)) {
                break;
            }
            clusters.push(cluster);
        }
        Ok(Response::new(v1::ListClustersResponse {
            clusters,
            as_of: Some(self.as_of(view.revision())),
            next_page_token: page.next_token(),
        }))
    }
}

fn about<'a>(request: &v1::ChangeClusterRequest, caller: &'a Identity) -> About<'a> {
    About {
        request_id: request.request_id.clone(),
        reason: request.reason.clone(),
        caller,
        dry_run: request.dry_run,
        confirm: request.confirm,
        overrides: request.override_guards,
    }
}

/// The public side of a token, which is taken from now on.
fn token(given: Option<&v1::TokenKeys>, life_ms: u64) -> Result<Option<TokenKey>, Status> {
    let Some(given) = given else { return Ok(None) };
    if nkey::public(&given.bus_key).is_none() {
        let message = "must be the public key of an nkey user";
        return Err(error::field("token.bus_key", message));
    }
    if PublicKey::from_base64(&given.signing_key).is_err() {
        let message = "must be an Ed25519 public key in base64";
        return Err(error::field("token.signing_key", message));
    }
    Ok(Some(TokenKey {
        key: given.signing_key.clone(),
        expires_ms: track::wall_ms() + life_ms,
    }))
}

impl Api {
    async fn step(
        &self,
        name: &str,
        change: Change,
        about: About<'_>,
    ) -> Result<Response<v1::EditResponse>, Status> {
        let submission =
            accept::step(name, change, about).map_err(|refused| error::edit(&refused))?;
        self.submit(submission).await
    }

    /// An edit after which a cluster enrols, and what it needs for that.
    async fn enrol(
        &self,
        submission: Result<Submission, EditError>,
        token: Option<v1::TokenKeys>,
    ) -> Result<Response<v1::EnrolResponse>, Status> {
        let submission = submission.map_err(|refused| error::edit(&refused))?;
        let dry_run = submission.dry_run;
        if token.is_some() && self.desk.minter.is_none() {
            return Err(Status::failed_precondition(NO_MINTER));
        }
        let answer = self.submit(submission).await?.into_inner();
        let mut response = v1::EnrolResponse {
            trust: self.desk.trusted.held().trust.to_file(),
            bus_url: self.desk.bus_url.clone(),
            ..v1::EnrolResponse::default()
        };
        let name = read_name(&answer.name)?;
        let view = self.views.now();
        let cluster = view.cluster(&ClusterName::from(&name));
        if let (Some(cluster), Some(minter), false) = (cluster, &self.desk.minter, dry_run) {
            let failed = |error| Status::internal(describe(&error));
            response.region = cluster.region.to_string();
            response.stage = cluster.stage.to_string();
            response.request_credentials =
                minter.request(&cluster.name).map_err(failed)?.to_string();
            if let Some(token) = token {
                let out = cluster
                    .enrolment
                    .as_ref()
                    .and_then(|out| out.token.as_ref());
                let out = out.filter(|out| out.key == token.signing_key);
                let expires_ms = out.map_or(0, |out| out.expires_ms);
                let user = minter.enrolment(&cluster.name, &token.bus_key, expires_ms);
                response.enrol_credentials = user.map_err(failed)?.to_string();
                response.expires_at = Some(convert::time(expires_ms));
            }
        }
        response.edit = Some(answer);
        Ok(Response::new(response))
    }

    fn cluster(
        &self,
        intent: &writ_core::edit::Intent,
        cluster: &writ_core::model::Cluster,
        detail: Detail,
    ) -> v1::Cluster {
        let name = ClusterName::from(&intent.name);
        let status = self
            .tracking
            .ask(|tracker, now| tracker.cluster_status(&name, now));
        let mut told = convert::cluster(intent, cluster, status.as_ref(), detail);
        if cluster.keys.is_none() {
            told.waiting = self.desk.asked.waiting(&name);
        }
        told.refused = self.desk.asked.refused(&name);
        told
    }
}
