//! What is changed in a cluster while no API server is there to tell of it: etcd is asked itself, by its
//! JSON gateway.

use data_encoding::BASE64;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::ground::Ground;

/// Removes the stored form of a cluster-wide binding.
pub(crate) async fn delete_binding(ground: &Ground, cluster: &str, name: &str) {
    let key = format!("/{cluster}/clusterrolebindings/{name}");
    let body = json!({"key": BASE64.encode(key.as_bytes())});
    let answer = ask(ground, "/v3/kv/deleterange", &body).await;
    assert_eq!(answer["deleted"], "1", "{key}: {answer}");
}

async fn ask(ground: &Ground, path: &str, body: &Value) -> Value {
    let endpoint = ground.fleet.fleet.lock().await.etcd_endpoint().to_owned();
    let address = endpoint.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let body = body.to_string();
    // HTTP/1.0: the answer ends with the connection, and comes in one piece.
    let request = format!(
        "POST {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (_, json) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(json).unwrap()
}
