//! The fields that all messages share.

use std::collections::{BTreeMap, BTreeSet};

use writ_core::{
    edit,
    hash::Hash,
    name::Name,
    revision::Revision,
    root::FeedState,
    scope::{Feed, Kind, Scope},
    subject::BusSubject,
};

use super::wire;

/// Why a verified payload is not what its subject holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not the protobuf message.
    #[error("not a message of its type")]
    Protobuf(#[source] prost::DecodeError),
    /// It names another subject than the one it was found under.
    #[error("found under {expected:?}, but signed for {found:?}")]
    Subject {
        /// Where it was found.
        expected: String,
        /// What it names.
        found: String,
    },
    /// A field is missing or malformed.
    #[error("field {0} is missing or malformed")]
    Field(&'static str),
}

pub(super) fn parse<M: prost::Message + Default>(bytes: &[u8]) -> Result<M, DecodeError> {
    M::decode(bytes).map_err(DecodeError::Protobuf)
}

/// The subject inside the signed part must be the one that the bytes were found under.
pub(super) fn check_subject(expected: &BusSubject, found: &str) -> Result<(), DecodeError> {
    let expected = expected.to_string();
    if expected == found {
        Ok(())
    } else {
        Err(DecodeError::Subject {
            expected,
            found: found.to_owned(),
        })
    }
}

/// A subject of the wrong kind for this type of message.
pub(super) fn misplaced<T>(expected: &BusSubject) -> Result<T, DecodeError> {
    Err(DecodeError::Subject {
        expected: expected.to_string(),
        found: String::new(),
    })
}

pub(crate) fn to_revision(revision: Revision) -> Option<wire::Revision> {
    Some(wire::Revision {
        epoch: revision.epoch,
        number: revision.number,
    })
}

pub(crate) fn revision(
    revision: Option<wire::Revision>,
    field: &'static str,
) -> Result<Revision, DecodeError> {
    let revision = revision.ok_or(DecodeError::Field(field))?;
    Ok(Revision {
        epoch: revision.epoch,
        number: revision.number,
    })
}

pub(super) fn hash(bytes: &[u8], field: &'static str) -> Result<Hash, DecodeError> {
    Hash::from_slice(bytes).ok_or(DecodeError::Field(field))
}

pub(super) fn name(text: &str) -> Result<Name, DecodeError> {
    Name::parse(text).map_err(|_| DecodeError::Field("name"))
}

pub(super) fn kind(text: &str) -> Result<Kind, DecodeError> {
    Kind::parse(text).ok_or(DecodeError::Field("kind"))
}

pub(super) fn edit_kind(text: &str) -> Result<edit::Kind, DecodeError> {
    edit::Kind::parse(text).ok_or(DecodeError::Field("kind"))
}

pub(super) fn to_scopes(scopes: &BTreeSet<Scope>) -> Vec<String> {
    scopes.iter().map(Scope::to_string).collect()
}

pub(super) fn scopes(texts: &[String]) -> Result<BTreeSet<Scope>, DecodeError> {
    texts
        .iter()
        .map(|text| text.parse().map_err(|_| DecodeError::Field("scopes")))
        .collect()
}

pub(super) fn to_feeds(feeds: &BTreeMap<Feed, FeedState>) -> Vec<wire::FeedState> {
    let feed = |(feed, state): (&Feed, &FeedState)| wire::FeedState {
        feed: feed.to_string(),
        revision: to_revision(state.revision),
        digest: state.digest.0.to_vec(),
    };
    feeds.iter().map(feed).collect()
}

pub(super) fn feeds(feeds: Vec<wire::FeedState>) -> Result<BTreeMap<Feed, FeedState>, DecodeError> {
    let feed = |state: wire::FeedState| {
        let feed = state
            .feed
            .parse()
            .map_err(|_| DecodeError::Field("feeds.feed"))?;
        let revision = revision(state.revision, "feeds.revision")?;
        Ok((
            feed,
            FeedState {
                revision,
                digest: hash(&state.digest, "feeds.digest")?,
            },
        ))
    };
    feeds.into_iter().map(feed).collect()
}
