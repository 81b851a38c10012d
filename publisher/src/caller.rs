//! Who calls: put into each request by one layer, read by every service.
//!
//! Promises that a request that reached a service carries an [`Identity`], and that nothing else
//! decides who somebody is. Never judges what a caller may do.

use http::HeaderMap;
use tonic::body::Body;
use writ_core::access::{Identity, Inlet};

/// The metadata key in which a client on the loopback names its user. Nobody checks it, and the author
/// says so.
const USER_METADATA: &str = "writ-user";

/// Longest user name that is taken.
const USER_MAX_CHARS: usize = 128;

/// Who sent a request. One that passed no layer is from nobody in particular, in no group.
pub(crate) fn caller<T>(request: &tonic::Request<T>) -> Identity {
    let found = request.extensions().get::<Identity>();
    found.cloned().unwrap_or_else(|| unchecked(""))
}

/// The layer's work: says who sent a request.
pub(crate) fn identify(mut request: http::Request<Body>) -> http::Request<Body> {
    let identity = unchecked(user(request.headers()));
    request.extensions_mut().insert(identity);
    request
}

fn user(headers: &HeaderMap) -> &str {
    let user = headers.get(USER_METADATA);
    user.and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// Somebody on the loopback, who said a name that nobody checked.
fn unchecked(user: &str) -> Identity {
    let user: String = user
        .chars()
        .filter(char::is_ascii_graphic)
        .take(USER_MAX_CHARS)
        .collect();
    Identity {
        inlet: Inlet::Loopback,
        user: if user.is_empty() {
            "unknown".to_owned()
        } else {
            user
        },
        groups: [].into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unchecked_caller_is_marked_and_cannot_hold_control_characters() {
        assert_eq!(
            caller(&tonic::Request::new(())).to_string(),
            "unauthenticated:unknown"
        );
        let mut request = http::Request::new(Body::default());
        let headers = request.headers_mut();
        headers.insert(USER_METADATA, "al ice".parse().unwrap());
        let request = identify(request);
        let found = request.extensions().get::<Identity>().unwrap();
        assert_eq!(found.to_string(), "unauthenticated:alice");
    }
}
