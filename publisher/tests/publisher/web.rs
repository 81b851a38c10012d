//! A browser that only remembers cookies.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use writ_connect::channel::Connection;

use crate::fleet::DEADLINE;

/// An answer that ended.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The values of a header.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let named = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value).collect()
    }

    /// Where it leads.
    pub(crate) fn place(&self) -> &str {
        self.headers("location")
            .first()
            .copied()
            .unwrap_or_default()
    }

    /// The value of a field of a form.
    pub(crate) fn field(&self, name: &str) -> String {
        let rest = self.body.split(&format!("name=\"{name}\" value=\"")).nth(1);
        rest.expect("the field")
            .split('"')
            .next()
            .unwrap()
            .to_owned()
    }
}

/// A browser of one visitor, at one server.
#[derive(Clone)]
pub(crate) struct Web {
    address: SocketAddr,
    ca_file: Option<PathBuf>,
    pub(crate) host: String,
    pub(crate) cookies: BTreeMap<String, String>,
}

impl Web {
    /// With a server that has a certificate for `localhost`, by this authority, or none.
    pub(crate) fn new(address: SocketAddr, ca_file: Option<PathBuf>) -> Web {
        Web {
            address,
            ca_file,
            host: format!("localhost:{}", address.port()),
            cookies: BTreeMap::new(),
        }
    }

    async fn connect(&self) -> Box<dyn Connection> {
        let stream = TcpStream::connect(self.address).await.expect("it listens");
        let Some(ca_file) = &self.ca_file else {
            return Box::new(stream);
        };
        let config = writ_connect::tls::client(Some(ca_file), None, b"http/1.1").unwrap();
        let connector = tokio_rustls::TlsConnector::from(config);
        let name = "localhost".try_into().unwrap();
        Box::new(connector.connect(name, stream).await.expect("TLS"))
    }

    async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Box<dyn Connection> {
        let mut stream = self.connect().await;
        // Version 1.0, so that the body comes in one piece and ends with the connection.
        let mut request = format!("{method} {path} HTTP/1.0\r\nHost: {}\r\n", self.host);
        if !self.cookies.is_empty() {
            let pairs: Vec<String> = self
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            request.push_str(&format!("Cookie: {}\r\n", pairs.join("; ")));
        }
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        stream.write_all(request.as_bytes()).await.expect("sent");
        stream
    }

    /// One request and its answer, whose cookies are remembered.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut stream = self.ask(method, path, headers, body).await;
        let mut bytes = Vec::new();
        let read = timeout(DEADLINE, stream.read_to_end(&mut bytes)).await;
        // Some servers end TLS by ending the connection.
        let _ = read.expect("an answer in time");
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let answer = Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        };
        for cookie in answer.headers("set-cookie") {
            let (pair, rest) = cookie.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            match rest.contains("Max-Age=0") {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        answer
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    /// A form of a page of this very server.
    pub(crate) async fn post(&mut self, path: &str, form: &str) -> Answer {
        self.send("POST", path, &[("Sec-Fetch-Site", "same-origin")], form)
            .await
    }

    /// An answer that goes on.
    pub(crate) async fn follow(&self, path: &str) -> Following {
        Following {
            stream: self.ask("GET", path, &[], "").await,
            heard: String::new(),
        }
    }
}

/// An answer that goes on, and what was heard of it.
pub(crate) struct Following {
    stream: Box<dyn Connection>,
    pub(crate) heard: String,
}

impl Following {
    /// Reads on until something was said.
    pub(crate) async fn until(&mut self, text: &str) {
        let reading = async {
            let mut part = vec![0; 16 * 1024];
            while !self.heard.contains(text) {
                let length = self.stream.read(&mut part).await.unwrap_or_default();
                assert!(length > 0, "it ended without {text}: {}", self.heard);
                self.heard
                    .push_str(&String::from_utf8_lossy(&part[..length]));
            }
        };
        let read = timeout(DEADLINE, reading).await;
        assert!(read.is_ok(), "not in time: {text} in {}", self.heard);
    }
}
