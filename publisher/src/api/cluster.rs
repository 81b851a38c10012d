//! ClusterService.

use tonic::{Request, Response, Status};
use writ_core::{edit::Kind, model::Document, name::ClusterName, scope::Scope};
use writ_proto::v1::{self, cluster_service_server::ClusterService};

use super::{
    Api,
    access_service::unseen,
    convert::{self, Detail},
    policy::{Filter, Page},
};
use crate::caller::caller;

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

impl Api {
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
        convert::cluster(intent, cluster, status.as_ref(), detail)
    }
}
