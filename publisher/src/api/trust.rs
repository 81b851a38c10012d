//! The trust bundle over the API.

use tonic::{Request, Response, Status};
use writ_core::{
    access::Action,
    trust::{Key, Standing},
};
use writ_proto::v1::{self, trust_service_server::TrustService};
use writ_telemetry::describe;

use super::{Api, convert};
use crate::{bundle::Error, caller::caller};

/// A trust file of as many keys as a bundle may have is a tenth of that.
pub(super) const FILE_SIZE_MAX_BYTES: usize = 64 * 1024;

#[tonic::async_trait]
impl TrustService for Api {
    async fn get_trust(
        &self,
        request: Request<v1::GetTrustRequest>,
    ) -> Result<Response<v1::Trust>, Status> {
        let caller = caller(&request);
        let view = self.view_at(request.get_ref().at_least.as_ref()).await?;
        self.rights(&caller, &view)?;
        Ok(Response::new(self.trust(view.revision())))
    }

    async fn apply_trust(
        &self,
        request: Request<v1::ApplyTrustRequest>,
    ) -> Result<Response<v1::Trust>, Status> {
        let caller = caller(&request);
        let view = self.views.now();
        let rights = self.rights(&caller, &view)?;
        // The offline key signed it; who may bring it is asked all the same.
        let decided = rights.decide(Action::Fleet);
        decided.map_err(|denied| Status::permission_denied(denied.to_string()))?;
        let file = request.into_inner().file;
        let revision = self
            .bundles
            .store(&file)
            .await
            .map_err(|error| status(&error))?;
        Ok(Response::new(self.trust(revision)))
    }
}

impl Api {
    fn trust(&self, revision: writ_core::revision::Revision) -> v1::Trust {
        let held = self.bundles.trusted.held();
        v1::Trust {
            version: held.trust.bundle.version,
            keys: held.trust.bundle.keys.iter().map(key).collect(),
            file: held.trust.to_file(),
            signing_key_id: self.bundles.signer.id().to_string(),
            as_of: Some(self.as_of(revision)),
        }
    }
}

fn key(key: &Key) -> v1::TrustKey {
    let (standing, until) = match key.standing {
        Standing::Active => ("active", None),
        Standing::Retired { until } => ("retired", Some(convert::revision(until))),
        Standing::Revoked => ("revoked", None),
    };
    v1::TrustKey {
        id: key.public.id().to_string(),
        name: key.name.clone(),
        standing: standing.to_owned(),
        until,
        version: key.version,
        since: (key.since_ms > 0).then(|| convert::time(key.since_ms)),
        public: key.public.to_bytes().to_vec(),
    }
}

fn status(error: &Error) -> Status {
    let said = describe(error);
    match error {
        Error::File(_) | Error::OfflineKey => Status::invalid_argument(said),
        Error::Older { .. } | Error::SignedSince { .. } | Error::OwnKey(_) | Error::Broken(_) => {
            Status::failed_precondition(said)
        }
        Error::Refused(_) | Error::Unknown => Status::unavailable(said),
    }
}
