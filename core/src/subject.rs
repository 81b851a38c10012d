//! The grammar of bus subjects: built and parsed in one place, so that what is signed, what is
//! permitted and what is subscribed can't drift apart.

use std::fmt;

use data_encoding::HEXLOWER;

use crate::{
    edit,
    name::{ClusterName, Name, Region, Stage},
    scope::{Feed, Kind, Scope},
};

/// A subject of the bus ("bus" because RBAC has subjects too).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BusSubject {
    /// `writ.intent.<kind>.<name>`: the edit as submitted, for publishers.
    Intent {
        /// Kind of what is edited.
        kind: edit::Kind,
        /// Its name.
        name: Name,
    },
    /// `writ.event.<kind>.<region>.<stage>.<name>`: what subscribers of the scope receive, stored.
    Event {
        /// The scope and kind.
        feed: Feed,
        /// Name of the policy or cluster.
        name: Name,
    },
    /// `writ.live.<kind>.…`: the same message republished after its commit.
    Live {
        /// The scope and kind.
        feed: Feed,
        /// Name of the policy or cluster.
        name: Name,
    },
    /// `writ.index.<kind>.<region>.<stage>`: what is in force in a feed (a base and the changes since).
    Index(Feed),
    /// `writ.base.<kind>.<region>.<stage>`: the base that an index refers to.
    Base(Feed),
    /// `writ.root`: one state of the whole log.
    Root,
    /// `writ.live.beat`: the publishers' signed statement of where the log is; not stored.
    Beat,
    /// `writ.ack.<region>.<stage>.<cluster>`.
    Ack(Sender),
    /// `writ.pulse.<region>.<stage>.<cluster>`; not stored.
    Pulse(Sender),
    /// `writ.live.recall`: a publisher asks the clusters what they hold above the log; not stored.
    Recall,
    /// `writ.offer.<region>.<stage>.<cluster>`: what a cluster holds of the log, as publishers signed it;
    /// not stored.
    Offer(Sender),
    /// `writ.enrol.<cluster>`: a cluster asks to be let in, by a token; not stored.
    Enrol(ClusterName),
    /// `writ.request.<cluster>`: a cluster asks without a secret; not stored.
    Request(ClusterName),
    /// `writ.renew.<region>.<stage>.<cluster>`: a cluster asks for new credentials as itself; not stored.
    Renew(Sender),
    /// `_INBOX.enrol.<cluster>.<nonce>`: the answer to a request of these three, wherever the request
    /// itself asked to be answered.
    Enrolled {
        /// Whom.
        cluster: ClusterName,
        /// The request's.
        nonce: [u8; 16],
    },
    /// `writ.event.trust.all.all.bundle`: the publishers' keys, signed offline. It stands where events of
    /// the whole fleet stand, so that every cluster may hear and read it, and is of no feed.
    Trust,
    /// `writ.live.trust.all.all.bundle`: the same message republished after its commit.
    LiveTrust,
    /// Not a subject of the bus: the opening of an epoch, which travels inside roots.
    Opening,
}

/// The cluster that speaks in an ack or a pulse.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sender {
    /// Its region.
    pub region: Region,
    /// Its stage.
    pub stage: Stage,
    /// Its name.
    pub cluster: ClusterName,
}

impl Sender {
    fn parse(tokens: [&str; 3]) -> Option<Sender> {
        Some(Sender {
            region: Region::parse(tokens[0]).ok()?,
            stage: Stage::parse(tokens[1]).ok()?,
            cluster: ClusterName::parse(tokens[2]).ok()?,
        })
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.region, self.stage, self.cluster)
    }
}

/// The text is not a subject of the bus.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a subject of the bus")]
pub struct NotASubject(String);

impl BusSubject {
    /// The stored subject of one name in one feed.
    pub fn event(feed: &Feed, name: &Name) -> BusSubject {
        BusSubject::Event {
            feed: feed.clone(),
            name: name.clone(),
        }
    }

    /// The subject that a message must name in its signed part: a republished event is checked under
    /// the name that it was stored under.
    pub fn signed_name(&self) -> BusSubject {
        match self {
            BusSubject::Live { feed, name } => BusSubject::event(feed, name),
            BusSubject::LiveTrust => BusSubject::Trust,
            other => other.clone(),
        }
    }

    /// Reads a subject; whatever does not fit the grammar exactly is refused.
    pub fn parse(text: &str) -> Result<BusSubject, NotASubject> {
        BusSubject::read(text).ok_or_else(|| NotASubject(text.to_owned()))
    }

