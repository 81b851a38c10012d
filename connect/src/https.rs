//! A small HTTPS client: one request, one answer of a limited size, in a limited time.
//!
//! For what issuers of identities say. Follows no redirect: an issuer's documents are where it says.

use std::{net::IpAddr, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{channel::Connection, tls};

/// Time for one request, from the connection to the last byte of the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest answer: a set of keys has a few KiB.
const ANSWER_SIZE_MAX_BYTES: usize = 512 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL is none, or asks for plaintext elsewhere than on the loopback.
    #[error("`{0}` is no https:// URL")]
    Url(String),
    /// The server is not there, or is not who it should be.
    #[error("can't connect to {url}")]
    Connect {
        /// Where.
        url: String,
        /// Why.
        source: std::io::Error,
    },
    /// The exchange broke.
    #[error("{url} did not answer as HTTP")]
    Http {
        /// Where.
        url: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It took too long.
    #[error("{0} did not answer in time")]
    Late(String),
    /// The answer is no success.
    #[error("{url} answered {status}")]
    Status {
        /// Where.
        url: String,
        /// What.
        status: StatusCode,
    },
}

/// A client. Clones share what it believes.
#[derive(Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
}

impl Client {
    /// One that believes the authorities of a file, or those of this machine.
    ///
    /// # Errors
    /// The file is of no use, or there is none and the machine has no authorities.
    pub fn new(ca_file: Option<&Path>) -> Result<Client, tls::Error> {
        Ok(Client {
            config: tls::client(ca_file, None, b"http/1.1")?,
        })
    }

    /// Reads a document.
    ///
    /// # Errors
    /// There is no answer, or it is no success.
    pub async fn get(&self, url: &str) -> Result<Bytes, Error> {
        let (status, body) = self.send(Method::GET, url, Bytes::new()).await?;
        if status != StatusCode::OK {
            let url = url.to_owned();
            return Err(Error::Status { url, status });
        }
        Ok(body)
    }

    /// Posts a form; what the answer means is the caller's to say.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn post(
        &self,
        url: &str,
        fields: &[(&str, &str)],
    ) -> Result<(StatusCode, Bytes), Error> {
        let fields = fields.iter();
        let fields = fields.map(|(key, value)| format!("{}={}", encode(key), encode(value)));
        let form = fields.collect::<Vec<_>>().join("&");
        self.send(Method::POST, url, form.into()).await
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        form: Bytes,
    ) -> Result<(StatusCode, Bytes), Error> {
        let sent = self.exchange(method, url, form);
        let late = |_| Error::Late(url.to_owned());
        tokio::time::timeout(REQUEST_TIMEOUT, sent)
            .await
            .map_err(late)?
    }

    async fn exchange(
        &self,
        method: Method,
        url: &str,
        form: Bytes,
    ) -> Result<(StatusCode, Bytes), Error> {
        let broken = |source: Box<dyn std::error::Error + Send + Sync>| Error::Http {
            url: url.to_owned(),
            source,
        };
        let target = Target::read(url)?;
        let stream = self
            .connect(&target)
            .await
            .map_err(|source| Error::Connect {
                url: url.to_owned(),
                source,
            })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(error.into()))?;
        // It ends with the sender.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(&target.path)
            .header(header::HOST, &target.host)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::new(form))
            .map_err(|error| broken(error.into()))?;
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|error| broken(error.into()))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_SIZE_MAX_BYTES);
        let body = body.collect().await.map_err(broken)?;
        Ok((status, body.to_bytes()))
    }

    async fn connect(&self, target: &Target) -> std::io::Result<Box<dyn Connection>> {
        let stream = TcpStream::connect((target.name.as_str(), target.port)).await?;
        stream.set_nodelay(true)?;
        if target.is_plain {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(target.name.clone()).map_err(std::io::Error::other)?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        Ok(Box::new(connector.connect(name, stream).await?))
    }
}

/// Whether a URL is one that secrets and keys may be fetched from: by TLS, or on the loopback.
pub fn is_safe(url: &str) -> bool {
    Target::read(url).is_ok()
}

struct Target {
    name: String,
    port: u16,
    host: String,
    path: String,
    is_plain: bool,
}

impl Target {
    fn read(url: &str) -> Result<Target, Error> {
        let wrong = || Error::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let name = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let is_loopback = name == "localhost"
            || name
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        let is_plain = match uri.scheme_str() {
            Some("https") => false,
            Some("http") if is_loopback => true,
            _ => return Err(wrong()),
        };
        let port = authority
            .port_u16()
            .unwrap_or(if is_plain { 80 } else { 443 });
        // A user and password in a URL would end in logs.
        if authority.as_str().contains('@') {
            return Err(wrong());
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Target {
            name: name.to_owned(),
            port,
            host: authority.as_str().to_owned(),
            path: path.to_owned(),
            is_plain,
        })
    }
}

/// Percent-encodes all but the unreserved characters (RFC 3986, section 2.3).
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_tokens_are_fetched_by_tls_or_on_the_loopback() {
        for safe in [
            "https://issuer.example/keys",
            "https://issuer.example:8443",
            "http://127.0.0.1:80/a",
            "http://[::1]:80/a",
            "http://localhost/a?b=c",
        ] {
            assert!(is_safe(safe), "{safe}");
        }
        for unsafe_one in [
            "http://issuer.example/keys",
            "http://127.0.0.1.example/",
            "file:///etc/passwd",
            "https://user:password@issuer.example/",
            "issuer.example",
            "",
        ] {
            assert!(!is_safe(unsafe_one), "{unsafe_one}");
        }
    }

    #[test]
    fn fields_of_a_form_cannot_add_others() {
        assert_eq!(encode("a b&c=d/é~"), "a%20b%26c%3Dd%2F%C3%A9~");
    }
}
