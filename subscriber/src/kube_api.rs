//! The real Kubernetes API, by plain requests: an apply has to tell 201 from 200, which the client
//! library's typed calls hide.

use std::time::{Duration, Instant};

use http::{Method, Request, StatusCode};
use kube::client::Body;
use kube::core::GroupVersionKind;
use kube::discovery::Scope;
use kube::error::DiscoveryError;
use serde_json::{Value, json};
use writ_core::model::ObjectRef;
use writ_core::plan::{self, FIELD_MANAGER};

use crate::classify::classify;
use crate::cluster::{ClusterApi, Deletion, Error, ErrorKind, Expect, Identity, Written};
use crate::resource::{self, Found, Resource, escape};

/// An answer that takes longer counts as none. An API server under load answers 429 long before.
pub const REQUEST_TIMEOUT_S: u64 = 10;
/// Objects in one page of a list. A mirror may come close to etcd's 1.5 MB, so a page stays under
/// 48 MB.
pub const LIST_PAGE_OBJECTS: usize = 32;

const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";
const JSON: &str = "application/json";

/// A Kubernetes API server.
#[derive(Clone)]
pub struct KubeApi {
    client: kube::Client,
}

impl KubeApi {
    /// Talks through that client, which must not repeat requests by itself
    /// (see [`connect::client`](crate::connect::client)).
    pub fn new(client: kube::Client) -> KubeApi {
        KubeApi { client }
    }

    /// The client, for watches.
    pub fn client(&self) -> &kube::Client {
        &self.client
    }

    async fn send(&self, call: Call<'_>) -> Result<(StatusCode, Vec<u8>), Error> {
        let (action, target) = (call.action, call.target.clone());
        let since = Instant::now();
        let fail = |kind, message: &str| Error::new(kind, action, &target, message);
        let mut request = Request::builder().method(call.method).uri(call.uri);
        if let Some(content_type) = call.content_type {
            request = request.header(http::header::CONTENT_TYPE, content_type);
        }
        let request = request
            .body(Body::from(call.body))
            .map_err(|cause| fail(ErrorKind::Invalid, "not a request").with_source(cause))?;
        let answer = async {
            let response = self.client.send(request).await?;
            let status = response.status();
            let header = response.headers().get(http::header::RETRY_AFTER);
            let wait = header.and_then(|value| Some(value.to_str().ok()?.to_owned()));
            Ok::<_, kube::Error>((status, wait, response.into_body().collect_bytes().await?))
        };
        let (status, wait, body) =
            tokio::time::timeout(Duration::from_secs(REQUEST_TIMEOUT_S), answer)
                .await
                .map_err(|_| fail(ErrorKind::Unavailable, "no answer in time"))?
                .map_err(|cause| fail(ErrorKind::Unavailable, "no answer").with_source(cause))?;
        let took_us = since.elapsed().as_micros();
        tracing::debug!(action, target, status = status.as_u16(), took_us, "asked");
        if status.is_success() {
            return Ok((status, body.to_vec()));
        }
        let failure = classify(status, wait.as_deref(), &body, call.name);
        Err(Error {
            retry_after: failure.retry_after,
            ..fail(failure.kind, &failure.message)
        })
    }

    async fn patch(
        &self,
        reference: &ObjectRef,
        content: &Value,
        kind: Patch,
    ) -> Result<Written, Error> {
        let (content_type, query) = match kind {
            Patch::Apply { force } => (APPLY, format!("&force={force}&fieldValidation=Strict")),
            Patch::Merge => (MERGE, String::new()),
        };
        let mut call = Call::on("apply", Method::PATCH, reference)?;
        call.uri = format!("{}?fieldManager={FIELD_MANAGER}{query}", call.uri);
        let answer = self.send(call.with(content_type, content)).await?;
        read_written("apply", reference, answer)
    }

    /// Gives up what an apply just took of an object that turned out to be another's.
    async fn relinquish(&self, reference: &ObjectRef, uid: &str) -> Result<(), Error> {
        let mut nothing = json!({
            "apiVersion": reference.api_version,
            "kind": reference.kind,
            "metadata": {"name": reference.name, "uid": uid},
        });
        if let Some(namespace) = &reference.namespace {
            nothing["metadata"]["namespace"] = namespace.as_str().into();
        }
        self.patch(reference, &nothing, Patch::Apply { force: false })
            .await
            .map(drop)
    }
}

