//! IdentityService: who calls.

use tonic::{Request, Response, Status};
use writ_proto::v1::{self, identity_service_server::IdentityService};

use super::Api;
use crate::{access, caller::caller};

#[tonic::async_trait]
impl IdentityService for Api {
    async fn who_am_i(
        &self,
        request: Request<v1::WhoAmIRequest>,
    ) -> Result<Response<v1::WhoAmIResponse>, Status> {
        let caller = caller(&request);
        let view = self.views.now();
        let roles = access::rights(&caller, &self.administrators, &view).described();
        Ok(Response::new(v1::WhoAmIResponse {
            inlet: caller.inlet.to_string(),
            user: caller.user,
            groups: caller.groups.into_iter().collect(),
            roles,
            publisher: self.publisher.clone(),
        }))
    }
}
