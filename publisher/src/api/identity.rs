//! IdentityService: who calls.

use tonic::{Request, Response, Status};
use writ_proto::v1::{self, identity_service_server::IdentityService};

use super::Api;
use crate::caller::caller;

#[tonic::async_trait]
impl IdentityService for Api {
    async fn who_am_i(
        &self,
        request: Request<v1::WhoAmIRequest>,
    ) -> Result<Response<v1::WhoAmIResponse>, Status> {
        let caller = caller(&request);
        Ok(Response::new(v1::WhoAmIResponse {
            inlet: caller.inlet.to_string(),
            user: caller.user,
            groups: caller.groups.into_iter().collect(),
            roles: Vec::new(),
            publisher: self.publisher.clone(),
        }))
    }
}
