//! Intent, root and beat: what publishers write about the log.

use prost::Message as _;
use writ_core::{
    beat::Beat,
    edit::Intent,
    enrol::{REVOKED_MAX, Revoked},
    envelope::PayloadType,
    revision::{Generation, Revision},
    root::{self, Root, RootEdit},
    subject::BusSubject,
};

use super::{Payload, convert::*, wire};

impl Payload for Intent {
    const TYPE: PayloadType = PayloadType::Intent;

    fn subject(&self) -> BusSubject {
        BusSubject::Intent {
            kind: self.kind,
            name: self.name.clone(),
        }
    }

    fn revision(&self) -> Option<Revision> {
        Some(self.revision)
    }

    fn encode(&self) -> Vec<u8> {
        wire::Intent {
            subject: self.subject().to_string(),
            revision: to_revision(self.revision),
            generation: self.generation.0,
            request_id: self.request_id.clone(),
            manifest: self.manifest.clone().unwrap_or_default(),
            scopes: to_scopes(&self.scopes),
            author: self.author.clone(),
            reason: self.reason.clone(),
            inlet: self.inlet.clone(),
            committed_ms: self.committed_ms,
            targets: self.targets.clone(),
            revoked: self.revoked.iter().map(to_revoked).collect(),
        }
        .encode_to_vec()
    }

    fn decode(subject: &BusSubject, bytes: &[u8]) -> Result<Intent, DecodeError> {
        let BusSubject::Intent { kind, name } = subject else {
            return misplaced(subject);
        };
        let intent: wire::Intent = parse(bytes)?;
        check_subject(subject, &intent.subject)?;
        Ok(Intent {
            kind: *kind,
            name: name.clone(),
            revision: revision(intent.revision, "revision")?,
            generation: Generation(intent.generation),
            request_id: intent.request_id,
            manifest: (!intent.manifest.is_empty()).then_some(intent.manifest),
            scopes: scopes(&intent.scopes)?,
            author: intent.author,
            reason: intent.reason,
            inlet: intent.inlet,
            committed_ms: intent.committed_ms,
            targets: intent.targets,
            revoked: revoked(intent.revoked)?,
        })
    }
}

fn to_revoked(revoked: &Revoked) -> wire::RevokedKey {
    wire::RevokedKey {
        bus: revoked.bus.clone(),
        at_ms: revoked.at_ms,
    }
}

fn revoked(keys: Vec<wire::RevokedKey>) -> Result<Vec<Revoked>, DecodeError> {
    if keys.len() > REVOKED_MAX {
        return Err(DecodeError::Field("revoked"));
    }
    let key = |key: wire::RevokedKey| Revoked {
        bus: key.bus,
        at_ms: key.at_ms,
    };
    Ok(keys.into_iter().map(key).collect())
}

impl Payload for Root {
    const TYPE: PayloadType = PayloadType::Root;

    fn subject(&self) -> BusSubject {
        BusSubject::Root
    }

    fn revision(&self) -> Option<Revision> {
        Some(self.revision)
    }

    fn encode(&self) -> Vec<u8> {
        let edit = |edit: &RootEdit| wire::RootEdit {
            revision: to_revision(edit.revision),
            request_id: edit.request_id.clone(),
            kind: edit.kind.to_string(),
            name: edit.name.to_string(),
            generation: edit.generation.0,
        };
        wire::Root {
            subject: self.subject().to_string(),
            revision: to_revision(self.revision),
            feeds: to_feeds(&self.feeds),
            edits: self.edits.iter().map(edit).collect(),
            opening: self.opening.as_deref().unwrap_or_default().to_vec(),
            trust: self.trust,
        }
        .encode_to_vec()
    }

    fn decode(subject: &BusSubject, bytes: &[u8]) -> Result<Root, DecodeError> {
        let root: wire::Root = parse(bytes)?;
        check_subject(subject, &root.subject)?;
        if root.edits.len() > root::EDITS_MAX {
            return Err(DecodeError::Field("edits"));
        }
        let edit = |edit: wire::RootEdit| {
            Ok(RootEdit {
                revision: revision(edit.revision, "edits.revision")?,
                request_id: edit.request_id,
                kind: edit_kind(&edit.kind)?,
                name: name(&edit.name)?,
                generation: Generation(edit.generation),
            })
        };
        Ok(Root {
            revision: revision(root.revision, "revision")?,
            feeds: feeds(root.feeds)?,
            edits: root.edits.into_iter().map(edit).collect::<Result<_, _>>()?,
            opening: (!root.opening.is_empty()).then(|| root.opening.into()),
            trust: root.trust,
        })
    }
}

impl Payload for Beat {
    const TYPE: PayloadType = PayloadType::Beat;

    fn subject(&self) -> BusSubject {
        BusSubject::Beat
    }

    fn encode(&self) -> Vec<u8> {
        wire::Beat {
            subject: self.subject().to_string(),
            revision: to_revision(self.revision),
            root: self.root.0.to_vec(),
            issued_ms: self.issued_ms,
            expires_after_ms: self.expires_after_ms,
            publisher: self.publisher.clone(),
        }
        .encode_to_vec()
    }

    fn decode(subject: &BusSubject, bytes: &[u8]) -> Result<Beat, DecodeError> {
        let beat: wire::Beat = parse(bytes)?;
        check_subject(subject, &beat.subject)?;
        Ok(Beat {
            revision: revision(beat.revision, "revision")?,
            root: hash(&beat.root, "root")?,
            issued_ms: beat.issued_ms,
            expires_after_ms: beat.expires_after_ms,
            publisher: beat.publisher,
        })
    }
}
