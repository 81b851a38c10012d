//! Permission violations as the server reports them: apart from the request, as a text.
//!
//! Owns the reading of that text. The texts are built in `server/client.go` of nats-server
//! (`pubPermissionViolation`, `subPermissionViolation`); the protocol has no code for them.

use std::fmt;

/// What a user was not allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Publish, which is also how a request begins.
    Publish,
    /// Subscribe.
    Subscribe,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Publish => "publish to",
            Action::Subscribe => "subscribe to",
        })
    }
}

/// The server refused an action for want of a permission.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this user may not {action} {subject:?}")]
pub struct Denied {
    /// What was tried.
    pub action: Action,
    /// Where.
    pub subject: String,
}

impl Denied {
    /// Reads the text of a `-ERR` line; `None` where it speaks of something else.
    pub(crate) fn read(text: &str) -> Option<Denied> {
        let rest = text.strip_prefix("Permissions Violation for ")?;
        let (action, rest) = if let Some(rest) = rest.strip_prefix("Publish to ") {
            (Action::Publish, rest)
        } else {
            (Action::Subscribe, rest.strip_prefix("Subscription to ")?)
        };
        let (subject, _) = rest.strip_prefix('"')?.split_once('"')?;
        Some(Denied {
            action,
            subject: subject.to_owned(),
        })
    }

    /// Whether this speaks of a publish to `subject`. The server judges a request to the hub's API
    /// under the plain API's name where it is the hub itself.
    pub(crate) fn refuses_publish(&self, subject: &str) -> bool {
        let of_hub = || {
            let asked = subject.strip_prefix("$JS.hub.API.")?;
            Some(asked == self.subject.strip_prefix("$JS.API.")?)
        };
        self.action == Action::Publish && (self.subject == subject || of_hub().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_by_the_plain_name_ends_the_request_to_the_hub() {
        let denied = Denied {
            action: Action::Publish,
            subject: "$JS.API.INFO".to_owned(),
        };
        assert!(denied.refuses_publish("$JS.API.INFO"));
        assert!(denied.refuses_publish("$JS.hub.API.INFO"));
        assert!(!denied.refuses_publish("$JS.leaf.API.INFO"));
        assert!(!denied.refuses_publish("$JS.hub.API.INFO.x"));
    }

    #[test]
    fn the_servers_texts_are_read_and_others_left_alone() {
        let denied = Denied::read("Permissions Violation for Publish to \"writ.root\"").unwrap();
        assert_eq!(
            (denied.action, denied.subject.as_str()),
            (Action::Publish, "writ.root")
        );
        let denied =
            Denied::read("Permissions Violation for Subscription to \"a.>\" using queue \"q\"")
                .unwrap();
        assert_eq!(
            (denied.action, denied.subject.as_str()),
            (Action::Subscribe, "a.>")
        );
        for other in [
            "Stale Connection",
            "Permissions Violation for Publish to x",
            "",
        ] {
            assert_eq!(Denied::read(other), None, "{other}");
        }
    }
}
