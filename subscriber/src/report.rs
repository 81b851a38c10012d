//! What the cluster says of itself: acks, chained and kept before they are sent, and pulses.
//!
//! Builds and signs; the caller stores and sends. Promises that an ack which was made is never
//! contradicted by another one of the same counter: it is kept as it is, and sent again as it is.

use writ_core::{
    ack::{self, Ack, AckedEdit, Failure, Pulse, State},
    envelope::{Keyring, SigningKey},
    follower::{Key, Standing, Summary},
    hash::Hash,
    revision::{Generation, Revision},
    subject::{BusSubject, Sender},
};
use writ_proto::log::{self, Sealed};

/// The voice of one cluster.
pub(crate) struct Reporter {
    sender: Sender,
    key: SigningKey,
    boot_id: String,
    boot: u64,
    counter: u64,
    previous: Hash,
    edits: Vec<AckedEdit>,
    acked: Option<(Summary, Vec<AckedEdit>, u64)>,
    /// The newest of a publisher's words that is held; goes out with whatever is said next.
    witness: Vec<u8>,
}

/// One edit as the reporter is told of it.
pub(crate) struct Told<'a> {
    pub(crate) key: &'a Key,
    pub(crate) generation: Generation,
    pub(crate) revision: Revision,
    pub(crate) removed: bool,
    pub(crate) drift: bool,
    pub(crate) standing: &'a Standing,
    pub(crate) received_ms: u64,
    pub(crate) applied_ms: u64,
}

/// What a pulse says besides how far the cluster has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Health<'a> {
    pub(crate) stale: bool,
    pub(crate) kubernetes_version: &'a str,
    pub(crate) period_ms: u64,
    pub(crate) ceiling: Option<Hash>,
    pub(crate) observing: bool,
}

