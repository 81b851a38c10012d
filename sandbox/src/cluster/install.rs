//! What Writ needs in a cluster, from `deploy/`: its resource definitions, the ceiling, its
//! namespace and the subscriber's account with its role. Applied as the administrator, by
//! server-side apply, so that doing it again changes nothing.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::core::TypeMeta;
use kube::{Client, ResourceExt};

use super::Error;

/// What of `deploy/` goes into every cluster: definitions first, the ceiling before the rights
/// that it bounds.
const MANIFESTS: [(&str, &str); 3] = [
    (
        "deploy/crds.yaml",
        include_str!("../../../deploy/crds.yaml"),
    ),
    (
        "deploy/ceiling.yaml",
        include_str!("../../../deploy/ceiling.yaml"),
    ),
    (
        "deploy/subscriber.yaml",
        include_str!("../../../deploy/subscriber.yaml"),
    ),
];

/// Our name in the objects' managed fields.
const FIELD_MANAGER: &str = "writ-sandbox";

/// How long a definition may take until it is served; it takes a second.
const ESTABLISHED_LIMIT: Duration = Duration::from_secs(60);

/// How often a definition is looked at meanwhile.
const POLL_PERIOD: Duration = Duration::from_millis(50);

/// Applies the manifests and waits until the definitions are served.
pub(super) async fn install(client: &Client) -> Result<(), Error> {
    for (file, text) in MANIFESTS {
        apply_all(client, file, text).await?;
    }
    Ok(())
}

/// Applies a manifest that was printed for this cluster.
pub(super) async fn apply_manifest(client: &Client, text: &str) -> Result<(), Error> {
    apply_all(client, "the manifest", text).await
}

async fn apply_all(client: &Client, file: &'static str, text: &str) -> Result<(), Error> {
    for object in parse(file, text)? {
        apply(client, &object)
            .await
            .map_err(|source| Error::Install {
                object: describe(&object),
                file,
                source,
            })?;
        if is_definition(&object) {
            established(client, &object.name_any()).await?;
        }
    }
    Ok(())
}

fn parse(file: &'static str, text: &str) -> Result<Vec<DynamicObject>, Error> {
    serde_saphyr::from_multiple(text).map_err(|source| Error::Manifest {
        file,
        source: Box::new(source),
    })
}

async fn apply(client: &Client, object: &DynamicObject) -> kube::Result<()> {
    let types = object.types.clone().unwrap_or_default();
    let kind = GroupVersionKind::try_from(&types)
        .map_err(|error| kube::Error::Service(Box::new(error)))?;
    let (resource, _) = kube::discovery::pinned_kind(client, &kind).await?;
    let api: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(&object.name_any(), &params, &Patch::Apply(object))
        .await
        .map(drop)
}

fn is_definition(object: &DynamicObject) -> bool {
    object
        .types
        .as_ref()
        .is_some_and(|types| types.kind == "CustomResourceDefinition")
}

fn describe(object: &DynamicObject) -> String {
    let kind = object
        .types
        .as_ref()
        .map_or("object", |TypeMeta { kind, .. }| kind.as_str());
    format!("{kind} {}", object.name_any())
}

async fn established(client: &Client, name: &str) -> Result<(), Error> {
    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
    let seen = async {
        while !is_served(client, definitions.get(name).await).await {
            tokio::time::sleep(POLL_PERIOD).await;
        }
    };
    let limit_s = ESTABLISHED_LIMIT.as_secs();
    tokio::time::timeout(ESTABLISHED_LIMIT, seen)
        .await
        .map_err(|_| Error::NotEstablished {
            name: name.to_owned(),
            limit_s,
        })
}

/// Established, and in discovery too, which comes a moment later: without it nobody can name the kind.
async fn is_served(client: &Client, found: kube::Result<CustomResourceDefinition>) -> bool {
    let Ok(definition) = found else { return false };
    let spec = &definition.spec;
    let Some(version) = spec.versions.first() else {
        return false;
    };
    let kind = GroupVersionKind::gvk(&spec.group, &version.name, &spec.names.kind);
    is_established(&definition) && kube::discovery::pinned_kind(client, &kind).await.is_ok()
}

fn is_established(definition: &CustomResourceDefinition) -> bool {
    let conditions = definition
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Established" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_manifest_parses_and_names_its_objects() {
        for (file, text) in MANIFESTS {
            let objects = parse(file, text).unwrap();
            assert!(!objects.is_empty(), "{file}");
            for object in objects {
                assert!(
                    object.types.is_some() && object.metadata.name.is_some(),
                    "{object:?}"
                );
            }
        }
    }
}