    fn read(text: &str) -> Option<BusSubject> {
        let tokens: Vec<&str> = text.split('.').collect();
        let feed = |kind, region, stage| {
            Some(Feed {
                kind: Kind::parse(kind)?,
                scope: Scope::parse(region, stage).ok()?,
            })
        };
        Some(match *tokens.as_slice() {
            ["writ", "root"] => BusSubject::Root,
            ["writ", "event", "trust", "all", "all", "bundle"] => BusSubject::Trust,
            ["writ", "live", "trust", "all", "all", "bundle"] => BusSubject::LiveTrust,
            ["writ", "opening"] => BusSubject::Opening,
            ["writ", "live", "beat"] => BusSubject::Beat,
            ["writ", "live", "recall"] => BusSubject::Recall,
            ["writ", "intent", kind, name] => BusSubject::Intent {
                kind: edit::Kind::parse(kind)?,
                name: Name::parse(name).ok()?,
            },
            ["writ", "event", kind, region, stage, name] => BusSubject::Event {
                feed: feed(kind, region, stage)?,
                name: Name::parse(name).ok()?,
            },
            ["writ", "live", kind, region, stage, name] => BusSubject::Live {
                feed: feed(kind, region, stage)?,
                name: Name::parse(name).ok()?,
            },
            ["writ", "index", kind, region, stage] => BusSubject::Index(feed(kind, region, stage)?),
            ["writ", "base", kind, region, stage] => BusSubject::Base(feed(kind, region, stage)?),
            ["writ", "ack", region, stage, name] => {
                BusSubject::Ack(Sender::parse([region, stage, name])?)
            }
            ["writ", "pulse", region, stage, name] => {
                BusSubject::Pulse(Sender::parse([region, stage, name])?)
            }
            ["writ", "offer", region, stage, name] => {
                BusSubject::Offer(Sender::parse([region, stage, name])?)
            }
            ["writ", "enrol", name] => BusSubject::Enrol(ClusterName::parse(name).ok()?),
            ["writ", "request", name] => BusSubject::Request(ClusterName::parse(name).ok()?),
            ["writ", "renew", region, stage, name] => {
                BusSubject::Renew(Sender::parse([region, stage, name])?)
            }
            ["_INBOX", "enrol", name, nonce] => BusSubject::Enrolled {
                cluster: ClusterName::parse(name).ok()?,
                nonce: HEXLOWER.decode(nonce.as_bytes()).ok()?.try_into().ok()?,
            },
            _ => return None,
        })
    }
}

impl fmt::Display for BusSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BusSubject::Intent { kind, name } => write!(f, "writ.intent.{kind}.{name}"),
            BusSubject::Event { feed, name } => write!(f, "writ.event.{feed}.{name}"),
            BusSubject::Live { feed, name } => write!(f, "writ.live.{feed}.{name}"),
            BusSubject::Index(feed) => write!(f, "writ.index.{feed}"),
            BusSubject::Base(feed) => write!(f, "writ.base.{feed}"),
            BusSubject::Root => f.write_str("writ.root"),
            BusSubject::Beat => f.write_str("writ.live.beat"),
            BusSubject::Ack(sender) => write!(f, "writ.ack.{sender}"),
            BusSubject::Pulse(sender) => write!(f, "writ.pulse.{sender}"),
            BusSubject::Recall => f.write_str("writ.live.recall"),
            BusSubject::Offer(sender) => write!(f, "writ.offer.{sender}"),
            BusSubject::Trust => f.write_str("writ.event.trust.all.all.bundle"),
            BusSubject::LiveTrust => f.write_str("writ.live.trust.all.all.bundle"),
            BusSubject::Enrol(cluster) => write!(f, "writ.enrol.{cluster}"),
            BusSubject::Request(cluster) => write!(f, "writ.request.{cluster}"),
            BusSubject::Renew(sender) => write!(f, "writ.renew.{sender}"),
            BusSubject::Enrolled { cluster, nonce } => {
                write!(f, "_INBOX.enrol.{cluster}.{}", HEXLOWER.encode(nonce))
            }
            BusSubject::Opening => f.write_str("writ.opening"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_reads_back_as_it_was_written() {
        for text in [
            "writ.root",
            "writ.live.beat",
            "writ.intent.policy.payments",
            "writ.intent.access.editors",
            "writ.intent.token.ci",
            "writ.intent.proposal.payments",
            "writ.event.policy.eu.prod.payments",
            "writ.live.cluster.all.all.eu-prod-1",
            "writ.index.policy.all.stage",
            "writ.base.cluster.eu.all",
            "writ.ack.eu.prod.eu-prod-1",
            "writ.pulse.eu.prod.eu-prod-1",
            "writ.event.trust.all.all.bundle",
            "writ.live.trust.all.all.bundle",
            "writ.live.recall",
            "writ.offer.eu.prod.eu-prod-1",
            "writ.enrol.eu-prod-1",
            "writ.request.eu-prod-1",
            "writ.renew.eu.prod.eu-prod-1",
            "_INBOX.enrol.eu-prod-1.000102030405060708090a0b0c0d0e0f",
        ] {
            assert_eq!(BusSubject::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_does_not_fit_exactly_is_refused() {
        for text in [
            "",
            "writ",
            "writ.root.x",
            "writ.event.policy.eu.prod",
            "writ.event.policy.eu.prod.a.b",
            "writ.event.node.eu.prod.a",
            "writ.event.access.all.all.a",
            "writ.index.token.all.all",
            "writ.event.trust.eu.all.bundle",
            "writ.event.trust.all.all.other",
            "writ.event.policy.eu.prod.*",
            "writ.event.policy.eu.>.a",
            "writ.ack.all.prod.a",
            "writ.ack.eu.all.a",
            "Writ.root",
            "writ.enrol.*",
            "_INBOX.enrol.eu-prod-1.00",
            "writ..root",
        ] {
            assert!(BusSubject::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_live_message_is_checked_under_its_stored_name() {
        let live = BusSubject::parse("writ.live.policy.eu.prod.a").unwrap();
        assert_eq!(
            live.signed_name().to_string(),
            "writ.event.policy.eu.prod.a"
        );
    }
}
