//! Where the dashboard is to its visitors, and who says who they are.

use std::path::PathBuf;

use http::Uri;

/// What sign-in is set up with.
#[derive(Debug, Clone)]
pub struct Login {
    /// Where visitors find the dashboard: `https://writ.example.com`, without a path.
    pub url: Origin,
    /// Whom visitors may be sent to, in the order in which they are offered. None: they bring a token.
    pub issuers: Vec<Issuer>,
}

/// An issuer that signs people in.
#[derive(Clone)]
pub struct Issuer {
    /// Exactly as `iss` in its tokens; its discovery document is below it.
    pub issuer: String,
    /// The dashboard's name with it; an audience that the API takes.
    pub client_id: String,
    /// The dashboard's secret with it, where it is no public client.
    pub client_secret: Option<String>,
    /// What is asked for.
    pub scopes: String,
    /// The authority of its certificate; without it, those of this machine.
    pub ca_file: Option<PathBuf>,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// A scheme, a host and a port, as browsers write them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    text: String,
    authority: String,
}

/// It is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected https://HOST or https://HOST:PORT, without a path (http:// for loopback alone)")]
pub struct NoOrigin;

impl std::str::FromStr for Origin {
    type Err = NoOrigin;

    fn from_str(text: &str) -> Result<Origin, NoOrigin> {
        let uri: Uri = text.parse().map_err(|_| NoOrigin)?;
        let (scheme, authority) = uri.scheme_str().zip(uri.authority()).ok_or(NoOrigin)?;
        let is_bare = uri.path_and_query().is_none_or(|rest| rest.as_str() == "/");
        let has_user = authority.as_str().contains('@');
        if !is_bare || has_user || !writ_connect::https::is_safe(text) {
            return Err(NoOrigin);
        }
        let host = authority.host().to_ascii_lowercase();
        let usual = if scheme == "https" { 443 } else { 80 };
        // Browsers leave it out.
        let port = authority.port_u16().filter(|port| *port != usual);
        let authority = port.map_or(host.clone(), |port| format!("{host}:{port}"));
        Ok(Origin {
            text: format!("{scheme}://{authority}"),
            authority,
        })
    }
}

impl Origin {
    /// As browsers say it in `Origin`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a request's `Host` names it.
    pub(crate) fn is_host(&self, host: &str) -> bool {
        let usual = if self.text.starts_with("https:") {
            ":443"
        } else {
            ":80"
        };
        let host = host.to_ascii_lowercase();
        host == self.authority || host.strip_suffix(usual) == Some(self.authority.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_read_as_browsers_write_it_and_names_one_host() {
        let origin: Origin = "https://Writ.Example:443/".parse().unwrap();
        assert_eq!(origin.as_str(), "https://writ.example");
        for own in ["writ.example", "WRIT.example", "writ.example:443"] {
            assert!(origin.is_host(own), "{own}");
        }
        for other in [
            "evil.example",
            "writ.example.evil",
            "writ.example:8443",
            "localhost",
            "",
        ] {
            assert!(!origin.is_host(other), "{other}");
        }
        let origin: Origin = "https://127.0.0.1:8443".parse().unwrap();
        assert!(origin.is_host("127.0.0.1:8443") && !origin.is_host("127.0.0.1"));
        for wrong in [
            "writ.example",
            "http://writ.example",
            "https://writ.example/path",
            "https://user@writ.example",
            "",
        ] {
            assert_eq!(wrong.parse::<Origin>(), Err(NoOrigin), "{wrong}");
        }
    }
}
