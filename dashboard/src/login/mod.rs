//! Sign-in: who may look, for how long, and that a browser does nothing that its user did not mean.
//!
//! Whether a credential is good, and what its bearer may see, is asked of the API; nothing here decides it. Promises that
//! no page, part or stream is made for somebody who is not signed in, that tokens stay in this process, that nobody is
//! sent to another site than an issuer that was configured, and that a session's word is new at each sign-in.

mod form;
mod limit;
mod oidc;
mod page;
mod secret;
pub(crate) mod session;
mod settings;

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    Extension, Router,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header::SET_COOKIE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use tokio::time::timeout;
use writ_connect::{
    oidc::{REASON_LENGTH_MAX, clean},
    tls,
};

use writ_proto::BREAK_GLASS_PREFIX;

use crate::{incoming::Visitor, line::Line, route::encode, serve::Shared, source::Source};
use form::{Query, back, check_form, cookie, given, read_form, sent, taken};
use limit::{Errands, Tries};
use oidc::Provider;
use session::{Session, Sessions};
pub use settings::{Issuer, Login, NoOrigin, Origin};

/// The cookie of a session. Its prefix has browsers take it by TLS from this very host alone, for all paths.
const SESSION: &str = "__Host-writ-session";

/// The cookie of a sign-in that is on its way.
const SIGN_IN: &str = "__Host-writ-sign-in";

/// Where an issuer sends visitors back to.
const CALLBACK: &str = "/sign-in/callback";

/// Where somebody is sent who signed out.
pub(crate) const WAY_OUT: &str = "/sign-in?out=1";

/// Time for the API to say who somebody is.
const WHO_TIME_MAX: Duration = Duration::from_secs(10);

/// The door of a dashboard.
pub(crate) struct Door {
    pub(crate) url: Origin,
    providers: Vec<Provider>,
    /// Without a credential; each session has its own.
    line: Line,
    sessions: Sessions,
    errands: Errands,
    tries: Tries,
}

/// Why somebody was not let in, for themselves.
struct NotIn(StatusCode, String);

impl NotIn {
    fn of(why: impl Into<String>) -> NotIn {
        NotIn(StatusCode::BAD_REQUEST, why.into())
    }
}

impl IntoResponse for NotIn {
    fn into_response(self) -> Response {
        page::failed(self.0, &self.1)
    }
}

/// What a door is made of, once it was found usable.
pub(crate) struct Frame {
    url: Origin,
    providers: Vec<Provider>,
}

impl Frame {
    pub(crate) fn new(login: Login) -> Result<Frame, tls::Error> {
        let providers = login.issuers.into_iter().map(Provider::new);
        Ok(Frame {
            url: login.url,
            providers: providers.collect::<Result<_, _>>()?,
        })
    }
}

impl Door {
    pub(crate) fn new(frame: Frame, line: Line) -> Door {
        Door {
            url: frame.url,
            providers: frame.providers,
            line,
            sessions: Sessions::default(),
            errands: Errands::default(),
            tries: Tries::default(),
        }
    }

    /// Who sends a request, if they are signed in.
    pub(crate) fn session(&self, headers: &HeaderMap) -> Option<Arc<Session>> {
        self.sessions.find(&cookie(headers, SESSION)?)
    }

    fn redirect(&self) -> String {
        format!("{}{CALLBACK}", self.url.as_str())
    }

    fn may_try(&self, address: SocketAddr) -> Result<(), NotIn> {
        match self.tries.take(address, Instant::now()) {
            true => Ok(()),
            false => Err(NotIn(
                StatusCode::TOO_MANY_REQUESTS,
                "Too many tries from your address; wait a moment.".to_owned(),
            )),
        }
    }

