//! What a cluster offers to a log that was lost, in parts.
//!
//! An offer is no signed message: whoever sends it is believed nothing. Every event, root and proof in
//! it is a publisher's, and is opened as such; entries count where a proof states their digest.

use prost::Message as _;
use writ_core::{
    index::{Entries, Entry},
    name::Name,
    revision::Revision,
    scope::Feed,
    subject::{BusSubject, Sender},
};

use crate::log::{self, DecodeError, MESSAGE_SIZE_MAX_BYTES, wire};

/// Most bytes of events and entries in a part: half of what the bus carries, so that one large event
/// fits beside them.
const PART_BYTES_MAX: usize = MESSAGE_SIZE_MAX_BYTES / 2;

/// Entries of a feed in a part; some 100 bytes each.
const ENTRIES_MAX: usize = 2_000;

/// What a feed held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedFeed {
    /// Which.
    pub feed: Feed,
    /// At which revision.
    pub revision: Revision,
    /// What was in force, or a part of it.
    pub entries: Entries,
    /// The signed event that states their digest; empty: the root of the offer does.
    pub proof: Vec<u8>,
    /// More entries of it follow.
    pub goes_on: bool,
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Who offers.
    pub sender: Sender,
    /// The recall that it answers.
    pub recall_ms: u64,
    /// From 0.
    pub part: u32,
    /// Nothing follows.
    pub is_last: bool,
    /// The root last read, as it was signed; in part 0.
    pub root: Vec<u8>,
    /// Feeds.
    pub feeds: Vec<OfferedFeed>,
    /// Signed events.
    pub events: Vec<Vec<u8>>,
}

impl Offer {
    /// Splits what is held into parts that the bus carries.
    pub fn parts(
        sender: &Sender,
        recall_ms: u64,
        root: Vec<u8>,
        feeds: Vec<OfferedFeed>,
        events: impl IntoIterator<Item = Vec<u8>>,
    ) -> Vec<Offer> {
        let empty = |part| Offer {
            sender: sender.clone(),
            recall_ms,
            part,
            is_last: false,
            root: Vec::new(),
            feeds: Vec::new(),
            events: Vec::new(),
        };
        let mut parts = vec![Offer { root, ..empty(0) }];
        for feed in feeds.into_iter().flat_map(split) {
            let part = room(&mut parts, feed.size(), empty);
            part.feeds.push(feed);
        }
        for event in events {
            let part = room(&mut parts, event.len(), empty);
            part.events.push(event);
        }
        if let Some(last) = parts.last_mut() {
            last.is_last = true;
        }
        parts
    }

    fn size(&self) -> usize {
        let feeds: usize = self.feeds.iter().map(OfferedFeed::size).sum();
        self.root.len() + feeds + self.events.iter().map(Vec::len).sum::<usize>()
    }

    /// The bytes of a part.
    pub fn encode(&self) -> Vec<u8> {
        let feed = |offered: &OfferedFeed| wire::OfferedFeed {
            feed: offered.feed.to_string(),
            revision: Some(to_revision(offered.revision)),
            entries: encode_entries(&offered.entries),
            proof: offered.proof.clone(),
            goes_on: offered.goes_on,
        };
        wire::Offer {
            subject: BusSubject::Offer(self.sender.clone()).to_string(),
            recall_ms: self.recall_ms,
            part: self.part,
            is_last: self.is_last,
            root: self.root.clone(),
            feeds: self.feeds.iter().map(feed).collect(),
            events: self.events.clone(),
        }
        .encode_to_vec()
    }

    /// Reads a part that came under a subject.
    ///
    /// # Errors
    /// [`DecodeError`]: it is none, or came from somebody else.
    pub fn decode(subject: &BusSubject, bytes: &[u8]) -> Result<Offer, DecodeError> {
        let BusSubject::Offer(sender) = subject else {
            return Err(DecodeError::Field("subject"));
        };
        let offer = wire::Offer::decode(bytes).map_err(DecodeError::Protobuf)?;
        if offer.subject != subject.to_string() {
            return Err(DecodeError::Subject {
                expected: subject.to_string(),
                found: offer.subject,
            });
        }
        let feed = |offered: wire::OfferedFeed| {
            Ok(OfferedFeed {
                feed: offered
                    .feed
                    .parse()
                    .map_err(|_| DecodeError::Field("feeds.feed"))?,
                revision: revision(offered.revision).ok_or(DecodeError::Field("feeds.revision"))?,
                entries: decode_entries(offered.entries)?,
                proof: offered.proof,
                goes_on: offered.goes_on,
            })
        };
        Ok(Offer {
            sender: sender.clone(),
            recall_ms: offer.recall_ms,
            part: offer.part,
            is_last: offer.is_last,
            root: offer.root,
            feeds: offer
                .feeds
                .into_iter()
                .map(feed)
                .collect::<Result<_, DecodeError>>()?,
            events: offer.events,
        })
    }
}

impl OfferedFeed {
    fn size(&self) -> usize {
        const ENTRY_BYTES: usize = 100;
        self.proof.len() + self.entries.len() * ENTRY_BYTES
    }
}

