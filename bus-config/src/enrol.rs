//! Enrolment on the bus: who asks, and where the answer goes.
//!
//! Promises: an answer goes to the inbox that is made of the cluster's name and the request's nonce. A
//! request's reply subject is never looked at, because the server does not check it.

use bytes::Bytes;
use writ_core::{name::ClusterName, subject::BusSubject};

use crate::{
    connection::{Client, Error},
    identity::{Credentials, CredentialsError},
    live::{self, Live},
};

/// Listens to all requests, as a publisher.
pub async fn listen(client: &Client) -> Result<Live, Error> {
    let subjects = ["writ.enrol.*", "writ.request.*", "writ.renew.>"];
    live::listen(client, subjects.map(str::to_owned).into()).await
}

/// Answers a request.
pub async fn answer(
    client: &Client,
    cluster: &ClusterName,
    nonce: [u8; 16],
    bytes: Bytes,
) -> Result<(), Error> {
    let cluster = cluster.clone();
    let subject = BusSubject::Enrolled { cluster, nonce };
    client.send(subject.to_string(), bytes).await
}

/// Listens to the answers to a cluster, as that cluster.
pub async fn listen_for_answers(client: &Client, cluster: &ClusterName) -> Result<Live, Error> {
    live::listen(client, vec![format!("_INBOX.enrol.{cluster}.*")]).await
}

/// Asks; the answer comes to [`listen_for_answers`].
pub async fn ask(client: &Client, subject: &BusSubject, bytes: Bytes) -> Result<(), Error> {
    client.send(subject.to_string(), bytes).await
}

/// The credentials of a user: its token, and its seed unless the token needs none.
///
/// # Errors
/// Where they are none, or of two users.
pub fn credentials(token: &str, seed: Option<&str>) -> Result<Credentials, CredentialsError> {
    let seed = seed.map(|seed| {
        format!("-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n")
    });
    let seed = seed.unwrap_or_default();
    let token = token.trim();
    Credentials::parse(&format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n{seed}"
    ))
}
