//! From what a request carries to who sent it.

use std::sync::OnceLock;

use http::{HeaderMap, header};
use ring::digest;
use subtle::ConstantTimeEq as _;
use tonic::Status;
use writ_connect::{pem, tls};
use writ_core::{
    access::{Identity, Inlet},
    edit::Kind,
    model::{Document, Record},
    name::Name,
};
use writ_proto::BREAK_GLASS_PREFIX;

use super::{
    Args, Error,
    config::{Authentication, Issuer as Config},
    incoming::Peer,
    issuer::{Answer, Issuer},
    standing::Standing,
    token::{Refused, Token},
};
use crate::view::Views;

/// How a service token begins; its name and its secret come after it.
pub(crate) const SERVICE_TOKEN_PREFIX: &str = "writ_st_";

/// The break-glass administrator's name.
const BREAK_GLASS_USER: &str = "administrator";

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
pub(super) enum Denied {
    #[error(
        "no credential came with the call: `writ login`, a token (WRIT_TOKEN_FILE) or a client certificate says who you are"
    )]
    Nothing,
    #[error("the authorization is not one `Bearer TOKEN`")]
    Form,
    #[error("the token is not taken: {0}; `writ login` gets a new one")]
    Token(Refused),
    #[error("the break-glass token is not the one of this fleet")]
    BreakGlass,
    #[error("the service token is not known: it was revoked, has expired, or never was one")]
    ServiceToken,
    #[error("the client certificate has expired: have it renewed")]
    Certificate,
    #[error("the credential with which this was asked has ended: `writ login` gets a new one")]
    Over,
    #[error(
        "the issuer of the token does not answer, so that its keys are not known; try again later"
    )]
    IssuerAway,
}

impl Denied {
    /// As it is said to the caller.
    pub(super) fn status(&self) -> Status {
        match self {
            Denied::IssuerAway => Status::unavailable(self.to_string()),
            _ => Status::unauthenticated(self.to_string()),
        }
    }
}

/// Whose credentials are taken.
pub(super) struct Credentials {
    issuers: Vec<Issuer>,
    /// SHA-256 of the token.
    break_glass: Option<[u8; 32]>,
    /// Where service tokens are kept, once the log is followed.
    views: OnceLock<Views>,
}

impl Credentials {
    /// Reads what the files say.
    pub(super) fn new(args: &Args) -> Result<Credentials, Error> {
        let file = args.authentication_file.as_deref();
        let authentication = file.map(Authentication::read).transpose()?;
        let issuers = authentication.unwrap_or_default().issuers.into_iter();
        let issuers: Result<Vec<Issuer>, tls::Error> = issuers.map(Issuer::new).collect();
        let break_glass = match &args.break_glass_file {
            None => None,
            Some(path) => {
                let bytes = pem::read_secret(path).map_err(tls::Error::File)?;
                let hash = read_hash(&bytes).ok_or_else(|| Error::BreakGlass(path.clone()))?;
                Some(hash)
            }
        };
        let credentials = Credentials {
            issuers: issuers?,
            break_glass,
            views: OnceLock::new(),
        };
        let has_none = credentials.issuers.is_empty() && break_glass.is_none();
        if has_none && args.client_ca_file.is_none() {
            return Err(Error::NoWayIn);
        }
        Ok(credentials)
    }

    /// Whose tokens of people and pipelines are taken.
    pub(super) fn issuers(&self) -> impl Iterator<Item = &Config> {
        self.issuers.iter().map(|issuer| &issuer.config)
    }

    /// Who sent a request. A token that is not taken is not made up for by a certificate: what
    /// somebody shows must be right.
    pub(super) async fn identify(
        &self,
        headers: &HeaderMap,
        peer: Option<&Peer>,
        now_s: i64,
    ) -> Result<(Identity, Standing), Denied> {
        if let Some(token) = bearer(headers)? {
            return self.of_token(token, now_s).await;
        }
        let certificate = peer.and_then(|peer| peer.certificate.as_ref());
        let certificate = certificate.ok_or(Denied::Nothing)?;
        let identity = certificate.identity(now_s).ok_or(Denied::Certificate)?;
        Ok((identity, Standing::until(certificate.expires_s)))
    }