    /// Lets somebody in whom the API knows by their token.
    async fn enter(
        &self,
        token: &str,
        address: SocketAddr,
        headers: &HeaderMap,
        back: &str,
    ) -> Result<Response, NotIn> {
        let bearer = session::bearer(token).ok_or_else(|| NotIn::of("This is no token."))?;
        let source = Source(self.line.with(bearer.clone(), address));
        let who = timeout(WHO_TIME_MAX, source.who()).await;
        let who = who
            .map_err(|_| {
                NotIn(
                    StatusCode::BAD_GATEWAY,
                    "The publisher does not answer.".to_owned(),
                )
            })?
            .map_err(|status| NotIn(StatusCode::UNAUTHORIZED, status.message().to_owned()))?;
        let identity = format!("{}:{}", who.inlet, who.user);
        let begun = (identity.clone(), address);
        let begun = self.sessions.begin(&self.line, bearer, begun, lasts(token));
        let word =
            begun.map_err(|error| NotIn(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
        if let Some(before) = self.session(headers) {
            before.over.cancel();
        }
        tracing::info!(%identity, %address, "somebody signed in to the dashboard");
        let cookies = [given(SESSION, &word), taken(SIGN_IN)];
        Ok(sent(back, cookies))
    }
}

/// The addresses of sign-in.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/sign-in", get(show))
        .route("/sign-in/start", get(start))
        .route(CALLBACK, get(callback))
        .route("/sign-in/token", post(with_token))
        .route("/sign-out", post(sign_out))
}

/// Where somebody is sent who is not signed in, and comes from an address.
pub(crate) fn way_in(uri: &Uri) -> String {
    let back = uri.path_and_query().map_or("/", |back| back.as_str());
    format!("/sign-in?return={}", encode(back))
}

/// The answer to somebody who is not signed in.
pub(crate) fn shut(uri: &Uri) -> Response {
    sent(&way_in(uri), [])
}

async fn show(State(shared): State<Shared>, uri: Uri) -> Response {
    let Some(door) = shared.door() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let query = Query::of(uri.query());
    let Ok(word) = secret::word() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let issuers: Vec<&Issuer> = door
        .providers
        .iter()
        .map(|provider| &provider.settings)
        .collect();
    let said = query.get("out").map(|_| "You are signed out.");
    let (form_word, back) = (secret::form_word(&word), back(&query));
    let mut answer = page::door(&issuers, &form_word, &back, said);
    answer
        .headers_mut()
        .append(SET_COOKIE, given(SIGN_IN, &word));
    answer
}

/// Sends a visitor to an issuer.
async fn start(
    State(shared): State<Shared>,
    Extension(Visitor(address)): Extension<Visitor>,
    uri: Uri,
) -> Result<Response, NotIn> {
    let door = shared.door().ok_or_else(nowhere)?;
    door.may_try(address)?;
    let query = Query::of(uri.query());
    let place = query
        .get("issuer")
        .and_then(|place| place.parse::<usize>().ok());
    let place = place
        .filter(|place| *place < door.providers.len())
        .ok_or_else(nowhere)?;
    let begun = door.providers[place].begin(&door.redirect()).await;
    let (url, errand) = begun.map_err(|error| unwell(&error))?;
    let word = secret::word().map_err(|error| NotIn::of(error.to_string()))?;
    door.errands.keep(errand, &word, place, back(&query));
    Ok(sent(&url, [given(SIGN_IN, &word)]))
}

/// Takes a visitor who comes back from an issuer.
async fn callback(
    State(shared): State<Shared>,
    Extension(Visitor(address)): Extension<Visitor>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, NotIn> {
    let door = shared.door().ok_or_else(nowhere)?;
    door.may_try(address)?;
    let query = Query::of(uri.query());
    let found = query.get("state").zip(cookie(&headers, SIGN_IN));
    let found = found.and_then(|(state, cookie)| door.errands.take(state, &cookie));
    let unknown = || {
        NotIn::of("This sign-in was not begun in this browser, took too long, or was used already.")
    };
    let found = found.ok_or_else(unknown)?;
    let provider = &door.providers[found.provider];
    // Of another issuer's answer nothing counts (RFC 9207).
    if query
        .get("iss")
        .is_some_and(|issuer| issuer != provider.settings.issuer)
    {
        return Err(NotIn::of("Another issuer answered than was asked."));
    }
    let Some(code) = query.get("code") else {
        let reason = query.get("error_description").or(query.get("error"));
        let reason = clean(reason.unwrap_or("no reason was given"), REASON_LENGTH_MAX);
        return Err(NotIn::of(format!("The issuer refused: {reason}")));
    };
    let token = provider.end(&found.errand, code, &door.redirect()).await;
    let token = token.map_err(|error| unwell(&error))?;
    door.enter(&token, address, &headers, &found.back).await
}

/// Takes a token that somebody brings.
async fn with_token(
    State(shared): State<Shared>,
    Extension(Visitor(address)): Extension<Visitor>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, NotIn> {
    let door = shared.door().ok_or_else(nowhere)?;
    door.may_try(address)?;
    let form = read_form(&door.url, &headers, body).await?;
    let cookie = cookie(&headers, SIGN_IN);
    check_form(
        &form,
        cookie.map(|cookie| secret::form_word(&cookie)).as_deref(),
    )?;
    let token = form.get("token").unwrap_or_default().trim();
    if token.starts_with(BREAK_GLASS_PREFIX) {
        return Err(NotIn::of(
            "The emergency token is for `writ` alone. Take it for seen by this browser: make a new one.",
        ));
    }
    door.enter(token, address, &headers, &back(&form)).await
}

async fn sign_out(
    State(shared): State<Shared>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, NotIn> {
    let door = shared.door().ok_or_else(nowhere)?;
    let form = read_form(&door.url, &headers, body).await?;
    if let Some(session) = door.session(&headers) {
        check_form(&form, Some(&session.form_word))?;
        session.sign_out();
    }
    Ok(sent(WAY_OUT, [taken(SESSION)]))
}

/// How long a token says that it lasts. The API judges it all the same.
fn lasts(token: &str) -> Option<Duration> {
    let ends_s = oidc::claims(token)?.get("exp")?.as_f64()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(Duration::try_from_secs_f64(ends_s - now.as_secs_f64()).unwrap_or_default())
}

fn nowhere() -> NotIn {
    NotIn(StatusCode::NOT_FOUND, "There is no such way in.".to_owned())
}

fn unwell(error: &oidc::Error) -> NotIn {
    tracing::warn!("a sign-in to the dashboard failed: {}", chain(error));
    NotIn(StatusCode::BAD_GATEWAY, format!("{error}."))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