impl Reporter {
    /// Goes on where the last ack of this cluster ended, if it kept one.
    pub(crate) fn new(
        sender: Sender,
        key: SigningKey,
        boot_id: String,
        boot: u64,
        last: Option<&[u8]>,
    ) -> Reporter {
        let own = Keyring::new([key.public()]);
        let subject = BusSubject::Ack(sender.clone());
        let last = last.and_then(|bytes| match log::open::<Ack>(&subject, bytes, &own) {
            Ok(opened) => Some(opened),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(
                    error,
                    "the last ack kept in the cluster can't be read: the chain starts anew"
                );
                None
            }
        });
        Reporter {
            sender,
            key,
            boot_id,
            boot,
            counter: last.as_ref().map_or(0, |last| last.value.counter),
            previous: last.as_ref().map_or(Hash([0; 32]), |last| last.hash),
            edits: last.map(|last| last.value.edits).unwrap_or_default(),
            acked: None,
            witness: Vec::new(),
        }
    }

    /// From now on shows this of where the log was.
    pub(crate) fn show(&mut self, witness: &[u8]) {
        witness.clone_into(&mut self.witness);
    }

    /// Remembers what became of an edit, in place of what was known of it.
    pub(crate) fn tell(&mut self, told: Told<'_>) {
        let Told { key, standing, .. } = told;
        let failures = standing.failures.iter().take(ack::FAILURES_MAX);
        let edit = AckedEdit {
            kind: key.0,
            name: key.1.clone(),
            generation: told.generation,
            revision: told.revision,
            state: standing.state,
            removed: told.removed,
            drift: told.drift,
            received_ms: told.received_ms,
            applied_ms: told.applied_ms,
            failures: failures
                .map(|failure| Failure {
                    message: cut(&failure.message),
                    ..failure.clone()
                })
                .collect(),
        };
        // Said already: in another place it would be another ack, with each attempt that fails alike.
        if self.edits.contains(&edit) {
            return;
        }
        self.edits.retain(|known| {
            (known.kind, &known.name) != (edit.kind, &edit.name)
                || known.drift != edit.drift
                || (!edit.drift && known.revision != edit.revision)
        });
        self.edits.push(edit);
        let more = self.edits.len().saturating_sub(ack::EDITS_MAX);
        self.edits.drain(..more);
    }

    /// Remembers what became of an edit after it was first told: when it was received is taken from
    /// there where the caller does not know it any more, after a restart, and when it was applied
    /// first stays. An edit that was never told is not told now.
    pub(crate) fn tell_again(&mut self, mut told: Told<'_>) {
        let is_known = |edit: &&AckedEdit| {
            let name = (edit.kind, &edit.name) == (told.key.0, &told.key.1);
            name && !edit.drift && edit.revision == told.revision
        };
        let known = self.edits.iter().find(is_known);
        if told.received_ms == 0 {
            told.received_ms = known.map_or(0, |edit| edit.received_ms);
        }
        let is_applied = |state| state == State::Applied;
        let both = known.filter(|edit| is_applied(edit.state) && is_applied(told.standing.state));
        if told.received_ms > 0 && both.is_none() {
            self.tell(told);
        }
    }

    /// The next ack, signed, if there is anything new to say.
    pub(crate) fn ack(&mut self, summary: Summary, refused: u64, now_ms: u64) -> Option<Sealed> {
        let now = (summary, self.edits.clone(), refused);
        if self.acked.as_ref() == Some(&now) {
            return None;
        }
        let (summary, edits, refused_messages) = now.clone();
        self.acked = Some(now);
        self.counter += 1;
        let exceptions_total = u32::try_from(summary.exceptions.len()).unwrap_or(u32::MAX);
        let mut exceptions = summary.exceptions;
        exceptions.truncate(ack::EXCEPTIONS_MAX);
        for exception in &mut exceptions {
            exception.message = cut(&exception.message);
        }
        let sealed = log::seal(
            &Ack {
                sender: self.sender.clone(),
                revision: summary.revision,
                feeds: summary.feeds,
                counts: summary.counts,
                exceptions,
                exceptions_total,
                edits,
                refused_messages,
                boot_id: self.boot_id.clone(),
                boot: self.boot,
                counter: self.counter,
                previous: self.previous,
                sent_ms: now_ms,
                witness: self.witness.clone(),
            },
            &self.key,
        );
        self.previous = sealed.hash;
        Some(sealed)
    }

    /// A signed pulse.
    pub(crate) fn pulse(&self, summary: Summary, health: Health<'_>, now_ms: u64) -> Vec<u8> {
        let acked = self.acked.as_ref().map(|(said, ..)| &said.exceptions);
        let pulse = Pulse {
            as_acked: acked == Some(&summary.exceptions),
            sender: self.sender.clone(),
            revision: summary.revision,
            feeds: summary.feeds,
            counts: summary.counts,
            ack_counter: self.counter,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kubernetes_version: health.kubernetes_version.to_owned(),
            stale: health.stale,
            sent_ms: now_ms,
            boot_id: self.boot_id.clone(),
            period_ms: health.period_ms,
            ceiling: health.ceiling,
            observing: health.observing,
            witness: self.witness.clone(),
        };
        log::seal(&pulse, &self.key).bytes
    }
}

