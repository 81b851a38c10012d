//! Cookies, forms and ways back: what of a browser's request is meant.
//!
//! Promises that no form counts but one of this site's own pages, and that a way back leads nowhere else.

use std::time::Duration;

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE},
    },
    response::{IntoResponse as _, Response},
};
use tokio::time::timeout;

use super::{NotIn, secret, settings::Origin};
use crate::route::{self, Route};

/// Largest form: a token of 16 KiB and the little beside it, encoded.
const FORM_SIZE_MAX_BYTES: usize = 64 * 1024;

/// Time for a form to come in.
const FORM_TIME_MAX: Duration = Duration::from_secs(10);

/// Longest address that is gone back to.
const BACK_CHARS_MAX: usize = 2_000;

/// A form that a page of this very site sent.
pub(super) async fn read_form(
    site: &Origin,
    headers: &HeaderMap,
    body: Body,
) -> Result<Query, NotIn> {
    let foreign = || {
        NotIn(
            StatusCode::FORBIDDEN,
            "This form is another site's.".to_owned(),
        )
    };
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    // Browsers without the first say the second; and each form has a word that only this site's pages know.
    let is_own = match (text("sec-fetch-site"), text(ORIGIN.as_str())) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => origin == site.as_str(),
        (None, None) => true,
    };
    if !is_own {
        return Err(foreign());
    }
    let read = timeout(
        FORM_TIME_MAX,
        axum::body::to_bytes(body, FORM_SIZE_MAX_BYTES),
    )
    .await;
    let bytes = read
        .ok()
        .and_then(Result::ok)
        .ok_or_else(|| NotIn::of("This is no form."))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| NotIn::of("This is no form."))?;
    Ok(Query::of(Some(text)))
}

pub(super) fn check_form(form: &Query, expected: Option<&str>) -> Result<(), NotIn> {
    let is_it = |word: &str| {
        form.get("form")
            .is_some_and(|sent| secret::hash("", sent) == secret::hash("", word))
    };
    match expected.is_some_and(is_it) {
        true => Ok(()),
        false => Err(NotIn(
            StatusCode::FORBIDDEN,
            "This form is old or another browser's: open the page again.".to_owned(),
        )),
    }
}

/// The fields of a query or a form.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(text: Option<&str>) -> Query {
        Query(route::pairs(text.unwrap_or_default()))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.as_str())
    }
}

/// Where to go once signed in: a page of this dashboard, whatever was asked for.
pub(super) fn back(query: &Query) -> String {
    let is_page = |back: &&str| {
        let (path, query) = back.split_once('?').unwrap_or((back, ""));
        let is_local = path.starts_with('/') && !path.starts_with("//");
        let is_plain = back
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        is_local && is_plain && back.len() <= BACK_CHARS_MAX && Route::of(path, query).is_some()
    };
    query
        .get("return")
        .filter(is_page)
        .unwrap_or("/")
        .to_owned()
}

/// A cookie's value.
pub(super) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(COOKIE).iter();
    let mut pairs = all
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let found = pairs.find(|(known, _)| *known == name)?;
    Some(found.1.to_owned())
}

/// Gives a browser a cookie until it is closed. Lax: a link from elsewhere may lead to a page, and the way back from an
/// issuer is one.
pub(super) fn given(name: &str, word: &str) -> HeaderValue {
    let text = format!("{name}={word}; Path=/; Secure; HttpOnly; SameSite=Lax");
    let mut value = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

pub(super) fn taken(name: &str) -> HeaderValue {
    let text = format!("{name}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0");
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// Sends a browser somewhere.
pub(super) fn sent<const N: usize>(place: &str, cookies: [HeaderValue; N]) -> Response {
    let Ok(place) = HeaderValue::try_from(place) else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let mut answer = (StatusCode::SEE_OTHER, [(LOCATION, place)]).into_response();
    for cookie in cookies {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "__Host-writ-session";

    #[test]
    fn nobody_is_sent_to_another_site() {
        let back = |text: &str| back(&Query(vec![("return".to_owned(), text.to_owned())]));
        for own in [
            "/",
            "/policies/payments",
            "/?region=eu&life=silent",
            "/edits/2:7?policy=a&generation=1",
        ] {
            assert_eq!(back(own), own);
        }
        for other in [
            "//evil.example",
            "/\\evil.example",
            "https://evil.example/",
            "evil.example",
            "/%0d%0aSet-Cookie:a=b\r\n",
            "javascript:alert(1)",
            "/\t/evil.example",
            "/sign-in",
            "/sign-out",
            "/live/",
            "",
            "/policies//evil.example/x",
        ] {
            assert_eq!(back(other), "/", "{other}");
        }
    }

    #[test]
    fn a_cookie_is_for_this_host_by_tls_and_no_script_reads_it() {
        let cookie = given(NAME, "word");
        assert_eq!(
            cookie.to_str().unwrap(),
            "__Host-writ-session=word; Path=/; Secure; HttpOnly; SameSite=Lax"
        );
        let mut headers = HeaderMap::new();
        headers.append(
            COOKIE,
            HeaderValue::from_static("a=b; __Host-writ-session=word"),
        );
        assert_eq!(super::cookie(&headers, NAME).as_deref(), Some("word"));
        assert_eq!(super::cookie(&headers, "__Host-other"), None);
    }
}
