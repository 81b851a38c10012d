//! Writes a policy's mirror: what the engine remembers in the cluster, and shows people.

use std::time::SystemTime;

use serde_json::{Value, json};
use writ_core::guard::{Guard, stands};
use writ_core::model::ObjectRef;
use writ_core::name::PolicyName;
use writ_core::plan::{Record, content_hash};

use crate::cluster::{ClusterApi, Error, ErrorKind, Expect, Written};
use crate::inventory::covers;
use crate::mirror::{MIRROR_BYTES_MAX, PolicyMirror, Stage, Turned, policy_reference};
use crate::outcome::State;
use crate::slot::{Content, Slot, WrittenMirror};

/// Writes into the cluster where an attempt goes and what it may touch, unless that is there. Says
/// when it did.
pub(crate) async fn record_ahead<C: ClusterApi>(
    api: &C,
    policy: &PolicyName,
    slot: &mut Slot,
    ahead: &Record,
) -> Result<Option<SystemTime>, Error> {
    slot.record = Some(ahead.clone());
    if !stands(Guard::RecordAhead) {
        return Ok(None);
    }
    let stored = slot.mirror.as_ref().map(|written| &written.stored);
    if !slot.is_in_doubt && stored.is_some_and(|stored| covers(stored, ahead)) {
        return Ok(None);
    }
    slot.shown = (Stage::Underway, None);
    write_mirror(api, policy, slot).await?;
    Ok(Some(SystemTime::now()))
}

/// Writes a policy's mirror as the slot has it, unless it was written like that before.
pub(crate) async fn write_mirror<C: ClusterApi>(
    api: &C,
    policy: &PolicyName,
    slot: &mut Slot,
) -> Result<(), Error> {
    let Some(record) = &slot.record else {
        return Ok(());
    };
    // Without content nothing is known yet but what the mirror itself says.
    if !slot.is_known() || says(slot, record) {
        return Ok(());
    }
    let applied = slot.shown.0 == Stage::Reached(State::Applied);
    let turned = match slot.turned.take() {
        Some(turned) if turned.applied == applied => turned,
        _ => Turned::now(applied),
    };
    let turned = slot.turned.insert(turned);
    let document = slot.content.as_ref().map(Content::document);
    let mirror = PolicyMirror {
        document: document.as_ref(),
        record,
        signed: &slot.signed,
        stage: slot.shown.0,
        message: slot.shown.1.as_deref(),
        turned,
    }
    .render(policy);
    let sent = Some(content_hash(&mirror));
    let known = slot.mirror.as_mut().filter(|_| !slot.is_in_doubt);
    if let Some(written) = known.filter(|it| it.sent == sent) {
        written.stored = record.clone();
        written.shown = Some(slot.shown.clone());
        return Ok(());
    }
    let reference = policy_reference(policy);
    let size = mirror.to_string().len();
    if size > MIRROR_BYTES_MAX {
        let message = format!("the mirror has {size} bytes, the limit is {MIRROR_BYTES_MAX}");
        return Err(Error::new(ErrorKind::Invalid, "apply", &reference, message));
    }
    let written = send(api, &reference, mirror, slot.mirror.as_ref()).await;
    // What was not answered may have been done, and the one that is left there by a process that is killed
    // is what the next one goes by.
    slot.is_in_doubt = match &written {
        Ok(_) => false,
        Err(error) => slot.is_in_doubt || may_be_done(error),
    };
    let written = written?;
    let (uid, resource_version) = (written.uid, written.resource_version);
    slot.mirror = Some(WrittenMirror {
        sent,
        uid,
        resource_version,
        stored: record.clone(),
        shown: Some(slot.shown.clone()),
    });
    Ok(())
}

fn may_be_done(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Server)
}

/// Puts the mirror in the place of the one that was written last.
///
/// By a whole update of that very state, which costs the API server a third less than an apply and
/// is refused if anything came between. Then the mirror is asked for and written over: it is ours
/// alone. A subscriber that slept while another took its place gets no further than to ask, since
/// the lease stands before each write.
async fn send<C: ClusterApi>(
    api: &C,
    reference: &ObjectRef,
    mut mirror: Value,
    known: Option<&WrittenMirror>,
) -> Result<Written, Error> {
    if let Some(known) = known {
        build_on(&mut mirror, &known.uid, &known.resource_version);
        match api.replace(reference, &mirror).await {
            Err(error) if error.kind == ErrorKind::Conflict => {}
            Err(error) if error.kind == ErrorKind::Missing => {}
            result => return result,
        }
        if let Some(now) = api.get(reference).await? {
            let text = |key: &str| now["metadata"][key].as_str().unwrap_or_default().to_owned();
            build_on(&mut mirror, &text("uid"), &text("resourceVersion"));
            return api.replace(reference, &mirror).await;
        }
        unbuild(&mut mirror);
    }
    api.apply(reference, &mirror, Expect::Own).await
}

/// Makes it an update of that state.
fn build_on(mirror: &mut Value, uid: &str, resource_version: &str) {
    mirror["metadata"]["uid"] = uid.into();
    mirror["metadata"]["resourceVersion"] = resource_version.into();
    // One empty entry is the way to say "none". Nobody else has a field in here, and keeping the
    // account would double the mirror.
    mirror["metadata"]["managedFields"] = json!([{}]);
}

/// Makes it a creation again.
fn unbuild(mirror: &mut Value) {
    if let Some(metadata) = mirror["metadata"].as_object_mut() {
        metadata
            .retain(|key, _| !["uid", "resourceVersion", "managedFields"].contains(&key.as_str()));
    }
}

/// Whether the mirror says that already. The same log state means the same document and signed
/// bytes, so that neither is rendered to find out.
fn says(slot: &Slot, record: &Record) -> bool {
    !slot.is_in_doubt
        && slot.mirror.as_ref().is_some_and(|written| {
            written.sent.is_some()
                && written.stored == *record
                && written.shown.as_ref() == Some(&slot.shown)
        })
}