/// Keeps a message within the limit of an ack, at a character's boundary.
fn cut(message: &str) -> String {
    let mut end = message.len().min(ack::MESSAGE_LENGTH_MAX_BYTES);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use writ_core::{ack::Exception, name::*, scope::Kind};

    use super::*;

    fn sender() -> Sender {
        Sender {
            region: Region::parse("eu").unwrap(),
            stage: Stage::parse("prod").unwrap(),
            cluster: ClusterName::parse("eu-prod-1").unwrap(),
        }
    }

    fn key() -> SigningKey {
        SigningKey::from_seed(&[7; 32])
    }

    fn read(sealed: &Sealed) -> Ack {
        let trusted = Keyring::new([key().public()]);
        log::open(&BusSubject::Ack(sender()), &sealed.bytes, &trusted)
            .unwrap()
            .value
    }

    fn tell(reporter: &mut Reporter, number: u64) {
        let key = (Kind::Policy, Name::parse(&format!("p{number}")).unwrap());
        reporter.tell(Told {
            key: &key,
            generation: Generation(1),
            revision: Revision { epoch: 1, number },
            removed: false,
            drift: false,
            standing: &Standing::applied(),
            received_ms: 1,
            applied_ms: 2,
        });
    }

    #[test]
    fn acks_chain_also_over_a_restart_and_say_nothing_twice() {
        let mut reporter = Reporter::new(sender(), key(), "a".into(), 1, None);
        tell(&mut reporter, 1);
        let first = reporter.ack(Summary::default(), 0, 5).unwrap();
        assert!(reporter.ack(Summary::default(), 0, 6).is_none());
        tell(&mut reporter, 2);
        let second = reporter.ack(Summary::default(), 0, 7).unwrap();
        assert_eq!(read(&second).previous, first.hash);

        let mut after = Reporter::new(sender(), key(), "b".into(), 2, Some(&second.bytes));
        let third = read(&after.ack(Summary::default(), 0, 8).unwrap());
        assert_eq!((third.counter, third.previous), (3, second.hash));
        assert_eq!(third.edits.len(), 2);
    }

    #[test]
    fn an_edit_that_is_applied_later_is_told_so_also_after_a_restart() {
        let mut reporter = Reporter::new(sender(), key(), "a".into(), 1, None);
        let name: Key = (Kind::Policy, Name::parse("p").unwrap());
        let pending = Standing {
            state: State::Received,
            ..Standing::applied()
        };
        let told = |standing, received_ms, applied_ms| Told {
            key: &name,
            generation: Generation(1),
            revision: Revision::START,
            removed: false,
            drift: false,
            standing,
            received_ms,
            applied_ms,
        };
        reporter.tell(told(&pending, 5, 0));
        let ack = reporter.ack(Summary::default(), 0, 6).unwrap();
        let mut after = Reporter::new(sender(), key(), "b".into(), 2, Some(&ack.bytes));
        let applied = Standing::applied();
        after.tell_again(told(&applied, 0, 9));
        let edits = read(&after.ack(Summary::default(), 0, 10).unwrap()).edits;
        let [edit] = edits.as_slice() else {
            panic!("{edits:?}")
        };
        assert_eq!(
            (edit.state, edit.received_ms, edit.applied_ms),
            (State::Applied, 5, 9)
        );
        // Applied once, it is no news again; and what was never told is not told now.
        after.tell_again(told(&applied, 0, 11));
        let other: Key = (Kind::Policy, Name::parse("q").unwrap());
        let unknown = Told {
            key: &other,
            ..told(&applied, 0, 12)
        };
        after.tell_again(unknown);
        assert!(after.ack(Summary::default(), 0, 13).is_none());
    }

    #[test]
    fn a_pulse_says_whether_anything_but_the_position_has_changed_since_the_ack() {
        let waits = |name: &str| Summary {
            exceptions: vec![Exception {
                kind: Kind::Policy,
                name: Name::parse(name).unwrap(),
                generation: Generation(1),
                revision: Revision::START,
                state: State::Received,
                reason: "Waiting".to_owned(),
                message: String::new(),
            }],
            ..Summary::default()
        };
        let health = Health {
            stale: false,
            kubernetes_version: "v1.36.3",
            period_ms: 1_000,
            ceiling: None,
            observing: false,
        };
        let as_acked = |reporter: &Reporter, name: &str| {
            let bytes = reporter.pulse(waits(name), health, 9);
            let trusted = Keyring::new([key().public()]);
            let subject = BusSubject::Pulse(sender());
            let pulse = log::open::<Pulse>(&subject, &bytes, &trusted).unwrap();
            pulse.value.as_acked
        };
        let mut reporter = Reporter::new(sender(), key(), "a".into(), 1, None);
        assert!(!as_acked(&reporter, "p"), "nothing was said in this run");
        reporter.ack(waits("p"), 0, 5).unwrap();
        assert!(as_acked(&reporter, "p"));
        assert!(!as_acked(&reporter, "q"), "as many wait, and others");
    }

    #[test]
    fn only_the_newest_edits_are_listed() {
        let mut reporter = Reporter::new(sender(), key(), "a".into(), 1, None);
        for number in 1..40 {
            tell(&mut reporter, number);
        }
        let ack = read(&reporter.ack(Summary::default(), 0, 5).unwrap());
        assert_eq!(ack.edits.len(), ack::EDITS_MAX);
        assert_eq!(ack.edits.last().unwrap().revision.number, 39);
    }

    #[test]
    fn what_fails_again_as_before_is_no_news() {
        let mut reporter = Reporter::new(sender(), key(), "a".into(), 1, None);
        tell(&mut reporter, 1);
        tell(&mut reporter, 2);
        assert!(reporter.ack(Summary::default(), 0, 5).is_some());
        tell(&mut reporter, 1);
        assert!(reporter.ack(Summary::default(), 0, 6).is_none());
    }
}
