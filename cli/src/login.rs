//! `login` and `logout`: the token of a person, from the issuer to the publisher.
//!
//! Owns the device authorization flow (RFC 8628), and the file in which the token is kept. Promises that
//! the file is for its owner alone, and that no token is printed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use tonic::metadata::{Ascii, MetadataValue};
use writ_connect::fleet::Login as Issuer;
use writ_connect::oidc::{self, Discovery, Refusal, clean};
use writ_connect::{https, pem};

use crate::args::{Global, Login};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::fleets::{self, Chosen};
use crate::interrupt::{Interrupt, unless};
use crate::whoami;

/// A variable with the token itself.
const TOKEN_VARIABLE: &str = "WRIT_TOKEN";

/// What is asked of an issuer where the fleet does not say.
const SCOPES: &str = "openid profile email offline_access";

/// A token that ends this soon is renewed before it is used.
const RENEW_BEFORE_S: u64 = 60;

/// The pause between two questions where the issuer names none (RFC 8628, section 3.2), and what is
/// added to it where the issuer says that it was too short.
const POLL_PERIOD: Duration = Duration::from_secs(5);

/// The longest pause, and the longest time in which a person may log in.
const POLL_PERIOD_MAX: Duration = Duration::from_secs(60);
const LOGIN_TIME_MAX: Duration = Duration::from_secs(1800);

/// Longest text of an issuer that is shown, in characters; it may be an address.
const ADDRESS_LENGTH_MAX: usize = 500;

/// What is kept.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    token: String,
    /// Seconds since 1970; None where nobody said.
    expires_s: Option<u64>,
    /// By which a new one is got.
    refresh_token: Option<String>,
}

#[derive(Deserialize)]
struct Device {
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

#[derive(Deserialize)]
struct Granted {
    id_token: Option<String>,
    access_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<u64>,
}

/// Runs `login`.
pub(crate) async fn login(
    args: &Login,
    global: &Global,
    console: &mut Console,
    interrupt: &Interrupt,
) -> Result<Exit, Error> {
    let chosen = fleets::choose(global)?;
    let path = chosen.token_file()?;
    let kept = match &global.token_file {
        Some(path) => Kept {
            token: read_token(path)?,
            expires_s: None,
            refresh_token: None,
        },
        None => {
            let issuer = chosen.fleet.login.as_ref().ok_or_else(|| {
                Error::Usage(format!(
                    "{} names no issuer to log in at; give --token-file, or `writ fleet add … --issuer`",
                    chosen.label()
                ))
            })?;
            unless(interrupt, ask(issuer, console))
                .await
                .ok_or(Error::Interrupted(""))??
        }
    };
    keep(&path, &kept)?;
    if args.offline {
        console.tell(format!("logged in to {}", chosen.label()));
        return Ok(Exit::Done);
    }
    let shown = Global {
        token_file: None,
        ..global.clone()
    };
    whoami::tell(&shown, console, interrupt).await
}

/// Runs `logout`.
pub(crate) fn logout(global: &Global, console: &mut Console) -> Result<Exit, Error> {
    let chosen = fleets::choose(global)?;
    let path = chosen.token_file()?;
    if path.exists() {
        fleets::remove(&path)?;
        console.tell(format!("logged out of {}", chosen.label()));
    } else {
        console.tell(format!("nobody was logged in to {}", chosen.label()));
    }
    Ok(Exit::Done)
}

/// The token to show to a fleet's publishers: the variable, the file, or what is kept, renewed where it
/// ends.
pub(crate) async fn token(
    chosen: &Chosen,
    global: &Global,
) -> Result<Option<MetadataValue<Ascii>>, Error> {
    let variable = std::env::var(TOKEN_VARIABLE).unwrap_or_default();
    let file = global
        .token_file
        .as_ref()
        .or(chosen.fleet.token_file.as_ref());
    let token = if !variable.trim().is_empty() {
        Some(variable.trim().to_owned())
    } else if let Some(path) = file {
        Some(read_token(path)?)
    } else if chosen.name.is_some() {
        kept_token(chosen).await?
    } else {
        None
    };
    let value = |token| {
        let mut value = MetadataValue::try_from(format!("Bearer {token}"))
            .map_err(|_| Error::Login("the token is no token".to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    };
    token.map(value).transpose()
}

async fn kept_token(chosen: &Chosen) -> Result<Option<String>, Error> {
    let path = chosen.token_file()?;
    if !path.exists() {
        return Ok(None);
    }
    let wrong = |source: Box<dyn std::error::Error + Send + Sync>| Error::Setup {
        what: format!("could not read {}", path.display()),
        source,
    };
    let bytes = pem::read_secret(&path).map_err(|error| wrong(error.into()))?;
    let kept: Kept = serde_json::from_slice(&bytes).map_err(|error| wrong(error.into()))?;
    let ends_soon = kept
        .expires_s
        .is_some_and(|expires_s| now_s() + RENEW_BEFORE_S >= expires_s);
    let (true, Some(refresh), Some(issuer)) = (ends_soon, &kept.refresh_token, &chosen.fleet.login)
    else {
        // The publisher judges one that has ended.
        return Ok(Some(kept.token));
    };
    let (client, discovery) = discover(issuer).await?;
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh),
        ("client_id", &issuer.client_id),
    ];
    let endpoint = discovery.place(oidc::TOKEN).map_err(useless)?;
    let answer = client.post(endpoint, &fields).await;
    let (status, body) = answer.map_err(away)?;
    if !status.is_success() {
        return Err(Error::Login(format!(
            "the issuer does not renew the token ({}): run `writ login`",
            Refusal::read(&body).reason
        )));
    }
    let renewed = granted(&body, Some(refresh.clone()))?;
    keep(&path, &renewed)?;
    Ok(Some(renewed.token))
}

/// Has a person log in elsewhere, and waits.
async fn ask(issuer: &Issuer, console: &mut Console) -> Result<Kept, Error> {
    let (client, discovery) = discover(issuer).await?;
    let token_endpoint = discovery.place(oidc::TOKEN).map_err(useless)?;
    if !discovery.names(oidc::DEVICE) {
        let why = "the issuer has no login for terminals (device authorization)";
        return Err(Error::Login(why.to_owned()));
    }
    let endpoint = discovery.place(oidc::DEVICE).map_err(useless)?;
    let scopes = issuer.scopes.as_deref().unwrap_or(SCOPES);
    let fields = [("client_id", issuer.client_id.as_str()), ("scope", scopes)];
    let (status, body) = client.post(endpoint, &fields).await.map_err(away)?;
    if !status.is_success() {
        return Err(Error::Login(format!(
            "the issuer refused: {}",
            Refusal::read(&body).reason
        )));
    }
    let device: Device = serde_json::from_slice(&body).map_err(|_| unclear())?;
    let place = device.verification_uri_complete.as_ref();
    console.tell(format!(
        "open {} and enter the code {}",
        clean(
            place.unwrap_or(&device.verification_uri),
            ADDRESS_LENGTH_MAX
        ),
        clean(&device.user_code, ADDRESS_LENGTH_MAX)
    ));
    let patience = Duration::from_secs(device.expires_in).min(LOGIN_TIME_MAX);
    let mut period = device.interval.map_or(POLL_PERIOD, Duration::from_secs);
    let until = tokio::time::Instant::now() + patience;
    loop {
        tokio::time::sleep(period.min(POLL_PERIOD_MAX)).await;
        if tokio::time::Instant::now() > until {
            return Err(Error::Login("the code has expired".to_owned()));
        }
        let fields = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", device.device_code.as_str()),
            ("client_id", issuer.client_id.as_str()),
        ];
        let answer = client.post(token_endpoint, &fields).await;
        // One answer that is lost is no refusal.
        let Ok((status, body)) = answer else {
            continue;
        };
        if status.is_success() {
            return granted(&body, None);
        }
        let refusal = Refusal::read(&body);
        match refusal.code.as_str() {
            "authorization_pending" => {}
            "slow_down" => period += POLL_PERIOD,
            _ => {
                let reason = refusal.reason;
                return Err(Error::Login(format!("the issuer refused: {reason}")));
            }
        }
    }
}

