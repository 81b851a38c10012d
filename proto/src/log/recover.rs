//! Openings, recalls, and the witnesses that clusters show of where the log was.

use std::collections::BTreeMap;

use prost::Message as _;
use writ_core::{
    beat::Beat,
    envelope::{Keyring, PayloadType},
    epoch::{EPOCHS_STATED_MAX, FEEDS_STATED_MAX, Opening, Recovered},
    event::Event,
    hash::Hash,
    name::ClusterName,
    recover::{RECALLED_MAX, Recall},
    revision::Revision,
    root::{FeedState, Root},
    scope::Feed,
    subject::BusSubject,
};

use super::{OpenError, Payload, convert::*, open, read_envelope, wire};

impl Payload for Opening {
    const TYPE: PayloadType = PayloadType::Opening;

    fn subject(&self) -> BusSubject {
        BusSubject::Opening
    }

    fn encode(&self) -> Vec<u8> {
        wire::Opening {
            subject: self.subject().to_string(),
            revision: to_revision(self.revision),
            feeds: self.feeds.0.to_vec(),
            opened_ms: self.opened_ms,
            recovered: self.recovered.as_ref().map(to_recovered),
        }
        .encode_to_vec()
    }

    fn decode(subject: &BusSubject, bytes: &[u8]) -> Result<Opening, DecodeError> {
        let opening: wire::Opening = parse(bytes)?;
        check_subject(subject, &opening.subject)?;
        Ok(Opening {
            revision: revision(opening.revision, "revision")?,
            feeds: hash(&opening.feeds, "feeds")?,
            opened_ms: opening.opened_ms,
            recovered: opening.recovered.map(recovered).transpose()?,
        })
    }
}

fn to_recovered(recovered: &Recovered) -> wire::Recovered {
    let lists = |lists: &[Revision]| lists.iter().copied().filter_map(to_revision).collect();
    let feed = |(feed, own): (&Feed, &Vec<Revision>)| wire::RecoveredFeed {
        feed: feed.to_string(),
        lists: lists(own),
    };
    wire::Recovered {
        log: lists(&recovered.log),
        feeds: recovered.feeds.iter().map(feed).collect(),
    }
}

fn recovered(stated: wire::Recovered) -> Result<Recovered, DecodeError> {
    if stated.feeds.len() > FEEDS_STATED_MAX {
        return Err(DecodeError::Field("recovered.feeds"));
    }
    let mut feeds = BTreeMap::new();
    for own in stated.feeds {
        let feed = own.feed.parse();
        let feed = feed.map_err(|_| DecodeError::Field("recovered.feed"))?;
        feeds.insert(feed, lists(own.lists)?);
    }
    let log = lists(stated.log)?;
    Ok(Recovered { log, feeds })
}

/// One of each epoch, in their order, and one at least.
fn lists(stated: Vec<wire::Revision>) -> Result<Vec<Revision>, DecodeError> {
    let field = "recovered.lists";
    let lists = stated.into_iter().map(|list| revision(Some(list), field));
    let lists = lists.collect::<Result<Vec<Revision>, _>>()?;
    let is_good = (1..=EPOCHS_STATED_MAX).contains(&lists.len())
        && lists.is_sorted_by(|a, b| a.epoch < b.epoch);
    is_good.then_some(lists).ok_or(DecodeError::Field(field))
}

impl Payload for Recall {
    const TYPE: PayloadType = PayloadType::Recall;

    fn subject(&self) -> BusSubject {
        BusSubject::Recall
    }

    fn encode(&self) -> Vec<u8> {
        wire::Recall {
            subject: self.subject().to_string(),
            above: to_revision(self.above),
            clusters: self.clusters.iter().map(ToString::to_string).collect(),
            feeds: self.feeds.iter().map(ToString::to_string).collect(),
            issued_ms: self.issued_ms,
        }
        .encode_to_vec()
    }