impl ClusterApi for KubeApi {
    async fn get(&self, reference: &ObjectRef) -> Result<Option<Value>, Error> {
        let call = Call::on("get", Method::GET, reference)?;
        match self.send(call).await {
            Ok((_, body)) => read_json("get", &reference.to_string(), &body).map(Some),
            Err(error) if error.kind == ErrorKind::Missing => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn find_kind(&self, reference: &ObjectRef) -> Result<Option<Found>, Error> {
        let fail = |message: &str| {
            Error::new(
                ErrorKind::Unavailable,
                "find the kind of",
                reference,
                message,
            )
        };
        let (group, version) = match reference.api_version.split_once('/') {
            Some((group, version)) => (group, version),
            None => ("", reference.api_version.as_str()),
        };
        let kind = GroupVersionKind::gvk(group, version, &reference.kind);
        let asked = kube::discovery::pinned_kind(&self.client, &kind);
        match tokio::time::timeout(Duration::from_secs(REQUEST_TIMEOUT_S), asked).await {
            Ok(Ok((found, capabilities))) => Ok(Some(Found {
                api_version: found.api_version,
                kind: found.kind,
                plural: found.plural,
                namespaced: capabilities.scope == Scope::Namespaced,
            })),
            // Of this very group and version, so a part of the API that is down elsewhere says nothing.
            Ok(Err(kube::Error::Discovery(DiscoveryError::MissingKind(_)))) => Ok(None),
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => Ok(None),
            Ok(Err(cause)) => Err(fail("the API server did not say").with_source(cause)),
            Err(_) => Err(fail("no answer in time")),
        }
    }

    async fn list(&self, resource: Resource) -> Result<Vec<Value>, Error> {
        let (mut objects, mut token) = (Vec::new(), String::new());
        loop {
            let uri = format!(
                "{}?limit={LIST_PAGE_OBJECTS}&continue={}",
                resource.collection_path(),
                escape(&token)
            );
            let (_, body) = self.send(Call::list(resource, uri)).await?;
            let mut page = read_json("list", resource.plural, &body)?;
            match page["items"].take() {
                Value::Array(items) => objects.extend(items),
                _ => {
                    let message = "the answer has no items";
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        "list",
                        resource.plural,
                        message,
                    ));
                }
            }
            match page["metadata"]["continue"].as_str() {
                Some(next) if !next.is_empty() => token = next.to_owned(),
                _ => return Ok(objects),
            }
        }
    }

    async fn apply(
        &self,
        reference: &ObjectRef,
        content: &Value,
        expect: Expect<'_>,
    ) -> Result<Written, Error> {
        let foreign = |message: &str| Error::new(ErrorKind::Foreign, "create", reference, message);
        match expect {
            Expect::Own => {
                self.patch(reference, content, Patch::Apply { force: true })
                    .await
            }
            Expect::Existing(uid) | Expect::State(Identity { uid, .. }) => {
                let mut content = content.clone();
                content["metadata"]["uid"] = uid.into();
                if let Expect::State(state) = expect {
                    content["metadata"]["resourceVersion"] = state.resource_version.into();
                }
                self.patch(reference, &content, Patch::Apply { force: true })
                    .await
            }
            // Without force, so that a value of somebody else is a conflict and stays.
            Expect::New => {
                let written = self
                    .patch(reference, content, Patch::Apply { force: false })
                    .await;
                match written {
                    Ok(written) if written.created || is_only_ours(&written.content) => Ok(written),
                    Ok(written) => {
                        self.relinquish(reference, &written.uid).await?;
                        Err(foreign("another object took the name meanwhile"))
                    }
                    Err(error) if error.kind == ErrorKind::Conflict => {
                        Err(foreign("another object took the name meanwhile"))
                    }
                    Err(error) => Err(error),
                }
            }
        }
    }

