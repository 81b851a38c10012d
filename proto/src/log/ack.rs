//! Acks and pulses: what clusters say.

use prost::Message as _;
use writ_core::{
    ack::{self, Ack, AckedEdit, Counts, Exception, Failure, Pulse, State},
    envelope::PayloadType,
    revision::Generation,
    subject::BusSubject,
};

use super::{Payload, convert::*, wire};

fn to_state(state: State) -> i32 {
    (match state {
        State::Received => wire::State::Received,
        State::Applied => wire::State::Applied,
        State::Refused => wire::State::Refused,
    })
    .into()
}

fn state(value: i32) -> Result<State, DecodeError> {
    match wire::State::try_from(value) {
        Ok(wire::State::Received) => Ok(State::Received),
        Ok(wire::State::Applied) => Ok(State::Applied),
        Ok(wire::State::Refused) => Ok(State::Refused),
        _ => Err(DecodeError::Field("state")),
    }
}

fn to_counts(counts: Counts) -> Option<wire::Counts> {
    let Counts {
        applied,
        pending,
        refused,
    } = counts;
    Some(wire::Counts {
        applied,
        pending,
        refused,
    })
}

fn counts(counts: Option<wire::Counts>) -> Result<Counts, DecodeError> {
    let wire::Counts {
        applied,
        pending,
        refused,
    } = counts.ok_or(DecodeError::Field("counts"))?;
    Ok(Counts {
        applied,
        pending,
        refused,
    })
}

fn to_exception(exception: &Exception) -> wire::Exception {
    wire::Exception {
        kind: exception.kind.to_string(),
        name: exception.name.to_string(),
        generation: exception.generation.0,
        revision: to_revision(exception.revision),
        state: to_state(exception.state),
        reason: exception.reason.clone(),
        message: exception.message.clone(),
    }
}

fn exception(exception: wire::Exception) -> Result<Exception, DecodeError> {
    Ok(Exception {
        kind: kind(&exception.kind)?,
        name: name(&exception.name)?,
        generation: Generation(exception.generation),
        revision: revision(exception.revision, "exceptions.revision")?,
        state: state(exception.state)?,
        reason: exception.reason,
        message: exception.message,
    })
}

fn to_edit(edit: &AckedEdit) -> wire::AckedEdit {
    let failure = |failure: &Failure| wire::Failure {
        object: failure.object.clone(),
        reason: failure.reason.clone(),
        message: failure.message.clone(),
    };
    wire::AckedEdit {
        kind: edit.kind.to_string(),
        name: edit.name.to_string(),
        generation: edit.generation.0,
        revision: to_revision(edit.revision),
        state: to_state(edit.state),
        removed: edit.removed,
        drift: edit.drift,
        received_ms: edit.received_ms,
        applied_ms: edit.applied_ms,
        failures: edit.failures.iter().map(failure).collect(),
    }
}

fn edit(edit: wire::AckedEdit) -> Result<AckedEdit, DecodeError> {
    if edit.failures.len() > ack::FAILURES_MAX {
        return Err(DecodeError::Field("edits.failures"));
    }
    let failure = |failure: wire::Failure| Failure {
        object: failure.object,
        reason: failure.reason,
        message: failure.message,
    };
    Ok(AckedEdit {
        kind: kind(&edit.kind)?,
        name: name(&edit.name)?,
        generation: Generation(edit.generation),
        revision: revision(edit.revision, "edits.revision")?,
        state: state(edit.state)?,
        removed: edit.removed,
        drift: edit.drift,
        received_ms: edit.received_ms,
        applied_ms: edit.applied_ms,
        failures: edit.failures.into_iter().map(failure).collect(),
    })
}

impl Payload for Ack {
    const TYPE: PayloadType = PayloadType::Ack;

    fn subject(&self) -> BusSubject {
        BusSubject::Ack(self.sender.clone())
    }

