//! One edit, sent to the service that takes documents of its kind.

use writ_proto::v1;

use crate::connect::{Fleet, insist};
use crate::error::Answer;
use crate::input::Kind;
use crate::trace::Trace;

/// Puts a document in force, as [`insist`] sends.
pub(crate) async fn apply(
    fleet: &Fleet,
    kind: Kind,
    request: &v1::ApplyRequest,
) -> Result<v1::EditResponse, Answer> {
    let trace = Trace::of_edit();
    match kind {
        Kind::Cluster => {
            insist(|| {
                let (mut client, request) = (fleet.clusters.clone(), trace.on(request.clone()));
                async move { client.apply(request).await }
            })
            .await
        }
        Kind::AccessRule | Kind::StageRules => {
            insist(|| {
                let (mut client, request) = (fleet.access.clone(), trace.on(request.clone()));
                async move { client.apply(request).await }
            })
            .await
        }
        Kind::ClusterPolicy => {
            insist(|| {
                let (mut client, request) = (fleet.policies.clone(), trace.on(request.clone()));
                async move { client.apply(request).await }
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
    let trace = Trace::of_edit();
    match kind {
        Kind::Cluster => {
            insist(|| {
                let (mut client, request) = (fleet.clusters.clone(), trace.on(request.clone()));
                async move { client.remove(request).await }
            })
            .await
        }
        Kind::AccessRule | Kind::StageRules => {
            insist(|| {
                let (mut client, request) = (fleet.access.clone(), trace.on(request.clone()));
                async move { client.delete(request).await }
            })
            .await
        }
        Kind::ClusterPolicy => {
            insist(|| {
                let (mut client, request) = (fleet.policies.clone(), trace.on(request.clone()));
                async move { client.delete(request).await }
            })
            .await
        }
    }
}
