//! Who is asked: the services of the API, over one line.

use tonic::Status;
use writ_proto::v1::{
    self, ack_service_client::AckServiceClient, history_service_client::HistoryServiceClient,
    identity_service_client::IdentityServiceClient, policy_service_client::PolicyServiceClient,
    status_request::Of,
};

use crate::line::Line;

/// Largest answer that is taken: a policy on 10,000 clusters has some three megabytes of lines.
const ANSWER_SIZE_MAX_BYTES: usize = 32 << 20;

/// Entries on one page of a list.
const PAGE_SIZE: u32 = 1_000;

/// Pages of a list that are read: more policies than a person looks through.
const PAGES_MAX: usize = 20;

/// Asks. Clones share the line.
#[derive(Clone)]
pub(crate) struct Source(pub(crate) Line);

impl Source {
    pub(crate) fn acks(&self) -> AckServiceClient<Line> {
        AckServiceClient::new(self.0.clone()).max_decoding_message_size(ANSWER_SIZE_MAX_BYTES)
    }

    fn history(&self) -> HistoryServiceClient<Line> {
        HistoryServiceClient::new(self.0.clone()).max_decoding_message_size(ANSWER_SIZE_MAX_BYTES)
    }

    fn policies(&self) -> PolicyServiceClient<Line> {
        PolicyServiceClient::new(self.0.clone()).max_decoding_message_size(ANSWER_SIZE_MAX_BYTES)
    }

    /// Who this line's calls are from, to the API.
    pub(crate) async fn who(&self) -> Result<v1::WhoAmIResponse, Status> {
        let mut identity = IdentityServiceClient::new(self.0.clone());
        let answer = identity.who_am_i(v1::WhoAmIRequest {}).await?;
        Ok(answer.into_inner())
    }

    /// A policy at a generation (0: the last one), with a line for each cluster.
    pub(crate) async fn policy_status(
        &self,
        name: &str,
        generation: u64,
    ) -> Result<v1::PolicyStatus, Status> {
        let of = Of::Policy(v1::PolicyVersion {
            name: name.to_owned(),
            generation,
        });
        let answer = self.status(of).await?;
        let mut policies = answer.policies.into_iter();
        policies
            .next()
            .ok_or_else(|| Status::not_found("no status"))
    }

    pub(crate) async fn cluster_status(&self, name: &str) -> Result<v1::ClusterStatus, Status> {
        let answer = self.status(Of::Cluster(name.to_owned())).await?;
        answer.cluster.ok_or_else(|| Status::not_found("no status"))
    }

    async fn status(&self, of: Of) -> Result<v1::StatusResponse, Status> {
        let request = v1::StatusRequest {
            of: Some(of),
            ..Default::default()
        };
        Ok(self.acks().get_status(request).await?.into_inner())
    }

    /// All policies, without their documents.
    pub(crate) async fn heads(&self) -> Result<Vec<v1::Policy>, Status> {
        let (mut all, mut page_token) = (Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let request = v1::ListRequest {
                page_size: PAGE_SIZE,
                page_token,
                ..Default::default()
            };
            let answer = self.policies().list(request).await?.into_inner();
            all.extend(answer.policies);
            page_token = answer.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        Ok(all)
    }

    /// The kept edits of a policy, oldest first.
    pub(crate) async fn edits(&self, name: &str) -> Result<v1::ListEditsResponse, Status> {
        let request = v1::ListEditsRequest {
            kind: v1::EntryKind::Policy.into(),
            name: name.to_owned(),
            ..Default::default()
        };
        Ok(self.history().list_edits(request).await?.into_inner())
    }

    /// One kept edit of a policy with its document.
    pub(crate) async fn edit(
        &self,
        name: &str,
        generation: u64,
    ) -> Result<v1::GetEditResponse, Status> {
        let request = v1::GetEditRequest {
            kind: v1::EntryKind::Policy.into(),
            name: name.to_owned(),
            generation,
            ..Default::default()
        };
        Ok(self.history().get_edit(request).await?.into_inner())
    }

    /// What a cluster was told to hold, policy by policy, and what of it is unknown.
    pub(crate) async fn rendered(&self, cluster: &str) -> Result<Vec<v1::RenderedPolicy>, Status> {
        let request = v1::RenderRequest {
            cluster: cluster.to_owned(),
            ..Default::default()
        };
        let mut parts = self.history().render(request).await?.into_inner();
        let mut policies = Vec::new();
        while let Some(part) = parts.message().await? {
            if let Some(v1::render_response::Part::Policy(policy)) = part.part {
                policies.push(policy);
            }
        }
        Ok(policies)
    }
}
