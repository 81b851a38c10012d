//! Sign-in at an issuer: the authorization code flow of OpenID Connect, with PKCE, state and nonce.
//!
//! Owns the way to the issuer and back. The token that comes of it is judged by the API, as any call's: signature,
//! issuer, audience and end are checked there. Promises that a token counts only for the very sign-in that asked for it.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::Deserialize;
use serde_json::Value;
use writ_connect::{
    https::{self, encode},
    oidc::{self, Discovery},
    tls,
};

use super::{secret, settings};

/// How long a discovery document is believed.
const DISCOVERY_AGE_MAX: Duration = Duration::from_secs(600);

/// Why somebody was not signed in.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the issuer does not answer")]
    Away(#[from] https::Error),
    #[error("the issuer's {0} is not understood")]
    Content(&'static str),
    #[error(transparent)]
    Discovery(#[from] oidc::Error),
    #[error("the issuer refused: {0}")]
    Refused(String),
    #[error("the token is not for this sign-in: its `{0}` is another's")]
    Other(&'static str),
    #[error(transparent)]
    Random(#[from] secret::NoRandomness),
}

/// An issuer, and what it says of itself.
pub(super) struct Provider {
    pub(super) settings: settings::Issuer,
    client: https::Client,
    known: Mutex<Option<(Instant, Discovery)>>,
}

/// What is kept of a visitor who was sent to an issuer. None of it but the state, the nonce and the challenge is told to
/// anybody before they come back.
pub(super) struct Errand {
    pub(super) state: String,
    nonce: String,
    verifier: String,
}

#[derive(Deserialize)]
struct Granted {
    id_token: String,
}

impl Provider {
    pub(super) fn new(settings: settings::Issuer) -> Result<Provider, tls::Error> {
        Ok(Provider {
            client: https::Client::new(settings.ca_file.as_deref())?,
            settings,
            known: Mutex::default(),
        })
    }

    /// Where to send a visitor, and what to keep of them.
    pub(super) async fn begin(&self, redirect: &str) -> Result<(String, Errand), Error> {
        let discovery = self.discover().await?;
        let errand = Errand {
            state: secret::word()?,
            nonce: secret::word()?,
            verifier: secret::word()?,
        };
        let fields = [
            ("response_type", "code"),
            ("client_id", &self.settings.client_id),
            ("redirect_uri", redirect),
            ("scope", &self.settings.scopes),
            ("state", &errand.state),
            ("nonce", &errand.nonce),
            ("code_challenge", &secret::challenge(&errand.verifier)),
            ("code_challenge_method", "S256"),
        ];
        let query: Vec<String> = fields
            .iter()
            .map(|(key, value)| format!("{key}={}", encode(value)))
            .collect();
        let place = discovery.place(oidc::AUTHORIZATION)?;
        let joint = if place.contains('?') { '&' } else { '?' };
        Ok((format!("{place}{joint}{}", query.join("&")), errand))
    }

    /// The ID token for the code that a visitor came back with.
    pub(super) async fn end(
        &self,
        errand: &Errand,
        code: &str,
        redirect: &str,
    ) -> Result<String, Error> {
        let discovery = self.discover().await?;
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect),
            ("client_id", &self.settings.client_id),
            ("code_verifier", &errand.verifier),
        ];
        let secret = self.settings.client_secret.as_deref();
        fields.extend(secret.map(|secret| ("client_secret", secret)));
        let place = discovery.place(oidc::TOKEN)?;
        let (status, body) = self.client.post(place, &fields).await?;
        if !status.is_success() {
            return Err(Error::Refused(oidc::Refusal::read(&body).reason));
        }
        let granted: Granted =
            serde_json::from_slice(&body).map_err(|_| Error::Content("answer with a token"))?;
        check(&self.settings, errand, &granted.id_token)?;
        Ok(granted.id_token)
    }

    async fn discover(&self) -> Result<Discovery, Error> {
        let known = self.known.lock().ok().and_then(|known| known.clone());
        if let Some((since, discovery)) = known
            && since.elapsed() < DISCOVERY_AGE_MAX
        {
            return Ok(discovery);
        }
        let found = oidc::discover(&self.client, &self.settings.issuer).await?;
        // One that lacks them is not believed for that long.
        found.place(oidc::AUTHORIZATION)?;
        found.place(oidc::TOKEN)?;
        if let Ok(mut known) = self.known.lock() {
            *known = Some((Instant::now(), found.clone()));
        }
        Ok(found)
    }
}

/// Whether a token is for this sign-in. That its claims are the issuer's own is for the API to say, before anything
/// is done with it (OpenID Connect Core 1.0, section 3.1.3.7).
fn check(settings: &settings::Issuer, errand: &Errand, token: &str) -> Result<(), Error> {
    let claims = claims(token).ok_or(Error::Content("token"))?;
    let is = |name: &str, value: &str| claims.get(name).and_then(Value::as_str) == Some(value);
    if !is("nonce", &errand.nonce) {
        return Err(Error::Other("nonce"));
    }
    if !is("iss", &settings.issuer) {
        return Err(Error::Other("iss"));
    }
    let client = &settings.client_id;
    let is_for_us = match claims.get("aud") {
        Some(Value::String(one)) => one == client,
        Some(Value::Array(all)) => {
            all.iter().any(|one| one == client) && (all.len() == 1 || is("azp", client))
        }
        _ => false,
    };
    if !is_for_us || (claims.get("azp").is_some() && !is("azp", client)) {
        return Err(Error::Other("aud"));
    }
    Ok(())
}

/// The claims of a token, which nobody has verified yet.
pub(super) fn claims(token: &str) -> Option<serde_json::Map<String, Value>> {
    let middle = token.split('.').nth(1)?;
    serde_json::from_slice(&BASE64.decode(middle).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_counts_for_the_sign_in_that_asked_for_it_and_for_this_client() {
        let settings = settings::Issuer {
            issuer: "https://issuer.example".into(),
            client_id: "writ-dashboard".into(),
            client_secret: None,
            scopes: "openid".into(),
            ca_file: None,
        };
        let errand = Errand {
            state: "s".into(),
            nonce: "n".into(),
            verifier: "v".into(),
        };
        let check = |claims: Value| {
            let token = format!("e30.{}.sig", BASE64.encode(claims.to_string()));
            super::check(&settings, &errand, &token).map_err(|error| error.to_string())
        };
        let good = json!({"iss": "https://issuer.example", "aud": "writ-dashboard", "nonce": "n"});
        assert_eq!(check(good.clone()), Ok(()));
        let with = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            claims
        };
        assert_eq!(check(with("aud", json!(["writ-dashboard"]))), Ok(()));
        for (name, value) in [
            ("nonce", json!("another")),
            ("nonce", Value::Null),
            ("iss", json!("https://evil.example")),
            ("aud", json!("writ-cli")),
            ("aud", json!(["writ-cli"])),
            // Of several audiences one has asked for it, and that is said.
            ("aud", json!(["writ-dashboard", "writ-cli"])),
            ("azp", json!("writ-cli")),
        ] {
            assert!(check(with(name, value.clone())).is_err(), "{name}: {value}");
        }
        assert!(super::check(&settings, &errand, "no token").is_err());
    }
}
