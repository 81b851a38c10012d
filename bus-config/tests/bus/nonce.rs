//! A client of the bus signs whatever nonce a server sends. That is why a cluster's acks are signed by
//! another key than its identity on the bus.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
};
use writ_bus::{Options, accounts, connection::FirstConnect};
use writ_core::envelope::{self, Envelope, Keyring, PayloadType, Signature, SigningKey};
use writ_sandbox::identity::BusKeys;

use crate::harness::member;

/// What a cluster never said.
const FORGED: &str = "eu-1 has applied everything";

#[tokio::test]
async fn a_server_that_sends_a_forged_acks_bytes_as_its_nonce_gets_no_ack() {
    let cluster = member(&BusKeys::generate(&[]).unwrap(), "eu-1", "eu", "prod");
    let payload_type = PayloadType::Ack.as_str();
    let nonce = format!(
        "DSSEv1 {} {payload_type} {} {FORGED}",
        payload_type.len(),
        FORGED.len()
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let info = serde_json::json!({
        "server_id": "malicious", "server_name": "malicious", "version": "2.15.2", "go": "",
        "host": "127.0.0.1", "port": address.port(), "proto": 1, "headers": true,
        "max_payload": 1 << 20, "auth_required": true, "nonce": nonce,
    });
    let signature = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let hello = format!("INFO {info}\r\n");
        stream.write_all(hello.as_bytes()).await.unwrap();
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        let shown: serde_json::Value =
            serde_json::from_str(line.strip_prefix("CONNECT ").unwrap()).unwrap();
        let signature = shown["sig"].as_str().unwrap();
        BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap()
    });
    let refused = writ_bus::connect(Options {
        url: format!("nats://{address}"),
        login: cluster.login.clone(),
        inbox: accounts::cluster_inbox(&cluster.sender.region, &cluster.sender.cluster),
        name: "victim".to_owned(),
        first_connect: FirstConnect::Now,
    });
    assert!(refused.await.is_err());
    let signature = signature.await.unwrap();

    // It did sign them, and under its own key on the bus they would be an ack.
    let bus = nkeys::KeyPair::from_public_key(cluster.key().as_str()).unwrap();
    bus.verify(nonce.as_bytes(), &signature).unwrap();
    // They are none: its acks are believed under its other key.
    let ack_key = SigningKey::from_seed(&[7; 32]).public();
    let forged = Envelope {
        payload_type: payload_type.to_owned(),
        payload: FORGED.into(),
        signatures: vec![Signature {
            key_id: ack_key.id(),
            bytes: signature,
        }],
    };
    let believed = envelope::verify(forged, PayloadType::Ack, &Keyring::new([ack_key]));
    assert!(believed.is_err());
}
