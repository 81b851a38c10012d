//! What somebody sees who is not signed in.

use axum::{
    http::StatusCode,
    response::{Html, IntoResponse as _, Response},
};
use maud::{DOCTYPE, Markup, html};

use super::settings::Issuer;
use crate::{page::head, route::encode};

/// The page on which one signs in.
pub(super) fn door(
    issuers: &[&Issuer],
    form_word: &str,
    back: &str,
    said: Option<&str>,
) -> Response {
    let body = html! {
        h1 { "Sign in to Writ" }
        @if let Some(said) = said { p role="status" { (said) } }
        @for (place, issuer) in issuers.iter().enumerate() {
            section {
                a.way href={"/sign-in/start?issuer=" (place) "&return=" (encode(back))} {
                    "Sign in with " (host(&issuer.issuer))
                }
            }
        }
        section {
            form method="post" action="/sign-in/token" autocomplete="off" {
                input type="hidden" name="form" value=(form_word);
                input type="hidden" name="return" value=(back);
                label for="token" { "With a token, such as " code { "writ token create" } " prints" }
                input #token name="token" type="password" required autocomplete="off" spellcheck="false";
                button type="submit" { "Sign in" }
            }
        }
        p { "You see here what the fleet's access rules let you see, and nothing is changed from here." }
    };
    (StatusCode::OK, Html(frame("Sign in", &body).into_string())).into_response()
}

/// A sign-in that came to nothing.
pub(super) fn failed(status: StatusCode, why: &str) -> Response {
    let body = html! {
        h1 { "Not signed in" }
        p.failed role="alert" { (why) }
        p { a href="/sign-in" { "Try again" } }
    };
    (status, Html(frame("Not signed in", &body).into_string())).into_response()
}

fn frame(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head { (head(title)) }
            body { main.door { (body) } }
        }
    }
}

fn host(issuer: &str) -> &str {
    let rest = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}
