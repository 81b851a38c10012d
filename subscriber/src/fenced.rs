//! A Kubernetes API that takes no write once the lease behind it is too old.
//!
//! Reads go through: they change nothing, and a cluster without a holder should still be looked at.

use serde_json::Value;
use writ_core::model::ObjectRef;

use crate::cluster::{ClusterApi, Deletion, Error, ErrorKind, Expect, Identity, Written};
use crate::lease::Fence;
use crate::resource::{Found, Resource};

/// The API behind a fence.
#[derive(Debug, Clone)]
pub struct Fenced<C> {
    api: C,
    fence: Fence,
}

impl<C> Fenced<C> {
    /// Puts an API behind a fence.
    pub fn new(api: C, fence: Fence) -> Fenced<C> {
        Fenced { api, fence }
    }

    fn check(&self, action: &'static str, reference: &ObjectRef) -> Result<(), Error> {
        if self.fence.is_open() {
            return Ok(());
        }
        let message = "the lease was not renewed in time, another subscriber may be active";
        Err(Error::new(
            ErrorKind::Unavailable,
            action,
            reference,
            message,
        ))
    }
}

impl<C: ClusterApi> ClusterApi for Fenced<C> {
    async fn get(&self, reference: &ObjectRef) -> Result<Option<Value>, Error> {
        self.api.get(reference).await
    }

    async fn find_kind(&self, reference: &ObjectRef) -> Result<Option<Found>, Error> {
        self.api.find_kind(reference).await
    }

    async fn list(&self, resource: Resource) -> Result<Vec<Value>, Error> {
        self.api.list(resource).await
    }

    async fn dry_run(&self, reference: &ObjectRef, content: &Value) -> Result<Value, Error> {
        self.api.dry_run(reference, content).await
    }

    async fn apply(
        &self,
        reference: &ObjectRef,
        content: &Value,
        expect: Expect<'_>,
    ) -> Result<Written, Error> {
        self.check("apply", reference)?;
        self.api.apply(reference, content, expect).await
    }

    async fn delete(
        &self,
        reference: &ObjectRef,
        identity: Identity<'_>,
    ) -> Result<Deletion, Error> {
        self.check("delete", reference)?;
        self.api.delete(reference, identity).await
    }

    async fn release(
        &self,
        reference: &ObjectRef,
        identity: Identity<'_>,
    ) -> Result<Written, Error> {
        self.check("release", reference)?;
        self.api.release(reference, identity).await
    }

    async fn replace(&self, reference: &ObjectRef, content: &Value) -> Result<Written, Error> {
        self.check("replace", reference)?;
        self.api.replace(reference, content).await
    }
}
