//! AuditService: the record of every call, for those who keep it.

use std::{pin::Pin, time::Duration};

use futures::{Stream, stream};
use tonic::{Request, Response, Status};
use writ_bus::audit::{self, Entry};
use writ_core::access::Identity;
use writ_proto::v1::{self, audit_service_server::AuditService};
use writ_telemetry::describe;

use super::Api;
use crate::{access, caller::caller};

/// Readers at once: each asks the stream's leader for one message after the other.
pub(super) const READERS_MAX: usize = 8;

/// How often it is looked for more where there was none.
const LOOK_PERIOD: Duration = Duration::from_millis(500);

/// What is left of a reader between two messages.
struct Reader {
    api: Api,
    after: u64,
    follow: bool,
    _place: tokio::sync::OwnedSemaphorePermit,
}

#[tonic::async_trait]
impl AuditService for Api {
    type ReadAuditStream =
        Pin<Box<dyn Stream<Item = Result<v1::ReadAuditResponse, Status>> + Send>>;

    async fn read_audit(
        &self,
        request: Request<v1::ReadAuditRequest>,
    ) -> Result<Response<Self::ReadAuditStream>, Status> {
        let caller = caller(&request);
        if !self.administers(&caller) {
            let message = format!("{caller} may not read the audit: administrators may");
            return Err(Status::permission_denied(message));
        }
        let place = std::sync::Arc::clone(&self.audit_readers).try_acquire_owned();
        let place = place.map_err(|_| {
            Status::resource_exhausted(format!("{READERS_MAX} read the audit already"))
        })?;
        let request = request.into_inner();
        let reader = Reader {
            api: self.clone(),
            after: request.after,
            follow: request.follow,
            _place: place,
        };
        let parts = stream::unfold(Some(reader), |reader| async {
            let mut reader = reader?;
            match reader.next().await {
                Ok(Some(entry)) => {
                    reader.after = entry.sequence;
                    Some((Ok(convert(&entry)), Some(reader)))
                }
                Ok(None) => None,
                Err(status) => Some((Err(status), None)),
            }
        });
        Ok(Response::new(Box::pin(parts)))
    }
}

impl Reader {
    /// The next message; nothing at the end, which a follower has none of but the publisher's own.
    async fn next(&self) -> Result<Option<Entry>, Status> {
        loop {
            let next = audit::next(&self.api.client, self.after).await;
            let next = next.map_err(|error| Status::unavailable(describe(&error)))?;
            if next.is_some() || !self.follow {
                return Ok(next);
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_PERIOD) => {}
                () = self.api.stop.cancelled() => return Ok(None),
            }
        }
    }
}

fn convert(entry: &Entry) -> v1::ReadAuditResponse {
    let text = String::from_utf8_lossy(&entry.bytes);
    v1::ReadAuditResponse {
        place: entry.sequence,
        lines: text.lines().map(str::to_owned).collect(),
    }
}

impl Api {
    /// Whether somebody administers the whole fleet, by the rules as this publisher has seen them.
    pub(super) fn administers(&self, caller: &Identity) -> bool {
        let view = self.views.now();
        access::rights(caller, &self.administrators, &view).are_unbounded()
    }
}
