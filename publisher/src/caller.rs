//! Who calls: put into each request by the gate, read by every service.
//!
//! Promises that nothing else decides who somebody is. Never judges what a caller may do.

use writ_core::access::{Identity, Inlet};

/// Who sent a request. One that passed no gate is from nobody, in no group.
pub(crate) fn caller<T>(request: &tonic::Request<T>) -> Identity {
    let found = request.extensions().get::<Identity>();
    found.cloned().unwrap_or_else(|| Identity {
        inlet: Inlet::Loopback,
        user: "unknown".to_owned(),
        groups: [].into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_passed_no_gate_is_from_nobody() {
        let mut request = tonic::Request::new(());
        assert_eq!(caller(&request).to_string(), "unauthenticated:unknown");
        let alice = Identity {
            inlet: Inlet::Oidc,
            user: "alice".into(),
            groups: [].into(),
        };
        request.extensions_mut().insert(alice.clone());
        assert_eq!(caller(&request), alice);
    }
}