    fn decode(subject: &BusSubject, bytes: &[u8]) -> Result<Recall, DecodeError> {
        let recall: wire::Recall = parse(bytes)?;
        check_subject(subject, &recall.subject)?;
        if recall.clusters.len() > RECALLED_MAX {
            return Err(DecodeError::Field("clusters"));
        }
        let cluster =
            |name: &String| ClusterName::parse(name).map_err(|_| DecodeError::Field("clusters"));
        let feed = |feed: &String| {
            feed.parse::<Feed>()
                .map_err(|_| DecodeError::Field("feeds"))
        };
        Ok(Recall {
            above: revision(recall.above, "above")?,
            clusters: recall
                .clusters
                .iter()
                .map(cluster)
                .collect::<Result<_, _>>()?,
            feeds: recall.feeds.iter().map(feed).collect::<Result<_, _>>()?,
            issued_ms: recall.issued_ms,
        })
    }
}

/// Opens the opening inside a root, which has to be signed by the offline key and be of the root's own
/// epoch; nothing where the root carries none.
///
/// # Errors
/// [`OpenError`]: the root is not to be followed into its epoch.
pub fn open_opening(root: &Root, offline: &Keyring) -> Result<Option<Opening>, OpenError> {
    let Some(bytes) = &root.opening else {
        return Ok(None);
    };
    let opening = open::<Opening>(&BusSubject::Opening, bytes, offline)?.value;
    if opening.revision.epoch == root.revision.epoch {
        Ok(Some(opening))
    } else {
        Err(OpenError::Payload(DecodeError::Field("opening")))
    }
}

/// What a witness shows: the log was there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// It had this revision.
    pub revision: Revision,
    /// With this root, if the witness is a beat.
    pub root: Option<Hash>,
}

/// Opens what a cluster shows of a publisher's words: a beat, a root or an event. It counts by the publisher's
/// signature alone, whoever hands it on.
///
/// # Errors
/// [`OpenError`]: it shows nothing.
pub fn open_witness(bytes: &[u8], publishers: &Keyring) -> Result<Witness, OpenError> {
    let envelope = read_envelope(bytes)?;
    if envelope.payload_type == PayloadType::Beat.as_str() {
        let beat = open::<Beat>(&BusSubject::Beat, bytes, publishers)?.value;
        return Ok(Witness {
            revision: beat.revision,
            root: Some(beat.root),
        });
    }
    if envelope.payload_type == PayloadType::Root.as_str() {
        let opened = open::<Root>(&BusSubject::Root, bytes, publishers)?;
        return Ok(Witness {
            revision: opened.value.revision,
            root: Some(opened.hash),
        });
    }
    let event = open_event(bytes, publishers)?;
    Ok(Witness {
        revision: event.revision,
        root: None,
    })
}

/// The witness that an ack or a pulse carries, before anybody believed either: it counts by its own
/// signature, so that of a cluster that nobody knows counts, too.
pub fn claimed_witness(bytes: &[u8]) -> Option<Vec<u8>> {
    let envelope = read_envelope(bytes).ok()?;
    let payload = envelope.payload.as_slice();
    let witness = match envelope.payload_type {
        of if of == PayloadType::Ack.as_str() => wire::Ack::decode(payload).ok()?.witness,
        of if of == PayloadType::Pulse.as_str() => wire::Pulse::decode(payload).ok()?.witness,
        _ => return None,
    };
    (!witness.is_empty() && witness.len() <= writ_core::ack::WITNESS_BYTES_MAX).then_some(witness)
}

/// What an ack or a pulse claims that its cluster holds, before anybody believed it: says whom to ask,
/// and nothing else.
pub fn claimed_state(bytes: &[u8]) -> Option<(Revision, BTreeMap<Feed, FeedState>)> {
    let envelope = read_envelope(bytes).ok()?;
    let payload = envelope.payload.as_slice();
    let (at, held) = match envelope.payload_type {
        of if of == PayloadType::Ack.as_str() => {
            let ack = wire::Ack::decode(payload).ok()?;
            (ack.revision, ack.feeds)
        }
        of if of == PayloadType::Pulse.as_str() => {
            let pulse = wire::Pulse::decode(payload).ok()?;
            (pulse.revision, pulse.feeds)
        }
        _ => return None,
    };
    Some((revision(at, "revision").ok()?, feeds(held).ok()?))
}

