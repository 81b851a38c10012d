//! Enrolment: requests, which bring the keys that they are signed by, and their answers.

use prost::Message as _;
use writ_core::{
    enrol::{Answer, Fingerprint, Outcome, Refusal, Request, nkey},
    envelope::{self, Keyring, PayloadType, PublicKey, SigningKey},
    model::ClusterKeys,
    subject::BusSubject,
};

use super::{DecodeError, OpenError, Payload, Sealed, convert::*, read_envelope, wire};

/// Largest request, in bytes; the bus holds whoever asks to it as well.
const REQUEST_SIZE_MAX_BYTES: usize = 8 * 1024;

/// Signs a request for the subject that it is sent to: by both keys, and by the token.
pub fn seal_request(
    request: &Request,
    subject: &BusSubject,
    keys: [&SigningKey; 2],
    token: Option<&SigningKey>,
) -> Sealed {
    let payload = wire::EnrolRequest {
        subject: subject.to_string(),
        bus_key: request.keys.bus.clone(),
        ack_key: request.keys.ack.clone(),
        token_key: request.token.clone().unwrap_or_default(),
        nonce: request.nonce.to_vec(),
    };
    let signers: Vec<&SigningKey> = keys.into_iter().chain(token).collect();
    super::seal_payload_with(PayloadType::EnrolRequest, payload.encode_to_vec(), &signers)
}

/// Opens a request that was found under `subject`. The keys that have to have signed it are the ones that
/// it names, so that it is read before it is verified: what comes out proves that whoever asks has them.
///
/// # Errors
/// [`OpenError`]: nothing of it is to be used then.
pub fn open_request(subject: &BusSubject, bytes: &[u8]) -> Result<Request, OpenError> {
    if bytes.len() > REQUEST_SIZE_MAX_BYTES {
        return Err(OpenError::TooLarge(bytes.len()));
    }
    let envelope = read_envelope(bytes)?;
    let request = read(subject, &envelope.payload).map_err(OpenError::Payload)?;
    let field = |name| OpenError::Payload(DecodeError::Field(name));
    let bus = nkey::public(&request.keys.bus).ok_or(field("bus_key"))?;
    let ack = PublicKey::from_base64(&request.keys.ack).map_err(OpenError::Signature)?;
    if bus == ack {
        return Err(field("ack_key"));
    }
    let token = request.token.as_deref().map(PublicKey::from_base64);
    let token = token.transpose().map_err(OpenError::Signature)?;
    for key in [bus, ack].into_iter().chain(token) {
        let trusted = Keyring::new([key]);
        envelope::verify(envelope.clone(), PayloadType::EnrolRequest, &trusted)
            .map_err(OpenError::Signature)?;
    }
    Ok(request)
}

fn read(subject: &BusSubject, payload: &[u8]) -> Result<Request, DecodeError> {
    let cluster = match subject {
        BusSubject::Enrol(cluster) | BusSubject::Request(cluster) => cluster,
        BusSubject::Renew(sender) => &sender.cluster,
        _ => return misplaced(subject),
    };
    let request: wire::EnrolRequest = parse(payload)?;
    check_subject(subject, &request.subject)?;
    let has_token = !request.token_key.is_empty();
    if has_token != matches!(subject, BusSubject::Enrol(_)) {
        return Err(DecodeError::Field("token_key"));
    }
    Ok(Request {
        cluster: cluster.clone(),
        keys: ClusterKeys {
            bus: request.bus_key,
            ack: request.ack_key,
        },
        token: has_token.then_some(request.token_key),
        nonce: request
            .nonce
            .try_into()
            .map_err(|_| DecodeError::Field("nonce"))?,
    })
}

impl Payload for Answer {
    const TYPE: PayloadType = PayloadType::EnrolAnswer;

    fn subject(&self) -> BusSubject {
        BusSubject::Enrolled {
            cluster: self.cluster.clone(),
            nonce: self.nonce,
        }
    }

    fn encode(&self) -> Vec<u8> {
        use wire::enrol_answer::Outcome as Wire;
        let outcome = match &self.outcome {
            Outcome::Active {
                credentials,
                issued_s,
                expires_s,
            } => Wire::Active(wire::Credentials {
                token: credentials.clone(),
                issued_s: *issued_s,
                expires_s: *expires_s,
            }),
            Outcome::Waiting { fingerprint } => Wire::Waiting(fingerprint.to_string()),
            Outcome::Refused(refusal) => Wire::Refused(refusal.as_str().to_owned()),
        };
        wire::EnrolAnswer {
            subject: self.subject().to_string(),
            outcome: Some(outcome),
        }
        .encode_to_vec()
    }

