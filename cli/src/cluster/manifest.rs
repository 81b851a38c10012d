//! The manifest by which a cluster joins: what `deploy/` has, and what is this cluster's own.
//!
//! Promises that nothing in it is made up here: rights, ceiling and Deployment are the files that are
//! reviewed. The token is the only secret, in a Secret of its own.

use serde_json::{Value, json};
use writ_core::{enrol::Token, name::ClusterName};
use writ_proto::v1;

use crate::error::Error;

const CRDS: &str = include_str!("../../../deploy/crds.yaml");
const CEILING: &str = include_str!("../../../deploy/ceiling.yaml");
const SUBSCRIBER: &str = include_str!("../../../deploy/subscriber.yaml");
const OBSERVER: &str = include_str!("../../../deploy/observer.yaml");
const DEPLOYMENT: &str = include_str!("../../../deploy/subscriber-deployment.yaml");

/// The image that the Deployment of `deploy/` names.
const IMAGE: &str = "image: writ-subscriber\n";

/// What a cluster joins by.
pub(super) struct Kit<'a> {
    pub(super) cluster: &'a ClusterName,
    pub(super) answer: &'a v1::EnrolResponse,
    pub(super) token: Option<&'a Token>,
    pub(super) bus_url: &'a str,
    pub(super) image: &'a str,
    pub(super) observes: bool,
}

/// The manifest, in the order in which it is to be applied.
pub(super) fn render(kit: &Kit<'_>) -> Result<String, Error> {
    if kit.bus_url.is_empty() {
        let message = "the publisher does not say where clusters find the bus: give --nats-url";
        return Err(Error::Usage(message.to_owned()));
    }
    let rights = match kit.observes {
        true => vec![CRDS, OBSERVER],
        false => vec![CRDS, CEILING, SUBSCRIBER],
    };
    let mut parts: Vec<String> = rights.into_iter().map(str::to_owned).collect();
    for object in own(kit) {
        parts.push(
            serde_saphyr::to_string(&object).map_err(|error| {
                Error::NotFound(format!("the manifest can't be written: {error}"))
            })?,
        );
    }
    let image = serde_json::to_string(kit.image).unwrap_or_default();
    parts.push(DEPLOYMENT.replace(IMAGE, &format!("image: {image}\n")));
    Ok(parts.join("\n---\n").trim_end().to_owned())
}

fn own(kit: &Kit<'_>) -> Vec<Value> {
    let object = |kind: &str, name: &str| {
        json!({
            "apiVersion": "v1", "kind": kind,
            "metadata": {
                "name": name, "namespace": "writ-system",
                "labels": {"app.kubernetes.io/part-of": "writ"},
            },
        })
    };
    let mut identity = object("ConfigMap", "writ-subscriber");
    identity["data"] = json!({
        "cluster": kit.cluster.as_str(),
        "region": kit.answer.region,
        "stage": kit.answer.stage,
        "nats-url": kit.bus_url,
    });
    let mut trust = object("ConfigMap", "writ-trust");
    trust["binaryData"] = json!({"trust": base64(&kit.answer.trust)});
    let mut enrolment = object("ConfigMap", "writ-enrolment");
    enrolment["data"] = json!({"request.jwt": kit.answer.request_credentials});
    let mut objects = vec![identity, trust, enrolment];
    if let Some(token) = kit.token {
        let mut secret = object("Secret", "writ-enrolment-token");
        secret["stringData"] = json!({
            "token": token.to_text(),
            "token.jwt": kit.answer.enrol_credentials,
        });
        objects.push(secret);
    }
    objects
}

fn base64(bytes: &[u8]) -> String {
    data_encoding::BASE64.encode(bytes)
}