    fn encode(&self) -> Vec<u8> {
        wire::Ack {
            subject: self.subject().to_string(),
            revision: to_revision(self.revision),
            feeds: to_feeds(&self.feeds),
            counts: to_counts(self.counts),
            exceptions: self.exceptions.iter().map(to_exception).collect(),
            exceptions_total: self.exceptions_total,
            edits: self.edits.iter().map(to_edit).collect(),
            refused_messages: self.refused_messages,
            boot_id: self.boot_id.clone(),
            boot: self.boot,
            counter: self.counter,
            previous: self.previous.0.to_vec(),
            sent_ms: self.sent_ms,
            witness: self.witness.clone(),
        }
        .encode_to_vec()
    }

    fn decode(subject: &BusSubject, bytes: &[u8]) -> Result<Ack, DecodeError> {
        let BusSubject::Ack(sender) = subject else {
            return misplaced(subject);
        };
        let ack: wire::Ack = parse(bytes)?;
        check_subject(subject, &ack.subject)?;
        if ack.witness.len() > ack::WITNESS_BYTES_MAX {
            return Err(DecodeError::Field("witness"));
        }
        if ack.exceptions.len() > ack::EXCEPTIONS_MAX || ack.edits.len() > ack::EDITS_MAX {
            return Err(DecodeError::Field("exceptions or edits"));
        }
        Ok(Ack {
            sender: sender.clone(),
            revision: revision(ack.revision, "revision")?,
            feeds: feeds(ack.feeds)?,
            counts: counts(ack.counts)?,
            exceptions: ack
                .exceptions
                .into_iter()
                .map(exception)
                .collect::<Result<_, _>>()?,
            exceptions_total: ack.exceptions_total,
            edits: ack.edits.into_iter().map(edit).collect::<Result<_, _>>()?,
            refused_messages: ack.refused_messages,
            boot_id: ack.boot_id,
            boot: ack.boot,
            counter: ack.counter,
            previous: hash(&ack.previous, "previous")?,
            sent_ms: ack.sent_ms,
            witness: ack.witness,
        })
    }
}

impl Payload for Pulse {
    const TYPE: PayloadType = PayloadType::Pulse;

    fn subject(&self) -> BusSubject {
        BusSubject::Pulse(self.sender.clone())
    }

    fn encode(&self) -> Vec<u8> {
        wire::Pulse {
            subject: self.subject().to_string(),
            revision: to_revision(self.revision),
            feeds: to_feeds(&self.feeds),
            counts: to_counts(self.counts),
            ack_counter: self.ack_counter,
            version: self.version.clone(),
            kubernetes_version: self.kubernetes_version.clone(),
            stale: self.stale,
            sent_ms: self.sent_ms,
            boot_id: self.boot_id.clone(),
            period_ms: self.period_ms,
            ceiling: self.ceiling.map_or_else(Vec::new, |hash| hash.0.to_vec()),
            observing: self.observing,
            witness: self.witness.clone(),
            as_acked: self.as_acked,
        }
        .encode_to_vec()
    }

    fn decode(subject: &BusSubject, bytes: &[u8]) -> Result<Pulse, DecodeError> {
        let BusSubject::Pulse(sender) = subject else {
            return misplaced(subject);
        };
        let pulse: wire::Pulse = parse(bytes)?;
        check_subject(subject, &pulse.subject)?;
        if pulse.witness.len() > ack::WITNESS_BYTES_MAX {
            return Err(DecodeError::Field("witness"));
        }
        Ok(Pulse {
            sender: sender.clone(),
            revision: revision(pulse.revision, "revision")?,
            feeds: feeds(pulse.feeds)?,
            counts: counts(pulse.counts)?,
            ack_counter: pulse.ack_counter,
            version: pulse.version,
            kubernetes_version: pulse.kubernetes_version,
            stale: pulse.stale,
            sent_ms: pulse.sent_ms,
            boot_id: pulse.boot_id,
            period_ms: pulse.period_ms,
            ceiling: match pulse.ceiling.as_slice() {
                [] => None,
                bytes => Some(hash(bytes, "ceiling")?),
            },
            observing: pulse.observing,
            witness: pulse.witness,
            as_acked: pulse.as_acked,
        })
    }
}