async fn discover(issuer: &Issuer) -> Result<(https::Client, Discovery), Error> {
    let client = https::Client::new(issuer.ca_file.as_deref()).map_err(|source| Error::Setup {
        what: "the issuer's authority is not usable".to_owned(),
        source: Box::new(source),
    })?;
    let found = oidc::discover(&client, &issuer.issuer).await;
    Ok((client, found.map_err(useless)?))
}

/// The token of a grant: the ID token, which says who one is, where there is one.
fn granted(body: &[u8], refresh: Option<String>) -> Result<Kept, Error> {
    let granted: Granted = serde_json::from_slice(body).map_err(|_| unclear())?;
    let token = granted
        .id_token
        .or(granted.access_token)
        .ok_or_else(unclear)?;
    let given = granted.expires_in.map(|seconds| now_s() + seconds);
    Ok(Kept {
        expires_s: expiry(&token).or(given),
        refresh_token: granted.refresh_token.or(refresh),
        token,
    })
}

/// When a token says that it ends; nobody is believed for it.
fn expiry(token: &str) -> Option<u64> {
    let claims = token.split('.').nth(1)?;
    let bytes = URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    claims.get("exp")?.as_u64()
}

fn keep(path: &std::path::Path, kept: &Kept) -> Result<(), Error> {
    let text = serde_json::to_string(kept).map_err(|error| Error::Login(error.to_string()))?;
    fleets::write(path, &text)
}

fn read_token(path: &std::path::Path) -> Result<String, Error> {
    let wrong = |source: Box<dyn std::error::Error + Send + Sync>| Error::Setup {
        what: "the token file is not usable".to_owned(),
        source,
    };
    let bytes = pem::read_secret(path).map_err(|error| wrong(error.into()))?;
    let text = String::from_utf8(bytes).map_err(|error| wrong(error.into()))?;
    Ok(text.trim().to_owned())
}

fn useless(error: oidc::Error) -> Error {
    match error {
        oidc::Error::Away(error) => away(error),
        error => Error::Setup {
            what: "the issuer is of no use".to_owned(),
            source: Box::new(error),
        },
    }
}

fn away(error: https::Error) -> Error {
    Error::Setup {
        what: "the issuer did not answer".to_owned(),
        source: Box::new(error),
    }
}

fn unclear() -> Error {
    Error::Login("the issuer's answer is not understood".to_owned())
}

fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_token_is_kept_with_its_own_end_and_the_old_refresh_token() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"exp":4102444800}"#);
        let body = format!(r#"{{"id_token":"a.{claims}.b","access_token":"c","expires_in":60}}"#);
        let kept = granted(body.as_bytes(), Some("r".into())).unwrap();
        assert_eq!(kept.expires_s, Some(4_102_444_800));
        assert_eq!(kept.refresh_token.as_deref(), Some("r"));
        assert!(kept.token.starts_with("a."));
        assert!(granted(b"{}", None).is_err());
    }
}
