//! Event, index and base: what subscribers read.

use prost::Message as _;
use writ_core::{
    envelope::PayloadType,
    event::Event,
    index::{Base, Change, Entry, Index, TAIL_LENGTH_MAX},
    name::Name,
    revision::{Generation, Revision},
    subject::BusSubject,
};

use super::{Payload, convert::*, wire};

impl Payload for Event {
    const TYPE: PayloadType = PayloadType::Event;

    fn subject(&self) -> BusSubject {
        Event::subject(self)
    }

    fn revision(&self) -> Option<Revision> {
        Some(self.revision)
    }

    fn encode(&self) -> Vec<u8> {
        wire::Event {
            subject: Event::subject(self).to_string(),
            revision: to_revision(self.revision),
            generation: self.generation.0,
            protocol: self.protocol,
            requires: self.requires.clone(),
            previous: to_revision(self.previous),
            digest: self.digest.0.to_vec(),
            scopes: to_scopes(&self.scopes),
            body: self.body.clone(),
        }
        .encode_to_vec()
    }

    fn decode(subject: &BusSubject, bytes: &[u8]) -> Result<Event, DecodeError> {
        let BusSubject::Event { feed, name } = subject else {
            return misplaced(subject);
        };
        let event: wire::Event = parse(bytes)?;
        check_subject(subject, &event.subject)?;
        Ok(Event {
            feed: feed.clone(),
            name: name.clone(),
            protocol: event.protocol,
            requires: event.requires,
            revision: revision(event.revision, "revision")?,
            generation: Generation(event.generation),
            previous: revision(event.previous, "previous")?,
            digest: hash(&event.digest, "digest")?,
            scopes: scopes(&event.scopes)?,
            body: event.body,
        })
    }
}

fn to_entry(entry: &Entry) -> wire::Entry {
    wire::Entry {
        generation: entry.generation.0,
        revision: to_revision(entry.revision),
        hash: entry.hash.0.to_vec(),
    }
}

fn entry(entry: wire::Entry) -> Result<Entry, DecodeError> {
    Ok(Entry {
        generation: Generation(entry.generation),
        revision: revision(entry.revision, "entry.revision")?,
        hash: hash(&entry.hash, "entry.hash")?,
    })
}

pub(crate) fn to_named_entry(name: &Name, entry: &Entry) -> wire::NamedEntry {
    wire::NamedEntry {
        name: name.to_string(),
        entry: Some(to_entry(entry)),
    }
}

pub(crate) fn named_entry(named: wire::NamedEntry) -> Result<(Name, Entry), DecodeError> {
    let found = named.entry.ok_or(DecodeError::Field("entries.entry"))?;
    Ok((name(&named.name)?, entry(found)?))
}

impl Payload for Index {
    const TYPE: PayloadType = PayloadType::Index;

    fn subject(&self) -> BusSubject {
        BusSubject::Index(self.feed.clone())
    }

    fn revision(&self) -> Option<Revision> {
        Some(self.revision)
    }

    fn encode(&self) -> Vec<u8> {
        let change = |change: &Change| wire::Change {
            name: change.name.to_string(),
            revision: to_revision(change.revision),
            entry: change.entry.as_ref().map(to_entry),
        };
        wire::Index {
            subject: self.subject().to_string(),
            revision: to_revision(self.revision),
            base_revision: to_revision(self.base_revision),
            base_digest: self.base_digest.0.to_vec(),
            tail: self.tail.iter().map(change).collect(),
        }
        .encode_to_vec()
    }

    fn decode(subject: &BusSubject, bytes: &[u8]) -> Result<Index, DecodeError> {
        let BusSubject::Index(feed) = subject else {
            return misplaced(subject);
        };
        let index: wire::Index = parse(bytes)?;
        check_subject(subject, &index.subject)?;
        if index.tail.len() > TAIL_LENGTH_MAX {
            return Err(DecodeError::Field("tail"));
        }
        let change = |change: wire::Change| {
            Ok(Change {
                name: name(&change.name)?,
                revision: revision(change.revision, "tail.revision")?,
                entry: change.entry.map(entry).transpose()?,
            })
        };
        Ok(Index {
            feed: feed.clone(),
            revision: revision(index.revision, "revision")?,
            base_revision: revision(index.base_revision, "base_revision")?,
            base_digest: hash(&index.base_digest, "base_digest")?,
            tail: index
                .tail
                .into_iter()
                .map(change)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Payload for Base {
    const TYPE: PayloadType = PayloadType::Base;

    fn subject(&self) -> BusSubject {
        BusSubject::Base(self.feed.clone())
    }

    fn revision(&self) -> Option<Revision> {
        Some(self.revision)
    }

    fn encode(&self) -> Vec<u8> {
        let named = |(name, entry): (&Name, &Entry)| to_named_entry(name, entry);
        wire::Base {
            subject: self.subject().to_string(),
            revision: to_revision(self.revision),
            entries: self.entries.iter().map(named).collect(),
        }
        .encode_to_vec()
    }

    fn decode(subject: &BusSubject, bytes: &[u8]) -> Result<Base, DecodeError> {
        let BusSubject::Base(feed) = subject else {
            return misplaced(subject);
        };
        let base: wire::Base = parse(bytes)?;
        check_subject(subject, &base.subject)?;
        Ok(Base {
            feed: feed.clone(),
            revision: revision(base.revision, "revision")?,
            entries: base
                .entries
                .into_iter()
                .map(named_entry)
                .collect::<Result<_, _>>()?,
        })
    }
}