    async fn of_token(&self, text: &str, now_s: i64) -> Result<(Identity, Standing), Denied> {
        if text.starts_with(BREAK_GLASS_PREFIX) {
            return Ok((self.of_break_glass(text)?, Standing::default()));
        }
        if let Some(rest) = text.strip_prefix(SERVICE_TOKEN_PREFIX) {
            // Names have no underscore; secrets may.
            let name = rest
                .split_once('_')
                .and_then(|(name, _)| Name::parse(name).ok());
            let name = name.ok_or(Denied::ServiceToken)?;
            let hash = digest::digest(&digest::SHA256, text.as_bytes());
            let identity = self.of_service_token(&name, hash.as_ref(), now_s)?;
            return Ok((identity, Standing::of_token(name, hash.as_ref())));
        }
        let token = Token::parse(text).map_err(Denied::Token)?;
        let issuer = self
            .issuers
            .iter()
            .find(|issuer| issuer.config.issuer == token.issuer());
        let Some(issuer) = issuer else {
            let name: String = token
                .issuer()
                .chars()
                .filter(|c| !c.is_control())
                .take(100)
                .collect();
            return Err(Denied::Token(Refused::Issuer(name)));
        };
        match issuer.check(&token).await {
            Answer::Good => {
                let identity = token.identity(&issuer.config, now_s);
                let standing = token
                    .ends_s()
                    .map_or_else(Standing::default, Standing::until);
                Ok((identity.map_err(Denied::Token)?, standing))
            }
            Answer::Refused(refused) => Err(Denied::Token(refused)),
            Answer::Away => Err(Denied::IssuerAway),
        }
    }

    /// Service tokens are looked up in the log as it is seen from now on.
    pub(super) fn look_up(&self, views: Views) {
        // The first stays; there is one log.
        let _ = self.views.set(views);
    }

    /// Whether a credential that was taken would be taken now, by what can be told without the issuer.
    pub(super) fn stand(&self, standing: &Standing, now_s: i64) -> Result<(), Denied> {
        if standing.until_s.is_some_and(|until_s| now_s >= until_s) {
            return Err(Denied::Over);
        }
        match &standing.token {
            Some((name, hash)) => self.of_service_token(name, hash, now_s).map(drop),
            None => Ok(()),
        }
    }

    fn of_service_token(&self, name: &Name, hash: &[u8], now_s: i64) -> Result<Identity, Denied> {
        let find = || {
            let view = self.views.get()?.now();
            match view.document(Kind::Token, name)?.as_ref() {
                Document::Record(Record::Token(token)) => Some(token.clone()),
                _ => None,
            }
        };
        let token = find().ok_or(Denied::ServiceToken)?;
        if !bool::from(hash.ct_eq(&token.hash.0)) {
            return Err(Denied::ServiceToken);
        }
        let now_s = u64::try_from(now_s).unwrap_or_default();
        token.identity(now_s).ok_or(Denied::ServiceToken)
    }

    fn of_break_glass(&self, text: &str) -> Result<Identity, Denied> {
        let hash = digest::digest(&digest::SHA256, text.as_bytes());
        let kept = self.break_glass.ok_or(Denied::BreakGlass)?;
        if !bool::from(hash.as_ref().ct_eq(&kept)) {
            return Err(Denied::BreakGlass);
        }
        Ok(Identity {
            inlet: Inlet::BreakGlass,
            user: BREAK_GLASS_USER.to_owned(),
            groups: [].into(),
        })
    }
}

/// The token of a request.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Denied> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    // Of two, one would be overlooked.
    if values.next().is_some() {
        return Err(Denied::Form);
    }
    let text = value.to_str().map_err(|_| Denied::Form)?;
    let (scheme, token) = text.split_once(' ').ok_or(Denied::Form)?;
    let is_token =
        scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && !token.contains(' ');
    if is_token {
        Ok(Some(token))
    } else {
        Err(Denied::Form)
    }
}

/// A hash in hexadecimal digits.
fn read_hash(bytes: &[u8]) -> Option<[u8; 32]> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let mut hash = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (place, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn one_bearer_token_is_taken_and_nothing_like_it() {
        assert_eq!(bearer(&headers(&["Bearer a"])).unwrap(), Some("a"));
        assert_eq!(bearer(&headers(&[])).unwrap(), None);
        for wrong in [
            &["Basic a"][..],
            &["Bearer "],
            &["Bearer a b"],
            &["Bearer"],
            &["Bearer a", "Bearer b"],
        ] {
            assert!(bearer(&headers(wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_break_glass_token_is_the_one_whose_hash_is_kept() {
        let token = format!("{BREAK_GLASS_PREFIX}abc");
        let hash = digest::digest(&digest::SHA256, token.as_bytes());
        let hex: String = hash
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let credentials = Credentials {
            issuers: Vec::new(),
            break_glass: read_hash(format!("{hex}\n").as_bytes()),
            views: OnceLock::new(),
        };
        let found = credentials.of_break_glass(&token).unwrap();
        assert_eq!(found.to_string(), "break-glass:administrator");
        assert!(credentials.of_break_glass(&format!("{token}d")).is_err());
        let none = Credentials {
            issuers: Vec::new(),
            break_glass: None,
            views: OnceLock::new(),
        };
        assert!(none.of_break_glass(&token).is_err());
        assert_eq!(read_hash(b"abc"), None);
    }
}