/// The part that still has room, or one more.
fn room(parts: &mut Vec<Offer>, bytes: usize, empty: impl Fn(u32) -> Offer) -> &mut Offer {
    let is_full = |part: &Offer| part.size() > 0 && part.size() + bytes > PART_BYTES_MAX;
    if parts.last().is_none_or(is_full) {
        parts.push(empty(u32::try_from(parts.len()).unwrap_or(u32::MAX)));
    }
    let last = parts.len() - 1;
    &mut parts[last]
}

fn split(offered: OfferedFeed) -> Vec<OfferedFeed> {
    let mut split = Vec::new();
    let mut rest: Vec<(Name, Entry)> = offered.entries.into_iter().collect();
    loop {
        let more = rest.split_off(rest.len().min(ENTRIES_MAX));
        split.push(OfferedFeed {
            feed: offered.feed.clone(),
            revision: offered.revision,
            entries: rest.into_iter().collect(),
            proof: offered.proof.clone(),
            goes_on: !more.is_empty(),
        });
        if more.is_empty() {
            return split;
        }
        rest = more;
    }
}

fn to_revision(revision: Revision) -> wire::Revision {
    wire::Revision {
        epoch: revision.epoch,
        number: revision.number,
    }
}

fn revision(revision: Option<wire::Revision>) -> Option<Revision> {
    revision.map(|revision| Revision {
        epoch: revision.epoch,
        number: revision.number,
    })
}

fn encode_entries(entries: &Entries) -> Vec<wire::NamedEntry> {
    entries
        .iter()
        .map(|(name, entry)| log::to_named_entry(name, entry))
        .collect()
}

fn decode_entries(entries: Vec<wire::NamedEntry>) -> Result<Entries, DecodeError> {
    entries.into_iter().map(log::named_entry).collect()
}

/// The bytes of a feed's entries, as a cluster keeps them.
pub fn entries_to_bytes(entries: &Entries) -> Vec<u8> {
    wire::OfferedFeed {
        entries: encode_entries(entries),
        ..wire::OfferedFeed::default()
    }
    .encode_to_vec()
}

/// Reads a feed's entries back. Whether they are true, their digest says.
///
/// # Errors
/// [`DecodeError`]: they are none.
pub fn entries_from_bytes(bytes: &[u8]) -> Result<Entries, DecodeError> {
    let kept = wire::OfferedFeed::decode(bytes).map_err(DecodeError::Protobuf)?;
    decode_entries(kept.entries)
}

#[cfg(test)]
mod tests {
    use writ_core::{hash::Hash, revision::Generation};

    use super::*;

    fn subject() -> BusSubject {
        BusSubject::parse("writ.offer.eu.prod.eu-prod-1").unwrap()
    }

    fn entries(count: usize) -> Entries {
        let entry = |at: usize| {
            let revision = Revision {
                epoch: 1,
                number: at as u64,
            };
            let entry = Entry {
                generation: Generation(1),
                revision,
                hash: Hash::of(b"x"),
            };
            (Name::parse(&format!("p{at}")).unwrap(), entry)
        };
        (0..count).map(entry).collect()
    }

    #[test]
    fn what_is_large_comes_in_parts_that_the_bus_carries_and_reads_back_whole() {
        let BusSubject::Offer(sender) = subject() else {
            panic!()
        };
        let all = entries(4_500);
        let feed = OfferedFeed {
            feed: "policy.eu.prod".parse().unwrap(),
            revision: Revision::START,
            entries: all.clone(),
            proof: vec![1; 300],
            goes_on: false,
        };
        let events = (0..40).map(|at| vec![at; 40_000]);
        let parts = Offer::parts(&sender, 7, vec![9; 100], vec![feed], events);
        assert!(parts.len() >= 4, "{}", parts.len());
        let (mut found, mut count) = (Entries::new(), 0);
        for (at, part) in parts.iter().enumerate() {
            let bytes = part.encode();
            assert!(bytes.len() < MESSAGE_SIZE_MAX_BYTES);
            let read = Offer::decode(&subject(), &bytes).unwrap();
            assert_eq!(&read, part);
            assert_eq!(
                (read.part as usize, read.is_last),
                (at, at == parts.len() - 1)
            );
            count += read.events.len();
            for feed in read.feeds {
                found.extend(feed.entries);
            }
        }
        assert_eq!((found, count), (all.clone(), 40));
        assert_eq!(entries_from_bytes(&entries_to_bytes(&all)).unwrap(), all);
    }

    #[test]
    fn an_offer_under_another_name_is_refused() {
        let BusSubject::Offer(sender) = subject() else {
            panic!()
        };
        let part = Offer::parts(&sender, 7, vec![], vec![], [])[0].encode();
        let other = BusSubject::parse("writ.offer.eu.prod.eu-prod-2").unwrap();
        assert!(Offer::decode(&other, &part).is_err());
        assert!(Offer::decode(&subject(), b"\xff").is_err());
    }
}