/// Opens a signed event under the subject that it names itself: for bytes that were kept or offered
/// without it.
///
/// # Errors
/// [`OpenError`]: nothing of it is to be used then.
pub fn open_event(bytes: &[u8], publishers: &Keyring) -> Result<Event, OpenError> {
    let unnamed = || OpenError::Payload(DecodeError::Field("subject"));
    let claimed = super::claimed_subject(bytes).ok_or_else(unnamed)?;
    let subject = BusSubject::parse(&claimed).map_err(|_| unnamed())?;
    Ok(open::<Event>(&subject, bytes, publishers)?.value)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use writ_core::envelope::SigningKey;

    use super::*;
    use crate::log::seal;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    fn ring(seed: u8) -> Keyring {
        Keyring::new([key(seed).public()])
    }

    fn root(epoch: u64) -> Root {
        Root {
            revision: Revision { epoch, number: 70 },
            feeds: BTreeMap::new(),
            ..Root::default()
        }
    }

    fn signed(root: &Root, by: u8) -> Option<Arc<[u8]>> {
        Some(seal(&Opening::of(root, 5), &key(by)).bytes.into())
    }

    #[test]
    fn an_opening_counts_under_the_offline_key_and_in_a_root_of_its_epoch_only() {
        let (offline, publisher) = (9, 1);
        let mut second = root(2);
        assert_eq!(open_opening(&second, &ring(offline)).unwrap(), None);
        second.opening = signed(&second, offline);
        let opened = open_opening(&second, &ring(offline)).unwrap();
        assert_eq!(opened, Some(Opening::of(&second, 5)));
        // A root reads back with it.
        let sealed = seal(&second, &key(publisher)).bytes;
        let read = open::<Root>(&BusSubject::Root, &sealed, &ring(publisher)).unwrap();
        assert_eq!(read.value, second);

        // What it was recovered from is read back; lists that are not in order are not believed.
        let at = |epoch| Revision { epoch, number: 7 };
        let stated = |own: Vec<Revision>| {
            let feeds = BTreeMap::from([("policy.eu.prod".parse().unwrap(), own)]);
            let log = vec![at(1)];
            let recovered = Some(Recovered { log, feeds });
            let opening = Opening {
                recovered,
                ..Opening::of(&root(2), 5)
            };
            let bytes = seal(&opening, &key(offline)).bytes;
            (
                opening,
                Root {
                    opening: Some(bytes.into()),
                    ..root(2)
                },
            )
        };
        let (opening, whole) = stated(vec![at(1), at(3)]);
        assert_eq!(open_opening(&whole, &ring(offline)).unwrap(), Some(opening));
        for bad in [vec![], vec![at(3), at(1)], vec![at(1), at(1)]] {
            assert!(open_opening(&stated(bad).1, &ring(offline)).is_err());
        }

        second.opening = signed(&second, publisher);
        assert!(
            open_opening(&second, &ring(offline)).is_err(),
            "a publisher opens nothing"
        );
        let mut third = root(3);
        third.opening = signed(&root(2), offline);
        assert!(
            open_opening(&third, &ring(offline)).is_err(),
            "of another epoch"
        );
    }

    #[test]
    fn a_witness_is_a_beat_or_an_event_of_a_publisher_and_of_nobody_else() {
        let beat = Beat {
            revision: Revision {
                epoch: 1,
                number: 7,
            },
            root: Hash::of(b"root"),
            issued_ms: 0,
            expires_after_ms: 1,
            publisher: "publisher-1".into(),
        };
        let bytes = seal(&beat, &key(1)).bytes;
        let shown = open_witness(&bytes, &ring(1)).unwrap();
        assert_eq!(
            (shown.revision, shown.root),
            (beat.revision, Some(beat.root))
        );
        let by_cluster = seal(&beat, &key(3)).bytes;
        assert!(open_witness(&by_cluster, &ring(1)).is_err());
        assert!(open_witness(&bytes[..bytes.len() - 1], &ring(1)).is_err());
        assert!(open_witness(b"", &ring(1)).is_err());
    }
}