    async fn delete(
        &self,
        reference: &ObjectRef,
        identity: Identity<'_>,
    ) -> Result<Deletion, Error> {
        let options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {
                "uid": identity.uid,
                "resourceVersion": identity.resource_version,
            },
        });
        let call = Call::on("delete", Method::DELETE, reference)?.with(JSON, &options);
        match self.send(call).await {
            Ok((_, body)) => {
                // The answer is a Status when the object is gone, and the object when it is held.
                let answer = read_json("delete", &reference.to_string(), &body)?;
                let held = answer["metadata"]["finalizers"]
                    .as_array()
                    .is_some_and(|finalizers| !finalizers.is_empty());
                Ok(if held {
                    Deletion::Finalizing
                } else {
                    Deletion::Gone
                })
            }
            Err(error) if error.kind == ErrorKind::Missing => Ok(Deletion::Gone),
            Err(error) => Err(error),
        }
    }

    async fn release(
        &self,
        reference: &ObjectRef,
        identity: Identity<'_>,
    ) -> Result<Written, Error> {
        // A merge patch and no apply: an apply of less would also take away the labels that the
        // policy gave, among them those of pod security.
        let patch = json!({"metadata": {
            "uid": identity.uid,
            "resourceVersion": identity.resource_version,
            "labels": {plan::MANAGED: null, plan::POLICY: null, plan::MANAGED_BY: null},
            "annotations": {plan::RELEASED: plan::released_value(identity.uid)},
        }});
        self.patch(reference, &patch, Patch::Merge).await
    }

    async fn replace(&self, reference: &ObjectRef, content: &Value) -> Result<Written, Error> {
        let mut call = Call::on("replace", Method::PUT, reference)?;
        call.uri = format!(
            "{}?fieldManager={FIELD_MANAGER}&fieldValidation=Strict",
            call.uri
        );
        let answer = self.send(call.with(JSON, content)).await?;
        read_written("replace", reference, answer)
    }

    async fn dry_run(&self, reference: &ObjectRef, content: &Value) -> Result<Value, Error> {
        let mut call = Call::on("create by dry-run", Method::POST, reference)?;
        // Creations go to the collection, which is the object's path without its last part.
        call.uri.truncate(call.uri.rfind('/').unwrap_or_default());
        call.uri = format!(
            "{}?dryRun=All&fieldManager={FIELD_MANAGER}&fieldValidation=Strict",
            call.uri
        );
        let (_, body) = self.send(call.with(JSON, content)).await?;
        read_json("create by dry-run", &reference.to_string(), &body)
    }
}

enum Patch {
    Apply { force: bool },
    Merge,
}

/// One request before it is sent.
struct Call<'a> {
    action: &'static str,
    target: String,
    name: &'a str,
    method: Method,
    uri: String,
    content_type: Option<&'static str>,
    body: Vec<u8>,
}

impl<'a> Call<'a> {
    fn on(
        action: &'static str,
        method: Method,
        reference: &'a ObjectRef,
    ) -> Result<Call<'a>, Error> {
        let refuse = || {
            Error::new(
                ErrorKind::Invalid,
                action,
                reference,
                "not a supported kind",
            )
        };
        let uri = resource::of(reference)
            .ok_or_else(refuse)?
            .object_path(reference);
        let (target, name) = (reference.to_string(), reference.name.as_str());
        Ok(Call {
            action,
            target,
            name,
            method,
            uri,
            content_type: None,
            body: Vec::new(),
        })
    }

    fn list(resource: Resource, uri: String) -> Call<'static> {
        Call {
            action: "list",
            target: resource.plural.to_owned(),
            name: "",
            method: Method::GET,
            uri,
            content_type: None,
            body: Vec::new(),
        }
    }

    fn with(self, content_type: &'static str, content: &Value) -> Call<'a> {
        Call {
            content_type: Some(content_type),
            body: content.to_string().into_bytes(),
            ..self
        }
    }
}

fn read_json(action: &'static str, target: &str, body: &[u8]) -> Result<Value, Error> {
    serde_json::from_slice(body).map_err(|cause| {
        Error::new(
            ErrorKind::Unavailable,
            action,
            target,
            "the answer is not JSON",
        )
        .with_source(cause)
    })
}

fn read_written(
    action: &'static str,
    reference: &ObjectRef,
    (status, body): (StatusCode, Vec<u8>),
) -> Result<Written, Error> {
    let content = read_json(action, &reference.to_string(), &body)?;
    let text = |key: &str| content["metadata"][key].as_str().map(str::to_owned);
    match (text("uid"), text("resourceVersion")) {
        (Some(uid), Some(resource_version)) => {
            let created = status == StatusCode::CREATED;
            Ok(Written {
                created,
                uid,
                resource_version,
                content,
            })
        }
        _ => {
            let message = "the answer has no uid or resource version";
            Err(Error::new(
                ErrorKind::Unavailable,
                action,
                reference,
                message,
            ))
        }
    }
}

/// Whether nobody but us ever wrote the object: then an earlier request of ours, whose answer was
/// lost, made it.
fn is_only_ours(content: &Value) -> bool {
    content["metadata"]["managedFields"]
        .as_array()
        .is_some_and(|entries| {
            entries
                .iter()
                .all(|entry| entry["manager"].as_str() == Some(FIELD_MANAGER))
        })
}
