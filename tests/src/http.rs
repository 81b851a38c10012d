//! A page over plain HTTP, for what a process shows on loopback.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// An answer.
#[derive(Debug)]
pub struct Page {
    /// Its status.
    pub status: u16,
    /// Its headers, as they came.
    pub head: String,
    /// What it holds.
    pub body: String,
}

/// Asks for a page that ends.
///
/// # Panics
/// Where nobody answers, or not by HTTP.
pub async fn get(address: SocketAddr, path: &str) -> Page {
    ask(address, "GET", path, "").await
}

/// Sends something to be put in place.
///
/// # Panics
/// As [`get`].
pub async fn put(address: SocketAddr, path: &str, body: &str) -> Page {
    ask(address, "PUT", path, body).await
}

async fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> Page {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    // Version 1.0, so that the body comes in one piece and ends with the connection.
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("answered");
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Page {
        status: status.expect("a status"),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}
