//! Checked names. A value of these types is always a valid RFC 1123 label, so it can stand in a bus
//! subject, a Kubernetes name and a file name without another look.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest RFC 1123 label, in bytes (Kubernetes uses the same limit for label-like names).
pub const LABEL_LENGTH_MAX_BYTES: usize = 63;

/// The word that stands for every region or every stage; therefore no region or stage has that name.
pub const ALL: &str = "all";

/// First words of inboxes, and last words of enrolment's subjects, that are not a region's or a cluster's:
/// `_INBOX.<region>.<cluster>` would be in the reach of two. No region and no cluster has such a name.
pub const RESERVED: [&str; 5] = ["enrol", "publisher", "installer", "backup", "registrar"];

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Nothing was given.
    #[error("must not be empty")]
    Empty,
    /// Over [`LABEL_LENGTH_MAX_BYTES`].
    #[error("{text:?} is longer than {LABEL_LENGTH_MAX_BYTES} characters", text = .0)]
    TooLong(String),
    /// A character, or a place for one, that RFC 1123 does not allow in a label.
    #[error(
        "{0:?} is not an RFC 1123 label: lower-case letters, digits and '-', beginning and ending with a letter or digit"
    )]
    NotALabel(String),
    /// The reserved word [`ALL`] as a region or stage.
    #[error("\"all\" is reserved: it stands for every region or every stage")]
    Reserved,
    /// One of [`RESERVED`] as a region or a cluster.
    #[error(
        "{0:?} is reserved: the bus itself uses it in inboxes and subjects, choose another name"
    )]
    ReservedWord(String),
}

/// Checks a text against RFC 1123's label grammar.
pub fn check_label(text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::Empty);
    }
    if text.len() > LABEL_LENGTH_MAX_BYTES {
        return Err(Error::TooLong(text.to_owned()));
    }
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    let bytes = text.as_bytes();
    let ends = bytes[0] != b'-' && bytes[bytes.len() - 1] != b'-';
    if bytes.iter().all(inner) && ends {
        Ok(())
    } else {
        Err(Error::NotALabel(text.to_owned()))
    }
}

fn check_place(text: &str) -> Result<(), Error> {
    check_label(text)?;
    if text == ALL {
        Err(Error::Reserved)
    } else {
        Ok(())
    }
}

fn check_unreserved(text: &str) -> Result<(), Error> {
    if RESERVED.contains(&text) {
        Err(Error::ReservedWord(text.to_owned()))
    } else {
        Ok(())
    }
}

fn check_region(text: &str) -> Result<(), Error> {
    check_place(text)?;
    check_unreserved(text)
}

fn check_cluster(text: &str) -> Result<(), Error> {
    check_label(text)?;
    check_unreserved(text)
}

macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the text and makes the name; the error says what is wrong with it.
            pub fn parse(text: &str) -> Result<Self, Error> {
                $check(text)?;
                Ok(Self(text.to_owned()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                Self::parse(&text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

checked_name!(
    /// Name of a registry entry; none of [`RESERVED`].
    ClusterName,
    check_cluster
);
checked_name!(
    /// Name of a policy.
    PolicyName,
    check_label
);
checked_name!(
    /// Name of a policy or of a cluster, where either may stand.
    Name,
    check_label
);
checked_name!(
    /// A region; never `all`, and none of [`RESERVED`].
    Region,
    check_region
);
checked_name!(
    /// A stage; never `all`.
    Stage,
    check_place
);

impl From<&ClusterName> for Name {
    fn from(name: &ClusterName) -> Name {
        Name(name.0.clone())
    }
}

impl From<&PolicyName> for Name {
    fn from(name: &PolicyName) -> Name {
        Name(name.0.clone())
    }
}

impl From<&Name> for ClusterName {
    fn from(name: &Name) -> ClusterName {
        ClusterName(name.0.clone())
    }
}

impl From<&Name> for PolicyName {
    fn from(name: &Name) -> PolicyName {
        PolicyName(name.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_accepted_and_their_neighbours_refused() {
        for good in ["a", "eu-prod-1", "0", &"a".repeat(63)] {
            assert!(ClusterName::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "a.b",
            "a_b",
            "a*",
            "a>",
            "a b",
            "ä",
            &"a".repeat(64),
        ] {
            assert!(ClusterName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn all_is_a_policy_but_never_a_region_or_stage() {
        assert!(PolicyName::parse("all").is_ok());
        assert_eq!(Region::parse("all"), Err(Error::Reserved));
        assert_eq!(Stage::parse("all"), Err(Error::Reserved));
    }

    #[test]
    fn what_the_bus_uses_itself_is_no_region_and_no_cluster() {
        for word in RESERVED {
            let error = ClusterName::parse(word).unwrap_err();
            assert_eq!(error, Error::ReservedWord(word.to_owned()));
            assert!(error.to_string().contains("choose another name"), "{error}");
            assert!(Region::parse(word).is_err(), "{word}");
            assert!(Region::parse(&format!("{word}-1")).is_ok(), "{word}");
            assert!(ClusterName::parse(&format!("eu-{word}")).is_ok(), "{word}");
            assert!(Stage::parse(word).is_ok() && PolicyName::parse(word).is_ok());
        }
    }
}
