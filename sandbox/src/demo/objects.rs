//! Looks at objects in the clusters as their administrator would.

use std::time::{Duration, Instant};

use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams},
};

use super::Error;
use crate::cluster::Cluster;

/// How long something may take to appear, come back or be counted.
const LIMIT: Duration = Duration::from_secs(30);
/// Pause between two looks.
const LOOK_PERIOD: Duration = Duration::from_millis(2);

fn failed(cluster: &Cluster) -> impl Fn(kube::Error) -> Error {
    let name = cluster.name().to_owned();
    move |cause| Error::ApiServer(name.clone(), Box::new(cause))
}

/// Waits until a cluster lists so many registry entries.
pub(super) async fn expect_registry(cluster: &Cluster, count: usize) -> Result<(), Error> {
    let resource = ApiResource {
        group: "writ.dev".into(),
        version: "v1alpha1".into(),
        api_version: "writ.dev/v1alpha1".into(),
        kind: "Cluster".into(),
        plural: "clusters".into(),
    };
    let api: Api<DynamicObject> = Api::all_with(cluster.client().clone(), &resource);
    let since = Instant::now();
    loop {
        let found = api
            .list(&ListParams::default())
            .await
            .map_err(failed(cluster))?
            .items
            .len();
        if found == count {
            return Ok(());
        }
        if since.elapsed() > LIMIT {
            let what = format!(
                "{} lists {count} clusters (it lists {found})",
                cluster.name()
            );
            return Err(Error::Untrue(what));
        }
        tokio::time::sleep(LOOK_PERIOD).await;
    }
}

/// Deletes a binding by hand and measures how long it is missing.
pub(super) async fn delete_and_see_it_back(
    cluster: &Cluster,
    name: &str,
) -> Result<Duration, Error> {
    let api: Api<ClusterRoleBinding> = Api::all(cluster.client().clone());
    let uid = |binding: &ClusterRoleBinding| binding.metadata.uid.clone();
    let before = uid(&api.get(name).await.map_err(failed(cluster))?);
    let since = Instant::now();
    api.delete(name, &DeleteParams::default())
        .await
        .map_err(failed(cluster))?;
    loop {
        let found = api.get_opt(name).await.map_err(failed(cluster))?;
        if found.is_some_and(|binding| uid(&binding) != before) {
            return Ok(since.elapsed());
        }
        if since.elapsed() > LIMIT {
            let what = format!("{name} comes back on {}", cluster.name());
            return Err(Error::Untrue(what));
        }
        tokio::time::sleep(LOOK_PERIOD).await;
    }
}
