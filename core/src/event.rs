//! What subscribers of one scope receive: the compiled object at a revision, or a tombstone.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    hash::Hash,
    model::FEATURES,
    name::Name,
    revision::{Generation, Revision},
    scope::{Feed, Kind, Scope},
    subject::BusSubject,
};

/// The protocol that this build speaks. An event of a higher one is refused, not guessed at.
pub const PROTOCOL: u32 = 1;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The scope and kind that it was sent to.
    pub feed: Feed,
    /// Name of the policy or cluster.
    pub name: Name,
    /// Protocol that a reader has to speak.
    pub protocol: u32,
    /// Features that a reader has to have, of [`FEATURES`]: ignoring one would apply something else than
    /// what was meant.
    pub requires: Vec<String>,
    /// The edit.
    pub revision: Revision,
    /// The edit, counted per name.
    pub generation: Generation,
    /// Revision of the feed's index before this edit.
    pub previous: Revision,
    /// Digest of the feed's index after this edit.
    pub digest: Hash,
    /// The scopes that the name is in now; empty when it is gone.
    pub scopes: BTreeSet<Scope>,
    /// Encoded [`Body`], or nothing: a tombstone in this scope.
    pub body: Option<Vec<u8>>,
}

/// Why an event can't be acted on by this build.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// It speaks a newer protocol.
    #[error("the event speaks protocol {0}, this subscriber speaks {PROTOCOL}: upgrade it")]
    Protocol(u32),
    /// It requires a feature that is not there.
    #[error("the event requires {0:?}, which this subscriber does not have: upgrade it")]
    Feature(String),
}

impl Event {
    /// The subject under which it is stored.
    pub fn subject(&self) -> BusSubject {
        BusSubject::event(&self.feed, &self.name)
    }

    /// Hash of the body; nothing for a tombstone.
    pub fn hash(&self) -> Option<Hash> {
        self.body.as_deref().map(Hash::of)
    }

    /// Whether this build may act on it.
    pub fn check_supported(&self) -> Result<(), Unsupported> {
        if self.protocol > PROTOCOL {
            return Err(Unsupported::Protocol(self.protocol));
        }
        let missing = self
            .requires
            .iter()
            .find(|name| !FEATURES.contains(&name.as_str()));
        missing.map_or(Ok(()), |name| Err(Unsupported::Feature(name.clone())))
    }
}

/// What an event says about its name: the part that is the same in every scope, and hashed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// `policy` or `cluster`.
    kind: String,
    /// Its name.
    pub name: Name,
    /// Its generation.
    pub generation: Generation,
    /// The compiled document (see [`crate::model`]).
    pub object: Value,
}

/// A body that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Not JSON, or not of this shape.
    #[error("the event's body does not parse")]
    Parse(#[source] serde_json::Error),
    /// It speaks of something else than the event around it.
    #[error("the event's body names {found:?} where the event names {expected:?}")]
    Mismatch {
        /// What the event says.
        expected: String,
        /// What the body says.
        found: String,
    },
}

impl Body {
    /// A body.
    pub fn new(kind: Kind, name: Name, generation: Generation, object: Value) -> Body {
        Body {
            kind: kind.as_str().to_owned(),
            name,
            generation,
            object,
        }
    }

    /// Canonical JSON (RFC 8785): the same body is the same bytes for every writer.
    pub fn encode(&self) -> Vec<u8> {
        // A body holds only strings, numbers and a parsed JSON value, none of which can fail.
        serde_json_canonicalizer::to_vec(self).unwrap_or_default()
    }

    /// Reads a body and checks that it speaks of the same name, kind and generation as its event.
    pub fn decode(event: &Event, bytes: &[u8]) -> Result<Body, BodyError> {
        let body: Body = serde_json::from_slice(bytes).map_err(BodyError::Parse)?;
        let expected = format!("{} {}@{}", event.feed.kind, event.name, event.generation);
        let found = format!("{} {}@{}", body.kind, body.name, body.generation);
        if expected == found {
            Ok(body)
        } else {
            Err(BodyError::Mismatch { expected, found })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(body: &Body) -> Event {
        Event {
            feed: "policy.eu.prod".parse().unwrap(),
            name: body.name.clone(),
            protocol: PROTOCOL,
            requires: vec![],
            revision: Revision {
                epoch: 1,
                number: 7,
            },
            generation: body.generation,
            previous: Revision::START,
            digest: Hash::of(b""),
            scopes: BTreeSet::new(),
            body: Some(body.encode()),
        }
    }

    fn body() -> Body {
        let name = Name::parse("payments").unwrap();
        Body::new(
            Kind::Policy,
            name,
            Generation(3),
            serde_json::json!({"b": 1, "a": [2.0]}),
        )
    }

    #[test]
    fn a_body_has_one_encoding_and_reads_back() {
        let text = String::from_utf8(body().encode()).unwrap();
        assert_eq!(
            text,
            r#"{"generation":3,"kind":"policy","name":"payments","object":{"a":[2],"b":1}}"#
        );
        assert_eq!(
            Body::decode(&event(&body()), text.as_bytes()).unwrap().name,
            body().name
        );
    }

    #[test]
    fn a_body_of_another_name_or_generation_is_refused() {
        let mut other = event(&body());
        other.generation = Generation(4);
        let refused = Body::decode(&other, other.body.as_ref().unwrap());
        assert!(matches!(refused, Err(BodyError::Mismatch { .. })));
        assert!(matches!(
            Body::decode(&other, b"{"),
            Err(BodyError::Parse(_))
        ));
    }

    #[test]
    fn an_unknown_requirement_and_a_newer_protocol_are_refusals() {
        let mut event = event(&body());
        assert_eq!(event.check_supported(), Ok(()));
        event.requires = vec!["overrides".into()];
        assert_eq!(
            event.check_supported(),
            Err(Unsupported::Feature("overrides".into()))
        );
        event.protocol = PROTOCOL + 1;
        assert_eq!(
            event.check_supported(),
            Err(Unsupported::Protocol(PROTOCOL + 1))
        );
    }
}
