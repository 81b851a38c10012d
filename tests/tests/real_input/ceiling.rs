//! The ceiling of a cluster: edited by its owner, examined and checked as the subscriber does.

use std::sync::Arc;

use serde_json::{Value, json};
use writ_core::ceiling::Ceiling;
use writ_core::model::ObjectRef;
use writ_subscriber::ceiling::CeilingGuard;
use writ_subscriber::cluster::ClusterApi;
use writ_subscriber::permit::{Bounds, Permit};
use writ_subscriber::resource::POLICY_CEILINGS;

use crate::fixture::{Fixture, until};

/// The ceiling that is proven to be in force.
pub(crate) async fn in_force(fixture: &Fixture) -> Arc<Ceiling> {
    let guard = CeilingGuard::new(fixture.api.clone());
    Arc::new(guard.examine().await.unwrap())
}

/// The cluster's owner edits the ceiling; waits until the API server lets that object through, which
/// it did not before.
pub(crate) async fn edit(fixture: &Fixture, spec: Value, allows: &Value) -> Arc<Ceiling> {
    let before = in_force(fixture).await;
    let at = reference(allows);
    let refused = fixture.api.dry_run(&at, allows).await;
    assert!(refused.is_err(), "allowed before: {at}");
    let ceiling = POLICY_CEILINGS.reference(None, "default");
    fixture.edit(&ceiling, json!({"spec": spec})).await;
    until("the new ceiling is in force", async || {
        fixture.api.dry_run(&at, allows).await.is_ok()
    })
    .await;
    let after = in_force(fixture).await;
    assert_ne!(after.hash(), before.hash());
    after
}

/// Enforce policies within that ceiling.
pub(crate) fn enforce(ceiling: &Arc<Ceiling>) -> Permit {
    let (checking, adopting) = (Arc::clone(ceiling), Arc::clone(ceiling));
    Permit::Enforce(Bounds {
        forbids: Arc::new(move |object| Some(checking.check(object).err()?.to_string())),
        adoptable: Arc::new(move |reference| adopting.allows_adoption(reference)),
    })
}

fn reference(object: &Value) -> ObjectRef {
    let text = |pointer: &str| Some(object.pointer(pointer)?.as_str()?.to_owned());
    ObjectRef {
        api_version: text("/apiVersion").unwrap(),
        kind: text("/kind").unwrap(),
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name").unwrap(),
    }
}