    fn decode(subject: &BusSubject, bytes: &[u8]) -> Result<Answer, DecodeError> {
        use wire::enrol_answer::Outcome as Wire;
        let BusSubject::Enrolled { cluster, nonce } = subject else {
            return misplaced(subject);
        };
        let answer: wire::EnrolAnswer = parse(bytes)?;
        check_subject(subject, &answer.subject)?;
        let outcome = match answer.outcome.ok_or(DecodeError::Field("outcome"))? {
            Wire::Active(credentials) => Outcome::Active {
                credentials: credentials.token,
                issued_s: credentials.issued_s,
                expires_s: credentials.expires_s,
            },
            Wire::Waiting(text) => Outcome::Waiting {
                fingerprint: Fingerprint::parse(&text)
                    .map_err(|_| DecodeError::Field("waiting"))?,
            },
            Wire::Refused(text) => {
                Outcome::Refused(Refusal::parse(&text).ok_or(DecodeError::Field("refused"))?)
            }
        };
        Ok(Answer {
            cluster: cluster.clone(),
            nonce: *nonce,
            outcome,
        })
    }
}

#[cfg(test)]
mod tests {
    use writ_core::name::ClusterName;

    use super::*;
    use crate::log;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    fn cluster() -> ClusterName {
        ClusterName::parse("eu-prod-1").unwrap()
    }

    fn request(token: Option<&SigningKey>) -> Request {
        Request {
            cluster: cluster(),
            keys: ClusterKeys {
                bus: nkey::public_text(&key(1).public()),
                ack: key(2).public().to_base64(),
            },
            token: token.map(|token| token.public().to_base64()),
            nonce: [7; 16],
        }
    }

    #[test]
    fn a_request_is_believed_under_all_of_its_keys_and_its_own_subject() {
        let subject = BusSubject::Enrol(cluster());
        let token = key(3);
        let asked = request(Some(&token));
        let whole = seal_request(&asked, &subject, [&key(1), &key(2)], Some(&token));
        assert_eq!(open_request(&subject, &whole.bytes).unwrap(), asked);

        let missing = [
            seal_request(&asked, &subject, [&key(1), &key(4)], Some(&token)),
            seal_request(&asked, &subject, [&key(4), &key(2)], Some(&token)),
            seal_request(&asked, &subject, [&key(1), &key(2)], Some(&key(4))),
            seal_request(&asked, &subject, [&key(1), &key(2)], None),
        ];
        for sealed in missing {
            let refused = open_request(&subject, &sealed.bytes).unwrap_err();
            assert_eq!(refused.category(), "not_verified");
        }
        let elsewhere = BusSubject::Enrol(ClusterName::parse("eu-prod-2").unwrap());
        assert!(open_request(&elsewhere, &whole.bytes).is_err());
        assert!(open_request(&BusSubject::Request(cluster()), &whole.bytes).is_err());
        for at in 0..whole.bytes.len() {
            let mut flipped = whole.bytes.clone();
            flipped[at] ^= 1;
            // The bytes that name a signature's key are not signed: another name is no signature.
            assert!(open_request(&subject, &flipped).is_err(), "byte {at}");
        }
        // Without a token on the token's subject, and the other way round.
        let bare = request(None);
        let sealed = seal_request(&bare, &subject, [&key(1), &key(2)], None);
        assert!(open_request(&subject, &sealed.bytes).is_err());
        let subject = BusSubject::Request(cluster());
        let sealed = seal_request(&bare, &subject, [&key(1), &key(2)], None);
        assert_eq!(open_request(&subject, &sealed.bytes).unwrap(), bare);
    }

    #[test]
    fn an_answer_belongs_to_one_request() {
        let outcomes = [
            Outcome::Active {
                credentials: "token".into(),
                issued_s: 1,
                expires_s: 2,
            },
            Outcome::Waiting {
                fingerprint: request(None).fingerprint(),
            },
            Outcome::Refused(Refusal::TokenUsed),
        ];
        for outcome in outcomes {
            let answer = Answer {
                cluster: cluster(),
                nonce: [7; 16],
                outcome,
            };
            let sealed = log::seal(&answer, &key(9));
            let trusted = Keyring::new([key(9).public()]);
            let subject = answer.subject();
            let opened: Answer = log::open(&subject, &sealed.bytes, &trusted).unwrap().value;
            assert_eq!(opened, answer);
            let other = BusSubject::Enrolled {
                cluster: cluster(),
                nonce: [8; 16],
            };
            assert!(log::open::<Answer>(&other, &sealed.bytes, &trusted).is_err());
        }
    }
}
