//! One edit, sent to the service that takes documents of its kind.

use tonic::{Request, Response, Status};
use writ_proto::v1;

use crate::connect::{Fleet, insist};
use crate::error::Answer;
use crate::input::Kind;
use crate::trace::Trace;

/// Sends an edit to one of the services, in a trace of its own, as [`insist`] sends.
pub(crate) async fn edit<C, R, T>(
    client: &C,
    request: &R,
    call: impl AsyncFn(C, Request<R>) -> Result<Response<T>, Status>,
) -> Result<T, Answer>
where
    C: Clone,
    R: Clone,
{
    edit_in(&Trace::of_edit(), client, request, call).await
}

/// The same in a trace that is there.
pub(crate) async fn edit_in<C, R, T>(
    trace: &Trace,
    client: &C,
    request: &R,
    call: impl AsyncFn(C, Request<R>) -> Result<Response<T>, Status>,
) -> Result<T, Answer>
where
    C: Clone,
    R: Clone,
{
    insist(|| call(client.clone(), trace.on(request.clone()))).await
}

/// Puts a document in force, as [`insist`] sends.
pub(crate) async fn apply(
    fleet: &Fleet,
    kind: Kind,
    request: &v1::ApplyRequest,
) -> Result<v1::EditResponse, Answer> {
    match kind {
        Kind::Cluster => {
            edit(&fleet.clusters, request, async |mut client, request| {
                client.apply(request).await
            })
            .await
        }
        Kind::AccessRule | Kind::StageRules => {
            edit(&fleet.access, request, async |mut client, request| {
                client.apply(request).await
            })
            .await
        }
        Kind::ClusterPolicy => {
            edit(&fleet.policies, request, async |mut client, request| {
                client.apply(request).await
            })
            .await
        }
    }
}

/// Takes a name away, as [`insist`] sends.
pub(crate) async fn delete(
    fleet: &Fleet,
    kind: Kind,
    request: &v1::DeleteRequest,
) -> Result<v1::EditResponse, Answer> {
    match kind {
        Kind::Cluster => {
            edit(&fleet.clusters, request, async |mut client, request| {
                client.remove(request).await
            })
            .await
        }
        Kind::AccessRule | Kind::StageRules => {
            edit(&fleet.access, request, async |mut client, request| {
                client.delete(request).await
            })
            .await
        }
        Kind::ClusterPolicy => {
            edit(&fleet.policies, request, async |mut client, request| {
                client.delete(request).await
            })
            .await
        }
    }
}
